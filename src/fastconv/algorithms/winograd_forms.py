"""The matrices of Winograd's minimal filtering algorithms, built after Toom and Cook; winograd.py chooses among them.

A form F(m, r) computes y[k] = sum over t of w[t] x[k + t], k < m, along one axis as y = A ((G w) * (B x)). It is the
transpose of the Toom-Cook algorithm, which multiplies polynomials by their values at m + r - 1 points, infinity among
them (S. Winograd, "Arithmetic Complexity of Computations", 1980; A. Lavin and S. Gray, "Fast Algorithms for
Convolutional Neural Networks", 2016).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

# Number of points m + r - 1 -> the positive ones; their negatives are points, too, and infinity, and 0 if the number is
# even. Values around 1 keep rounding errors small.
POINTS: dict[int, tuple[float, ...]] = {
    2: (),
    3: (1,),
    4: (1,),
    5: (3 / 8, 5 / 4),
    6: (2 / 3, 3 / 2),
    7: (0.3087, 0.832, 1.854),
}


class Form(NamedTuple):
    """The form F(outputs, taps) of one axis, with a stride between outputs."""

    outputs: int
    taps: int
    stride: int
    B: Matrix  # (positions, inputs), square
    A: Matrix  # (outputs, positions)
    G: Matrix  # (rows, taps)
    row: tuple[int, ...]  # position -> row of G; with a single tap all positions share one

    @property
    def positions(self) -> int:
        """Multiplications, one per position of a transformed tile."""
        return len(self.B)


@cache
def form(outputs: int, taps: int, stride: int = 1) -> Form:
    """Return the form F(outputs, taps) for a stride of 1 or 2.

    Stride 2 is the sum of two forms of stride 1 (polyphase): even taps with even inputs, odd taps with odd inputs.
    """
    if stride == 1:
        B, A, G = _toom_cook(outputs, taps)
        return Form(outputs, taps, 1, B, A, G, tuple(min(i, len(G) - 1) for i in range(len(B))))
    phases = [form(outputs, (taps + 1) // 2), form(outputs, taps // 2)]
    positions, rows = sum(len(f.B) for f in phases), sum(len(f.G) for f in phases)
    B, A, G = np.zeros((positions, positions)), np.hstack([f.A for f in phases]), np.zeros((rows, taps))
    start, row, first_row = 0, [], 0
    for phase, f in enumerate(phases):
        B[start : start + f.positions, phase::2] = f.B
        G[first_row : first_row + len(f.G), phase::2] = f.G
        row += [first_row + i for i in f.row]
        start, first_row = start + f.positions, first_row + len(f.G)
    return Form(outputs, taps, 2, B, A, G, tuple(row))


def _toom_cook(outputs: int, taps: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return B, A and G of F(outputs, taps), stride 1; identities for a single tap, where no product can be saved."""
    if taps == 1:
        return np.eye(outputs), np.eye(outputs), np.ones((1, 1))
    count = outputs + taps - 1
    points = [0.0] * (count % 2 == 0) + [sign * p for p in POINTS[count] for sign in (1, -1)]
    B, A, G = np.zeros((count, count)), np.zeros((outputs, count)), np.zeros((count, taps))
    for i, point in enumerate(points):
        others = [p for p in points if p != point]
        B[i, : count - 1] = np.poly(others)[::-1]
        A[:, i] = point ** np.arange(outputs)
        G[i] = point ** np.arange(taps) / np.prod([point - p for p in others])
    B[-1] = np.poly(points)[::-1]
    A[-1, -1] = G[-1, -1] = 1
    return B, A, G
