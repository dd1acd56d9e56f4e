"""Files of pages larger than memory: TIFF and .npy, read slice by slice and written row by row; for the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of plain and big files, in both byte orders
COLOURS = (3, 4)  # the length of an array's last axis if that holds colours
AXES = {"YXS": -1, "SYX": -3, "YX": None}  # the last ones of a TIFF's pages, and which holds channels
PHOTOMETRIC = {1: "minisblack", 2: "rgb"}


@dataclass(frozen=True)
class Stack:
    """Pages (..., H, W), or (..., H, W, C) or (..., C, H, W), of a file; `arrays` opens it as an array for each slice.

    That lets go of pages of memory that a memory map has read.
    """

    arrays: Callable[[], Any]
    all_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    channels: int | None = None  # their axis: -1, -3 or none
    alpha: bool = False
    kept: dict[str, Any] = field(default_factory=dict)  # what a TIFF says of resolution and colours

    @property
    def lead(self) -> tuple[int, ...]:
        """Return how many pages there are, along each axis that counts them."""
        return self.all_shape[: -2 if self.channels is None else -3]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return (N, C, H, W)."""
        sizes = list(self.all_shape[len(self.lead) :])
        channels = 1 if self.channels is None else sizes.pop(self.channels)
        return math.prod(self.lead), channels, sizes[0], sizes[1]

    def __getitem__(self, index: tuple[Any, ...]) -> Array:
        """Return pixels (C, h, w) of one page, for (page, channels, rows, columns), all channels."""
        page, _, rows, columns = index
        place = tuple(map(int, np.unravel_index(page, self.lead))) if self.lead else ()
        if self.channels == -1:
            return np.moveaxis(np.asarray(self.arrays()[(*place, rows, columns)], self.dtype), -1, 0)
        if self.channels == -3:
            return np.asarray(self.arrays()[(*place, slice(None), rows, columns)], self.dtype)
        return np.asarray(self.arrays()[(*place, rows, columns)], self.dtype)[np.newaxis]


@dataclass(frozen=True)
class Rows:
    """A file of pages (N, H, W, C), contiguous from an offset on, to which pixels of some rows and columns are written.

    A memory map would end the process, instead of raising an error, where the disk is full.
    """

    file: BinaryIO
    offset: int
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]

    def __setitem__(self, index: tuple[int, slice, slice], pixels: Array) -> None:
        page, rows, columns = index
        _, height, width, channels = self.shape
        lines = np.ascontiguousarray(pixels, self.dtype)
        for n, line in enumerate([lines] if lines.shape[1] == width else lines):  # all at once if they are neighbours
            first = (page * height + rows.start + n) * width + columns.start
            self.file.seek(self.offset + first * channels * self.dtype.itemsize)
            self.file.write(line.data)


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as a TIFF does."""
    with path.open("rb") as file:
        return file.read(4) in TIFF_STARTS


@contextmanager
def opened(path: Path) -> Iterator[Stack]:
    """Open a stack of pages; ValueError if it is not one that can be read slice by slice."""
    if path.suffix.lower() == ".npy":
        array = np.load(path, mmap_mode="r")
        if array.ndim < 2:
            raise ValueError(f"it must have rows and columns; its shape is {array.shape}")
        last = -1 if array.ndim > 2 and array.shape[-1] in COLOURS else None
        alpha = last is not None and array.shape[-1] == 4
        yield Stack(lambda: np.load(path, mmap_mode="r"), array.shape, array.dtype.newbyteorder("="), last, alpha)
        return
    import tifffile

    with tifffile.TiffFile(path) as tiff, ExitStack() as stores:
        if len(tiff.series) != 1:
            raise ValueError(f"its pages must be of one shape and dtype; they are of {len(tiff.series)} kinds")
        series = tiff.series[0]
        channels, alpha = _channels_axis(series), bool(series.keyframe.extrasamples)
        dtype = series.dtype.newbyteorder(tiff.byteorder)

        @cache
        def stored() -> Any:  # compressed, or in tiles
            import zarr

            return zarr.open_array(stores.enter_context(series.aszarr(level=0)), mode="r")

        def arrays() -> Any:
            offset = series.dataoffset
            return stored() if offset is None else np.memmap(path, dtype, "r", offset, series.shape)

        yield Stack(arrays, series.shape, series.dtype, channels, alpha, _kept(series.keyframe))


def _channels_axis(series: Any) -> int | None:
    """Return the axis of channels; ValueError if the pages hold anything but gray or RGB, upright, with plain alpha."""
    page = series.keyframe
    extra = tuple(map(int, page.extrasamples))
    plain = int(page.photometric) in PHOTOMETRIC and extra in ((), (2,)) and page.tags.valueof(274, 1) == 1
    channels = next((axis for axes, axis in AXES.items() if series.axes.endswith(axes)), 0)
    count = 1 if channels is None else series.shape[channels]
    if not plain or channels == 0 or count != (1 if int(page.photometric) == 1 else 3) + len(extra):
        raise ValueError("its pages must be gray or RGB, upright, and without premultiplied alpha")
    return channels


def _kept(page: Any) -> dict[str, Any]:
    """Return the resolution and the colour profile of a page, as tifffile writes them."""
    kept: dict[str, Any] = {}
    if 282 in page.tags and 283 in page.tags:
        kept |= {"resolution": (page.tags[282].value, page.tags[283].value)}
        kept |= {"resolutionunit": page.tags.valueof(296, 2)}
    if page.iccprofile is not None:
        kept["iccprofile"] = page.iccprofile
    return kept


@contextmanager
def created(path: Path, stack: Stack, dtype: np.dtype[Any], is_tiff: bool) -> Iterator[Rows]:
    """Make a file that has the size of a stack, channels last, and yield what writes its rows."""
    count, channels, height, width = stack.shape
    behind = () if stack.channels is None else (channels,)
    shape = (*stack.lead, height, width, *behind)
    if is_tiff:
        import tifffile

        with tifffile.TiffWriter(path, bigtiff=True) as writer:
            offset, _ = writer.write(
                shape=(count, height, width, *behind),
                dtype=dtype,
                photometric=PHOTOMETRIC[2 if channels > 2 else 1],
                planarconfig="contig" if behind else None,
                extrasamples=["unassalpha"] if stack.alpha else None,
                metadata=None,
                returnoffset=True,
                **stack.kept,
            )
    else:
        offset = np.lib.format.open_memmap(path, "w+", dtype, shape).offset
    with path.open("r+b") as file:
        yield Rows(file, offset, (count, height, width, channels), dtype)
