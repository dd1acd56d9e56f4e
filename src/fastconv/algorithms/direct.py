"""Direct summation: what it costs, by which all algorithms are priced, and the core's loops for every dtype.

Floats go to tiles.py or sweep.py, which do the same sums with micro-kernels; integers and complex numbers come here.
"""

from __future__ import annotations

import math

from fastconv import _core, _weights
from fastconv._problem import Array, Problem
from fastconv.algorithms import CoreLayout

NAME = "direct"
DOMAIN = "it takes everything"

# Costs in products of a full register tile with pixels in the lanes; measured on AVX-512 and AVX2.
PRODUCT = 1.2  # a product of an ordinary layer, at most
STRIDED_PRODUCT = 1.0  # the same with filters in the lanes, as strides have it, and beyond that
LAY_OUT_CHANNEL = 12.0  # padding and laying out what one output sees of a channel, shared by the filters of a group
STORE = 4.0  # an output, beyond its products


def cost(problem: Problem) -> float:
    """Return how long direct summation takes on one image."""
    outputs = math.prod(problem.output_size) * problem.filters
    product = PRODUCT
    if max(problem.stride) > 1:
        product = min(PRODUCT, STRIDED_PRODUCT + LAY_OUT_CHANNEL * problem.groups / problem.filters)
    return outputs * (product * problem.taps + STORE)


class Rows(CoreLayout):
    """Every filter slides along the rows of every image."""

    name = NAME

    def __init__(self, problem: Problem) -> None:
        core, entry = _core.direct_layout(problem.window), _core.convolve_direct[problem.core_name]
        super().__init__(problem, cost(problem), core, "rows", (NAME,), entry=entry)

    def pack(self, weight: Array) -> Array:
        return _weights.filters(self.problem, weight)


def choose(problem: Problem, reuse: bool, budget: float) -> Rows | None:
    """Return the loops for every dtype, for those that have no micro-kernels."""
    return None if problem.accumulator.kind == "f" else Rows(problem)
