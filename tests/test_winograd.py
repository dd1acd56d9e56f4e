"""Winograd convolution: its forms, and every way over its blocks against the definition, on every instruction set."""

import itertools
import math
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problem_table import CASES, Case, use_isa
from strategies import PADDING_MODES

import fastconv as fc
from fastconv import _core, conv
from fastconv.algorithms import winograd, winograd_forms

ISAS = _core.available_isas()
WITH_FMA = [isa for isa in ISAS if isa != "baseline"]
ROUNDING = {np.float32: 4e-7, np.float64: 8e-16}  # of direct summation, of the largest output
FORMS = [(taps, stride, outputs) for (taps, stride), known in winograd.ERROR_GROWTH.items() for outputs in known]

all_dtypes = pytest.mark.parametrize("dtype", ROUNDING, ids=lambda dtype: dtype.__name__)


@pytest.fixture(autouse=True)
def _restore_isa():
    before, _ = _core.current_isa()
    yield
    use_isa(before)


def suits(case: Case) -> bool:
    try:
        case.convolve(case.draw(np.float32, integers=True), algorithm="winograd")
    except ValueError:
        return False
    return True


def _winograd_cases() -> list[Case]:
    cases = [case for case in CASES if len(case.weight) < 5 and case.weight[-1] in (3, 4, 5, 7)][::4]
    for taps, (channels, filters), stride in itertools.product([3, 4, 5, 7], [(1, 1), (3, 20), (70, 33)], [1, 2]):
        for width in (1, 2, 7, 14, 16, 33):
            options = {"padding": taps // 2, "stride": stride}
            cases.append(Case((1, channels, 9, width), (filters, channels, taps, taps), options))
    for dilation, groups in itertools.product([1, 2, 3, (1, 2)], [1, 2]):
        options = {"padding": "same", "dilation": dilation, "groups": groups, "activation": "silu"}
        cases.append(Case((2, 8, 19, 23), (6, 8 // groups, 3, 3), options))
    for mode in PADDING_MODES:
        cases.append(Case((1, 5, 12, 130), (9, 5, 3, 3), {"padding": ((9, 3), (2, 11)), "padding_mode": mode}))
        cases.append(Case((1, 3, 12, 30), (9, 3, 7, 7), {"padding": 5, "padding_mode": mode, "stride": 2}))
    for taps, channels, width in itertools.product(
        [6, 8, 9, (1, 11), (15, 3), (3, 19)], [1, 2, 20], [5, 31, 150]
    ):  # in parts
        kernel = taps if isinstance(taps, tuple) else (taps, taps)
        options = {"padding": "same", "padding_mode": PADDING_MODES[width % 5], "activation": "relu6"}
        cases.append(Case((2, channels, 11, width), (6, channels, *kernel), options))
    for stride, dilation in [(1, 1), ((1, 3), 1), ((2, 1), 1), (1, (2, 3))]:  # parts that share tiles, in many blocks
        options = {"padding": "full", "stride": stride, "dilation": dilation, "groups": 2}
        cases.append(Case((1, 40, 50, 71), (36, 20, 9, 7), options))
    cases.append(Case((1, 16, 260, 270), (16, 16, 3, 3), {"padding": (1, 2)}))  # maps beyond the cache
    for channels, filters, (height, width) in itertools.product(
        [1, 3, 6, 12], [1, 5, 18], [(3, 70), (40, 9), (7, 275)]
    ):
        options = {"padding": 1, "activation": "silu" if channels == 6 else None}  # few channels: tiles in the lanes
        cases.append(Case((2, channels, height, width), (filters, channels, 3, 3), options))
    cases.append(Case((1, 6, 19, 40), (8, 3, 3, 3), {"padding": "same", "dilation": (2, 1), "groups": 2}))
    cases.append(Case((1, 3, 50, 51), (9, 3, 11, 11), {"stride": 4, "padding": 2, "activation": "relu6"}))
    cases.append(Case((1, 3, 30, 51), (9, 3, 9, 7), {"stride": (3, 2), "padding": 2, "flip": True}))
    cases.append(Case((1, 16, 300), (9, 16, 7), {"padding": 3}))
    cases.append(Case((1, 16, 3, 20, 20), (9, 16, 1, 3, 3), {"stride": (2, 1, 1)}))
    return [case for case in cases if suits(case)]


SUITABLE = _winograd_cases()


@pytest.mark.parametrize(("taps", "stride", "outputs"), FORMS)
def test_a_form_is_exact_but_for_rounding(taps, stride, outputs):
    form = winograd_forms.form(outputs, taps, stride)
    rng = np.random.default_rng(taps)
    inputs, weights = rng.standard_normal(stride * (outputs - 1) + taps), rng.standard_normal(taps)
    sums = form.A @ ((form.G @ weights)[list(form.row)] * (form.B @ inputs))
    expected = [inputs[k * stride : k * stride + taps] @ weights for k in range(outputs)]
    np.testing.assert_allclose(sums, expected, atol=1e-13)
    assert form.positions == stride * (outputs - 1) + taps


@all_dtypes
@pytest.mark.parametrize("case", SUITABLE, ids=str)
def test_errors_are_small_and_the_same_wherever_there_is_fma(case, dtype):
    arrays = case.draw(dtype, integers=False)
    expected, most = case.expected(arrays), case.largest_sum(arrays)
    maps = {}
    for isa in ISAS:
        use_isa(isa)
        maps[isa] = case.convolve(arrays, algorithm="winograd")
    limit = winograd.MAX_ERROR_GROWTH_SHORT * ROUNDING[dtype] * most
    assert {isa: error for isa in ISAS if not (error := abs(maps[isa] - expected).max()) <= limit} == {}
    assert [isa for isa in WITH_FMA if not (maps[isa] == maps[WITH_FMA[0]]).all()] == []


@pytest.mark.parametrize(("channels", "filters", "groups"), [(3, 5, 1), (70, 50, 1), (130, 100, 1), (40, 20, 2)])
def test_filters_transformed_where_they_are_multiplied_give_the_bits_of_packed_ones(channels, filters, groups, rng):
    image = rng.standard_normal((groups * channels, 7, 8)).astype(np.float32)
    weight = rng.standard_normal((groups * filters, channels, 3, 3)).astype(np.float32)
    maps = []
    for always_packed in (False, True):
        conv._plans.clear()
        with patch.object(winograd, "_is_one_block", lambda *_, packed=always_packed: not packed):
            maps.append(fc.conv2d(image, weight, padding=1, groups=groups, algorithm="winograd"))
    np.testing.assert_array_equal(*maps)


@given(data=st.data())
@settings(max_examples=100)
def test_drawn_problems(data):
    dimensions = {"groups": 2, "channels": 40, "filters": 40, "height": 20, "width": 60}
    groups, channels, filters, height, width = (data.draw(st.integers(1, n), name) for name, n in dimensions.items())
    taps = st.sampled_from([1, 3, 4, 5, 6, 7, 9])
    kernel = data.draw(st.tuples(taps, taps), "kernel")
    pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))
    options = {
        "stride": data.draw(pairs, "stride"),
        "dilation": data.draw(pairs, "dilation"),
        "padding": data.draw(st.sampled_from(["same", "full", 3]), "padding"),
        "padding_mode": data.draw(st.sampled_from(PADDING_MODES), "padding_mode"),
        "groups": groups,
    }
    shape = (2, groups * channels, height + 12, width + 12)
    case = Case(shape, (groups * filters, channels, *kernel), options)
    if not suits(case):
        return
    arrays = case.draw(np.float64, integers=False)
    error = abs(case.convolve(arrays, algorithm="winograd", threads=2) - case.expected(arrays)).max()
    assert error <= 1e-14 * case.largest_sum(arrays)


def poisoned(case: Case, bad: float) -> Any:
    """Yield inputs with one bad pixel: in the corners, at every place relative to a tile, and in between."""
    image, weight, bias = case.draw(np.float32, integers=True)
    weight[weight == 0] = 1
    places = {*itertools.product(range(7), range(7)), (-1, -1), (-1, 0), (0, -1), (-4, -6), (8, -2)}
    for place in places:
        image[-1, -1, *place] = bad
        yield image.copy(), weight, bias
        image[-1, -1, *place] = 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("channels", [3, 13])
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 3), {"padding": 1}),
        ((9, 9), {"padding": 4}),
        ((5, 5), {"padding": 2}),
        ((3, 3), {"padding": 1, "stride": 2}),
        ((3, 3), {"padding": 2, "dilation": 2, "activation": "relu"}),
        ((7, 7), {"padding": 3, "stride": 2}),
    ],
)
def test_a_poisoned_pixel_reaches_the_outputs_that_see_it_and_no_others(kernel, options, channels, bad, isa):
    use_isa(isa)
    case = Case((1, channels, 17, 18), (5, channels, *kernel), options)
    for arrays in poisoned(case, bad):
        with np.errstate(invalid="ignore"):
            expected = case.expected(arrays)
        found = case.convolve(arrays, algorithm="winograd")
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(found[~finite], expected[~finite])
        np.testing.assert_allclose(found[finite], expected[finite], atol=1e-3)


