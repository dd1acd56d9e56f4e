"""conv_transpose1d, conv_transpose2d and conv_transpose3d: by hand, against the definition, and against Keras, ONNX and PyTorch."""

import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problem_table import use_isa
from reference import ACTIVATIONS, transpose
from strategies import ACTIVATIONS as ACTIVATION_NAMES
from strategies import (
    COMPLEX,
    CONV,
    CONV_TRANSPOSE,
    FLOATS,
    INTEGERS,
    TransposedProblem,
    assert_agrees,
    transposed_problems,
    values,
)

import fastconv as fc
from fastconv import _core

all_axes = pytest.mark.parametrize("axes", [1, 2, 3])


# By hand


def test_every_pixel_stamps_the_kernel():
    assert fc.conv_transpose1d(np.array([1, 2, 3]), np.array([1, 10]), stride=2).tolist() == [1, 10, 2, 20, 3, 30]


def test_stamps_that_overlap_are_added():
    assert fc.conv_transpose1d(np.array([1, 2]), np.array([1, 10, 100])).tolist() == [1, 12, 120, 200]
    assert fc.conv_transpose1d(np.array([1, 2]), np.array([1, 10, 100]), stride=2).tolist() == [1, 10, 102, 20, 200]


def test_the_stamp_of_an_image():
    image, kernel = np.array([[0, 1], [2, 0]]), np.array([[1, 2], [3, 4]])
    stamped = [[0, 0, 1, 2], [0, 0, 3, 4], [2, 4, 0, 0], [6, 8, 0, 0]]
    assert fc.conv_transpose2d(image, kernel, stride=2).tolist() == stamped


def test_strides_that_no_kernel_divides_make_a_checkerboard():
    counts = fc.conv_transpose2d(np.ones((3, 3), int), np.ones((3, 3), int), stride=2)
    assert counts.tolist() == np.outer([1, 1, 2, 1, 2, 1, 1], [1, 1, 2, 1, 2, 1, 1]).tolist()


def test_padding_is_cut_off():
    whole = fc.conv_transpose1d(np.array([1, 2]), np.array([1, 10, 100]), stride=2)
    assert fc.conv_transpose1d(np.array([1, 2]), np.array([1, 10, 100]), stride=2, padding=1).tolist() == [10, 102, 20]
    ragged = fc.conv_transpose1d(np.array([1, 2]), np.array([1, 10, 100]), stride=2, padding=((0, 2),))
    assert ragged.tolist() == whole[:-2].tolist()


def test_output_padding_shows_more_of_what_was_cut_off_and_then_zeros():
    image, kernel = np.array([1, 2]), np.array([1, 10])
    assert fc.conv_transpose1d(image, kernel, stride=3, padding=1).tolist() == [10, 0, 2]
    assert fc.conv_transpose1d(image, kernel, stride=3, padding=1, output_padding=1).tolist() == [10, 0, 2, 20]
    assert fc.conv_transpose1d(image, kernel, stride=3, padding=1, output_padding=2).tolist() == [10, 0, 2, 20, 0]
    assert fc.conv_transpose1d(image, kernel, stride=3, output_padding=1).tolist() == [1, 10, 0, 2, 20, 0]


def test_dilation_spreads_the_stamp():
    assert fc.conv_transpose1d(np.array([1, 2]), np.array([1, 10]), dilation=3).tolist() == [1, 2, 0, 10, 20]


def test_bias_reaches_outputs_that_nothing_is_stamped_on():
    stamped = fc.conv_transpose1d(np.ones((1, 2)), np.ones((1, 1, 1)), np.array([0.5]), stride=3, output_padding=1)
    assert stamped.tolist() == [[1.5, 0.5, 0.5, 1.5, 0.5]]


