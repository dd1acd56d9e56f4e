"""explain: which algorithm a convolution would run, which others could, and what each is expected to cost, or takes.

Banks and stacks of banks have methods of that name, which end here.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import _blocks, _check, _exact, _fuse, _lengths, _plan, _views, config
from fastconv._bank import Bank
from fastconv._problem import Array, Problem
from fastconv._types import Activation, Algorithm, Padding, PaddingMode, PerAxis, Precision
from fastconv.algorithms import Layout

if TYPE_CHECKING:
    from fastconv.bank import Sequential

__all__ = ["Candidate", "Explanation", "StackExplanation", "explain"]

Input = tuple[Bank, tuple[int, ...], np.dtype[Any]]  # a bank with the shape and dtype of its images

REPETITIONS = 5  # of a measurement, of which the median counts
UNITS = ((1, "s"), (1e3, "ms"), (1e6, "us"))
SHORT = 1e-3  # seconds: calls that take less are measured several at a time

# Bytes of a number, or of either part -> largest error of direct summation relative to the largest output, about.
DIRECT_ERROR = {4: 3e-7, 8: 6e-16}


class Candidate(NamedTuple):
    """What the planner expects of one algorithm, and what was measured, if asked.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> why = fc.explain((64, 56, 56), np.ones((64, 64, 3, 3), np.float32), padding=1)
    >>> cheapest = why.candidates[0]
    >>> cheapest.algorithm, cheapest.products
    ('winograd', 144.0)
    """

    algorithm: str
    cost: float  # relative to direct summation
    products: float  # multiplications for one output
    workspace: int  # bytes for each thread
    error: float  # expected, of max|output|
    how: str
    time: float | None = None  # seconds of a call with packed weights


class Explanation(NamedTuple):
    """What `explain` returns; its repr is a table.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.explain((1, 9, 9), np.ones((1, 1, 3, 3)), algorithm="direct").algorithm
    'direct'
    """

    problem: str
    algorithm: str  # that runs
    candidates: tuple[Candidate, ...]

    def __repr__(self) -> str:
        head, *rows = self._cells
        lines = [f"    {head[0]:9} {' '.join(head[1:-1])}  {head[-1]}"]
        for c, (_, *numbers, how) in zip(self.candidates, rows, strict=True):
            mark = "->" if c.algorithm == self.algorithm else "  "
            lines.append(f" {mark} {c.algorithm:9} {' '.join(numbers)}  {how}")
        return "\n".join([self.problem, *lines])

    @property
    def _cells(self) -> Iterator[tuple[str, ...]]:
        """The cells of the table, aligned, row by row; the names of the columns first."""
        timed = any(c.time is not None for c in self.candidates)
        yield "algorithm", "  cost", " products", " workspace", "   error", *([f"{'time':>8}"] if timed else []), "how"
        for c in self.candidates:
            numbers = f"{c.cost:6.2f}", f"{c.products:9.1f}", f"{c.workspace / 2**10:7.0f} KB", f"{c.error:8.0e}"
            yield c.algorithm, *numbers, *([f"{_duration(c.time):>8}"] if timed else []), c.how

    def _repr_html_(self) -> str:
        from fastconv import _html

        return _html.explanation(self.problem, self.algorithm, [[cell.strip() for cell in row] for row in self._cells])


class StackExplanation(NamedTuple):
    """What `Sequential.explain` returns; its repr is a table for each bank.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> why = fc.Sequential(fc.FilterBank(np.ones((4, 3, 3, 3))), fc.FilterBank(np.ones((2, 4, 3, 3)))).explain((3, 9, 9))
    >>> [bank.algorithm for bank in why.banks], why.fused
    (['direct', 'direct'], ())
    """

    banks: tuple[Explanation, ...]  # in their order, those of stacks within the stack among them
    fused: tuple[tuple[int, ...], ...]  # positions of banks that compute their maps together, strip by strip
    time: float | None = None  # seconds of a call of the whole stack

    def _headings(self) -> Iterator[str]:
        """What stands over the table of each bank."""
        for position in range(len(self.banks)):
            others = [n for group in self.fused if position in group for n in group if n != position]
            how = f", strip by strip together with {_listed(others)}" if others else ""
            yield f"bank {position}{how}"

    @property
    def _total(self) -> str:
        return "" if self.time is None else f"all banks: {_duration(self.time)}"

    def __repr__(self) -> str:
        parts = [f"{heading}: {bank!r}" for heading, bank in zip(self._headings(), self.banks, strict=True)]
        return "\n".join([*parts, self._total] if self._total else parts)

    def _repr_html_(self) -> str:
        headings = [f"<p><b>{heading}</b></p>" for heading in (*self._headings(), self._total)]
        return "".join(
            [*(head + bank._repr_html_() for head, bank in zip(headings, self.banks, strict=False)), headings[-1]]
        )


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
    measure: bool = False,
    threads: int | None = None,
) -> Explanation:
    """Return which algorithm would run for this input and this weight, and why.

    Parameters
    ----------
    input : tuple or list of int, or array_like
        The shape of `conv2d`'s input, (..., C, H, W), or with one or three spatial axes as `axes` says; or the input
        itself.
    weight : array_like
        A bank, a filter or a kernel, as for `conv2d`. `FilterBank`, `TransposedFilterBank` and `Sequential` have a method
        ``explain(input, *, dtype=None, measure=False, threads=None)`` of their own.
    axes : {1, 2, 3}, optional
        The spatial axes, as for `conv1d`, `conv2d` or `conv3d`. By default weights of rank 3, 4 and 5 are banks for
        signals, images and volumes, as for `FilterBank`, and those of rank 1 and 2 kernels for signals and images.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision
        As for `conv2d`.
    dtype : dtype, optional
        Of the input; by default its own, or, if only its shape is given, that of the weight.
    measure : bool
        Run every candidate on random numbers of the input's shape, and tell how long a call takes: the median of five,
        with weights that are packed already. This takes as much memory as the call.
    threads : int, optional
        The most threads to use for that; by default `get_num_threads`.

    Returns
    -------
    Explanation
        ``algorithm`` is the one that runs: "direct", "winograd", "fft", or "separable" for kernels of rank 1, such as a
        Gaussian, that "auto" convolves in a pass along each axis. ``candidates`` has for every algorithm that can do
        the problem the predicted ``cost`` relative to direct summation, the ``products`` of one output (for "fft":
        those of direct summation that would take as long), the ``workspace`` of a thread in bytes, the expected largest
        ``error`` relative to the largest output, ``how``: forms, blocks and the like in words, and the ``time`` of a call
        in seconds if it was measured.

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
    if callable(getattr(weight, "explain", None)):
        kind = type(weight).__name__
        raise TypeError(f"weight must be an array; got a {kind}, which has a method for that: bank.explain(input)")
    shape, own_dtype = _input(input)
    bank = _check.as_array("weight", weight)
    axes = _axes(axes, bank.shape)
    given = (stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision)
    dtypes = (own_dtype or bank.dtype if dtype is None else _dtype(dtype), bank.dtype)
    _check.check_arrays(axes, shape, bank.shape, dtypes)
    options = _check.options(axes, given)
    filters = bank.shape[0] if bank.ndim == axes + 2 else 1
    integers = _exact.integers(bank, filters)
    sums = None if integers is None else integers.sums(dtypes[0])

    def plan(algorithm: str) -> _plan.Plan:
        asked = options._replace(algorithm=algorithm)
        return _lengths.plan_for(axes, shape, bank.shape, None, dtypes, asked, sums)

    count = config.num_threads(threads)
    if not measure:
        return _explanation(plan, algorithm, bank)
    plan(algorithm)  # raises what is wrong with the shape
    run = partial(_plan.run, input=_random(shape, dtypes[0]), weight=bank, bias=None, out=None, threads=count)
    return _explanation(plan, algorithm, bank, partial(run, slopes=_check.slopes_of(activation, filters)))


