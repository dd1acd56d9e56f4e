"""Sweeps: direct summation with filters of a single channel (gray images, depthwise), down the rows of the image.

Each row of the image is loaded once for all output rows that use it. Lanes are neighbouring pixels; or, for maps so
small that this would waste lanes, channels: a stack of as many channels as fill a vector is interleaved and swept at
once.
"""

from __future__ import annotations

import math

from fastconv import _core, _weights
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import CONFLICT_BYTES, CoreLayout, cost_lanes, direct, lanes, total, used_fraction, where

NAME = direct.NAME
DOMAIN = "it takes float32 and float64, and filters of one channel"

MAX_FILTERS = 4  # per channel: for more, tiles read the image less often
MAX_TAPS_HIGHEST = 64  # taps summed in one chain with precision "highest"
STRIP_BYTES = 2**15  # bytes of the rows that a sweep reads: about the first-level cache
STACK_BYTES = 2**18  # bytes of a strip of a stack: part of the second-level cache
UNIT_PRODUCTS = 2**18  # products of a unit of work, about
MAX_MASKS = 2**18  # edge masks of sweeps that read the image in place; beyond, rows are padded in a strip
SWEEP_ROWS, TALL_SWEEP_ROWS = 4, 6  # rows that most sweeps compute at a time, for kernels of up to 7 rows and others
PAIR_STEPS = 4  # times these in a strip of complex numbers, at least: rows that strips share are turned for each
MIN_STACK_HEIGHTS = 2  # heights of a kernel that a strip of a stack must hold

# Costs, for `total`.
COSTS = {
    "call": 2.8e5,
    "group": 2e3,
    "number": 16.0,  # of the image
    "product": 1.3,  # those of lanes that are not used included
    "strided product": 0.35,  # in addition, with a stride of 2 along the rows
    "output vector": 5.0,  # per output, those of lanes that are not used included
    "row": 200.0,  # of a map
    "row tap": 20.0,  # per tap and row of a map
    "strip row": 600.0,  # per row of a padded strip
    "strip": 7.0,  # per number of it
}

# Costs by which stacks are chosen, of a vector of sums, in multiply-adds of vectors; measured on AVX-512 and AVX2.
SWEEP_PRODUCT, SWEEP_STORE = 1.2, 5
STRIDED_FACTOR = 1.9  # for a column stride of 2
DEALT_FACTOR = 1.6  # likewise, where micro-kernels deal the pixels of a row once: on AVX-512, for these kernels
DEALT_KERNELS = (3, 3), (5, 5)
MAP_OVERHEAD = 120  # per map, for the ends of its rows
STACK_STORE = 5
INTERLEAVE_PIXEL = 8  # per pixel of a stack; twice that where channels evict each other
SPILLED_PRODUCT = 1.1  # per product of a stack where its sums exceed 16 registers


class Sweep(CoreLayout):
    """Sweeps of pixels or of stacks, for maps of one size; row_bytes: of a row of the image with its padding."""

    name = NAME

    def __init__(self, problem: Problem, map_size: Triple, row_bytes: int, nontemporal: bool = False) -> None:
        stack = _stack_layout(problem, map_size, row_bytes)
        core, how = stack or pixel_layout(problem, map_size, row_bytes, nontemporal)
        self.counts = counts(problem)
        super().__init__(problem, total(COSTS, self.counts), core, how, ("sweep",))
        self.call_layout, self._is_stack = core, stack is not None
        self.raw_weights = not problem.flip and (not problem.exchanged or problem.group_size == (1, 1))

    def pack(self, weight: Array) -> Array:
        return _weights.plain_filters(self.problem, weight).reshape(-1)

    def block(self, size: Triple) -> Sweep:
        problem = self.problem
        columns = size[2] * problem.stride[2] + problem.kernel[2]
        return Sweep(problem, size, columns * problem.accumulator.itemsize)  # converted next: not nontemporal

    def strip(self, size: Triple, stays_cached: bool) -> Sweep:
        return Sweep(self.problem, size, row_bytes(self.problem), self.problem.bypasses_cache and not stays_cached)

    def sweeps(self, size: Triple) -> tuple[tuple[_core.SweepLayout, ...], int] | None:
        if self._is_stack:
            return None
        core = _layout_of_strips(self.problem.of_group(size), size, size[1])
        return (core,), core.workspace

    def of_longer_rows(self, problem: Problem) -> Sweep:
        return Sweep(problem, problem.output_size, row_bytes(problem), problem.bypasses_cache)


def row_bytes(problem: Problem) -> int:
    """Return the bytes of a row of an image with its padding."""
    return (problem.size[2] + 2 * problem.pad[2]) * problem.accumulator.itemsize


def counts(problem: Problem) -> dict[str, float]:
    """Return how often each of COSTS is paid for one image, with pixels in the lanes."""
    width, stride = cost_lanes(problem), problem.stride
    rows = problem.output_size[0] * problem.output_size[1] * problem.filters
    numbers = rows * math.ceil(problem.output_size[2] / width) * width
    some = {
        "call": 1.0,
        "group": problem.groups * problem.output_size[0],
        "number": problem.channels * math.prod(problem.size),
        "product": numbers * problem.taps,
        "strided product": numbers * problem.taps if stride[2] == 2 else 0,
        "output vector": numbers,
        "row": rows,
        "row tap": rows * problem.taps,
    }
    if not reads_in_place(problem, width):
        lines = problem.groups * problem.output_size[0] * problem.output_size[1] * min(stride[1], problem.kernel[1])
        some |= {"strip row": lines, "strip": lines * (problem.size[2] + 2 * problem.pad[2])}
    return some


