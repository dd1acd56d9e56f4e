"""Images with holes: NaN and masks, renormalised or not, compared with sums over the taps that met a number."""

import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import convolve, convolve_seen
from strategies import (
    ACTIVATIONS,
    COMPLEX,
    CONV,
    FLOATS,
    INTEGERS,
    Problem,
    problems,
    real_part_eps,
)

import fastconv as fc
from fastconv import _missing


@st.composite
def missing_problems(draw: Any, axes: int, dtypes: Any = FLOATS, activations: Any = (None,)) -> Problem:
    problem = draw(problems(axes, dtypes, activations=activations))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    image, share = problem.input, draw(st.sampled_from([0.02, 0.3, 0.9]))
    options = problem.options
    options["renormalize"] = draw(st.sampled_from([False, True, "abs"]))
    if image.dtype.kind not in "biu" and draw(st.booleans()):
        options["nan"] = "ignore"
        channels = image.shape[-axes - 1] if draw(st.booleans()) and image.ndim > axes else 1
        holes = rng.random((*image.shape[:-axes], *image.shape[-axes:])) < share
        if channels > 1:  # the same in all channels
            holes[...] = np.expand_dims(holes.take(0, -axes - 1), -axes - 1)
        image[holes] = np.nan
        if draw(st.booleans()) and options["padding_mode"] == "zeros":
            options["padding_value"] = math.nan
    if draw(st.booleans()):
        shape = list(image.shape[draw(st.integers(0, image.ndim - axes)) :])
        for axis in range(len(shape) - axes):
            shape[axis] = draw(st.sampled_from([1, shape[axis]]))
        options["mask"] = rng.random(shape) > share
    if options["renormalize"] is True and problem.weight.dtype.kind != "c":
        problem.weight = np.where(rng.random(problem.weight.shape) < 0.1, 0, abs(problem.weight)).astype(
            problem.weight.dtype
        )
        if problem.weight.dtype.kind == "i":
            problem.weight = np.maximum(problem.weight, 0)  # abs(-128) is -128
    if draw(st.booleans()) or image.dtype.kind in "biu":
        options["fill_value"] = draw(st.integers(-3, 3))
    return problem


def check(problem: Problem, result: Any, weights: Any) -> None:
    expected, expected_weights, nothing = convolve_seen(
        problem.input, problem.weight, problem.bias, axes=problem.axes, **problem.options
    )
    assert result.shape == weights.shape == expected.shape
    if result.dtype.kind == "i":
        assert (result == expected).all()
        assert (weights == expected_weights).all()
        return
    eps = real_part_eps(result.dtype)
    products = problem.most_products + 1
    size = 1 if problem.input.dtype.kind in "fcV" else float(abs(problem.weight.astype(float)).max(initial=1)) * 2.0**21
    tolerance = 8 * min(eps, 2**-23) * products
    with np.errstate(all="ignore"):
        total = abs(problem.weight.astype(complex)).sum()
        gain = 1 + np.nan_to_num(total / abs(expected_weights.astype(complex)), nan=0, posinf=0)
        wrong = abs(result.astype(expected.dtype) - expected) > eps * abs(expected) + tolerance * size * gain
    assert not wrong.any(), repr(problem)
    assert np.array_equal(np.isnan(result.astype(complex)), np.isnan(expected.astype(complex))), repr(problem)
    np.testing.assert_array_equal(result[nothing].astype(complex), problem.options.get("fill_value", math.nan))
    assert (weights[nothing] == 0).all()
    np.testing.assert_allclose(
        weights.astype(complex), expected_weights.astype(complex), rtol=1e-5, atol=tolerance * max(total, 1)
    )


