"""The number of threads, work spread over them in Python, and show_config: what this installation is and what it runs on."""

from __future__ import annotations

import math
import os
import platform
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np

from fastconv import _check, _core

__all__ = ["get_num_threads", "set_num_threads", "show_config"]

MOST_THREADS = 256  # the pool's, and the caller's


def get_num_threads() -> int:
    """Return the most threads that a call uses, its own among them.

    Returns
    -------
    int
        What `set_num_threads` set; before that the environment variable ``FASTCONV_NUM_THREADS``;
        before that the CPUs that this process may use, by its affinity and its control group's quota.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_num_threads() >= 1
    True
    """
    return _num_threads


def set_num_threads(n: int) -> None:
    """Set the most threads that a call uses, its own among them; results do not depend on it.

    Parameters
    ----------
    n : int
        1 or more; what is above 256 counts as 256.

    Raises
    ------
    ValueError, TypeError
        If n is not an int of 1 or more.

    Examples
    --------
    >>> import fastconv as fc
    >>> before = fc.get_num_threads()
    >>> fc.set_num_threads(1)
    >>> fc.get_num_threads()
    1
    >>> fc.set_num_threads(before)
    """
    global _num_threads
    _num_threads = min(_check.positive_int("n", n), MOST_THREADS)


def show_config() -> None:
    """Print the versions and choices that a result or a timing depends on.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.show_config()  # doctest: +ELLIPSIS
    fastconv          ...
    numpy             ...
    """
    from fastconv import __version__

    isa, lanes = _core.current_isa()
    lines = {
        "fastconv": __version__,
        "numpy": np.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction set": f"{isa}, {lanes} float32 lanes (this machine can run {', '.join(_core.available_isas())})",
        "threads": str(get_num_threads()),
        "algorithms": ", ".join(_check.ALGORITHMS[1:]),
    }
    for name, value in lines.items():
        print(f"{name:17} {value}")


def num_threads(threads: int | None) -> int:
    """Return the threads that a call with this argument may use."""
    if threads is None:
        return _num_threads
    if type(threads) is int and 0 < threads <= MOST_THREADS:  # most calls
        return threads
    return min(_check.positive_int("threads", threads), MOST_THREADS)


def spread(work: Callable[[tuple[int, ...]], None], units: Iterable[tuple[int, ...]], threads: int) -> None:
    """Do work on every unit, on so many threads: for work that holds the GIL only now and then.

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
    finally:  # after an interrupt nobody goes on
        for _ in remaining:
            pass
        for at_work in helpers:
            at_work.acquire()
    if errors:
        raise errors[0]


def _default_threads() -> int:
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


_num_threads = _default_threads()