def test_a_tent_interpolates():
    line = fc.conv_transpose1d(np.array([0.0, 4.0, 8.0]), np.array([0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]), stride=4)
    assert line[3:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_without_a_stride_it_is_the_mathematical_convolution(rng):
    signal, kernel = values(rng, 12, "f8"), values(rng, 5, "f8")
    np.testing.assert_allclose(fc.conv_transpose1d(signal, kernel), np.convolve(signal, kernel), rtol=1e-13)


def test_it_undoes_the_shape_of_a_convolution(rng):
    image, weight = values(rng, (3, 17, 20), "f4"), values(rng, (5, 3, 4, 3), "f4")
    options = {"stride": (2, 3), "padding": 1, "dilation": (1, 2)}
    maps = fc.conv2d(image, weight, **options)
    assert fc.conv_transpose2d(maps, weight, **options, output_size=(17, 20)).shape == image.shape


# Every option at once, drawn by Hypothesis


@all_axes
@given(data=st.data())
def test_floats_agree_with_the_definition(axes, data):
    problem = data.draw(transposed_problems(axes, FLOATS))
    assert_agrees(problem.result(), problem)


@all_axes
@given(data=st.data())
@settings(max_examples=40)
def test_complex_numbers_agree_with_the_definition(axes, data):
    problem = data.draw(transposed_problems(axes, COMPLEX))
    assert_agrees(problem.result(), problem)


@pytest.mark.parametrize("dtypes", ["fF", "FF", "dD"])
@pytest.mark.parametrize(
    ("shape", "weight", "dilation"), [((2, 16, 16, 30), (16, 1, 25, 5), 9), ((40, 9, 30), (40, 2, 20, 4), (11, 12))]
)
def test_complex_kernels_of_wide_dilation_agree_with_the_definition(shape, weight, dilation, dtypes, rng):
    image, weight = values(rng, shape, dtypes[0]), values(rng, weight, dtypes[1])
    expected = transpose(image, weight, dilation=dilation)
    result = fc.TransposedFilterBank(weight, dilation=dilation)(image)
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6 * abs(expected).max())


@all_axes
@given(data=st.data())
def test_integers_agree_with_the_definition(axes, data):
    problem = data.draw(transposed_problems(axes, INTEGERS, INTEGERS, activations=[None, None, "relu", "relu6"]))
    assert_agrees(problem.result(), problem)


@given(data=st.data())
@settings(max_examples=40)
def test_integer_images_with_float_weights_agree_with_the_definition(data):
    problem = data.draw(transposed_problems(2, INTEGERS, [np.float32, np.float64]))
    result = problem.result()
    largest = max(1, float(abs(problem.input.astype(float)).max()))
    np.testing.assert_allclose(result, problem.expected(), atol=1e-5 * largest, rtol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
@given(data=st.data())
@settings(max_examples=20)
def test_activations_are_applied_after_the_bias(activation, data):
    problem = data.draw(transposed_problems(2, [np.float32, np.float64], activations=[activation]))
    assert_agrees(problem.result(), problem)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((2, 40, 9, 9), (40, 33, 4, 4), {"stride": 2, "padding": 1}),
        ((1, 33, 5, 40), (33, 50, 2, 2), {"stride": 2}),
        ((1, 70, 8, 8), (70, 20, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ((1, 24, 12, 13), (24, 3, 4, 4), {"stride": 2, "padding": 1}),
        ((1, 40, 11, 12), (40, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 40}),
        ((2, 12, 11, 12), (12, 5, 3, 3), {"stride": 2, "groups": 3}),
        ((1, 20, 9, 8), (20, 17, 3, 3), {"padding": 1}),
        ((1, 8, 7, 6), (8, 9, 5, 5), {"stride": 3, "dilation": 2, "padding": 2}),
        ((1, 24, 7, 9), (24, 20, 1, 1), {"stride": 2, "output_padding": 1}),
        ((1, 16, 7, 9), (16, 16, 2, 3), {"stride": (4, 3), "output_padding": (3, 1)}),
        ((1, 1, 30, 41), (1, 1, 6, 6), {"stride": 3, "padding": 2}),
        ((1, 20, 50), (20, 18, 16), {"stride": 8, "padding": 4}),
        ((1, 6, 5, 6, 7), (6, 4, 2, 2, 2), {"stride": 2}),
        ((1, 6, 4, 5, 6), (6, 4, 4, 4, 4), {"stride": 2, "padding": 1}),
    ],
)
def test_layers_of_decoders_agree_with_the_definition(image, weight, options, dtype, rng):
    arrays = (
        values(rng, image, dtype),
        values(rng, weight, dtype),
        values(rng, weight[1] * options.get("groups", 1), dtype),
    )
    problem = TransposedProblem(len(image) - 2, *arrays, {"groups": 1} | options)
    assert_agrees(problem.result(), problem)


# The ranks, and the options one by one


def test_a_bank_a_filter_and_a_kernel(rng):
    maps, bank = values(rng, (2, 4, 5, 6), "f8"), values(rng, (4, 3, 2, 2), "f8")
    assert fc.conv_transpose2d(maps, bank).shape == (2, 3, 6, 7)
    assert np.array_equal(fc.conv_transpose2d(maps, bank[:, 1]), fc.conv_transpose2d(maps, bank[:, 1:2])[:, 0])
    assert np.array_equal(
        fc.conv_transpose2d(maps, bank[0, 0]), [[fc.conv_transpose2d(plane, bank[0, 0]) for plane in n] for n in maps]
    )


@all_axes
def test_an_image_works_with_a_bank_of_one_channel(axes, rng):
    image, bank = values(rng, (5,) * axes, "f4"), values(rng, (1, 3, *(2,) * axes), "f4")
    maps = CONV_TRANSPOSE[axes](image, bank)
    assert maps.shape == (3, *(6,) * axes)
    assert np.array_equal(maps, CONV_TRANSPOSE[axes](image[np.newaxis], bank))


@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,), (2, 0)])
def test_any_number_of_leading_axes_is_batch(lead, rng):
    images, weight = values(rng, (*lead, 4, 5, 6), "f4"), values(rng, (4, 3, 3, 3), "f4")
    maps = fc.conv_transpose2d(images, weight, stride=2)
    assert maps.shape == (*lead, 3, 11, 13)
    for index in np.ndindex(lead):
        assert np.array_equal(maps[index], fc.conv_transpose2d(images[index], weight, stride=2))


