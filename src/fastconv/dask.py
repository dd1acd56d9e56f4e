"""Convolution of dask arrays: lazily, chunk by chunk, and with the bits of one call on the whole array.

A chunk of the result is computed from the pixels that it reads, in whichever chunks they lie: its own, and margins of its
neighbours, the halo. A chunk of the image gives all its margins in one task, so that a graph has two tasks a chunk. Tiles lie where they lie in the whole array, so that the result does not depend on the chunks. All
channels of an output are read together: adding up sums of some channels would round otherwise. ::

    import fastconv.dask as fcd
    maps = fcd.conv2d(images, weight, padding="same")    # nothing is computed yet
    maps.to_zarr("maps.zarr")

`fastconv.conv2d`, banks and stacks of banks that are given a dask array do the same.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _check, _parts, _plan
from fastconv._arrays import last_axes
from fastconv._problem import Array
from fastconv.bank import FilterBank, bank_of
from fastconv.transpose import TransposedFilterBank

try:
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph
except ImportError as error:
    raise ImportError('fastconv.dask needs dask: pip install "fastconv[dask]"') from error

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolve",
]

Bank = FilterBank | TransposedFilterBank
SIZES = "stride", "padding", "dilation", "groups"
Piece = tuple[int, slice]  # a chunk along an axis, and what is read of it
Box = tuple[tuple[int, int], ...]  # where that lies in the chunk, along its last axes


class AxisChunk(NamedTuple):
    """A chunk of the result along one spatial axis, and the pieces of chunks that it reads, in order."""

    outputs: slice
    pieces: list[Piece]


def conv1d(
    input: da.Array,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    threads: int | None = None,
    **options: Any,
) -> da.Array:
    """Convolve signals that are a dask array, lazily; see `conv2d`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastconv.dask as fcd
    >>> fcd.conv1d(da.arange(6, chunks=2), [1, 1, 1], padding="same").compute()
    array([ 1,  3,  6,  9, 12,  9])
    """
    sizes = dict(zip(SIZES, (stride, padding, dilation, groups), strict=True))
    return convolve_arrays(1, input, weight, bias, {**sizes, **options}, threads)


def conv2d(
    input: da.Array,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    threads: int | None = None,
    **options: Any,
) -> da.Array:
    """Convolve images that are a dask array, lazily.

    Parameters
    ----------
    input : dask.array.Array
        Images ``(..., C, H, W)`` of known shape; for a kernel, ``(..., H, W)``. Any axis may have chunks of any sizes.
    weight, bias : array_like
        As for `fastconv.conv2d`, in memory.
    stride, padding, dilation, groups
        As for `fastconv.conv2d`.
    threads : int, optional
        The most threads of each task, one by default: dask has threads of its own.
    **options
        Keyword arguments of `fastconv.conv2d` that a `FilterBank` takes, too, such as padding_mode and activation.

    Returns
    -------
    dask.array.Array
        What `fastconv.conv2d` returns, with its bits: nothing is computed yet. Chunks have the outputs whose receptive
        fields have their centres in the input's chunks.

    Raises
    ------
    ValueError, TypeError
        As for `fastconv.conv2d`; if the shape is not known; or if chunks are not NumPy arrays, such as masked ones.

    Notes
    -----
    A task holds the pixels that its chunk of the result reads, with all channels, and the result. Outputs are computed in
    whole tiles, or blocks of transforms: by large kernels, chunks of several times their size waste least.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> import fastconv.dask as fcd
    >>> image = da.ones((3, 1000, 1000), chunks=(3, 500, 500))
    >>> maps = fcd.conv2d(image, np.ones((8, 3, 5, 5)), padding="same")
    >>> maps.shape, maps.chunks[1]
    ((8, 1000, 1000), (500, 500))
    """
    sizes = dict(zip(SIZES, (stride, padding, dilation, groups), strict=True))
    return convolve_arrays(2, input, weight, bias, {**sizes, **options}, threads)


def conv3d(
    input: da.Array,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    threads: int | None = None,
    **options: Any,
) -> da.Array:
    """Convolve volumes that are a dask array, lazily; see `conv2d`.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> import fastconv.dask as fcd
    >>> fcd.conv3d(da.ones((2, 40, 50, 60), chunks=20), np.ones((4, 2, 3, 3, 3)), stride=2).shape
    (4, 19, 24, 29)
    """
    sizes = dict(zip(SIZES, (stride, padding, dilation, groups), strict=True))
    return convolve_arrays(3, input, weight, bias, {**sizes, **options}, threads)


def conv_transpose1d(
    input: da.Array, weight: ArrayLike, bias: ArrayLike | None = None, *, threads: int | None = None, **options: Any
) -> da.Array:
    """Compute the transposed convolution of signals that are a dask array, lazily; see `conv_transpose2d`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastconv.dask as fcd
    >>> fcd.conv_transpose1d(da.arange(4, chunks=2), [[[1, 1]]], stride=2).compute()
    array([[0, 0, 1, 1, 2, 2, 3, 3]])
    """
    return convolve_transposed(1, input, weight, bias, options, threads)


def conv_transpose2d(
    input: da.Array, weight: ArrayLike, bias: ArrayLike | None = None, *, threads: int | None = None, **options: Any
) -> da.Array:
    """Compute the transposed convolution of images that are a dask array, lazily.

    Parameters
    ----------
    input : dask.array.Array
        Images ``(..., C, H, W)`` of known shape.
    weight, bias : array_like
        As for `fastconv.conv_transpose2d`, in memory.
    threads
        As for `conv2d`.
    **options
        Arguments of `fastconv.conv_transpose2d` that a `TransposedFilterBank` takes, too, such as stride and padding.

    Returns
    -------
    dask.array.Array
        What `fastconv.conv_transpose2d` returns, with its bits.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> import fastconv.dask as fcd
    >>> fcd.conv_transpose2d(da.ones((3, 100, 100), chunks=50), np.ones((3, 1, 2, 2)), stride=2).chunks
    ((1,), (100, 100), (100, 100))
    """
    return convolve_transposed(2, input, weight, bias, options, threads)


def conv_transpose3d(
    input: da.Array, weight: ArrayLike, bias: ArrayLike | None = None, *, threads: int | None = None, **options: Any
) -> da.Array:
    """Compute the transposed convolution of volumes that are a dask array, lazily; see `conv_transpose2d`.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> import fastconv.dask as fcd
    >>> fcd.conv_transpose3d(da.ones((2, 4, 5, 6), chunks=4), np.ones((2, 1, 2, 2, 2)), stride=2).shape
    (1, 8, 10, 12)
    """
    return convolve_transposed(3, input, weight, bias, options, threads)


def convolve_arrays(
    axes: int, input: da.Array, weight: ArrayLike, bias: ArrayLike | None, options: dict[str, Any], threads: int | None
) -> da.Array:
    """Convolve by a bank, a filter, or a kernel for each plane; options of a `FilterBank`."""
    lazy = _lazy(input)
    bank, missing = bank_of(axes, weight, bias, lazy.dtype, options)
    if missing < 2:
        place = -1 if bank.channels_last else -1 - axes
        maps = convolve(bank, lazy, threads=threads)
        return da.squeeze(maps, axis=place) if missing else maps
    if bank.channels_last:  # each channel for itself
        bank = bank.replace(channels_last=False)
        maps = convolve(bank, da.expand_dims(da.moveaxis(lazy, -1, -1 - axes), -1 - axes), threads=threads)
        return da.moveaxis(da.squeeze(maps, axis=-1 - axes), -1 - axes, -1)
    return da.squeeze(convolve(bank, da.expand_dims(lazy, -1 - axes), threads=threads), axis=-1 - axes)


def convolve_transposed(
    axes: int, input: da.Array, weight: ArrayLike, bias: ArrayLike | None, options: dict[str, Any], threads: int | None
) -> da.Array:
    """Convolve backwards by a bank; options of a `TransposedFilterBank`."""
    filters = _check.as_array("weight", weight)
    if filters.ndim != axes + 2:
        raise ValueError(f"weight must be a bank of {axes + 2} axes for a dask array; got shape {filters.shape}")
    return convolve(TransposedFilterBank(filters, bias, **options), input, threads=threads)


def convolve(bank: Bank, image: da.Array, *, threads: int | None = None) -> da.Array:
    """Return the feature maps of images that are a dask array, lazily: what ``bank(image)`` returns, too.

    Parameters
    ----------
    bank : FilterBank or TransposedFilterBank
        It travels to each worker once, and packs its weights there once.
    image : dask.array.Array
        Images ``(..., C, H, W)``, as the bank takes them.
    threads : int, optional
        Of each task; one by default.

    Returns
    -------
    dask.array.Array
        See `conv2d`.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> import fastconv as fc
    >>> import fastconv.dask as fcd
    >>> blur = fc.FilterBank(fc.filters.box(3)[None, None], padding="same", padding_mode="reflect")
    >>> fcd.convolve(blur, da.ones((1, 6, 6), chunks=3)).compute().std()
    np.float64(0.0)
    """
    array, axes = _lazy(image), len(bank.receptive_field)
    if any(math.isnan(n) for n in array.shape):
        raise ValueError(f"input must be of known shape; got {array.shape}: compute_chunk_sizes() finds it")
    if not bank.channels_last:
        return _channels_first(bank, array, axes, threads or 1)
    if array.ndim <= axes:
        raise ValueError(f"input must have {axes} axes and one of channels behind them; got shape {array.shape}")
    return da.moveaxis(_channels_first(bank, da.moveaxis(array, -1, -1 - axes), axes, threads or 1), -1 - axes, -1)


def _lazy(input: Any) -> da.Array:
    """Return input if it is a dask array of NumPy arrays; raise TypeError if it is not."""
    if not isinstance(input, da.Array):
        raise TypeError(f"input must be a dask array; got {type(input).__name__}")
    if _check.masks_values(input):
        raise TypeError(f"input must be an array of numbers; got {type(input._meta).__name__}: {_check.MASKED_CHUNKS}")
    if type(input._meta) is not np.ndarray:
        raise TypeError(
            f"input must have chunks that are NumPy arrays; got {type(input._meta).__name__}, of which nothing but the numbers "
            "would be left: fill what is masked, and convert units, first"
        )
    return input


def _channels_first(bank: Bank, image: da.Array, axes: int, threads: int) -> da.Array:
    """Return the maps (..., K, H', W') of images (..., C, H, W)."""
    plan, packed = bank._whole(image.shape, image.dtype)
    problem = plan.problem
    if not math.prod(problem.output_shape):
        return da.zeros(problem.output_shape, dtype=problem.dtype)
    chunks = [
        list(_axis_chunks(plan, packed[0], axis, image.chunks[image.ndim - 3 + axis])) for axis in range(3 - axes, 3)
    ]
    place = image.ndim - axes - 1  # of the channels; an image without them has one
    batches = image.chunks[: max(0, place)]
    sizes = tuple(tuple(chunk.outputs.stop - chunk.outputs.start for chunk in along) for along in chunks)
    all_chunks = (*batches, (problem.filters,), *sizes)[-len(problem.output_shape) :]
    name = f"fastconv-{tokenize(bank, image.name, threads)}"
    graph: dict[Any, Any] = {f"{name}-bank": bank}
    margins: dict[Any, dict[Box, None]] = {}  # of chunks of the image, each once and in order
    all_channels = [_pieces(image.chunks[place], [slice(0, image.shape[place])])] if place >= 0 else []
    for batch in product(*(range(len(sizes)) for sizes in batches)):
        shape = (*(sizes[n] for n, sizes in zip(batch, batches, strict=True)), *image.shape[max(0, place) :])
        for index in product(*(range(len(along)) for along in chunks)):
            some = [along[n] for n, along in zip(index, chunks, strict=True)]
            pieces = [*all_channels, *(chunk.pieces for chunk in some)]
            sources, reads = zip(*(_source(margins, image, batch, part) for part in product(*pieces)), strict=True)
            wanted = [(chunk.outputs.start, chunk.outputs.stop) for chunk in some]
            counts = tuple(map(len, pieces))
            keys = [(f"{name}-margins", *key[1:]) if is_margin else key for key, is_margin in sources]
            compute = partial(_chunk, shape, wanted, counts, reads, threads)  # among whose arguments dask seeks no keys
            graph[name, *batch, 0, *index] = (compute, f"{name}-bank", keys)
    for chunk, boxes in margins.items():
        graph[f"{name}-margins", *chunk[1:]] = (partial(_margins, list(boxes)), chunk)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[image])
    return da.Array(layers, name, all_chunks, meta=np.empty((0,) * len(all_chunks), problem.dtype))


def _source(
    margins: dict[Any, dict[Box, None]], image: da.Array, batch: tuple[int, ...], part: tuple[Piece, ...]
) -> tuple[tuple[Any, bool], Box]:
    """Return the key of a chunk, whether its margins will do, and what is read of it; note which margins are needed."""
    chunk = image.name, *batch, *(index for index, _ in part)
    lengths = [image.chunks[axis][index] for axis, (index, _) in enumerate(part, len(batch))]
    box = tuple((read.start, read.stop) for _, read in part)
    is_margin = 2 * math.prod(stop - start for start, stop in box) < math.prod(lengths)
    if is_margin:
        margins.setdefault(chunk, {})[box] = None
    return (chunk, is_margin), box


def _axis_chunks(plan: _plan.Plan, index: int, axis: int, chunks: Sequence[int]) -> Iterator[AxisChunk]:
    """Yield the chunks of the result along an axis, for those of the images; none are empty."""
    problem = plan.problem if plan.fold is None else plan.fold.given
    outputs, stride, pad = problem.output_size[axis], problem.stride[axis], problem.surroundings.pad[axis]
    reach = (
        (problem.kernel[axis] - 1) * problem.dilation[axis] // 2
    )  # from the first pixel of a receptive field to its centre

    def outputs_before(pixel: int) -> int:
        """Return how many outputs have their centres before a pixel."""
        if problem.transposed:
            return pixel * stride - pad + reach
        return -(-(pixel + pad - reach) // stride)

    bounds = [min(max(outputs_before(end), 0), outputs) for end in accumulate(chunks[:-1])]
    for first, last in pairwise([0, *bounds, outputs]):
        if first < last:
            part = _parts.axis_part(plan, index, axis, first, last)
            yield AxisChunk(slice(first, last), _pieces(chunks, part.pixels))


def _pieces(chunks: Sequence[int], runs: Sequence[slice]) -> list[Piece]:
    """Return which chunks hold runs of pixels, and what of each."""
    starts = [0, *accumulate(chunks)]
    found = []
    for run in runs:
        position = run.start
        while position < run.stop:
            chunk = bisect_right(starts, position) - 1
            stop = min(run.stop, starts[chunk + 1])
            found.append((chunk, slice(position - starts[chunk], stop - starts[chunk])))
            position = stop
    return found or [(0, slice(0, 0))]


def _chunk(
    shape: tuple[int, ...],
    wanted: list[tuple[int, int]],
    counts: tuple[int, ...],
    reads: Sequence[Box],
    threads: int,
    bank: Bank,
    sources: list[Array | dict[Box, Array]],
) -> Array:
    """Compute a chunk of the maps of images of this shape, from what it reads of `counts` sources along the last axes."""
    pixels = _joined([_read(source, box) for source, box in zip(sources, reads, strict=True)], counts)
    maps = bank._part(shape, pixels, [slice(*bounds) for bounds in wanted], threads)
    return maps.copy() if maps.base is not None and maps.base.nbytes > 2 * maps.nbytes else maps


def _margins(boxes: Sequence[Box], chunk: Array) -> dict[Box, Array]:
    """Return parts of a chunk that its neighbours read, without the rest of it."""
    return {box: _read(chunk, box).copy() for box in boxes}


def _read(source: Array | dict[Box, Array], box: Box) -> Array:
    """Return part of a chunk along its last axes, out of its margins if only these are given."""
    if isinstance(source, dict):
        return source[box]
    part: Array = _check.as_array("input", source)[last_axes(slice(*bounds) for bounds in box)]
    return part


def _joined(sources: list[Array], counts: tuple[int, ...]) -> Array:
    """Return a grid of arrays, so many along each of the last axes, as one array."""
    first = sources[0]
    if len(sources) == 1:
        return first
    grid = dict(zip(product(*map(range, counts)), sources, strict=True))
    ends = []
    for axis, count in enumerate(counts):
        along = [grid[tuple(n if other == axis else 0 for other in range(len(counts)))] for n in range(count)]
        ends.append([0, *accumulate(source.shape[axis - len(counts)] for source in along)])
    batch = first.shape[: first.ndim - len(counts)]
    joined: Array = np.empty((*batch, *(along[-1] for along in ends)), first.dtype)
    for place, source in grid.items():
        box = [slice(along[n], along[n + 1]) for n, along in zip(place, ends, strict=True)]
        joined[last_axes(box)] = source
    return joined
