"""explain: which algorithm a convolution would run, which others could, and what each is expected to cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import _blocks, _check, _exact, _lengths, _plan
from fastconv._check import Options
from fastconv._problem import Problem
from fastconv._types import Activation, Algorithm, Padding, PaddingMode, PerAxis, Precision
from fastconv.algorithms import Layout

# Bytes of a number, or of either part -> largest error of direct summation relative to the largest output, about.
DIRECT_ERROR = {4: 3e-7, 8: 6e-16}


class Candidate(NamedTuple):
    """What the planner expects of one algorithm."""

    algorithm: str
    cost: float  # relative to direct summation
    products: float  # multiplications for one output
    workspace: int  # bytes for each thread
    error: float  # expected, of max|output|
    how: str


class Explanation(NamedTuple):
    """What `explain` returns; its repr is a table."""

    problem: str
    algorithm: str  # that runs
    candidates: tuple[Candidate, ...]

    def __repr__(self) -> str:
        lines = [self.problem, "    algorithm   cost  products  workspace    error  how"]
        for c in self.candidates:
            mark = "->" if c.algorithm == self.algorithm else "  "
            lines.append(
                f" {mark} {c.algorithm:9} {c.cost:6.2f} {c.products:9.1f} {c.workspace / 2**10:7.0f} KB {c.error:8.0e}  {c.how}"
            )
        return "\n".join(lines)


def explain(
    input: ArrayLike | Sequence[int],
    weight: ArrayLike,
    *,
    axes: int | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    activation: Activation = None,
    algorithm: Algorithm = "auto",
    precision: Precision = "default",
    dtype: DTypeLike | None = None,
) -> Explanation:
    """Return which algorithm would run for this input and this weight, and why.

    Parameters
    ----------
    input : tuple or list of int, or array_like
        The shape of `conv2d`'s input, (..., C, H, W), or with one or three spatial axes as `axes` says; or the input
        itself.
    weight : array_like
        A bank, a filter or a kernel, as for `conv2d`.
    axes : {1, 2, 3}, optional
        The spatial axes, as for `conv1d`, `conv2d` or `conv3d`. By default weights of rank 3, 4 and 5 are banks for
        signals, images and volumes, as for `FilterBank`, and those of rank 1 and 2 kernels for signals and images.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision
        As for `conv2d`.
    dtype : dtype, optional
        Of the input; by default its own, or, if only its shape is given, that of the weight.

    Returns
    -------
    Explanation
        ``algorithm`` is the one that runs: "direct", "winograd", "fft", or "separable" for kernels of rank 1, such as a
        Gaussian, that "auto" convolves in a pass along each axis. ``candidates`` has for every algorithm that can do
        the problem the predicted ``cost`` relative to direct summation, the ``products`` of one output (for "fft":
        those of direct summation that would take as long), the ``workspace`` of a thread in bytes, the expected largest
        ``error`` relative to the largest output, and ``how``: forms, blocks and the like in words.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Notes
    -----
    The choice depends only on the shape of one image, the weights' shape, whether they are finite and of
    rank 1, and the options: results are the same for every batch size, number of threads and instruction set.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> why = fc.explain((64, 56, 56), np.ones((64, 64, 3, 3), np.float32), padding=1)
    >>> why  # doctest: +ELLIPSIS
    3x3 64->64, 56x56 -> 56x56, float32
        algorithm   cost  products  workspace    error  how
    ...
    >>> why.algorithm
    'winograd'
    """
    shape, own_dtype = _input(input)
    bank = _check.as_array("weight", weight)
    axes = _axes(axes, bank.shape)
    given = (stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision)
    dtypes = (own_dtype or bank.dtype if dtype is None else _dtype(dtype), bank.dtype)
    _check.check_arrays(axes, shape, bank.shape, dtypes)
    options = _check.options(axes, given)
    integers = _exact.integers(bank, bank.shape[0] if bank.ndim == axes + 2 else 1)
    sums = None if integers is None else integers.sums(dtypes[0])

    def plan(options: Options) -> _plan.Plan:
        return _lengths.plan_for(axes, shape, bank.shape, None, dtypes, options, sums)

    chosen = plan(options)
    direct = plan(options._replace(algorithm="direct")).layouts[0]
    candidates = [_candidate(direct, direct.cost)]
    for name in _check.ALGORITHMS[2:]:
        with suppress(ValueError):  # the algorithm cannot do this problem
            layout = plan(options._replace(algorithm=name)).layouts[0]
            candidates += [_candidate(layout, direct.cost)] if layout.name == name else []
    runs = chosen.layouts[_plan.prepare(chosen, bank)[0] if len(chosen.layouts) > 1 else 0]
    if runs.name not in [candidate.algorithm for candidate in candidates]:
        candidates.append(_candidate(runs, direct.cost))
    given_problem = chosen.problem if chosen.fold is None else chosen.fold.given
    return Explanation(_headline(given_problem), runs.name, tuple(sorted(candidates, key=lambda c: c.cost)))


def _input(input: ArrayLike | Sequence[int]) -> tuple[tuple[int, ...], np.dtype[Any] | None]:
    """Return a given shape and None, or a given array's shape and dtype."""
    if isinstance(input, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in input):
        return _check.shape_of("input", input), None
    array = _check.as_array("input", input)
    return array.shape, array.dtype


def _axes(axes: object, weight_shape: tuple[int, ...]) -> int:
    """Return the number of spatial axes: as given, or by the rank of the weight."""
    if axes is None:
        if not 1 <= len(weight_shape) <= 5:
            raise ValueError(f"weight must be a bank, a filter or a kernel of rank 1 to 5; got shape {weight_shape}")
        return (1, 2, 1, 2, 3)[len(weight_shape) - 1]
    if (number := _check.positive_int("axes", axes)) > 3:
        raise ValueError(f"axes must be 1, 2 or 3; got {number}")
    return number


def _dtype(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        return np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"dtype must be a dtype of NumPy; got {dtype!r}") from error


def _candidate(layout: Layout, direct_cost: float) -> Candidate:
    accumulator = layout.problem.accumulator
    part_bytes = accumulator.itemsize // (2 if accumulator.kind == "c" else 1)
    direct_error = DIRECT_ERROR.get(part_bytes, 0.0) if accumulator.kind in "fc" else 0.0
    workspace, error = _blocks.workspace(layout), direct_error * layout.error
    return Candidate(layout.name, layout.cost / direct_cost, layout.products, workspace, error, layout.how)


def _headline(problem: Problem) -> str:
    """Return the problem in one line, such as "3x3 64->64, 56x56 -> 56x56, float32"."""

    def by(size: tuple[int, ...]) -> str:
        return "x".join(str(n) for axis, n in enumerate(size) if axis or n > 1)

    groups = f" in {problem.groups} groups" if problem.groups > 1 else ""
    batch = f"{math.prod(problem.batch_shape)} x " if math.prod(problem.batch_shape) != 1 else ""
    return (
        f"{by(problem.kernel)} {problem.channels}->{problem.filters}{groups}, {batch}{by(problem.size)} -> "
        f"{by(problem.output_size)}, {problem.accumulator}"
    )
