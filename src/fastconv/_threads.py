"""The default number of threads, and a parallel loop in Python for work that releases the GIL.

The core does not use it: it has a thread pool of its own, in C.
"""

from __future__ import annotations

import math
import os
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Iterable
from contextlib import suppress

MAX_THREADS = 256  # the 255 workers of the core's pool, and the caller


def default() -> int:
    """Return FASTCONV_NUM_THREADS, else the CPUs that affinity and the control group's quota allow this process."""
    wanted = os.environ.get("FASTCONV_NUM_THREADS")
    if wanted:
        if not wanted.isdecimal() or len(wanted) > 20 or int(wanted) < 1:
            raise ValueError(f"FASTCONV_NUM_THREADS must be an int of 1 or more; got {wanted!r}")
        return min(int(wanted), MAX_THREADS)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, _cpu_quota()))


def _cpu_quota() -> int:
    """Return how many CPUs this process's control group may use at a time, rounded up."""
    try:  # the file holds "QUOTA PERIOD" in microseconds of CPU time per time, or "max PERIOD"
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return 2**31


def parallel_for(work: Callable[[tuple[int, ...]], None], units: Iterable[tuple[int, ...]], threads: int) -> None:
    """Call work(unit) for all units, on up to so many threads; work should mostly run without the GIL.

    Neither `threading` nor `concurrent.futures` starts the threads: a signal handler that convolves may have
    interrupted a thread that holds their locks.
    """
    remaining = list(units)[::-1]  # a list, not an iterator: without the GIL, threads that share one get the same units
    running: list[LockType] = []  # one lock per worker, released when it ends
    errors: list[BaseException] = []

    def next_unit() -> tuple[int, ...] | None:
        try:
            return remaining.pop()
        except IndexError:
            return None

    def run_units() -> None:
        while (unit := next_unit()) is not None:
            work(unit)

    def run_worker(lock: LockType) -> None:
        try:
            run_units()
        except BaseException as error:  # noqa: BLE001  raised by the caller's thread
            errors.append(error)
        finally:
            lock.release()

    try:
        with suppress(RuntimeError):  # no thread can be started while the interpreter shuts down
            for _ in range(threads - 1):
                lock = allocate_lock()
                lock.acquire()
                start_new_thread(run_worker, (lock,))
                running.append(lock)
        run_units()
    finally:  # after an error or an interrupt, drop the remaining units and wait for the workers
        remaining.clear()
        for lock in running:
            lock.acquire()
    if errors:
        raise errors[0]