def test_options_take_the_order_of_torch(rng):
    arrays = values(rng, (4, 5, 6), "f8"), values(rng, (4, 3, 3, 3), "f8"), values(rng, 6, "f8")
    by_place = fc.conv_transpose2d(*arrays, (2, 3), (1, 0), (1, 2), 2, (1, 2))
    by_name = fc.conv_transpose2d(
        *arrays, stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2, dilation=(1, 2)
    )
    assert np.array_equal(by_place, by_name)
    np.testing.assert_allclose(by_place, transpose(*arrays, (2, 3), (1, 0), (1, 2), 2, (1, 2)), rtol=1e-12, atol=1e-12)


def test_groups_are_transposed_convolutions_of_their_own(rng):
    maps, weight = values(rng, (2, 6, 5, 6), "f8"), values(rng, (6, 4, 3, 3), "f8")
    apart = [fc.conv_transpose2d(maps[:, g : g + 2], weight[g : g + 2], stride=2) for g in (0, 2, 4)]
    np.testing.assert_allclose(
        fc.conv_transpose2d(maps, weight, stride=2, groups=3), np.concatenate(apart, axis=1), rtol=1e-13, atol=1e-13
    )


@all_axes
def test_flip_turns_kernels_and_leaves_channels(axes, rng):
    maps, weight = values(rng, (2, *(5,) * axes), "f8"), values(rng, (2, 3, *(3, 2, 4)[:axes]), "f8")
    turned = weight[(..., *[slice(None, None, -1)] * axes)]
    flipped = CONV_TRANSPOSE[axes](maps, weight, stride=2, flip=True)
    np.testing.assert_allclose(flipped, CONV_TRANSPOSE[axes](maps, turned, stride=2), rtol=1e-13, atol=1e-13)


def test_output_size_says_what_output_padding_says(rng):
    maps, weight = values(rng, (2, 5, 6), "f4"), values(rng, (2, 3, 3, 3), "f4")
    for extra in np.ndindex(2, 3):
        one = fc.conv_transpose2d(maps, weight, stride=(2, 3), padding=1, output_padding=extra)
        other = fc.conv_transpose2d(maps, weight, stride=(2, 3), padding=1, output_size=(9 + extra[0], 16 + extra[1]))
        assert np.array_equal(one, other)


def test_output_padding_may_reach_the_dilation_where_that_is_larger(rng):
    signal, kernel = values(rng, 4, "f8"), values(rng, 3, "f8")
    result = fc.conv_transpose1d(signal, kernel, stride=2, padding=1, output_padding=3, dilation=4)
    np.testing.assert_allclose(result, transpose(signal, kernel, None, 2, 1, 3, 1, 4, axes=1), rtol=1e-13)


@all_axes
@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", "full", 0, 1, (1, 2, 1), ((1, 0), (0, 2), (2, 1))])
@pytest.mark.parametrize("flip", [False, True])
def test_it_is_the_adjoint_of_the_convolution_with_the_same_options(flip, padding, axes, rng):
    if isinstance(padding, tuple):
        padding = padding[:axes]
    options = {"stride": 2, "padding": padding, "dilation": (2, 1, 1)[:axes], "flip": flip}
    for size in ((8, 10, 6)[:axes], (7, 9, 5)[:axes]):
        image, weight = values(rng, (2, 4, *size), "f8"), values(rng, (6, 2, *(3, 4, 2)[:axes]), "f8")
        maps = CONV[axes](image, weight, groups=2, **options)
        other = values(rng, maps.shape, "f8")
        if padding == "same" or padding == "same_lower":
            if any(n % 2 for n in size):
                continue
            back = CONV_TRANSPOSE[axes](other, weight, groups=2, **options)
        else:
            back = CONV_TRANSPOSE[axes](other, weight, groups=2, **options, output_size=size)
        np.testing.assert_allclose(np.vdot(maps, other), np.vdot(image, back), rtol=1e-11)


