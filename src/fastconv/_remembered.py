"""Weights that functions have packed, kept for the next calls with equal ones, as a bank keeps its own.

Equal weights have the same bytes, which are compared in every call: arrays change in place. A few of their bytes only tell
where to look. Weights that are seen for the first time are not kept: they may never come again.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv import _core, _weights
from fastconv._problem import Array

DEFAULT_BYTES = 2**26
SAMPLES = 64  # bytes that tell where to look
MAX_KEPT, MAX_SEEN = 2**8, 2**10  # weights
LOCK_SECONDS = 0.1  # to wait for the lock at most, for a signal handler may have interrupted whoever holds it


class Kept:
    """A copy of weights as they were given, and what they are packed into."""

    __slots__ = ("given", "nbytes", "packed", "used")

    def __init__(self, given: Array, packed: Any, used: int) -> None:
        self.given, self.packed, self.used = as_bytes(given), packed, used
        self.nbytes = given.nbytes + _weights.nbytes(packed, given)


class Remembered:
    """Packed weights and their copies, of at most `max_bytes` together.

    Those that are asked for most often stay: of weights in turn that are too many, some are kept. As in a `Cache`, calls
    do not wait for the lock.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.nbytes = max_bytes, 0
        self._kept: dict[object, Kept] = {}
        self._seen: dict[object, tuple[int, int]] = {}  # of others: the last call, and bytes that keeping them takes
        self._calls = 0
        self._lock = allocate_lock()

    def find(self, packing: str, weight: Array, nbytes: int, pack: Callable[[Array], Any]) -> Any:
        """Return packed weights if they were seen before, else None.

        packing: what they depend on besides; nbytes: that they take, about, without the copy.
        """
        if not weight.flags.c_contiguous or not 0 < weight.nbytes + nbytes <= self.max_bytes:
            return None
        given = as_bytes(weight)
        sample = given[:: given.size // SAMPLES | 1].tobytes()  # an odd step meets all bytes of numbers
        key = packing, weight.dtype, weight.shape, sample
        self._calls += 1
        now, kept = self._calls, self._kept.get(key)
        if kept is None:
            return self._pack(key, weight, nbytes, pack, now)
        if _core.equal_bytes(kept.given, given):
            kept.used = now
            return kept.packed
        self._exchange(key, None)
        self._note(key, now, kept.nbytes)
        return None

    def resize(self, max_bytes: int) -> None:
        """Set the most bytes to keep."""
        self.max_bytes = max_bytes
        self._make_room(0, self._calls + 1, LOCK_SECONDS)

    def _pack(self, key: object, weight: Array, nbytes: int, pack: Callable[[Array], Any], now: int) -> Any:
        """Return weights packed, and keep them, if they were seen before and there is room; else None."""
        before, nbytes = self._seen.pop(key, (None, weight.nbytes + nbytes))
        since = 0 if before is None else now - 2 * (now - before)  # what was not used since is asked for less often
        if before is None or not self._make_room(nbytes, since):
            self._note(key, now, nbytes)
            return None
        try:
            given = _weights.copy(weight, weight.dtype)
            kept = Kept(given, pack(given), now)
        except MemoryError:
            return None
        if not (self._make_room(kept.nbytes, since) and self._exchange(key, kept)):
            self._note(key, now, kept.nbytes)
        return kept.packed

    def _note(self, key: object, now: int, nbytes: int) -> None:
        """Note that weights that are not kept were seen."""
        if len(self._seen) >= MAX_SEEN:
            self._seen = {}
        self._seen[key] = now, nbytes

    def _make_room(self, nbytes: int, since: int, seconds: float = 0) -> bool:
        """Drop what was not used since some call, the longest unused first, until so many bytes fit; return whether they do."""
        if not self._lock.acquire(timeout=seconds):
            return False
        try:
            while self.nbytes + nbytes > self.max_bytes or len(self._kept) >= MAX_KEPT:
                oldest = min(self._kept, key=lambda key: self._kept[key].used, default=None)
                if oldest is None or self._kept[oldest].used >= since:
                    return False
                self.nbytes -= self._kept.pop(oldest).nbytes
            return True
        finally:
            self._lock.release()

    def _exchange(self, key: object, kept: Kept | None) -> bool:
        """Keep weights, or none, in place of what is kept there; return whether that was possible."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            former = self._kept.pop(key, None)
            self.nbytes -= 0 if former is None else former.nbytes
            if kept is not None:
                if self.nbytes + kept.nbytes > self.max_bytes:
                    return False
                self._kept[key] = kept
                self.nbytes += kept.nbytes
            return True
        finally:
            self._lock.release()


def as_bytes(weight: Array) -> Array:
    """Return the bytes of contiguous weights."""
    return weight.reshape(-1).view(np.uint8)


weights = Remembered(DEFAULT_BYTES)
