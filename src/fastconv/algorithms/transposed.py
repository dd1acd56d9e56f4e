"""Transposed convolutions with a stride, phase by phase (polyphase).

Outputs with the same remainder by the stride, a phase, see every so many-th tap of the kernels: each phase is a convolution
without stride, of the same input, with a smaller kernel, which is turned by 180 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from fastconv import _core, _weights
from fastconv._problem import Array, Problem
from fastconv.algorithms import Layout, direct

NAME = direct.NAME
DOMAIN = "it takes everything"

PHASE_COST = 3.0  # of a product, relative to register tiles
PHASE_STORE = 60.0  # per output: sums of a phase are stored, and then copied to their places
PHASE_CALL = 1.5e6  # per phase: a call of the core from Python


class AxisPhase(NamedTuple):
    """The outputs offset, offset + stride, ... of an axis: output number i of them reads the input at i + tap * dilation - pad."""

    offset: int
    taps: slice  # of the kernel, the last one first
    tap_count: int  # 0 if these outputs read nothing
    dilation: int
    pad: int


class Phases(Layout):
    """One convolution for each phase, by the loops for every dtype; products with pixels beyond the input are left out."""

    name = NAME

    def __init__(self, problem: Problem) -> None:
        pads = tuple(pad % step for pad, step in zip(problem.pad, problem.stride, strict=True))
        products = problem.products / max(1, math.prod(problem.batch_shape))
        cost = PHASE_COST * direct.PRODUCT * products + PHASE_CALL * math.prod(problem.stride)
        cost += PHASE_STORE * problem.filters * math.prod(problem.output_size)
        super().__init__(problem, cost, 0, ("phases", *pads), whole_images=False)
        self.step = problem.stride

    @property
    def how(self) -> str:
        return f"{math.prod(self.problem.stride)} phases, rows"

    def pack(self, weight: Array) -> Array:
        """Return the bank as one of a convolution, (K, C / groups, kd, kh, kw), flipped if asked."""
        problem = self.problem
        bank = _weights.bank_of(problem, weight)
        return _weights.copy(bank[:, :, ::-1, ::-1, ::-1] if problem.flip else bank, problem.accumulator)

    def run(
        self,
        images: Array,
        packed: Array,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> None:
        axes = [list(axis_phases(self.problem, axis, pads[axis])) for axis in range(3)]
        for phases in product(*axes):
            z, y, x = (slice(p.offset, None, s) for p, s in zip(phases, self.problem.stride, strict=True))
            target = maps[:, :, z, y, x]
            if target.size:
                result = _core.empty(target.shape, target.dtype)
                self._run_phase(images, packed, bias, result, phases, threads)
                target[...] = result

    def _run_phase(
        self, images: Array, bank: Array, bias: Array | None, maps: Array, phases: tuple[AxisPhase, ...], threads: int
    ) -> None:
        # A pad that is negative crops the input; without taps, any tap and an input without pixels make no products.
        z, y, x = (slice(max(0, -p.pad), None if p.tap_count else 0) for p in phases)
        images = images[:, :, z, y, x]
        z, y, x = (p.taps if p.tap_count else slice(0, 1) for p in phases)
        weight = bank[:, :, z, y, x]
        _, _, _, groups, mode, activation = self.problem.window
        window = (weight.shape[2:], (1, 1, 1), tuple(p.dilation for p in phases), groups, mode, activation)
        pads = [max(0, p.pad) for p in phases]
        layout = _core.direct_layout(window, weight.shape, weight.dtype)
        _core.convolve_direct(images, weight, bias, maps, pads, layout, threads)


def axis_phases(problem: Problem, axis: int, pad: int) -> Iterator[AxisPhase]:
    """Yield the phases of an axis."""
    stride, dilation, taps = problem.stride[axis], problem.dilation[axis], problem.kernel[axis]
    divisor = math.gcd(stride, dilation)
    for offset in range(stride):
        read = [t for t in range(taps) if (offset + pad - t * dilation) % stride == 0]
        if not read:
            yield AxisPhase(offset, slice(0, 0), 0, 1, 0)
            continue
        first, last = read[0], read[-1]
        period = stride // divisor
        turned = slice(last, first - 1 if first else None, -period)
        yield AxisPhase(offset, turned, len(read), dilation // divisor, -((offset + pad - last * dilation) // stride))


def choose(problem: Problem, budget: float) -> Phases:
    """Return the loops over phases."""
    return Phases(problem)
