"""Pictures of feature maps and of filter banks, for notebooks and teaching.

matplotlib draws them; it is imported when a picture is asked for, so that fastconv itself needs NumPy alone.
"""

from __future__ import annotations

import io
import math
import operator
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["feature_maps", "filter_bank"]

SIGNED, UNSIGNED = "RdBu_r", "gray"
TAIL = 0.005  # fraction of a map's pixels that is saturated at either end of the scale
TITLE, GAP, BAR = 0.26, 0.08, 0.7  # inches: over a panel, between panels, for the colour bar


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
        with zero white, positive red and negative blue; the others in gray.
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
        low, high = _limits(plane)
        axes.imshow(plane, cmap=cmap or (SIGNED if low < 0 else UNSIGNED), vmin=low, vmax=high)
    return figure


def filter_bank(
    weight: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    cmap: str = SIGNED,
    figsize: tuple[float, float] | None = None,
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
        A matplotlib colour map; zero gets its middle colour (white), all filters share one scale.
    figsize : (float, float), optional
        Width and height of the figure in inches; by default chosen from the shape of the weight.

    Returns
    -------
    matplotlib.figure.Figure
        As for `feature_maps`. The last of its axes is the colour bar.

    Raises
    ------
    ValueError
        If the weight is empty or of another rank, or if the titles do not match it.
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

    planes = np.stack([_side_by_side(kernels) for kernels in bank])
    high = max(np.abs(bank[np.isfinite(bank)]), default=0.0) or 1.0
    figure, panels = _grid(planes, titles, columns, figsize, margin=BAR)
    for plane, axes in zip(planes, panels, strict=True):
        picture = axes.imshow(plane, cmap=cmap, vmin=-high, vmax=high, interpolation="nearest")
        height, width = plane.shape
        axes.hlines(np.arange(0, height + 1, kh) - 0.5, -0.5, width - 0.5, color="0.5", linewidth=0.8, clip_on=False)
        axes.vlines(np.arange(0, width + 1, kw) - 0.5, -0.5, height - 0.5, color="0.5", linewidth=0.8, clip_on=False)
    across = figure.get_figwidth()
    bar = figure.add_axes((1 - (BAR - GAP) / across, 0.1, 0.15 / across, 0.8))
    figure.colorbar(picture, cax=bar).ax.tick_params(labelsize=8)
    return figure


def _real(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise TypeError(f"{name} must hold real numbers; got {array.dtype}")
    return array.astype(np.float64)


def _limits(plane: NDArray[np.float64]) -> tuple[float, float]:
    """The values to draw darkest and brightest: symmetric about zero if there are negative ones."""
    finite = plane[np.isfinite(plane)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = map(float, np.quantile(finite, (TAIL, 1 - TAIL)))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    if finite.min() < 0:
        high = max(-low, high)
        low = -high
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
