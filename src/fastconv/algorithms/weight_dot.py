"""Weight gradients by dot products of rows as they lie in memory: few channels and filters; lanes are pixels.

Of kernels of a single channel, a stack of as many maps as there are partial sums is interleaved: lanes are channels.
"""

from __future__ import annotations

import math

from fastconv import _core
from fastconv._problem import Problem
from fastconv.algorithms import cost_lanes, direct
from fastconv.algorithms.weight_direct import (
    MAX_STRIP_BYTES,
    CoreGradient,
    chunk_pixels,
    chunk_size,
    strip_cost,
    strip_numbers,
)

NAME = direct.NAME

CHUNK_PIXELS = 4096  # pixels summed by themselves
STACK_PIXELS = 512  # the same, of each map of a stack
MAX_SUMS_BYTES = 2**20  # bytes of the partial sums of a group
PARTIAL_SUMS = 16  # of every weight, whatever a vector holds

# Costs in multiply-adds of vectors, measured on AVX2.
PRODUCT, LOAD = 0.95, 1.3  # per product, and per vector that is loaded for it, if there are more loads than products
TILE_GRADIENTS, TILE_PIXELS = 3, 4  # rows of a tile of dot products
TILE = 100.0  # per tile and plane: its sums are added to those before
INTERLEAVE = 1.2  # per number of a stack: its share of a transposed square


def choose(forward: Problem, budget: float) -> CoreGradient | None:
    """Return dot products, if there are few of them in a group; None where strips would be too large."""
    channels, filters = forward.group_size
    sums = filters * forward.taps * PARTIAL_SUMS * forward.accumulator.itemsize
    if forward.accumulator.kind != "f" or sums > MAX_SUMS_BYTES:
        return None
    in_place = all(forward.stays_inside(axis) for axis in range(3)) and forward.stride[2] == 1
    expected, stacked = _cost(forward, in_place), _stack_cost(forward) if channels == 1 else math.inf
    stacks = stacked < expected
    in_place &= not stacks
    pixels = chunk_pixels(forward, STACK_PIXELS if stacks else CHUNK_PIXELS)
    strip = 0 if in_place else strip_numbers(forward, pixels) * forward.accumulator.itemsize
    strip *= PARTIAL_SUMS if stacks else channels
    if strip > MAX_STRIP_BYTES or min(expected, stacked) > budget:
        return None
    core = _core.weight_dot_layout(
        forward.window, channels, filters, forward.bits, chunk=pixels, in_place=in_place, stacks=stacks
    )
    how = f"{'channels' if stacks else 'pixels'} in the lanes, {'images in place' if in_place else 'strips'}"
    return CoreGradient(forward, min(expected, stacked), how, core)


def _cost(forward: Problem, in_place: bool) -> float:
    """Return the cost of one image."""
    width, (channels, filters) = cost_lanes(forward), forward.group_size
    _, _, rows, columns = chunk_size(forward, CHUNK_PIXELS)
    gradients = min(TILE_GRADIENTS, filters if filters > 1 else math.ceil(forward.kernel[1] / forward.stride[1]))
    loads = LOAD * (1 / gradients + 1 / min(TILE_PIXELS, forward.taps))
    planes = math.prod(forward.output_size) / max(1, rows * columns)
    vectors = rows * math.ceil(columns / PARTIAL_SUMS) * PARTIAL_SUMS / width
    products = filters * forward.taps
    tiles = products / (gradients * min(TILE_PIXELS, forward.taps))
    if filters == 1:  # the first and the last lines do not meet all rows of a tile
        tiles *= 2 * gradients - 1
    each = planes * (products * vectors * (PRODUCT + max(1.0, loads)) + TILE * tiles)
    if not in_place:
        each += channels * strip_cost(forward, CHUNK_PIXELS, width) * (2 if forward.stride[2] > 1 else 1)
    return each * width * forward.groups


def _stack_cost(forward: Problem) -> float:
    """Return the cost of one image, for groups of one channel whose maps are interleaved."""
    width, filters = cost_lanes(forward), forward.filters // forward.groups
    count, depth, rows, columns = chunk_size(forward, STACK_PIXELS)
    pixels = math.prod(forward.output_size)
    read = strip_numbers(forward, STACK_PIXELS) * pixels / max(1, count * depth * rows * columns)
    gradients = min(TILE_GRADIENTS, math.ceil(forward.kernel[1] / forward.stride[1]))
    product = PRODUCT + max(1.0, LOAD * (1 / gradients + 1 / min(TILE_PIXELS, forward.kernel[2])))
    each = INTERLEAVE * (read + filters * pixels) + filters * pixels * forward.taps * product / width
    stacks = math.ceil(forward.groups / PARTIAL_SUMS)
    return each * width * PARTIAL_SUMS * stacks
