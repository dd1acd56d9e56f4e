"""Convolution of images with holes: a pixel that is missing gets no weight.

With sums over the channels and taps that meet a number,

    seen[k, o] = sum of w_k        out[k, o] = activation(bias_k + total_k / seen[k, o] * sum of w_k x)

where total_k is the sum of all weights, and the quotient is left out unless asked for. Outputs are computed block by
block, so that everything on the way stays in the cache. What sees only numbers is convolved as it is. Elsewhere pixels,
with zeros in place of what is missing, are convolved by one plan, and the mask (1: a number) with the weights by another;
outputs that see nothing are those whose window of the mask is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import islice, product
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _blocks, _check, _core, _plan
from fastconv._arrays import Room, fits_core, last_axes, plain
from fastconv._border import Border
from fastconv._cache import Cache
from fastconv._problem import Array, Problem, Triple

BLOCK_BYTES = 2**20  # bytes of a block's pixels and outputs, where each pixel is in few products
WHOLE_BLOCKS = 4  # of so many images are not cut: they are small enough for calls to cost more than the cache saves
KEPT_BOXES = 2**8  # of an image that a plan remembers
CHANNELS_OF_LARGER_BLOCKS = 4  # in and out of a group: with more, passes over memory are cheap beside the products
OUTPUTS_PER_SHARED_PIXEL = 8  # of a block along an axis, at least, for each pixel that its neighbour reads as well
FLOAT32_COUNTS = 2**12  # taps: counts of up to so many are off by less than half in float32, whatever the algorithm
LEAST_WEIGHT = 2.0**-64  # relative to the largest: direct sums of such weights and larger do not vanish

MEASURES_BYTES = 2**20
SMALL_WEIGHT_BYTES = 2**12  # bytes of weights that are looked up by their values
MEASURE_BYTES = 2**14  # bytes that small weights take with what is made of them, about
_measures = Cache(MEASURES_BYTES)  # of small weights

SPARE_BYTES = 2**23  # of room for blocks that is kept from call to call: new memory costs more than what is done there
_spare: list[list[Room]] = []
KEPT, SEEN, SUMS, WEIGHTS, COUNTS, VALUES = range(6)  # rooms

FEW_TAPS = 16  # of a filter: for no more, counting what they see is faster than a search for windows of zeros
CORE_DTYPES = {np.dtype(np.float32), np.dtype(np.float64)}
FLAGS_OF_32_BITS = {np.dtype(np.float32), np.dtype(np.complex64)}  # accumulators whose masks become float32
INEXACT = {"winograd", "fft"}

Pack = Callable[[_plan.Plan, Array], _plan.Packed]
Key = tuple[Any, ...]


class Options(NamedTuple):
    """What is missing, and what becomes of it, in the order of the signatures."""

    nan: Any = "propagate"
    mask: Any = None
    renormalize: Any = False
    fill_value: Any = math.nan
    return_weight: Any = False

    @property
    def key(self) -> str:
        """What plans depend on; of values that are refused, too, and of 1 == True."""
        return f"{self.nan!r} {self.renormalize!r} {self.return_weight!r}"


class Distinct(NamedTuple):
    """The different filters of a bank."""

    bank: Array
    groups: int
    places: Array | None  # of each filter among them; None if it is its own, or all are one
    is_positive: bool  # direct sums of these weights are zero only where all are, even if rounded
    packed: dict[Key, _plan.Packed]  # by packing


class MaskWeights:
    """What masks are convolved with for a bank (K, C / groups, kd, kh, kw): made once for it."""

    def __init__(self, weight: Array, groups: int, accumulator: np.dtype[Any], renormalize: bool | str) -> None:
        dtype = accumulator if accumulator.kind in "fc" else np.dtype(np.float64)
        self.flag_dtype = np.empty(0, dtype).real.dtype  # of masks: 1 or 0
        self.dtype = self.flag_dtype if renormalize == "abs" else dtype
        self._groups, self._sizes = groups, np.abs(weight.astype(dtype)) if renormalize == "abs" else weight
        self._taps = weight != 0
        self._taps[~self._taps.any((1, 2, 3, 4))] = True  # a filter of zeros is content with any number
        self.is_full = bool(self._taps.all())
        totals = self._sizes.sum((1, 2, 3, 4), np.complex128 if self._sizes.dtype.kind == "c" else np.float64)
        self.totals = totals.astype(self.dtype).reshape(-1, 1, 1, 1)
        self.scales = np.zeros(totals.shape, totals.dtype)  # the same, where sums are to be renormalised, else zero
        if renormalize:
            np.copyto(self.scales, self.totals.reshape(-1), where=np.abs(totals) > _rounding(weight))
        self.renormalizes = bool(self.scales.any())
        self._distinct: dict[tuple[bool, bool], Distinct] = {}

    def distinct(self, counts: bool, alike: bool) -> Distinct:
        """Return filters for masks: with ones where weights are not zero, or with the weights.

        `alike`: for a mask that all channels share.
        """
        if (counts, alike) not in self._distinct:
            bank = self._taps if counts else self._sizes
            if alike:
                bank = bank.any(1, keepdims=True) if counts else bank.sum(1, self.dtype, keepdims=True)
            is_wide = bank[0].size > FLOAT32_COUNTS and self.flag_dtype.itemsize == 4
            dtype = self.dtype if not counts else np.dtype(np.float64) if is_wide else self.flag_dtype
            self._distinct[counts, alike] = _distinct(bank.astype(dtype), 1 if alike else self._groups)
        return self._distinct[counts, alike]


class Box(NamedTuple):
    """A box of outputs, and what they see."""

    outputs: tuple[slice, ...]
    size: Triple
    ranges: list[slice]  # of the padded images
    first: list[int]  # of these, from the first pixel on
    pixels: list[slice]  # of the images, that these show
    is_inside: bool  # these are all that is shown, and each once
    inner: list[slice] | None  # pixels to which the plan "in place" adds what padding there is; None if it cannot


class Call:
    """What a call computes with; batch axes are merged."""

    def __init__(
        self,
        images: Array,  # (N, C, D, H, W)
        mask: Array | None,  # (N or 1, C or 1, D, H, W)
        bank: Array,
        bias: Array | None,
        threads: int,
        pack: Pack,
        make_measures: Callable[[Array], MaskWeights],
        slopes: Array | None,  # of an activation that has them
    ) -> None:
        self.images, self.mask, self.bank, self.bias = images, mask, bank, bias
        self.threads, self.pack, self._make_measures = threads, pack, make_measures
        self.slopes = slopes
        self.packed: dict[Key, _plan.Packed] = {}  # the bank, by packing

    @cached_property
    def rooms(self) -> list[Room]:
        """Memory for blocks."""
        try:
            return _spare.pop()
        except IndexError:
            return [Room() for _ in range(6)]

    @cached_property
    def measures(self) -> MaskWeights:
        """What masks are convolved with, made if need be."""
        return self._make_measures(self.bank)

    def part(self, images: slice, box: Box) -> tuple[Array, Array | None]:
        """Return the pixels that outputs see, and where to use them."""
        index = last_axes(box.pixels)
        mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[images]
        return self.images[images][index], None if mask is None else mask[index]


class Results(NamedTuple):
    """What a call returns; batch axes are merged."""

    maps: Array  # (N, K, D', H', W')
    weights: Array | None  # seen by the outputs
    hidden: Array | None  # which outputs see nothing
    fill: Any


class Measure(NamedTuple):
    """What outputs see of masks."""

    weights: Array | None  # (N or 1, K or 1, d, h, w), if needed
    nothing: Array | None  # which of them see nothing, likewise; None if all see something


class Plan:
    """What every call with the same shapes, dtypes and options does."""

    def __init__(
        self,
        axes: int,
        shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None],
        dtypes: tuple[np.dtype[Any], ...],
        options: _check.Options,
        missing: Options,
        reuse: bool,
    ) -> None:
        """Shapes and dtypes are those of input, weight and bias, and `options` checked; `reuse`: for a bank."""
        _check_options(missing)
        first = dtypes[0]
        if missing.renormalize and all(dtype.kind in "biu" for dtype in dtypes):
            first = np.dtype(np.float64)
        problem = _check.problem(axes, *shapes, (first, *dtypes[1:]), options)
        problem = self.problem = problem._replace(channels_last=0)
        self._axes, self._dtypes, self._options, self._renormalize = axes, dtypes, options, missing.renormalize
        self._needs_weights = missing.return_weight
        self._ignores_nan = missing.nan == "ignore" and problem.accumulator.kind in "fc"
        modes = (problem.padding_mode, problem.padding_mode, problem.padding_mode)
        border = self._border = problem.border or Border(modes, (0,), problem.size, problem.pad)
        values = border.values if len(border.values) > 1 else border.values * problem.channels
        self._values = np.array(values, problem.accumulator)
        self._modes = [_core.PADDING_MODES[mode] for mode in border.modes]
        self._has_missing_values = bool(np.isnan(self._values).any())
        self._count, self._size = _cut(problem)
        self._reuse = reuse or self._size != problem.output_size
        self._plans: dict[Key, _plan.Plan] = {}  # of blocks
        self._plain = self._make_plan(problem, dtypes)  # of images of which nothing is missing
        kept = self._kept_boxes = [*islice(self._boxes(), KEPT_BOXES + 1)]
        self._whole = kept[0] if kept and self._size == problem.output_size else None  # if one box does
        if len(kept) > KEPT_BOXES:
            self._kept_boxes = []

    @property
    def nbytes(self) -> int:
        """Bytes that the plan takes, about, once blocks have been planned."""
        return 4 * self._plain.nbytes

    def run(
        self,
        input: ArrayLike,
        image: Array,
        weight: Array,
        bias: Array | None,
        missing: Options,
        out: Array | None,
        threads: int,
        pack: Pack = _plan.prepare,
        kept: dict[Any, MaskWeights] | None = None,
        slopes: Array | None = None,
    ) -> Any:
        """Return the feature maps, masked if the input is; and the weights seen, if asked.

        `image` is input without its mask. `pack` is how a bank, which keeps them, packs its weights, and `kept` where it
        keeps others; `slopes` are those of an activation that has them.
        """
        problem, masked = self.problem, _check.is_masked(input)
        mask = _mask(input, image.shape, missing.mask)
        if mask is not None:
            mask = _merge_batch(mask, problem, self._axes)
        images, bank = image.reshape(problem.images_shape), weight.reshape(problem.weight_shape)
        dtype = problem.dtype if out is None else _check.check_out(out, problem).dtype
        fill = _fill_value(missing.fill_value, dtype)
        call = Call(images, mask, bank, bias, threads, pack, partial(self._measures, kept), slopes)
        if problem.accumulator.kind == "i":
            self._check_integers(call, out)
        complete = None if self._whole is None else self._are_complete(call, slice(None), self._whole)
        is_complete = 0 in problem.maps_shape or (complete is not None and all(complete))
        if fill is None:
            fill = 0
            if not (masked or is_complete or self._all_see(call, complete)):
                raise ValueError(
                    f"fill_value must be an integer, for the result is of {dtype} and some outputs see no pixel; got NaN"
                )
        result = out
        if out is not None and not is_complete:
            arrays = (images, mask, bank, bias)
            if not out.flags.c_contiguous or any(np.may_share_memory(out, a) for a in arrays if a is not None):
                result = None
        if is_complete or (complete is not None and any(complete)):
            result = self._convolve(call, self._plain, image, bias, result)
        elif result is None:
            result = _core.empty_result(problem.output_shape, dtype)
        weights = hidden = None
        if self._needs_weights:
            weights = np.empty(problem.maps_shape, call.measures.dtype)
            weights[...] = call.measures.totals
        if masked:
            hidden = np.zeros(problem.maps_shape, bool)
        if not is_complete:
            results = Results(result.reshape(problem.maps_shape), weights, hidden, fill)
            for box, blocks in self._blocks(call, complete):
                shared = None
                for part, flags in blocks:
                    shared = self._compute(call, box, part, flags, results, shared)
            if not _spare and sum(room.nbytes for room in call.rooms) <= SPARE_BYTES:
                _spare.append(call.rooms)
        if out is not None and result is not out:
            out[...] = result
            result = out
        values = result if hidden is None else np.ma.MaskedArray(result, hidden.reshape(problem.output_shape))
        return values if weights is None else (values, weights.reshape(problem.output_shape))

    def _measures(self, kept: dict[Any, MaskWeights] | None, bank: Array) -> MaskWeights:
        """Return what masks are convolved with, as it was kept by a bank, or for the same few weights."""
        key: Key = (self._renormalize, self.problem.accumulator)
        if kept is None and bank.nbytes <= SMALL_WEIGHT_BYTES:
            key = (*key, self._options, bank.shape, bank.dtype, bank.tobytes())
        measures = (_measures if kept is None else kept).get(key)
        if measures is None:
            measures = MaskWeights(bank, self.problem.groups, *key[1::-1])
            if kept is not None:
                kept[key] = measures
            elif len(key) > 2:
                _measures.put(key, measures, MEASURE_BYTES)
        return measures

    def _boxes(self) -> Iterator[Box]:
        """Yield boxes that cover the outputs of an image."""
        problem, border = self.problem, self._border
        parts = [
            [slice(first, min(first + step, n)) for first in range(0, n, step)]
            for n, step in zip(problem.output_size, self._size, strict=True)
        ]
        for outputs in product(*parts):
            depth, rows, columns = (part.stop - part.start for part in outputs)
            ranges, first = [], []
            inner: list[slice] | None = [] if problem.border is None else None
            for axis, n in enumerate((depth, rows, columns)):
                start, span = outputs[axis].start * problem.stride[axis], problem.span(axis, n)
                ranges.append(slice(start, start + span))
                first.append(start - border.pad[axis])
                if inner is not None and n == problem.output_size[axis]:
                    inner.append(slice(0, border.size[axis]))
                elif inner is not None and first[axis] >= 0 and first[axis] + span <= border.size[axis]:
                    inner.append(slice(first[axis], first[axis] + span))
                else:
                    inner = None
            yield Box(outputs, (depth, rows, columns), ranges, first, *border.pixels(ranges), inner)

    def _blocks(self, call: Call, complete: list[bool] | None) -> Iterator[tuple[Box, list[tuple[slice, list[bool]]]]]:
        """Yield boxes, and parts of the batch with, for every image, whether nothing is missing of what the box sees.

        `complete` tells it if one box is all.
        """
        count = len(call.images)
        parts = [slice(first, min(first + self._count, count)) for first in range(0, count, self._count)]
        if self._whole is not None and complete is not None:
            yield self._whole, [(images, complete[images]) for images in parts]
            return
        for box in self._kept_boxes or self._boxes():
            yield box, [(images, self._are_complete(call, images, box)) for images in parts]

    def _are_complete(self, call: Call, images: slice, box: Box) -> list[bool]:
        """Return for every image whether nothing is missing of what a box sees."""
        pixels, mask = call.part(images, box)
        if self._ignores_nan and self._has_missing_values and not box.is_inside:
            return [False] * len(pixels)
        if not self._ignores_nan or (pixels.dtype in CORE_DTYPES and fits_core(pixels, pixels.dtype, 1)):
            return _core.are_complete(pixels, mask, self._ignores_nan)
        numbers = ~np.isnan(pixels) if mask is None else ~np.isnan(pixels) & mask
        return [bool(image.all()) for image in numbers]

    def _all_see(self, call: Call, complete: list[bool] | None) -> bool:
        """Return whether every output sees a number."""
        for box, blocks in self._blocks(call, complete):
            for images, flags in blocks:
                if not all(flags):
                    _, seen, alike = self._keep(call, images, box)
                    if self._measure(call, seen, all(alike), box.size)[1] is not None:
                        return False
        return True

    def _compute(
        self, call: Call, box: Box, images: slice, complete: list[bool], results: Results, shared: Measure | None
    ) -> Measure | None:
        """Write some outputs of some images; return what they see of the mask, if the next images share it."""
        problem, accumulator, size, count = self.problem, self.problem.accumulator, box.size, len(complete)

        def place(maps: Array) -> Array:
            return maps[(images, slice(None), *box.outputs)]

        target = place(results.maps)
        if self._whole is None and any(complete):
            section, name = call.images[images], "plain"
            if box.inner is not None:
                section, name = section[last_axes(box.inner)], "in place"
            else:
                section = self._border.section(section, box.ranges, accumulator, call.rooms[KEPT])
            self._convolve(call, self._planned(name, count, size), section, call.bias, target)
        if all(complete):
            return shared
        kept, seen, alike = self._keep(call, images, box)
        incomplete = [n for n in range(count) if not complete[n]]
        if count > 1 and len({alike[n] for n in incomplete}) > 1:  # bits must not depend on what else is in the batch
            for n in incomplete:
                one = slice(images.start + n, images.start + n + 1)
                self._compute(call, box, one, [False], results, None)
            return None
        in_place = not any(complete)
        if shared is None:
            shared = self._measure(call, seen, all(alike[n] for n in incomplete), size)
        sums, nothing = shared
        if self._renormalize and call.measures.renormalizes and sums is not None:
            room = call.rooms[SUMS].array((count, problem.filters, *size), accumulator)
            maps = self._convolve(call, self._planned("kept", count, size), kept, None, room)
            in_place = in_place and target.dtype == accumulator
            values = target if in_place else call.rooms[VALUES].array(target.shape, accumulator)
            weigh: Any = _core.weigh if accumulator.kind == "f" else _weigh
            bias = np.zeros(problem.filters) if call.bias is None else call.bias
            dtype = np.dtype(np.float64) if accumulator.kind == "f" else accumulator
            weigh(maps, sums, call.measures.scales, bias.astype(dtype).reshape(-1), values)
            if problem.activation is not None:
                slopes = None if call.slopes is None else np.ascontiguousarray(call.slopes, accumulator)
                _core.apply_activation(values, problem.epilogue, slopes)
        else:
            values = target if in_place else call.rooms[VALUES].array(target.shape, target.dtype)
            self._convolve(call, self._planned("plain", count, size), kept, call.bias, values)
        if nothing is not None:
            np.copyto(values, results.fill, where=nothing, casting="unsafe")
        for part in [slice(n, n + 1) for n in incomplete] if any(complete) else [slice(None)]:
            if values is not target:
                _blocks.cast(values[part], target[part], problem.saturates)
            if results.weights is not None and sums is not None:
                place(results.weights)[part] = sums[part] if len(sums) > 1 else sums
            if results.hidden is not None and nothing is not None:
                place(results.hidden)[part] = nothing[part] if len(nothing) > 1 else nothing
        is_shared = call.mask is not None and len(call.mask) == 1 and not self._ignores_nan
        return shared if is_shared else None

    def _keep(self, call: Call, images: slice, box: Box) -> tuple[Array, Array, list[bool]]:
        """Return the pixels that a box sees, with zeros where they are missing, and where they are not: 1, else 0.

        And for every image whether all channels miss the same.
        """
        accumulator, border = self.problem.accumulator, self._border
        pixels, mask = call.part(images, box)
        span = [part.stop - part.start for part in box.ranges]
        flags = pixels.shape if mask is None or self._ignores_nan else mask.shape
        flag_dtype = np.dtype(np.float32 if accumulator in FLAGS_OF_32_BITS else np.float64)
        kept = call.rooms[KEPT].array((*pixels.shape[:2], *span), accumulator)
        seen = call.rooms[SEEN].array((*flags[:2], *span), flag_dtype)
        if accumulator.kind == "f":
            if not fits_core(pixels, accumulator, 1):
                pixels = plain(pixels, accumulator)
            origin = [part.start for part in box.pixels]
            geometry = self._values, box.first, self._modes, border.size, origin
            return kept, seen, _core.keep_numbers(pixels, mask, *geometry, self._ignores_nan, kept, seen)
        section = border.section(call.images[images], box.ranges, accumulator)
        numbers: Any = np.True_
        if call.mask is not None:
            whole = call.mask if len(call.mask) == 1 else call.mask[images]
            numbers = border._replace(values=(True,)).section(whole, box.ranges, whole.dtype)
        if self._ignores_nan:
            numbers = numbers & ~np.isnan(section)
        seen[...] = numbers
        kept[...] = 0
        np.copyto(kept, section, where=numbers, casting="unsafe")
        return kept, seen, [bool((image == image[:1]).all()) for image in seen] * (len(kept) // len(seen))

    def _measure(self, call: Call, seen: Array, alike: bool, size: Triple) -> Measure:
        """Return what outputs see of masks; `alike`: all channels share one."""
        problem, measures = self.problem, call.measures
        if alike:
            seen = seen[:, :1]
        weights, is_exact, nothing = None, False, None
        if self._needs_weights or measures.renormalizes:
            weights, is_exact = self._convolve_mask(call, measures.distinct(False, alike), seen, size, WEIGHTS)
        if is_exact and weights is not None:
            nothing = weights == 0 if weights.min(initial=1) <= 0 else None
        elif measures.is_full and problem.taps > FEW_TAPS:
            groups = 1 if alike else problem.groups
            windows = seen.reshape(len(seen) * groups, seen.shape[1] // groups, *seen.shape[2:])
            nothing = _core.blank_windows(windows, (0, 0, 0), problem.kernel, problem.stride, problem.dilation, size)
            if nothing is not None and not nothing.any():
                nothing = None
            if nothing is not None:
                nothing = nothing.reshape(len(seen), groups, *size)
                if groups > 1:
                    nothing = nothing.repeat(problem.filters // groups, 1)
        else:
            counts = self._convolve_mask(call, measures.distinct(True, alike), seen, size, COUNTS)[0]
            nothing = counts < 0.5 if counts.min(initial=1) < 0.5 else None
        if nothing is not None and weights is not None and self._needs_weights:
            weights = np.where(nothing, 0, weights)
        return Measure(weights, nothing)

    def _convolve_mask(
        self, call: Call, distinct: Distinct, seen: Array, size: Triple, room: int
    ) -> tuple[Array, bool]:
        """Return the sums of the weights that met a number, (N, K, d, h, w), or (N, 1, d, h, w) if all K are equal.

        And whether they are above zero where a number was met, and zero elsewhere, in spite of rounding.
        """
        bank, _, places, is_positive, _ = distinct
        plan = self._plan_for_masks(distinct, len(seen), size)
        maps = call.rooms[room].array((len(seen), len(bank), *size), bank.dtype)
        seen = seen.astype(bank.dtype, copy=False)
        sums = self._convolve(call, plan, seen, None, maps, distinct)
        is_exact = is_positive and not {layout.name for layout in plan.layouts} & INEXACT
        return sums if places is None else sums[:, places], is_exact

    def _convolve(
        self,
        call: Call,
        plan: _plan.Plan,
        images: Array,
        bias: Array | None,
        maps: Array | None,
        distinct: Distinct | None = None,
    ) -> Array:
        """Convolve with the bank, or with others for masks, packed only once."""
        bank, packed, pack = call.bank, call.packed, call.pack
        if distinct is not None:
            bank, packed, pack = distinct.bank, distinct.packed, _plan.prepare
        weights = None
        if not plan.raw_weights:
            weights = packed.get(plan.packing)
            if weights is None:
                weights = packed[plan.packing] = pack(plan, bank)
            if weights[0] and plan is not self._plain and plan.fold is None:
                # The cheapest layouts refuse these weights: calls by a plan for another one cost less.
                key = (id(plan), weights[0])
                if key not in self._plans:
                    dtypes = tuple(array.dtype for array in (images, bank, bias) if array is not None)
                    problem = plan.problem._replace(algorithm=plan.layouts[weights[0]].name)
                    self._plans[key] = self._make_plan(problem, dtypes)
                return self._convolve(call, self._plans[key], images, bias, maps, distinct)
        slopes = None if plan.problem.activation is None else call.slopes
        return _plan.run(plan, images, bank, bias, maps, call.threads, weights, None, slopes)

    def _planned(self, name: str, count: int, size: Triple) -> _plan.Plan:
        """Return the plan for pixels of so many images, and so many outputs, whose border is part of these pixels.

        Of name "plain"; "in place": with padding along axes that are not cut; or "kept": without bias and activation.
        """
        key = (name, count, size)
        plan = self._plans.get(key)
        if plan is None:
            problem, dtypes = self.problem, self._dtypes
            if name == "kept":
                problem = problem._replace(dtype=problem.accumulator, activation=None)
                dtypes = problem.accumulator, dtypes[1]
            plan = self._plans[key] = self._make(problem, dtypes, count, size, name == "in place")
        return plan

    def _plan_for_masks(self, distinct: Distinct, count: int, size: Triple) -> _plan.Plan:
        """Return the plan for so many masks, and so many outputs."""
        bank, groups, *_ = distinct
        key = (bank.shape, groups, bank.dtype, count, size)
        plan = self._plans.get(key)
        if plan is None:
            problem = self.problem._replace(
                channels=bank.shape[1] * groups,
                filters=len(bank),
                groups=groups,
                activation=None,
                algorithm="direct" if self.problem.algorithm == "direct" else "auto",
                dtype=bank.dtype,
                accumulator=bank.dtype,
            )
            plan = self._make(problem, (bank.dtype, bank.dtype), count, size)
            if bank.shape[1] == 1 and "winograd" in {layout.name for layout in plan.layouts}:
                # Winograd's forms are less accurate where little is seen, and for one channel hardly faster.
                plan = self._make(problem._replace(precision="highest"), (bank.dtype, bank.dtype), count, size)
            self._plans[key] = plan
        return plan

    def _make(
        self, problem: Problem, dtypes: tuple[np.dtype[Any], ...], count: int, size: Triple, in_place: bool = False
    ) -> _plan.Plan:
        """Return the plan for a block of so many images and outputs: of the padded problem, but for axes in place."""
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
        if in_place:
            whole = [part == n for part, n in zip(size, problem.output_size, strict=True)]
            block = block._replace(
                size=cast(Triple, tuple(np.where(whole, problem.size, block.size).tolist())),
                pad=cast(Triple, tuple(np.where(whole, problem.pad, 0).tolist())),
                padding_mode=problem.padding_mode,
            )
        try:
            return self._make_plan(block, dtypes)
        except ValueError:  # the algorithm can do the whole, but not a block of this size
            return self._make_plan(block._replace(algorithm="auto"), dtypes)

    def _make_plan(self, problem: Problem, dtypes: tuple[np.dtype[Any], ...]) -> _plan.Plan:
        plan = _plan.make(problem, dtypes)
        return plan if self._reuse else plan.single

    def _check_integers(self, call: Call, out: Array | None) -> None:
        """Raise ValueError if a sum of integers could exceed the range of the result's dtype, or of out's."""
        overflows = _check.may_overflow(self._dtypes, self.problem.taps, self.problem.accumulator)
        if overflows or out is not None:
            pixels = call.images if call.mask is None else np.where(call.mask, call.images, 0)
            _check.check_sums(self.problem, pixels, lambda: call.bank, call.bias, out, overflows)


def _weigh(sums: Array, seen: Array, totals: Array, bias: Array, maps: Array) -> None:
    """Do what _core.weigh does, for complex numbers."""
    totals = totals.reshape(-1, 1, 1, 1)
    with np.errstate(all="ignore"):
        sums = np.where(totals == 0, 1, totals / seen) * sums
    maps[...] = sums + bias.reshape(-1, 1, 1, 1)


def _rounding(weight: Array) -> Array:
    """Return what the sum of each filter's weights (K, C / groups, ...) may be off by if they were rounded to their dtype."""
    unit = 0.0 if weight.dtype.kind in "biu" else 2.0**-8 if weight.dtype.itemsize == 2 else np.finfo(weight.dtype).eps
    magnitudes: Array = np.abs(weight).sum((1, 2, 3, 4), np.float64) * float(unit)
    return magnitudes


def _cut(problem: Problem) -> tuple[int, Triple]:
    """Return how many images, and how many outputs along each axis, form a block."""
    limit = BLOCK_BYTES * max(1, min(problem.group_size) // CHANNELS_OF_LARGER_BLOCKS)
    size = [max(1, n) for n in problem.output_size]

    def nbytes() -> int:
        pixels = math.prod(problem.span(axis, n) for axis, n in enumerate(size))
        return (problem.channels * pixels + problem.filters * math.prod(size)) * problem.accumulator.itemsize

    if nbytes() <= WHOLE_BLOCKS * limit:
        return max(1, limit // max(1, nbytes())), (size[0], size[1], size[2])
    for axis, step in enumerate(problem.stride):
        if axis == 2:
            limit *= WHOLE_BLOCKS  # parts of rows are copied once more
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
    return Distinct(bank, groups, index, _is_positive(bank), {})


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
    mask = whole.reshape(math.prod(batch), math.prod(channels), *problem.size)
    return mask if fits_core(mask, mask.dtype, 1) else np.ascontiguousarray(mask)


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
    if _check.is_masked(input) and input.mask is not np.ma.nomask:
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
