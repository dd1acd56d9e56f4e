"""Images larger than memory: from any storage to any storage, block by block, with the bits of one call. ::

    import zarr
    import fastconv as fc
    import fastconv.storage

    image = zarr.open("scan.zarr")                                   # or an array of h5py, of NumPy, a memory map, ...
    maps = zarr.create_array("maps.zarr", shape=bank.output_shape(image.shape), dtype="f4", chunks=(8, 1024, 1024))
    fc.storage.convolve(bank, image, maps, progress=True, resume="maps.json")

An image is whatever has a shape, a dtype, and slices that are arrays; what results are written to has slices that can be
assigned. Blocks are bands of rows, over all columns if memory allows, so that storage is read in order; they begin where
chunks of the result begin, so that none is written twice.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _check, _parts, config
from fastconv._arrays import pieces
from fastconv._problem import Array

if TYPE_CHECKING:
    from fastconv.bank import FilterBank
    from fastconv.transpose import TransposedFilterBank

__all__ = ["convolve"]

MEMORY_LIMIT = 2**28  # bytes
PIECE_NUMBERS = 2**22  # copied at a time


class Block(NamedTuple):
    """Part of the maps of one image, along every spatial axis, and what it reads."""

    batch: tuple[int, ...]
    outputs: tuple[slice, ...]
    part: _parts.Part


def convolve(
    bank: FilterBank | TransposedFilterBank,
    image: Any,
    out: Any = None,
    *,
    memory_limit: int | None = None,
    progress: bool = False,
    resume: str | os.PathLike[str] | None = None,
    threads: int | None = None,
) -> Any:
    """Compute the feature maps of an image block by block, from one storage to another.

    Parameters
    ----------
    bank : FilterBank or TransposedFilterBank
        The filters, with their options; channels first.
    image : array-like of any storage, shape (..., C, H, W)
        Of a shape and a dtype, and with slices that are arrays: an array of zarr, of h5py, a memory map, and so on.
    out : array-like of any storage, shape (..., K, H', W'), optional
        Of the shape ``bank.output_shape(image.shape)``; its slices are assigned to. Results are cast to its dtype, as
        with ``same_kind``. An array in memory by default.
    memory_limit : int, optional
        Bytes that a block takes, of its pixels and its outputs, in storage's dtypes and in those of the computation; by
        default 256 MB, or what a row of tiles takes if that is more.
    progress : bool
        Whether to show a bar, with rate and time left; needs tqdm.
    resume : path, optional
        A small file that says which blocks are there. It is written after each, and removed after the last one: a call
        that is interrupted, and made again with the same arguments, goes on where it was.
    threads : int, optional
        The most threads to use.

    Returns
    -------
    object
        `out`.

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit, or the file is one of another convolution.
    MemoryError
        If the limit is too small for a row of tiles.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> import fastconv.storage
    >>> bank = fc.FilterBank(fc.filters.gaussian(5)[None, None], padding="same", padding_mode="reflect")
    >>> image = np.random.default_rng(0).random((1, 500, 400))
    >>> maps = fc.storage.convolve(bank, image, np.empty_like(image), memory_limit=2**20)
    >>> np.array_equal(maps, bank(image))
    True
    """
    for name, array in (("image", image), ("out", out)):
        if array is not None and not all(hasattr(array, needed) for needed in ("shape", "dtype", "__getitem__")):
            raise TypeError(f"{name} must have a shape, a dtype and slices; got {type(array).__name__}")
    if bank.channels_last:
        raise ValueError("channels_last must be False for a bank that computes block by block")
    if memory_limit is not None:
        memory_limit = _check.positive_int("memory_limit", memory_limit)
    dtype, shape = np.dtype(image.dtype), tuple(map(int, image.shape))
    axes = len(bank.receptive_field)
    batch = shape[: max(0, len(shape) - axes - 1)]
    whole = bank._whole(shape[len(batch) :], dtype)
    problem = whole.plan.problem
    expected = (*batch, *problem.output_shape)
    if out is None:
        out = np.empty(expected, problem.dtype)
    if tuple(out.shape) != expected:
        raise ValueError(f"out must have shape {expected}; got {tuple(out.shape)}")
    if not np.can_cast(problem.dtype, out.dtype, "same_kind"):
        raise TypeError(f"out must hold {problem.dtype}; got dtype {out.dtype}")
    if not math.prod(expected):
        return out
    blocks = list(_blocks(whole, batch, axes, getattr(out, "chunks", None), memory_limit, dtype))
    identity = [list(shape), str(dtype), list(expected), len(blocks), repr(bank), _fingerprint(bank.weight)]
    done = _done(resume, identity)
    count, bias = config.num_threads(threads), bank._biases(whole.plan)
    with _bar(len(blocks), done) if progress else nullcontext() as bar:
        for number, block in enumerate(blocks[done:], done):
            pixels = _read(image, block, axes)
            maps = _parts.compute(whole.plan, whole.packed, block.part, bank.weight, pixels, bias, count)
            target = maps.reshape(problem.filters, *maps.shape[5 - axes :])
            place: Any = (*block.batch, slice(None), *block.outputs)
            if isinstance(out, np.ndarray):  # some at a time, for interrupts
                for piece in pieces(target.shape, PIECE_NUMBERS):
                    out[place][piece] = target[piece]
            else:
                out[place] = target.astype(out.dtype, copy=False)
            del pixels, maps, target  # before the next ones
            _release(image)
            _release(out)
            _note(resume, identity, number + 1)
            if bar is not None:
                bar.update()
    if resume is not None:
        Path(resume).unlink(missing_ok=True)
    return out


def with_channel(planes: Any, axes: int) -> Any:
    """Return planes (..., H, W) as images (..., 1, H, W), for kernels of so many axes."""
    return np.expand_dims(planes, -1 - axes) if isinstance(planes, np.ndarray) else WithChannel(planes, axes)


class WithChannel:
    """Storage of planes (..., H, W) as one of images (..., 1, H, W), for kernels of so many axes."""

    def __init__(self, planes: Any, axes: int) -> None:
        self.planes, self.dtype, self._place = planes, planes.dtype, len(planes.shape) - axes
        self.shape = self._with(planes.shape, 1)
        if (chunks := getattr(planes, "chunks", None)) is not None:
            self.chunks = self._with(chunks, 1)

    def _with(self, entries: Sequence[Any], one: Any) -> tuple[Any, ...]:
        return (*entries[: self._place], one, *entries[self._place :])

    def _without(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*index[: self._place], *index[self._place + 1 :])

    def __getitem__(self, index: tuple[Any, ...]) -> Array:
        """Return some of the pixels; index: of places in a batch, all channels, and slices."""
        return _check.as_array("image", self.planes[self._without(index)])[np.newaxis]

    def __setitem__(self, index: tuple[Any, ...], maps: Array) -> None:
        self.planes[self._without(index)] = maps[0]


def convolve_arrays(
    axes: int,
    input: Any,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: dict[str, Any],
    out: Any,
    threads: int | None,
) -> Any:
    """Convolve by a bank, a filter, or a kernel for each plane; options of a `FilterBank`."""
    from fastconv.bank import bank_of

    bank, missing = bank_of(axes, weight, bias, np.dtype(input.dtype), options)
    if not missing:
        return convolve(bank, input, out, threads=threads)
    target = None if out is None else with_channel(out, axes)
    maps = convolve(bank, with_channel(input, axes) if missing == 2 else input, target, threads=threads)
    return out if out is not None else maps[(..., 0, *(slice(None),) * axes)]


def _blocks(
    whole: _parts.Whole,
    batch: tuple[int, ...],
    axes: int,
    chunks: Sequence[int] | None,
    memory_limit: int | None,
    dtype: np.dtype[Any],
) -> Iterator[Block]:
    """Yield the blocks of all images, in the order in which they lie in storage."""
    sizes = _block_size(whole, axes, chunks, memory_limit, dtype)
    outputs = whole.plan.problem.output_size
    steps = [range(0, n, size) for n, size in zip(outputs, sizes, strict=True)]
    for index in np.ndindex(*batch):
        for corner in product(*steps):
            wanted = [slice(at, min(at + size, n)) for at, size, n in zip(corner, sizes, outputs, strict=True)]
            yield Block(index, tuple(wanted[3 - axes :]), _parts.part_of(whole.plan, whole.packed[0], wanted))


def _block_size(
    whole: _parts.Whole, axes: int, chunks: Sequence[int] | None, memory_limit: int | None, dtype: np.dtype[Any]
) -> list[int]:
    """Return the outputs of a block along each axis: the first axes are cut first, at chunks if these fit."""
    plan, (index, _) = whole
    problem = plan.problem
    sizes = list(problem.output_size)
    steps = list(plan.layouts[index].step)
    if chunks is not None and len(chunks) >= axes:
        together = [1] * (3 - axes) + [
            math.lcm(step, chunk) for step, chunk in zip(steps[3 - axes :], chunks[-axes:], strict=True)
        ]
    else:
        together = steps

    def nbytes() -> int:
        part = _parts.part_of(plan, index, [slice(0, n) for n in sizes])
        pixels, outputs = math.prod(part.read) * problem.channels, math.prod(part.size) * problem.filters
        copied = problem.accumulator.itemsize * (problem.accumulator != dtype)
        return pixels * (dtype.itemsize + copied) + outputs * 2 * problem.dtype.itemsize

    limit = memory_limit or MEMORY_LIMIT
    for unit in (together, steps):
        for axis in range(3):
            while nbytes() > limit and sizes[axis] > unit[axis]:
                sizes[axis] = max(unit[axis], -(-sizes[axis] // 2 // unit[axis]) * unit[axis])
    if memory_limit is not None and nbytes() > memory_limit:
        raise MemoryError(f"memory_limit must be at least {nbytes()} bytes for this convolution; got {memory_limit}")
    return sizes


def _read(image: Any, block: Block, axes: int) -> Array:
    """Return the pixels (1, C, D, H, W) that a block reads."""
    runs = [axis.pixels or (slice(0, 0),) for axis in block.part.axes[3 - axes :]]
    channels = (slice(None),) * (len(image.shape) - len(block.batch) - axes)

    def read(some: tuple[slice, ...]) -> Array:
        given = image[(*block.batch, *channels, *some)]
        array = _check.as_array("image", given)
        return array.reshape(1, -1 if channels else 1, *(1,) * (3 - axes), *array.shape[-axes:])

    def joined(place: int, some: tuple[slice, ...]) -> Array:
        if place == axes:
            return read(some)
        parts = [joined(place + 1, (*some, run)) for run in runs[place]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, 5 - axes + place)

    return joined(0, ())


def _release(array: Any) -> None:
    """Let go of the pages of a memory map that have been read or written: their file keeps them."""
    pages: Any = getattr(array, "_mmap", None)
    if isinstance(array, np.memmap) and array.mode != "c" and hasattr(pages, "madvise"):
        pages.madvise(mmap.MADV_DONTNEED)


def _bar(total: int, done: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError('progress=True needs tqdm: pip install "fastconv[storage]"') from error
    return tqdm(total=total, initial=done, unit="block")


def _fingerprint(weight: Array) -> str:
    """Return a short word that weights are told apart by."""
    from hashlib import sha256

    return sha256(np.ascontiguousarray(weight).tobytes()).hexdigest()[:16]


def _done(resume: str | os.PathLike[str] | None, identity: list[Any]) -> int:
    """Return how many blocks are there, by the file that says so."""
    if resume is None or not Path(resume).exists():
        return 0
    try:
        noted = json.loads(Path(resume).read_text("utf-8"))
        of_this, done = noted["convolution"] == identity, int(noted["blocks"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"resume must name a file that an interrupted call has left; got {os.fspath(resume)!r}"
        ) from error
    if not of_this:
        raise ValueError(
            f"resume must name the file of the same convolution; got {os.fspath(resume)!r}, which is of another one"
        )
    return done


def _note(resume: str | os.PathLike[str] | None, identity: list[Any], done: int) -> None:
    """Write down how many blocks are there."""
    if resume is None:
        return
    path = Path(resume)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps({"convolution": identity, "blocks": done}), "utf-8")
    new.replace(path)