def run(problem: Problem, block_bytes: int) -> None:
    with mock.patch.object(_missing, "BLOCK_BYTES", block_bytes):
        result, weights = problem.result(return_weight=True)
        check(problem, result, weights)
        np.testing.assert_array_equal(problem.result().astype(complex), result.astype(complex))
        if problem.weight.ndim == problem.axes + 2:
            names = ("nan", "mask", "renormalize", "fill_value")
            missing = {name: problem.options[name] for name in names if name in problem.options}
            options = {name: value for name, value in problem.options.items() if name not in names}
            by_bank, seen = fc.FilterBank(problem.weight, problem.bias, **options)(
                problem.input, return_weight=True, **missing
            )
            check(problem, by_bank, seen)


block_sizes = st.sampled_from([_missing.BLOCK_BYTES, 2000, 1])


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(st.data())
@settings(max_examples=150)
def test_floats_are_summed_over_the_taps_that_meet_a_number(axes: int, data: Any) -> None:
    run(data.draw(missing_problems(axes, activations=[None, *ACTIVATIONS])), data.draw(block_sizes))


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(st.data())
@settings(max_examples=50)
def test_integers_are_summed_exactly(axes: int, data: Any) -> None:
    run(data.draw(missing_problems(axes, INTEGERS, activations=[None, "relu"])), data.draw(block_sizes))


@pytest.mark.parametrize("axes", [1, 2])
@given(st.data())
@settings(max_examples=50)
def test_complex_numbers_are_summed_over_the_taps_that_meet_a_number(axes: int, data: Any) -> None:
    run(data.draw(missing_problems(axes, COMPLEX)), data.draw(block_sizes))


# What it means, by hand and by others


def test_interpolation_is_a_weighted_mean_of_what_is_there() -> None:
    image, kernel = np.array([[1.0, np.nan, 4.0], [5.0, 7.0, np.nan]]), np.array([[1.0, 2.0, 1.0]]) / 4
    result, weight = fc.conv2d(image, kernel, nan="ignore", renormalize=True, return_weight=True)
    np.testing.assert_allclose(result, [[2.5], [19 / 3]])
    np.testing.assert_allclose(weight, [[0.5], [0.75]])


def test_partial_convolution_by_hand(rng: np.random.Generator) -> None:
    """Of equal weights: the sum of what is there, times (pixels of the window) / (pixels that are there), plus bias."""
    image, mask = rng.random((2, 9, 10)), rng.random((9, 10)) < 0.6
    weight, bias = np.full((1, 2, 3, 3), 0.25), np.array([0.5])
    result = fc.conv2d(
        image, weight, bias, padding=1, padding_value=np.nan, nan="ignore", mask=mask, renormalize=True, fill_value=0
    )
    there = np.pad(mask, 1)
    for y in range(9):
        for x in range(10):
            window = there[y : y + 3, x : x + 3]
            pixels = np.pad(image, ((0, 0), (1, 1), (1, 1)))[:, y : y + 3, x : x + 3]
            expected = 0.25 * (pixels * window).sum() * 18 / (2 * window.sum()) + 0.5 if window.any() else 0
            assert result[0, y, x] == pytest.approx(expected)