def of_bank(
    bank: Bank,
    input: ArrayLike | Sequence[int],
    dtype: DTypeLike | None,
    measure: bool,
    threads: int | None,
) -> Explanation:
    """Return what `explain` says of a bank with its options."""
    shape, own_dtype = _input(input)
    return _of_bank(bank, shape, own_dtype or bank.weight.dtype if dtype is None else _dtype(dtype), measure, threads)


def _of_bank(
    bank: Bank, shape: tuple[int, ...], dtype: np.dtype[Any], measure: bool, threads: int | None
) -> Explanation:
    count = config.num_threads(threads)
    plan = partial(bank._plan_by, _channels_first(bank, shape), dtype)
    if not measure:
        return _explanation(plan, bank.algorithm, bank.weight)
    plan(bank.algorithm)  # raises what is wrong with the shape
    image = _random(shape, dtype)
    if bank.channels_last:
        image = _views.channels_first("input", image, bank._axes)
    run = partial(_plan.run, input=image, weight=bank.weight, bias=bank.bias, out=None, threads=count)
    return _explanation(plan, bank.algorithm, bank.weight, partial(run, slopes=bank._slopes))


def of_stack(
    stack: Sequential,
    input: ArrayLike | Sequence[int],
    dtype: DTypeLike | None,
    measure: bool,
    threads: int | None,
) -> StackExplanation:
    """Return what `explain` says of every bank of a stack, and which of them run together."""
    shape, own_dtype = _input(input)
    first = stack._row[0]
    assert isinstance(first, Bank)
    pixels = own_dtype or first.weight.dtype if dtype is None else _dtype(dtype)
    seconds = None
    if measure:
        stack.output_shape(shape)  # raises what is wrong with it
        seconds = _seconds(partial(stack, _random(shape, pixels), threads=threads))
    groups = list(_groups(stack, shape, pixels))
    banks = [_of_bank(*one, measure, threads) for group in groups for one in group]
    ends = [0, *accumulate(map(len, groups))]
    fused = tuple(tuple(range(*bounds)) for bounds in pairwise(ends) if bounds[1] - bounds[0] > 1)
    return StackExplanation(tuple(banks), fused, seconds)


