"""What the figures of the pages are drawn with: grids of numbers, windows on them, and the photograph."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import cbook
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

Numbers = NDArray[np.generic]

INK, FAINT = "#1f2328", "#8c959f"
BLUE, ORANGE, GREEN, PALE = "#9fd0f5", "#f7b27a", "#a6dcae", "#eef1f4"

# Figure 2 of the lecture: a 7x7 image and a 3x3 kernel
IMAGE = np.array(
    [
        [0, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
    ]
)
KERNEL = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])


def grid(
    axes: Axes, values: Numbers, title: str = "", *, colours: dict[tuple[int, int], str] | None = None, size: float = 9
) -> None:
    """Draw an array (H, W) as squares with their numbers, those in `colours` filled."""
    height, width = values.shape
    for (row, column), value in np.ndenumerate(values):
        face = (colours or {}).get((row, column), "white")
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor=FAINT, linewidth=0.8))
        if not (isinstance(value, np.floating) and np.isnan(value)):
            axes.text(column + 0.5, row + 0.53, f"{value:g}", ha="center", va="center", fontsize=size, color=INK)
    axes.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.1), aspect="equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, color=INK)


def window(row: int, column: int, height: int, width: int, colour: str, step: int = 1) -> dict[tuple[int, int], str]:
    """The squares that a kernel at (row, column) covers; `step`: its dilation."""
    return {(row + i * step, column + j * step): colour for i in range(height) for j in range(width)}


def outline(axes: Axes, row: float, column: float, height: float, width: float, colour: str = "#c2410c") -> None:
    axes.add_patch(Rectangle((column, row), width, height, fill=False, edgecolor=colour, linewidth=2.2))


def row_of_grids(*shapes: tuple[int, int], sign: str = "", height: float | None = None) -> list[Axes]:
    """Axes side by side for grids of these shapes, all squares of one size."""
    across = sum(width for _, width in shapes) + 0.8 * len(shapes)
    tallest = max(rows for rows, _ in shapes)
    figure = plt.figure(figsize=(5.4, height or 5.4 / across * (tallest + 1.6)))
    return list(figure.subplots(1, len(shapes), width_ratios=[width for _, width in shapes]))


def photograph(size: int = 256) -> NDArray[np.float32]:
    """Grace Hopper's face, (3, size, size) of values in 0..1: a photograph of the US Navy, which matplotlib brings."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        pixels = plt.imread(file, format="jpg")
    crop = pixels[20 : 20 + 2 * size, 0 : 2 * size].astype(np.float32) / 255
    return np.ascontiguousarray(np.moveaxis(crop, -1, 0)[:, ::2, ::2])


def picture(axes: Axes, values: Numbers, title: str = "", **options: object) -> None:
    axes.imshow(values, **options)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, color=INK)
