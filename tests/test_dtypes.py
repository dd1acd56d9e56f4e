"""Dtypes: what comes out for what goes in; integers that are exact or refused; half precision rounded once."""

import itertools
import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import convolve
from strategies import COMPLEX, FLOATS, INTEGERS, problems, values

import fastconv as fc
from fastconv import _blocks
from fastconv.algorithms import real_parts

INT32_MAX, INT64_MAX, INT64_MIN = 2**31 - 1, 2**63 - 1, -(2**63)
OTHERS_OF_ML_DTYPES = ["float8_e5m2", "float8_e4m3fn", "float8_e4m3b11fnuz", "int4", "uint4"]
EIGHT_BIT = [np.bool_, np.int8, np.uint8]


def conv_of_dtypes(*dtypes, size=4):
    """The result for input, weight and, if there is a third dtype, bias of ones."""
    shapes = [(size, size), (1, 1, 2, 2), (1,)]
    return fc.conv2d(*(np.ones(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=False)))


# Which dtype comes out


@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX])
def test_floats_and_complex_numbers_keep_their_dtype(dtype):
    assert conv_of_dtypes(dtype, dtype).dtype == dtype
    assert conv_of_dtypes(dtype, dtype, dtype).dtype == dtype


@pytest.mark.parametrize(("input", "weight"), [*itertools.product(INTEGERS, repeat=2)])
def test_bytes_add_up_to_int32_and_other_integers_to_int64(input, weight):
    both_bytes = input in EIGHT_BIT and weight in EIGHT_BIT
    assert conv_of_dtypes(input, weight).dtype == (np.int32 if both_bytes else np.int64)


@pytest.mark.parametrize(
    ("input", "weight", "result"),
    [
        ("f4", "f8", "f8"),
        ("f2", "f4", "f4"),
        ("f4", "c8", "c8"),
        ("f8", "c8", "c16"),
        ("u1", "f2", "f2"),
        ("u1", "f4", "f4"),
        ("i2", "f4", "f4"),
        ("i4", "f4", "f8"),
        ("i8", "f4", "f8"),
        ("f4", "i8", "f8"),
        ("u8", "f8", "f8"),
        ("?", "f4", "f4"),
        ("i2", "c8", "c8"),
        ("i8", "c8", "c16"),
        ("u1", ml_dtypes.bfloat16, ml_dtypes.bfloat16),
        (ml_dtypes.bfloat16, "f4", "f4"),
    ],
)
def test_mixed_dtypes_promote_as_numpy_does(input, weight, result):
    assert conv_of_dtypes(input, weight).dtype == result == np.result_type(np.dtype(input), np.dtype(weight))


@pytest.mark.parametrize(
    ("dtypes", "result"),
    [
        *[((ml_dtypes.bfloat16, integer), ml_dtypes.bfloat16) for integer in INTEGERS],
        ((ml_dtypes.bfloat16, "i4", "u2"), ml_dtypes.bfloat16),
        ((ml_dtypes.bfloat16, "f2"), "f4"),
        ((ml_dtypes.bfloat16, "f4", "i4"), "f8"),  # as float32 with int32
        ((ml_dtypes.bfloat16, "f4", "i2"), "f4"),
        ((ml_dtypes.bfloat16, "f8", "u1"), "f8"),
        ((ml_dtypes.bfloat16, "c8"), "c8"),
        ((ml_dtypes.bfloat16, "c16", "f2"), "c16"),
    ],
)
def test_bfloat16_promotes_alike_in_any_order(dtypes, result):
    for order in itertools.permutations(dtypes):
        assert conv_of_dtypes(*order).dtype == result
        if len(order) == 3:
            image, weight, bias = (
                np.ones(shape, dtype) for shape, dtype in zip([(4, 4), (1, 1, 2, 2), (1,)], order, strict=True)
            )
            assert fc.FilterBank(weight, bias)(image).dtype == result


