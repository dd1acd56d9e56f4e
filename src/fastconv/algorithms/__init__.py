"""The algorithms: one module each, and Layout, what a plan asks of them.

Every module has a NAME, by which `algorithm=` asks for it, a DOMAIN, what it takes in words, and

    choose(problem, reuse, budget) -> Layout | None

which returns how the algorithm would compute the problem, or None if it cannot, or would cost more than the budget. `reuse`
tells that packed weights serve many calls. _plan.py asks all of them and takes the cheapest; none knows of the plan.

    direct       a loop for every dtype, and what direct summation costs: the unit of all prices
    tiles        register tiles of pixels and filters                                  sweep      down the rows of one channel
    by_position  tiles, one position of the kernel after the other, padding left out   winograd   fewer multiplications
    separable    kernels of rank 1, a pass along each axis                             fft        overlap-save
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from fastconv import _core
from fastconv._problem import Array, Problem, Triple

WORKSPACE_BYTES = 2**22  # of a thread, as a rule: more is taken only where there is no other way
MIN_PRODUCTS_PER_THREAD = 2**19  # below this, waking another thread costs more than it saves


class Layout:
    """How one algorithm computes one problem: made once, good for every call of a plan."""

    name: str  # of the algorithm, for explain
    problem: Problem
    images_shape: tuple[int, ...]  # the problem's
    maps_shape: tuple[int, ...]
    cost: float  # of one image, in products of a register tile at full speed
    workspace: int  # bytes a thread
    packing: Hashable  # layouts that agree in this share packed weights
    threads: int  # more are not worth waking
    whole_images: bool  # the workspace is small; else images pass through in blocks

    block_cut: Any  # how _blocks.py cuts arrays for this layout, once it has had to

    error: float = 1.0  # expected, relative to direct summation
    step: Triple = (1, 1, 1)  # blocks begin at multiples of this many outputs, where tiles do
    contiguous_axes: int = 1  # last axes of images that must be contiguous
    any_arrays: bool = False  # run takes images and maps of any dtype and strides
    any_weights: bool = True  # else pack may refuse some
    raw_weights: bool = False  # run takes the weights (K, C / groups * taps) as they are
    call_layout: _core.Layout | None = None  # where all that run does is one call of the core, what that call takes

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
        """`products` of the whole batch, where they are not those of direct summation, are what threads are counted by."""
        self.problem, self.images_shape, self.maps_shape = problem, problem.images_shape, problem.maps_shape
        self.cost, self.workspace, self.block_cut = cost, workspace, None
        self.packing = (packing, problem.accumulator.char)
        self.whole_images = workspace <= WORKSPACE_BYTES if whole_images is None else whole_images
        self.threads = max(1, int(problem.products if products is None else products) // MIN_PRODUCTS_PER_THREAD)

    @property
    def how(self) -> str:
        """The layout in words, for explain."""
        raise NotImplementedError

    @property
    def products(self) -> float:
        """Multiplications for one output."""
        return float(self.problem.taps)

    def pack(self, weight: Array) -> Any:
        """Return what run takes as weights, from a bank of any dtype; None if the layout does not suit these weights."""
        raise NotImplementedError

    def run(
        self, images: Array, packed: Any, bias: Array | None, maps: Array, pads: Sequence[int], threads: int
    ) -> None:
        """Convolve images (N, C, D, H, W), with zeros `pads` before each axis, into maps (N, K, D', H', W')."""
        raise NotImplementedError

    def core_shapes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of images and maps as the core takes whole ones."""
        return problem.images_shape, problem.maps_shape

    def block(self, size: Triple) -> Layout:
        """Return the layout for maps of up to this size, with the same packed weights."""
        return self

    def pixels_read(self, axis: int, outputs: int) -> int:
        """Return how many pixels along an axis are read for so many outputs, where that is more than they see."""
        return 0

    def resized(self, problem: Problem) -> Layout:
        """Return the same layout for rows of another length, for which it must serve as well."""
        layout = object.__new__(type(self))
        shapes = {"images_shape": problem.images_shape, "maps_shape": problem.maps_shape}
        layout.__dict__.update(self.__dict__, problem=problem, block_cut=None, **shapes)
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
        entry: Callable[..., None] | None = None,
        whole_images: bool | None = None,
    ) -> None:
        """`entry` of the core, for the accumulator's dtype, where it is not `convolve`."""
        super().__init__(problem, cost, core.workspace, (*packing, *_core.current_isa()), whole_images=whole_images)
        self._how, self._convolve = how, entry or _core.convolve[problem.core_name]
        self._core: Any = core

    @property
    def how(self) -> str:
        return self._how

    def run(
        self, images: Array, packed: Array, bias: Array | None, maps: Array, pads: Sequence[int], threads: int
    ) -> None:
        self._convolve(images, packed, bias, maps, pads, self._core, threads)


def lanes(problem: Problem) -> int:
    """Return how many numbers of the accumulator's dtype fill a vector."""
    return _core.current_isa()[1] * 4 // problem.accumulator.itemsize


def used_fraction(count: int, lanes: int) -> float:
    """Return which fraction of their lanes is used when count numbers fill vectors."""
    return count / (math.ceil(count / lanes) * lanes)


def where(in_place: bool, strip_rows: int) -> str:
    """Return in words what is read of an image."""
    return "the image in place" if in_place else f"strips of {strip_rows} rows"