@pytest.mark.parametrize("boundary", ["fill", "wrap", "extend"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("treatment", ["interpolate", "fill"])
def test_as_astropy_convolves(boundary: str, axes: int, treatment: str, rng: np.random.Generator) -> None:
    astropy = pytest.importorskip("astropy.convolution")
    image = rng.random((14, 9, 8)[:axes])
    image[rng.random(image.shape) < 0.3] = np.nan
    kernel = rng.random((5, 3, 3)[:axes])
    options = {"padding": "same", "flip": True, "nan": "ignore", "fill_value": 0}
    options["padding_mode"] = {"fill": "constant", "wrap": "circular", "extend": "edge"}[boundary]
    for fill_value in (0.0, 2.0) if boundary == "fill" else (0.0,):
        expected = astropy.convolve(
            image, kernel, boundary, fill_value, nan_treatment=treatment, normalize_kernel=treatment == "interpolate"
        )
        if treatment == "interpolate":
            ours = CONV[axes](
                image,
                kernel / kernel.sum(),
                padding_value=fill_value,
                renormalize=True,
                **{**options, "fill_value": np.nan},
            )
        else:  # with zeros
            filled = np.where(np.isnan(image), fill_value, image)
            ours = CONV[axes](filled, kernel, padding_value=fill_value, **options)
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)


def test_astropy_leaves_a_border_as_valid_padding_does(rng: np.random.Generator) -> None:
    astropy = pytest.importorskip("astropy.convolution")
    image, kernel = rng.random((12, 13)), rng.random((3, 5))
    image[4:7, 5] = np.nan
    expected = astropy.convolve(image, kernel, None, nan_treatment="interpolate")
    ours = fc.conv2d(image, kernel / kernel.sum(), flip=True, nan="ignore", renormalize=True)
    np.testing.assert_allclose(ours, expected[1:-1, 2:-2], rtol=1e-12)


# What holds for all


@pytest.mark.parametrize("algorithm", ["auto", "direct", "winograd", "fft"])
def test_what_sees_nothing_is_found_whatever_the_algorithm(algorithm: str, rng: np.random.Generator) -> None:
    image = rng.random((3, 120, 130), np.float32)
    image[:, 20:70, 30:90] = np.nan
    image[:, 45, 60] = 1
    weight = rng.random((4, 3, 7, 7), np.float32)
    weight[0, :, 0] = 1e-30
    result = fc.conv2d(image, weight, padding=3, nan="ignore", renormalize=True, algorithm=algorithm)
    seen = convolve(np.where(np.isnan(image), 0, 1), np.ones((1, 3, 7, 7)), padding=3)
    assert np.array_equal(np.isnan(result), np.broadcast_to(seen == 0, result.shape))


@pytest.mark.parametrize("renormalize", [False, True, "abs"])
@pytest.mark.parametrize("block_bytes", [_missing.BLOCK_BYTES, 4000])
def test_bits_do_not_depend_on_the_batch_or_threads(
    renormalize: Any, block_bytes: int, rng: np.random.Generator
) -> None:
    batch, weight = rng.random((7, 4, 20, 21), np.float32), rng.random((5, 4, 3, 3), np.float32)
    batch[1, :, 5:12, 6] = np.nan
    batch[3, 2, 7, 5:9] = np.nan  # in one channel only
    batch[5] = np.nan
    options = {"padding": 1, "nan": "ignore", "renormalize": renormalize, "return_weight": True}
    with mock.patch.object(_missing, "BLOCK_BYTES", block_bytes):
        maps, weights = fc.conv2d(batch, weight, threads=2, **options)
        for n, image in enumerate(batch):
            one, seen = fc.conv2d(image, weight, threads=1, **options)
            np.testing.assert_array_equal(one, maps[n])
            np.testing.assert_array_equal(seen, weights[n])


def test_where_nothing_is_missing_results_are_those_without_options(rng: np.random.Generator) -> None:
    image, weight, bias = rng.random((3, 30, 31)), rng.random((4, 3, 3, 3)), rng.random(4)
    plain = fc.conv2d(image, weight, bias, padding=1, activation="sigmoid")
    for renormalize in (False, True, "abs"):
        result, seen = fc.conv2d(
            image, weight, bias, padding=1, activation="sigmoid", mask=True, renormalize=renormalize, return_weight=True
        )
        np.testing.assert_allclose(result, plain, rtol=1e-14)
        np.testing.assert_allclose(seen, np.broadcast_to(weight.sum((1, 2, 3))[:, None, None], seen.shape))


def test_weights_that_sum_to_zero_are_renormalised_by_magnitudes_only() -> None:
    image = np.arange(12.0).reshape(3, 4) ** 2
    mask = np.ones((3, 4), bool)
    mask[1, 1] = False
    edges = fc.filters.sobel("x")
    plain = fc.conv2d(np.where(mask, image, 0), edges)
    assert np.array_equal(fc.conv2d(image, edges, mask=mask, renormalize=True), plain)
    np.testing.assert_allclose(fc.conv2d(image, edges, mask=mask, renormalize="abs"), plain * [8 / 8, 8 / 6])


def test_zeros_among_the_weights_see_nothing() -> None:
    mask = np.zeros((3, 3), bool)
    mask[1] = True  # under the middle row of a vertical edge filter, which is zero
    assert np.isnan(fc.conv2d(np.ones((3, 3)), fc.filters.sobel("y"), mask=mask)).all()
    assert np.array_equal(fc.conv2d(np.ones((3, 3)), np.zeros((3, 3)), mask=mask), [[0]])


def test_out_is_written_in_place_and_may_overlap(rng: np.random.Generator) -> None:
    image, kernel = rng.random((40, 41)), rng.random((3, 3))
    image[10:14, 20:26] = np.nan
    expected = fc.conv2d(image, kernel, padding=1, nan="ignore", renormalize=True)
    for out in (np.empty((40, 41)), np.empty((41, 40)).T, np.empty((40, 41), np.float32), image):
        result = fc.conv2d(
            image.copy() if out is not image else image, kernel, padding=1, nan="ignore", renormalize=True, out=out
        )
        assert result is out
        np.testing.assert_array_equal(out, expected.astype(out.dtype))


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("block_bytes", [_missing.BLOCK_BYTES, 3000])
def test_images_without_holes_are_convolved_as_without_options(
    padding_mode: str, block_bytes: int, rng: np.random.Generator
) -> None:
    images, weight, bias = rng.random((3, 4, 20, 21)), rng.random((5, 4, 3, 3)), rng.random(5)
    options = {"padding": (1, 2), "padding_mode": padding_mode, "activation": "sigmoid", "algorithm": "direct"}
    plain = fc.conv2d(images, weight, bias, **options)
    with mock.patch.object(_missing, "BLOCK_BYTES", block_bytes):
        for more in ({"nan": "ignore"}, {"mask": np.ones(21, bool)}, {"nan": "ignore", "renormalize": True}):
            np.testing.assert_array_equal(fc.conv2d(images, weight, bias, **options, **more), plain)
        images[1, 2, 7, 5] = np.nan  # the others of the batch stay what they are
        result = fc.conv2d(images, weight, bias, nan="ignore", renormalize=True, **options)
    np.testing.assert_array_equal(result[::2], plain[::2])
    assert np.isfinite(result).all()


@pytest.mark.parametrize("flip", [False, True])
def test_what_is_kept_of_weights_is_for_the_same_options(flip: bool, rng: np.random.Generator) -> None:
    image, weight = rng.random((3, 30, 40), np.float32), rng.random((8, 3, 3, 5), np.float32)
    image[:, 7:9, 5:9] = np.nan
    options = {"nan": "ignore", "renormalize": True, "padding": 1, "stride": 2, "dilation": 2}
    expected = fc.conv2d(image, np.ascontiguousarray(weight[:, :, ::-1, ::-1]), **options, flip=not flip)
    for turned in (not flip, flip):
        result = fc.conv2d(image, weight, **options, flip=turned)
    np.testing.assert_array_equal(result, expected)


# Masked arrays


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_masked_arrays_come_back_masked_where_nothing_is_seen(dtype: Any, rng: np.random.Generator) -> None:
    data = (100 * rng.random((8, 9))).astype(dtype)
    hidden = np.zeros((8, 9), bool)
    hidden[2:6, 3:7] = True
    image, kernel = np.ma.array(data, mask=hidden), np.ones((3, 3), dtype)
    for result in (fc.conv2d(image, kernel), fc.FilterBank(kernel[None, None])(image)[0]):
        assert type(result) is np.ma.MaskedArray
        assert np.array_equal(result.mask, convolve(~hidden, np.ones((3, 3), int)) == 0)
        expected = convolve(np.where(hidden, 0, data), kernel)
        np.testing.assert_allclose(result.filled(0), np.where(result.mask, 0, expected).astype(float), rtol=1e-6)
    masks = fc.conv2d(image, kernel, mask=data > 30).mask
    assert np.array_equal(masks, convolve(~hidden & (data > 30), np.ones((3, 3), int)) == 0)


def test_masked_arrays_without_a_mask_come_back_masked_arrays() -> None:
    result = fc.conv2d(np.ma.array(np.ones((4, 4))), np.ones((3, 3)))
    assert type(result) is np.ma.MaskedArray
    assert not result.mask.any()


def test_masked_arrays_pass_through_banks_in_a_row() -> None:
    image = np.ma.array(np.ones((9, 9)), mask=np.arange(81).reshape(9, 9) % 9 < 5)
    bank = fc.FilterBank(np.ones((1, 1, 3, 3)))
    result = fc.Sequential(bank, bank)(image)
    assert np.array_equal(result.mask, bank(bank(image)).mask)


# Errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nan": "skip"}, ValueError, r"^nan must be one of 'propagate', 'ignore'; got 'skip'"),
        ({"nan": 1}, TypeError, r"^nan must be one of"),
        ({"mask": np.ones((4, 4))}, TypeError, r"^mask must be of bools.*float64"),
        (
            {"mask": np.ones((3, 4), bool)},
            ValueError,
            r"^mask must have the shape of input \(4, 4\).*got shape \(3, 4\)",
        ),
        ({"mask": np.ones((1, 4, 4), bool)}, ValueError, r"^mask must have the shape"),
        ({"mask": True, "renormalize": "yes"}, ValueError, r"^renormalize must be one of"),
        ({"mask": True, "renormalize": 1}, TypeError, r"^renormalize must be one of"),
        ({"mask": True, "return_weight": 1}, TypeError, r"^return_weight must be True or False"),
        ({"mask": True, "fill_value": "0"}, TypeError, r"^fill_value must be a number"),
        ({"mask": True, "fill_value": 1j}, TypeError, r"^fill_value must be real"),
    ],
)
def test_errors_name_the_option(options: Any, error: Any, message: str) -> None:
    for call in (
        lambda: fc.conv2d(np.ones((4, 4)), np.ones((3, 3)), **options),
        lambda: fc.FilterBank(np.ones((1, 1, 3, 3)))(np.ones((4, 4)), **options),
    ):
        with pytest.raises(error, match=message):
            call()


