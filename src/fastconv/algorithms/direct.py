"""Direct summation: its cost, the yardstick of all algorithms, and the core's loops for integers and complex numbers.

Direct summation of floats is left to tiles.py and sweep.py, which have micro-kernels for it.
"""

from __future__ import annotations

import math

from fastconv import _core, _weights
from fastconv._problem import Array, Problem
from fastconv.algorithms import CoreLayout

NAME = "direct"
DOMAIN = "it takes everything"

# Costs in products of a full register tile with pixels in the lanes; measured on AVX-512 and AVX2.
PRODUCT = 1.2  # per product; an upper bound for usual layers
STRIDED_PRODUCT = 1.0  # per product with filters in the lanes, as usual with strides
LAY_OUT_CHANNEL = 12.0  # per tap and output, with strides: padding and copying its pixel for all filters of a group
STORE = 4.0  # per output


def cost(problem: Problem) -> float:
    """Return the cost of direct summation of one image."""
    outputs = math.prod(problem.output_size) * problem.filters
    product = PRODUCT
    if max(problem.stride) > 1:
        product = min(PRODUCT, STRIDED_PRODUCT + LAY_OUT_CHANNEL * problem.groups / problem.filters)
    return outputs * (product * problem.taps + STORE)


class Rows(CoreLayout):
    """Loops over filters, rows and taps, for every dtype."""

    name = NAME

    def __init__(self, problem: Problem) -> None:
        core = _core.direct_layout(problem.window, problem.weight_shape, problem.accumulator)
        super().__init__(problem, cost(problem), core, "rows", (NAME,), entry=_core.convolve_direct)
        self.call_layout = core
        self.raw_weights = not problem.flip and (not problem.exchanged or problem.group_size == (1, 1))

    def pack(self, weight: Array) -> Array:
        return _weights.plain_filters(self.problem, weight)


def choose(problem: Problem, budget: float) -> Rows | None:
    """Return the loops for integers and complex numbers."""
    return None if problem.accumulator.kind == "f" else Rows(problem)
