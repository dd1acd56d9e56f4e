"""Register tiles of bytes: exact sums of products of 8-bit integers, several channels at a time.

Pixels of neighbouring channels lie side by side in numbers of 32 bits, four bytes where the machine multiplies bytes, else
two integers of 16 bits; with fewer channels of numbers, all else is as in tiles.py, with filters in the lanes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core, _weights
from fastconv._arrays import Room
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import CoreLayout, direct, tiles, where

NAME = direct.NAME
DOMAIN = "it takes images and weights of 8 bits"

CHUNK_NUMBERS = 640  # of a filter that are summed before the next ones: those of a block stay in the second-level cache
BLOCK_TILES = 16  # register tiles computed in turn with one block of filters: their sums stay in the first-level cache
# How many products of float32 take as long as one number's, about, whatever it holds: measured on AVX-512 and AVX2.
NUMBER_PRODUCTS = {4: 1.1, 2: 1.4}


class Requantization(NamedTuple):
    """How sums become bytes."""

    multipliers: Array  # (K,), float32
    zero: int  # the zero point
    dtype: np.dtype[Any]

    @property
    def is_signed(self) -> bool:
        return self.dtype.kind == "i"


class ByteTiles(CoreLayout):
    """Tiles of bytes for maps of one size, strip by strip."""

    name = NAME
    any_weights = False  # folded ones may be larger

    def __init__(
        self,
        problem: Problem,
        map_size: Triple,
        *,
        in_place: bool,
        flat: bool,
        strip_rows: int,
        output: Requantization | None = None,
    ) -> None:
        held, tiles_signed, _ = _core.byte_format()
        self._held, self._is_signed = held, problem.pixels is not None and problem.pixels.kind == "i"
        channels, filters = problem.group_size
        self._numbers = math.ceil(channels / held)
        taps = self._numbers * math.prod(problem.kernel)
        # Bytes of the other kind are flipped in their highest bit; zeros of a strip's padding become the zero point.
        flip = 128 if self._is_signed != tiles_signed else 0
        bits = 0 if held == 2 or in_place else problem.zero % 256 ^ flip
        self._change = problem.zero if held == 2 else flip ^ bits
        core = _core.tile_layout(
            map_size,
            problem.window,
            self._numbers,
            filters,
            problem.bits,
            strip_rows,
            by_filters=True,
            packed=True,
            im2col=False,
            in_place=in_place,
            chunk=math.ceil(taps / math.ceil(taps / CHUNK_NUMBERS)),
            block_tiles=BLOCK_TILES,
            prefetch_maps=False,
            requantized=None if output is None else (output.zero, output.is_signed),
            flip=bits * 0x1010101,
        )
        how = f"{held} channels in a number, {where(in_place, strip_rows)}"
        super().__init__(problem, cost(problem), core, how, ("bytes", held, self._is_signed, problem.zero))
        self.contiguous_axes, self._flat, self._strip_rows, self._output = 3 if flat else 1, flat, strip_rows, output
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
        _core.pack_pixels(images, numbers, groups, self._change, self._is_signed, self._core_layout)
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
            images, maps = images.reshape(*images.shape[:2], 1, -1, 1), maps.reshape(*maps.shape[:2], 1, -1, 1)
        offset = offset if bias is None else offset + bias
        _core.convolve(images, weights, offset, maps, pads, self._core_layout, threads)

    def block(self, size: Triple) -> ByteTiles:
        return ByteTiles(self.problem, size, in_place=False, flat=False, strip_rows=min(size[1], self._strip_rows))


def cost(problem: Problem) -> float:
    """Return the cost of one image, in products of float32."""
    held = _core.byte_format()[0]
    channels, filters = problem.group_size
    numbers = math.ceil(channels / held) * math.prod(problem.kernel) * problem.groups * math.ceil(filters / 8) * 8
    return math.prod(problem.output_size) * (NUMBER_PRODUCTS[held] * numbers + direct.STORE * problem.filters)


def suits(problem: Problem) -> bool:
    """Return whether tiles of bytes are faster than those of float32, where the machine has any."""
    return _core.byte_format()[0] > 0 and cost(problem) < direct.cost(problem) / direct.PRODUCT


def choose(problem: Problem, budget: float, output: Requantization | None = None) -> ByteTiles | None:
    """Return the layout, with strips that fit the cache, for images of bytes that are to be summed so."""
    if problem.pixels is None or problem.transposed or not _core.byte_format()[0]:
        return None
    flat = problem.is_pointwise
    map_size = (1, math.prod(problem.output_size), 1) if flat else problem.output_size
    in_place = all(problem.stays_inside(axis) for axis in range(3))
    numbers = math.ceil(problem.group_size[0] / _core.byte_format()[0]) * problem.kernel[0]
    row_bytes = 4 * numbers * (problem.size[2] + 2 * problem.pad[2]) * problem.stride[1]
    rows = max(1, min(map_size[1], map_size[1] if in_place else tiles.STRIP_BYTES // row_bytes))
    return ByteTiles(problem, map_size, in_place=in_place, flat=flat, strip_rows=rows, output=output)
