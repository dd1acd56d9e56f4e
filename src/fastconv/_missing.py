"""Convolution of images with holes: a pixel that is missing gets no weight.

With sums over the channels and taps that meet a number,

    seen[k, o] = sum of w_k        out[k, o] = activation(bias_k + total_k / seen[k, o] * sum of w_k x)

where total_k is the sum of all weights, and the quotient is left out unless asked for. Blocks of outputs are computed
one after another, so that everything on the way stays in the cache: the pixels, with zeros in place of what is missing,
are convolved by one plan, and the mask (1: a number) with the weights, or with ones in their places, by another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.ma import MaskedArray
from numpy.typing import ArrayLike

from fastconv import _blocks, _check, _core, _plan
from fastconv._border import Border, Room, fits_core, last_axes
from fastconv._cache import Cache
from fastconv._problem import Array, Problem, Triple

PLAN_CACHE_BYTES = 2**22
_plans = Cache(PLAN_CACHE_BYTES)  # of blocks, by their problems

BLOCK_BYTES = 2**20  # bytes of a block's pixels and outputs, where each pixel is in few products
CHANNELS_OF_LARGER_BLOCKS = 4  # in and out of a group: with more, passes over memory are cheap beside the products
OUTPUTS_PER_SHARED_PIXEL = 8  # of a block along an axis, at least, for each pixel that its neighbour reads as well
FLOAT32_COUNTS = 2**12  # taps: counts of up to so many are off by less than half in float32, whatever the algorithm
LEAST_WEIGHT = 2.0**-64  # relative to the largest: sums of such weights and larger do not vanish, but by FFT

SPARE_BYTES = 2**23  # of room for blocks that is kept from call to call: new memory costs more than what is done there
_spare: list[list[Room]] = []
COMPLETE = (True,)  # of all images

Pack = Callable[[_plan.Plan, Array], _plan.Packed]


class Options(NamedTuple):
    """What is missing, and what becomes of it, in the order of the signatures."""

    nan: Any = "propagate"
    mask: Any = None
    renormalize: Any = False
    fill_value: Any = math.nan
    return_weight: Any = False


class Block(NamedTuple):
    """Some images, and a box of their outputs."""

    images: slice
    outputs: tuple[slice, slice, slice]

    @property
    def size(self) -> Triple:
        depth, rows, columns = (part.stop - part.start for part in self.outputs)
        return depth, rows, columns

    @property
    def maps(self) -> tuple[slice, ...]:
        """The index of its outputs in maps (N, K, D', H', W')."""
        return (self.images, slice(None), *self.outputs)


def convolve(
    axes: int,
    input: ArrayLike,
    weight: Array,
    bias: Array | None,
    options: _check.Options,
    missing: Options,
    out: Array | None,
    threads: int,
    pack: Pack | None = None,
    kept: dict[Any, MaskWeights] | None = None,
) -> Any:
    """Return the feature maps, masked if the input is; and the weights seen, if asked.

    `options` are checked. `pack` is how a bank, which keeps them, packs its weights, and `kept` where it keeps others.
    """
    masked = isinstance(input, MaskedArray)
    image = np.asarray(np.ma.getdata(input)) if masked else _check.as_array("input", input)
    dtypes = tuple(array.dtype for array in (image, weight, bias) if array is not None)
    _check.check_arrays(axes, image.shape, weight.shape, dtypes)
    _check_options(missing)
    mask = _mask(input, image.shape, missing.mask)
    if missing.renormalize and all(dtype.kind in "biu" for dtype in dtypes):
        dtypes = (np.dtype(np.float64), *dtypes[1:])
    problem = _check.problem(axes, image.shape, weight.shape, None if bias is None else bias.shape, dtypes, options)
    dtype = problem.dtype if out is None else _check.check_out(out, problem).dtype
    fill = _fill_value(missing.fill_value, dtype)
    if mask is not None:
        mask = _merge_batch(mask, problem, axes)
    bank, key = weight.reshape(problem.weight_shape), (missing.renormalize, problem.accumulator)
    measures = kept.get(key) if kept else None
    if measures is None:
        measures = MaskWeights(bank, problem.groups, problem.accumulator, missing.renormalize)
        if kept is not None:
            kept[key] = measures
    work = Work(problem, dtypes, image, mask, bank, bias, measures, missing, pack)
    if problem.dtype.kind == "i":
        work.check_integers(out)
    if fill is None:
        fill = 0
        if not masked and not work.all_see(threads):
            raise ValueError(
                f"fill_value must be an integer, for the result is of {dtype} and some outputs see no pixel; got NaN"
            )
    in_place = out is not None and out.flags.c_contiguous and not work.may_overlap(out)
    result = out if out is not None and in_place else _core.empty_result(problem.output_shape, dtype)
    maps = result.reshape(problem.maps_shape)
    weights = np.empty(problem.maps_shape, measures.dtype) if missing.return_weight else None
    hidden = np.zeros(problem.maps_shape, bool) if masked else None
    for block in work.blocks():
        work.compute(block, maps, weights, hidden, fill, threads)
    work.close()
    if out is not None and not in_place:
        out[...] = result
        result = out
    values = result if hidden is None else MaskedArray(result, hidden.reshape(problem.output_shape))
    return values if weights is None else (values, weights.reshape(problem.output_shape))


class Padded:
    """Images (N or 1, C or 1, D, H, W) with their border, in any dtype: read in sections of another."""

    def __init__(self, images: Array, border: Border, dtype: np.dtype[Any]) -> None:
        self._images, self._border, self._dtype = images, border, dtype
        self._modes = [_core.PADDING_MODES[mode] for mode in border.modes]
        values = border.values if len(border.values) > 1 else border.values * images.shape[1]
        self._values, self._is_plain = np.array(values, dtype), fits_core(images, dtype, 1)

    def section(self, images: slice, first: Sequence[int], room: Array) -> Array:
        """Return a part of some padded images from these positions on, of the size of `room`: perhaps filled into it."""
        border, part = self._border, self._images if len(self._images) == 1 else self._images[images]
        starts = [start - pad for start, pad in zip(first, border.pad, strict=True)]
        span = room.shape[2:]
        box = [slice(start, start + n) for start, n in zip(starts, span, strict=True)]
        if all(index.start >= 0 and index.stop <= size for index, size in zip(box, border.size, strict=True)):
            part = part[last_axes(box)]
        elif self._is_plain:
            _core.fill_section(part, room, self._values, starts, self._modes, border.size, (0, 0, 0))
            return room
        else:
            part = border.section(
                part, [slice(start, start + n) for start, n in zip(first, span, strict=True)], self._dtype
            )
        return part if self._is_plain else np.require(part, self._dtype, ["C", "A"])


class Filters:
    """A bank with its plans for blocks, and packed for them."""

    def __init__(
        self,
        problem: Problem,
        bank: Array,
        dtypes: tuple[np.dtype[Any], ...],
        pack: Pack,
        reuse: bool,
        room: Room,
    ) -> None:
        self.bank, self._problem, self._dtypes, self._pack, self._reuse = bank, problem, dtypes, pack, reuse
        self._plans: dict[tuple[int, Triple], tuple[_plan.Plan, _plan.Packed | None, Array]] = {}
        self._room = room

    def plan(self, count: int, size: Triple) -> tuple[_plan.Plan, _plan.Packed | None, Array]:
        """Return the plan for so many images and outputs, packed weights if it takes them, and room for maps."""
        prepared = self._plans.get((count, size))
        if prepared is None:
            plan = _plan_of(self._problem, self._dtypes, count, size, self._reuse)
            maps = self._room.array((count, self._problem.filters, *size), self._problem.dtype)
            packed = None if plan.raw_weights else self._pack(plan, self.bank)
            if packed and packed[0]:  # the cheapest layouts refuse the weights: plan for another, whose calls cost less
                problem = self._problem._replace(algorithm=plan.layouts[packed[0]].name)
                plan = _plan_of(problem, self._dtypes, count, size, self._reuse)
                packed = None if plan.raw_weights else self._pack(plan, self.bank)
            prepared = plan, packed, maps
            self._plans[count, size] = prepared
        return prepared

    def convolve(self, pixels: Array, bias: Array | None, size: Triple, threads: int) -> Array:
        """Return the maps (N, K, *size), in place of the last ones."""
        plan, packed, maps = self.plan(len(pixels), size)
        return _plan.run(plan, pixels, self.bank, bias, maps, threads, packed)


class Distinct(NamedTuple):
    """The different filters of a bank."""

    bank: Array
    places: Array | None  # of each filter among them; None if it is its own, or all are one
    is_positive: bool  # sums of these weights are zero only where all are, even if rounded


class MaskWeights:
    """What masks are convolved with for a bank (K, C / groups, kd, kh, kw): made once for it."""

    def __init__(self, weight: Array, groups: int, accumulator: np.dtype[Any], renormalize: bool | str) -> None:
        dtype = accumulator if accumulator.kind in "fc" else np.dtype(np.float64)
        self.flag_dtype = np.empty(0, dtype).real.dtype  # of masks: 1 or 0
        self.dtype = self.flag_dtype if renormalize == "abs" else dtype
        self._weight, self._groups = weight, groups
        self._sizes = np.abs(weight.astype(dtype)) if renormalize == "abs" else weight
        totals = self._sizes.sum((1, 2, 3, 4), np.complex128 if self._sizes.dtype.kind == "c" else np.float64)
        self.totals = totals.astype(self.dtype)  # (K,)
        self.scales = np.zeros(totals.shape, totals.dtype)  # the same, where sums are to be renormalised, else zero
        if renormalize:
            np.copyto(self.scales, self.totals, where=np.abs(totals) > _rounding(weight))
        self.renormalizes = bool(self.scales.any())
        self._distinct: dict[tuple[bool, bool], Distinct] = {}

    def distinct(self, counts: bool, alike: bool) -> tuple[Distinct, int]:
        """Return filters for masks, and their groups: with ones where weights are not zero, or with the weights.

        `alike`: for a mask that all channels share.
        """
        if (counts, alike) not in self._distinct:
            bank = self._weight != 0 if counts else self._sizes
            if counts:
                bank[~bank.any((1, 2, 3, 4))] = True  # a filter of zeros is content with any number
            if alike:
                bank = bank.any(1, keepdims=True) if counts else bank.sum(1, self.dtype, keepdims=True)
            is_wide = bank[0].size > FLOAT32_COUNTS and self.flag_dtype.itemsize == 4
            dtype = self.dtype if not counts else np.dtype(np.float64) if is_wide else self.flag_dtype
            self._distinct[counts, alike] = _distinct(bank.astype(dtype), 1 if alike else self._groups)
        return self._distinct[counts, alike], 1 if alike else self._groups


class MaskFilters:
    """Convolves masks with filters, equal ones only once."""

    def __init__(self, distinct: Distinct, groups: int, problem: Problem, reuse: bool, room: Room) -> None:
        bank, self._places, is_positive = distinct
        algorithm = "direct" if problem.algorithm == "direct" else "auto"
        for precision in (problem.precision, "highest"):  # not Winograd's forms: inaccurate where little is seen
            changed = problem._replace(
                channels=bank.shape[1] * groups,
                filters=len(bank),
                groups=groups,
                activation=None,
                algorithm=algorithm,
                precision=precision,
                dtype=bank.dtype,
                accumulator=bank.dtype,
            )
            self._filters = Filters(changed, bank, (bank.dtype, bank.dtype), _plan.prepare, reuse, room)
            names = {layout.name for layout in self._filters.plan(1, _cut(problem)[1])[0].layouts}
            if "winograd" not in names:
                break
        self._is_exact = is_positive and "fft" not in names

    def convolve(self, seen: Array, size: Triple, threads: int) -> tuple[Array, bool]:
        """Return the sums of the weights that met a number, (N, K, d, h, w), or (N, 1, d, h, w) if all K are equal.

        And whether they are above zero where a number was met, and zero elsewhere, in spite of rounding.
        """
        sums = self._filters.convolve(seen.astype(self._filters.bank.dtype, copy=False), None, size, threads)
        return sums if self._places is None else sums[:, self._places], self._is_exact


class Work:
    """One convolution of images with holes, block by block."""

    def __init__(
        self,
        problem: Problem,
        dtypes: tuple[np.dtype[Any], ...],
        image: Array,
        mask: Array | None,  # (N or 1, C or 1, D, H, W)
        weight: Array,
        bias: Array | None,
        weights: MaskWeights,
        missing: Options,
        pack: Pack | None,
    ) -> None:
        self._problem, self._dtypes, self._bias, self._mask = problem, dtypes, bias, mask
        self._renormalizes = bool(missing.renormalize)
        self._ignores_nan = missing.nan == "ignore" and problem.accumulator.kind in "fc"
        modes = (problem.padding_mode, problem.padding_mode, problem.padding_mode)
        self._border = problem.border or Border(modes, (0,), problem.size, problem.pad)
        self._images = image.reshape(*problem.images_shape[:2], *problem.size)
        self._count, self._size = _cut(problem)
        reuse = self._reuse = pack is not None or self._size != problem.output_size
        self._weight = weight

        self._mask_weights, self._needs_sums = weights, missing.return_weight or weights.renormalizes
        accumulator = problem.accumulator

        # Bias and activation come with the sums, or after their renormalisation.
        self._activation = problem.activation if self._renormalizes else None
        fused = problem._replace(dtype=accumulator, activation=None if self._renormalizes else problem.activation)
        rooms = self._rooms = _spare.pop() if _spare else [Room() for _ in range(7)]
        dtypes = dtypes[: 2 if self._renormalizes else None]
        self._filters = Filters(fused, weight, dtypes, pack or _plan.prepare, reuse, rooms[0])
        is_real = accumulator.kind == "f"
        first = None if bias is None or self._renormalizes else bias.astype(accumulator).reshape(-1)
        last = bias if bias is not None and self._renormalizes else np.zeros(problem.filters, bool)
        self._biases = first, last.astype(np.float64 if is_real else accumulator).reshape(-1)
        self._keep_numbers: Any = _core.keep_numbers if is_real else _keep_numbers
        self._weigh: Any = _core.weigh if is_real else _weigh
        self._mask_filters: dict[tuple[bool, bool], MaskFilters] = {}
        self._measured: tuple[object, Any] = (None, None)  # the weights that a block sees, if all images share a mask
        self._padded_pixels = Padded(self._images, self._border, accumulator)
        self._padded_mask = None if mask is None else Padded(mask, self._border._replace(values=(True,)), mask.dtype)
        self._room_of: dict[tuple[int, Triple], tuple[Array, Array, Array, Array]] = {}

    def may_overlap(self, out: Array) -> bool:
        """Return whether out may share memory with what is read."""
        arrays = (self._images, self._mask, self._weight, self._bias)
        return any(array is not None and np.may_share_memory(out, array) for array in arrays)

    def check_integers(self, out: Array | None) -> None:
        """Raise ValueError if a sum of integers could exceed the range of the result's dtype, or of out's."""
        overflows = _check.may_overflow(self._dtypes, self._problem.taps, self._problem.accumulator)
        if overflows or out is not None:
            pixels = self._images if self._mask is None else np.where(self._mask, self._images, 0)
            _check.check_sums(self._problem, pixels, lambda: self._weight, self._bias, out, overflows)

    def blocks(self) -> Iterator[Block]:
        """Yield blocks that cover all outputs: of one box all images, then of the next."""
        problem = self._problem
        if 0 in problem.maps_shape:
            return
        boxes = [
            [slice(first, min(first + step, n)) for first in range(0, n, step)]
            for n, step in zip(problem.output_size, self._size, strict=True)
        ]
        for depths, rows, columns in product(*boxes):
            for first in range(0, problem.maps_shape[0], self._count):
                images = slice(first, min(first + self._count, problem.maps_shape[0]))
                yield Block(images, (depths, rows, columns))

    def all_see(self, threads: int) -> bool:
        """Return whether every output sees a number."""
        for block in self.blocks():
            _, seen, complete, alike = self._seen(block)
            if not all(complete):
                _, counts, least = self._measure(block, seen, all(alike), threads)
                if not (counts > least).all():
                    return False
        return True

    def compute(
        self, block: Block, maps: Array, weights: Array | None, hidden: Array | None, fill: Any, threads: int
    ) -> None:
        """Write a block of the feature maps, of the weights seen, and of which outputs see nothing."""
        kept, seen, complete, alike = self._seen(block)
        if any(alike) and not all(alike):  # results must not depend on what else is in the batch
            for n in range(block.images.start, block.images.stop):
                self.compute(block._replace(images=slice(n, n + 1)), maps, weights, hidden, fill, threads)
            return
        target = maps[block.maps]
        values = target if target.dtype == kept.dtype else np.empty(target.shape, kept.dtype)
        sums = self._filters.convolve(kept, self._biases[0], block.size, threads)
        if all(complete):
            self._weigh(sums, sums, sums, 0, COMPLETE, self._mask_weights.scales, self._biases[1], 0, values)
            self._activate(values)
        else:
            seen_sums, counts, least = self._measure(block, seen, all(alike), threads)
            self._weigh(
                sums, seen_sums, counts, least, complete, self._mask_weights.scales, self._biases[1], fill, values
            )
            self._activate(values)
            if hidden is not None or weights is not None or (self._activation is not None and not np.isnan(fill)):
                nothing = ~(counts > least)
                np.copyto(values, fill, where=nothing, casting="unsafe")
                if hidden is not None:
                    hidden[block.maps] = nothing
        if weights is not None:
            part = weights[block.maps]
            part[...] = self._mask_weights.totals.reshape(-1, 1, 1, 1)
            if not all(complete):
                incomplete = ~np.reshape(complete, (-1, 1, 1, 1, 1))
                np.copyto(part, np.where(nothing, 0, seen_sums), where=incomplete, casting="unsafe")
        if values is not target:
            _blocks.cast(values, target)

    def _activate(self, values: Array) -> None:
        if self._activation is not None:
            _core.apply_activation(values, _core.ACTIVATIONS[self._activation])

    def _seen(self, block: Block) -> tuple[Array, Array, Sequence[bool], Sequence[bool]]:
        """Return the pixels that a block sees, with zeros where they are missing, and where they are not: 1, else 0.

        And for every image whether nothing is missing, and whether all channels miss the same.
        """
        problem, (images, outputs) = self._problem, block
        first = [part.start * step for part, step in zip(outputs, problem.stride, strict=True)]
        count, size = images.stop - images.start, block.size
        rooms = self._room_of.get((count, size))
        if rooms is None:
            rooms = self._room_of[count, size] = self._make_rooms(count, size)
        pixels = self._padded_pixels.section(images, first, rooms[0])
        mask = None
        if self._padded_mask is not None:
            mask = self._padded_mask.section(images, first, rooms[1])
        elif not self._ignores_nan:
            return pixels, pixels, COMPLETE, COMPLETE
        complete, alike = self._keep_numbers(pixels, mask, self._ignores_nan, rooms[2], rooms[3])
        return rooms[2], rooms[3], complete, alike

    def _make_rooms(self, count: int, size: Triple) -> tuple[Array, Array, Array, Array]:
        """Return arrays for what a block of outputs of so many images sees: pixels, mask, numbers, and where these are."""
        problem = self._problem
        span = tuple(problem.span(axis, n) for axis, n in enumerate(size))
        whole, flags = (count, problem.channels), (count, problem.channels)
        if self._mask is not None:
            mask = min(count, len(self._mask)), self._mask.shape[1]
            flags = whole if self._ignores_nan else mask
        else:
            mask = (0, 0)
        pixels, bools, kept, seen = self._rooms[3:]
        return (
            pixels.array((*whole, *span), problem.accumulator),
            bools.array((*mask, *span), np.dtype(bool)),
            kept.array((*whole, *span), problem.accumulator),
            seen.array((*flags, *span), self._mask_weights.flag_dtype),
        )

    def _measure(self, block: Block, seen: Array, alike: bool, threads: int) -> tuple[Array, Array, float]:
        """Return the weights that outputs see, and counts that are above a number, returned last, if they see anything.

        `alike`: whether all channels share a mask.
        """
        if self._measured[0] == block.outputs:
            return cast(tuple[Array, Array, float], self._measured[1])
        if alike:
            seen = seen[:, :1]
        sums = measured = None
        if self._needs_sums:
            sums, exact = self._filters_of_masks(False, alike).convolve(seen, block.size, threads)
            measured = (sums, sums, 0.0) if exact else None
        if measured is None:
            counts, _ = self._filters_of_masks(True, alike).convolve(seen, block.size, threads)
            if counts.dtype != self._mask_weights.flag_dtype:
                counts = (counts > 0.5).astype(self._mask_weights.flag_dtype)
            measured = counts if sums is None else sums, counts, 0.5
        if self._mask is not None and len(self._mask) == 1 and not self._ignores_nan:  # it is that of all images
            self._measured = block.outputs, measured
        return measured

    def _filters_of_masks(self, counts: bool, alike: bool) -> MaskFilters:
        filters = self._mask_filters.get((counts, alike))
        if filters is None:
            distinct, groups = self._mask_weights.distinct(counts, alike)
            filters = MaskFilters(distinct, groups, self._problem, self._reuse, self._rooms[1 + counts])
            self._mask_filters[counts, alike] = filters
        return filters

    def close(self) -> None:
        """Leave the room for blocks to the next call."""
        if sum(room.nbytes for room in self._rooms) <= SPARE_BYTES and not _spare:
            _spare.append(self._rooms)


def _keep_numbers(
    pixels: Array, mask: Array | None, ignores_nan: bool, kept: Array, seen: Array
) -> tuple[list[bool], list[bool]]:
    """Do what _core.keep_numbers does, for numbers of any dtype."""
    numbers = np.ones((1,) * 5, bool) if mask is None else mask
    if ignores_nan:
        numbers = numbers & ~np.isnan(pixels)
    seen[...] = numbers
    kept[...] = 0
    np.copyto(kept, pixels, where=numbers)
    return [bool(image.all()) for image in numbers], [bool((image == image[:1]).all()) for image in numbers]


def _weigh(
    sums: Array,
    seen: Array,
    counts: Array,
    least: float,
    complete: Sequence[bool],
    totals: Array,
    bias: Array,
    fill: Any,
    maps: Array,
) -> None:
    """Do what _core.weigh does, for numbers of any dtype."""
    totals, whole = totals.reshape(-1, 1, 1, 1), np.reshape(complete, (-1, 1, 1, 1, 1))
    if totals.any():
        with np.errstate(all="ignore"):
            sums = np.where(whole | (totals == 0), 1, totals / seen) * sums
    maps[...] = np.where(whole | (counts > least), sums + bias.reshape(-1, 1, 1, 1), maps.dtype.type(fill))


def _rounding(weight: Array) -> Array:
    """Return what the sum of each filter's weights (K, C / groups, ...) may be off by if they were rounded to their dtype."""
    unit = 0.0 if weight.dtype.kind in "biu" else 2.0**-8 if weight.dtype.itemsize == 2 else np.finfo(weight.dtype).eps
    magnitudes: Array = np.abs(weight).sum((1, 2, 3, 4), np.float64) * float(unit)
    return magnitudes


def _plan_of(problem: Problem, dtypes: tuple[np.dtype[Any], ...], count: int, size: Triple, reuse: bool) -> _plan.Plan:
    """Return the plan of the padded problem for a block of so many images and outputs."""
    key = (problem, dtypes, count, size, reuse)
    plan: _plan.Plan | None = _plans.get(key)
    if plan is None:
        depth, rows, columns = (problem.span(axis, n) for axis, n in enumerate(size))
        stride_z, stride_y, stride_x = (1 if n == 1 else step for n, step in zip(size, problem.stride, strict=True))
        block = problem._replace(
            output_shape=(count, problem.filters, *size),
            batch_shape=(count,),
            size=(depth, rows, columns),
            output_size=size,
            stride=(stride_z, stride_y, stride_x),
            pad=(0, 0, 0),
            padding_mode="zeros",
            border=None,
        )
        try:
            plan = _plan.make(block, dtypes, reuse)
        except ValueError:  # the algorithm can do the whole, but not a block of this size
            _plan.make(problem, dtypes, reuse)
            plan = _plan.make(block._replace(algorithm="auto"), dtypes, reuse)
        _plans.put(key, plan, plan.nbytes)
    return plan


def _cut(problem: Problem) -> tuple[int, Triple]:
    """Return how many images, and how many outputs along each axis, form a block."""
    limit = BLOCK_BYTES * max(1, min(problem.group_size) // CHANNELS_OF_LARGER_BLOCKS)
    size = [max(1, n) for n in problem.output_size]

    def nbytes() -> int:
        pixels = math.prod(problem.span(axis, n) for axis, n in enumerate(size))
        return (problem.channels * pixels + problem.filters * math.prod(size)) * problem.accumulator.itemsize

    for axis, step in enumerate(problem.stride):
        shared = max(0, problem.span(axis) - step)
        while size[axis] > 1 and size[axis] // 2 >= OUTPUTS_PER_SHARED_PIXEL * shared // step and nbytes() > limit:
            size[axis] = (size[axis] + 1) // 2
    return max(1, limit // max(1, nbytes())), (size[0], size[1], size[2])


def _distinct(bank: Array, groups: int) -> Distinct:
    """Return the different filters of a bank; several groups see different channels, and keep all of their filters."""
    index = None
    if groups == 1 < len(bank):
        places: dict[bytes, int] = {}
        filters = [places.setdefault(kernel.tobytes(), len(places)) for kernel in bank]
        if 1 < len(places) < len(bank):
            index = np.array(filters)
        bank = bank[np.unique(filters, return_index=True)[1]]
    return Distinct(bank, index, _is_positive(bank))


def _is_positive(bank: Array) -> bool:
    """Return whether sums of some weights of each of these filters are zero only where all are, even if rounded."""
    if bank.dtype.kind == "c" or not np.isfinite(bank).all() or (bank < 0).any():
        return False
    weights = bank[bank > 0]
    return bool(bank.any((1, 2, 3, 4)).all()) and weights.min() > max(
        weights.max() * LEAST_WEIGHT, np.finfo(bank.dtype).tiny * 2**24
    )


def _merge_batch(mask: Array, problem: Problem, axes: int) -> Array:
    """Return a mask (N or 1, C or 1, D, H, W) for one that broadcasts to the image, of as many axes."""
    spatial = mask.ndim - axes
    batch, channels = mask.shape[: len(problem.batch_shape)], mask.shape[len(problem.batch_shape) : spatial]
    batch = problem.batch_shape if any(n != 1 for n in batch) else batch
    whole = np.broadcast_to(mask, (*batch, *channels, *problem.size[3 - axes :]))
    return whole.reshape(math.prod(batch), math.prod(channels), *problem.size)


def _check_options(missing: Options) -> None:
    """Raise ValueError or TypeError if an option does not exist; the mask and the fill value are checked elsewhere."""
    for name, allowed in (("nan", ("propagate", "ignore")), ("renormalize", (False, True, "abs"))):
        value = getattr(missing, name)
        if not isinstance(value, (str, bool)) or value not in allowed:
            kind = ValueError if isinstance(value, str) else TypeError
            raise kind(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
    if not isinstance(missing.return_weight, bool):
        raise TypeError(f"return_weight must be True or False; got {missing.return_weight!r}")


def _mask(input: ArrayLike, shape: tuple[int, ...], given: ArrayLike | None) -> Array | None:
    """Return where to use an input of this shape, with as many axes: where given, and where its own mask hides nothing.

    None: everywhere.
    """
    mask = None
    if given is not None:
        mask = _check.as_array("mask", given)
        if mask.dtype != bool:
            raise TypeError(f"mask must be of bools, True where a pixel is used; got dtype {mask.dtype}")
        lengths = zip(mask.shape[::-1], shape[::-1], strict=False)
        if mask.ndim > len(shape) or any(n not in (1, size) for n, size in lengths):
            raise ValueError(f"mask must have the shape of input {shape}, or broadcast to it; got shape {mask.shape}")
    if isinstance(input, MaskedArray) and input.mask is not np.ma.nomask:
        visible = ~np.ma.getmaskarray(input)
        mask = visible if mask is None else mask & visible
    return None if mask is None else mask.reshape((1,) * (len(shape) - mask.ndim) + mask.shape)


def _fill_value(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return what outputs that see nothing become in a result of this dtype; None if that is NaN, but it holds integers."""
    number = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 else value
    if not isinstance(number, (int, float, complex)):
        raise TypeError(f"fill_value must be a number; got {value!r}")
    if isinstance(number, complex) and dtype.kind != "c":
        raise TypeError(f"fill_value must be real for a result of real numbers; got {value!r}")
    if isinstance(number, complex) or dtype.kind not in "iu":
        return number
    if math.isnan(number):
        return None
    if not math.isfinite(number) or not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max or number != int(number):
        raise ValueError(f"fill_value must be an integer that the result's dtype {dtype} holds; got {value!r}")
    return int(number)
