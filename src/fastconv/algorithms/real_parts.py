"""Complex convolution as one of real numbers, of twice the channels and filters, by the cheapest of the other algorithms.

Filters of one channel read the parts as they lie, in pairs: rows of real numbers, twice as long.

    real part: sum of Re w Re x - Im w Im x        imaginary part: sum of Im w Re x + Re w Im x

A channel becomes two neighbouring ones, its parts, and so do filters. Where all weights are real, the parts of an image are
two images; where the image is real, it has one part. What is not there counts as zero, and infinity times zero is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from fastconv import _blocks, _weights
from fastconv._arrays import Room, load, store, take
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import CoreLayout, Layout, cheapest, direct, fft, sweep, tiles, total, winograd

NAME = direct.NAME  # for complex numbers, algorithm="direct" means direct summation of the parts
ORDER = (sweep, tiles, winograd, fft)
# Complex products of an image: for fewer, loops over complex numbers are faster
MIN_PRODUCTS = 2**18  # than taking numbers apart,
MIN_PAIR_PRODUCTS = 2**12  # than sweeps
FEWEST_LANES = 2  # of the vectors of any instruction set


class RealParts(Layout):
    """The parts of images, one image after another, convolved by other layouts, the first that accepts the weights."""

    any_arrays = True

    def __init__(self, problem: Problem, real: Problem, layouts: tuple[Layout, ...]) -> None:
        best = layouts[0]
        super().__init__(
            problem, best.cost, best.workspace, (NAME, *(one.packing for one in layouts)), whole_images=True
        )
        self.name, self.error, self._real, self._layouts = best.name, best.error, real, layouts
        self._kind, self.packed_bytes = problem.parts, best.packed_bytes
        depth, rows, columns = (math.lcm(*steps) for steps in zip(*(one.step for one in layouts), strict=True))
        self.step = depth, rows, columns

    @property
    def how(self) -> str:
        return f"real parts: {self._layouts[0].how}"

    @property
    def products(self) -> float:
        return self._layouts[0].products * self._real.filters / self.problem.filters

    def resized(self, problem: Problem) -> Layout:
        layout: Any = super().resized(problem)
        layout._real = _real_problem(problem)
        layout._layouts = tuple(one.resized(layout._real) for one in self._layouts)
        return cast(Layout, layout)

    def part(self, problem: Problem) -> RealParts:
        real = _real_problem(problem)
        return RealParts(problem, real, tuple(one.part(real) for one in self._layouts))

    def unpacked(self) -> RealParts | None:
        layouts = tuple(one.unpacked() or one for one in self._layouts)
        return None if layouts == self._layouts else RealParts(self.problem, self._real, layouts)

    def pack(self, weight: Array) -> tuple[Any, ...]:
        real, imaginary = weight_parts(self.problem, weight)
        if self._kind == "image":
            filters = real
        elif self._kind == "weight":
            filters = np.stack([real, imaginary], axis=1)
        else:
            rows = np.stack([real, -imaginary], axis=2), np.stack([imaginary, real], axis=2)
            filters = np.stack(rows, axis=1)  # (K, 2, C / groups, 2, kd, kh, kw)
        filters = np.ascontiguousarray(filters.reshape(self._real.weight_shape))
        for index, layout in enumerate(self._layouts):
            if (packed := layout.pack(filters)) is not None:
                return index, packed
        raise AssertionError("the last layout takes all weights")

    def run(
        self,
        images: Array,
        packed: tuple[Any, ...],
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> None:
        index, filters = packed
        layout, kind, offset = self._layouts[index], self._kind, None
        if kind == "image":
            offset, bias = bias, None
        elif bias is not None:
            bias = np.stack([bias.real, bias.imag], axis=1).reshape(-1)
        if images.dtype.kind != "c" and kind != "weight":
            images = images.astype(self.problem.accumulator)
        rooms, blocks = (Room(), Room()), None
        if not layout.any_arrays and self._real.border is None:
            _, layout, blocks = _blocks.cut(layout)
        for image, target in zip(images, maps, strict=True):
            if blocks is None:
                parts, sums = self._load(image, rooms[0]), self._room(target, rooms[1])
                _blocks.convolve(layout, parts, filters, bias, sums, threads)
                self._store(sums, offset, target)
                continue
            for outputs, pixels, before in blocks:
                parts, block = self._load(take(image, pixels), rooms[0]), target[(slice(None), *outputs)]
                sums = self._room(block, rooms[1])
                layout.run(parts, filters, bias, sums, before, threads)
                self._store(sums, offset, block)

    def _load(self, pixels: Array, room: Room) -> Array:
        """Return the parts of pixels (C, D, H, W) as images of the real problem."""
        parts = pixels[np.newaxis] if self._kind == "weight" else parts_of(pixels)  # (2, C, D, H, W)
        if self._kind == "both":
            parts = parts.swapaxes(0, 1)
        plain = room.array(parts.shape, self._real.accumulator)
        load(parts, plain)
        if self._kind == "image":
            keep_nonfinite(plain)
        return plain.reshape(*self._real.batch_shape, self._real.channels, *plain.shape[2:])

    def _room(self, maps: Array, room: Room) -> Array:
        """Return memory for the parts of maps (K, D', H', W') as maps of the real problem."""
        return room.array((*self._real.batch_shape, self._real.filters, *maps.shape[1:]), self._real.accumulator)

    def _store(self, sums: Array, offset: Array | None, maps: Array) -> None:
        """Put the parts of maps together, and add the biases that the sums do not have yet."""
        parts = parts_of(maps)
        if self._kind != "image":
            store(sums.reshape(-1, 2, *maps.shape[1:]), parts.swapaxes(0, 1))
            return
        if offset is not None:
            sums += np.stack([offset.real, offset.imag]).reshape(2, -1, 1, 1, 1)
        store(sums, parts)


class Pairs(CoreLayout):
    """Sweeps of one channel down rows of pairs, real and imaginary parts by turns; and of complex weights, down these times i."""

    name = NAME

    def __init__(self, problem: Problem, pairs: Problem, map_size: Triple, nontemporal: bool = False) -> None:
        depth, rows, columns = map_size
        size = depth, rows, 2 * columns
        core, how = sweep.pixel_layout(pairs, size, sweep.row_bytes(pairs), nontemporal, pairs=True)
        cost = total(sweep.COSTS, sweep.counts(pairs))
        super().__init__(problem, cost, core, f"pairs of parts: {how}", ("pairs", problem.parts))
        self._pairs = pairs

    @property
    def products(self) -> float:
        return 2.0 * self._pairs.taps

    def resized(self, problem: Problem) -> Layout:
        layout = _in_pairs(problem)  # whose border, if it has one, is that of rows of this length
        assert layout is not None
        return layout

    def pack(self, weight: Array) -> Array:
        parts = weight_parts(self.problem, weight)[: self._pairs.group_size[0]]
        return np.ascontiguousarray(parts.swapaxes(0, 1)).reshape(-1)

    def block(self, size: Triple) -> Pairs:
        return Pairs(self.problem, self._pairs, size)

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
        images, maps = (array.view(self._pairs.accumulator) for array in (images, maps))
        bias = None if bias is None else bias.view(self._pairs.accumulator)
        super().run(images, packed, bias, maps, (*pads[:2], 2 * pads[2]), threads)


def weight_parts(problem: Problem, weight: Array) -> Array:
    """Return real and imaginary parts of filters, (2, K, C / groups, kd, kh, kw)."""
    bank = _weights.plain_filters(problem, weight)
    parts = np.stack([bank.real, bank.imag])
    if not np.isfinite(bank).all():
        with np.errstate(all="ignore"):
            parts = parts + 0 * parts[::-1]
    return parts


def parts_of(array: Array) -> Array:
    """Return real and imaginary parts of complex numbers (C, D, H, W), as a view (2, C, D, H, W)."""
    real = array.real
    strides = (real.itemsize, *real.strides)
    return np.lib.stride_tricks.as_strided(real, (2, *real.shape), strides, writeable=array.flags.writeable)


def keep_nonfinite(parts: Array) -> None:
    """Make NaN of either part (2, ...) where the other one is not finite, as its product with zero is."""
    with np.errstate(all="ignore"):
        largest = np.abs(parts).max(initial=0)
        if not math.isfinite(largest):
            parts += 0 * parts[::-1]


def choose(problem: Problem, budget: float) -> RealParts | Pairs | None:
    """Return the layout of complex problems, unless they are small."""
    if problem.accumulator.kind != "c":
        return None
    products = problem.products // max(1, math.prod(problem.batch_shape))
    if problem.border is not None and any(problem.border.values) and problem.parts == "image":
        problem = problem._replace(parts="both")  # whose parts have borders of their own
    pairs = _in_pairs(problem) if products >= MIN_PAIR_PRODUCTS else None
    if products < MIN_PRODUCTS:
        return pairs
    real = _real_problem(problem)
    layouts = cheapest(ORDER, real)
    if pairs is not None and not (layouts and layouts[0].cost * real.batch_shape[0] < pairs.cost):
        return pairs
    return RealParts(problem, real, layouts) if layouts else None


def _in_pairs(problem: Problem) -> Pairs | None:
    """Return sweeps of pairs; None if they do not suit."""
    if problem.parts == "weight" or not sweep.suits(problem):
        return None
    if problem.padding_mode != "zeros" and not problem.stays_inside(2):
        problem = problem._replace(padding_mode="zeros", border=problem.surroundings).padded
    pairs = problem.interleaved(2)
    if pairs is None:
        return None
    pairs = pairs._replace(
        channels=(2 if problem.parts == "both" else 1) * problem.channels, accumulator=_real_dtype(problem), border=None
    )
    if not sweep.reads_in_place(pairs, FEWEST_LANES) or (
        problem.precision != "default" and pairs.taps > sweep.MAX_TAPS_HIGHEST
    ):
        return None
    return Pairs(problem, pairs, problem.output_size, pairs.bypasses_cache)


def _real_dtype(problem: Problem) -> np.dtype[Any]:
    return np.dtype(np.float32 if problem.accumulator == np.complex64 else np.float64)


def _real_problem(problem: Problem) -> Problem:
    """Return the problem of the parts of one image."""
    of_image, of_filters = (1, 1) if problem.parts == "image" else (1, 2) if problem.parts == "weight" else (2, 2)
    dtype = _real_dtype(problem)
    border = problem.border
    if border is not None:
        values = [(value.real, value.imag) for value in map(complex, border.values)]
        if problem.parts == "both":
            values = values * (1 if len(values) > 1 else problem.channels)
            border = border._replace(values=tuple(part for value in values for part in value))
        else:
            border = border._replace(values=tuple(real for real, _ in values))
    batch = 2 if problem.parts == "image" else 1
    filters = of_filters * problem.filters
    return problem._replace(
        output_shape=(batch, filters, *problem.output_size),
        batch_shape=(batch,),
        channels=of_image * problem.channels,
        filters=filters,
        flip=False,
        exchanged=False,
        algorithm="auto" if problem.algorithm == "auto" else "direct",
        dtype=dtype,
        accumulator=dtype,
        border=border,
        channels_last=0,
    )
