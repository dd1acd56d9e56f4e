"""Problem -> Plan: which algorithm runs for these shapes, dtypes and options; and running it.

A plan is immutable and cached. It holds layouts made by algorithms/, the cheapest by predicted cost first; a layout
that may refuse weights is followed by the next cheapest, down to one that takes all weights.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fastconv import _blocks, _check, _core, _fold, _remembered, _weights
from fastconv._problem import Array, Problem, Transposed
from fastconv.algorithms import (
    Layout,
    by_position,
    byte_tiles,
    cheapest,
    direct,
    fft,
    real_parts,
    separable,
    sweep,
    tiles,
    transposed,
    transposed_interleaved,
    transposed_tiles,
    transposed_winograd,
    winograd,
)

# Each has the lowest cost so far as its budget.
ORDER = (direct, real_parts, byte_tiles, sweep, tiles, by_position, winograd, fft, separable)
TRANSPOSED_ORDER = (transposed, transposed_tiles, transposed_interleaved, transposed_winograd)
PLAN_BYTES = 2**13  # bytes of a plan and its objects for each layout, about, without their tables per tap

Packed = tuple[int, Any]  # the index of one of a plan's layouts, and weights packed for it


class Plan(NamedTuple):
    """What every call with the same shapes, dtypes and options does."""

    columns: int  # of the input, before folding
    problem: Problem  # as computed: if fold is set, smaller than the one given
    fold: _fold.Fold | None  # how to reduce input and weight to this problem
    layouts: tuple[Layout, ...]  # cheapest first; if one refuses the weights, the next is asked
    packing: tuple[object, ...]  # plans with equal packing share packed weights
    needs_finite: bool  # weights that are not are for the last layout: the padding's zeros would make NaN of them
    integers_may_overflow: bool
    calls: tuple[_core.Call | None, ...]  # of the layouts, for contiguous arrays of the accumulator's dtype, or ()
    raw_weights: bool  # the first call takes weights as given, not packed
    remembered: tuple[str, int] | None = None  # what packed weights of single calls depend on, and their bytes
    unpacked: Plan | None = None  # the plan of single calls with weights that are not, if it is another one
    row_padding: int | str | None = None  # set if the plan can be adapted to rows of other lengths: see _lengths.py

    @property
    def call(self) -> _core.Call | None:
        """The call of the cheapest layout."""
        return self.calls[0] if self.calls else None

    @property
    def single(self) -> Plan:
        """The plan of single calls whose weights are not remembered."""
        return self.unpacked or self

    @property
    def nbytes(self) -> int:
        """Bytes that the plan takes, about, without packed weights."""
        calls = sum(call.nbytes for call in self.calls if call is not None)
        unpacked = self.unpacked.nbytes if self.unpacked else 0
        return len(self.layouts) * (PLAN_BYTES + 8 * self.problem.taps) + calls + unpacked

    def resized(self, problem: Problem) -> Plan:
        """Return the plan for rows of another length, which the layouts must be able to serve."""
        layouts = tuple(layout.resized(problem) for layout in self.layouts)
        calls = tuple(
            call and call.resized(*layout.core_shapes(problem), problem.output_shape, problem.pad)
            for layout, call in zip(layouts, self.calls, strict=False)
        )
        unpacked = self.unpacked and self.unpacked.resized(problem)
        return self._replace(columns=problem.size[2], problem=problem, layouts=layouts, calls=calls, unpacked=unpacked)


def make(given: Problem, dtypes: tuple[np.dtype[Any], ...], *, may_wrap: bool = False) -> Plan:
    """Return the plan for input, weight and bias of these dtypes.

    `may_wrap`: sums of integers that are too large wrap around, rather than raise an error.
    """
    convolution = given.convolution if isinstance(given, Transposed) else None
    problem = convolution or given
    if problem.border is not None:
        problem = problem.padded
    fold = None if problem.transposed or problem.border is not None else _fold.fold(problem)
    if fold is not None:
        problem = fold.reduced
    layouts = cheapest(_order(problem), problem)
    if not layouts and fold is not None and winograd.supports(convolution or given, problem.output_size):
        layouts = cheapest(ORDER, problem._replace(algorithm="direct"))  # the folded kernel is too small for Winograd
    if not layouts:
        domains = [one.DOMAIN for one in _order(problem) if problem.algorithm == one.NAME]
        domain = domains[0] if domains else "it takes transposed convolutions without stride"
        raise ValueError(f"algorithm {problem.algorithm!r} cannot do this: {domain}")
    needs_finite = convolution is not None and not all(convolution.stays_inside(axis) for axis in range(3))
    if needs_finite:
        layouts = (*layouts, transposed.Phases(given))
    no_conversions = {problem.dtype, dtypes[0], *dtypes[2:]} == {problem.accumulator}
    integers_may_overflow = not may_wrap and _check.may_overflow(dtypes, given.taps, problem.accumulator)
    is_direct = no_conversions and fold is None and not integers_may_overflow and not problem.channels_last

    def of(layouts: tuple[Layout, ...]) -> Plan:
        packing: tuple[object, ...] = (convolution is not None, *(layout.packing for layout in layouts))
        calls = tuple(layout.ready_call() if is_direct and problem.products else None for layout in layouts)
        return Plan(
            columns=given.size[2],
            problem=problem,
            fold=fold,
            layouts=layouts,
            packing=packing if fold is None else (fold.tap_folds, *packing),
            needs_finite=needs_finite,
            integers_may_overflow=integers_may_overflow,
            calls=calls if any(calls) else (),
            raw_weights=layouts[0].raw_weights and dtypes[1] == problem.accumulator and not needs_finite,
        )

    plan, unpacked = of(layouts), tuple(layout.unpacked() or layout for layout in layouts)
    if unpacked != layouts:
        plan = plan._replace(unpacked=of(unpacked))
    if plan.single.raw_weights and not problem.channels_last:  # comparing them would take as long as reading them does
        return plan
    nbytes = max(layout.packed_bytes for layout in plan.layouts)
    return plan._replace(remembered=(repr((plan.packing, given.of_weights, problem.of_weights)), nbytes))


def _order(problem: Problem) -> tuple[ModuleType, ...]:
    """Return the algorithms that may compute a problem, in the order in which they are asked."""
    return TRANSPOSED_ORDER if problem.transposed else ORDER


def prepare(plan: Plan, weight: Array, *, check: bool = True) -> Packed:
    """Return weight packed for the first layout that accepts it, in the accumulator's dtype and flipped if asked.

    `check`: whether weights must be finite, for a plan that needs that; others then go to its last layout.
    """
    with _weights.naming_weight(weight.shape):
        if check and plan.needs_finite and not _weights.all_finite(weight):
            return len(plan.layouts) - 1, plan.layouts[-1].pack(weight)
        if plan.fold is not None:
            weight = plan.fold.reduce_weight(weight)
        for index, layout in enumerate(plan.layouts):
            if (packed := layout.pack(weight)) is not None:
                return index, packed
    raise AssertionError("the last layout takes all weights")


def run(
    plan: Plan,
    input: Array,
    weight: Array,
    bias: Array | None,
    out: Array | None,
    threads: int,
    packed: Packed | None = None,
    residual: Array | None = None,
    slopes: Array | None = None,
) -> Array:
    """Convolve input with weight as planned and return the result, `out` if given.

    packed: prepare(plan, weight); without it, the weight is remembered.
    """
    if packed is None and plan.remembered is not None:
        packing, nbytes = plan.remembered
        packed = _remembered.weights.find(packing, weight, nbytes, partial(prepare, plan))
    if packed is None:
        plan = plan.unpacked or plan  # as `single`, without another call
    if slopes is not None:
        bias = _weights.with_slopes(bias, slopes, plan.problem.accumulator)
    is_linear = plan.problem.activation is None and plan.problem.accumulator.kind == "f"
    if packed is None and plan.needs_finite and out is None and is_linear:
        # Weights that are not finite leave no pixel of their map finite: the first ones are read faster than all weights.
        result = run(plan, input, weight, bias, None, threads, prepare(plan, weight, check=False), residual)
        if np.isfinite(result.reshape(plan.problem.maps_shape)[:1, :, :1, :1, :1]).all() or _weights.all_finite(weight):
            return result
        packed = prepare(plan, weight)
    if plan.calls:
        if packed is None and not plan.raw_weights:
            packed = prepare(plan, weight)
        index, weights = (0, weight) if packed is None else packed
        call = plan.calls[index]
        if call is not None and (maps := call.run(input, weights, bias, threads, out, residual)) is not None:
            return maps
    problem = plan.problem
    if out is not None:
        _check.check_out(out, problem)
    if out is None:
        result = problem.empty_result()
    elif any(array is not None and np.may_share_memory(out, array) for array in (input, weight, bias, residual)):
        result = _core.empty(out.shape, out.dtype)
    else:
        result = out
    if plan.integers_may_overflow or out is not None:
        _check.check_sums(problem, input, partial(_filters, plan, weight), bias, out, plan.integers_may_overflow)
    if result.size:
        index, bank = prepare(plan, weight) if packed is None else packed
        layout = plan.layouts[index]
        if bias is not None:
            bias = _weights.copy_unless_plain(bias.reshape(-1), problem.accumulator)
        if plan.fold is not None and not layout.problem.transposed:
            input = plan.fold.reduce_image(input)
        _blocks.convolve(layout, input, bank, bias, result, min(threads, layout.threads), residual, result is not out)
    if out is not None and result is not out:
        out[...] = result
    return result if out is None else out


def _filters(plan: Plan, weight: Array) -> Array:
    """Return the weights that outputs are summed with, (K, ...)."""
    return _weights.bank_of(plan.problem, weight) if plan.fold is None else plan.fold.crop_weight(weight)