def test_numbers_that_overflow_on_the_way_do_not_matter():
    rng = np.random.default_rng(0)
    image = (rng.choice([-1, 1], (1, 20, 20, 20)) * 1e38).astype(np.float32)
    weight = rng.uniform(-0.1, 0.1, (4, 20, 3, 3)).astype(np.float32)
    direct = fc.conv2d(image, weight, padding=1, algorithm="direct")
    assert np.isfinite(direct).all()
    np.testing.assert_allclose(fc.conv2d(image, weight, padding=1, algorithm="winograd"), direct, rtol=1e-2, atol=1e35)


def test_weights_that_are_not_finite():
    case = Case((1, 4, 12, 12), (3, 4, 3, 3), {"padding": 1})
    image, weight, bias = case.draw(np.float32, integers=True)
    image[image == 0] = 1
    weight[1, 2, 1, 1], weight[2, 0, 0, 0] = np.nan, np.inf
    found, direct = (case.convolve((image, weight, bias), algorithm=a) for a in ("winograd", "direct"))
    np.testing.assert_allclose(found, direct, atol=1e-4)  # NaN and infinity where the other has them


@pytest.mark.parametrize("channels", [1, 16, 130])
@pytest.mark.parametrize("taps", [3, 5])
def test_the_highest_precision_is_that_of_direct_summation(taps, channels):
    rng = np.random.default_rng(channels)
    image = rng.standard_normal((1, channels, 40, 40), np.float32)
    weight = rng.standard_normal((16, channels, taps, taps), np.float32)
    expected = fc.conv2d(image.astype(float), weight.astype(float), padding=1, algorithm="direct")
    error = {
        precision: abs(fc.conv2d(image, weight, padding=1, precision=precision) - expected).max() / abs(expected).max()
        for precision in ("default", "highest")
    }
    assert error["default"] < 2e-6
    assert error["highest"] < 6e-7


