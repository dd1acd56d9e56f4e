"""The algorithms, one module each, and their common interface, Layout.

Every module has a NAME, the value of `algorithm=` that selects it, a DOMAIN, the problems it can do in words, and

    choose(problem, budget) -> Layout | None

which returns how the algorithm would compute the problem with packed weights, or None if it cannot, or would cost more
than the budget. _plan.py asks all modules and takes the cheapest layout; none of them imports _plan.py.

    direct       loops for every dtype, and the cost of direct summation, the unit of all costs
    sweep        direct summation down the rows of single channels: gray images, depthwise
    tiles        direct summation in register tiles of pixels and filters
    byte_tiles   direct summation of 8-bit integers in register tiles, several channels at a time
    by_position  tiles, one kernel position after another, skipping the padding
    winograd     fewer multiplications
    fft          overlap-save
    separable    kernels of rank 1, in a pass along each axis
    transposed   transposed convolutions, phase by phase
    transposed_tiles  the same, in register tiles
    transposed_interleaved  the same with pixels in the lanes, for few filters in a group
    transposed_winograd  the same, with fewer multiplications

Gradients of weights have an interface of their own, GradientLayout:

    weight_exchanged  by the forward engine
    weight_direct     direct summation in register tiles: lanes are filters
    weight_dot        dot products of rows: lanes are pixels
    weight_winograd   by the adjoint of Winograd's forms
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fastconv import _core
from fastconv._arrays import Room
from fastconv._problem import Array, Problem, Triple

WORKSPACE_BYTES = 2**22  # bytes a thread; a few layouts that could not run otherwise exceed it
VECTOR_BYTES = 64
CONFLICT_BYTES = 2**12  # bytes: rows a multiple of this apart evict each other from the first-level cache
KEEP_GIL_BELOW = 2**16  # products of a call: for fewer, releasing the GIL would cost more than it gives other threads
PADDED_BYTES = 2**19  # bytes of images with a border that are copied as a whole
MIN_PRODUCTS_PER_THREAD = 2**19  # products; for fewer, waking another thread costs more than it saves


class Layout:
    """How one algorithm computes one problem: made once, used in every call of a plan."""

    name: str  # of the algorithm, for explain
    problem: Problem
    images_shape: tuple[int, ...]  # the problem's
    maps_shape: tuple[int, ...]
    cost: float  # of one image, in products of a register tile at full speed
    counts: Mapping[str, float] = MappingProxyType({})  # how often each of the algorithm's COSTS is part of that
    workspace: int  # bytes a thread
    packing: Hashable  # layouts with equal packing share packed weights
    threads: int  # the most to use: more would cost more than they save
    whole_images: bool  # run takes whole images; else only blocks of them, for its workspace would be too large

    derived: dict[Any, Any]  # layouts of blocks, their sizes, and others made from this one once they were needed

    error: float = 1.0  # expected, relative to direct summation
    step: Triple = (1, 1, 1)  # outputs per axis: blocks start at multiples, where tiles start
    contiguous_axes: int = 1  # last axes of images that must be contiguous
    any_arrays: bool = False  # run takes images and maps of any dtype and strides
    any_weights: bool = True  # pack accepts all weights
    packed_bytes: int = 0  # of packed weights, if they may be far more than the weights
    raw_weights: bool = False  # run takes weights as given, if contiguous
    load: Callable[[Array, Room], Array] | None = None  # makes what run takes of images of any dtype and strides
    call_layout: _core.Layout | None = None  # for a ready _core.Call, if run is nothing but one call of the core

    def __init__(
        self,
        problem: Problem,
        cost: float,
        workspace: int,
        packing: Hashable,
        *,
        products: float | None = None,
        whole_images: bool | None = None,
    ) -> None:
        """`products` of the whole batch, by default those of direct summation, limit the threads."""
        self.problem, self.images_shape, self.maps_shape = problem, problem.images_shape, problem.maps_shape
        self.cost, self.workspace, self.derived = cost, workspace, {}
        self.packing = (packing, problem.accumulator.char)
        self.whole_images = workspace <= WORKSPACE_BYTES if whole_images is None else whole_images
        self.threads = max(1, int(problem.products if products is None else products) // MIN_PRODUCTS_PER_THREAD)

    def ready_call(self) -> _core.Call | None:
        """Return the call of the core that convolves whole arrays; None if run does more than that."""
        problem, border = self.problem, self.problem.border
        if self.call_layout is None or not self.whole_images or (border and problem.image_bytes > PADDED_BYTES):
            return None
        output, keep_gil = (problem.output_shape, problem.dtype), problem.products <= KEEP_GIL_BELOW
        around = border and border.for_call(problem)
        sizes = self.core_shapes(problem)
        return _core.Call(*sizes, output, problem.pad, self.call_layout, self.threads, keep_gil, around)

    @property
    def how(self) -> str:
        """Blocks, forms and the like in words, for explain."""
        raise NotImplementedError

    @property
    def products(self) -> float:
        """Multiplications for one output."""
        return float(self.problem.taps)

    def unpacked(self) -> Layout | None:
        """Return a layout for weights that serve a single call, with the same results; None if there is none.

        It reads them as they are given, or packs some at a time.
        """
        return None

    def pack(self, weight: Array) -> Any:
        """Return a bank of any dtype as run takes it; None if the layout cannot compute with these weights."""
        raise NotImplementedError

    def run(
        self,
        images: Array,
        packed: Any,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> _core.Units | None:
        """Convolve images (N, C, D, H, W), padded by `pads` before each axis, into maps (N, K, D', H', W').

        bias (K,) is followed by slopes if the activation has one for each filter; residual, added before it, lies as
        the maps do. A layout of strips, with no threads, computes nothing but returns the units of the call, whose
        images and maps are still to be given.
        """
        raise NotImplementedError

    def core_shapes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes in which the core takes whole images and maps."""
        return problem.images_shape, problem.maps_shape

    def block(self, size: Triple) -> Layout:
        """Return the layout for maps of up to this size, with the same packed weights."""
        return self

    def part(self, problem: Problem) -> Layout:
        """Return the layout for part of the maps, from a multiple of `step` on, and what it reads, as a problem of its own."""
        return Layout.resized(self.block(problem.output_size), problem)

    def strip(self, size: Triple, stays_cached: bool) -> Layout | None:
        """Return the layout for strips of maps of up to this size, with the same packed weights; None if there is none.

        stays_cached: strips are read at once, so that they must not bypass the cache.
        """
        return None

    def of_longer_rows(self, problem: Problem) -> Layout | None:
        """Return the layout for an image of `problem.interleaved` planes, with the same packed weights; None if it cannot be."""
        return None

    def sweeps(self, size: Triple) -> tuple[tuple[_core.SweepLayout, ...], int] | None:
        """Return the passes that compute maps of one group of up to this size, and their workspace; None if it has no such."""
        return None

    def of_channels_last(self, nontemporal: bool) -> Layout | None:
        """Return the layout for arrays whose channels come last, with the same packed weights; None if there is none.

        `nontemporal`: maps are written past the cache.
        """
        return None

    def pixels_read(self, axis: int, outputs: int) -> int:
        """Return how many pixels run reads along an axis for some outputs, if beyond their receptive field; else 0."""
        return 0

    def resized(self, problem: Problem) -> Layout:
        """Return the layout for rows of another length, which it must be able to serve."""
        layout = object.__new__(type(self))
        shapes = {"images_shape": problem.images_shape, "maps_shape": problem.maps_shape}
        layout.__dict__.update(self.__dict__, problem=problem, derived={}, **shapes)
        return layout


class CoreLayout(Layout):
    """A layout whose run is one call of the core."""

    def __init__(
        self,
        problem: Problem,
        cost: float,
        core: _core.Layout,
        how: str,
        packing: tuple[object, ...],
        *,
        entry: Callable[..., _core.Units | None] = _core.convolve,
        whole_images: bool | None = None,
    ) -> None:
        """`entry`: the core's function to call."""
        super().__init__(problem, cost, core.workspace, (*packing, *_core.current_isa()), whole_images=whole_images)
        self._how, self._convolve = how, entry
        self._core_layout: Any = core

    @property
    def how(self) -> str:
        return self._how

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
        return self._convolve(images, packed, bias, maps, pads, self._core_layout, threads, residual)


class GradientLayout:
    """How one algorithm computes the gradient of the weight of one convolution.

    A module of such layouts has a function choose(forward, budget) -> GradientLayout | None.
    """

    name: str
    how: str  # in words
    any_values: bool = True  # else run may refuse

    def __init__(self, forward: Problem, cost: float) -> None:
        """`cost`: of one image, as for a Layout."""
        self.forward, self.cost = forward, cost

    def run(self, images: Array, maps: Array, threads: int) -> Array | None:
        """Return the gradient (K, C / groups, kd, kh, kw), for images (N, C, D, H, W) and gradients of maps (N, K, D', H', W').

        Return None if the layout cannot sum these values. N may be any number. Both are of the accumulator's dtype, rows of images and planes of maps contiguous; flip is
        ignored.
        """
        raise NotImplementedError


def cheapest(algorithms: Iterable[Any], problem: Problem) -> tuple[Layout, ...]:
    """Return the cheapest layout of some algorithms, followed by the next cheapest ones if it may refuse weights."""
    layouts: tuple[Layout, ...] = ()
    for algorithm in algorithms:
        if problem.algorithm in ("auto", algorithm.NAME):
            layout = algorithm.choose(problem, layouts[0].cost if layouts else math.inf)
            if layout is not None:
                layouts = (layout,) if layout.any_weights else (layout, *layouts)
    return layouts


def lanes(problem: Problem) -> int:
    """Return the lanes of a vector: how many numbers of the accumulator's dtype it holds."""
    return _core.current_isa()[1] * 4 // problem.accumulator.itemsize


def total(costs: Mapping[str, float], counts: Mapping[str, float]) -> float:
    """Return the cost of everything that is counted, in products of a register tile at full speed.

    Such a product takes about 14 ps on one core of an Intel Xeon with AVX-512. An algorithm's COSTS were fitted to times
    of random problems: benchmarks/choices.py --calibrate does so on another CPU.
    """
    return sum(costs[name] * count for name, count in counts.items())


def cost_lanes(problem: Problem) -> int:
    """Return the lanes that costs count with, where algorithms of different bits are compared: of vectors of 64 bytes.

    Which one runs must not depend on the instruction set.
    """
    return VECTOR_BYTES // problem.accumulator.itemsize


def used_fraction(count: int, lanes: int) -> float:
    """Return the fraction of lanes in use where count numbers are spread over whole vectors."""
    return count / (math.ceil(count / lanes) * lanes)


def where(in_place: bool, strip_rows: int) -> str:
    """Return in words what is read of an image."""
    return "the image in place" if in_place else f"strips of {strip_rows} rows"