# What "same" is called elsewhere

# Keras and TensorFlow cut input * stride outputs out of the whole, from number (taps - stride) // 2 on; where the kernel is
# smaller than the stride, zeros follow. ONNX's SAME_UPPER is the same; SAME_LOWER rounds up.
BY_HAND = [  # taps, stride, "same", "same_lower" of [1, 10] and a kernel of 1, 2, 3 ...
    (1, 1, [1, 10], [1, 10]),
    (2, 1, [1, 12], [12, 20]),
    (3, 1, [12, 23], [12, 23]),
    (4, 1, [12, 23], [23, 34]),
    (1, 2, [1, 0, 10, 0], [1, 0, 10, 0]),
    (2, 2, [1, 2, 10, 20], [1, 2, 10, 20]),
    (3, 2, [1, 2, 13, 20], [2, 13, 20, 30]),
    (4, 2, [2, 13, 24, 30], [2, 13, 24, 30]),
    (5, 2, [2, 13, 24, 35], [13, 24, 35, 40]),
    (2, 3, [1, 2, 0, 10, 20, 0], [1, 2, 0, 10, 20, 0]),
    (5, 3, [2, 3, 14, 25, 30, 40], [2, 3, 14, 25, 30, 40]),
    (6, 3, [2, 3, 14, 25, 36, 40], [3, 14, 25, 36, 40, 50]),
]


@pytest.mark.parametrize(("taps", "stride", "same", "same_lower"), BY_HAND)
def test_same_padding_gives_the_size_times_the_stride(taps, stride, same, same_lower):
    signal, kernel = np.array([1, 10]), np.arange(1, taps + 1)
    assert fc.conv_transpose1d(signal, kernel, stride=stride, padding="same").tolist() == same
    assert fc.conv_transpose1d(signal, kernel, stride=stride, padding="same_lower").tolist() == same_lower


def test_full_padding_leaves_what_every_tap_reaches():
    assert fc.conv_transpose1d(np.array([1, 2, 3, 4]), np.array([1, 10, 100]), padding="full").tolist() == [123, 234]
    assert fc.conv_transpose1d(np.array([1, 2, 3, 4]), np.array([1, 10]), padding="full", dilation=3).tolist() == [14]


def test_valid_padding_is_none(rng):
    maps, weight = values(rng, (2, 5, 6), "f4"), values(rng, (2, 3, 3, 3), "f4")
    assert np.array_equal(fc.conv_transpose2d(maps, weight, padding="valid"), fc.conv_transpose2d(maps, weight))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("taps", [2, 3, 5])
def test_keras(taps, stride, padding, rng, monkeypatch):
    pytest.importorskip("jax")  # with torch, Keras cuts otherwise, and says so
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    maps, weight = values(rng, (2, 4, 5, 6), "f4"), values(rng, (4, 3, taps, taps), "f4")
    theirs = keras.ops.conv_transpose(  # channels last, and weights (kh, kw, K, C)
        np.moveaxis(maps, 1, -1), weight.transpose(2, 3, 1, 0), stride, padding, data_format="channels_last"
    )
    if padding == "valid" and taps < stride:  # Keras appends what the stride leaves over, as an output padding
        ours = fc.conv_transpose2d(maps, weight, stride=stride, output_padding=stride - taps)
    else:
        ours = fc.conv_transpose2d(maps, weight, stride=stride, padding=padding)
    np.testing.assert_allclose(ours, np.moveaxis(np.asarray(theirs), -1, 1), rtol=1e-5, atol=1e-5)


def onnx_conv_transpose(x, w, **attributes):
    """What ONNX's reference makes of one group: with several it fails (findings/onnx_reference_conv_transpose.sh)."""
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xwy"]
    node = onnx.helper.make_node("ConvTranspose", ["x", "w"], ["y"], kernel_shape=w.shape[2:], **attributes)
    graph = onnx.helper.make_graph([node], "conv", tensors[:2], tensors[2:])
    evaluator = reference.ReferenceEvaluator(onnx.helper.make_model(graph))
    return evaluator.run(None, {"x": x, "w": w})[0]


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(
    ("auto_pad", "padding"), [("SAME_UPPER", "same"), ("SAME_LOWER", "same_lower"), ("VALID", "valid")]
)
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (4, 3), (5, 2)])
def test_onnx_auto_pad(kernel, stride, auto_pad, padding, group, rng):
    maps, weight = values(rng, (2, 4, 5, 6), "f4"), values(rng, (4, 3, *kernel), "f4")
    parts = zip(np.split(maps, group, 1), np.split(weight, group), strict=True)
    theirs = [onnx_conv_transpose(x, w, auto_pad=auto_pad, strides=stride) for x, w in parts]
    ours = fc.conv_transpose2d(maps, weight, stride=stride, padding=padding, groups=group)
    np.testing.assert_allclose(ours, np.concatenate(theirs, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 2, 0, 1), (1, 1, 1, 1)])
