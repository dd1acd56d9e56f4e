"""8-bit integers: sums of bytes on every instruction set, ConvInteger and QLinearConv."""

import itertools
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problem_table import use_isa
from reference import convolve, requantize

import fastconv as fc
from fastconv import _core

ISAS = _core.available_isas()
EIGHT_BIT = [np.uint8, np.int8]


@pytest.fixture(params=ISAS)
def isa(request):
    before = _core.current_isa()[0]
    use_isa(request.param)
    yield request.param
    use_isa(before)


def drawn(rng, shape, dtype):
    """Integers of the whole range, its ends among them."""
    limits = np.iinfo(dtype)
    array = rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
    array.flat[0], array.flat[-1] = limits.min, limits.max
    return array


SHAPES = [  # image (N, C, H, W), weight (K, C/groups, kh, kw), options
    ((2, 8, 9, 20), (8, 8, 3, 3), {"padding": 1}),
    ((2, 7, 5, 33), (10, 7, 3, 3), {"padding": 1}),
    ((1, 16, 6, 7), (9, 16, 1, 1), {}),
    ((2, 16, 8, 8), (20, 16, 1, 1), {}),
    ((1, 12, 17, 64), (16, 12, 3, 3), {"padding": 1, "stride": 2}),
    ((1, 12, 10, 31), (16, 6, 3, 3), {"groups": 2, "padding": 2, "dilation": 2}),
    ((1, 8, 9, 20), (8, 8, 3, 3), {"padding": 1, "padding_mode": "reflect"}),
    ((1, 40, 9, 9), (24, 40, 5, 5), {"padding": 2, "activation": "relu"}),
    ((1, 300, 6, 40), (8, 300, 3, 3), {"padding": 1}),  # several chunks of taps, rows of whole vectors
    ((1, 600, 3, 5), (8, 600, 3, 3), {"padding": 1}),
    ((1, 16, 40, 64), (16, 16, 3, 3), {"padding": 1, "flip": True}),
    ((1, 4, 200), (8, 4, 5), {"padding": 2}),
    ((1, 5, 4, 6, 9), (8, 5, 2, 3, 3), {"padding": 1}),
]


@pytest.mark.parametrize(("shape", "bank", "options"), SHAPES)
@pytest.mark.parametrize(("pixels", "weights"), [*itertools.product([np.bool_, *EIGHT_BIT], EIGHT_BIT)])
def test_bytes_of_many_channels_are_exact_on_every_isa(shape, bank, options, pixels, weights, isa, rng):
    image = rng.integers(0, 2, shape).astype(bool) if pixels is np.bool_ else drawn(rng, shape, pixels)
    weight = drawn(rng, bank, weights)
    axes = len(bank) - 2
    call = {1: fc.conv1d, 2: fc.conv2d, 3: fc.conv3d}[axes]
    expected = convolve(image, weight, axes=axes, **options)
    result = call(image, weight, **options)
    assert result.dtype == np.int32
    assert np.array_equal(result, expected)
    assert np.array_equal(fc.FilterBank(weight, **options)(image, threads=3), expected)


def test_bytes_anywhere_in_memory(isa, rng):
    image, weight = drawn(rng, (2, 12, 18, 40), np.uint8), drawn(rng, (9, 12, 3, 3), np.int8)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(image, 1, -1)), -1, 1)
    for view in (last, last[:, ::-1, ::2, ::-1], image[:, :, ::-1, 3:], np.broadcast_to(image[:1], image.shape)):
        assert np.array_equal(fc.conv2d(view, weight, padding=1), convolve(view, weight, padding=1))
    out = np.zeros((2, 9, 40, 18), np.int64).swapaxes(2, 3)
    assert fc.conv2d(image, weight, padding=1, out=out) is out
    assert np.array_equal(out, convolve(image, weight, padding=1))


@pytest.mark.parametrize(("pixel", "tap"), [*itertools.product([-128, 127, 255], [-128, 127, 255])])
def test_the_ends_of_bytes(pixel, tap, isa):
    """Products of pairs exceed 16 bits: no step in between may saturate."""
    image = np.full((64, 8, 33), pixel, np.uint8 if pixel > 127 else np.int8)
    weight = np.full((8, 64, 3, 3), tap, np.uint8 if tap > 127 else np.int8)
    assert (fc.conv2d(image, weight) == 576 * pixel * tap).all()


