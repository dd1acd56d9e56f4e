"""Arrays as people have them: photographs, channels last, complex numbers, halves and holes, beside the plain call.

Run it as ``python benchmarks/arrays.py [WORDS OF A ROW ...] [--threads N]``. A ratio is the time of the second side by that
of the first, both medians of calls by turns: OpenCV's (or SciPy's) by ours, or that of the plain call of float32,
channels first, by that of the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy_interface import Row, report

import fastconv as fc

rng = np.random.default_rng(0)


def main() -> None:
    import scipy

    report(__doc__, f"SciPy {scipy.__version__}", ("other", "ratio"), rows)


def rows(threads: int) -> Iterator[Row]:
    yield from photograph_rows(threads)
    yield from channels_last_rows()
    yield from number_rows()
    yield from hole_rows()


def normal(*shape: int) -> Any:
    return rng.standard_normal(shape).astype("float32")


def photograph_rows(threads: int) -> Iterator[Row]:
    photo = rng.integers(0, 256, (1411, 1411, 3)).astype("uint8")
    kernels: dict[str, Any] = {
        "gaussian 5x5": np.outer(*[np.exp(-(np.arange(-2, 3) ** 2) / 2.42)] * 2),
        "gaussian 9x9": np.outer(*[np.exp(-(np.arange(-4, 5) ** 2) / 5.78)] * 2),
        "sobel": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    }
    others: dict[str, Callable[[], Any]] = {}
    try:
        import cv2

        cv2.setNumThreads(threads)
        others = {
            "gaussian 5x5": lambda: cv2.GaussianBlur(photo, (5, 5), 1.1),
            "gaussian 9x9": lambda: cv2.GaussianBlur(photo, (9, 9), 1.7),
            "sobel": lambda: cv2.Sobel(photo, -1, 1, 0),
            "sharpen": lambda: cv2.filter2D(photo, -1, kernels["sharpen"]),
        }
    except ImportError:
        print("OpenCV is not installed: its rows are left out")
    import scipy.ndimage

    for name, kernel in kernels.items():
        weight = (kernel / kernel.sum() if "gaussian" in name else kernel).astype("float32")
        ours = photograph(photo, weight)
        if name in others:
            yield Row(f"photograph {name}, OpenCV", ours, others[name])
        yield Row(
            f"photograph {name}, SciPy", ours, correlate(scipy.ndimage.correlate, photo, weight[:, :, np.newaxis])
        )


def photograph(photo: Any, weight: Any) -> Callable[[], Any]:
    options: Any = {"padding": "same", "padding_mode": "reflect", "channels_last": True, "saturate": True}
    return lambda: fc.conv2d(photo, weight, **options)


def correlate(function: Any, image: Any, weight: Any) -> Callable[[], Any]:
    return lambda: function(image, weight)


def channels_last_rows() -> Iterator[Row]:
    last = normal(1024, 1024, 3)
    first = np.ascontiguousarray(np.moveaxis(last, -1, 0))
    for shape in ((3, 3), (5, 5), (9, 9), (1, 3, 3, 3), (2, 3, 3, 3), (4, 3, 3, 3), (8, 3, 3, 3), (32, 3, 3, 3)):
        yield from beside_plain(f"channels last {shape}", first, normal(*shape), last, channels_last=True)


def beside_plain(
    name: str, plain: Any, weight: Any, other: Any, other_weight: Any = None, groups: int = 1, **options: Any
) -> Iterator[Row]:
    """Yield the row of another array beside that of a plain one."""
    given = weight if other_weight is None else other_weight
    yield Row(
        f"{name}, plain call",
        lambda: fc.conv2d(other, given, padding="same", groups=groups, **options),
        lambda: fc.conv2d(plain, weight, padding="same", groups=groups),
    )


def number_rows() -> Iterator[Row]:
    gray = normal(2048, 2048)
    yield from beside_plain(
        "float16 3x3 2048x2048", gray, normal(3, 3), gray.astype("float16"), normal(3, 3).astype("e")
    )
    for size, shape, groups in (
        ((64, 56, 56), (64, 64, 3, 3), 1),
        ((3, 256, 256), (16, 3, 5, 5), 1),
        ((64, 112, 112), (64, 1, 3, 3), 64),
        ((1024, 1024), (9, 9), 1),
        ((1024, 1024), (3, 3), 1),
    ):
        image, weight = normal(*size), normal(*shape)
        name = f"complex64 {size} {shape}"
        yield from beside_plain(name, image, weight, image * (1 + 1j), weight * (1 - 2j), groups)


def hole_rows() -> Iterator[Row]:
    for size, shape in (
        ((64, 56, 56), (64, 64, 3, 3)),
        ((2048, 2048), (3, 3)),
        ((2048, 2048), (9, 9)),
        ((256, 256), (3, 3)),
    ):
        image, weight = normal(*size), np.abs(normal(*shape))
        holes = image.copy()
        yield from beside_plain(f"no holes {size} {shape}", image, weight, holes.copy(), nan="ignore", renormalize=True)
        holes[..., ::17, ::13] = np.nan
        yield from beside_plain(f"holes {size} {shape}", image, weight, holes, nan="ignore", renormalize=True)


if __name__ == "__main__":
    main()