@pytest.mark.parametrize(
    ("image", "weight"),
    [
        ((64, 56, 56), (64, 64, 3, 3)),
        ((1, 1, 512, 512), (1, 1, 31, 31)),
        ((1, 3, 224, 224), (64, 3, 7, 7)),
        ((1, 100000), (1, 1, 2000)),
    ],
)
def test_the_highest_precision_takes_neither_transforms_nor_tiles(image, weight):
    why = fc.explain(image, np.ones(weight, np.float32), precision="highest")
    assert {candidate.algorithm for candidate in why.candidates} <= {"direct", "separable"}


@pytest.mark.parametrize("algorithm", ["winograd", "fft"])
def test_an_algorithm_that_is_not_of_the_highest_precision_is_refused_with_it(algorithm):
    with pytest.raises(ValueError, match=rf"^algorithm must be 'auto' or 'direct' .*got '{algorithm}'.*'default'"):
        fc.conv2d(np.ones((3, 40, 40)), np.ones((2, 3, 9, 9)), algorithm=algorithm, precision="highest")


def test_tiles_lie_where_they_lie_in_the_whole_map_when_images_are_converted():
    rng = np.random.default_rng(0)
    image, weight = rng.standard_normal((2, 40, 150, 150), np.float32), rng.standard_normal((8, 40, 3, 3), np.float32)
    plain = fc.conv2d(image, weight, padding=1, algorithm="winograd")
    for other in (np.asfortranarray(image), image[:, :, ::-1][:, :, ::-1], image.astype(">f4")):
        assert (fc.conv2d(other, weight, padding=1, algorithm="winograd") == plain).all()
    assert (fc.conv2d(image, weight, padding=1, algorithm="winograd", threads=3) == plain).all()


