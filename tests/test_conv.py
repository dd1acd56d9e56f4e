"""conv1d, conv2d and conv3d: against the definition over drawn problems, and one test for each thing that a reader may ask about."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import convolve
from strategies import (
    ACTIVATIONS,
    COMPLEX,
    CONV,
    FLOATS,
    INTEGERS,
    PADDING_MODES,
    PADDING_NAMES,
    Problem,
    assert_agrees,
    problems,
    values,
)

import fastconv as fc
from fastconv import conv
from fastconv._cache import Cache

SMALL_INTEGERS = [np.bool_, np.int8, np.uint8, np.int16, np.int32]


def small_integers(rng, *shape, dtype=np.float32):
    """Values whose sums are exact in float32, so that results must be equal."""
    return rng.integers(-4, 5, shape).astype(dtype)


# Every option at once, drawn by Hypothesis


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
def test_floats_agree_with_the_definition(axes, data):
    problem = data.draw(problems(axes, FLOATS))
    assert_agrees(problem.result(), problem)


@given(data=st.data())
@settings(max_examples=40)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_complex_numbers_agree_with_the_definition(axes, data):
    problem = data.draw(problems(axes, COMPLEX))
    assert_agrees(problem.result(), problem)


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
def test_integers_agree_with_the_definition(axes, data):
    problem = data.draw(problems(axes, INTEGERS, INTEGERS, activations=[None, None, "relu", "relu6"]))
    assert_agrees(problem.result(), problem)


@given(problem=problems(2, SMALL_INTEGERS, [np.float32, np.float64]))
@settings(max_examples=40)
def test_integer_images_with_float_weights_agree_with_the_definition(problem):
    problem.input = np.clip(problem.input, -100 if problem.input.dtype.kind == "i" else 0, 100)
    result = problem.result()
    expected = problem.expected()
    assert result.dtype == np.result_type(problem.input, problem.weight)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=2e-2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(data=st.data())
@settings(max_examples=15)
def test_activations_are_applied_after_the_bias(activation, data):
    problem = data.draw(problems(2, FLOATS, activations=[activation]))
    problem.weight = (problem.weight * 4).astype(problem.weight.dtype)
    assert_agrees(problem.result(), problem)


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("padding", PADDING_NAMES)
@given(data=st.data())
@settings(max_examples=8)
def test_named_paddings_work_in_every_padding_mode(padding, padding_mode, data):
    problem = data.draw(problems(2, padding=padding, padding_modes=[padding_mode]))
    assert_agrees(problem.result(), problem)


@given(problem=problems(2, [*FLOATS, *INTEGERS]))
@settings(max_examples=30)
def test_the_batch_is_computed_image_by_image(problem):
    images = np.stack([problem.input, problem.input[::-1] * 0, problem.input])
    once = problem.result()
    problem.input = images
    if images.ndim == 3 and problem.weight.ndim > 2:
        problem.input = images[:, None]
    result = problem.result()
    assert (result[0] == once).all()  # bit for bit, whatever the batch size
    assert (result[2] == once).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("channels", "size", "filters", "kernel", "options"),
    [
        (16, (4, 4), 32, (3, 3), {"padding": 1}),
        (16, (8, 8), 16, (3, 3), {"padding": 1, "stride": 2, "activation": "silu"}),
        (32, (2, 3), 20, (2, 2), {}),
        (24, (3, 5), 40, (3, 3), {"padding": 2, "groups": 2, "padding_mode": "circular", "flip": True}),
        (300, (1, 1), 70, (1, 1), {}),
        (600, (2, 2), 17, (1, 1), {"activation": "relu"}),
    ],
    ids=str,
)
def test_bits_of_small_maps_do_not_depend_on_the_batch(channels, size, filters, kernel, options, dtype, rng):
    images = rng.standard_normal((130, channels, *size)).astype(dtype)  # more than a unit of work takes
    weight = rng.standard_normal((filters, channels // options.get("groups", 1), *kernel)).astype(dtype)
    bias = rng.standard_normal(filters).astype(dtype)
    bank = fc.FilterBank(weight, bias, **options)
    alone = np.stack([fc.conv2d(image, weight, bias, **options, threads=1) for image in images])
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(fc.conv2d(images, weight, bias, **options, threads=threads), alone)
    np.testing.assert_array_equal(bank(images), alone)
    np.testing.assert_array_equal(bank(images[::-3]), alone[::-3])
    expected = convolve(images[:2], weight, bias, **options)
    np.testing.assert_allclose(alone[:2], expected, rtol=1e-3, atol=1e-3)


# Rows of every width, so that every remainder of a vector is met


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.complex64])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
def test_every_row_width(kernel, dtype, rng):
    weight = small_integers(rng, 2, 2, *kernel, dtype=np.int8 if dtype == np.uint8 else dtype)
    image = abs(small_integers(rng, 2, 4, 68)).astype(dtype)
    whole = convolve(image, weight)
    for width in range(kernel[1], 68):
        result = fc.conv2d(image[..., :width], weight)
        assert np.array_equal(result, whole[..., : width - kernel[1] + 1])


@pytest.mark.parametrize(("channels", "filters"), [*itertools.product([1, 2, 7, 17, 40], repeat=2)])
def test_every_mixture_of_channels_and_filters(channels, filters, rng):
    image, weight = small_integers(rng, channels, 5, 6), small_integers(rng, filters, channels, 3, 3)
    bias = small_integers(rng, filters)
    result = fc.conv2d(image, weight, bias, padding=1)
    np.testing.assert_allclose(result, convolve(image, weight, bias, padding=1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution(multiplier, stride, rng):
    image, weight = small_integers(rng, 2, 9, 11, 37), small_integers(rng, 9 * multiplier, 1, 3, 3)
    options = {"stride": stride, "padding": "same", "groups": 9}
    assert np.array_equal(fc.conv2d(image, weight, **options), convolve(image, weight, **options))


@pytest.mark.parametrize("size", [11, 31, 40])
def test_large_kernels(size, rng):
    image, kernel = small_integers(rng, 45, 70), small_integers(rng, size, size)
    result = fc.conv2d(image, kernel, padding=(0, 3))
    np.testing.assert_allclose(result, convolve(image, kernel, padding=(0, 3)), rtol=0, atol=0.01)


# Ranks


def test_a_bank_maps_a_stack_of_maps_to_a_stack_of_maps(rng):
    assert fc.conv2d(small_integers(rng, 3, 8, 9), small_integers(rng, 5, 3, 3, 3)).shape == (5, 6, 7)


def test_a_filter_maps_a_stack_of_maps_to_one_map(rng):
    image, filter = small_integers(rng, 2, 3, 8, 9), small_integers(rng, 3, 3, 3)
    result = fc.conv2d(image, filter)
    assert result.shape == (2, 6, 7)
    assert np.array_equal(result, fc.conv2d(image, filter[None])[:, 0])


def test_a_kernel_slides_over_each_plane_for_itself(rng):
    planes, kernel = small_integers(rng, 2, 3, 8, 9), small_integers(rng, 3, 3)
    result = fc.conv2d(planes, kernel)
    assert result.shape == (2, 3, 6, 7)
    for n, c in np.ndindex(2, 3):
        assert np.array_equal(result[n, c], fc.conv2d(planes[n, c], kernel))


def test_an_image_works_with_a_bank_of_one_channel(rng):
    image, weight = small_integers(rng, 8, 9), small_integers(rng, 5, 1, 3, 3)
    result = fc.conv2d(image, weight)
    assert result.shape == (5, 6, 7)
    assert np.array_equal(result, fc.conv2d(image[None], weight))


def test_an_image_works_with_a_filter_of_one_channel(rng):
    image, filter = small_integers(rng, 8, 9), small_integers(rng, 1, 3, 3)
    assert np.array_equal(fc.conv2d(image, filter), fc.conv2d(image, filter[0]))


def test_any_number_of_leading_axes_is_batch(rng):
    images, weight = small_integers(rng, 2, 1, 3, 2, 6, 7), small_integers(rng, 4, 2, 3, 3)
    result = fc.conv2d(images, weight)
    assert result.shape == (2, 1, 3, 4, 4, 5)
    assert np.array_equal(result[1, 0, 2], fc.conv2d(images[1, 0, 2], weight))


def test_one_and_three_axes_have_the_same_ranks(rng):
    assert fc.conv1d(small_integers(rng, 2, 3, 9), small_integers(rng, 5, 3, 4)).shape == (2, 5, 6)
    assert fc.conv1d(small_integers(rng, 9), small_integers(rng, 4)).shape == (6,)
    assert fc.conv3d(small_integers(rng, 2, 3, 5, 6, 7), small_integers(rng, 5, 3, 2, 3, 4)).shape == (2, 5, 4, 4, 4)
    assert fc.conv3d(small_integers(rng, 5, 6, 7), small_integers(rng, 2, 3, 4)).shape == (4, 4, 4)


# Padding


@pytest.mark.parametrize("padding", ["same", "same_lower"])
@pytest.mark.parametrize("kernel", [*itertools.product([1, 2, 3, 4, 5, 8], repeat=2)])
def test_same_padding_keeps_the_size_with_even_kernels(kernel, padding, rng):
    assert fc.conv2d(small_integers(rng, 6, 7), small_integers(rng, *kernel), padding=padding).shape == (6, 7)


@pytest.mark.parametrize("padding", ["same", "same_lower"])
def test_same_padding_with_stride_gives_the_size_over_the_stride_rounded_up(padding, rng):
    for size, kernel, stride, dilation in itertools.product(range(1, 9), range(1, 5), range(1, 5), [1, 2]):
        signal, weight = small_integers(rng, size), small_integers(rng, kernel)
        result = fc.conv1d(signal, weight, stride=stride, padding=padding, dilation=dilation)
        assert result.shape == (math.ceil(size / stride),)


def test_same_padding_puts_the_extra_pixel_after():
    assert fc.conv1d([1.0, 2.0, 3.0], [1.0, 10.0], padding="same").tolist() == [21, 32, 3]


def test_same_lower_padding_puts_the_extra_pixel_before():
    assert fc.conv1d([1.0, 2.0, 3.0], [1.0, 10.0], padding="same_lower").tolist() == [10, 21, 32]


@pytest.mark.parametrize("padding", ["same_upper", ("same_upper", 1)])
def test_same_upper_is_onnx_s_name_of_same(padding, rng):
    image, kernel = small_integers(rng, 6, 7), small_integers(rng, 4, 3)
    np.testing.assert_array_equal(fc.conv2d(image, kernel, padding=padding), fc.conv2d(image, kernel, padding="same"))
    bank = fc.FilterBank(kernel[None, None], padding=padding)
    np.testing.assert_array_equal(bank(image)[0], fc.conv2d(image, kernel, padding="same"))
    enlarged = fc.conv_transpose1d(image[0], kernel[0], padding="same_upper")
    np.testing.assert_array_equal(enlarged, fc.conv_transpose1d(image[0], kernel[0], padding="same"))
    assert fc.explain(image, kernel, padding=padding).problem == fc.explain(image, kernel, padding="same").problem


def test_full_padding_gives_every_overlap():
    assert fc.conv1d([1.0, 2.0, 3.0], [1.0, 10.0], padding="full").tolist() == [10, 21, 32, 3]


def test_full_padding_counts_the_dilation():
    assert fc.conv1d([1.0, 2.0, 3.0], [1.0, 10.0], padding="full", dilation=2).tolist() == [10, 20, 31, 2, 3]


def test_valid_padding_is_none(rng):
    image, weight = small_integers(rng, 2, 6, 7), small_integers(rng, 3, 2, 3, 3)
    assert np.array_equal(fc.conv2d(image, weight, padding="valid"), fc.conv2d(image, weight))


def test_padding_in_pairs_is_before_and_after(rng):
    image, weight = small_integers(rng, 2, 6, 7), small_integers(rng, 3, 2, 3, 3)
    padded = np.pad(image, [(0, 0), (1, 0), (2, 4)])
    assert np.array_equal(fc.conv2d(image, weight, padding=[(1, 0), (2, 4)]), fc.conv2d(padded, weight))


@pytest.mark.parametrize(
    "padding", [2, (2, 1), [2, 1], ((2, 2), (1, 1)), np.array([2, 1]), np.array([[0, 1], [1, 2]]), np.int64(3)]
)
def test_padding_is_an_int_or_ints_or_pairs_in_any_sequence(padding, rng):
    image, weight = small_integers(rng, 2, 6, 7), small_integers(rng, 3, 2, 3, 3)
    assert np.array_equal(fc.conv2d(image, weight, padding=padding), convolve(image, weight, padding=padding))


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 3), (4, 3)])
def test_padding_may_be_many_times_the_size(size, padding_mode, rng):
    image, weight = small_integers(rng, 2, *size), small_integers(rng, 3, 2, 2, 3)
    options = {"padding": ((7, 11), (13, 5)), "padding_mode": padding_mode}
    assert np.array_equal(fc.conv2d(image, weight, **options), convolve(image, weight, **options))


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 3), {"padding": 1}),
        ((1, 5), {"padding": (0, 2)}),
        ((9, 9), {"padding": ((4, 4), (0, 8))}),
        ((3, 39), {"padding": ((1, 1), (30, 8))}),
        ((5, 5), {"padding": 4, "dilation": (3, 2)}),
        ((3, 4), {"padding": 2, "stride": 2}),
        ((3, 3), {"padding": 2, "stride": (1, 2), "dilation": (2, 1)}),
        ((3, 3), {"padding": 3, "stride": 3}),
    ],
)
def test_images_of_one_channel_have_any_width(kernel, options, padding_mode, rng):
    """Vectors of a row read a border, the image, or both."""
    weight = small_integers(rng, 1, 1, *kernel)
    for width in (*range(1, 20), 31, 32, 33, 63, 64, 65, 130):
        image = small_integers(rng, 1, 9, width)
        expected = convolve(image, weight, padding_mode=padding_mode, **options)
        for dtype in ("float32", "float64"):
            result = fc.conv2d(image.astype(dtype), weight.astype(dtype), padding_mode=padding_mode, **options)
            assert np.array_equal(result, expected), (width, dtype)


@pytest.mark.parametrize(("name", "numpy_name"), [("zeros", "constant"), ("replicate", "edge"), ("circular", "wrap")])
def test_padding_modes_have_the_names_of_torch_and_of_numpy(name, numpy_name, rng):
    image, weight = small_integers(rng, 2, 6, 7), small_integers(rng, 3, 2, 3, 3)
    result, numpy_result = (fc.conv2d(image, weight, padding=2, padding_mode=mode) for mode in (name, numpy_name))
    assert np.array_equal(result, numpy_result)


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_padding_does_not_depend_on_unused_border_pixels(padding_mode, rng):
    """With a stride, the padding's last pixels may meet no window."""
    image, weight = small_integers(rng, 2, 6, 7), small_integers(rng, 3, 2, 3, 3)
    options = {"padding": ((1, 0), (0, 1)), "stride": 4, "padding_mode": padding_mode}
    assert np.array_equal(fc.conv2d(image, weight, **options), convolve(image, weight, **options))


