"""The number of threads, and show_config, which prints versions and the instruction set."""

from __future__ import annotations

import platform

import numpy as np

from fastconv import _check, _core, _threads
from fastconv._threads import MAX_THREADS

__all__ = ["get_num_threads", "set_num_threads", "show_config"]


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
    _num_threads = min(_check.positive_int("n", n), MAX_THREADS)


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
    if type(threads) is int and 0 < threads <= MAX_THREADS:  # most calls
        return threads
    return min(_check.positive_int("threads", threads), MAX_THREADS)


_num_threads = _threads.default()
