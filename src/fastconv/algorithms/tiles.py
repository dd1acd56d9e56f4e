"""Register tiles: direct summation as a GEMM of filters and pixels whose sums stay in registers.

The lanes of a vector are neighbouring pixels of a map, read from padded strips, from im2col panels or from the image in
place; or they are neighbouring filters at one pixel. All variants add up the same products in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from fastconv import _core, _weights
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import (
    CONFLICT_BYTES,
    CoreLayout,
    cost_lanes,
    direct,
    lanes,
    sweep,
    total,
    used_fraction,
    where,
)

NAME = direct.NAME
DOMAIN = "it takes float32 and float64"

STRIP_BYTES = 2**18  # bytes of a padded strip: it stays in the second-level cache while all filters are applied to it
PACKED_STRIP_BYTES = 2**20  # bytes of a strip that is read chunk by chunk, or that is mostly sums
SHARED_STRIP_BYTES = 2**17  # bytes of the strips and sums of small maps whose images are computed together
SHARED_SUMS_BYTES = 2**19  # the same where they are read in place
IN_PLACE_PRODUCTS = 2**28  # products of a strip read in place: one unit of work, which must not delay interrupts
PREFETCH_BYTES = 2**20  # bytes of maps that a core's caches do not hold: they are prefetched before they are written
CHUNK_TAPS = 512  # taps summed by themselves: it bounds rounding errors, and keeps panels in the cache
MIN_CHUNK_TAPS = 32  # with precision "highest"
BLOCK_TILES = 8  # register tiles computed in turn with one block of filters
MERGED_FILTERS = 32  # times these tiles, whose sums stay in the first-level cache until maps side by side are written
FILTER_BLOCK_TILES = 32  # the same with filters in the lanes
BLOCK_PIXELS = 256  # in these, about
REPACKED_WEIGHTS = 2**18  # weights packed on the fly, for all blocks of tiles: more are packed once, beforehand

# Costs, for `total`.
COSTS = {
    "call": 3e5,
    "group": 1e4,  # per plane of maps
    "output": 7.3,
    "pixel vector": 1.35,  # per product with pixels in the lanes, those of lanes that are not used included
    "load": 0.6,  # per tap and pixel
    "im2col": 17.0,  # the same in a panel
    "filter vector": 1.3,  # per product with filters in the lanes
    "broadcast": 2.4,  # per tap and pixel
    "filter sum": 15.0,  # per sum, to transpose it
    "strip row": 430.0,  # per row of a padded strip
    "strip": 25.0,  # per number of it
    "by filters, strip": 15.0,
    "packed": 10.0,  # per weight
}


class Tiles(CoreLayout):
    """Tiles for maps of one size, strip by strip.

    packed: weights are stored in the order in which tiles read them, rather than read as they are given; in_place: the
    image is read directly, not from a padded strip; flat: planes of images and maps are passed as single columns of
    pixels; images: whose pixels, with filters in the lanes, share register tiles.
    """

    name = NAME

    def __init__(
        self,
        problem: Problem,
        map_size: Triple,
        strip_rows: int,
        cost: float,
        form: Lanes,
        *,
        packed: bool,
        flat: bool,
        channels_last: bool = False,
        nontemporal: bool = False,
    ) -> None:
        by_filters, in_place, im2col, images = form
        chunk = chunk_taps(problem)
        # The last vectors of a row overlap their neighbours: a later chunk would add to the same pixels twice.
        block_tiles = FILTER_BLOCK_TILES if by_filters else BLOCK_TILES if im2col or problem.taps <= chunk else 1
        if channels_last:
            block_tiles = max(1, min(block_tiles, MERGED_FILTERS // problem.group_size[1]))
        filters_innermost = not packed and problem.exchanged and problem.kernel == (1, 1, 1)
        core = _core.tile_layout(
            map_size,
            problem.window,
            *problem.group_size,
            problem.bits,
            strip_rows,
            by_filters=by_filters,
            packed=packed,
            filters_innermost=filters_innermost,
            im2col=im2col,
            in_place=in_place,
            chunk=chunk,
            block_tiles=block_tiles,
            prefetch_maps=not channels_last and prefetches_maps(problem, map_size),
            images=images,
            channels_last=channels_last,
            nontemporal=nontemporal,
        )
        how = f"{'filters' if by_filters else 'pixels'} in the lanes, {where(in_place, strip_rows)}"
        how += f" of {images} images" if images > 1 else ""
        how += f"{', panels' if im2col else ''}, chunks of {min(chunk, problem.taps)} taps"
        super().__init__(problem, cost, core, how, ("tiles", by_filters, packed))
        self.call_layout, self.contiguous_axes = core, 3 if flat else 1
        self.raw_weights = not (packed or problem.flip or problem.exchanged) or filters_innermost
        self._form, self._packed, self._flat, self._strip_rows = form, packed, flat, strip_rows

    def unpacked(self) -> Tiles | None:
        layout = _layout(self.problem, self.cost, packed=False)
        return None if layout._packed else layout

    def pack(self, weight: Array) -> Array:
        if self.raw_weights:
            return _weights.copy_unless_plain(weight, self.problem.accumulator).reshape(-1)
        if not self._packed:
            return _weights.plain_filters(self.problem, weight).reshape(-1)
        return _weights.pack(
            self.problem, self._core_layout, _core.pack_tiles, partial(_weights.filters, self.problem, weight)
        )

    def run(
        self,
        images: Array,
        packed: Array,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> _core.Units | None:
        if self._flat:
            images, maps = (array.reshape(*array.shape[:2], 1, -1, 1) for array in (images, maps))
            residual = None if residual is None else residual.reshape(maps.shape)
        return super().run(images, packed, bias, maps, pads, threads, residual)

    def core_shapes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if not self._flat:
            return problem.images_shape, problem.maps_shape
        images, maps = ((*s[:2], 1, math.prod(s[2:]), 1) for s in (problem.images_shape, problem.maps_shape))
        return images, maps

    def strip(self, size: Triple, stays_cached: bool) -> Tiles:
        return self.block(size)

    def block(self, size: Triple) -> Tiles:
        """No block may be read in place that is smaller than a vector; narrow ones waste fewer lanes in panels."""
        form, packed = self._form, self._packed
        smallest = math.prod((n - 1) % step + 1 for n, step in zip(self.problem.output_size, size, strict=True))
        if self._flat and smallest >= lanes(self.problem):
            whole = (1, math.prod(size), 1)
            return Tiles(self.problem, whole, self._strip_rows, self.cost, form, packed=packed, flat=True)
        im2col = not form.by_filters and (self._flat or form.im2col or size[2] < lanes(self.problem))
        form = Lanes(form.by_filters, False, im2col)
        rows = size[1] if self._flat else min(size[1], self._strip_rows)
        return Tiles(self.problem, size, rows, self.cost, form, packed=packed, flat=False)

    def of_channels_last(self, nontemporal: bool) -> Tiles | None:
        """With pixels in the lanes, rows of images are split into channels as they are padded, and tiles are merged.

        With filters in the lanes, tiles are written as they are.
        """
        problem, form = self.problem, self._form
        if problem.stride[2] > 1 or (form.by_filters and not writes_pixels(problem)):
            return None
        rows, columns = problem.output_size[1:]
        strip_rows = self._strip_rows
        if form.by_filters:
            strip_rows = rows if self._flat else strip_rows
            form = form._replace(images=1)
        else:
            row_bytes = problem.size[2] * problem.accumulator.itemsize * problem.channels
            strip_rows = min(rows, max(1, STRIP_BYTES // row_bytes)) if self._flat else strip_rows
            form = Lanes(False, False, form.im2col or columns < lanes(problem))
        options = {"packed": self._packed, "flat": False, "channels_last": True, "nontemporal": nontemporal}
        layout = Tiles(problem, problem.output_size, strip_rows, self.cost, form, **options)
        return layout if layout.whole_images else None


class Lanes(NamedTuple):
    """What the lanes of vectors hold, and where pixels are read."""

    by_filters: bool
    in_place: bool
    im2col: bool = False
    images: int = 1


def writes_pixels(problem: Problem) -> bool:
    """Return whether tiles with filters in the lanes can write all maps of a pixel, side by side, as they are."""
    return problem.group_size[1] % lanes(problem) == 0 and problem.epilogue[0] == _core.ACTIVATIONS[None][0]


def choose(problem: Problem, budget: float) -> Tiles | None:
    """Return the cheaper of pixels and filters in the lanes, with strips that fit the cache; None where sweeps suit."""
    if problem.accumulator.kind != "f" or sweep.suits(problem):
        return None
    width = cost_lanes(problem)
    _, paid = _cheapest(problem, _forms(problem, width), width, packed=True)
    layout = _layout(problem, total(COSTS, paid), packed=True)
    layout.counts = paid
    return layout


def _layout(problem: Problem, cost: float, *, packed: bool) -> Tiles:
    """Return the layout that is the cheapest on this instruction set; weights that are not packed yet may have to be."""
    itemsize, width = problem.accumulator.itemsize, lanes(problem)
    filters = problem.group_size[1]
    map_size = _map_size(problem)
    _, rows, columns = map_size
    forms = list(_forms(problem, width))
    if problem.channels_last and filters > width and writes_pixels(problem):
        forms = forms[1:]
    form, _ = _cheapest(problem, forms, width, packed=packed)
    strip_row_bytes = _strip_row_bytes(problem)
    if form.by_filters:
        strip_row_bytes = _filters_row_bytes(problem)
    else:
        phases = [min(step, taps) for step, taps in zip(problem.stride[1:], problem.kernel[1:], strict=True)]
        strip_row_bytes = strip_row_bytes * phases[0] * phases[1] // problem.stride[2]
    strip_rows = (PACKED_STRIP_BYTES if form.by_filters or form.im2col else STRIP_BYTES) // max(1, strip_row_bytes)
    if form.in_place and not form.by_filters:
        strip_rows = max(24 * width, IN_PLACE_PRODUCTS // (problem.taps * filters))
    turned = problem.flip and problem.kernel != (1, 1, 1)  # weights that would have to be copied in any case
    row = filters if problem.exchanged else problem.taps  # of weights as given
    conflicts = not form.by_filters and row * itemsize % CONFLICT_BYTES == 0
    repeats = problem.images_shape[0] * max(1 / form.images, rows * columns / BLOCK_PIXELS) - 1  # of packing on the fly
    repacked = repeats * problem.taps * filters if form.by_filters else 0
    packed = packed or turned or conflicts or repacked > REPACKED_WEIGHTS
    strip_rows = max(1, min(rows, strip_rows))
    return Tiles(problem, map_size, strip_rows, cost, form, packed=packed, flat=problem.is_pointwise)


def _cheapest(problem: Problem, forms: Iterable[Lanes], width: int, *, packed: bool) -> tuple[Lanes, dict[str, float]]:
    """Return the cheapest form on vectors of so many numbers, and its counts."""
    paid = ((form, counts(problem, form, width, packed=packed)) for form in forms)
    return min(paid, key=lambda one: total(COSTS, one[1]))


def counts(problem: Problem, form: Lanes, width: int, *, packed: bool) -> dict[str, float]:
    """Return how often each of COSTS is paid for one image, on vectors of so many numbers."""
    channels, filters = problem.group_size
    depth, rows, columns = _map_size(problem)
    planes, pixels = problem.groups * depth, rows * columns
    some = {"call": 1.0, "group": planes, "output": planes * pixels * filters}
    if form.by_filters:
        vectors = planes * pixels * math.ceil(filters / width)
        some |= {
            "filter vector": cost_lanes(problem) * vectors * problem.taps,
            "broadcast": planes * pixels * problem.taps,
            "filter sum": cost_lanes(problem) * vectors,
        }
    else:
        whole = form.im2col or form.in_place
        vectors = planes * (math.ceil(pixels / width) if whole else rows * math.ceil(columns / width))
        some |= {
            "pixel vector": cost_lanes(problem) * vectors * problem.taps * filters,
            "im2col" if form.im2col else "load": cost_lanes(problem) * vectors * problem.taps,
        }
    if not form.in_place:
        strip_rows = planes * channels * problem.kernel[0] * rows * min(problem.stride[1], problem.kernel[1])
        numbers = strip_rows * (problem.size[2] + 2 * problem.pad[2])
        some |= {"strip row": strip_rows, "by filters, strip" if form.by_filters else "strip": numbers}
    if not packed and form.by_filters and pixels > 1:
        shared = min(1.0, pixels / BLOCK_PIXELS) if form.images > 1 else 1.0
        some["packed"] = shared * problem.groups * problem.taps * filters
    return some


def _forms(problem: Problem, width: int) -> Iterator[Lanes]:
    """Yield what the lanes of vectors of this width may hold: pixels, or filters."""
    _, rows, columns = _map_size(problem)
    in_place = problem.is_pointwise and rows >= width
    # im2col copies every pixel once per tap; without it, lanes are wasted at the end of every row.
    fraction = used_fraction(columns, width) * (1 + 3 / problem.group_size[1])
    yield Lanes(False, in_place, im2col=not in_place and (columns < width or fraction < 1))
    inside = all(problem.stays_inside(axis) for axis in range(3))
    shared_bytes = SHARED_SUMS_BYTES if inside else SHARED_STRIP_BYTES
    images = max(1, min(problem.images_shape[0], shared_bytes // max(1, rows * _filters_row_bytes(problem))))
    yield Lanes(True, inside, images=images)


def _map_size(problem: Problem) -> Triple:
    return (1, math.prod(problem.output_size), 1) if problem.is_pointwise else problem.output_size


def _strip_row_bytes(problem: Problem) -> int:
    """Return the bytes of a row of the image that a strip holds, for all channels and depths of the kernel."""
    columns = 1 if problem.is_pointwise else problem.size[2] + 2 * problem.pad[2]
    return columns * problem.accumulator.itemsize * problem.kernel[0] * problem.group_size[0]


def _filters_row_bytes(problem: Problem) -> int:
    """Return the same with filters in the lanes: of the sums, and of pixels that are not read in place."""
    sums = _map_size(problem)[2] * problem.group_size[1] * problem.accumulator.itemsize
    inside = all(problem.stays_inside(axis) for axis in range(3))
    return sums if inside else sums + _strip_row_bytes(problem) * problem.stride[1]


def prefetches_maps(problem: Problem, map_size: Triple) -> bool:
    """Return whether maps of this size are so large that tiles prefetch them before writing."""
    return problem.filters * math.prod(map_size) * problem.accumulator.itemsize > PREFETCH_BYTES


def chunk_taps(problem: Problem) -> int:
    """Return the taps to sum by themselves; "highest": as many as there are chunks, for the smallest errors."""
    return CHUNK_TAPS if problem.precision == "default" else max(MIN_CHUNK_TAPS, math.isqrt(problem.taps))