def test_constants_lie_beyond_the_image(rng):
    options = {"padding": 1, "padding_mode": "constant"}
    assert fc.conv1d([1, 2, 3], [1, 1, 1], **options, padding_value=10).tolist() == [13, 6, 15]
    two = fc.conv1d([[1, 2, 3], [1, 2, 3]], [[1, 1, 1], [100, 100, 100]], **options, padding_value=[10, 20])
    assert two.tolist() == [13 + 2300, 606, 15 + 2500]
    assert fc.conv1d(np.uint8([1, 2]), [0.5, 0.5], **options, padding_value=0.5).tolist() == [0.75, 1.5, 1.25]
    assert fc.conv1d([1, 2], [1j, 1], **options, padding_value=1j).tolist() == [0, 2 + 1j, 3j]
    assert fc.conv2d(np.ones((3, 3)), np.ones((1, 3)), padding=(0, 1), padding_value=2).tolist() == [[4, 3, 4]] * 3


def test_a_nan_beyond_the_image_reaches_what_sees_it():
    for weight in ([1.0, 1, 1], [[[1.0, 1, 1]]]):
        maps = fc.conv1d(np.ones((1, 5)), weight, padding=(2, 1), padding_value=np.nan)
        assert np.isnan(maps[0]).tolist() == [True, True, False, False, False, True]
    maps = fc.conv2d(np.ones((16, 40, 40), "f4"), np.ones((16, 16, 3, 3), "f4"), padding=1, padding_value=np.inf)
    assert np.isinf(maps[:, [0, -1]]).all()
    np.testing.assert_allclose(maps[:, 1:-1, 1:-1], 144, rtol=1e-6)