def layouts(shape: Any, dtype: Any) -> Any:
    """Yield empty arrays that the core cannot take as they are: with gaps, reversed, unaligned, of other byte orders and dtypes."""
    yield np.empty((*shape, 2), dtype)[..., 0]
    yield np.empty((*shape[:-1], shape[-1] + 3), dtype)[..., 2:-1]
    yield np.empty(shape, dtype)[..., ::-1]
    yield np.empty(shape, dtype, order="F")
    yield np.empty(math.prod(shape) * dtype.itemsize + 1, np.uint8)[1:].view(dtype).reshape(shape)
    yield np.empty(shape, dtype.newbyteorder())
    yield np.empty(shape, np.float64)


def assert_the_same_bits_for_every_layout(case: Case, dtype: Any) -> None:
    image, weight, bias = case.draw(dtype, integers=False)
    plain = case.convolve((image, weight, bias), algorithm="winograd")
    for out in layouts(plain.shape, plain.dtype):
        case.convolve((image, weight, bias), algorithm="winograd", out=out)
        np.testing.assert_array_equal(out, plain)
    for other in itertools.islice(layouts(image.shape, image.dtype), 6):
        other[...] = image
        np.testing.assert_array_equal(case.convolve((other, weight, bias), algorithm="winograd"), plain)


@pytest.mark.parametrize(
    "case",
    [
        Case((1, 1, 1, 17), (1, 1, 1, 4), {"padding": "same", "padding_mode": "reflect"}),
        Case((1, 12, 62, 21), (13, 12, 3, 7), {"padding": "same", "padding_mode": "circular"}),
        Case((1, 52, 56, 44), (27, 52, 1, 7), {"padding": 3, "stride": 2, "padding_mode": "circular"}),
        Case((1, 64, 200, 200), (32, 64, 5, 5), {"stride": 2}),  # images that are converted in blocks, too
        Case((1, 64, 160, 170), (9, 64, 3, 3), {"padding": 2, "padding_mode": "reflect"}),
        Case((1, 40, 170, 190), (8, 40, 11, 9), {"padding": "full", "padding_mode": "symmetric"}),
        Case((1, 48, 150, 180), (8, 48, 3, 5), {"dilation": (3, 2), "padding": ((1, 9), (0, 4))}),
        Case((1, 3, 700, 600), (4, 3, 11, 7), {"stride": (4, 3), "padding": 2, "padding_mode": "replicate"}),
    ],
    ids=str,
)
def test_bits_do_not_depend_on_layouts(case):
    assert_the_same_bits_for_every_layout(case, np.float32)


@given(data=st.data())
@settings(max_examples=40)
def test_bits_of_drawn_problems_do_not_depend_on_layouts(data):
    dimensions = {"groups": 2, "channels": 24, "filters": 24, "height": 40, "width": 60}
    groups, channels, filters, height, width = (data.draw(st.integers(1, n), name) for name, n in dimensions.items())
    kernel = data.draw(st.tuples(*[st.sampled_from([1, 3, 4, 5, 6, 7, 9, 11])] * 2), "kernel")
    few = st.integers(1, 3)
    edges = st.tuples(st.integers(0, 9), st.integers(0, 9))
    options = {
        "stride": data.draw(st.tuples(few, few), "stride"),
        "dilation": data.draw(st.tuples(few, few), "dilation"),
        "padding": data.draw(st.one_of(st.sampled_from(["same", "full", 0]), st.tuples(edges, edges)), "padding"),
        "padding_mode": data.draw(st.sampled_from(PADDING_MODES), "padding_mode"),
        "groups": groups,
    }
    case = Case((2, groups * channels, height + 8, width + 8), (groups * filters, channels, *kernel), options)
    if suits(case):
        assert_the_same_bits_for_every_layout(case, data.draw(st.sampled_from([np.float32, np.float64]), "dtype"))


@pytest.mark.parametrize(
    ("image", "kernel", "options"),
    [
        (np.ones((3, 9, 9), np.int8), (3, 3), {}),
        (np.ones((3, 9, 9), np.complex64), (3, 3), {}),
        (np.ones((3, 9, 9), np.float32), (1, 1), {}),
        (np.ones((3, 9, 9), np.float32), (2, 3), {}),
    ],
)
def test_what_it_cannot_do_is_refused(image, kernel, options):
    with pytest.raises(ValueError, match=r"algorithm 'winograd' .* at least 3 taps"):
        fc.conv2d(image, np.ones((2, 3, *kernel), image.dtype), algorithm="winograd", **options)
