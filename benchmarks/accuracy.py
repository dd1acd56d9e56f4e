"""The accuracy report: the largest error of every algorithm, relative to the largest output, against float64.

`python benchmarks/accuracy.py > benchmarks/ACCURACY.md` writes the tables again; they take some minutes. What
`real_networks.py` finds is then appended.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv as fc

Array = NDArray[Any]
PROBLEMS = {  # kernel, stride, dilation, and channels x pixels a side
    "3x3": (3, 1, 1, [(16, 56), (64, 56), (256, 28), (512, 14), (2048, 14)]),
    "3x3 dilation 2": (3, 1, 2, [(64, 56), (256, 28)]),
    "3x3 stride 2": (3, 2, 1, [(16, 56), (128, 56), (1024, 14)]),
    "5x5": (5, 1, 1, [(16, 56), (64, 56), (512, 14)]),
    "7x7 stride 2": (7, 2, 1, [(3, 112), (64, 56)]),
    "1x1": (1, 1, 1, [(64, 56), (2048, 14)]),
    "31x31": (31, 1, 1, [(1, 256)]),
}
WAYS = [  # algorithm and precision
    ("direct", "default"),
    ("winograd", "default"),
    ("fft", "default"),
    ("auto", "default"),
    ("auto", "highest"),
]
KINDS = ("normal", "uniform", "after ReLU", "offset by 100", "equal terms")
FILTERS, SEEDS = 16, 2
HEAD = """# Accuracy

Largest error / largest output in float32, against float64; normally distributed weights, for equal terms a mean of equal
pixels; 16 filters, the worst of two draws; in units of 1e-7. Empty: the algorithm cannot do it at this precision. Made by
`benchmarks/accuracy.py`.
"""


def images(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    normal = rng.standard_normal(shape)
    return {
        "normal": normal,
        "uniform": rng.random(shape),
        "after ReLU": np.maximum(normal, 0),
        "offset by 100": normal + 100,
        "equal terms": np.full(shape, rng.random()),
    }[kind]


def error(image: Array, weight: Array, algorithm: str, precision: str, **options: Any) -> float | None:
    exact = fc.conv2d(image.astype(np.float64), weight.astype(np.float64), **options, algorithm="direct")
    try:
        maps = fc.conv2d(image, weight, **options, algorithm=algorithm, precision=precision)
    except ValueError:  # it cannot
        return None
    return float(np.abs(maps - exact).max() / np.abs(exact).max())


def row(kernel: int, stride: int, dilation: int, channels: int, pixels: int, kind: str) -> list[float | None]:
    """The worst error over some seeds, for every way."""
    worst: list[float | None] = [None] * len(WAYS)
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        image = images(kind, rng, (1, channels, pixels, pixels)).astype(np.float32)
        weight = rng.standard_normal((FILTERS, channels, kernel, kernel)).astype(np.float32)
        if kind == "equal terms":  # the mean of an even area: every rounding may go the same way
            weight[:] = 1 / (channels * kernel**2)
        options = {"stride": stride, "dilation": dilation, "padding": dilation * (kernel // 2)}
        for i, (algorithm, precision) in enumerate(WAYS):
            if (found := error(image, weight, algorithm, precision, **options)) is not None:
                worst[i] = max(worst[i] or 0.0, found)
    return worst


def main() -> None:
    print(HEAD)
    heads = [f"{algorithm}{', highest' if precision == 'highest' else ''}" for algorithm, precision in WAYS]
    print("| kernel | channels | image | data |", " | ".join(heads), "|")
    print("|---|---|---|---|" + "---|" * len(WAYS))
    for name, (kernel, stride, dilation, sizes) in PROBLEMS.items():
        for channels, pixels in sizes:
            for kind in KINDS:
                cells = [
                    "" if e is None else f"{e * 1e7:.1f}" for e in row(kernel, stride, dilation, channels, pixels, kind)
                ]
                print(f"| {name} | {channels} | {pixels}x{pixels} | {kind} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