def reads_in_place(problem: Problem, width: int) -> bool:
    """Return whether rows are read from the image, rather than padded in a strip, on vectors of so many numbers."""
    masked_vectors = 2 * (problem.kernel[2] * problem.dilation[2] // width + 2)  # at both ends of a row
    in_order = problem.stride[2] == 1 or (problem.stride[2] == 2 and problem.dilation[2] == 1)
    return in_order and masked_vectors * problem.kernel[2] <= MAX_MASKS


def suits(problem: Problem) -> bool:
    """Return whether sweeps rather than tiles compute the direct summation."""
    return (
        problem.channels // problem.groups * problem.kernel[0] == 1
        and problem.filters // problem.groups <= MAX_FILTERS
        and problem.taps > 1
        and (problem.precision == "default" or problem.taps <= MAX_TAPS_HIGHEST)
    )


def choose(problem: Problem, budget: float) -> Sweep | None:
    """Return sweeps for a few filters of one channel."""
    if problem.accumulator.kind != "f" or not suits(problem):
        return None
    return Sweep(problem, problem.output_size, row_bytes(problem), problem.bypasses_cache)


def pixel_layout(
    problem: Problem, map_size: Triple, row_bytes: int, nontemporal: bool, *, pairs: bool = False
) -> tuple[_core.Layout, str]:
    """Return sweeps with pixels in the lanes, and their description; pairs: rows are of complex numbers, part by part."""
    step = SWEEP_ROWS if problem.kernel[1] <= 7 else TALL_SWEEP_ROWS
    step *= min(8, problem.dilation[1] // math.gcd(problem.dilation[1], problem.stride[1]))
    steps = max(PAIR_STEPS if pairs else 1, round(STRIP_BYTES / (row_bytes * problem.stride[1] * step)))
    strip_rows = min(map_size[1], steps * step)
    layout = _layout_of_strips(problem, map_size, strip_rows, nontemporal, pairs)
    return layout, f"sweeps down {where(reads_in_place(problem, lanes(problem)), strip_rows)}"


def _layout_of_strips(
    problem: Problem, map_size: Triple, strip_rows: int, nontemporal: bool = False, pairs: bool = False
) -> _core.SweepLayout:
    """Return sweeps with pixels in the lanes, over strips of so many rows."""
    in_place = reads_in_place(problem, lanes(problem))
    return _core.sweep_layout(
        map_size,
        problem.window,
        problem.filters // problem.groups,
        problem.bits,
        strip_rows,
        in_place=in_place,
        parts=_parts(problem, strip_rows * map_size[2]),
        nontemporal=nontemporal,
        zero_rows=in_place and problem.padding_mode == "zeros" and not all(map(problem.stays_inside, (0, 1))),
        borders=problem.padding_mode != "zeros" and not problem.stays_inside(2),
        pairs=pairs,
        channels=problem.channels // problem.groups,
    )


def _stack_layout(problem: Problem, map_size: Triple, row_bytes: int) -> tuple[_core.Layout, str] | None:
    """Return sweeps with channels in the lanes, and their description; None if interleaving costs more than wasted lanes."""
    _, rows, columns = map_size
    stride, width = problem.stride[2], lanes(problem)
    strip_rows = STACK_BYTES // (row_bytes * width * problem.stride[1])
    if strip_rows < MIN_STACK_HEIGHTS * problem.kernel[1]:
        return None
    if problem.padding_mode != "zeros" or problem.dilation[2] > 1 or (problem.kernel[2], stride) not in _core.STACKS:
        return None
    isa = _core.current_isa()[0]
    is_dealt = isa == "avx512" and problem.stride[1] == 2 and problem.kernel[1:] in DEALT_KERNELS
    sweep = SWEEP_PRODUCT * problem.taps + SWEEP_STORE
    sweep *= 1.0 if stride == 1 else DEALT_FACTOR if is_dealt else STRIDED_FACTOR
    sweep = sweep / used_fraction(columns, width) + MAP_OVERHEAD * width / (rows * columns)
    evicted = math.prod(problem.size[1:]) * problem.accumulator.itemsize % CONFLICT_BYTES == 0
    interleave = INTERLEAVE_PIXEL * problem.stride[1] * stride * (2 if evicted else 1)
    product = 1.0 if isa in ("avx512", "neon") else SPILLED_PRODUCT
    stack = (product * problem.taps + STACK_STORE + interleave) / used_fraction(problem.groups, width)
    if sweep <= stack:
        return None
    strip_rows = min(rows, strip_rows)
    layout = _core.stack_layout(
        map_size,
        problem.window,
        problem.filters // problem.groups,
        problem.bits,
        strip_rows,
        parts=_parts(problem, strip_rows * columns),
    )
    return layout, f"sweeps down stacks of channels, {where(False, strip_rows)}"


def _parts(problem: Problem, pixels: int) -> int:
    """Return into how many units of work to split the groups, for so many pixels of their maps."""
    return min(problem.groups, -(-problem.filters * problem.taps * pixels // UNIT_PRODUCTS))
