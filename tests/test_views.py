"""Channels last, and results that saturate: what they equal, and what they refuse."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc

DTYPES = ("uint8", "int16", "float16", "float32", "float64")


def first(array, axes):
    return np.ascontiguousarray(np.moveaxis(array, -1, -1 - axes))


def last(array, axes):
    return np.moveaxis(array, -1 - axes, -1)


def numbers(rng, shape, dtype):
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return rng.standard_normal(shape).astype(dtype)


CONVS = {1: (fc.conv1d, fc.conv_transpose1d), 2: (fc.conv2d, fc.conv_transpose2d), 3: (fc.conv3d, fc.conv_transpose3d)}


@settings(max_examples=120)
@given(
    st.integers(1, 3),
    st.sampled_from(DTYPES),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from(["bank", "filter", "kernel"]),
    st.sampled_from(["zeros", "reflect", "circular"]),
    st.integers(1, 2),
    st.integers(0, 2**32),
)
def test_channels_last_is_a_view_of_channels_first(axes, dtype, channels, filters, form, mode, stride, seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(3, 24 // axes, axes))
    image = numbers(rng, (2, *size, channels), dtype)
    weight = rng.standard_normal((filters, channels, *(3,) * axes)).astype("float32")
    weight = {"bank": weight, "filter": weight[0], "kernel": weight[0, 0]}[form]
    options = {"padding": 1, "padding_mode": mode, "stride": stride}
    conv = CONVS[axes][0]
    expected = conv(first(image, axes), weight, **options)
    result = conv(image, weight, **options, channels_last=True)
    np.testing.assert_array_equal(result, expected if form == "filter" else last(expected, axes))
    assert result.flags.c_contiguous
    out = np.empty_like(result)
    assert conv(image, weight, **options, channels_last=True, out=out) is out
    np.testing.assert_array_equal(out, result)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("form", ["bank", "filter", "kernel"])
def test_transposed_convolution_with_channels_last(axes, form, rng):
    image = rng.standard_normal((2, *(7,) * axes, 4)).astype("float32")
    weight = rng.standard_normal((4, 3, *(3,) * axes)).astype("float32")
    weight = {"bank": weight, "filter": weight[:, 0], "kernel": weight[0, 0]}[form]
    conv = CONVS[axes][1]
    expected = conv(first(image, axes), weight, stride=2)
    result = conv(image, weight, stride=2, channels_last=True)
    np.testing.assert_array_equal(result, expected if form == "filter" else last(expected, axes))
    out = np.empty_like(result)
    assert conv(image, weight, stride=2, channels_last=True, out=out) is out
    np.testing.assert_array_equal(out, result)


@pytest.mark.parametrize("kind", [fc.FilterBank, fc.TransposedFilterBank])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_banks_with_channels_last(kind, mode, rng):
    weight = rng.standard_normal((4, 3, 3, 3)).astype("float32")
    plain, bank = (kind(weight, padding=1, padding_mode=mode, channels_last=flag) for flag in (False, True))
    image = rng.standard_normal((2, 9, 8, plain.in_channels)).astype("float32")
    expected = plain(first(image, 2))
    result = bank(image)
    np.testing.assert_array_equal(result, last(expected, 2))
    assert bank.output_shape(image.shape) == result.shape
    assert bank.channels_last
    out = np.empty_like(result)
    assert bank(image, out=out) is out
    np.testing.assert_array_equal(out, result)
    ours, theirs = bank.backward(image, result), plain.backward(first(image, 2), expected)
    np.testing.assert_allclose(ours.input, last(theirs.input, 2), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.weight, theirs.weight, rtol=1e-4, atol=1e-3)
    assert pickle.loads(pickle.dumps(bank)) == bank != plain
    assert "channels_last=True" in repr(bank)


def test_banks_in_a_row_agree_on_where_channels_are(rng):
    one = fc.FilterBank(np.ones((4, 3, 3, 3)), channels_last=True)
    other = fc.FilterBank(np.ones((2, 4, 3, 3)), channels_last=True)
    row = fc.Sequential(one, other)
    image = rng.standard_normal((12, 11, 3))
    np.testing.assert_array_equal(row(image), other(one(image)))
    assert row.output_shape(image.shape) == row(image).shape == (8, 7, 2)
    assert row.channels_last
    with pytest.raises(ValueError, match="banks must agree on channels_last: it is True for bank 0, False for bank 1"):
        fc.Sequential(one, fc.FilterBank(np.ones((2, 4, 3, 3))))


def test_adjoint_keeps_channels_last(rng):
    bank = fc.FilterBank(rng.standard_normal((4, 3, 3, 3)), stride=2, padding=1, channels_last=True)
    image, maps = rng.standard_normal((9, 9, 3)), rng.standard_normal((5, 5, 4))
    assert np.isclose(np.vdot(bank(image), maps), np.vdot(image, bank.adjoint()(maps)))


def test_holes_with_channels_last(rng):
    photo = rng.standard_normal((20, 30, 3)).astype("float32")
    photo[4:9, 5:8, 1] = np.nan
    weight = rng.random((5, 3, 3, 3)).astype("float32")
    options = {"padding": 1, "nan": "ignore", "renormalize": True, "return_weight": True}
    expected = fc.conv2d(first(photo, 2), weight, **options)
    for result, right in zip(fc.conv2d(photo, weight, **options, channels_last=True), expected, strict=True):
        np.testing.assert_array_equal(result, last(right, 2))
    mask = rng.random((20, 30, 1)) > 0.2
    result = fc.conv2d(photo, weight, padding=1, mask=mask, nan="ignore", channels_last=True)
    expected = fc.conv2d(first(photo, 2), weight, padding=1, mask=mask[..., 0], nan="ignore")
    np.testing.assert_array_equal(result, last(expected, 2))
    bank = fc.FilterBank(weight, padding=1, channels_last=True)
    np.testing.assert_array_equal(bank(photo, mask=mask, nan="ignore"), result)
    masked = fc.conv2d(np.ma.masked_invalid(photo), weight, padding=1, channels_last=True)
    assert isinstance(masked, np.ma.MaskedArray)
    assert masked.shape == (20, 30, 5)


@pytest.mark.parametrize("value", [1, None, "yes", np.True_])
@pytest.mark.parametrize("name", ["channels_last", "saturate"])
def test_flags_are_true_or_false(name, value):
    with pytest.raises(TypeError, match=f"{name} must be True or False"):
        fc.conv2d(np.ones((8, 8, 3), np.uint8), np.ones((3, 3)), **{name: value})
    with pytest.raises(TypeError, match=f"{name} must be True or False"):
        fc.FilterBank(np.ones((1, 1, 3, 3)), **{name: value})


def test_channels_last_needs_an_axis_of_channels():
    with pytest.raises(ValueError, match=r"input must have the axes \(..., H, W, C\) with channels_last=True"):
        fc.conv2d(np.ones((8, 8)), np.ones((3, 3)), channels_last=True)
    with pytest.raises(ValueError, match="input has 5 channels"):
        fc.conv2d(np.ones((8, 8, 5)), np.ones((2, 3, 3, 3)), channels_last=True)
    with pytest.raises(ValueError, match="axis must be -1 with channels_last"):
        fc.conv1d(np.ones((8, 5)), np.ones(3), axis=0, channels_last=True)
    with pytest.raises(TypeError, match="out must be an ndarray"):
        fc.conv2d(np.ones((8, 8, 3)), np.ones((3, 3)), channels_last=True, out=[1])


def saturated(sums, dtype):
    limits = np.iinfo(dtype)
    return np.clip(np.rint(np.nan_to_num(sums.astype(np.float64))), limits.min, limits.max).astype(dtype)


EXACT_KERNELS = {
    "binomial": np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256,
    "small binomial": np.outer([1, 2, 1], [1, 2, 1]) / 16,
    "sobel": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "large": np.arange(-60, 61).reshape(11, 11) / 8,
}


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16"])
@pytest.mark.parametrize("name", EXACT_KERNELS)
def test_saturating_sums_are_rounded_to_even_and_clipped(dtype, name, rng):
    photo = numbers(rng, (40, 150, 3), dtype)
    kernel = EXACT_KERNELS[name]
    expected = saturated(fc.conv2d(photo.astype(float), kernel, padding="same", channels_last=True), dtype)
    for weight in (kernel, kernel.astype("float32")):
        result = fc.conv2d(photo, weight, padding="same", channels_last=True, saturate=True)
        assert result.dtype == dtype
        if name == "large" and dtype.endswith("16"):  # products beyond what float32 holds exactly
            rounding = 2**-22 * np.abs(kernel).sum() * np.iinfo(dtype).max
            assert np.abs(result.astype(int) - expected).max() <= 1 + rounding
            continue
        np.testing.assert_array_equal(result, expected)
    bank = fc.FilterBank(kernel[np.newaxis, np.newaxis], padding="same", saturate=True)
    expected = fc.conv2d(photo[..., 0], kernel, padding="same", saturate=True)[..., np.newaxis]
    np.testing.assert_array_equal(bank(photo[..., 0]), expected[np.newaxis, ..., 0])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_floats_saturate_to_the_dtype_of_out(dtype, rng):
    image = (rng.standard_normal((20, 77)) * 3000).astype("float32")
    image[3, 4:7] = np.nan, np.inf, -np.inf
    out = np.empty(image.shape, dtype)
    assert fc.conv2d(image, np.ones((1, 1)), saturate=True, out=out) is out
    with np.errstate(all="ignore"):
        expected = saturated(image, dtype)
    limits = np.iinfo(dtype)
    expected[3, 4:7] = 0, limits.max, limits.min
    np.testing.assert_array_equal(out, expected)


def test_saturating_activations_and_large_kernels(rng):
    photo = numbers(rng, (120, 130), "uint8")
    kernel = rng.standard_normal((41, 41))
    for algorithm in ("auto", "direct", "fft"):
        expected = saturated(
            fc.conv2d(photo.astype(float), kernel / 50, 7.0, padding="same", activation="relu"), "uint8"
        )
        result = fc.conv2d(
            photo, kernel / 50, 7.0, padding="same", activation="relu", algorithm=algorithm, saturate=True
        )
        assert np.abs(result.astype(int) - expected).max() <= 1
    result = fc.conv2d(photo, np.eye(3), activation="sigmoid", saturate=True)
    assert result.max() == 1


def test_integers_that_saturate_are_exact(rng):
    image = numbers(rng, (30, 40), "int32")
    result = fc.conv2d(image, np.array([[1, 1], [1, 1]]), saturate=True)
    exact = sum(image[i : 29 + i, j : 39 + j].astype(np.int64) for i in (0, 1) for j in (0, 1))
    np.testing.assert_array_equal(result, np.clip(exact, -(2**31), 2**31 - 1).astype(np.int32))


def test_saturating_needs_integers():
    with pytest.raises(TypeError, match="saturate needs a result of integers"):
        fc.conv2d(np.ones((8, 8)), np.ones((3, 3)), saturate=True)
    with pytest.raises(TypeError, match="saturate needs a result of integers"):
        fc.conv2d(np.ones((8, 8), np.uint8), np.ones((3, 3)) * 1j, saturate=True)
    with pytest.raises(TypeError, match="saturate=True"):
        fc.conv2d(np.ones((8, 8)), np.ones((3, 3)), out=np.empty((6, 6), np.uint8))


@pytest.mark.parametrize("name", [*EXACT_KERNELS, "box"])
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_saturating_results_are_those_of_opencv(name, dtype, rng):
    cv2 = pytest.importorskip("cv2")
    photo = numbers(rng, (60, 75, 3), dtype)
    kernel = EXACT_KERNELS.get(name, np.ones((7, 7)) / 49)
    expected = cv2.filter2D(photo, -1, kernel.astype("float32"), borderType=cv2.BORDER_REFLECT_101)
    result = fc.conv2d(photo, kernel, padding="same", padding_mode="reflect", channels_last=True, saturate=True)
    most = 1 if name == "box" or (name == "large" and dtype == "int16") else 0
    assert np.abs(result.astype(int) - expected).max() <= most


# Channels, filters, size and options of images that register tiles read and write with their channels last.
SIDE_BY_SIDE = [
    (3, 1, (9, 40), {}),
    (3, 2, (20, 300), {}),
    (3, 3, (33, 61), {"padding_mode": "reflect"}),
    (4, 4, (12, 530), {"stride": (2, 1)}),
    (3, 5, (7, 33), {"dilation": 2}),
    (2, 8, (21, 64), {"activation": "relu"}),
    (5, 16, (6, 20), {"padding_mode": "circular"}),
    (3, 32, (11, 300), {"activation": "relu6"}),
    (3, 32, (11, 37), {"activation": "tanh"}),
    (3, 48, (5, 19), {"padding": 0}),
    (6, 64, (9, 25), {"groups": 2}),
    (6, 8, (9, 25), {"groups": 2}),
    (70, 9, (8, 50), {}),
    (70, 32, (8, 50), {"padding": 0}),
    (1, 6, (8, 50), {}),
    (3, 7, (8, 5), {}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("channels", "filters", "size", "options"), SIDE_BY_SIDE)
def test_tiles_of_images_with_channels_last(channels, filters, size, options, dtype, rng):
    options = {"padding": 1, "algorithm": "direct"} | options
    image = rng.standard_normal((2, *size, channels)).astype(dtype)
    weight = rng.standard_normal((filters, channels // options.get("groups", 1), 3, 3)).astype(dtype)
    bias = rng.standard_normal(filters).astype(dtype)
    expected = last(fc.conv2d(first(image, 2), weight, bias, **options), 2)
    for threads in (1, 2):
        result = fc.conv2d(image, weight, bias, channels_last=True, threads=threads, **options)
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(fc.FilterBank(weight, bias, channels_last=True, **options)(image), expected)
    wide = np.zeros((2, *size, 2 * channels), dtype)
    wide[..., channels:] = image
    out = np.full((*expected.shape[:-1], filters + 3), 7, dtype)
    fc.conv2d(wide[..., channels:], weight, bias, channels_last=True, out=out[..., 1:-2], **options)
    np.testing.assert_array_equal(out[..., 1:-2], expected)
    assert (out[..., :1] == 7).all()
    assert (out[..., -2:] == 7).all()


@pytest.mark.parametrize("filters", [1, 2, 3, 4, 7, 8, 16, 32])
def test_large_maps_side_by_side(filters, rng):
    columns = 701
    image = rng.standard_normal((2**22 // (columns * filters) // 4 * 4 // 3 + 3, columns, 3)).astype("float32")
    weight = rng.standard_normal((filters, 3, 3, 3)).astype("float32")
    expected = last(fc.conv2d(first(image, 2), weight, padding=1, algorithm="direct"), 2)
    options = {"padding": 1, "algorithm": "direct", "channels_last": True}
    np.testing.assert_array_equal(fc.conv2d(image, weight, **options), expected)
    for offset in (0, 1, 4, 8):  # numbers: of alignment
        room = np.zeros(expected.size + 32, "float32")
        start = -room.ctypes.data % 64 // 4 + offset
        out = room[start : start + expected.size].reshape(expected.shape)
        fc.conv2d(image, weight, out=out, **options)
        np.testing.assert_array_equal(out, expected)
        assert not room[:start].any()
        assert not room[start + expected.size :].any()
