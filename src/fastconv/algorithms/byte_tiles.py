"""Register tiles of bytes: exact sums of products of 8-bit integers, several channels at a time.

Pixels of neighbouring channels lie side by side in numbers of 32 bits, four bytes where the machine multiplies bytes, else
two integers of 16 bits; with fewer channels of numbers, all else is as in tiles.py, with pixels in the lanes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core, _weights
from fastconv._arrays import Room
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import CoreLayout, direct, tiles, used_fraction, where

NAME = direct.NAME
DOMAIN = "it takes images and weights of 8 bits"

SUMS_BYTES = 2**18  # bytes of the sums of a unit, to be requantized while they are in the second-level cache
# How many products of float32 take as long as one number's, about, whatever it holds: measured on AVX-512 and AVX2.
NUMBER_PRODUCTS = {4: 1.1, 2: 1.4}


class Requantization(NamedTuple):
    """How sums become bytes."""

    multipliers: Array  # (K,), float32
    zero: int  # the zero point
    dtype: np.dtype[Any]

    @property
    def limits(self) -> tuple[int, int]:
        """The range of the bytes."""
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)


class ByteTiles(CoreLayout):
    """Tiles of bytes for maps of one size, strip by strip."""

    name = NAME
    any_weights = False  # folded ones may be larger

    def __init__(
        self,
        problem: Problem,
        map_size: Triple,
        *,
        flat: bool,
        im2col: bool,
        strip_rows: int,
        output: Requantization | None = None,
    ) -> None:
        held, tiles_signed, _ = _core.byte_format()
        self._held, self._is_signed = held, problem.pixels is not None and problem.pixels.kind == "i"
        channels, filters = problem.group_size
        self._numbers = math.ceil(channels / held)
        taps = self._numbers * math.prod(problem.kernel)
        zero = problem.zero % 256
        core = _core.tile_layout(
            map_size,
            problem.window,
            self._numbers,
            filters,
            problem.bits,
            strip_rows,
            by_filters=False,
            packed=True,
            im2col=im2col,
            in_place=flat,
            chunk=tiles.CHUNK_TAPS,
            # As for floats: a later chunk would add to the same pixels twice.
            block_tiles=tiles.BLOCK_TILES if im2col or taps <= tiles.CHUNK_TAPS else 1,
            prefetch_maps=tiles.prefetches_maps(problem, map_size),
            requantized=None if output is None else (output.zero, *output.limits),
            flip=(zero ^ (128 if self._is_signed != tiles_signed else 0)) * 0x1010101,
        )
        how = f"{held} channels in a number, {where(flat, strip_rows)}{', panels' if im2col else ''}"
        super().__init__(problem, cost(problem), core, how, ("bytes", held, self._is_signed, problem.zero))
        self.contiguous_axes, self._flat, self._output = 3 if flat else 1, flat, output
        # What bytes of tiles exceed pixels by; pairs are made of pixels less the zero point.
        self._excess = 0 if held == 2 else problem.zero + (self._is_signed - tiles_signed) * 128

    def pack(self, weight: Array) -> tuple[Array, Array] | None:
        """Return packed weights, and the biases that make good what bytes of pixels differ from pixels."""
        problem, held = self.problem, self._held
        lowest, highest = int(weight.min()), int(weight.max())
        dtype = np.dtype(
            np.int8 if lowest >= -128 and highest < 128 else np.uint8 if lowest >= 0 and highest < 256 else np.int16
        )
        if held == 4 and dtype != np.int8:
            return None
        filters = _weights.bank_of(problem, weight)
        filters = filters[:, :, ::-1, ::-1, ::-1] if problem.flip else filters

        def numbers(first: int, last: int) -> Array:
            bank = filters[first:last]
            room = np.zeros((len(bank), self._numbers * held, *problem.kernel), dtype)
            room[:, : bank.shape[1]] = bank
            packed = np.empty((len(bank), self._numbers, *problem.kernel), np.int32)
            if dtype.itemsize == 1:
                _core.pack_pixels(room, packed, 1, 0, dtype.kind == "i", self._core_layout)
            else:
                packed[...] = room[:, ::2].view(np.uint16) | room[:, 1::2].astype(np.int32) << 16
            return packed

        packed = _weights.pack(problem, self._core_layout, _core.pack_tiles, numbers)
        if self._output is not None:
            packed = np.concatenate([packed, self._output.multipliers.view(np.int32)])
        if not self._excess:
            return packed, np.zeros(problem.filters, np.int32)
        sums = filters.reshape(problem.filters, -1).sum(axis=1, dtype=np.int64)
        return packed, (-self._excess * sums).astype(np.int32)

    def load(self, images: Array, room: Room) -> Array:
        """Return bytes (N, C, D, H, W) as numbers."""
        groups = self.problem.groups
        numbers = room.array((len(images), groups * self._numbers, *images.shape[2:]), self.problem.accumulator)
        _core.pack_pixels(images, numbers, groups, self.problem.zero, self._is_signed, self._core_layout)
        return numbers

    def run(
        self,
        images: Array,
        packed: Any,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> None:
        assert residual is None, "residuals are of floats"
        weights, offset = packed
        if self._flat:
            images, maps = (array.reshape(*array.shape[:2], 1, -1, 1) for array in (images, maps))
        offset = offset if bias is None else offset + bias
        _core.convolve(images, weights, offset, maps, pads, self._core_layout, threads)

    def block(self, size: Triple) -> ByteTiles:
        return ByteTiles(self.problem, size, flat=False, im2col=True, strip_rows=size[1])


def cost(problem: Problem) -> float:
    """Return the cost of one image, in products of float32."""
    held = _core.byte_format()[0]
    channels, filters = problem.group_size
    numbers = math.ceil(channels / held) * math.prod(problem.kernel) * problem.groups * math.ceil(filters / 8) * 8
    return math.prod(problem.output_size) * (NUMBER_PRODUCTS[held] * numbers + direct.STORE * problem.filters)


def suits(problem: Problem) -> bool:
    """Return whether tiles of bytes are faster than those of float32, where the machine has any."""
    return _core.byte_format()[0] > 0 and cost(problem) < direct.cost(problem) / direct.PRODUCT


def choose(problem: Problem, reuse: bool, budget: float, output: Requantization | None = None) -> ByteTiles | None:
    """Return the layout, with strips that fit the cache, for images of bytes that are to be summed so."""
    if problem.pixels is None or problem.transposed or not _core.byte_format()[0]:
        return None
    held, _, width = _core.byte_format()
    channels, filters = problem.group_size
    flat = problem.is_pointwise and math.prod(problem.output_size) >= width
    map_size = (1, math.prod(problem.output_size), 1) if flat else problem.output_size
    _, rows, columns = map_size
    im2col = not flat and (columns < width or used_fraction(columns, width) * (1 + 3 / filters) < 1)
    row_bytes = 4 * math.ceil(channels / held)
    if not flat:
        row_bytes *= problem.kernel[0] * (problem.size[2] + 2 * problem.pad[2])
    phases = [min(step, taps) for step, taps in zip(problem.stride[1:], problem.kernel[1:], strict=True)]
    strip_rows = (tiles.PACKED_STRIP_BYTES if im2col else tiles.STRIP_BYTES) // row_bytes
    strip_rows = strip_rows * problem.stride[2] // math.prod(phases)
    if flat:
        strip_rows = max(24 * width, tiles.IN_PLACE_PRODUCTS // (problem.taps * filters))
    if output is not None:
        strip_rows = min(strip_rows, SUMS_BYTES // (4 * filters * columns))
    strip_rows = max(1, min(rows, strip_rows))
    return ByteTiles(problem, map_size, flat=flat, im2col=im2col, strip_rows=strip_rows, output=output)