def test_every_axis_may_have_a_padding_mode_of_its_own(rng):
    image, weight = small_integers(rng, 2, 6, 7), small_integers(rng, 3, 2, 3, 5)
    padded = np.pad(np.pad(image, ((0, 0), (2, 1), (0, 0)), "wrap"), ((0, 0), (0, 0), (3, 4)), "edge")
    maps = fc.conv2d(image, weight, padding=((2, 1), (3, 4)), padding_mode=("circular", "edge"))
    assert np.array_equal(maps, fc.conv2d(padded, weight))


def test_causal_padding_lies_before_the_image(rng):
    image, weight = small_integers(rng, 2, 6, 7), small_integers(rng, 3, 2, 3, 4)
    causal = fc.conv2d(image, weight, padding="causal", dilation=(2, 1), stride=2)
    assert np.array_equal(causal, fc.conv2d(image, weight, padding=((4, 0), (3, 0)), dilation=(2, 1), stride=2))
    mixed = fc.conv2d(image, weight, padding=("causal", "same"))
    assert np.array_equal(mixed, fc.conv2d(image, weight, padding=((2, 0), (1, 2))))
    flat = fc.conv1d(image[:, 0], weight[:, :, 0], padding=(3, 0))
    assert np.array_equal(flat, fc.conv1d(image[:, 0], weight[:, :, 0], padding="causal"))


