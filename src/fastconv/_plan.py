"""Problem -> frozen, cached Plan: which algorithm runs, in which dtype, over which blocks of the arrays.

The core reads any array of its accumulator's dtype whose columns lie side by side, and writes likewise: such arrays are handed
over whole. Others (other dtypes, byte orders or column strides) are converted a few images or a block at a time, so that memory
stays bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import pairwise
from threading import Lock
from typing import Any, NamedTuple, cast

import numpy as np

from fastconv import _check, _core, _fft, _fold, _separable, _winograd
from fastconv._check import Array, Problem

CONVERTED_BYTES = 2**22  # of whole images that are converted at a time
BLOCK_BYTES = 2**20  # of parts of larger ones, and of their maps
STRIP_BYTES = 2**18  # of padded input at a time
COPIED_STRIP_BYTES = 2**20  # of one that is read chunk by chunk
SWEEP_BYTES = 2**15
UNIT_PRODUCTS = 2**18
THREAD_PRODUCTS = 2**19  # that are worth a thread's while
GIL_PRODUCTS = 2**16  # for which other threads are not let in
STRIP_PRODUCTS = 2**28  # of a strip that is read where it lies
WORKSPACE_BYTES = 2**22
# What tiles cost beyond their products, in multiply-adds of vectors.
PANEL = 8  # a vector of a panel
DEAL = 80  # a row of a strip whose columns are dealt out
SPREAD = 1.1  # a product with filters in the lanes, in all
TURN = 20  # a vector of their sums, to be transposed
PACK = 0.5  # a weight
LONG_ROW = 2**12  # columns from which on similar lengths are planned for together
CONVERTED_WEIGHTS = 2**20  # that are converted at a time
PAGE_BYTES, TOUCHED_PAGES = 2**12, 2**10  # of fresh memory, at a time
MASKS = 2**18  # that sweeps in place may need; else rows are padded in a strip
PLAN_BYTES = 2**13  # of a plan and the objects that it holds, about
CHUNK_TAPS = 512  # added up by themselves: rounding errors stay small, panels in the cache
LEAST_CHUNK_TAPS = 32  # with precision "highest"
Layout = _core.Layout | _core.WinogradLayout | _fft.Layout | _separable.Layout | _separable.Volumes
CORE_NAMES = {
    np.dtype(np.int32): "int32_t",
    np.dtype(np.int64): "int64_t",
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
    np.dtype(np.complex64): "float complex",
    np.dtype(np.complex128): "double complex",
}


class Plan(NamedTuple):
    """What to do in every call with the same shapes, dtypes and options."""

    problem: Problem  # that is left where much of what was asked for is not seen
    fold: _fold.Fold | None  # how it was made of that
    images_shape: tuple[int, ...]  # (N, C, D, H, W), as they are given
    # As the core takes contiguous images: one column (N, C, 1, D * H * W, 1) if it may.
    whole_images_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]  # (K, C / groups, kd, kh, kw)
    maps_shape: tuple[int, ...]  # (N, K, D', H', W')
    whole_maps_shape: tuple[int, ...]
    core: Callable[..., None]  # the block loops that run, for the accumulator's dtype
    layout: Layout
    fits: bool  # the layout into little memory; else images pass through in blocks
    pack: Callable[[Plan, Array], Any]  # what makes of the weights what core wants
    packing: tuple[object, ...]  # plans that agree in this can share packed weights
    integers_may_overflow: bool
    threads: int  # that are worth waking
    call: _core.Call | None  # for contiguous arrays whose dtypes are the accumulator's
    takes_weight: bool  # as it is given, if it is such an array
    margin: int | str | None  # around rows of any length, or the rule for it; None if no other length is planned for
    instead: Plan | None = None  # what to do if that fits the weights, now that they are known, better

    @property
    def nbytes(self) -> int:
        """Memory that the plan takes, roughly; weights are not part of it."""
        call = 0 if self.call is None else self.call.nbytes
        return PLAN_BYTES + call + 8 * self.problem.taps + (0 if self.instead is None else self.instead.nbytes)


class Instead(NamedTuple):
    """Weights prepared for what a plan does instead."""

    filters: Any


class Cache(dict[Any, Any]):
    """What has been made before, for as many bytes as there is room for; what was put in first goes first.

    Whoever comes while somebody else changes it, such as a signal handler that interrupts just that, leaves it as it is.
    """

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, 0
        self._sizes: dict[object, int] = {}
        self._lock = Lock()

    def put(self, key: object, value: object, nbytes: int) -> None:
        """Keep a value, however large, until there are others to make room for."""
        with self._alone() as alone:
            if alone:
                self._drop(key)
                self[key], self._sizes[key] = value, nbytes
                self.taken += nbytes
                while self.taken > self.room and len(self._sizes) > 1:
                    self._drop(next(iter(self._sizes)))

    def replace(self, key: object, value: object) -> None:
        """Keep another value of about the same size in place of the one that is kept, if it still is."""
        if self._lock.acquire(blocking=False):
            if key in self:
                self[key] = value
            self._lock.release()

    def clear(self) -> None:
        """Forget everything."""
        with self._alone() as alone:
            if alone:
                super().clear()
                self._sizes.clear()
                self.taken = 0

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        alone = self._lock.acquire(blocking=False)
        try:
            yield alone
        finally:
            if alone:
                self._lock.release()

    def _drop(self, key: object) -> None:
        self.pop(key, None)
        self.taken -= self._sizes.pop(key, 0)


def planned_shape(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape to plan for: long rows of similar lengths, such as clips and recordings, have a plan in common."""
    if not input_shape or input_shape[-1] < LONG_ROW:
        return input_shape
    step = 1 << (input_shape[-1].bit_length() - 4)
    return (*input_shape[:-1], -(-input_shape[-1] // step) * step)


def make(
    axes: int,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    dtypes: tuple[np.dtype[Any], ...],
    keeps_packed: bool,
    *options: object,
) -> Plan:
    """Return the plan for arrays of these shapes and dtypes; raise ValueError or TypeError if there can be none.

    keeps_packed tells that packed weights will serve many calls; options are those of `_check.OPTIONS`.
    """
    named = dict(zip(_check.OPTIONS, options, strict=True))
    problem = _check.problem(axes, input_shape, weight_shape, bias_shape, dtypes, **named)
    margin = _margin(problem, named["padding"])
    with weights_in_memory(weight_shape):
        if margin is not None and _fold.fold(problem) is None:
            shape = planned_shape(input_shape)
            planned = _check.problem(axes, shape, weight_shape, bias_shape, dtypes, **named)
            plan = _make(planned, dtypes, keeps_packed)
            if plan.fold is None:
                return _fit(plan._replace(margin=margin), problem)
        return _make(problem, dtypes, keeps_packed)


def _margin(problem: Problem, padding: object) -> int | str | None:
    """Return how many pixels lie around a long row, or the rule for them; None if rows are not long, or kernel or padding are, too."""
    span = (problem.kernel[2] - 1) * problem.dilation[2] + 1
    if problem.size[2] < LONG_ROW or span > LONG_ROW // 2:
        return None
    if isinstance(padding, str):
        return padding
    around = sum(_check.padding_pairs(padding, len(padding) if isinstance(padding, tuple) else 1)[-1])
    return around if around <= LONG_ROW // 2 else None


def fit(plan: Plan, input_shape: tuple[int, ...]) -> Plan | None:
    """Return a plan for rows of another length, made from one for a similar length; None if that one is for no other."""
    if plan.margin is None:
        return None
    problem, columns = plan.problem, input_shape[-1]
    span, stride = (problem.kernel[2] - 1) * problem.dilation[2] + 1, problem.stride[2]
    if isinstance(plan.margin, str):
        ((pad, after),) = _check.padding_of(
            plan.margin, 1, (columns,), (problem.kernel[2],), (stride,), (problem.dilation[2],)
        )
        outputs = (columns + pad + after - span) // stride + 1
    else:
        pad, outputs = problem.pad[2], (columns + plan.margin - span) // stride + 1
    return _fit(
        plan,
        problem._replace(
            output_shape=(*problem.output_shape[:-1], outputs),
            size=(*problem.size[:2], columns),
            output_size=(*problem.output_size[:2], outputs),
            pad=(*problem.pad[:2], pad),
        ),
    )


def _fit(plan: Plan, problem: Problem) -> Plan:
    layout, call = plan.layout, plan.call
    images, maps, whole_images, whole_maps = _shapes(problem, plan.images_shape[0])
    return plan._replace(
        problem=problem,
        images_shape=images,
        maps_shape=maps,
        whole_images_shape=whole_images,
        whole_maps_shape=whole_maps,
        layout=layout._replace(problem=problem) if isinstance(layout, _fft.Layout | _separable.Volumes) else layout,
        call=call and call.resized(whole_images, whole_maps, problem.output_shape, problem.pad),
        instead=plan.instead and _fit(plan.instead, problem),
    )


def _shapes(problem: Problem, batch: int) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of images (N, C, D, H, W) and maps (N, K, D', H', W'), and the same as the core takes whole ones."""
    images, maps = (batch, problem.channels, *problem.size), (batch, problem.filters, *problem.output_size)
    if not problem.is_pointwise:
        return images, maps, images, maps
    # An image may as well be one long column of pixels.
    pixels = (1, math.prod(problem.size), 1)
    return images, maps, (batch, problem.channels, *pixels), (batch, problem.filters, *pixels)


@contextmanager
def weights_in_memory(shape: tuple[int, ...]) -> Iterator[None]:
    """Say that it is the weights, of this shape, that there is no memory for, if whoever finds out does not."""
    try:
        yield
    except MemoryError as error:
        if str(error) and not str(error).startswith("Unable to allocate"):  # as NumPy's do
            raise
        raise MemoryError(f"weight of shape {shape} needs more memory than there is") from error


def _make(asked: Problem, dtypes: tuple[np.dtype[Any], ...], keeps_packed: bool) -> Plan:
    fold = _fold.fold(asked)
    problem = asked if fold is None else fold.problem
    name = CORE_NAMES[problem.accumulator]
    core: Callable[..., None] = _core.direct[name]
    pack: Callable[[Plan, Array], Any] = kernels
    packing: tuple[object, ...] = (name,)
    batch = math.prod(problem.batch_shape)
    _, maps_shape, whole_images_shape, whole_maps_shape = _shapes(problem, batch)
    direct = _layout(problem, whole_maps_shape[2:])
    layout: Layout = direct
    least = _winograd.direct_cost(problem)
    if winograd := _winograd.choose(problem, keeps_packed):
        least = _winograd.cost(problem, winograd, keeps_packed)
    if fft := _fft.choose(problem, keeps_packed, least, _convolve_directly):
        core, pack, layout = _fft.convolve, _pack_spectra, fft
        least = _fft.cost(fft)
        packing = ("fft", name, *fft.axes, *fft.length)
    elif winograd:
        core, pack, layout = _core.winograd[name], _pack_winograd, _winograd_layout(problem, winograd)
        packing = (*_core.current_isa(), name, *(tuple(form[:3]) for form in winograd.forms), *winograd[1:3])
    elif problem.algorithm == "winograd" and (fold is None or not _winograd.knows(asked, problem.output_size)):
        raise ValueError(f"algorithm 'winograd' cannot do this: {_winograd.DOMAIN}")
    elif problem.algorithm == "fft":
        raise ValueError(f"algorithm 'fft' cannot do this: {_fft.DOMAIN}")
    elif problem.accumulator.kind == "f":
        core, packing = _core.tiles[name], (*_core.current_isa(), name, *_choose_blocks(problem, direct, keeps_packed))
        pack = _pack_tiles if packing[-1] else _pack_rows
    if fold is not None:
        packing = (*fold.taps, *packing)
    plan = Plan(
        problem=problem,
        fold=fold,
        images_shape=(batch, asked.channels, *asked.size),
        weight_shape=(problem.filters, problem.channels // problem.groups, *problem.kernel),
        maps_shape=maps_shape,
        whole_images_shape=whole_images_shape,
        whole_maps_shape=whole_maps_shape,
        core=core,
        layout=layout,
        fits=layout.workspace <= WORKSPACE_BYTES,
        pack=pack,
        packing=packing,
        threads=_threads(problem.products),
        integers_may_overflow=_check.may_overflow(dtypes, asked.taps, problem.accumulator),
        call=None if fold else _call(problem, dtypes, layout, whole_images_shape, whole_maps_shape),
        takes_weight=pack is _pack_rows and not problem.flip and dtypes[1] == problem.accumulator,
        margin=None,
    )
    if passes := _separable.choose(problem, keeps_packed, least):
        convolve = _separable.convolve if isinstance(passes, _separable.Volumes) else _core.passes[name]
        threads = _threads(batch * _separable.cost(problem))
        separable = plan._replace(core=convolve, layout=passes, fits=True, threads=threads, call=None)
        plan = plan._replace(instead=separable, packing=("separable", *packing), call=None, takes_weight=False)
    elif isinstance(layout, _core.Layout) and _winograd.cost_by_position(problem) <= least:
        plan = plan._replace(
            layout=_layout_by_position(problem),
            fits=True,
            pack=_pack_by_position,
            packing=("by position", *_core.current_isa(), name, *problem.kernel),
            call=None,
            takes_weight=False,
            instead=plan,
        )
    return plan


def _threads(products: float) -> int:
    return max(1, int(products) // THREAD_PRODUCTS)


def _call(
    problem: Problem,
    dtypes: tuple[np.dtype[Any], ...],
    layout: Layout,
    images_shape: tuple[int, ...],
    maps_shape: tuple[int, ...],
) -> _core.Call | None:
    """Make the core ready for whole arrays, if it takes arrays of these dtypes as they are."""
    as_they_are = all(dtype == problem.accumulator for dtype in (problem.dtype, dtypes[0], *dtypes[2:]))
    if not as_they_are or problem.accumulator.kind != "f" or not isinstance(layout, _core.Layout):
        return None
    if not problem.products or layout.workspace > WORKSPACE_BYTES:
        return None
    keeps_gil = problem.products <= GIL_PRODUCTS
    output = problem.output_shape, problem.dtype
    return _core.Call(images_shape, maps_shape, output, problem.pad, layout, _threads(problem.products), keeps_gil)


def workspace(plan: Plan) -> int:
    """Return in how many bytes each thread works."""
    return plan.layout.workspace if plan.fits else _block_layout(plan, _block_size(plan)[1]).workspace


def prepare(plan: Plan, weight: Array) -> Any:
    """Return weight as the core wants it: in the accumulator's dtype, flipped if that was asked for, and packed or split."""
    with weights_in_memory(weight.shape):
        return _prepare(plan, weight if plan.fold is None else plan.fold.weights(weight))


def _prepare(plan: Plan, weight: Array) -> Any:
    if plan.instead and isinstance(plan.instead.layout, _separable.Layout | _separable.Volumes):
        size = plan.problem.kernel[plan.problem.kernel[0] == 1 :]
        if passes := _separable.split(kernels(plan, weight).reshape(-1, *size), plan.problem.precision):
            return Instead(passes)
    # What is not finite counts when it meets zeros of the padding.
    elif plan.instead and not all(np.isfinite(filter_).all() for filter_ in weight):
        return Instead(_prepare(plan.instead, weight))
    return plan.pack(plan, weight)


def packed_bytes(packed: Any) -> int:
    """Return how many bytes prepared weights take, be they one array or several."""
    return packed.nbytes if isinstance(packed, np.ndarray) else sum(map(packed_bytes, packed or ()))


def kernels(plan: Plan, weight: Array, first: int = 0, last: int | None = None) -> Array:
    """Return some filters (K, C / groups, kd, kh, kw) in the accumulator's dtype, and flipped if that was asked for.

    They are copied only if need be.
    """
    filters = weight.reshape(plan.weight_shape)[first:last]
    if plan.problem.flip:
        filters = filters[:, :, ::-1, ::-1, ::-1]
    elif _is_plain(filters, plan.problem.accumulator):
        return filters
    return copy_in_pieces(filters, plan.problem.accumulator)


def copy_in_pieces(filters: Array, dtype: np.dtype[Any]) -> Array:
    """Return filters copied to a contiguous array of this dtype, some at a time, so that an interrupt need not wait for all."""
    copy: Array = _core.empty(filters.shape, dtype)
    step = max(1, CONVERTED_WEIGHTS // max(1, math.prod(filters.shape[1:])))
    for start in range(0, filters.shape[0], step):
        copy[start : start + step] = filters[start : start + step]
    return copy


def _pack_rows(plan: Plan, weight: Array) -> Array:
    """Return all weights one after another."""
    return kernels(plan, weight).reshape(-1)


def _pack_tiles(plan: Plan, weight: Array) -> Array:
    return _in_pieces(plan, _core.pack, partial(kernels, plan, weight))


def _pack_by_position(plan: Plan, weight: Array) -> Array:
    """Return weight packed one position of the kernel after the other."""

    def ordered(first: int, last: int) -> Array:
        filters = kernels(plan, weight, first, last)  # (K, C / groups, kd, kh, kw)
        return np.ascontiguousarray(np.moveaxis(filters, 1, -1))

    return _in_pieces(plan, _core.pack, ordered)


def _pack_winograd(plan: Plan, weight: Array) -> tuple[Array, Array]:
    """Return all weights one after another, for sums that are not finite, and what they are transformed into."""
    filters = kernels(plan, weight)
    return filters.reshape(-1), _in_pieces(plan, _core.pack_winograd, lambda first, last: filters[first:last])


def _pack_spectra(plan: Plan, weight: Array) -> _fft.Filters:
    layout = cast(_fft.Layout, plan.layout)
    return _fft.pack(kernels(plan, weight).reshape(plan.problem.filters, -1), layout)


def _in_pieces(plan: Plan, pack: dict[str, Callable[..., None]], filters: Callable[[int, int], Array]) -> Array:
    """Return all filters, packed piece by piece: memory is taken, and interrupts wait, for no more than one."""
    layout, accumulator = cast(_core.Layout | _core.WinogradLayout, plan.layout), plan.problem.accumulator
    packed = _core.empty((layout.packed_numbers,), accumulator)
    # Packed filters lie scattered: the first piece would have to wait for all pages of a large array.
    pages = packed.view(np.uint8)[::PAGE_BYTES]
    for start in range(0, pages.size, TOUCHED_PAGES):
        pages[start : start + TOUCHED_PAGES] = 0
    for first, last in pairwise(layout.pieces):
        pack[CORE_NAMES[accumulator]](filters(first, last).reshape(last - first, -1), packed, first, layout)
    return packed


def run(
    plan: Plan,
    input: Array,
    weight: Array,
    bias: Array | None,
    out: Array | None,
    threads: int,
    packed: Any = None,
) -> Array:
    """Convolve input with weight as planned and return the result, in out if there is one; packed is prepared weight."""
    problem = plan.problem
    if plan.call is not None:
        if packed is None and not plan.takes_weight:
            packed = prepare(plan, weight)
        maps = plan.call.run(input, weight if packed is None else packed, bias, threads, out)
        if maps is not None:
            return maps
    if out is not None:
        _check.check_out(out, problem)
    if out is None:
        result = _core.empty_result(problem.output_shape, problem.dtype)
    elif any(array is not None and np.may_share_memory(out, array) for array in (input, weight, bias)):
        result = _core.empty(out.shape, out.dtype)
    else:
        result = out
    holds_less = out is not None and out.dtype.kind == "i" and out.dtype != problem.dtype
    if holds_less or plan.integers_may_overflow:
        seen = weight.reshape(plan.weight_shape) if plan.fold is None else plan.fold.seen(weight)
        blamed, target = ("out", out.dtype) if out is not None and holds_less else ("input", problem.dtype)
        _check.check_integer_range(blamed, target, input, seen, bias)
    if result.size:
        filters = prepare(plan, weight) if packed is None else packed
        if isinstance(filters, Instead) and plan.instead is not None:
            plan, filters = plan.instead, filters.filters
        offsets = bias
        if bias is not None and (bias.ndim != 1 or not _is_plain(bias, problem.accumulator)):
            offsets = np.require(bias, problem.accumulator, ["C", "A"]).reshape(-1)
        if plan.fold is not None:
            input = plan.fold.image(input)
        threads = min(threads, plan.threads)
        if plan.fits and _is_plain(input, problem.accumulator) and _is_plain(result, problem.accumulator):
            images, maps = input.reshape(plan.whole_images_shape), result.reshape(plan.whole_maps_shape)
            plan.core(images, filters, offsets, maps, problem.pad, plan.layout, threads)
        else:
            for images, maps in _batches(plan, input, result):
                _convolve(plan, images, filters, offsets, maps, threads)
    if out is not None and result is not out:
        out[...] = result
    return result if out is None else out


def _is_plain(array: Array, dtype: np.dtype[Any]) -> bool:
    return array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned


def _batches(plan: Plan, input: Array, result: Array) -> Iterator[tuple[Array, Array]]:
    """Yield views (N, C, D, H, W) of input and (N, K, D', H', W') of result; more than one where batch axes do not merge."""
    batch_axes = len(plan.problem.batch_shape)
    images_shape, maps_shape, *_ = _shapes(plan.problem, plan.images_shape[0])
    if batch_axes <= 1 or (input.flags.c_contiguous and result.flags.c_contiguous):
        yield input.reshape(images_shape), result.reshape(maps_shape)
        return
    count = input.shape[batch_axes - 1]
    for index in np.ndindex(input.shape[: batch_axes - 1]):
        yield input[index].reshape(count, *images_shape[1:]), result[index].reshape(count, *maps_shape[1:])


def _convolve(plan: Plan, images: Array, filters: Any, bias: Array | None, maps: Array, threads: int) -> None:
    """Convolve images (N, C, D, H, W) into maps (N, K, D', H', W'), those to be converted image by image or block by block."""
    problem = plan.problem
    accumulator = problem.accumulator
    if isinstance(plan.layout, _fft.Layout | _separable.Volumes):  # they cut blocks of their own out of any array
        plan.core(images, filters, bias, maps, problem.pad, plan.layout, threads)
        return
    readable = _check.is_readable(images, accumulator, 3 if problem.is_pointwise else 1)
    image_bytes = max(1, math.prod(images.shape[1:])) * accumulator.itemsize
    count = len(images) if readable else CONVERTED_BYTES // image_bytes
    if count and plan.fits and _check.is_readable(maps, accumulator, 3):
        for first in range(0, len(images), count):
            some, out = images[first : first + count], maps[first : first + count]
            if not readable:
                some = np.require(some, accumulator, ["C", "A"])
            if problem.is_pointwise:
                some, out = (array.reshape(*array.shape[:2], 1, -1, 1) for array in (some, out))
            plan.core(some, filters, bias, out, problem.pad, plan.layout, threads)
        return
    count, size = _block_size(plan)
    layout = _block_layout(plan, size)
    for first in range(0, maps.shape[0], count):
        for corner in np.ndindex(*(-(-n // step) for n, step in zip(problem.output_size, size, strict=True))):
            target, source, pad = maps[first : first + count], images[first : first + count], []
            for axis in range(3):
                start = corner[axis] * size[axis]
                stop = min(start + size[axis], problem.output_size[axis])
                tiles = layout.seen(axis, stop - start) if isinstance(layout, _core.WinogradLayout) else 0
                here, before = problem.reach(axis, start, stop, tiles)
                index = (slice(None),) * (axis + 2)
                source, target = source[(*index, here)], target[(*index, slice(start, stop))]
                pad.append(before)
            source = np.require(source, accumulator, ["C", "A"])
            if _check.is_readable(target, accumulator, 3):
                plan.core(source, filters, bias, target, pad, layout, threads)
            else:
                block = _core.empty(target.shape, accumulator)
                plan.core(source, filters, bias, block, pad, layout, threads)
                _cast(block, target)


def _convolve_directly(problem: Problem, block: Array, filters: Array, bias: Array | None) -> Array:
    """Convolve one block (C, D, H, W) with filters (K, C, kd, kh, kw), without padding, by direct summation."""
    dtypes = tuple(array.dtype for array in (block, filters, bias) if array is not None)
    bias_shape = None if bias is None else bias.shape
    plan = _plan_directly(_core.current_isa(), problem, block.shape, filters.shape, bias_shape, dtypes)
    return run(plan, block, filters, bias, None, 1)


@lru_cache(maxsize=64)  # many blocks of an image may have NaN in them
def _plan_directly(
    isa: tuple[str, int],
    problem: Problem,
    shape: tuple[int, ...],
    filters_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    dtypes: tuple[np.dtype[Any], ...],
) -> Plan:
    options = (problem.stride, 0, problem.dilation, 1, "zeros", False, problem.activation, "direct", problem.precision)
    return make(3, shape, filters_shape, bias_shape, dtypes, False, *options)


def _cast(values: Array, out: Array) -> None:
    with np.errstate(all="ignore"):  # what is too large for a float16 becomes infinite without ado
        np.copyto(out, values, casting="unsafe")  # the check of out allowed this


def _layout(problem: Problem, map_size: Sequence[int]) -> _core.Layout:
    return _core.Layout(map_size, *_window(problem))


def _winograd_layout(problem: Problem, winograd: _winograd.Choice) -> _core.WinogradLayout:
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    return _core.WinogradLayout(*_window(problem), channels, filters, 8 * problem.accumulator.itemsize, *winograd)


def _window(problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, int, int]:
    """Return what the core's layouts have in common: how kernels slide over the image, what lies around it, what ends a sum."""
    mode, activation = _core.PADDING_MODES[problem.padding_mode], _core.ACTIVATIONS[problem.activation]
    return problem.kernel, problem.stride, problem.dilation, problem.groups, mode, activation


def _choose_blocks(problem: Problem, layout: _core.Layout, keeps_packed: bool) -> tuple[bool, bool, bool]:
    """Choose what the core works on at a time; return whether it sweeps, has filters in its lanes, and packs weights."""
    itemsize = problem.accumulator.itemsize
    lanes = _core.current_isa()[1] * 4 // itemsize
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    rows, columns = problem.output_size[1:]
    row_bytes = (problem.size[2] + 2 * problem.pad[2]) * itemsize
    chunk = _chunk(problem)
    if (
        channels * problem.kernel[0] == 1
        and filters <= 4
        and problem.taps > 1
        and (problem.precision == "default" or problem.taps <= 2 * LEAST_CHUNK_TAPS)
    ):
        _choose_sweeps(problem, layout, rows, columns, row_bytes)
        return True, False, False
    if problem.is_pointwise:
        rows, columns = math.prod(problem.output_size), 1
        row_bytes = itemsize
    in_place = problem.is_pointwise and rows >= lanes
    # Copying pixels into panels costs a few products for each; reading them where they are, the end of every row.
    panels = not in_place and (columns < lanes or _used(columns, lanes) * (1 + 3 / filters) < 1)
    vectors = -(-rows * columns // lanes) if in_place or panels else rows * -(-columns // lanes)
    seen = [min(step, taps) for step, taps in zip(problem.stride[1:], problem.kernel[1:], strict=True)]
    strip_row = row_bytes * problem.kernel[0] * channels
    by_pixels = vectors * problem.taps * (filters + PANEL * panels)
    by_pixels += DEAL * channels * problem.kernel[0] * rows * seen[0] if problem.stride[2] > 1 else 0
    if by_filters := _filters_cost(problem, rows * columns, lanes, keeps_packed) < by_pixels:
        panels, in_place = False, all(_stays_inside(problem, axis) for axis in range(3))
        strip_row = columns * filters * itemsize + (0 if in_place else strip_row * problem.stride[1])
    else:
        strip_row = strip_row * seen[0] * seen[1] // problem.stride[2]
    packed = keeps_packed or (not by_filters and problem.taps * itemsize % 4096 == 0)
    strip_rows = (COPIED_STRIP_BYTES if by_filters or panels else STRIP_BYTES) // strip_row
    if in_place and not by_filters:
        strip_rows = max(24 * lanes, STRIP_PRODUCTS // (problem.taps * filters))
    layout.tile(
        channels,
        filters,
        8 * itemsize,
        max(1, min(rows, strip_rows)),
        by_filters=by_filters,
        packed=packed,
        panels=panels,
        in_place=in_place,
        chunk=chunk,
        # Vectors that lie over their neighbours must not meet again in a later chunk.
        block_tiles=8 if panels or by_filters or problem.taps <= chunk else 1,
    )
    return False, by_filters, packed


def _chunk(problem: Problem) -> int:
    """Return how many taps to add up by themselves: errors are smallest if there are as many chunks."""
    return CHUNK_TAPS if problem.precision == "default" else max(LEAST_CHUNK_TAPS, math.isqrt(problem.taps))


def _layout_by_position(problem: Problem) -> _core.Layout:
    """Return the layout that takes the kernel position by position."""
    layout = _layout(problem, problem.output_size)
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    itemsize, chunk = problem.accumulator.itemsize, min(channels, _chunk(problem))
    row_bytes = problem.output_size[2] * filters * itemsize + chunk * problem.size[2] * problem.stride[1] * itemsize
    layout.tile(
        channels,
        filters,
        8 * itemsize,
        max(1, min(problem.output_size[1], COPIED_STRIP_BYTES // row_bytes)),
        by_filters=True,
        packed=True,
        panels=False,
        in_place=True,
        chunk=chunk,
        block_tiles=1,
        by_position=True,
    )
    return layout


def _filters_cost(problem: Problem, pixels: int, lanes: int, keeps_packed: bool) -> float:
    """Return how long one image of a group takes with filters in the lanes, in multiply-adds of vectors."""
    filters = problem.filters // problem.groups
    packing = 0.0 if keeps_packed or pixels == 1 else PACK * problem.taps * filters
    return pixels * -(-filters // lanes) * (SPREAD * problem.taps + TURN) + packing


def _stays_inside(problem: Problem, axis: int) -> bool:
    """Tell whether kernels see nothing but the image along an axis."""
    last = (problem.output_size[axis] - 1) * problem.stride[axis] - problem.pad[axis]
    return problem.pad[axis] == 0 and last + (problem.kernel[axis] - 1) * problem.dilation[axis] < problem.size[axis]


def _choose_sweeps(problem: Problem, layout: _core.Layout, rows: int, columns: int, row_bytes: int) -> None:
    """Choose how many rows and groups are swept at a time, and whether lanes are pixels or channels."""
    filters, bits = problem.filters // problem.groups, 8 * problem.accumulator.itemsize
    lanes = _core.current_isa()[1] * 32 // bits
    strip_rows = STRIP_BYTES // (row_bytes * lanes * problem.stride[1])
    stacks = strip_rows >= 2 * problem.kernel[1] and _stacks_pay(problem, rows, columns, lanes)
    if not stacks:
        at_a_time = 4 if problem.kernel[1] <= 7 else 6  # that most sweeps compute: fewer would be computed twice
        at_a_time *= min(8, problem.dilation[1] // math.gcd(problem.dilation[1], problem.stride[1]))
        strip_rows = at_a_time * max(1, round(SWEEP_BYTES / (row_bytes * problem.stride[1] * at_a_time)))
    strip_rows = min(rows, strip_rows)
    parts = min(problem.groups, -(-problem.filters * problem.taps * strip_rows * columns // UNIT_PRODUCTS))
    if stacks:
        layout.stack(filters, bits, strip_rows, parts=parts)
        return
    edges = 2 * (
        problem.kernel[2] * problem.dilation[2] // lanes + 2
    )  # vectors that have masks of their own, for each tap
    in_place = (
        problem.padding_mode == "zeros"
        and (problem.stride[2] == 1 or (problem.stride[2] == 2 and problem.dilation[2] == 1))
        and edges * problem.kernel[2] <= MASKS
    )
    zero_rows = problem.padding_mode == "zeros" and not all(_stays_inside(problem, axis) for axis in (0, 1))
    layout.sweep(
        filters,
        bits,
        strip_rows,
        in_place=in_place,
        parts=parts,
        far_maps=problem.far_maps,
        zero_rows=zero_rows,
    )


def _stacks_pay(problem: Problem, rows: int, columns: int, lanes: int) -> bool:
    """Tell whether to lay channels side by side first, rather than to waste lanes and time at the ends of rows.

    Costs are those of one vector of sums, in multiply-adds.
    """
    taps, stride = problem.taps, problem.stride[2]
    if problem.padding_mode != "zeros" or problem.dilation[2] > 1 or (problem.kernel[2], stride) not in _core.STACKS:
        return False
    swept = (1.2 * taps + 5) * (1.9 if stride == 2 else 1) / _used(columns, lanes) + 120 * lanes / (rows * columns)
    # What one gathers from channels whose places differ by so much evicts itself from the cache.
    lines = 2 if math.prod(problem.size[1:]) * problem.accumulator.itemsize % 4096 == 0 else 1
    tap = 1.0 if _core.current_isa()[0] in ("avx512", "neon") else 1.1  # 16 registers are too few for so many sums
    stacked = (tap * taps + 5 + 8 * problem.stride[1] * stride * lines) / _used(problem.groups, lanes)
    return swept > stacked


def _block_layout(plan: Plan, size: Sequence[int]) -> Layout:
    """Return a layout for maps of up to this size, however small, with the weights that the plan has prepared."""
    problem = plan.problem
    if not isinstance(plan.layout, _core.Layout) or plan.layout.by_position:
        return plan.layout
    layout = _layout(problem, size)
    if problem.accumulator.kind == "f":
        sweeps, by_filters, packed = plan.packing[-3:]
        if sweeps:
            row_bytes = (size[2] * problem.stride[2] + problem.kernel[2]) * problem.accumulator.itemsize
            _choose_sweeps(problem, layout, size[1], size[2], row_bytes)
        else:
            layout.tile(
                problem.channels // problem.groups,
                problem.filters // problem.groups,
                8 * problem.accumulator.itemsize,
                size[1],
                by_filters=bool(by_filters),
                packed=bool(packed),
                panels=not by_filters,  # which alone do with less than a vector of pixels
                in_place=False,
                chunk=_chunk(problem),
                block_tiles=8,
            )
    return layout


def _used(count: int, lanes: int) -> float:
    """Return which part of its lanes is used when count numbers fill vectors."""
    return count / (-(-count // lanes) * lanes)


def _block_size(plan: Plan) -> tuple[int, list[int]]:
    """Return how many images, and how much of a feature map's three axes, pass through a converted copy at a time."""
    problem = plan.problem

    def block_bytes(size: list[int]) -> int:
        window = zip(size, problem.stride, problem.kernel, problem.dilation, strict=True)
        seen = [(n - 1) * step + (taps - 1) * spread + 1 for n, step, taps, spread in window]
        return (problem.channels * math.prod(seen) + problem.filters * math.prod(size)) * problem.accumulator.itemsize

    size = list(problem.output_size)
    count = max(1, BLOCK_BYTES // block_bytes(size))
    for axis in range(3):
        while size[axis] > 1 and (whole := block_bytes(size)) > BLOCK_BYTES:
            size[axis] = (size[axis] + 1) // 2
            if block_bytes(size) > 0.8 * whole:  # a kernel spread so wide that smaller blocks hardly see less
                break
    if isinstance(plan.layout, _core.WinogradLayout):  # tiles lie where they lie in the whole map
        for axis, step in enumerate(plan.layout.tile_size):
            size[axis] = -(-size[axis] // step) * step
    return count, size
