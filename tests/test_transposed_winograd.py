"""Transposed convolution by Winograd's forms: every phase, on every instruction set, against the definition."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problem_table import use_isa
from reference import transpose

import fastconv as fc
from fastconv import _core
from fastconv.algorithms import winograd_forms

ISAS = _core.available_isas()
WITH_FMA = [isa for isa in ISAS if isa != "baseline"]
FORMS = [(1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4)]  # taps and outputs; test_winograd.py has the others
ROUNDING = {np.float32: 4e-6, np.float64: 1e-14}  # of the largest output

all_dtypes = pytest.mark.parametrize("dtype", ROUNDING, ids=lambda dtype: dtype.__name__)
phases = pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((4, 4), {"stride": 2, "padding": 1}),
        ((3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ((5, 5), {"stride": 2, "padding": ((3, 1), (0, 2))}),
        ((7, 6), {"stride": (2, 3), "padding": (2, 0)}),
        ((3, 4), {"stride": (1, 2)}),
        ((2, 5), {"stride": 2, "padding": ((0, 1), (4, 3))}),
        ((1, 16), {"stride": (1, 8), "padding": (0, 4)}),
    ],
)


@pytest.fixture(autouse=True)
def _restore_isa():
    before, _ = _core.current_isa()
    yield
    use_isa(before)


def draw(image, weight, dtype=np.float32, groups=1, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (image, weight, (weight[1] * groups,))
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


def by_winograd(*arrays, **options):
    return fc.conv_transpose2d(*arrays, algorithm="winograd", **options)


def suits(*arrays, **options):
    try:
        by_winograd(*arrays, **options)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("taps", "outputs"), FORMS)
def test_a_form_is_exact_but_for_rounding(taps, outputs):
    form, rng = winograd_forms.form(outputs, taps), np.random.default_rng(taps)
    inputs, weights = rng.standard_normal(outputs + taps - 1), rng.standard_normal(taps)
    sums = form.A @ ((form.G @ weights)[list(form.row)] * (form.B @ inputs))
    np.testing.assert_allclose(sums, np.convolve(inputs, weights[::-1], "valid"), atol=1e-14)


@all_dtypes
@phases
@pytest.mark.parametrize("size", [(1, 5), (4, 3), (13, 14), (19, 70)])
def test_errors_are_small_and_the_same_wherever_there_is_fma(kernel, options, size, dtype):
    arrays = draw((2, 33, *size), (33, 30, *kernel), dtype)
    expected, maps = transpose(*arrays, **options), {}
    for isa in ISAS:
        use_isa(isa)
        maps[isa] = by_winograd(*arrays, **options)
    limit = ROUNDING[dtype] * abs(expected).max()
    assert {isa: error for isa in ISAS if not (error := abs(maps[isa] - expected).max()) <= limit} == {}
    assert [isa for isa in WITH_FMA if not (maps[isa] == maps[WITH_FMA[0]]).all()] == []


@given(data=st.data())
def test_drawn_problems_whatever_the_threads_and_the_batch(data):
    kernel = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)), "kernel")
    stride = tuple(data.draw(st.integers(1, min(4, taps)), "stride") for taps in kernel)
    output_padding = tuple(data.draw(st.integers(0, step - 1), "output padding") for step in stride)
    padding = tuple((data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))) for n in kernel)
    sizes = {"groups": 2, "channels": 40, "filters": 60, "height": 20, "width": 60}
    groups, channels, filters, height, width = (data.draw(st.integers(1, n), name) for name, n in sizes.items())
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups}
    options["flip"] = data.draw(st.booleans(), "flip")
    arrays = draw((3, groups * channels, height + 9, width + 9), (groups * channels, filters, *kernel), float, groups)
    if not suits(*arrays, **options):
        return
    result = by_winograd(*arrays, **options, threads=1)
    expected = transpose(*arrays, **options)
    assert abs(result - expected).max() <= ROUNDING[np.float64] * abs(expected).max()
    assert (by_winograd(*arrays, **options, threads=2) == result).all()
    image, weight, bias = arrays
    assert (by_winograd(image[1], weight, bias, **options) == result[1]).all()


@phases
def test_blocks_of_images_that_are_converted_have_the_bits_of_whole_ones(kernel, options):
    height = 300 if kernel[0] > 1 else 3
    image, weight, bias = draw((1, 17, height, 310), (17, 16, *kernel))
    image = image.astype(np.float16)  # more than is converted at a time
    whole = by_winograd(image.astype(np.float32), weight, bias, **options)
    assert (by_winograd(image, weight, bias, **options).astype(np.float16) == whole.astype(np.float16)).all()
    strided = np.zeros((*whole.shape[:-1], 2 * whole.shape[-1]), np.float32)[..., ::2]
    by_winograd(image.astype(np.float32), weight, bias, **options, out=strided)
    assert (strided == whole).all()


@phases
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_activations(kernel, options, activation):
    arrays = draw((1, 20, 9, 21), (20, 17, *kernel))
    expected = transpose(*arrays, **options, activation=activation)
    np.testing.assert_allclose(by_winograd(*arrays, **options, activation=activation), expected, atol=1e-4)


@phases
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("isa", ISAS)
def test_a_poisoned_pixel_reaches_the_outputs_that_see_it_and_no_others(kernel, options, bad, isa):
    use_isa(isa)
    rng = np.random.default_rng(1)
    image = rng.integers(-3, 4, (1, 5, 11, 12)).astype(np.float32)
    weight, bias = rng.integers(1, 4, (5, 9, *kernel)).astype(np.float32), np.arange(9, dtype=np.float32)
    for place in [*itertools.product(range(5), range(5)), (-1, -1), (-1, 0), (0, -1), (-3, -4)]:
        image[0, -1, *place] = bad
        with np.errstate(invalid="ignore"):
            expected = transpose(image, weight, bias, **options)
        found, finite = by_winograd(image, weight, bias, **options), np.isfinite(expected)
        np.testing.assert_array_equal(found[~finite], expected[~finite])
        np.testing.assert_allclose(found[finite], expected[finite], atol=1e-3)
        image[0, -1, *place] = 0


@phases
def test_weights_that_are_not_finite_reach_the_outputs_that_have_a_product_with_them(kernel, options):
    image, weight, bias = draw((1, 6, 9, 11), (6, 20, *kernel))
    weight[2, 3, 0, 0], weight[5, 18, -1, -1], weight[0, 7, 0, -1] = np.nan, np.inf, -np.inf
    image[:, :, 4:, :3] = 0
    with np.errstate(invalid="ignore"):
        expected = transpose(image, weight, bias, **options)
    np.testing.assert_allclose(by_winograd(image, weight, bias, **options), expected, atol=1e-4)


@all_dtypes
@phases
def test_outputs_that_see_only_zeros_are_the_bias(kernel, options, dtype):
    image, weight, bias = draw((2, 17, 30, 41), (17, 19, *kernel), dtype)
    rng = np.random.default_rng(3)
    image *= rng.random((2, 1, 30, 41)) < 0.3
    image[0, :, :, :20] = image[1, :, 11:] = 0
    image = np.where(rng.random(image.shape) < 0.1, dtype(-0.0) * image, image).astype(dtype)
    seen = transpose((image != 0).astype(int), np.ones(weight.shape, int), **options)
    result = by_winograd(image, weight, bias, **options)
    dark = seen == 0
    assert dark.any()
    assert (result == bias[:, np.newaxis, np.newaxis])[dark].all()


def test_it_is_planned_where_it_pays():
    def algorithm(channels, filters, size, kernel, **options):
        arrays = draw((1, channels, size, size), (channels, filters, kernel, kernel))
        chosen = fc.conv_transpose2d(*arrays, **options)
        return (chosen == by_winograd(*arrays, **options)).all()

    assert algorithm(64, 32, 32, 4, stride=2, padding=1)
    assert algorithm(128, 64, 56, 3, stride=2, padding=1, output_padding=1)
    assert not algorithm(256, 128, 4, 4, stride=2, padding=1)
    assert not algorithm(8, 8, 32, 4, stride=2, padding=1)


def test_what_it_cannot_do_is_refused():
    image, weight, _ = draw((1, 16, 12, 12), (16, 16, 4, 4))
    for options in ({"stride": 2, "dilation": 2}, {"stride": 5}, {"stride": 4}):
        with pytest.raises(ValueError, match="cannot do this"):
            by_winograd(image, weight, **options)
    with pytest.raises(ValueError, match="cannot do this"):
        fc.conv_transpose3d(
            image[0, :, np.newaxis], weight[:, :, np.newaxis].repeat(2, 2), stride=2, algorithm="winograd"
        )
