"""Banks in a row: a Sequential beside the same banks one by one, whose maps are written to memory and read again.

Run it as ``python benchmarks/stacks.py [WORDS OF A ROW ...] [--threads N]``. A ratio is the time of bank by bank by that
of the Sequential, both medians of calls by turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy_interface import Row, report

import fastconv as fc

rng = np.random.default_rng(0)


def main() -> None:
    report(__doc__, "bank by bank", ("one by one", "ratio"), rows)


def rows(threads: int) -> Iterator[Row]:
    yield row("RGB 1024x1024 3->32->16 3x3", (3, 1024, 1024), [bank(32, 3, 3), bank(16, 32, 3)])
    yield row("RGB 1024x1024 3->16->16->3 3x3", (3, 1024, 1024), [bank(16, 3, 3), bank(16, 16, 3), bank(3, 16, 3)])
    yield row("RGB 4096x1024 3->32->16 3x3", (3, 1024, 4096), [bank(32, 3, 3), bank(16, 32, 3)])
    yield row("gray 2048x2048 3x 5x5", (1, 2048, 2048), [bank(1, 1, 5, activation=None) for _ in range(3)])
    yield row("gray 2048x2048 1->8->1 7x7", (1, 2048, 2048), [bank(8, 1, 7), bank(1, 8, 7)])
    yield row("gray 512x512 2x 3x3", (1, 512, 512), [bank(1, 1, 3, activation=None) for _ in range(2)])
    gaussian = fc.FilterBank(fc.filters.gaussian(9, sigma=2).astype("f4")[np.newaxis, np.newaxis], padding="same")
    yield row("gray 2048x2048 2x gaussian 9x9", (1, 2048, 2048), [gaussian, gaussian])
    yield row("signal 2^20 1->16->1 9", (1, 2**20), [bank(16, 1, 9, axes=1), bank(1, 16, 9, axes=1)])
    yield row("volume 64^3 1->8->1 3x3x3", (1, 64, 64, 64), [bank(8, 1, 3, axes=3), bank(1, 8, 3, axes=3)])
    yield row("VGG 3->64->64 224x224", (3, 224, 224), [bank(64, 3, 3), bank(64, 64, 3)])
    yield row("ResNet 64->64->64 56x56", (64, 56, 56), [bank(64, 64, 3), bank(64, 64, 3)])
    yield row("ResNet 256->64->64->256 56x56", (256, 56, 56), [bank(64, 256, 1), bank(64, 64, 3), bank(256, 64, 1)])
    yield row("digits 1->16->32 28x28", (1, 28, 28), [bank(16, 1, 3), bank(32, 16, 3)])
    for channels, size, stride in ((16, 112, 2), (24, 56, 1), (32, 28, 1), (64, 14, 1)):
        for batch in (1, 8):
            name = f"MobileNet {channels}->{6 * channels} {size}x{size} stride {stride} x{batch}"
            yield row(name, (batch, channels, size, size), mobile(channels, stride))


def row(name: str, shape: tuple[int, ...], banks: Sequence[fc.FilterBank]) -> Row:
    stack, image = fc.Sequential(*banks), rng.standard_normal(shape).astype("f4")

    def one_by_one() -> Any:
        maps = image
        for one in banks:
            maps = one(maps)
        return maps

    return Row(name, lambda: stack(image), one_by_one)


def bank(filters: int, channels: int, taps: int, axes: int = 2, groups: int = 1, **options: Any) -> fc.FilterBank:
    weight = rng.standard_normal((filters, channels // groups, *(taps,) * axes)).astype("f4") / taps**axes
    return fc.FilterBank(weight, groups=groups, **{"padding": "same", "activation": "relu", **options})


def mobile(channels: int, stride: int) -> list[fc.FilterBank]:
    """Return an inverted residual block: 1x1 to six times the channels, depthwise 3x3, 1x1 back."""
    wide = 6 * channels
    return [
        bank(wide, channels, 1, activation="relu6"),
        bank(wide, wide, 3, groups=wide, stride=stride, activation="relu6"),
        bank(channels, wide, 1, activation=None),
    ]


if __name__ == "__main__":
    main()