def test_onnx_pads_dilations_and_output_padding(pads, extra, dilation, rng):
    maps, weight = values(rng, (2, 4, 5, 6), "f4"), values(rng, (4, 3, 3, 3), "f4")
    theirs = onnx_conv_transpose(
        maps, weight, pads=pads, strides=(2, 3), dilations=(dilation,) * 2, output_padding=(extra,) * 2
    )
    padding = ((pads[0], pads[2]), (pads[1], pads[3]))
    ours = fc.conv_transpose2d(maps, weight, None, (2, 3), padding, extra, 1, dilation)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [8, 9])
def test_onnx_output_shape_says_how_much_is_cut_off(size, rng):
    """There the size says how much is cut off; here the padding does, and the size chooses among those that are left."""
    maps, weight = values(rng, (2, 4, 4, 4), "f4"), values(rng, (4, 3, 3, 3), "f4")
    theirs = onnx_conv_transpose(maps, weight, strides=(2, 2), output_shape=(size, size), auto_pad="SAME_UPPER")
    ours = fc.conv_transpose2d(maps, weight, stride=2, padding=((0, 9 - size),) * 2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@all_axes
@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_torch_with_every_option(dtype, groups, axes, rng):
    torch = pytest.importorskip("torch")
    conv_transpose = getattr(torch.nn.functional, f"conv_transpose{axes}d")
    for _ in range(20):
        channels, group_maps = groups * int(rng.integers(1, 5)), int(rng.integers(1, 5))
        stride, dilation, kernel, padding = (rng.integers(low, 4, axes) for low in (1, 1, 1, 0))
        padding = np.minimum(padding, dilation * (kernel - 1))
        extra = rng.integers(0, np.maximum(stride, dilation))
        image = values(rng, (2, channels, *rng.integers(4, 8, axes)), dtype)
        weight = values(rng, (channels, group_maps, *kernel), dtype)
        bias = values(rng, groups * group_maps, dtype)
        options = [tuple(map(int, entry)) for entry in (stride, padding, extra)]
        options += [groups, tuple(map(int, dilation))]  # by place: ours is torch's order
        tensors = map(torch.from_numpy, (image, weight, bias))
        ours = CONV_TRANSPOSE[axes](image, weight, bias, *options)
        np.testing.assert_allclose(ours, conv_transpose(*tensors, *options).numpy(), rtol=1e-10, atol=1e-10)


def test_scipy_upfirdn(rng):
    """Which filters a signal after zeros were put between its samples."""
    signal = pytest.importorskip("scipy.signal")
    samples, kernel = values(rng, 20, "f8"), values(rng, 7, "f8")
    for up in (1, 2, 3, 5):
        theirs = signal.upfirdn(kernel, samples, up)
        np.testing.assert_allclose(fc.conv_transpose1d(samples, kernel, stride=up), theirs, rtol=1e-12, atol=1e-12)


# Dtypes


def transposed_of_dtypes(image, weight, bias=None):
    return fc.conv_transpose1d(
        np.ones((1, 2), image), np.ones((1, 1, 3), weight), None if bias is None else np.ones(1, bias), stride=2
    )


@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX])
def test_floats_and_complex_numbers_keep_their_dtype(dtype):
    assert transposed_of_dtypes(dtype, dtype, dtype).dtype == dtype


@pytest.mark.parametrize("weight", [*FLOATS, *COMPLEX, *INTEGERS])
@pytest.mark.parametrize("image", [*FLOATS, *COMPLEX, *INTEGERS])
def test_dtypes_promote_as_those_of_a_convolution(image, weight):
    convolved = fc.conv1d(np.ones((1, 4), image), np.ones((1, 1, 3), weight))
    assert transposed_of_dtypes(image, weight).dtype == convolved.dtype