@pytest.mark.parametrize(
    ("arrays", "bias", "result"),
    [
        *[(dtype, bias, dtype) for dtype in [*FLOATS, *COMPLEX] for bias in (0.5, 1, True)],
        *[(dtype, 1j, np.complex64) for dtype in (np.float16, ml_dtypes.bfloat16, np.float32, np.complex64)],
        *[(dtype, 1j, np.complex128) for dtype in (np.float64, np.complex128, np.int8)],
        *[(dtype, 0.5, np.float64) for dtype in INTEGERS],
        (np.float32, np.float32(0.5), np.float32),
        (np.float32, np.float64(0.5), np.float64),
        (np.float32, np.array(0.5), np.float64),
        (np.float32, [0.5], np.float64),
        (np.float64, np.float32(0.5), np.float64),
    ],
)
def test_a_number_as_bias_promotes_as_numpys_numbers_do(arrays, bias, result):
    maps = fc.conv2d(np.ones((3, 3), arrays), np.ones((2, 2), arrays), bias)
    assert maps.dtype == result
    assert (maps.astype(np.complex128) == 4 + np.asarray(bias)).all()
    if type(bias) is not list and arrays is not ml_dtypes.bfloat16:
        assert np.result_type(np.empty(0, arrays), bias) == result


def test_a_number_as_bias_that_float16_cannot_hold_is_infinite():
    assert fc.conv1d(np.ones(2, np.float16), np.ones(2, np.float16), 1e6).tolist() == [np.inf]


@pytest.mark.parametrize("bias", [2**100, [2**100]])
def test_a_bias_of_too_many_bits_is_refused(bias):
    with pytest.raises(TypeError, match=r"^bias.*64 bits"):
        fc.conv1d(np.ones(2), np.ones(2), bias)


def test_integer_image_with_float_weights_is_not_truncated():
    assert fc.conv1d(np.array([1, 2, 3], np.uint8), np.array([0.25, 0.25], np.float32)).tolist() == [0.75, 1.25]


def test_float_bias_is_not_truncated():
    assert fc.conv1d(np.array([1, 2, 3], np.uint8), np.array([1, 1], np.int8), 0.5).tolist() == [3.5, 5.5]


def test_complex_bias_makes_the_result_complex():
    assert fc.conv1d(np.ones(3, np.float32), np.ones(2, np.float32), np.complex64(1j)).tolist() == [2 + 1j, 2 + 1j]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", ["f2", "f4", "f8", "c8", "c16", "i2", "i4", "i8", "u8"])
def test_byte_order_is_no_dtype_of_its_own(code, order, rng):
    image, weight = values(rng, (2, 9, 9), code), values(rng, (3, 2, 3, 3), code)
    result = fc.conv2d(image.astype(order + code), weight.astype(order + code), padding=1)
    assert result.dtype == fc.conv2d(image, weight).dtype
    assert result.dtype.isnative
    assert np.array_equal(result, fc.conv2d(image, weight, padding=1))


# Integers: exact, or refused


@pytest.mark.parametrize(("input", "weight"), [*itertools.product(EIGHT_BIT, repeat=2)])
def test_bytes_are_exact_at_their_extremes(input, weight):
    ends = {np.bool_: [0, 1], np.int8: [-128, 127], np.uint8: [0, 255]}
    for pixel, tap in itertools.product(ends[input], ends[weight]):
        image, bank = np.full((3, 5, 40), pixel, input), np.full((2, 3, 3, 3), tap, weight)
        assert (fc.conv2d(image, bank) == 27 * pixel * tap).all()


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.uint32])
def test_wider_integers_are_exact_at_their_extremes(dtype):
    info = np.iinfo(dtype)
    for pixel in (info.min, info.max):
        image, taps = np.full(9, pixel, dtype), np.array([1, 1, 1], dtype)
        assert fc.conv1d(image, taps).tolist() == [3 * pixel] * 7
    assert fc.conv1d(np.array([info.max], dtype), np.array([2**31 - 1])).tolist() == [int(info.max) * (2**31 - 1)]