def test_large_images_of_bytes_are_computed_in_blocks(isa, rng):
    image, weight = drawn(rng, (8, 700, 900), np.uint8), drawn(rng, (8, 8, 3, 3), np.int8)
    maps = fc.conv2d(image, weight, padding=1)
    assert np.array_equal(
        maps, fc.conv2d(image.astype(np.float64), weight.astype(np.float64), padding=1, algorithm="direct")
    )


# ConvInteger and QLinearConv


def expected_sums(image, weight, zero, zeros, options):
    axes = weight.ndim - 2
    shifted = weight.astype(np.int64) - np.reshape(zeros, (-1, *(1,) * (weight.ndim - 1)))
    return convolve(image.astype(np.int64) - zero, shifted, axes=axes, **options)


@st.composite
def cases(draw):
    axes = draw(st.sampled_from([1, 2, 2, 2, 3]))
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, filters = draw(st.integers(1, 9)), groups * draw(st.integers(1, 10))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    size = [draw(st.integers(4, 20)) for _ in range(axes)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels, weights, result = (draw(st.sampled_from(EIGHT_BIT)) for _ in range(3))

    def zeros(dtype, count):
        limits = np.iinfo(dtype)
        kind = draw(st.sampled_from(["zero", "middle", "any"]))
        if kind == "zero":
            return np.zeros(count, dtype)
        if kind == "middle":
            return np.full(count, (int(limits.min) + int(limits.max) + 1) // 2, dtype)
        return rng.integers(limits.min, limits.max + 1, count).astype(dtype)

    options = {
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.sampled_from([0, 1, 2, "same"])),
        "dilation": draw(st.sampled_from([1, 1, 2])) if min(size) > 4 else 1,
        "groups": groups,
    }
    image = drawn(rng, (draw(st.integers(1, 2)), channels * groups, *size), pixels)
    weight = drawn(rng, (filters, channels, *kernel), weights)
    per_filter = draw(st.booleans())
    return (
        (image, zeros(pixels, ())),
        (weight, zeros(weights, (filters,) if per_filter else ())),
        zeros(result, ()),
        rng.integers(-3000, 3000, filters).astype(np.int32) if draw(st.booleans()) else None,
        rng.uniform(0.01, 0.2, filters if per_filter else ()).astype(np.float32),
        options,
    )


@given(case=cases())
def test_conv_integer_is_the_sum_of_differences(case):
    (image, zero), (weight, zeros), _, _, _, options = case
    result = fc.conv_integer(image, weight, zero, zeros, **options)
    assert result.dtype == np.int32
    assert np.array_equal(result, expected_sums(image, weight, int(zero), zeros.astype(int), options))


@given(case=cases())
@settings(max_examples=60)
def test_every_isa_quantizes_alike(case):
    (image, zero), (weight, zeros), output_zero, bias, scale, options = case
    sums = expected_sums(image, weight, int(zero), zeros.astype(int), options)
    if bias is not None:
        sums = sums + bias.reshape(-1, *(1,) * (weight.ndim - 2))
    reach = max(1, np.abs(sums).max())
    output_scale = np.float32(0.3 * scale.max() * reach / 100)
    multipliers = np.float32(0.3) * np.broadcast_to(scale, len(weight)) / output_scale
    expected = requantize(sums, multipliers, int(output_zero), output_zero.dtype, weight.ndim - 2)
    before = _core.current_isa()[0]
    try:
        for isa in ISAS:
            use_isa(isa)
            arguments = (0.3, zero, weight, scale, zeros, output_scale, output_zero, bias)
            result = fc.qlinear_conv(image, *arguments, **options)
            assert result.dtype == output_zero.dtype
            assert np.array_equal(result, expected)
            assert np.array_equal(fc.QuantizedFilterBank(*arguments, **options)(image, threads=2), expected)
    finally:
        use_isa(before)


def test_sums_of_several_strips_are_requantized(isa, rng):
    image, weight = drawn(rng, (2, 32, 70, 90), np.uint8), drawn(rng, (64, 32, 3, 3), np.int8)
    bank = fc.QuantizedFilterBank(0.1, np.uint8(13), weight, 0.1, np.int8(0), 40.0, np.int8(5), padding=1)
    sums = fc.conv_integer(image, weight, 13, padding=1)
    multipliers = np.full(64, np.float32(0.1) * np.float32(0.1) / np.float32(40), np.float32)
    for threads in (1, 4):
        assert np.array_equal(bank(image, threads=threads), requantize(sums, multipliers, 5, np.int8))


def test_halves_are_rounded_to_even_before_the_zero_point_is_added(isa):
    image = np.arange(16, dtype=np.uint8).reshape(1, 1, 16)
    for channels, filters in ((1, 1), (8, 8)):  # by floats, and by tiles of bytes
        weight = np.zeros((filters, channels, 1), np.int8)
        weight[:, 0] = 1
        result = fc.qlinear_conv(
            np.repeat(image, channels, 1), 0.5, np.uint8(0), weight, 1.0, np.int8(0), 1.0, np.uint8(3)
        )
        assert result[0, 0].tolist() == [3 + n for n in (0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6, 6, 7, 8)]


@pytest.mark.parametrize(("dtype", "limits"), [(np.uint8, (0, 255)), (np.int8, (-128, 127))])
def test_results_saturate(dtype, limits, isa):
    image = np.full((8, 4, 40), 255, np.uint8)
    for channels in (1, 8):
        weight = np.ones((8, channels, 1, 1), np.int8)
        weight[::2] = -1
        maps = fc.qlinear_conv(image[:channels], 1e4, np.uint8(0), weight, 1e4, np.int8(0), 1e-6, dtype(1))
        assert (maps[::2] == limits[0]).all()
        assert (maps[1::2] == limits[1]).all()


# onnxruntime and onnx


def onnx_model(operator, arrays, results, attributes):
    onnx = pytest.importorskip("onnx")
    types = onnx.helper.np_dtype_to_tensor_dtype
    tensors = [onnx.helper.make_tensor_value_info(n, types(a.dtype), a.shape) for n, a in arrays.items()]
    node = onnx.helper.make_node(operator, [*arrays], ["y"], **attributes)
    y = onnx.helper.make_tensor_value_info("y", types(np.dtype(results)), None)
    graph = onnx.helper.make_graph([node], "g", tensors, [y])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def by_onnxruntime(model, arrays):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, arrays)[0]


