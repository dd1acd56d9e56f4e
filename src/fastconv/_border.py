"""What lies beyond an image where the core's padding modes do not say it: constants other than zero, or a mode per axis.

Then the problem that is planned is that of the padded image, without padding. This image never exists as a whole: blocks
of it are copied, as `_blocks.py` does with arrays that the core cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv import _core
from fastconv._arrays import Room, fits_core, last_axes, load

if TYPE_CHECKING:
    from fastconv._problem import Problem

Array = NDArray[Any]
Triple = tuple[int, int, int]

COLUMNS = 2  # of the spatial axes
MAX_INDICES = 2**31  # pixels gathered by index along an axis: their indices take 16 GB


class Border(NamedTuple):
    """The padding of one image."""

    modes: tuple[str, str, str]  # per axis; "zeros" means the values
    values: tuple[complex, ...]  # one per channel of the images, or one for all
    size: Triple  # of the image
    pad: Triple  # pixels before each axis
    interleaved: int = 1  # planes that rows hold pixel by pixel, side by side

    def of_groups(self, groups: slice, count: int) -> Border:
        """Return the border of the channels of some of `count` groups."""
        per_group = len(self.values) // count
        return (
            self
            if len(self.values) == 1
            else self._replace(values=self.values[groups.start * per_group : groups.stop * per_group])
        )

    def for_call(self, problem: Problem) -> tuple[Any, ...]:
        """Return the border, as a `_core.Call` takes it, of the images of a problem, which include it."""
        shape, modes = problem.images_shape, [_core.PADDING_MODES[mode] for mode in self.modes]
        values = np.array(self.values if len(self.values) > 1 else self.values * shape[1], problem.accumulator)
        return shape, self.size, self.pad, modes, values

    def section(
        self,
        images: Array,
        ranges: Sequence[slice],
        dtype: np.dtype[Any],
        room: Room | None = None,
        pixels_room: Room | None = None,
    ) -> Array:
        """Return part of padded images (N, C, D, H, W): a view where it lies inside of them, else a copy in this dtype.

        Rooms: for the copy, and for one of the image if that is of another dtype.
        """
        boxes, is_inside = self.pixels(ranges)
        if is_inside:
            inside: Array = images[last_axes(boxes)]
            return inside
        section = (room or Room()).array((*images.shape[:2], *(part.stop - part.start for part in ranges)), dtype)
        firsts = [part.start - pad for part, pad in zip(ranges, self.pad, strict=True)]
        origin = [0, 0, 0]
        if not fits_core(images, dtype, 1):
            origin, images = [box.start for box in boxes], images[last_axes(boxes)]
            shown = [slice(box.start - first, box.stop - first) for box, first in zip(boxes, firsts, strict=True)]
            if all(part.start >= 0 and part.stop <= n for part, n in zip(shown, section.shape[2:], strict=True)):
                converted = section[last_axes(shown)]  # where they belong: the rest of the section repeats them
            else:
                converted = (pixels_room or Room()).array(images.shape, dtype)
            load(images, converted)
            images = converted
        values = np.array(self.values if len(self.values) > 1 else self.values * images.shape[1], dtype)
        modes = [_core.PADDING_MODES[mode] for mode in self.modes]
        _core.fill_section(images, section, values, firsts, modes, self.size, origin, self.interleaved)
        return section

    def pixels(self, ranges: Sequence[slice]) -> tuple[list[slice], bool]:
        """Return the pixels that part of padded images shows, and whether these are all that it shows, side by side."""
        spans = [(part.start - pad, part.stop - pad) for part, pad in zip(ranges, self.pad, strict=True)]
        is_inside = all(first >= 0 and last <= size for (first, last), size in zip(spans, self.size, strict=True))
        return [self._pixels(axis, *span) for axis, span in enumerate(spans)], is_inside

    def _pixels(self, axis: int, first: int, last: int) -> slice:
        """Return the pixels that positions first..last of the padded image show along an axis."""
        size, mode = self.size[axis], self.modes[axis]
        if mode == "zeros" or (first >= 0 and last <= size) or (first <= 0 and last >= size):
            start = min(max(first, 0), size)
            return slice(start, max(start, min(last, size)))
        if last - first > MAX_INDICES:
            raise MemoryError(f"an output would read {last - first} pixels: there is no memory for so many")
        step = self.interleaved if axis == COLUMNS else 1
        indices = _core.padded_indices(first // step, -(-last // step), size // step, _core.PADDING_MODES[mode])
        return slice(min(indices) * step, (max(indices) + 1) * step)
