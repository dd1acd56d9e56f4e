"""Winograd's forms for transposed convolutions with a stride: every phase of the outputs is a convolution without stride.

Along an axis of stride s, m inputs of a tile make s * m neighbouring outputs, m in each phase by F(m, r), where the
kernel has r taps for this phase: one more for some phases than for others, if the stride does not divide it. Phases with
as many taps share the transformed tile.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from fastconv._problem import Problem
from fastconv.algorithms import winograd
from fastconv.algorithms.winograd import BLOCK_TILES, MARGIN, TRANSFORM, Phases, Split, Variant
from fastconv.algorithms.winograd_forms import Form, form

NAME = winograd.NAME
DOMAIN = (
    "it takes float32 or float64, and kernels of depth 1, without dilation, that are longer than the stride in rows or "
    "columns, up to five times as long, and nowhere shorter"
)

# taps r of a phase -> {m: error of F(m, r) relative to direct summation, as measured}
ERROR_GROWTH = {
    1: {1: 1.0},
    2: {4: 1.5, 3: 1.2, 2: 1.1},
    **{taps: known for (taps, stride), known in winograd.ERROR_GROWTH.items() if stride == 1 and taps > 1},
}

# Costs as in direct.py; the others are those of winograd.py.
PRODUCT = 1.1  # per product
FETCH = 48.0  # per transformed weight and block, divided by the tiles of a block, whose products hide it

BLOCK_BYTES = 2**20  # of transformed tiles, at most: sums of all phases share the second-level cache with them


class TransposedWinograd(winograd.Winograd):
    """A form for each phase of rows and columns."""

    def __init__(self, problem: Problem, variant: Variant, cost: float) -> None:
        self._phases = _phases(problem, variant.forms)
        super().__init__(problem, variant, cost, error_growth(variant.forms), self._phases)
        self._numbers_per_product = _positions(self._phases) / _products(self._phases)

    @property
    def how(self) -> str:
        y, x = self._variant.forms
        phases = "x".join(str(len(forms)) for forms in self._phases)
        return (
            f"F({y.outputs}, {y.taps}) x F({x.outputs}, {x.taps}), {phases} phases, "
            f"blocks of {self._variant.tile_rows}x{self._variant.tile_columns} tiles"
        )

    @property
    def products(self) -> float:
        outputs = math.prod(len(forms) * forms[0].outputs for forms in self._phases)
        return _products(self._phases) / outputs * self.problem.group_size[0]

    def unpacked(self) -> None:
        return None  # units share the filters of all phases

    def _tiles(self, problem: Problem) -> tuple[int, int]:
        return _tiles(problem, self._variant.forms)


def choose(problem: Problem, budget: float) -> TransposedWinograd | None:
    """Return the cheapest variant that is accurate enough."""
    if problem.accumulator.kind != "f" or problem.precision == "highest":
        return None
    if problem.kernel[0] > 1 or problem.stride[0] > 1 or not problem.products:
        return None
    best, lowest = None, MARGIN * budget
    for variant in _variants(problem):
        if (expected := cost(problem, variant)) < lowest:
            best, lowest = variant, expected
    return TransposedWinograd(problem, best, lowest) if best else None


def _variants(problem: Problem) -> Iterator[Variant]:
    """Yield the variants that are accurate enough; `forms` are those of the last phases, which have the most taps."""
    for y, x in itertools.product(_axis_forms(problem, 1), _axis_forms(problem, 2)):
        if error_growth((y, x)) <= winograd.MAX_ERROR_GROWTH and max(y.taps, x.taps) > 1:
            yield Variant((y, x), (Split(), Split()), False, *_block(problem, (y, x)))


def _axis_forms(problem: Problem, axis: int) -> Iterator[Form]:
    """Yield the forms of the last phase of an axis, if there are forms of as many outputs for the other phases, too."""
    taps, stride = problem.kernel[axis], problem.stride[axis]
    if taps >= stride and (taps == 1 or problem.dilation[axis] == 1):
        longest = -(-taps // stride)
        for outputs in ERROR_GROWTH.get(longest, {}):
            if taps // stride in (1, longest) or outputs in ERROR_GROWTH[taps // stride]:
                yield form(outputs, longest)


def _phases(problem: Problem, forms: tuple[Form, Form]) -> Phases:
    """Return the forms of all phases of rows and columns, in the order of a tile's outputs: the fewest taps first.

    `forms` are those of the last phases.
    """
    rows, columns = (
        tuple(form(last.outputs, (taps + phase) // stride) for phase in range(stride))
        for last, taps, stride in zip(forms, problem.kernel[1:], problem.stride[1:], strict=True)
    )
    return rows, columns


def _positions(phases: Phases) -> int:
    """Return how many numbers a transformed tile has: phases with as many taps share those of their form."""
    return math.prod(sum({form.taps: form.positions for form in forms}.values()) for forms in phases)


def _products(phases: Phases) -> int:
    """Return how many products a tile has for each channel and filter."""
    return math.prod(sum(form.positions for form in forms) for forms in phases)


def error_growth(forms: tuple[Form, Form]) -> float:
    """Return the expected error relative to direct summation, in the phases with the most taps."""
    return math.prod(ERROR_GROWTH[form.taps][form.outputs] for form in forms)


def cost(problem: Problem, variant: Variant) -> float:
    """Return the cost of one image."""
    phases = _phases(problem, variant.forms)
    channels, filters = problem.group_size
    lanes = winograd.whole_vectors(filters)
    weights = channels * lanes * math.prod(sum(len(form.G) for form in forms) for forms in phases)
    tiles = math.prod(_tiles(problem, variant.forms))
    blocks = -(-tiles // (variant.tile_rows * variant.tile_columns))
    tile_cost = _products(phases) * lanes * (PRODUCT * channels + TRANSFORM) + _positions(phases) * TRANSFORM * channels
    memory = FETCH * weights * blocks * blocks / tiles
    return problem.groups * problem.output_size[0] * (tiles * tile_cost + memory)


def _tiles(problem: Problem, forms: tuple[Form, Form]) -> tuple[int, int]:
    """Return the rows and columns of tiles; the first ones may begin in front of the map."""
    rows, columns = (
        -(-(size + (pad - taps) % stride) // (last.outputs * stride))
        for size, pad, taps, stride, last in zip(
            problem.output_size[1:], problem.pad[1:], problem.kernel[1:], problem.stride[1:], forms, strict=True
        )
    )
    return rows, columns


def _block(problem: Problem, forms: tuple[Form, Form]) -> tuple[int, int]:
    """Return the rows and columns of tiles in a block that fits the cache."""
    numbers = _positions(_phases(problem, forms)) * problem.group_size[0]
    max_tiles = max(1, min(BLOCK_TILES, BLOCK_BYTES // (numbers * problem.accumulator.itemsize)))
    return winograd.even_blocks(*_tiles(problem, forms), max_tiles, max_tiles)