def by_reference(model, arrays):
    return pytest.importorskip("onnx.reference").ReferenceEvaluator(model).run(None, arrays)[0]


ATTRIBUTES = [
    ({}, {}),
    ({"pads": [1, 1, 1, 1]}, {"padding": 1}),
    ({"strides": [2, 2], "pads": [1, 0, 1, 2]}, {"stride": 2, "padding": [(1, 1), (0, 2)]}),
    ({"dilations": [2, 1]}, {"dilation": (2, 1)}),
]


@pytest.mark.parametrize(("attributes", "options"), ATTRIBUTES)
@pytest.mark.parametrize(("weights", "zeros"), [(np.int8, 0), (np.uint8, 131)])
def test_onnxs_conv_integer(attributes, options, weights, zeros, rng):
    image, weight = drawn(rng, (1, 8, 9, 12), np.uint8), drawn(rng, (16, 8, 3, 3), weights)
    arrays = {"x": image, "w": weight, "a": np.array(7, np.uint8), "b": np.array(zeros, weights)}
    model = onnx_model("ConvInteger", arrays, np.int32, attributes)
    ours = fc.conv_integer(image, weight, 7, zeros, **options)
    assert np.array_equal(by_onnxruntime(model, arrays), ours)
    assert np.array_equal(by_reference(model, arrays), ours)