def test_bytes_add_up_exactly():
    image, weight = np.full((70, 3, 3), 255, np.uint8), np.full((70, 2, 3, 3), -128, np.int8)
    stamped = fc.conv_transpose2d(image, weight, stride=2)
    assert stamped.dtype == np.int32
    assert (stamped == transpose(image, weight, stride=2)).all()


def test_wide_integers_are_exact():
    large = 3_037_000_499  # whose square is just below 2**63
    assert fc.conv_transpose1d(np.array([large, -large]), np.array([large]), stride=2).tolist() == [
        large**2,
        0,
        -(large**2),
    ]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@given(data=st.data())
@settings(max_examples=20)
def test_half_precision_is_float32_rounded_once(dtype, data):
    problem = data.draw(transposed_problems(2, [dtype]))
    wide = TransposedProblem(
        problem.axes,
        *(a if a is None else a.astype(np.float32) for a in (problem.input, problem.weight, problem.bias)),
        problem.options,
    )
    assert np.array_equal(problem.result(), wide.result().astype(dtype))


def test_weights_are_not_conjugated():
    assert fc.conv_transpose1d(np.array([1j]), np.array([1, 1j])).tolist() == [1j, -1]


# Arrays in memory, and where the result is written


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.complex64])
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"stride": 3, "padding": 1, "output_padding": 2}])
def test_arrays_may_have_any_layout(options, dtype, rng):
    maps, weight, bias = values(rng, (2, 4, 9, 11), dtype), values(rng, (4, 3, 3, 3), dtype), values(rng, 3, dtype)
    expected = fc.conv_transpose2d(maps, weight, bias, **options)
    layouts = [
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: np.ascontiguousarray(np.moveaxis(a, 0, -1)).transpose(-1, *range(a.ndim - 1)),
    ]
    for layout in layouts:
        assert np.array_equal(fc.conv_transpose2d(layout(maps), layout(weight), layout(bias), **options), expected)


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"stride": (3, 2), "padding": 1, "output_padding": 1}])
def test_out_may_have_any_strides(options, rng):
    maps, weight = values(rng, (2, 4, 9, 11), "f4"), values(rng, (4, 3, 3, 3), "f4")
    expected = fc.conv_transpose2d(maps, weight, **options)
    n, k, height, width = expected.shape
    room = np.full((n, height, width + 5, 2 * k), np.nan, np.float32)
    out = room[:, ::-1, 2 : 2 + width, ::2].transpose(0, 3, 1, 2)
    assert fc.conv_transpose2d(maps, weight, **options, out=out) is out
    assert np.array_equal(out, expected)
    assert np.isnan(room).sum() == room.size - out.size  # and nothing beside it is written


def test_out_is_cast_to_the_same_kind(rng):
    maps, weight = values(rng, (4, 9, 11), "f4"), values(rng, (4, 3, 3, 3), "f4")
    expected = fc.conv_transpose2d(maps, weight, stride=2)
    for dtype in (np.float16, np.float64, ml_dtypes.bfloat16):
        out = np.zeros(expected.shape, dtype)
        assert np.array_equal(fc.conv_transpose2d(maps, weight, stride=2, out=out), expected.astype(dtype))


def test_out_may_overlap_the_input(rng):
    kernel, room = values(rng, (3, 3), "f4"), values(rng, (24, 24), "f4")
    for offset in (0, 1, 5):
        maps, out = room[offset : offset + 7, 3:10], room[:15, :15]
        expected = fc.conv_transpose2d(maps.copy(), kernel, stride=2)
        assert np.array_equal(fc.conv_transpose2d(maps, kernel, stride=2, out=out), expected)


def test_arguments_are_left_as_they_were(rng):
    arrays = values(rng, (4, 5, 6), "f4"), values(rng, (4, 3, 3, 3), "f4"), values(rng, 3, "f4")
    copies = [array.copy() for array in arrays]
    fc.conv_transpose2d(*arrays, stride=2, activation="relu")
    assert all(map(np.array_equal, arrays, copies))


# NaN and infinity


@all_axes
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"stride": 3}, {"stride": 2, "dilation": 3, "padding": 1}]
)
def test_a_bad_pixel_reaches_exactly_the_outputs_that_it_is_stamped_on(options, bad, axes, rng):
    maps, weight = values(rng, (20, *(7,) * axes), "f4"), values(rng, (20, 18, *(3,) * axes), "f4")
    seen = np.zeros_like(maps)
    maps[(3, *(2,) * axes)], seen[(3, *(2,) * axes)] = bad, 1
    reached = CONV_TRANSPOSE[axes](seen, np.ones_like(weight), **options) != 0
    result = CONV_TRANSPOSE[axes](maps, weight, **options)
    assert np.array_equal(~np.isfinite(result), reached)
    assert np.isnan(bad) <= np.isnan(result[reached]).all()