@pytest.mark.parametrize("padding_value", [2, (1, 2, 3)])
@pytest.mark.parametrize("size", [(9, 11), (700, 300)])
def test_borders_do_not_depend_on_how_arrays_lie(size, padding_value, rng):
    """Small images are padded as a whole, large ones block by block; others are converted."""
    image, weight = rng.integers(-9, 9, (2, 3, *size)).astype("f4"), small_integers(rng, 4, 3, 3, 3).astype("f4")
    options = {"padding": ((1, 2), (3, 0)), "padding_mode": ("constant", "reflect"), "padding_value": padding_value}
    expected = fc.conv2d(image, weight, **options, algorithm="direct")
    for same in (np.asfortranarray(image), image.astype(">f4"), image.astype("i1"), image[..., ::-1].copy()[..., ::-1]):
        assert np.array_equal(fc.conv2d(same, weight, **options, algorithm="direct"), expected)
    out = np.zeros(expected.shape[::-1], "f8").T
    assert fc.conv2d(image, weight, **options, algorithm="direct", out=out) is out
    assert np.array_equal(out, expected)
    assert np.array_equal(fc.FilterBank(weight, **options)(image[0]), fc.FilterBank(weight, **options)(image)[0])


# Stride, dilation, groups, flip, bias


def test_stride_takes_every_nth_output(rng):
    image, weight = small_integers(rng, 2, 9, 11), small_integers(rng, 3, 2, 3, 3)
    result = fc.conv2d(image, weight, padding=1, stride=(2, 3))
    assert np.array_equal(result, fc.conv2d(image, weight, padding=1)[:, ::2, ::3])