def test_integers_need_a_value_where_nothing_is_seen() -> None:
    image, kernel, mask = np.ones((4, 4), int), np.ones((2, 2), int), np.ones((4, 4), bool)
    mask[1, 1] = False
    assert np.array_equal(fc.conv2d(image, kernel, mask=mask), convolve(mask, kernel))
    mask[:2, :2] = False
    out = np.full((3, 3), 7)
    with pytest.raises(ValueError, match=r"^fill_value must be an integer.*see no pixel"):
        fc.conv2d(image, kernel, mask=mask, out=out)
    assert (out == 7).all()
    assert fc.conv2d(image, kernel, mask=mask, fill_value=-1)[0, 0] == -1
    assert np.isnan(fc.conv2d(image, kernel, mask=mask, renormalize=True)[0, 0])
    for value in (0.5, 2**70, np.inf):
        with pytest.raises(ValueError, match=r"^fill_value must be an integer that"):
            fc.conv2d(image, kernel, mask=mask, fill_value=value)


def test_hidden_integers_do_not_overflow() -> None:
    image = np.array([[2**62, 1], [1, 1]])
    assert fc.conv2d(image, np.ones((2, 2), int), mask=image < 9) == 3
    with pytest.raises(ValueError, match=r"^input would need sums"):
        fc.conv2d(image, np.full((2, 2), 4))


