"""Cache: a dict of plans or packed weights that is bounded in bytes."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Cache(dict[Any, Any]):
    """A dict of at most `max_bytes`; the oldest entries are dropped first.

    Changes never wait for the lock: a signal handler that convolves may have interrupted one, and so cannot change the
    cache.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.nbytes = max_bytes, 0
        self._sizes: dict[object, int] = {}
        self._lock = allocate_lock()

    def put(self, key: object, value: object, nbytes: int) -> None:
        """Store a value of so many bytes, dropping the oldest others beyond max_bytes."""
        with self._exclusively() as acquired:
            if acquired:
                self._drop(key)
                self[key], self._sizes[key] = value, nbytes
                self.nbytes += nbytes
                while self.nbytes > self.max_bytes and len(self._sizes) > 1:
                    self._drop(next(iter(self._sizes)))

    def replace(self, key: object, value: object) -> None:
        """Replace a value, if its key is still stored, by one of about the same size."""
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
                self.nbytes = 0

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
        self.nbytes -= self._sizes.pop(key, 0)