@pytest.mark.parametrize(
    ("input", "weight", "largest_product"),
    [(np.uint8, np.uint8, 255 * 255), (np.int8, np.int8, 128 * 128), (np.uint8, np.int8, 255 * 128)],
)
def test_bytes_widen_to_int64_when_so_many_taps_could_pass_int32(input, weight, largest_product):
    enough = INT32_MAX // largest_product + 1
    for taps, dtype in ((enough - 1, np.int32), (enough, np.int64)):
        assert fc.conv1d(np.ones(taps, input), np.ones(taps, weight)).dtype == dtype
        filter_shape = (taps // 8, 8) if taps % 8 == 0 else (1, taps)
        assert fc.conv1d(np.ones(filter_shape, input), np.ones(filter_shape, weight)).dtype == dtype


def test_the_dtype_depends_on_dtypes_and_taps_and_not_on_values():
    taps = 40000
    for pixel, tap in ((0, 0), (255, 255)):
        result = fc.conv1d(np.full(taps, pixel, np.uint8), np.full(taps, tap, np.uint8))
        assert result.dtype == np.int64
        assert result.tolist() == [taps * pixel * tap]


def test_many_taps_of_bytes_are_exact():
    image, kernel = np.full((200, 200), 255, np.uint8), np.full((190, 190), 255, np.uint8)
    assert (fc.conv2d(image, kernel) == 190 * 190 * 255 * 255).all()


@pytest.mark.parametrize(
    ("input", "weight"),
    [
        (np.array([INT64_MAX, 1]), np.array([1, 1])),
        (np.array([INT64_MIN, -1]), np.array([1, 1])),
        (np.array([2**32]), np.array([2**31])),
        (np.array([2**62, 2**62]), np.array([1, 1])),
        (np.array([INT64_MIN]), np.array([-1])),
        (np.array([2**63], np.uint64), np.array([1], np.uint8)),
        (np.array([2**64 - 1], np.uint64), np.array([2**64 - 1], np.uint64)),
        (np.array([2**32 - 1], np.uint32), np.array([2**32 - 1], np.uint32)),
    ],
)
def test_sums_that_int64_cannot_hold_are_refused(input, weight):
    with pytest.raises(ValueError, match=r"^input.*weight"):
        fc.conv1d(input, weight)


def test_a_bias_that_overflows_is_refused():
    with pytest.raises(ValueError, match=r"^(input|bias)"):
        fc.conv1d(np.array([INT64_MAX]), np.array([1]), np.array([1]))


def test_a_large_bias_is_exact():
    result = fc.conv1d(np.array([3, 4], np.uint8), np.array([1], np.int8), np.array([2**40]))
    assert result.tolist() == [2**40 + 3, 2**40 + 4]


def test_a_byte_sum_and_its_bias_do_not_wrap_in_int32():
    taps = INT32_MAX // (255 * 255)  # as many as int32 can hold
    room = INT32_MAX - taps * 255 * 255
    for bias in (room, room + 1, INT32_MAX):
        result = fc.conv1d(np.full(taps, 255, np.uint8), np.full(taps, 255, np.uint8), np.array(bias, np.int32))
        assert result.tolist() == [taps * 255 * 255 + bias]


@pytest.mark.parametrize(
    ("input", "weight"),
    [
        (np.array([INT64_MAX]), np.array([1])),
        (np.array([INT64_MAX]), np.array([-1])),
        (np.array([INT64_MAX - 1, 1]), np.array([1, 0])),
        (np.array([2**31]), np.array([2**31])),
        (np.array([2**63 - 1], np.uint64), np.array([1], np.uint64)),
        (np.array([2**32 - 1], np.uint32), np.array([2**31 - 1], np.uint32)),
    ],
)
def test_sums_at_the_end_of_int64_are_exact(input, weight):
    assert fc.conv1d(input, weight).tolist() == convolve(input, weight, axes=1).tolist()


@given(data=st.data())
@settings(max_examples=200)
def test_integers_are_exact_or_refused(data):
    """Values of any magnitude: right to the last digit, or a ValueError, never a wrapped sum."""
    dtypes = [np.int16, np.int32, np.uint32, np.int64, np.uint64]
    image, weight = (
        np.array(data.draw(st.lists(st.integers(int(info.min), int(info.max)), min_size=3, max_size=3)), info.dtype)
        for info in (np.iinfo(data.draw(st.sampled_from(dtypes))) for _ in range(2))
    )
    shift = data.draw(st.integers(0, 40))
    weight = weight >> weight.dtype.type(min(shift, 8 * weight.itemsize - 1))
    try:
        result = fc.conv1d(image, weight, padding="full")
    except ValueError:
        sums = [abs(int(image.max())), abs(int(image.min()))]
        assert max(sums) * sum(abs(int(w)) for w in weight) > INT64_MAX
    else:
        assert result.tolist() == convolve(image, weight, padding="full", axes=1).tolist()


@pytest.mark.parametrize("image", [np.bool_, np.uint8, np.int8, np.int16, np.uint16])
@pytest.mark.parametrize("limit", [2**24, 2**53])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
def test_integers_are_exact_on_either_side_of_what_floats_hold(image, limit, more):
    """The largest sum of the weights' magnitudes is about what float32, or float64, hold: odd sums must come out odd."""
    largest = 1 if image is np.bool_ else max(abs(int(np.iinfo(image).min)), int(np.iinfo(image).max))
    weight = np.array([[limit // largest + more - 2, 1, 1]]).reshape(1, 1, 3)
    pixels = np.array([largest, largest, largest - (largest > 1), largest], np.int64)
    pixels = -pixels if image in (np.int8, np.int16) else pixels
    for sign in (1, -1):
        expected = convolve(pixels, sign * weight, axes=1)
        given = pixels.astype(image)
        assert fc.conv1d(given, sign * weight).tolist() == expected.tolist()
        assert fc.FilterBank(sign * weight)(given).tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("value", [1, 2**20 + 1, 2**52 + 1, 2**53 + 1, 2**61 + 1])
def test_integers_of_64_bits_are_exact_whatever_their_values(dtype, value):
    image, weight = np.array([value, value - 1, value, 0], dtype), np.array([[[1, 2]]])
    expected = convolve(image, weight, axes=1)
    assert fc.conv1d(image, weight).tolist() == expected.tolist()
    bank = fc.FilterBank(weight)
    bank(np.ones(4, dtype))  # whose sums are smaller
    assert bank(image).tolist() == expected.tolist()


@pytest.mark.parametrize("value", [1, 2**24 + 1, 2**53 + 1])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_padding_with_large_values_is_exact_beside_small_pixels(dtype, value):
    image, weight = np.ones((1, 5), dtype), np.array([[[1, 2, 1]]])
    expected = convolve(np.array([[value, 1, 1, 1, 1, 1, value]]), weight, axes=1)
    assert fc.conv1d(image, weight, padding=1, padding_value=value).tolist() == expected.tolist()
    assert fc.FilterBank(weight, padding=1, padding_value=value)(image).tolist() == expected.tolist()


@pytest.mark.parametrize("image", [np.uint8, np.int16, np.uint16, np.int32])
@pytest.mark.parametrize("out", [np.int8, np.uint16, np.int32])
@pytest.mark.parametrize("bits", [24, 53, 60])
def test_saturated_sums_of_integers_are_exact_whatever_adds_them_up(image, out, bits):
    """The sum of the weights' magnitudes is about what float32, or float64, holds; sums are small, large, odd and even."""
    largest = int(np.iinfo(image).max)
    weight = (2**bits // largest // 2 + np.array([[[1, 0]]])) * np.array([[[1, -1]]])
    pixels = largest - np.array([0, 0, 1, 1, 0, 2, 0, largest])
    sums = convolve(pixels, weight, axes=1)
    limits = np.iinfo(out)
    expected = np.clip(sums, limits.min, limits.max).tolist()
    for filters in (weight, np.repeat(weight, 2, 0)):
        given, target = pixels.astype(image), np.empty((len(filters), 7), out)
        fc.conv1d(given, filters, saturate=True, out=target)
        assert target.tolist() == expected * len(filters)
        target[:] = 0
        fc.FilterBank(filters, saturate=True)(given[np.newaxis], out=target)
        assert target.tolist() == expected * len(filters)


def test_residuals_are_refused_where_integers_are_added_up_in_floating_point():
    image, weight = np.ones((1, 1, 5), np.uint8), np.ones((1, 1, 3), np.uint8)
    for call in (fc.FilterBank(weight), lambda image, residual: fc.conv1d(image, weight, residual=residual)):
        with pytest.raises(TypeError, match=r"^residual must be floats, to be added to sums of floats; got .* int32"):
            call(image, residual=np.zeros((1, 1, 3), np.float32))


@given(data=st.data())
def test_integers_of_any_dtype_equal_the_definition(data):
    """Images of many channels as well, strides, groups and every padding mode; by a call and by a bank."""
    dtypes = [np.bool_, np.uint8, np.int8, np.int16, np.uint16, np.int32]
    problem = data.draw(problems(2, dtypes, activations=[None, "relu", "relu6"]))
    assert np.array_equal(problem.result(), problem.expected())


def test_bool_counts():
    image = np.array([True, True, False, True])
    assert fc.conv1d(image, np.array([True, True, True])).tolist() == [2, 2]
    assert fc.conv1d(image, np.array([-1, 2], np.int8)).tolist() == [1, -1, 2]


def test_byte_weights_with_a_minus_sign():
    assert fc.conv1d(np.array([0, 255], np.uint8), np.array([1, -1], np.int8)).tolist() == [-255]


def test_signed_bytes_and_unsigned_bytes_are_told_apart():
    raw = np.array([255, 1, 128], np.uint8)
    assert fc.conv1d(raw, np.array([1], np.int8)).tolist() == [255, 1, 128]
    assert fc.conv1d(raw.view(np.int8), np.array([1], np.int8)).tolist() == [-1, 1, -128]


# float16 and bfloat16


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@given(data=st.data())
@settings(max_examples=30)
def test_half_precision_is_float32_rounded_once(dtype, data):
    problem = data.draw(problems(2, [dtype], activations=[None, "relu", "silu"]))
    result = problem.result()
    problem.input, problem.weight = problem.input.astype(np.float32), problem.weight.astype(np.float32)
    problem.bias = None if problem.bias is None else problem.bias.astype(np.float32)
    assert result.dtype == dtype
    assert np.array_equal(result, problem.result().astype(dtype))


def test_float16_adds_up_past_its_own_precision():
    assert fc.conv1d(np.ones(4096, np.float16), np.ones(4096, np.float16)).tolist() == [4096]
    assert fc.conv1d(np.full(3, 60000, np.float16), np.array([1, 1, -1], np.float16)).tolist() == [60000]


def test_float16_that_grows_too_large_is_infinite():
    with np.errstate(over="ignore"):
        assert fc.conv1d(np.full(2, 60000, np.float16), np.ones(2, np.float16)).tolist() == [np.inf]


def test_float16_keeps_its_smallest_numbers():
    smallest = np.array([2.0**-24], np.float16)
    assert fc.conv1d(smallest, np.ones(1, np.float16)).tolist() == [2.0**-24]


@pytest.mark.parametrize("dtype", FLOATS)
def test_rounding_ties_go_to_even(dtype):
    eps = float(ml_dtypes.finfo(dtype).eps)
    image = np.array([1, 1 + eps], dtype)
    taps = np.array([1], dtype)
    result = fc.conv1d(image, taps, np.array(eps / 2, dtype))
    assert result.astype(float).tolist() == [1, 1 + 2 * eps]


# Complex numbers


@pytest.mark.parametrize("dtype", COMPLEX)
def test_weights_are_not_conjugated(dtype):
    assert fc.conv1d(np.array([1j, 2], dtype), np.array([1j, 1], dtype)).tolist() == [1]


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_complex_numbers_have_no_activation(activation, dtype):
    with pytest.raises((TypeError, ValueError), match=r"^activation.*" + activation):
        fc.conv1d(np.ones(3, dtype), np.ones(2, dtype), activation=activation)


@pytest.mark.parametrize("activation", ["leaky_relu", "sigmoid", "silu", "hardswish", "tanh"])
def test_integers_have_no_curved_activation(activation):
    with pytest.raises((TypeError, ValueError), match=r"^activation.*" + activation):
        fc.conv1d(np.ones(3, int), np.ones(2, int), activation=activation)


# Dtypes that are refused


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, 2, 3], object),
        np.array(["1", "2", "3"]),
        np.array([b"1", b"2", b"3"]),
        np.array(["2020-01-01"] * 3, "M8[D]"),
        np.array([1, 2, 3], "m8[s]"),
        np.zeros(3, [("r", "f4"), ("g", "f4")]),
        np.zeros(3, "V4"),
        pytest.param(
            np.ones(3, np.longdouble), marks=pytest.mark.skipif(np.longdouble(1).nbytes == 8, reason="is double")
        ),
        pytest.param(
            np.ones(3, np.clongdouble), marks=pytest.mark.skipif(np.longdouble(1).nbytes == 8, reason="is double")
        ),
        *[np.ones(3).astype(getattr(ml_dtypes, name)) for name in OTHERS_OF_ML_DTYPES],
        ["a", "b", "c"],
        [None, 1, 2],
        [2**100, 1, 2],
    ],
    ids=lambda a: str(getattr(a, "dtype", type(a[-1]).__name__)),
)
@pytest.mark.parametrize("others", [np.float64, np.int8, ml_dtypes.bfloat16])
@pytest.mark.parametrize("which", ["input", "weight", "bias"])
def test_other_dtypes_are_refused(which, others, array):
    arrays = {"input": np.ones((1, 3), others), "weight": np.ones((3, 1, 2), others), "bias": np.ones(3, others)}
    arrays[which] = np.reshape(array, arrays[which].shape) if which != "weight" else np.reshape(array, (3, 1, 1))
    with pytest.raises(TypeError, match=f"^{which}.*" + re.escape(str(np.asarray(array).dtype))):
        fc.conv1d(**arrays)


@pytest.mark.parametrize("name", OTHERS_OF_ML_DTYPES)
def test_other_dtypes_by_themselves_are_refused(name):
    dtype = getattr(ml_dtypes, name)
    arrays = [np.ones(shape).astype(dtype) for shape in ((1, 3), (3, 1, 2), 3)]
    with pytest.raises(TypeError, match=rf"^input.*{name}"):
        fc.conv1d(*arrays)
    with pytest.raises(TypeError, match=rf"^weight.*{name}"):
        fc.FilterBank(*arrays[1:])
    with pytest.raises(TypeError, match=rf"^out.*{name}"):
        fc.conv1d(np.ones((1, 3)), np.ones((3, 1, 2)), out=np.ones((3, 2)).astype(dtype))
    with pytest.raises(TypeError, match=rf"^kernels.*{name}"):
        fc.FilterBank.from_kernels([np.ones((3, 3)), np.ones((3, 3)).astype(dtype)])


def test_ragged_lists_are_refused():
    with pytest.raises((TypeError, ValueError), match=r"^input"):
        fc.conv2d([[1, 2], [3]], [[1]])


@pytest.mark.parametrize("mixed", ["cc", "cr", "rc", "cb"])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1, "groups": 2},
        {"padding": 2, "stride": 2, "padding_mode": "reflect"},
        {"padding": 1, "padding_value": 2 - 1j, "flip": True},
        {"padding": "same", "padding_mode": ("circular", "zeros"), "algorithm": "direct"},
    ],
)
def test_large_complex_problems_are_those_of_real_parts_to_the_last_infinity(mixed, dtype, options, rng, monkeypatch):
    monkeypatch.setattr(real_parts, "MIN_PRODUCTS", 0)
    image, weight = ((rng.standard_normal((*s, 2)) @ [1, 1j]).astype(dtype) for s in ((2, 4, 20, 23), (6, 4, 3, 3)))
    weight = weight[:, : 4 // options.get("groups", 1)]
    bias = (np.arange(6) * (1 + 2j)).astype(dtype) if mixed != "cr" else None
    if mixed[0] == "r":
        image = image.real.copy()
        options = {**options, "padding_value": 3} if "padding_value" in options else options
    if mixed[1] in "rb":
        weight = weight.real.copy()
    for _ in range(2):
        with np.errstate(all="ignore"):
            expected = convolve(image, weight, bias, **{k: v for k, v in options.items() if k != "algorithm"})
        result = fc.conv2d(image, weight, bias, **options)
        assert result.dtype == dtype
        for ours, theirs in ((result.real, expected.real), (result.imag, expected.imag)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)  # NaN and infinities where they are
        out = np.empty((*result.shape[:-1], 2 * result.shape[-1]), dtype)[..., ::2]
        fc.conv2d(image, weight, bias, **options, out=out)
        np.testing.assert_array_equal(out, result)
        image[0, 0, 3, 4], image[1, 2, 15, 7] = np.inf, np.nan
        if mixed[0] == "c":
            image[1, 1, 3, 12], image[0, 3, 17, 20] = complex(1, np.inf), complex(np.nan, 2)


def test_complex_banks_remember_their_parts(rng, monkeypatch):
    monkeypatch.setattr(real_parts, "MIN_PRODUCTS", 0)
    weight, image = ((rng.standard_normal((*s, 2)) @ [1, 1j]).astype("F") for s in ((8, 4, 3, 3), (4, 40, 40)))
    bank = fc.FilterBank(weight, padding=1)
    np.testing.assert_allclose(bank(image), fc.conv2d(image, weight, padding=1, algorithm="direct"), atol=1e-4)
    weight[0, 0, 0, 0] = np.inf
    with np.errstate(all="ignore"):
        expected = convolve(image, weight, padding=1)
    np.testing.assert_array_equal(np.isfinite(fc.FilterBank(weight, padding=1)(image)), np.isfinite(expected))


PAIRED = [  # image, weight, options
    ((40, 51), (3, 3), {"padding": 1}),
    ((1, 30, 70), (3, 1, 5, 5), {"padding": 2, "stride": (2, 1), "padding_mode": "reflect"}),
    ((2, 5, 40, 31), (5, 1, 3, 3), {"groups": 5, "padding": 1, "dilation": (2, 3), "flip": True}),
    ((2, 3, 40, 33), (6, 1, 4, 3), {"groups": 3, "padding": "same", "padding_mode": ("circular", "zeros")}),
    ((3, 40, 30), (3, 1, 2, 4), {"groups": 3, "padding": "same", "padding_mode": "symmetric"}),
    ((1, 60, 40), (1, 1, 7, 6), {"padding": "full"}),
    ((90, 130), (3, 3), {"padding": 1, "padding_mode": "circular"}),
]


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize(("image_shape", "shape", "options"), PAIRED)
def test_complex_filters_of_one_channel_are_sums_of_pairs_to_the_last_infinity(
    image_shape, shape, options, dtype, real, rng, monkeypatch
):
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 2**14)
    shapes = image_shape, shape, shape[:-2][:1]
    image, weight, bias = ((rng.standard_normal((*s, 2)) @ [1, 1j]).astype(dtype) for s in shapes)
    weight = weight.real.copy() if real else weight
    assert "pairs" in fc.explain(image, weight, **options).candidates[0].how
    for step in range(3):
        with np.errstate(all="ignore"):
            expected = convolve(image, weight, bias, **options)
        result = fc.conv2d(image, weight, bias, **options, threads=1)
        assert result.dtype == dtype
        if step < 2:
            for ours, theirs in ((result.real, expected.real), (result.imag, expected.imag)):
                np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)  # NaN and infinities where they are
        np.testing.assert_array_equal(np.isfinite(result), np.isfinite(expected))
        out = np.empty((*result.shape[:-1], 2 * result.shape[-1]), dtype)[..., ::2]
        fc.conv2d(np.repeat(image, 2, axis=-1)[..., ::2], weight, bias, **options, out=out, threads=3)
        np.testing.assert_array_equal(out, result)
        image[..., 3, 7], image[..., 5, 20], image[..., 25] = np.inf, complex(1, -np.inf), complex(np.nan, 2)
        if step:
            weight[(0,) * weight.ndim] = np.inf
