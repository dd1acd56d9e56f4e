"""Pictures of feature maps, of filter banks and of receptive fields, for notebooks and teaching.

matplotlib draws them; it is imported when a picture is asked for, so that fastconv itself needs NumPy alone.
"""

from __future__ import annotations

import io
import math
import operator
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastconv.bank import FilterBank, Sequential

__all__ = ["feature_maps", "filter_bank", "receptive_field"]

SIGNED, UNSIGNED = "RdBu_r", "gray"
TAIL = 0.005  # fraction of a map's pixels that is saturated at either end of the scale
ROUNDING = 64  # units of the last place of a map's largest value: negative values up to there are rounding errors
TITLE, GAP, BAR = 0.26, 0.08, 0.7  # inches: over a panel, between panels, for the colour bar
FIELD, LEGEND, LINE = 4.0, 2.0, 0.18  # inches: a receptive field's width, colour bar and legend, a line of the legend
NOISE_IMAGES = 16  # that gradients are averaged over, at least


def feature_maps(
    maps: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    cmap: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw a stack of feature maps as a grid of pictures.

    Parameters
    ----------
    maps : array_like, shape (K, H, W), (1, K, H, W) or (H, W)
        What a filter bank returned for one image; any real dtype.
    titles : sequence of K str, optional
        A title over each map; by default ``map 0``, ``map 1``, ...
    columns : int, optional
        Maps in a row of the grid; by default the figure comes out about as wide as high.
    cmap : str, optional
        A matplotlib colour map for every map. By default maps with negative values are drawn
        with zero white, positive red and negative blue; the others, and those whose negative
        values are rounding errors of their largest, in gray.
    figsize : (float, float), optional
        Width and height of the figure in inches; by default chosen from the shape of the maps.

    Returns
    -------
    matplotlib.figure.Figure
        Notebooks show it when it is the last value of a cell; ``figure.savefig("maps.png")`` writes it.
        It is not registered with pyplot, so there is nothing to close.

    Raises
    ------
    ValueError
        If the maps are empty or of another rank, or if the titles do not match them.
    TypeError
        If the maps do not hold real numbers.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    Each map has a scale of its own, symmetric about zero if it has negative values. It leaves the least and the
    greatest half percent of the pixels saturated, so that a few strong edges do not hide the others.
    NaN and infinite values are left blank.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> image = np.tri(32, dtype=np.float32)
    >>> bank = fc.FilterBank.from_kernels([fc.filters.sobel("x"), fc.filters.sobel("y")], channels=1)
    >>> figure = fc.plot.feature_maps(bank(image), titles=["vertical edges", "horizontal edges"])
    >>> [axes.get_title() for axes in figure.axes]
    ['vertical edges', 'horizontal edges']
    """
    stack = _real("maps", maps)
    rounding = _rounding(np.asarray(maps).dtype)
    if stack.ndim == 4 and len(stack) == 1:
        stack = stack[0]
    elif stack.ndim == 2:
        stack = stack[np.newaxis]
    if stack.ndim != 3 or stack.size == 0:
        raise ValueError(f"maps must be (K, H, W), (1, K, H, W) or (H, W), and not empty; got shape {np.shape(maps)}")
    if titles is None:
        titles = [f"map {k}" for k in range(len(stack))]
    elif len(titles) != len(stack):
        raise ValueError(f"titles must have one title for each of the {len(stack)} maps; got {len(titles)}")

    figure, panels = _grid(stack, titles, columns, figsize)
    for plane, axes in zip(stack, panels, strict=True):
        low, high = _limits(plane, rounding)
        axes.imshow(plane, cmap=cmap or (SIGNED if low < 0 else UNSIGNED), vmin=low, vmax=high)
    return figure


def filter_bank(
    weight: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    cmap: str = SIGNED,
    figsize: tuple[float, float] | None = None,
    scale: str = "shared",
) -> Figure:
    """Draw the filters of a bank: one panel per filter, in it one square per kernel.

    Parameters
    ----------
    weight : array_like, shape (K, C, kh, kw), (C, kh, kw) or (kh, kw)
        A filter bank, a filter or a kernel; any real dtype.
    titles : sequence of K str, optional
        A title over each filter; by default ``filter 0``, ``filter 1``, ...
    columns : int, optional
        Filters in a row of the grid; by default the figure comes out about as wide as high.
    cmap : str, default "RdBu_r"
        A matplotlib colour map; zero gets its middle colour (white).
    figsize : (float, float), optional
        Width and height of the figure in inches; by default chosen from the shape of the weight.
    scale : {"shared", "each"}
        Whether all filters share one scale, or each has its own, up to its largest magnitude, so that weak filters show
        their form beside strong ones.

    Returns
    -------
    matplotlib.figure.Figure
        As for `feature_maps`. The last of its axes is the colour bar.

    Raises
    ------
    ValueError
        If the weight is empty or of another rank, if the titles do not match it, or if there is no such scale.
    TypeError
        If the weight does not hold real numbers.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    The kernels of a filter are drawn in the order of their channels, row by row; up to four stand in one row.

    Examples
    --------
    >>> import fastconv as fc
    >>> bank = fc.FilterBank.from_kernels([fc.filters.sobel("x"), fc.filters.sobel("y")], channels=3)
    >>> figure = fc.plot.filter_bank(bank.weight)
    >>> [axes.get_title() for axes in figure.axes[:-1]]
    ['filter 0', 'filter 1']
    """
    bank = _real("weight", weight)
    if not 2 <= bank.ndim <= 4 or bank.size == 0:
        raise ValueError(
            f"weight must be (K, C, kh, kw), (C, kh, kw) or (kh, kw), and not empty; got shape {bank.shape}"
        )
    bank = bank.reshape((1,) * (4 - bank.ndim) + bank.shape)  # (K, C, kh, kw)
    filters, _, kh, kw = bank.shape
    if titles is None:
        titles = [f"filter {k}" for k in range(filters)]
    elif len(titles) != filters:
        raise ValueError(f"titles must have one title for each of the {filters} filters; got {len(titles)}")
    if scale not in ("shared", "each"):
        raise ValueError(f"scale must be 'shared' or 'each'; got {scale!r}")

    planes = np.stack([_side_by_side(kernels) for kernels in bank])
    largest = np.abs(np.where(np.isfinite(bank), bank, 0.0)).max(axis=(1, 2, 3))
    limits = largest if scale == "each" else np.full(filters, largest.max())
    figure, panels = _grid(planes, titles, columns, figsize, margin=BAR)
    for plane, axes, limit in zip(planes, panels, limits, strict=True):
        high = float(limit) or 1.0
        picture = axes.imshow(plane, cmap=cmap, vmin=-high, vmax=high, interpolation="nearest")
        height, width = plane.shape
        axes.hlines(np.arange(0, height + 1, kh) - 0.5, -0.5, width - 0.5, color="0.5", linewidth=0.8, clip_on=False)
        axes.vlines(np.arange(0, width + 1, kw) - 0.5, -0.5, height - 0.5, color="0.5", linewidth=0.8, clip_on=False)
    bar = _bar(figure, picture, BAR)
    if scale == "each":
        bar.set_ticks([-high, 0, high], labels=["\u2212max", "0", "max"])
    return figure


def receptive_field(
    stack: FilterBank | Sequential, *, cmap: str = "magma", figsize: tuple[float, float] | None = None
) -> Figure:
    """Draw which pixels of the input one output of banks sees, and how much each of them counts.

    Parameters
    ----------
    stack : FilterBank or Sequential
        Of banks for signals or images, transposed ones not among them.
    cmap : str, default "magma"
        A matplotlib colour map for the gradients' magnitudes.
    figsize : (float, float), optional
        Width and height of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        As for `feature_maps`: the receptive field, in pixels of the input, with an outline for the field of every bank,
        the first one's innermost. The last of its axes is the colour bar.

    Raises
    ------
    TypeError
        If `stack` is neither, or has transposed banks.
    ValueError
        If its banks are for volumes.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    With :math:`y_k` an output in feature map k, in the middle of whose receptive field lie the pixels :math:`x_{c,i,j}`,
    the picture shows :math:`\\sqrt{\\mathrm{mean}_{k,c}\\, (\\partial y_k / \\partial x_{c,i,j})^2}` relative to the largest
    one, averaged over images of Gaussian noise as well, which matters only where activations are not linear. It is the
    effective receptive field: W. Luo, Y. Li, R. Urtasun and R. Zemel, "Understanding the effective receptive field in deep
    convolutional neural networks", 2016. `FilterBank.backward` computes the gradients, of 16 images at a time that are as
    large as the receptive field; there is no padding.

    The outlines follow a chain of outputs, in each bank the one in the middle of what the next bank's sees.

    Examples
    --------
    >>> import fastconv as fc
    >>> smooth = fc.FilterBank(fc.filters.gaussian(5)[None, None], stride=2)
    >>> figure = fc.plot.receptive_field(fc.Sequential(smooth, smooth, smooth))
    >>> figure.axes[0].get_title()
    'one output sees 29 x 29 pixels'
    """
    banks = _banks(stack)
    fields = _fields(banks)
    size = [count for _, count in fields[-1]]
    weights = np.atleast_2d(_gradients(banks, size))
    title = f"one output sees {' x '.join(map(str, size))} pixels"
    high = FIELD * min(max(weights.shape[0] / weights.shape[1], 0.2), 1.5)
    figsize = figsize or (FIELD + LEGEND, max(high, LINE * (len(banks) + 1)) + TITLE + GAP)
    figure, (axes,) = _grid(weights[np.newaxis], [title], 1, figsize, margin=LEGEND)
    picture = axes.imshow(weights / (weights.max() or 1.0), cmap=cmap, vmin=0.0, vmax=1.0, interpolation="nearest")
    for number, field in enumerate(fields):
        (top, height), (left, width) = ((0, 1), *field)[-2:]
        xs, ys = left + width * np.array([0, 1, 1, 0, 0]) - 0.5, top + height * np.array([0, 0, 1, 1, 0]) - 0.5
        label = f"bank {number}: {' x '.join(str(count) for _, count in field)}"
        axes.plot(xs, ys, color=f"C{number % 10}", linewidth=1.6, label=label, clip_on=False)
    _bar(figure, picture, LEGEND).set_label("gradient by a pixel", fontsize=8)
    figure.legend(loc="upper right", fontsize=8, frameon=False, handlelength=1.0)
    return figure


def _banks(stack: Any) -> list[FilterBank]:
    """The banks of a stack in a row, without padding, so that one output fits exactly, and with channels first."""
    from fastconv.bank import FilterBank, Sequential

    plain: dict[str, Any] = {"padding": 0, "padding_mode": "zeros", "padding_value": 0, "algorithm": "auto"}
    banks = []
    for bank in stack._row if isinstance(stack, Sequential) else (stack,):
        if not isinstance(bank, FilterBank):
            raise TypeError(f"stack must be a FilterBank, or a Sequential of them; got a {type(bank).__name__}")
        if bank.weight.ndim == 5:
            raise ValueError(
                f"stack must be for signals or images to be drawn; got weights of shape {bank.weight.shape}"
            )
        banks.append(bank.replace(**plain, channels_last=False, saturate=False))
    return banks


def _fields(banks: Sequence[FilterBank]) -> list[tuple[tuple[int, int], ...]]:
    """The pixels (first, count), along each axis, that a chain of outputs sees, one of each bank.

    Each is the one in the middle of what the next bank's sees.
    """
    from fastconv.bank import Sequential

    place, fields = [0] * len(banks[0].stride), []
    for number in range(len(banks), 0, -1):
        bank, above = banks[number - 1], Sequential(*banks[:number])
        first = [at * int(step) for at, step in zip(place, above.stride, strict=True)]
        fields.append(tuple(zip(first, above.receptive_field, strict=True)))
        axes = zip(place, bank.stride, bank.weight.shape[2:], bank._checked.dilation, strict=True)
        place = [at * step + (taps - 1) // 2 * spread for at, step, taps, spread in axes]
    return fields[::-1]


def _gradients(banks: Sequence[FilterBank], size: Sequence[int]) -> NDArray[np.float64]:
    """The root of the mean square of the gradients of one output in each map by the pixels of an image of this size."""
    filters, rng = banks[-1].out_channels, np.random.default_rng(0)
    every = np.arange(filters * -(-NOISE_IMAGES // filters)) % filters  # the map of each image: all are as frequent
    squares = np.zeros(size)
    for start in range(0, len(every), NOISE_IMAGES):
        maps = every[start : start + NOISE_IMAGES]
        images: list[NDArray[Any]] = [rng.standard_normal((len(maps), banks[0].in_channels, *size), np.float32)]
        for bank in banks:
            images.append(bank(images[-1]))
        gradient = np.eye(filters, dtype=images.pop().dtype)[maps].reshape(len(maps), filters, *[1] * len(size))
        for bank, image in zip(reversed(banks), reversed(images), strict=True):
            gradient = bank.backward(image, gradient).input
        squares += (np.abs(gradient).astype(np.float64) ** 2).sum(axis=(0, 1))
    roots: NDArray[np.float64] = np.sqrt(squares)
    return roots


def _bar(figure: Figure, picture: Any, margin: float) -> Any:
    """Add the colour bar of a picture at the right of a figure, in its margin in inches."""
    across = figure.get_figwidth()
    axes = figure.add_axes((1 - (margin - GAP) / across, 0.1, 0.15 / across, 0.8))
    bar = figure.colorbar(picture, cax=axes)
    bar.ax.tick_params(labelsize=8)
    return bar


def _real(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise TypeError(f"{name} must hold real numbers; got {array.dtype}")
    return array.astype(np.float64)


def _rounding(dtype: np.dtype[Any]) -> float:
    """The largest rounding error of a map, relative to its largest value: its sums have 32 bits or more."""
    if dtype.kind in "biu":
        return 0.0
    return ROUNDING * float(np.finfo(np.float64 if dtype.itemsize >= 8 else np.float32).eps)


def _limits(plane: NDArray[np.float64], rounding: float) -> tuple[float, float]:
    """The values to draw darkest and brightest: symmetric about zero if negative ones are more than rounding errors."""
    finite = plane[np.isfinite(plane)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = map(float, np.quantile(finite, (TAIL, 1 - TAIL)))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    if -finite.min() > rounding * np.abs(finite).max():
        high = max(-low, high)
        low = -high
    else:
        low = max(low, 0.0)
    return low, high if high > low else low + 1.0


def _side_by_side(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """One plane that shows the kernels (C, kh, kw) of a filter row by row; NaN where the last row is short."""
    channels, kh, kw = kernels.shape
    across = channels if channels <= 4 else math.ceil(math.sqrt(channels))
    down = math.ceil(channels / across)
    plane = np.full((down * across, kh, kw), np.nan)
    plane[:channels] = kernels
    return plane.reshape(down, across, kh, kw).swapaxes(1, 2).reshape(down * kh, across * kw)


def _grid(
    planes: NDArray[np.float64],
    titles: Sequence[str],
    columns: int | None,
    figsize: tuple[float, float] | None,
    margin: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    """A figure with one titled panel for each of the planes (K, H, W), and a margin at the right in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('fastconv.plot needs matplotlib: pip install "fastconv[demo]"') from error

    count, height, width = planes.shape
    aspect = min(max(height / width, 0.2), 3.0)
    if columns is None:
        columns = min(max(round(math.sqrt(count * aspect)), 1), count, 20)
    elif operator.index(columns) < 1:
        raise ValueError(f"columns must be 1 or more; got {columns}")
    rows = math.ceil(count / columns)
    panel = min(2.4 / max(aspect, 1.0), 10.0 / columns)  # inches wide, so that a row fits a notebook
    across, down = figsize or ((panel + GAP) * columns + GAP + margin, (panel * aspect + GAP + TITLE) * rows)
    figure = Figure(figsize=(across, down))
    # IPython knows bare figures only once pyplot has been imported; this shows them without it.
    figure.__dict__["_repr_png_"] = partial(_png, figure)

    # matplotlib's layout engines take seconds where panels are many, so each panel is put in its place here.
    width, height = (across - GAP - margin) / columns, down / rows
    panels = []
    for k, title in enumerate(titles):
        left, bottom = GAP + k % columns * width, down - (k // columns + 1) * height + GAP
        axes = figure.add_axes((left / across, bottom / down, (width - GAP) / across, (height - GAP - TITLE) / down))
        axes.set_axis_off()
        axes.set_title(title, fontsize=9)
        panels.append(axes)
    return figure, panels


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
