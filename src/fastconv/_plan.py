"""Problem -> frozen, cached Plan: which algorithm runs for these shapes, dtypes and options; and running it.

A plan holds the layouts of algorithms/, best first: the cheapest by its predicted cost, and behind one that may refuse some
weights the next cheapest, down to one that takes all of them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastconv import _blocks, _check, _core, _fold, _weights
from fastconv._problem import Array, Problem
from fastconv.algorithms import Layout, by_position, direct, fft, separable, sweep, tiles, winograd

ORDER = (direct, sweep, tiles, by_position, winograd, fft, separable)  # each may underbid those before it
KEEP_GIL_BELOW = 2**16  # products: releasing the GIL would cost more than it gives other threads
PLAN_BYTES = 2**13  # of a plan and the objects that it holds, about


class Plan(NamedTuple):
    """What to do in every call with the same shapes, dtypes and options."""

    columns: int  # of the input as it is given
    problem: Problem  # that is left where much of what was asked for is not seen
    fold: _fold.Fold | None  # how it was made of that
    layouts: tuple[Layout, ...]  # best first; where one refuses weights, the next is asked
    packing: tuple[object, ...]  # plans that agree in this can share packed weights
    integers_may_overflow: bool
    call: _core.Call | None  # for contiguous arrays whose dtypes are the accumulator's
    raw_weights: bool  # the call takes the weights as they are given
    margin: int | str | None = None  # set for plans that serve rows of other lengths: see _lengths.py

    @property
    def nbytes(self) -> int:
        """Memory that the plan takes, roughly; weights are not part of it."""
        call = 0 if self.call is None else self.call.nbytes
        return len(self.layouts) * (PLAN_BYTES + 8 * self.problem.taps) + call

    def resized(self, problem: Problem) -> Plan:
        """Return the plan for rows of another length, for which the layouts must serve as well."""
        layouts = tuple(layout.resized(problem) for layout in self.layouts)
        call = self.call and self.call.resized(*layouts[0].core_shapes(problem), problem.output_shape, problem.pad)
        return self._replace(columns=problem.size[2], problem=problem, layouts=layouts, call=call)


class Packed(NamedTuple):
    """Weights, packed for one of a plan's layouts."""

    choice: int
    weights: Any


def make(asked: Problem, dtypes: tuple[np.dtype[Any], ...], reuse: bool) -> Plan:
    """Return the plan for a problem with input, weight and bias of these dtypes; reuse: packed weights serve many calls."""
    fold = _fold.fold(asked)
    problem = asked if fold is None else fold.problem
    layouts = choose(problem, reuse)
    if not layouts and fold is not None and winograd.knows(asked, problem.output_size):
        layouts = choose(problem._replace(algorithm="direct"), reuse)  # too little is left of the kernel
    if not layouts:
        (domain,) = (algorithm.DOMAIN for algorithm in ORDER if problem.algorithm == algorithm.NAME)
        raise ValueError(f"algorithm {problem.algorithm!r} cannot do this: {domain}")
    best, call = layouts[0], None
    packing = tuple(layout.packing for layout in layouts)
    as_they_are = all(dtype == problem.accumulator for dtype in (problem.dtype, dtypes[0], *dtypes[2:]))
    if best.core is not None and as_they_are and fold is None and problem.products and best.fits:
        output, keep_gil = (problem.output_shape, problem.dtype), problem.products <= KEEP_GIL_BELOW
        call = _core.Call(*best.core_shapes(problem), output, problem.pad, best.core, best.threads, keep_gil)
    return Plan(
        columns=asked.size[2],
        problem=problem,
        fold=fold,
        layouts=layouts,
        packing=packing if fold is None else (fold.taps, *packing),
        integers_may_overflow=_check.may_overflow(dtypes, asked.taps, problem.accumulator),
        call=call,
        raw_weights=best.raw_weights and not problem.flip and dtypes[1] == problem.accumulator,
    )


def choose(problem: Problem, reuse: bool) -> tuple[Layout, ...]:
    """Ask the algorithms for their layouts: the cheapest first, and the next ones behind it if it may refuse weights."""
    layouts: tuple[Layout, ...] = ()
    for algorithm in ORDER:
        if problem.algorithm in ("auto", algorithm.NAME):
            layout = algorithm.choose(problem, reuse, layouts[0].cost if layouts else math.inf)
            if layout is not None:
                layouts = (layout,) if layout.any_weights else (layout, *layouts)
    return layouts


def prepare(plan: Plan, weight: Array) -> Packed:
    """Return weight as the first layout that suits it takes it: in the accumulator's dtype, flipped if asked for, packed."""
    with _weights.in_memory(weight.shape):
        if plan.fold is not None:
            weight = plan.fold.weights(weight)
        for choice, layout in enumerate(plan.layouts):
            if (packed := layout.pack(weight)) is not None:
                return Packed(choice, packed)
    raise AssertionError("the last layout takes all weights")


def run(
    plan: Plan,
    input: Array,
    weight: Array,
    bias: Array | None,
    out: Array | None,
    threads: int,
    packed: Packed | None = None,
) -> Array:
    """Convolve input with weight as planned and return the result, in out if there is one; packed is prepared weight."""
    if plan.call is not None:
        if packed is None and not plan.raw_weights:
            packed = prepare(plan, weight)
        maps = plan.call.run(input, weight if packed is None else packed.weights, bias, threads, out)
        if maps is not None:
            return maps
    problem = plan.problem
    if out is not None:
        _check.check_out(out, problem)
    if out is None:
        result = _core.empty_result(problem.output_shape, problem.dtype)
    elif any(array is not None and np.may_share_memory(out, array) for array in (input, weight, bias)):
        result = _core.empty(out.shape, out.dtype)
    else:
        result = out
    if plan.integers_may_overflow or out is not None:
        _check_integers(plan, input, weight, bias, out)
    if result.size:
        choice, weights = prepare(plan, weight) if packed is None else packed
        layout, offsets = plan.layouts[choice], bias
        if bias is not None and (bias.ndim != 1 or not _blocks.is_plain(bias, problem.accumulator)):
            offsets = np.require(bias, problem.accumulator, ["C", "A"]).reshape(-1)
        if plan.fold is not None:
            input = plan.fold.image(input)
        _blocks.convolve(layout, input, weights, offsets, result, min(threads, layout.threads))
    if out is not None and result is not out:
        out[...] = result
    return result if out is None else out


def _check_integers(plan: Plan, input: Array, weight: Array, bias: Array | None, out: Array | None) -> None:
    """Raise ValueError if a sum of integers might not fit the result's dtype, or that of out."""
    problem = plan.problem
    holds_less = out is not None and out.dtype.kind == "i" and out.dtype != problem.dtype
    if holds_less or plan.integers_may_overflow:
        seen = weight.reshape(problem.weight_shape) if plan.fold is None else plan.fold.seen(weight)
        blamed, target = ("out", out.dtype) if out is not None and holds_less else ("input", problem.dtype)
        _check.check_integer_range(blamed, target, input, seen, bias)