@all_axes
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "options",
    [{}, {"padding": 1}, {"stride": 2, "padding": 1, "output_padding": 1}, {"stride": 4}, {"stride": 2, "dilation": 3}],
)
def test_a_bad_weight_reaches_exactly_the_outputs_that_it_is_stamped_on(options, bad, axes, rng):
    """There are no zeros beside the image for it to meet."""
    maps, weight = 1 + values(rng, (20, *(7,) * axes), "f4") / 2, values(rng, (20, 18, *(3,) * axes), "f4")
    weight[(3, 5, *(0,) * axes)] = bad
    with np.errstate(invalid="ignore"):
        expected = transpose(maps[3:4], weight[3:4, 5:6], axes=axes, **options)[0]
    result = CONV_TRANSPOSE[axes](maps, weight, **options)
    assert np.array_equal(np.isfinite(result[5]), np.isfinite(expected))
    assert np.isfinite(result[np.arange(18) != 5]).all()


def test_infinite_weights_meet_zeros_of_the_image_as_ieee_says():
    result = fc.conv_transpose1d(np.array([0.0, 1.0]), np.array([np.inf, 1.0]), stride=2)
    np.testing.assert_array_equal(result, [np.nan, 0, np.inf, 1])


# Bits


LAYERS = [
    ((5, 24, 14, 15), (24, 33, 4, 4), {"stride": 2, "padding": 1}),
    ((3, 40, 9, 9), (40, 17, 2, 2), {"stride": 2}),
    ((4, 32, 28, 28), (32, 32, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((3, 20, 30, 31), (20, 3, 4, 4), {"stride": 2, "padding": 1}),
    ((3, 32, 20, 21), (32, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 32}),
    ((4, 16, 16, 17), (16, 24, 3, 3), {"padding": 1}),
    ((3, 16, 100), (16, 20, 16), {"stride": 8, "padding": 4}),
    ((2, 8, 6, 7, 8), (8, 8, 2, 2, 2), {"stride": 2}),
]
layers = pytest.mark.parametrize(("image", "weight", "options"), LAYERS)


@layers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_do_not_depend_on_threads_or_batches(image, weight, options, dtype, rng):
    conv_transpose = CONV_TRANSPOSE[len(image) - 2]
    maps, weight = values(rng, image, dtype), values(rng, weight, dtype)
    result = conv_transpose(maps, weight, **options, threads=1)
    assert result.tobytes() == conv_transpose(maps, weight, **options, threads=2).tobytes()
    assert result.tobytes() == conv_transpose(maps, weight, **options, threads=3).tobytes()
    assert all(result[n].tobytes() == conv_transpose(maps[n], weight, **options).tobytes() for n in range(len(maps)))
    assert result.tobytes() == conv_transpose(maps, weight, **options, out=np.empty_like(result)).tobytes()


@layers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_do_not_depend_on_the_instruction_set(image, weight, options, dtype, rng):
    before, _ = _core.current_isa()
    maps, weight = values(rng, image, dtype), values(rng, weight, dtype)
    results = {}
    for isa in _core.available_isas():
        if isa != "baseline":  # which multiplies, then adds
            use_isa(isa)
            results[isa] = CONV_TRANSPOSE[len(image) - 2](maps, weight, **options).tobytes()
    use_isa(before)
    assert len(set(results.values())) <= 1


@layers
def test_errors_are_those_of_direct_summation(image, weight, options, rng):
    maps, weight = rng.standard_normal(image).astype("f4"), rng.standard_normal(weight).astype("f4")
    conv_transpose = CONV_TRANSPOSE[len(image) - 2]
    exact = conv_transpose(maps.astype("f8"), weight.astype("f8"), **options)
    largest = abs(exact).max()
    assert abs(conv_transpose(maps, weight, **options) - exact).max() <= 2e-6 * largest
    assert abs(conv_transpose(maps, weight, **options, precision="highest") - exact).max() <= 1e-6 * largest


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name])
def test_a_fused_activation_is_that_of_the_result(activation, rng):
    maps, weight = 5 * values(rng, (2, 8, 9, 9), "f8"), values(rng, (8, 5, 4, 4), "f8")
    plain = fc.conv_transpose2d(maps, weight, stride=2)
    fused = fc.conv_transpose2d(maps, weight, stride=2, activation=activation)
    np.testing.assert_allclose(fused, ACTIVATIONS[activation](plain), rtol=1e-12, atol=1e-14)


# Errors

