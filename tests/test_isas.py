"""Every instruction set that this machine can run, on every problem of the table, against the definition and against each other.

`pytest tests/test_isas.py --isa-times` also prints how long each takes, in microseconds.
"""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problem_table import CASES, EXACT, Case, use_isa
from reference import convolve
from strategies import PADDING_MODES

import fastconv as fc
from fastconv import _core

ISAS = _core.available_isas()
WITH_FMA = [isa for isa in ISAS if isa != "baseline"]
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}  # of the largest sum

all_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
all_cases = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(autouse=True)
def _restore_isa():
    before, _ = _core.current_isa()
    yield
    use_isa(before)


def results(case: Case, arrays: Any, isas: Any = ISAS, **more: Any) -> dict[str, Any]:
    maps = {}
    for isa in isas:
        use_isa(isa)
        maps[isa] = case.convolve(arrays, **more)
    return maps


@all_dtypes
@all_cases
def test_sums_of_small_integers_are_exact(case, dtype):
    arrays = case.draw(dtype, integers=True)
    expected = case.expected(arrays)
    tolerance = 0 if case.options.get("activation") in EXACT else TOLERANCE[dtype] * case.largest_sum(arrays)
    maps = results(case, arrays, algorithm="direct")
    assert {isa for isa in ISAS if maps[isa].shape != expected.shape} == set()
    assert {isa for isa in ISAS if not (abs(maps[isa] - expected) <= tolerance).all()} == set()


@all_dtypes
@all_cases
def test_rounding_errors_are_small_and_the_same_wherever_there_is_fma(case, dtype, pytestconfig, capsys):
    arrays = case.draw(dtype, integers=False)
    expected = case.expected(arrays)
    maps = results(case, arrays)
    tolerance = TOLERANCE[dtype] * case.largest_sum(arrays)
    errors = {isa: abs(maps[isa] - expected).max() for isa in ISAS}
    assert {isa: error for isa, error in errors.items() if not error <= tolerance} == {}
    assert [isa for isa in WITH_FMA if not (maps[isa] == maps[WITH_FMA[0]]).all()] == []
    if pytestconfig.getoption("--isa-times"):
        with capsys.disabled():
            print(
                "\n", *(f"{isa} {microseconds(case, arrays, isa):8.1f} " for isa in ISAS), dtype.__name__, case, end=""
            )


@all_cases
def test_packed_weights_give_the_same_bits(case):
    image, weight, bias = case.draw(np.float32, integers=False)
    for isa, maps in results(case, (image, weight, bias), algorithm="direct").items():
        use_isa(isa)
        bank = fc.FilterBank(weight, bias, **case.options, algorithm="direct")
        assert np.array_equal(bank(image), maps), isa


def microseconds(case: Case, arrays: Any, isa: str) -> float:
    """The best of five calls."""
    use_isa(isa)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        case.convolve(arrays, threads=1)
        times.append(time.perf_counter() - start)
    return min(times[1:]) * 1e6


@all_dtypes
@given(data=st.data())
@settings(max_examples=150)
def test_drawn_problems_are_exact_on_every_instruction_set(dtype, data):
    dimensions = {"groups": 3, "group_channels": 40, "filters": 40, "height": 20, "width": 100}
    groups, channels, filters, height, width = (data.draw(st.integers(1, n), name) for name, n in dimensions.items())
    kernel = data.draw(st.tuples(st.integers(1, min(height, 9)), st.integers(1, min(width, 9))), "kernel")
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    options = {
        "stride": data.draw(pairs, "stride"),
        "padding": data.draw(st.sampled_from(["same", "full", ((0, 9), (5, 1))]), "padding"),
        "dilation": data.draw(pairs, "dilation"),
        "groups": groups,
        "padding_mode": data.draw(st.sampled_from(PADDING_MODES), "padding_mode"),
        "flip": data.draw(st.booleans(), "flip"),
        "activation": data.draw(st.sampled_from(EXACT), "activation"),
    }
    if options["padding"] not in ("same", "full"):  # room for every kernel
        height, width = height + 16, width + 16
    case = Case((2, groups * channels, height, width), (groups * filters, channels, *kernel), options)
    arrays = case.draw(dtype, integers=True)
    expected = case.expected(arrays)
    found = results(case, arrays, algorithm="direct")
    assert {isa for isa, maps in found.items() if not np.array_equal(maps, expected)} == set()


@pytest.mark.parametrize("isa", ISAS)
def test_nan_and_infinity_reach_the_outputs_that_see_them_and_no_others(isa):
    use_isa(isa)
    for case in CASES[::7]:
        if case.options.get("activation") or case.options.get("padding_mode"):
            continue
        arrays = case.draw(np.float32, integers=True)
        arrays[1][arrays[1] == 0] = 1
        arrays[0].flat[:: max(1, arrays[0].size // 3)] = np.nan
        expected = case.expected(arrays)
        np.testing.assert_array_equal(case.convolve(arrays, algorithm="direct"), expected, err_msg=str(case))
        arrays[0][np.isnan(arrays[0])] = np.inf
        with np.errstate(invalid="ignore"):
            found = case.convolve(arrays, algorithm="direct")
            np.testing.assert_array_equal(found, case.expected(arrays), err_msg=str(case))


@pytest.mark.parametrize("isa", ISAS)
def test_zeros_beyond_the_image_count_when_weights_are_not_finite(isa):
    use_isa(isa)
    for case in CASES:
        if "padding" not in case.options or case.options.get("activation"):
            continue
        arrays = case.draw(np.float32, integers=True)
        arrays[1].flat[:: 1 + arrays[1].size // 5] = np.inf
        bank = fc.FilterBank(*arrays[1:], **case.options, algorithm="direct")
        with np.errstate(invalid="ignore"):
            expected = case.expected(arrays)
            np.testing.assert_array_equal(case.convolve(arrays, algorithm="direct"), expected, err_msg=str(case))
            np.testing.assert_array_equal(bank(arrays[0]), expected, err_msg=str(case))


@all_dtypes
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 9)])
@pytest.mark.parametrize("threads", [1, 2])
def test_large_maps_are_the_same_wherever_they_lie(isa, dtype, kernel, threads, rng):
    use_isa(isa)
    image = rng.integers(-9, 9, (2, 700, 1024)).astype(dtype)  # whose maps sweeps write past the cache if they lie well
    weight = rng.integers(-9, 9, (2, 1, *kernel)).astype(dtype)
    options: Any = {"padding": "same", "groups": 2, "algorithm": "direct", "threads": threads}
    room = np.empty(image.size + 1, dtype)
    out = room[1:].reshape(image.shape)
    expected = fc.conv2d(image.astype(np.int64), weight.astype(np.int64), padding="same", groups=2)
    assert np.array_equal(fc.conv2d(image, weight, **options), expected)
    assert np.array_equal(fc.conv2d(image, weight, out=out, **options), expected)


def test_the_quick_definition_is_the_definition():
    for case in CASES[::30]:
        arrays = case.draw(np.float64, integers=True)
        expected = convolve(*arrays, axes=len(case.weight) - 2, **case.options)
        np.testing.assert_allclose(case.expected(arrays), expected, atol=1e-12, err_msg=str(case))