@pytest.mark.parametrize(("attributes", "options"), ATTRIBUTES)
@pytest.mark.parametrize(
    ("pixels", "weights", "output_zero"), [(np.uint8, np.int8, 4), (np.int8, np.int8, 6), (np.uint8, np.uint8, 128)]
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_onnxs_qlinear_conv(attributes, options, pixels, weights, output_zero, per_channel, rng):
    """Even zero points: onnx's reference evaluator adds them before it rounds (findings/onnx_qlinear_conv_halves.sh)."""
    image, weight = drawn(rng, (1, 8, 9, 12), pixels), drawn(rng, (16, 8, 3, 3), weights)
    if weights is np.int8:
        weight //= 2  # without VNNI, ONNX Runtime saturates sums of two products at 16 bits
    count = 16 if per_channel else 1
    scale = rng.uniform(0.01, 0.02, count).astype(np.float32)
    zeros = np.full(count, 128 if weights is np.uint8 else 0, weights)
    if not per_channel:
        scale, zeros = scale[0], zeros[0]
    bias = rng.integers(-20000, 20000, 16).astype(np.int32)
    inputs = [
        image,
        np.float32(0.02),
        pixels(5),
        weight,
        scale,
        zeros,
        np.float32(0.7),
        pixels(output_zero % 128),
        bias,
    ]
    arrays = {name: np.asarray(array) for name, array in zip("abcdefghi", inputs, strict=True)}
    model = onnx_model("QLinearConv", arrays, pixels, attributes)
    ours = fc.qlinear_conv(*inputs, **options)
    assert np.array_equal(by_onnxruntime(model, arrays), ours)
    assert np.abs(by_reference(model, arrays).astype(int) - ours).max() <= 1


# The bank, and errors


def a_bank(**more):
    arguments = {"bias": np.arange(4, dtype=np.int32), "padding": 1, **more}
    return fc.QuantizedFilterBank(
        0.1,
        np.int8(-3),
        np.arange(36, dtype=np.uint8).reshape(4, 1, 3, 3),
        [0.1, 0.2, 0.3, 0.4],
        7,
        2.5,
        9,
        **arguments,
    )


def test_a_quantized_bank_is_equal_by_value_and_can_be_pickled(rng):
    bank, image = a_bank(), drawn(rng, (1, 9, 9), np.int8)
    copy = pickle.loads(pickle.dumps(bank))
    assert copy == bank
    assert bank not in (a_bank(padding=2), a_bank(bias=None), "a bank")
    assert np.array_equal(copy(image), bank(image))
    assert repr(bank) == "QuantizedFilterBank(1 -> 4, kernel 3x3, int8 x uint8 -> int8, padding=1, bias)"
    assert (bank.in_channels, bank.out_channels) == (1, 4)
    assert not bank.weight.flags.writeable
    assert bank(np.zeros((2, 0, 1, 9, 9), np.int8)).shape == (2, 0, 4, 9, 9)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"input": np.zeros((1, 5, 5), np.float32)}, TypeError, r"^input must hold uint8 or int8; got dtype float32"),
        ({"input": np.zeros((2, 5, 5), np.uint8)}, ValueError, r"^input has 2 channels"),
        ({"input": np.zeros(5, np.uint8)}, ValueError, r"^input must have the axes"),
        ({"input_scale": 0.0}, ValueError, r"^input_scale must be positive and finite; got 0.0"),
        ({"input_zero_point": 256}, ValueError, r"^input_zero_point must be within uint8, 0 to 255; got 256"),
        ({"input_zero_point": np.int8(3)}, TypeError, r"^input must have the dtype of its zero point, int8; got uint8"),
        ({"weight": np.ones((3, 3), np.int8)}, ValueError, r"^weight must be a bank"),
        ({"weight_scale": [1.0, 2.0, 3.0]}, ValueError, r"^weight_scale must be a number, or one for each of the 2"),
        ({"weight_zero_point": 0.5}, TypeError, r"^weight_zero_point must be an integer"),
        ({"output_zero_point": np.int16(3)}, TypeError, r"^output_zero_point must hold uint8 or int8; got dtype int16"),
        ({"output_scale": np.nan}, ValueError, r"^output_scale must be positive and finite; got nan"),
        ({"bias": [1, 2, 3]}, ValueError, r"^bias must have shape \(2,\); got shape \(3,\)"),
        ({"bias": [0.5, 1]}, TypeError, r"^bias must hold int32; got dtype float64"),
        ({"bias": [2**31, 1]}, ValueError, r"^bias must be within int32"),
        ({"stride": 0}, ValueError, r"^stride must be"),
        ({"threads": 0}, ValueError, r"^threads must be"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    arguments = {
        "input": np.zeros((1, 5, 5), np.uint8),
        "input_scale": 1.0,
        "input_zero_point": 0,
        "weight": np.ones((2, 1, 3, 3), np.int8),
        "weight_scale": 1.0,
        "weight_zero_point": 0,
        "output_scale": 1.0,
        "output_zero_point": 0,
        **change,
    }
    with pytest.raises(error, match=message):
        fc.qlinear_conv(**arguments)


def test_sums_that_int32_cannot_hold_are_refused():
    taps = 2**31 // (255 * 255) + 1
    image, weight = np.full((1, taps), 255, np.uint8), np.full((1, 1, taps), 255, np.uint8)
    with pytest.raises(ValueError, match=re.escape("input would need sums of up to")):
        fc.conv_integer(image, weight)
    assert fc.conv_integer(image // 2, weight).tolist() == [[taps * 127 * 255]]


def test_a_bank_keeps_the_kernels_that_it_was_planned_with(rng):
    image, weight = drawn(rng, (8, 9, 40), np.uint8), drawn(rng, (8, 8, 3, 3), np.int8)
    bank, expected = fc.FilterBank(weight), convolve(image, weight)
    before = _core.current_isa()[0]
    bank(image)
    try:
        for isa in ISAS:
            use_isa(isa)
            assert np.array_equal(bank(image), expected)
    finally:
        use_isa(before)
