"""`pytest benchmarks/`: fastconv beside NumPy as people write it, grouped by case; only the results are asserted."""

import math
from typing import Any

import numpy as np
import pytest
from backward_cases import BACKWARD_CASES
from cases import CASES, Case
from networks import NETWORKS
from peers import PEERS, Call
from suites import OURS, backward_calls, backward_error

import fastconv as fc

pytest.importorskip("pytest_benchmark")

SMALL = [case for case in CASES if case.quick and case.macs < 2e8]


def make_call(who: str, case: Case) -> Call | None:
    x, w = case.arrays()
    if who == "fastconv call":
        return lambda: fc.conv2d(x, w, **case.options)
    if who == "fastconv bank":
        bank = fc.FilterBank(w, **case.options)
        return lambda: bank(x)
    return PEERS[who].make(case, x, w, 1)


@pytest.mark.parametrize("who", ["fastconv bank", "fastconv call", "tensordot", "einsum", "loops"])
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
@pytest.mark.benchmark(min_rounds=3, max_time=0.3)
def test_speed(benchmark: Any, case: Case, who: str) -> None:
    call = make_call(who, case)
    if call is None:
        pytest.skip(f"{who} would take too long or too much memory")
    benchmark.group = case.name
    result = benchmark(call)

    x, w = case.arrays()
    expected = fc.conv2d(x.astype(np.float64), w.astype(np.float64), **case.options)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("case", [case for case in BACKWARD_CASES if case.quick], ids=lambda case: case.name)
@pytest.mark.benchmark(min_rounds=3, max_time=0.3)
def test_speed_backward(benchmark: Any, case: Any) -> None:
    x, w = case.arrays()
    benchmark.group = case.name
    result = benchmark(backward_calls(case, x, w)[OURS])
    assert backward_error(case, x, w, result) <= 1e-5


@pytest.mark.parametrize(
    ("network", "layers", "weights"),
    [
        ("VGG-16", 13, 14_710_464),
        ("ResNet-18", 20, 11_166_912),
        ("ResNet-50", 53, 23_454_912),
        ("Inception-v3", 94, 21_751_136),
        ("DenseNet-121", 120, 6_870_208),
    ],
)
def test_networks_have_the_published_number_of_weights(network: str, layers: int, weights: int) -> None:
    counts = NETWORKS[network]
    assert counts.total() == layers
    assert sum(math.prod(case.weight) * count for case, count in counts.items()) == weights
