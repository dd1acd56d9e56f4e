"""What is remembered of calls with arrays of given shapes and dtypes, and options: all but the arrays themselves.

A `_core.ReadyCall` converts small arrays, runs plans on them and converts the result, in a single call of the core. It
is remembered by the function and its options as they are given, whose meaning must not depend on anything else, and by
shapes and dtypes; with other arrays, or where it says so, the caller takes the long road, and remembers that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv._cache import Cache
from fastconv._plan import Plan
from fastconv._problem import Array

CACHE_BYTES = 2**22
DTYPES = "?bBhHiIlLqQfdFD"  # that are converted
calls = Cache(CACHE_BYTES)


class Pass(NamedTuple):
    """A plan for arrays of the sums' dtype, and its weights; None if they are the next array of the call."""

    plan: Plan
    weights: Array | None = None


def remember(
    options: object,
    arrays: tuple[Any, ...],
    out: object,
    passes: Sequence[Pass],
    result: np.dtype[Any],
    shape: tuple[int, ...],
    **details: Any,
) -> None:
    """Remember passes over such arrays, an image and kernels; details: as of `_core.ReadyCall`."""
    if not passes or not all(one.plan.single.call is not None and one.plan.single.raw_weights for one in passes):
        return
    key = _core.ready_key(options, arrays, out)
    if key is None:
        return
    try:
        if key in calls:
            return
    except TypeError:  # an option is a list
        return
    if isinstance(out, (str, type, np.dtype)) and np.dtype(out) != result:  # a wish that is not granted
        return
    sums = passes[0].plan.problem.accumulator
    dtypes = [array.dtype for array in arrays]
    if not all(dtype.char in DTYPES and dtype.isnative for dtype in (*dtypes, sums, result)):
        return
    kinds = [dtype.kind for dtype in dtypes]
    image = details.get("image", 0)
    by_parts = kinds[image] == result.kind == "c" and kinds.count("c") == 1  # real and imaginary parts are two images
    if sums.kind != "c" and "c" in (*kinds, result.kind) and not by_parts:
        return
    if sums.kind not in "fc" or (sums.kind == "c" and result.kind != "c"):
        return
    given = [(array.size, array.dtype) for array in arrays]
    pairs = [(one.plan.single.call, one.weights) for one in passes]
    call = _core.ReadyCall(pairs, given, sums, result, shape, **details)  # type: ignore[arg-type]  # as checked
    calls.put(key, call, call.nbytes)