@given(st.integers(2, 40), st.integers(1, 45), st.integers(1, 60), st.integers(0, 20), st.integers(0, 1), st.data())
def test_signals_with_any_stride(stride, taps, outputs, pad, multiple, data):
    dilation = multiple * stride + 1
    length = max((outputs - 1) * stride + (taps - 1) * dilation + 1 - 2 * pad, pad + 1)
    mode = data.draw(st.sampled_from(["zeros", "reflect", "circular"]))
    channels, filters = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 20))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    signal = rng.integers(-8, 8, (channels, length)).astype(np.float32)
    weight = rng.integers(-8, 8, (filters, channels, taps)).astype(np.float32)
    options = {"stride": stride, "padding": pad, "dilation": dilation, "padding_mode": mode}
    expected = fc.conv1d(signal.astype(int), weight.astype(int), **options, algorithm="direct")
    assert np.array_equal(fc.conv1d(signal, weight, **options, algorithm="direct"), expected)


def test_stride_may_exceed_the_image(rng):
    image, weight = small_integers(rng, 2, 9, 11), small_integers(rng, 3, 2, 3, 3)
    assert np.array_equal(fc.conv2d(image, weight, stride=100), fc.conv2d(image[:, :3, :3], weight))


def test_dilation_spreads_the_taps(rng):
    image, weight = small_integers(rng, 2, 9, 11), small_integers(rng, 3, 2, 3, 3)
    spread = np.zeros((3, 2, 5, 7), np.float32)
    spread[..., ::2, ::3] = weight
    assert np.array_equal(fc.conv2d(image, weight, dilation=(2, 3)), fc.conv2d(image, spread))