def _groups(stack: Sequential, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[list[Input]]:
    """Yield the banks that compute their maps together, or a bank by itself, each with its images' shape and dtype."""
    fuses = math.prod(shape) >= _fuse.MIN_NUMBERS
    for fused, banks in stack._divide(shape, dtype) if fuses else stack._one_by_one:
        group: list[Input] = []
        for bank in banks:
            if not isinstance(bank, Bank):
                yield from ([one] for one in group)
                yield from _groups(bank, shape, dtype)
                return  # it is the last one
            group.append((bank, shape, dtype))
            plan = bank._plan_by(_channels_first(bank, shape), dtype, bank.algorithm)
            shape, dtype = bank.output_shape(shape), plan.problem.dtype
        yield from [group] if fused else [[one] for one in group]


def _channels_first(bank: Bank, shape: tuple[int, ...]) -> tuple[int, ...]:
    return _views.shape_first(shape, bank._axes) if bank.channels_last and len(shape) > bank._axes else shape


def _explanation(
    plan: Callable[[str], _plan.Plan], algorithm: str, weight: Array, run: Callable[..., Any] | None = None
) -> Explanation:
    """Return what is to be said of a convolution: `plan` makes its plans by algorithms, `run` runs one of them."""
    chosen = plan(algorithm)
    direct = plan("direct")
    by_name = {"direct": (direct.layouts[0], direct)}
    for name in _check.ALGORITHMS[2:]:
        with suppress(ValueError):  # the algorithm cannot do this problem
            one = plan(name)
            if one.layouts[0].name == name:
                by_name[name] = one.layouts[0], one
    runs = chosen.layouts[_plan.prepare(chosen, weight)[0] if len(chosen.layouts) > 1 else 0]
    by_name.setdefault(runs.name, (runs, chosen))
    candidates = []
    for layout, one in by_name.values():
        seconds = None if run is None else _seconds(partial(run, one, packed=_plan.prepare(one, weight)))
        candidates.append(_candidate(layout, direct.layouts[0].cost, seconds))
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


def _candidate(layout: Layout, direct_cost: float, seconds: float | None) -> Candidate:
    accumulator = layout.problem.accumulator
    part_bytes = accumulator.itemsize // (2 if accumulator.kind == "c" else 1)
    direct_error = DIRECT_ERROR.get(part_bytes, 0.0) if accumulator.kind in "fc" else 0.0
    workspace, error = _blocks.workspace(layout), direct_error * layout.error
    return Candidate(layout.name, layout.cost / direct_cost, layout.products, workspace, error, layout.how, seconds)


def _random(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return random numbers, small ones if they are whole, so that no sum is too large."""
    rng = np.random.default_rng(0)
    if dtype.kind in "biu":
        return rng.integers(0, 2, shape, np.uint8).astype(dtype)
    numbers = rng.random(shape, np.float32).astype(np.complex64 if dtype.kind == "c" else np.float32, copy=False)
    return numbers.astype(dtype, copy=False)


def _seconds(call: Callable[[], object]) -> float:
    """Return the median time of a call that is made again and again."""

    def of(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls

    of(1)
    calls = max(1, round(SHORT / max(of(1), 1e-7)))
    return statistics.median(of(calls) for _ in range(REPETITIONS))


def _duration(seconds: float | None) -> str:
    """Return a time in three digits and the unit that suits it."""
    if seconds is None:
        return ""
    factor, unit = next((factor, unit) for factor, unit in UNITS if seconds * factor >= 1 or factor == UNITS[-1][0])
    return f"{seconds * factor:#.3g} {unit}".replace(". ", " ")


def _listed(positions: Sequence[int]) -> str:
    """Return positions of banks in words, such as "banks 1, 3"."""
    names = ", ".join(map(str, positions))
    return f"bank{'s' if len(positions) > 1 else ''} {names}"


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
