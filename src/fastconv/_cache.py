"""Cache: plans and packed weights that were made before, bounded by the bytes that they take."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Cache(dict[Any, Any]):
    """A dict of up to `room` bytes; what was put in first goes first.

    Nobody waits for its lock: a signal handler may convolve in the middle of a change, and finds the cache read-only then.
    """

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, 0
        self._sizes: dict[object, int] = {}
        self._lock = allocate_lock()

    def put(self, key: object, value: object, nbytes: int) -> None:
        """Keep a value, however large, until others need its room."""
        with self._exclusively() as acquired:
            if acquired:
                self._drop(key)
                self[key], self._sizes[key] = value, nbytes
                self.taken += nbytes
                while self.taken > self.room and len(self._sizes) > 1:
                    self._drop(next(iter(self._sizes)))

    def replace(self, key: object, value: object) -> None:
        """Exchange a value, if it is still kept, for another one of about the same size."""
        if self._lock.acquire(blocking=False):
            if key in self:
                self[key] = value
            self._lock.release()

    def clear(self) -> None:
        """Drop everything."""
        with self._exclusively() as acquired:
            if acquired:
                super().clear()
                self._sizes.clear()
                self.taken = 0

    @contextmanager
    def _exclusively(self) -> Iterator[bool]:
        acquired = self._lock.acquire(blocking=False)
        try:
            yield acquired
        finally:
            if acquired:
                self._lock.release()

    def _drop(self, key: object) -> None:
        self.pop(key, None)
        self.taken -= self._sizes.pop(key, 0)