def test_groups_are_convolutions_of_their_own(rng):
    image, weight = small_integers(rng, 6, 8, 9), small_integers(rng, 4, 3, 3, 3)
    parts = [fc.conv2d(image[:3], weight[:2]), fc.conv2d(image[3:], weight[2:])]
    assert np.array_equal(fc.conv2d(image, weight, groups=2), np.concatenate(parts))


def test_flip_gives_the_mathematical_convolution():
    assert fc.conv1d([0, 1, 0, 0], [1, 2, 3], padding="full", flip=True).tolist() == [0, 1, 2, 3, 0, 0]
    assert fc.conv1d([0, 1, 0, 0], [1, 2, 3], padding="full").tolist() == [0, 3, 2, 1, 0, 0]


def test_flip_turns_kernels_and_leaves_channels(rng):
    image, weight = small_integers(rng, 2, 9, 11), small_integers(rng, 3, 2, 2, 3)
    assert np.array_equal(fc.conv2d(image, weight, flip=True), fc.conv2d(image, weight[:, :, ::-1, ::-1]))


def test_the_kernel_is_not_flipped(rng):
    """An impulse turns into the kernel upside down: cross-correlation, as CNNs mean it."""
    impulse, kernel = np.zeros((5, 5), np.float32), small_integers(rng, 3, 3)
    impulse[2, 2] = 1
    assert np.array_equal(fc.conv2d(impulse, kernel), kernel[::-1, ::-1])


def test_bias_is_added_to_each_map(rng):
    image, weight, bias = small_integers(rng, 2, 9, 11), small_integers(rng, 3, 2, 3, 3), small_integers(rng, 3)
    assert np.array_equal(fc.conv2d(image, weight, bias), fc.conv2d(image, weight) + bias[:, None, None])


@pytest.mark.parametrize("weight_shape", [(2, 3, 3), (3, 3)])
@pytest.mark.parametrize("bias", [2.0, [2.0], np.float32(2), np.full((), 2, np.float32)])
def test_bias_of_a_filter_or_kernel_is_one_number(weight_shape, bias, rng):
    image, weight = small_integers(rng, 2, 9, 11), small_integers(rng, *weight_shape)
    assert np.array_equal(fc.conv2d(image, weight, bias), fc.conv2d(image, weight) + 2)


