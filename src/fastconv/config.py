"""The number of threads, the memory that is kept between calls, and show_config, which prints versions and the instruction set."""

from __future__ import annotations

import platform
import sys

import numpy as np

from fastconv import _check, _core, _remembered, _threads
from fastconv._threads import MAX_THREADS

__all__ = [
    "get_num_threads",
    "get_weight_cache",
    "set_buffer_pool",
    "set_num_threads",
    "set_weight_cache",
    "show_config",
]


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


def set_buffer_pool(bytes: int) -> None:
    """Set how much memory of large results is kept, once these have died, for results of the same size.

    Systems clear the memory that they hand out, which for a large result may take as long as computing it. Memory of
    results of 1 MB and more is kept, up to 128 MB unless this function says otherwise; what has been kept for the
    longest time is freed first. Where the system can, it may take back pieces of 32 MB and more while they are kept.
    A forked child starts with none.

    Parameters
    ----------
    bytes : int
        The most bytes that are kept; 0: none, and what has been kept is freed.

    Raises
    ------
    ValueError, TypeError
        If bytes is not an int of 0 or more.

    Notes
    -----
    Results are ordinary arrays, but for ``resize``, which needs arrays that own their memory. `tracemalloc` counts
    what is kept as memory in use. Calls that are given ``out=`` do without.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.set_buffer_pool(0)
    >>> fc.set_buffer_pool(2**27)
    """
    _core.set_pool_limit(min(_check.int_from(0, "bytes", bytes), sys.maxsize))


def get_weight_cache() -> int:
    """Return the most bytes that packed weights of functions take.

    Returns
    -------
    int
        What `set_weight_cache` set; before that 64 MB, ``2**26``.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_weight_cache()
    67108864
    """
    return _remembered.weights.max_bytes


def set_weight_cache(bytes: int) -> None:
    """Set how many bytes functions may take to keep packed weights for later calls; results do not depend on it.

    Weights that a function such as `conv2d` is called with again are packed once, as a `FilterBank` packs its own, and
    kept with a copy of them as they were given. Every call compares their bytes with the copy, so that arrays may change
    in place; those that are not contiguous, or can be read as they are about as fast, are not kept.

    Parameters
    ----------
    bytes : int
        0 or more, for packed weights and copies together. 0 keeps nothing; what is kept beyond it is dropped.

    Raises
    ------
    ValueError, TypeError
        If bytes is not an int of 0 or more.

    Examples
    --------
    >>> import fastconv as fc
    >>> before = fc.get_weight_cache()
    >>> fc.set_weight_cache(2**20)
    >>> fc.get_weight_cache()
    1048576
    >>> fc.set_weight_cache(before)
    """
    _remembered.weights.resize(_check.int_from(0, "bytes", bytes))


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
    most, held = _core.pool_sizes()
    lines = {
        "fastconv": __version__,
        "numpy": np.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction set": f"{isa}, {lanes} float32 lanes (this machine can run {', '.join(_core.available_isas())})",
        "threads": str(get_num_threads()),
        "buffer pool": f"{held >> 20} of {most >> 20} MB",
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