# Signals along another axis


@given(st.data())
@settings(max_examples=150)
def test_signals_along_any_axis_are_those_moved_last(data: Any) -> None:
    problem = data.draw(problems(1, [np.float32, np.int16], padding_modes=["zeros", "reflect", "circular"]))
    axis = data.draw(st.integers(-problem.input.ndim, problem.input.ndim - 1))
    moved = np.ascontiguousarray(np.moveaxis(problem.input, -1, axis))
    expected = problem.result()
    result = fc.conv1d(moved, problem.weight, problem.bias, axis=axis, **problem.options)
    is_last = axis % problem.input.ndim == problem.input.ndim - 1
    place = -1 if is_last else min(axis % problem.input.ndim, expected.ndim - 1)
    np.testing.assert_allclose(result, np.moveaxis(expected, -1, place), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("columns", [1, 3, 8, 40])
@pytest.mark.parametrize("options", [{}, {"nan": "ignore", "renormalize": True}, {"padding": (2, 0), "stride": 2}])
def test_kernels_slide_along_the_first_axis(columns: int, options: Any, rng: np.random.Generator) -> None:
    signals, kernel = rng.random((2, 50, columns)), rng.random(5)
    signals[:, 7, columns // 2] = np.nan if "nan" in options else 0
    expected = np.moveaxis(fc.conv1d(np.moveaxis(signals, 1, -1), kernel, **options), -1, 1)
    np.testing.assert_allclose(fc.conv1d(signals, kernel, axis=1, **options), expected, rtol=1e-12)
    out = np.empty(expected.shape)
    assert fc.conv1d(signals, kernel, axis=-2, out=out, **options) is out
    np.testing.assert_allclose(out, expected, rtol=1e-12)


def test_masks_move_with_the_axis(rng: np.random.Generator) -> None:
    signals, mask = rng.random((50, 9)), rng.random((50, 1)) < 0.7
    result, seen = fc.conv1d(signals, np.ones(5), axis=0, mask=mask, return_weight=True)
    np.testing.assert_allclose(result, np.stack([fc.conv1d(s, np.ones(5), mask=mask[:, 0]) for s in signals.T], 1))
    assert seen.shape == (46, 9)


@pytest.mark.parametrize("axis", [-3, -2, 0, 1, 2])
def test_banks_for_signals_take_an_axis(axis: int, rng: np.random.Generator) -> None:
    signals, weight = rng.random((4, 3, 50)), rng.random((5, 3, 7))
    signals[1, :, 20] = np.nan
    moved = np.moveaxis(signals, -1, axis)
    mask = np.moveaxis(rng.random((1, 3, 50)) < 0.9, -1, axis)
    bank = fc.FilterBank(weight, stride=2)
    for options in ({}, {"nan": "ignore", "mask": mask, "renormalize": True}):
        expected = fc.conv1d(moved, weight, stride=2, axis=axis, **options)
        np.testing.assert_array_equal(bank(moved, axis=axis, **options), expected)
        out = np.empty(expected.shape)
        assert bank(moved, axis=axis, out=out, **options) is out
        np.testing.assert_array_equal(out, expected)
        result, seen = bank(moved, axis=axis, return_weight=True, **options)
        assert result.shape == seen.shape == expected.shape


def test_only_banks_for_signals_take_an_axis() -> None:
    with pytest.raises(ValueError, match=r"^axis is for banks for signals; got 0 for filters of shape"):
        fc.FilterBank(np.ones((1, 1, 3, 3)))(np.ones((9, 9)), axis=0)


@pytest.mark.parametrize(("axis", "error"), [(2, ValueError), (-3, ValueError), (1.0, TypeError), ("x", TypeError)])
def test_axis_must_exist(axis: Any, error: Any) -> None:
    with pytest.raises(error, match=r"^axis must be an int from -2 to 1.*got"):
        fc.conv1d(np.ones((9, 9)), np.ones(3), axis=axis)
    with pytest.raises(error, match=r"^axis must be an int from -2 to 1.*got"):
        fc.FilterBank(np.ones((1, 9, 3)))(np.ones((9, 9)), axis=axis)