def test_options_take_the_order_of_torch(rng):
    image, weight, bias = small_integers(rng, 4, 9, 11), small_integers(rng, 6, 2, 3, 3), small_integers(rng, 6)
    by_place = fc.conv2d(image, weight, bias, 2, 1, 3, 2)
    assert np.array_equal(by_place, fc.conv2d(image, weight, bias, stride=2, padding=1, dilation=3, groups=2))


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_relu_of_integers(activation, rng):
    image, weight = small_integers(rng, 2, 9, 11, dtype=np.int16), small_integers(rng, 3, 2, 3, 3, dtype=np.int8)
    result = fc.conv2d(image, weight, activation=activation)
    assert result.dtype == np.int64
    assert np.array_equal(result, np.clip(fc.conv2d(image, weight), 0, 6 if activation == "relu6" else None))


def test_algorithm_and_precision_have_names(rng):
    image, weight = small_integers(rng, 2, 9, 11), small_integers(rng, 3, 2, 3, 3)
    expected = convolve(image, weight)
    for algorithm, precision in itertools.product(["auto", "direct"], ["default", "highest"]):
        result = fc.conv2d(image, weight, algorithm=algorithm, precision=precision)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)


# Numbers that are not finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.complex64])
def test_a_bad_pixel_reaches_exactly_the_outputs_that_see_it(bad, dtype, rng):
    image, weight = values(rng, (3, 20, 41), dtype), values(rng, (4, 3, 3, 3), dtype)
    spoiled = image.copy()
    spoiled[1, 7, 18] = bad
    sees_it = np.zeros((4, 20, 41), bool)
    sees_it[:, 6:9, 17:20] = True
    clean, result = fc.conv2d(image, weight, padding=1), fc.conv2d(spoiled, weight, padding=1)
    assert np.array_equal(~np.isfinite(result), sees_it)
    assert np.array_equal(result[~sees_it], clean[~sees_it])


def test_relu_hands_nan_on():
    for activation in ACTIVATIONS:
        assert np.isnan(fc.conv1d([np.nan, 1.0], [1.0], activation=activation))[0], activation


def test_activations_at_infinity():
    ends = {
        "relu": (0, np.inf),
        "relu6": (0, 6),
        "leaky_relu": (-np.inf, np.inf),
        "sigmoid": (0, 1),
        "tanh": (-1, 1),
    }
    for activation, expected in ends.items():
        for dtype in (np.float32, np.float64):
            result = fc.conv1d(np.array([-np.inf, np.inf], dtype), np.ones(1, dtype), activation=activation)
            assert tuple(result) == expected, activation


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_are_accurate_over_their_range(activation, dtype):
    x = np.concatenate([np.linspace(-100, 100, 2001), np.linspace(-1e-3, 1e-3, 201), [-1e4, 1e4]]).astype(dtype)
    problem = Problem(1, x, np.ones(1, dtype), options={"activation": activation})
    with np.errstate(over="ignore"):  # the definition's exp(-x)
        expected = problem.expected()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(problem.result(), expected, rtol=32 * eps, atol=eps / 4)


# Many callers


def test_calls_from_many_threads_do_not_disturb_each_other(rng):
    images, weight = small_integers(rng, 40, 3, 20, 21), small_integers(rng, 5, 3, 3, 3)
    expected = [fc.conv2d(image, weight, padding=1) for image in images]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda image: fc.conv2d(image, weight, padding=1), images))
    for result, one in zip(results, expected, strict=True):
        assert np.array_equal(result, one)


def test_what_is_remembered_of_calls_is_bounded(monkeypatch):
    monkeypatch.setattr(conv, "_plans", Cache(50_000))
    for n in [*range(2, 20), *range(2, 20)]:
        assert fc.conv1d(np.arange(n), [-1, 1]).tolist() == [1] * (n - 1)
        assert 1 <= len(conv._plans) <= 6
        assert conv._plans.nbytes <= 50_000


