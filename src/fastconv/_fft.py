"""Convolution by Fourier transforms, for kernels so large that there are too many products to add up one by one.

An image is cut into blocks that overlap by what a kernel spans (overlap-save: T. G. Stockham, "High-speed convolution and
correlation", 1966). With F a real transform of a block, X and W spectra of channels and kernels, the maps of a block are

    y[k] = activation(bias[k] + inverse F (sum over channels c of  X[c] * conj(W[k, c])))

A block is transformed once for all filters, and a sum transformed back once for all channels. Transforms are scipy's if it is
installed, else NumPy's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fastconv import _core
from fastconv._check import Array, Problem, Triple
from fastconv.config import spread

DOMAIN = "it takes float32 or float64"

LENGTHS = [part << power for power in range(2, 48) for part in (4, 5, 6)]  # that are transformed fast
LONGEST = 16  # times what a kernel spans: longer blocks hardly overlap less
WORKSPACE_BYTES = 2**22  # of a thread,
WORKSPACE_KERNELS = 16  # or so many times what a kernel spans if that is more
UNIT_BYTES = 2**20  # that are worked on at a time, if there is more than one block in it

# What things cost, in products of the best direct kernel.
TRANSFORM = 9.0  # a number in one of the log2(n) steps of a transform
MULTIPLY = 14.0  # a number of a spectrum with another, and adding it up
COPY = 6.0  # a number of a block, in or out
CALL = 5e5  # of NumPy or scipy
LEAST = 2e6  # a problem worth thinking about
SAVING = 0.85  # of another algorithm's cost, or less: elsewhere vectors may be as wide and transforms slower


class Spectra(NamedTuple):
    """Filters, transformed."""

    spectra: Array  # complex conjugates (groups, K / groups, C / groups, *spectrum)
    filters: Array  # (groups, K / groups, C / groups, kd, kh, kw)


class Layout(NamedTuple):
    """How to cut images into blocks."""

    problem: Problem
    axes: tuple[int, ...]  # that are transformed: those along which kernels extend
    length: Triple  # of a block
    blocks: int  # side by side that are worked on at a time
    groups: int  # of channels, likewise
    convolve: Callable[[Problem, Array, Array, Array | None], Array]  # one block, directly

    @property
    def spectrum(self) -> Triple:
        """What a block's spectrum measures, half of it being the mirror image of the other; 1 where nothing is transformed."""
        depth, rows, columns = (
            (n // 2 + 1 if axis == self.axes[-1] else n) if axis in self.axes else 1
            for axis, n in zip((-3, -2, -1), self.length, strict=True)
        )
        return depth, rows, columns

    @property
    def outputs(self) -> Triple:
        """Outputs of a block, per axis."""
        return _outputs(self.problem, self.length)

    @property
    def workspace(self) -> int:
        """Bytes that each thread works in."""
        return self.blocks * self.groups * _block_bytes(self.problem, self.length)


def choose(
    problem: Problem,
    keeps_packed: bool,
    most: float,
    convolve: Callable[[Problem, Array, Array, Array | None], Array],
) -> Layout | None:
    """Return the cheapest blocks, None if they cost more than `most` or do not fit; `convolve` computes a block directly."""
    wanted = problem.algorithm == "fft"
    if problem.accumulator.kind != "f" or problem.precision == "highest":
        return None
    if not wanted and (problem.algorithm != "auto" or most < LEAST or math.prod(problem.kernel) < MULTIPLY):
        return None
    spans = _spans(problem)
    axes = tuple(axis for axis in (-3, -2, -1) if spans[axis] > 1) or (-1,)
    depths, rows, columns = (_lengths(problem, axis, axis in axes) for axis in (-3, -2, -1))
    choices: list[Triple] = list(itertools.product(depths, rows, columns))
    needed = {
        length: _block_bytes(problem, length) + (0 if keeps_packed else _spectra_bytes(problem, length))
        for length in choices
    }
    room = max(WORKSPACE_BYTES, WORKSPACE_KERNELS * math.prod(spans) * problem.accumulator.itemsize)
    fitting = [length for length in choices if needed[length] <= room]
    if wanted and not fitting:
        fitting = [min(choices, key=lambda length: needed[length])]
    layouts = (_layout(problem, axes, length, convolve) for length in fitting)
    best = min(((cost(layout, keeps_packed), layout) for layout in layouts), key=lambda pair: pair[0], default=None)
    return best[1] if best and (wanted or best[0] < SAVING * most) else None


def cost(layout: Layout, keeps_packed: bool) -> float:
    """Return how long this takes on one image, in products at full speed."""
    problem = layout.problem
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    counts = [-(-size // n) for size, n in zip(problem.output_size, layout.outputs, strict=True)]
    units = math.prod(counts[:2]) * -(-counts[2] // layout.blocks) * -(-problem.groups // layout.groups)
    steps = sum(math.log2(layout.length[axis]) for axis in layout.axes)
    numbers = math.prod(layout.length)
    spectra = filters * channels
    block = (channels + filters) * (TRANSFORM * steps + COPY) + spectra * MULTIPLY
    once = 0.0 if keeps_packed else problem.groups * spectra * (TRANSFORM * steps + COPY) * numbers
    calls = CALL * (units * (4 + 3 * filters + spectra) + math.prod(counts) * filters)
    return math.prod(counts) * problem.groups * numbers * block + once + calls


def pack(filters: Array, layout: Layout) -> Spectra:
    """Transform filters (K, C / groups * taps)."""
    problem = layout.problem
    groups, channels = problem.groups, problem.channels // problem.groups
    filters = filters.reshape(groups, -1, channels, *problem.kernel)
    shape = [n if axis in layout.axes else 1 for axis, n in zip((-3, -2, -1), layout.length, strict=True)]
    taps = tuple(slice(0, span, step) for span, step in zip(_spans(problem), problem.dilation, strict=True))
    spread = np.zeros((channels, *shape), filters.dtype)
    spectra = _core.empty((*filters.shape[:3], *layout.spectrum), np.result_type(filters, np.complex64))
    fft, _ = _library()
    with np.errstate(all="ignore"):
        for index in np.ndindex(filters.shape[:2]):
            spread[_last_axes(taps)] = filters[index]
            np.conjugate(fft.rfftn(spread, axes=layout.axes), out=spectra[index])
    return Spectra(spectra, filters)


def convolve(
    images: Array, weight: Spectra, bias: Array | None, maps: Array, _: Sequence[int], layout: Layout, threads: int
) -> None:
    """Convolve images (N, C, D, H, W) into maps (N, K, D', H', W'), both of any dtype and strides."""
    problem = layout.problem
    images = images.reshape(len(images), problem.groups, -1, *problem.size)
    maps = maps.reshape(len(maps), problem.groups, -1, *problem.output_size)
    depth, rows, columns = layout.outputs
    steps = (1, layout.groups, depth, rows, columns * layout.blocks)
    sizes = (len(images), problem.groups, *problem.output_size)
    units = itertools.product(*(range(0, size, step) for size, step in zip(sizes, steps, strict=True)))
    spread(partial(_convolve_unit, images, weight, bias, maps, layout), units, threads)


def _convolve_unit(
    images: Array, weight: Spectra, bias: Array | None, maps: Array, layout: Layout, unit: tuple[int, ...]
) -> None:
    """Compute some neighbouring blocks of one image, for some groups of channels."""
    n, group, *start = unit
    groups = slice(group, group + layout.groups)
    depth, rows, columns = layout.outputs
    maps = maps[n, groups, :, start[0] : start[0] + depth, start[1] : start[1] + rows]
    maps = maps[..., start[2] : start[2] + columns * layout.blocks]  # (groups, K / groups, D', H', W')
    blocks = _blocks(images[n, groups], layout, start, maps.shape[-3:])
    spectra, filters = weight.spectra[groups], weight.filters[groups]
    offsets = None if bias is None else bias.reshape(-1, filters.shape[1], 1, 1, 1)[groups]
    clean = np.ones(blocks.shape[:2], bool)
    with np.errstate(all="ignore"):
        seen = _library()[0].rfftn(blocks, axes=layout.axes)  # (blocks, groups, C / groups, *spectrum)
        for k in range(filters.shape[1]):
            products = _sum_of_products(seen, spectra[:, k], last=k == filters.shape[1] - 1)
            values = _transform_back(products, layout)  # (blocks, groups, *outputs)
            clean &= np.isfinite(values).all(axis=(2, 3, 4))
            if offsets is not None:
                values += offsets[:, k]
            if layout.problem.activation is not None:
                ACTIVATIONS[layout.problem.activation](values)
            for target, block in zip(_cut(maps[:, k], columns), values, strict=True):
                target[...] = block[_last_axes(map(slice, target.shape))]
        # A transform spreads NaN and infinity, be they from the image or of its own making, over all of its block.
        targets = list(_cut(maps, columns))
        for b, g in np.argwhere(~clean):
            values = layout.convolve(
                layout.problem, blocks[b, g], filters[g], None if offsets is None else offsets[g].ravel()
            )
            targets[b][g] = values[_last_axes(map(slice, targets[b][g].shape))]


def _blocks(image: Array, layout: Layout, start: Sequence[int], size: Sequence[int]) -> Array:
    """Return what some neighbouring blocks of outputs see of an image (groups, C / groups, D, H, W), zeros around it.

    They overlap in memory: (blocks, groups, C / groups, *length).
    """
    problem = layout.problem
    step = layout.outputs[2] * problem.stride[2]
    count = -(-size[2] // layout.outputs[2])
    shape = (*image.shape[:2], *layout.length[:2], layout.length[2] + (count - 1) * step)
    reach = [problem.reach(axis, start[axis], start[axis] + size[axis]) for axis in range(3)]
    image = _pick(image, [here for here, _ in reach])
    inside = [slice(before, before + n) for (_, before), n in zip(reach, image.shape[2:], strict=True)]
    strip = image
    if image.shape != shape or image.dtype != problem.accumulator or not image.flags.aligned:
        strip = np.zeros(shape, problem.accumulator)
        strip[_last_axes(inside)] = image
    strides = (step * strip.strides[-1], *strip.strides)
    return as_strided(strip, (count, *shape[:2], *layout.length), strides, writeable=False)


def _pick(image: Array, places: Sequence[slice | list[int]]) -> Array:
    """Return what lies at these places of an image's axes (groups, C / groups, D, H, W); copy only what is picked one by one."""
    image = image[_last_axes(here if isinstance(here, slice) else slice(None) for here in places)]
    lists = [(axis, here) for axis, here in enumerate(places, 2) if not isinstance(here, slice)]
    if len(lists) > 1:
        ranges = (
            range(n) if isinstance(here, slice) else here for here, n in zip(places, image.shape[2:], strict=True)
        )
        image = image[_last_axes(np.ix_(*ranges))]
        lists = []
    for axis, here in lists:
        image = image.take(here, axis)
    return image


def _sum_of_products(seen: Array, spectra: Array, last: bool) -> Array:
    """Return the sum over channels of spectra (blocks, groups, C / groups, *spectrum) times those of a filter, the last or not."""
    total: Array = np.multiply(seen[:, :, 0], spectra[:, 0], out=seen[:, :, 0] if last else None)
    product = _core.empty(total.shape, total.dtype) if seen.shape[2] > 1 else None
    for c in range(1, seen.shape[2]):
        total += np.multiply(seen[:, :, c], spectra[:, c], out=product)
    return total


def _transform_back(spectra: Array, layout: Layout) -> Array:
    """Return the outputs of blocks from their spectra; those that wrapped round, or that strides leave out, are dropped at once."""
    fft, in_place = _library()
    values = spectra
    for axis, span, stride in zip((-3, -2, -1), _spans(layout.problem), layout.problem.stride, strict=True):
        if axis == layout.axes[-1]:
            continue
        if axis in layout.axes:
            values = fft.ifft(values, axis=axis, **in_place)
        values = _keep(values, axis, layout.length[axis] - span + 1, stride)
    axis = layout.axes[-1]
    values = fft.irfft(values, layout.length[axis], axis=axis)
    kept = layout.length[axis] - _spans(layout.problem)[axis] + 1
    return _keep(values, axis, kept, layout.problem.stride[axis])


def _keep(values: Array, axis: int, count: int, stride: int) -> Array:
    kept: Array = values[_last_axes([slice(0, count, stride), *[slice(None)] * (-1 - axis)])]
    return kept


def _last_axes(places: Iterable[Any]) -> tuple[Any, ...]:
    """Return the index of these places along the last axes."""
    return (..., *places)


def _cut(maps: Array, columns: int) -> Iterator[Array]:
    """Yield maps in pieces of so many columns."""
    for first in range(0, maps.shape[-1], columns):
        yield maps[..., first : first + columns]


def _spans(problem: Problem) -> Triple:
    depth, rows, columns = ((taps - 1) * step + 1 for taps, step in zip(problem.kernel, problem.dilation, strict=True))
    return depth, rows, columns


def _outputs(problem: Problem, length: Triple) -> Triple:
    depth, rows, columns = (
        (n - span) // step + 1 for n, span, step in zip(length, _spans(problem), problem.stride, strict=True)
    )
    return depth, rows, columns


def _lengths(problem: Problem, axis: int, transformed: bool) -> list[int]:
    """Return lengths of blocks worth trying: up to one that holds all that outputs see."""
    span = _spans(problem)[axis]
    whole = (problem.output_size[axis] - 1) * problem.stride[axis] + span
    if not transformed:
        return [-(-whole // 2**power) for power in range(whole.bit_length())]
    first = next(i for i, n in enumerate(LENGTHS) if n >= span)
    last = next(i for i, n in enumerate(LENGTHS) if n >= min(whole, LONGEST * span))
    return LENGTHS[first : last + 1]


def _block_bytes(problem: Problem, length: Triple) -> int:
    """Return how many bytes a block of one group takes: pixels and spectra of all channels, sums and outputs of one filter."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    return (2 * channels + 2 + (channels > 1) + (filters > 1)) * math.prod(length) * problem.accumulator.itemsize


def _spectra_bytes(problem: Problem, length: Triple) -> int:
    """Return how many bytes the transformed filters take, if every axis is transformed."""
    return problem.filters * problem.channels // problem.groups * math.prod(length) * problem.accumulator.itemsize


def _layout(
    problem: Problem,
    axes: tuple[int, ...],
    length: Triple,
    convolve: Callable[[Problem, Array, Array, Array | None], Array],
) -> Layout:
    bytes_ = _block_bytes(problem, length)
    blocks = max(1, min(-(-problem.output_size[2] // _outputs(problem, length)[2]), UNIT_BYTES // bytes_))
    groups = max(1, min(problem.groups, UNIT_BYTES // (bytes_ * blocks)))
    return Layout(problem, axes, length, blocks, groups, convolve)


@cache
def _library() -> tuple[Any, dict[str, bool]]:
    """Return the module that transforms, and how to tell it that it may work in place."""
    try:
        return import_module("scipy.fft"), {"overwrite_x": True}
    except ImportError:
        return np.fft, {}


# In place, but for the numbers on the way.
ACTIVATIONS: dict[str, Callable[[Array], object]] = {
    "relu": lambda x: np.maximum(x, 0, out=x),
    "relu6": lambda x: np.clip(x, 0, 6, out=x),
    "leaky_relu": lambda x: np.multiply(x, 0.01, out=x, where=x < 0),
    "sigmoid": lambda x: np.divide(1, 1 + np.exp(-x), out=x),
    "silu": lambda x: np.divide(x, 1 + np.exp(-x), out=x),
    "hardswish": lambda x: np.multiply(x, np.clip(x + 3, 0, 6) / 6, out=x),
    "tanh": lambda x: np.tanh(x, out=x),
}
