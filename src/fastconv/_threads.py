"""How many threads a call may use, and work spread over them in Python; the core has a pool of its own, in C."""

from __future__ import annotations

import math
import os
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Iterable
from contextlib import suppress

MOST_THREADS = 256  # the core's pool of 255 workers, and the caller


def default() -> int:
    """Return FASTCONV_NUM_THREADS, or the CPUs that this process may use, by its affinity and its control group's quota."""
    wanted = os.environ.get("FASTCONV_NUM_THREADS")
    if wanted:
        if not wanted.isdecimal() or len(wanted) > 20 or int(wanted) < 1:
            raise ValueError(f"FASTCONV_NUM_THREADS must be an int of 1 or more; got {wanted!r}")
        return min(int(wanted), MOST_THREADS)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, _quota()))


def _quota() -> int:
    """Return how many CPUs the control group of this process may use at a time, rounded up."""
    try:  # "max 100000", or microseconds of CPU time in every so many
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return 2**31


def spread(work: Callable[[tuple[int, ...]], None], units: Iterable[tuple[int, ...]], threads: int) -> None:
    """Call work on every unit, on so many threads: for work that mostly runs without the GIL.

    Threads are started without the locks of `threading` and `concurrent.futures`: a signal handler that convolves may have
    interrupted a thread that holds them.
    """
    remaining = iter(list(units))
    helpers: list[LockType] = []  # each held until its thread ends
    errors: list[BaseException] = []

    def work_on_some() -> None:
        for unit in remaining:
            work(unit)

    def help_out(at_work: LockType) -> None:
        try:
            work_on_some()
        except BaseException as error:  # noqa: BLE001  raised by the caller's thread
            errors.append(error)
        finally:
            at_work.release()

    try:
        with suppress(RuntimeError):  # which is raised when Python is about to end
            for _ in range(threads - 1):
                at_work = allocate_lock()
                at_work.acquire()
                start_new_thread(help_out, (at_work,))
                helpers.append(at_work)
        work_on_some()
    finally:  # after an interrupt the units that are left are dropped
        for _ in remaining:
            pass
        for at_work in helpers:
            at_work.acquire()
    if errors:
        raise errors[0]