LONG_SIGNALS = [  # weight, options: sweeps, stacks, tiles, Winograd, transforms, two numbers a pixel
    ((1, 1, 3), {"padding": "same"}),
    ((1, 1, 31), {"padding": 40, "padding_mode": "reflect"}),
    ((1, 1, 4), {"stride": 3, "padding": "same"}),
    ((1, 1, 5), {"stride": 2, "padding": ((3, 0),)}),
    ((3, 1, 3), {"groups": 3, "padding": "same_lower", "stride": 2, "dilation": 3}),
    ((8, 3, 3), {"padding": "full"}),
    ((16, 16, 3), {"padding": 1}),
    ((2, 2, 1), {}),
    ((1, 1, 600), {"padding": "same"}),
]


@pytest.mark.parametrize(("weight_shape", "options"), LONG_SIGNALS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "i4"])
def test_signals_of_similar_lengths_share_a_plan_and_nothing_else(weight_shape, options, dtype, rng):
    weight = values(rng, weight_shape, dtype)
    signals = [
        values(rng, (weight_shape[1] * options.get("groups", 1), n), dtype) for n in [9001, 8999, 9100, 9001, 4096]
    ]
    bank, alone = fc.FilterBank(weight, **options), []
    for signal in signals:
        conv._plans.clear()
        alone.append(fc.conv1d(signal, weight, **options))
    conv._plans.clear()
    for signal, result in zip(signals, alone, strict=True):
        np.testing.assert_array_equal(fc.conv1d(signal, weight, **options), result)
        maps = np.empty((*result.shape, 2), result.dtype)[..., 0]
        np.testing.assert_array_equal(fc.conv1d(signal, weight, out=maps, **options), result)
        np.testing.assert_array_equal(bank(signal), fc.FilterBank(weight, **options)(signal))
    assert len(conv._plans) == len(bank._plans) == 2
    expected = convolve(signals[-1], weight, axes=1, **options).astype(alone[-1].dtype)
    np.testing.assert_allclose(alone[-1], expected, rtol=0, atol=1e-5 * max(1, abs(expected).max()))


def test_volumes_with_rows_of_similar_lengths_share_a_plan_and_nothing_else(rng):
    kernel = np.multiply.outer(np.outer([1, 2, 3, 2, 1], [1, 3, 1]), np.ones(9)).astype(np.float32)
    bank = fc.FilterBank(kernel[np.newaxis, np.newaxis], padding="same")  # in three passes
    for n in [5000, 4990, 5001]:
        volume = values(rng, (6, 10, n), "f4")
        np.testing.assert_array_equal(bank(volume), fc.FilterBank(bank.weight, padding="same")(volume))
    assert len(bank._plans) == 1


def test_arguments_are_left_as_they_were(rng):
    image, weight, bias = values(rng, (2, 9, 11), "f4"), values(rng, (3, 2, 3, 3), "f4"), values(rng, 3, "f4")
    before = [a.copy() for a in (image, weight, bias)]
    fc.conv2d(image, weight, bias, padding=1, activation="relu", flip=True)
    for array, copy in zip((image, weight, bias), before, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_functions_say_what_they_do(axes):
    assert CONV[axes].__name__ == f"conv{axes}d"
    for word in ("flip", "cross-correlation", "Parameters", "Returns", "Raises", "Examples"):
        assert word in CONV[axes].__doc__, word


@pytest.mark.parametrize("algorithm", ["auto", "direct", "fft"])
def test_a_stride_may_leave_out_the_only_row_and_see_padding_instead(algorithm):
    image, weight = np.ones((4, 1, 12), np.float32), np.ones((3, 4, 1, 1), np.float32)
    maps = fc.conv2d(image, weight, [1, 2, 3], stride=(3, 1), padding=(1, 0), algorithm=algorithm)
    assert (maps == np.array([1, 2, 3]).reshape(3, 1, 1)).all()
    maps = fc.conv2d(image, weight, [1, 2, 3], stride=(3, 1), padding=((0, 2), (0, 0)), algorithm=algorithm)
    assert (maps == np.array([5, 6, 7]).reshape(3, 1, 1)).all()
