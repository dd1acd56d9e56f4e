"""Images that are dark, empty or masked in places: what outputs see there counts, not what lies beside it, under every algorithm."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ACTIVATIONS as REFERENCE
from strategies import ACTIVATIONS, CONV, FLOATS, PADDING_MODES, Problem, problems

import fastconv as fc
from fastconv import _check, _core, _lengths

ALGORITHMS = ["auto", "direct", "winograd", "fft"]
f32 = np.float32
COORDINATES = np.arange(-20, 21)
DISC = (np.add.outer(COORDINATES**2, COORDINATES**2) <= 400).astype(f32)


def sum_of_magnitudes(image: Any, kernel: Any, **options: Any) -> Any:
    """What the errors of every output are to be measured by."""
    return fc.conv2d(abs(image).astype(float), abs(kernel).astype(float), **options, algorithm="direct")


# Nothing but zeros


def empty_in_places(problem: Problem, data: Any) -> Any:
    """Set some boxes of the image to zeros of either sign, and return where there are none."""
    for _ in range(data.draw(st.integers(1, 4), "boxes")):
        corners = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in problem.input.shape[-problem.axes :]]
        box = tuple(slice(first, last) for first, last in corners)
        problem.input[(..., *box)] *= data.draw(st.sampled_from([0, -0.0]), "zero")
    return problem.input != 0


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
@settings(max_examples=60)
def test_outputs_that_see_only_zeros_are_exactly_what_the_bias_gives(axes, algorithm, data):
    problem = data.draw(problems(axes, FLOATS, activations=(None, *ACTIVATIONS)))
    lit = empty_in_places(problem, data)
    options = {**problem.options, "activation": None}
    is_dark = CONV[axes](lit.astype(int), np.ones(problem.weight.shape, int), **options) == 0
    try:
        result = problem.result(algorithm=algorithm)
    except ValueError:  # it cannot
        return
    nothing = Problem(axes, np.zeros_like(problem.input), problem.weight, problem.bias, problem.options)
    expected = nothing.result(algorithm="direct")
    np.testing.assert_array_equal(result[is_dark], expected[is_dark])


@pytest.mark.parametrize("algorithm", ["winograd", "fft"])
@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((2, 5, 60, 70), (6, 5, 5, 7), {"padding": 9}),
        ((1, 40, 50, 61), (33, 40, 3, 3), {"padding": ((0, 7), (5, 1)), "dilation": (2, 3), "activation": "sigmoid"}),
        ((1, 6, 90, 90), (8, 3, 9, 9), {"stride": (2, 1), "groups": 2, "padding": "full", "activation": "relu6"}),
    ],
)
def test_holes_in_large_images_are_exact(image, weight, options, mode, algorithm):
    rng = np.random.default_rng(len(mode))
    images, bank = rng.standard_normal(image, f32), rng.standard_normal(weight, f32)
    bias = 9 * rng.standard_normal(weight[0], f32)
    images[..., 5:33, 11:52] = 0
    images[..., 44, :] = images[..., -12:, :20] = 0
    options = {**options, "padding_mode": mode}
    result, direct = (fc.conv2d(images, bank, bias, **options, algorithm=a, threads=2) for a in (algorithm, "direct"))
    seen = fc.conv2d(abs(np.sign(images)), np.ones(weight, f32), **{**options, "activation": None}, algorithm="direct")
    assert (seen == 0).any()
    np.testing.assert_array_equal(result[seen == 0], direct[seen == 0])


@pytest.mark.parametrize("algorithm", ["winograd", "fft"])
def test_weights_that_are_not_finite_make_nan_of_zeros(algorithm):
    image, weight = np.zeros((3, 40, 40), f32), np.ones((2, 3, 5, 5), f32)
    image[:, :5] = 1
    weight[1, 1, 2, 2] = np.inf
    with np.errstate(invalid="ignore"):
        result = fc.conv2d(image, weight, algorithm=algorithm)
    assert (result[0, 5:] == 0).all()
    assert np.isnan(result[1, 5:]).all()


# Much darker in places


def test_an_empty_background_stays_empty():
    image = np.zeros((256, 256), f32)
    image[:20, :20] = 1
    for algorithm in ("auto", "fft"):
        maps = fc.conv2d(image, DISC, padding="same", algorithm=algorithm)
        assert np.count_nonzero(maps[45:, 45:]) == 0
        assert maps.min() == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("algorithm", ["auto", "fft"])
def test_the_mean_of_valid_pixels_is_nan_where_there_are_none(dtype, algorithm):
    image = np.random.default_rng(0).random((400, 400)).astype(dtype) + 5
    image[100:300, 100:300] = np.nan
    valid = np.isfinite(image)
    total, count = (
        fc.conv2d(a.astype(dtype), DISC.astype(dtype), padding="same", algorithm=algorithm)
        for a in (np.where(valid, image, 0), valid)
    )
    with np.errstate(invalid="ignore"):
        mean = total / count
    assert not np.isfinite(mean[121:279, 121:279]).any()
    assert np.nanmin(mean) >= 5
    assert np.nanmax(mean) <= 6


@pytest.mark.parametrize("algorithm", ["auto", "fft"])
def test_a_variance_map_has_no_negative_variances(algorithm):
    variance = np.full((512, 512), 4, f32)
    variance[200:260, 200:260] = 1e9
    axis = np.arange(-12, 13)
    kernel = np.exp(-np.add.outer(axis**2, axis**2) / 18)
    kernel[12] += 0.02
    kernel = (kernel / kernel.sum()).astype(f32)
    kernel[3, 5] *= 1.5
    maps = fc.conv2d(variance, kernel, padding="same", algorithm=algorithm)
    np.testing.assert_allclose(maps, sum_of_magnitudes(variance, kernel, padding="same"), rtol=1e-4)


@pytest.mark.parametrize("algorithm", ["auto", "fft"])
def test_events_in_a_disc_are_counted_exactly(algorithm):
    events = np.random.default_rng(0).random((600, 600)) < 0.01
    counts = fc.conv2d(events.astype(f32), DISC, padding="same", algorithm=algorithm)
    exact = fc.conv2d(events.astype(np.uint8), DISC.astype(np.uint8), padding="same")
    np.testing.assert_array_equal(np.floor(counts), exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e5, 1e9, 1e14])
def test_a_hot_pixel_does_not_reach_those_who_do_not_see_it(size, dtype):
    image = np.random.default_rng(1).random((300, 310)).astype(dtype)
    image[150, 160] = size
    axis = np.arange(-31, 32)
    kernel = np.exp(-np.add.outer(axis**2, axis**2) / 200).astype(dtype)
    kernel[3, 4] *= 1.2
    maps = fc.conv2d(image, kernel, padding="same", algorithm="fft")
    np.testing.assert_allclose(maps, sum_of_magnitudes(image, kernel, padding="same"), rtol=1e-4)


def test_a_hot_sample_of_a_signal():
    signal = np.random.default_rng(1).random(30_000, f32)
    signal[29_990] = 1e9
    taps = np.hanning(502)[1:-1].astype(f32)
    sums = fc.conv1d(signal, taps, algorithm="fft")
    expected = fc.conv1d(signal.astype(float), taps.astype(float), algorithm="direct")
    np.testing.assert_allclose(sums, expected, rtol=1e-4)


def test_bits_do_not_depend_on_dark_neighbours_in_the_batch():
    rng = np.random.default_rng(3)
    images, kernel = rng.standard_normal((3, 1, 200, 210), f32), rng.standard_normal((1, 1, 21, 21), f32)
    images[1, :, 50:120, 60:150] = 0
    images[2, 0, 20, 30] = 1e12
    together = fc.conv2d(images, kernel, algorithm="fft", threads=3)
    for image, maps in zip(images, together, strict=True):
        assert np.array_equal(fc.conv2d(image, kernel, algorithm="fft", threads=1), maps)
    strided = np.repeat(images, 2, -1)[..., ::2]
    assert np.array_equal(fc.conv2d(strided, kernel, algorithm="fft"), together)


TRANSFORMED, IN_DOUBLE, DIRECTLY = range(3)


@pytest.mark.parametrize(
    ("shape", "kernel", "cell"),
    [
        ((1, 60, 70), (1, 21, 25), (1, 5, 6)),
        ((1, 1, 3000), (1, 1, 401), (1, 1, 100)),
        ((9, 40, 40), (5, 9, 17), (3, 4, 4)),
    ],
)
def test_the_fate_of_a_pair_of_blocks_is_that_of_whole_cells(shape, kernel, cell):
    image, weight = np.ones((3, *shape), f32), np.ones((3, 1, *kernel), f32)
    dtypes = (np.dtype(f32), np.dtype(f32))
    options = _check.options(3, _check.Options(groups=3, algorithm="fft"))
    (layout,) = _lengths.plan_for(3, image.shape, weight.shape, None, dtypes, options).layouts

    def fate() -> Any:
        found = np.zeros((1, 3, *layout.blocks.pairs(layout.problem.output_size)), np.uint8)
        maps = np.empty(layout.maps_shape, f32)
        _, spectra, _ = layout.pack(weight)
        whole = (0, 3, 0, 1)
        _core.convolve_fft(
            image[None], spectra, None, maps, (0, 0, 0), layout._core_layout, found.reshape(-1), 0, whole, 1
        )
        return {index: set(found[0, index].ravel().tolist()) for index in range(3)}

    assert fate() == {0: {TRANSFORMED}, 1: {TRANSFORMED}, 2: {TRANSFORMED}}
    depth, rows, columns = (2 * n for n in cell)
    image[0, :depth, :rows, :columns] = 0  # in one group of channels
    assert IN_DOUBLE in fate()[0]
    assert fate()[1] == {TRANSFORMED}
    image[0] = 0
    assert fate()[0] == {TRANSFORMED}
    image[0] = 2**-12
    image[0, ..., shape[2] // 2] = 1
    assert max(fate()[0]) == IN_DOUBLE
    image[0, ..., shape[2] // 2] = 1e9
    assert max(fate()[0]) == DIRECTLY


# Infinities


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_activations_of_infinity_are_limits(algorithm, dtype, activation):
    bias = np.array([-np.inf, np.inf, np.nan, 1], dtype)
    result = fc.conv2d(
        np.ones((1, 40, 40), dtype), np.ones((4, 1, 9, 9), dtype), bias, algorithm=algorithm, activation=activation
    )
    with np.errstate(over="ignore"):
        expected = REFERENCE[activation](bias.astype(float) + 81)
    np.testing.assert_allclose(result[:, 3, 4], expected, rtol=1e-3)