MAPS, BANK = np.ones((4, 5, 6), np.float32), np.ones((4, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "given_as", "changes"),
    [
        ("weight", "(3,)", {"weight": np.ones(3)}),
        ("weight", "()", {"weight": 1.0}),
        ("weight", "(4, 0, 3, 3)", {"weight": np.ones((4, 0, 3, 3))}),
        ("weight", "(4, 3, 0, 3)", {"weight": np.ones((4, 3, 0, 3))}),
        ("input", "5", {"input": np.ones((5, 5, 6))}),
        ("input", "(5, 6)", {"input": np.ones((5, 6))}),
        ("input", "(6,)", {"input": np.ones(6)}),
        ("input|weight", "0", {"input": np.ones((4, 0, 6))}),
        ("groups|input|weight", "3", {"groups": 3}),
        ("groups", "0", {"groups": 0}),
        ("groups", "1.5", {"groups": 1.5}),
        ("bias", "(4,)", {"bias": np.ones(4)}),
        ("bias", "()", {"bias": 1.0}),
        ("stride", "0", {"stride": 0}),
        ("stride", "(1, 2, 3)", {"stride": (1, 2, 3)}),
        ("dilation", "-1", {"dilation": -1}),
        ("padding", "-1", {"padding": -1}),
        ("padding", "SAME", {"padding": "SAME"}),
        ("padding", "4", {"padding": 4}),
        ("padding", "(0, 7)", {"padding": ((0, 7), (0, 0))}),
        ("output_padding", "1", {"output_padding": 1}),
        ("output_padding", "2", {"output_padding": 2, "stride": 2}),
        ("output_padding", "-1", {"output_padding": -1, "stride": 2}),
        ("output_padding", "(0, 2)", {"output_padding": (0, 2), "stride": (3, 2)}),
        ("output_padding", "(1, 1, 1)", {"output_padding": (1, 1, 1), "stride": 2}),
        ("output_padding", "0.5", {"output_padding": 0.5, "stride": 2}),
        ("output_size", "(10, 13)", {"output_size": (10, 13), "stride": 2}),
        ("output_size", "(11, 15)", {"output_size": (11, 15), "stride": 2}),
        ("output_size", "(7,)", {"output_size": (7,)}),
        ("output_size", "'same'", {"output_size": "same"}),
        ("output_size|output_padding", "", {"output_size": (12, 14), "output_padding": 1, "stride": 2}),
        ("activation", "swish", {"activation": "swish"}),
        ("algorithm", "gemm", {"algorithm": "gemm"}),
        ("precision", "low", {"precision": "low"}),
        ("flip", "1", {"flip": 1}),
        ("threads", "0", {"threads": 0}),
        ("out", "(3, 7, 7)", {"out": np.ones((3, 7, 7), "f4")}),
        ("out", "int32", {"out": np.ones((3, 7, 8), "i4")}),
        ("out", "list", {"out": [1.0]}),
        ("input", "datetime64", {"input": np.ones((4, 5, 6), "M8[s]")}),
        ("weight", "longdouble|float128", {"weight": BANK.astype(np.longdouble)}),
        ("activation", "tanh", {"activation": "tanh", "weight": BANK.astype("c8")}),
        ("activation", "tanh", {"activation": "tanh", "weight": BANK.astype(int), "input": MAPS.astype(int)}),
    ],
)
def test_errors_name_the_argument_and_show_what_was_given(name, given_as, changes):
    pattern = given_as if "|" in given_as else re.escape(given_as)
    with pytest.raises((TypeError, ValueError), match=rf"(?s)^({name})\b.*({pattern})"):
        fc.conv_transpose2d(**({"input": MAPS, "weight": BANK} | changes))


@all_axes
def test_functions_say_what_they_do(axes):
    function = CONV_TRANSPOSE[axes]
    assert function.__name__ in fc.__all__
    assert all(part in function.__doc__ for part in ("Parameters", "Returns", "output_padding", "output_size"))


@pytest.mark.parametrize(("channels", "filters", "size"), [(64, 2, 7), (1, 1, 3), (4, 4, 1), (16, 24, 5)])
def test_many_images_have_the_bits_of_one(channels: int, filters: int, size: int) -> None:
    """What a batch saves for each image must not choose another algorithm, whose sums have another order."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, channels, size, size), np.float32)
    weight = rng.standard_normal((channels, filters, 4, 4), np.float32)
    many = fc.conv_transpose2d(np.repeat(image, 256, axis=0), weight, stride=2, padding=1)
    assert np.array_equal(many, np.repeat(fc.conv_transpose2d(image, weight, stride=2, padding=1), 256, axis=0))
