"""Arrays as they come: any strides and byte order, read-only, empty, from DLPack; `out`; and how much memory a call takes."""

import array
import itertools
import re
import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from reference import convolve
from strategies import CONV, values

import fastconv as fc
from fastconv import _blocks

LAYOUTS = {
    "contiguous": lambda a: a,
    "fortran": np.asfortranarray,
    "reversed": lambda a: np.ascontiguousarray(a[..., ::-1, ::-1])[..., ::-1, ::-1],
    "reversed channels": lambda a: np.ascontiguousarray(np.flip(a, 1))[:, ::-1],
    "every other column": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "every third row": lambda a: np.repeat(a, 3, -2)[..., ::3, :],
    "channels last": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1),
    "transposed maps": lambda a: np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2),
    "cut out of a larger array": lambda a: np.pad(a, 3)[3:-3, 3:-3, 3:-3, 3:-3],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "byte-swapped and strided": lambda a: np.repeat(a.astype(a.dtype.newbyteorder()), 2, -1)[..., ::2],
    "read-only": lambda a: read_only(a.copy()),
    "unaligned": lambda a: unaligned(a),
    "field of a record": lambda a: field_of_a_record(a),
}
DTYPES = ["f4", "f8", "f2", "c8", "u1", "i2", "i8", "?"]
BFLOAT16 = ml_dtypes.bfloat16


def read_only(a):
    a.flags.writeable = False
    return a


def unaligned(a):
    """The same values one byte past an aligned address."""
    buffer = np.zeros(a.nbytes + 1, np.uint8)
    moved = buffer[1:].view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


def field_of_a_record(a):
    records = np.zeros(a.shape, [("tag", "u1"), ("pixel", a.dtype)])
    records["pixel"] = a
    return records["pixel"]


def layout_params():
    return pytest.mark.parametrize("layout", [*LAYOUTS.values()], ids=[name.replace(" ", "-") for name in LAYOUTS])


# Inputs and weights in every layout


@pytest.mark.parametrize("dtype", DTYPES)
@layout_params()
def test_input_may_have_any_layout(layout, dtype, rng):
    image, weight = values(rng, (2, 3, 9, 21), dtype), values(rng, (4, 3, 3, 2), dtype)
    for options in ({"padding": 1}, {"padding": 2, "padding_mode": "reflect", "stride": 2}):
        result = fc.conv2d(layout(image), weight, **options)
        assert np.array_equal(result, fc.conv2d(image, weight, **options))
        assert result.flags.c_contiguous
        assert result.dtype.isnative


@pytest.mark.parametrize("dtype", DTYPES)
@layout_params()
def test_weight_may_have_any_layout(layout, dtype, rng):
    image, weight = values(rng, (2, 3, 9, 21), dtype), values(rng, (4, 3, 3, 2), dtype)
    assert np.array_equal(fc.conv2d(image, layout(weight), padding=1), fc.conv2d(image, weight, padding=1))


@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "options"),
    [
        (20, 50, (3, 3), {"algorithm": "winograd", "padding": 1}),
        (3, 9, (3, 3), {"algorithm": "winograd"}),  # tiles in the lanes
        (17, 33, (7, 5), {"algorithm": "winograd", "stride": 2}),  # kernels in parts
        (24, 26, (3, 1), {"algorithm": "winograd", "groups": 2}),
        (40, 70, (3, 3), {"algorithm": "direct", "padding": 1}),
        (70, 40, (1, 1), {"algorithm": "direct"}),
        (40, 32, (3, 3), {"algorithm": "direct", "padding": 9, "dilation": 9}),  # position by position
    ],
    ids=str,
)
@pytest.mark.parametrize("flip", [False, True])
def test_weights_are_packed_from_where_they_lie(channels, filters, kernel, options, flip, rng):
    image = values(rng, (channels, 12, 13), "f4")
    weight = values(rng, (filters, channels // options.get("groups", 1), *kernel), "f4")
    call, bank = fc.conv2d(image, weight, **options), fc.FilterBank(weight, **options)(image)
    if flip:
        weight = np.ascontiguousarray(weight[..., ::-1, ::-1])
    exchanged = np.ascontiguousarray(weight.swapaxes(0, 1)).swapaxes(0, 1)
    kernels_outermost = np.moveaxis(np.ascontiguousarray(np.moveaxis(weight, (2, 3), (0, 1))), (0, 1), (2, 3))
    for same in (exchanged, kernels_outermost, *(layout(weight) for layout in LAYOUTS.values())):
        assert np.array_equal(fc.conv2d(image, same, flip=flip, **options), call)
        assert np.array_equal(fc.FilterBank(same, flip=flip, **options)(image), bank)


def test_bias_may_have_any_layout(rng):
    image, weight, bias = values(rng, (3, 9, 9), "f4"), values(rng, (4, 3, 3, 3), "f4"), values(rng, 4, "f4")
    expected = fc.conv2d(image, weight, bias)
    for same in (np.repeat(bias, 2)[::2], bias[::-1].copy()[::-1], bias.astype(">f4"), read_only(bias.copy())):
        assert np.array_equal(fc.conv2d(image, weight, same), expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("filters", [1, 16])
def test_rows_that_lie_in_one_place_or_backwards(filters, stride, rng):
    """Strips of several rows follow one another, whatever the step from row to row."""
    row, weight = values(rng, (3, 1, 20), "f4"), values(rng, (filters, 3, 3, 3), "f4")
    for image in (
        np.broadcast_to(row, (3, 200, 20)),
        values(rng, (3, 200, 20), "f4")[:, ::-1],
        np.ones((3, 200, 0), "f4"),
    ):
        found, expected = (
            fc.conv2d(array, weight, stride=stride, padding=2, algorithm="direct") for array in (image, image.copy())
        )
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
def test_one_pixel_repeated_by_zero_strides(padding_mode, rng):
    row, weight = values(rng, 20, "f4"), values(rng, (4, 3, 3, 3), "f4")
    for image in (np.broadcast_to(row, (2, 3, 9, 20)), np.broadcast_to(np.float32(0.5), (2, 3, 9, 20))):
        result = fc.conv2d(image, weight, padding=1, padding_mode=padding_mode)
        assert np.array_equal(result, fc.conv2d(image.copy(), weight, padding=1, padding_mode=padding_mode))


def test_windows_that_overlap_in_memory(rng):
    image, weight = values(rng, (1, 30, 31), "f4"), values(rng, (4, 1, 3, 3), "f4")
    tiles = sliding_window_view(image, (8, 9), axis=(1, 2))[0, ::5, ::4, None]  # (5, 6, 1, 8, 9)
    assert np.array_equal(fc.conv2d(tiles, weight), fc.conv2d(tiles.copy(), weight))


def test_leading_axes_need_not_merge_into_one(rng):
    images, weight = values(rng, (4, 6, 3, 8, 9), "f4"), values(rng, (2, 3, 3, 3), "f4")
    for view in (images[::2, ::3], images[:, ::-1], images.swapaxes(0, 1), images[1:3, 1:4]):
        assert np.array_equal(fc.conv2d(view, weight), fc.conv2d(view.copy(), weight))


def test_planes_of_a_channels_last_image_under_one_kernel(rng):
    image, kernel = values(rng, (20, 21, 3), "u1"), values(rng, (3, 3), "i1")
    planes = np.moveaxis(image, -1, 0)
    assert np.array_equal(fc.conv2d(planes, kernel), convolve(planes, kernel))


def test_a_negative_stride_reaches_before_the_first_pixel(rng):
    image, kernel = values(rng, (20, 21), "f4"), values(rng, (3, 3), "f4")
    assert np.array_equal(fc.conv2d(image[::-2, ::-3], kernel), fc.conv2d(image[::-2, ::-3].copy(), kernel))


def test_no_pixel_outside_the_view_is_read(rng):
    """NaN all around a view: any that leaked in, even times zero, would show."""
    whole, weight = np.full((4, 5, 30, 60), np.nan, np.float32), values(rng, (3, 3, 3, 3), "f4")
    view = whole[1:3, 1:4, 5:25, 7:50]
    view[...] = values(rng, view.shape, "f4")
    for options in ({}, {"padding": 1}, {"padding": 2, "padding_mode": "symmetric"}, {"stride": 2, "dilation": 2}):
        assert np.array_equal(fc.conv2d(view, weight, **options), fc.conv2d(view.copy(), weight, **options))


@pytest.mark.parametrize("name", ["every other column", "byte-swapped", "fortran", "unaligned"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 7, "padding_mode": "reflect"},
        {"padding": (30, 50), "padding_mode": "circular", "stride": (3, 2)},
        {"padding": "same", "dilation": (9, 40), "stride": 2},
        {"padding": ((0, 9), (30, 0)), "padding_mode": "symmetric", "dilation": 5},
    ],
)
@pytest.mark.parametrize("shape", [(3, 2, 500, 700), (2, 2, 3, 70000), (40, 2, 90, 80)])
def test_large_arrays_of_any_layout(shape, options, name, rng):
    """Arrays so large that they cannot be converted as a whole."""
    image, weight = values(rng, shape, "f4"), values(rng, (2, 2, 3, 3), "f4")
    assert np.array_equal(fc.conv2d(LAYOUTS[name](image), weight, **options), fc.conv2d(image, weight, **options))


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate"])
@pytest.mark.parametrize("axes", [1, 3])
def test_large_signals_and_volumes_of_any_layout(axes, padding_mode, rng):
    image = values(rng, {1: (2, 3, 300000), 3: (2, 3, 40, 50, 60)}[axes], "f4")
    weight = values(rng, (2, 3, *(5,) * axes), "f4")
    options = {"padding": "same", "padding_mode": padding_mode, "dilation": 2}
    expected = CONV[axes](image, weight, **options)
    for view in (image.astype(">f4"), np.repeat(image, 2, -1)[..., ::2]):
        assert np.array_equal(CONV[axes](view, weight, **options), expected)


def test_lists_and_numbers_are_arrays():
    result = fc.conv1d([1, 2, 3, 4], [1, 0, -1])
    assert result.tolist() == [-2, -2]
    assert result.dtype == np.int64
    assert fc.conv2d([[1.0, 2.0], [3.0, 4.0]], [[1.0]]).dtype == np.float64
    assert fc.conv1d(range(5), (1, 1)).tolist() == [1, 3, 5, 7]


def test_lists_of_arrays_are_stacked(rng):
    images, kernel = values(rng, (2, 3, 9, 9), "f4"), values(rng, (3, 3), "f4")
    expected = fc.conv2d(images, kernel)
    for same in (
        [*images],
        [[*image] for image in images],
        tuple(map(OnlyDLPack, images)),
    ):
        result = fc.conv2d(same, kernel)
        assert np.array_equal(result, expected)
    assert fc.conv1d([np.float32(1), np.float32(2)], [np.float32(1)]).dtype == np.float32


def test_buffers_are_arrays():
    for buffer in (array.array("h", [1, 2, 4]), memoryview(np.array([1, 2, 4], np.int16)), bytearray([1, 2, 4])):
        assert fc.conv1d(buffer, [-1, 1]).tolist() == [1, 2]


def test_a_matrix_is_an_image(rng):
    image, kernel = values(rng, (9, 9), "f4"), values(rng, (3, 3), "f4")
    result = fc.conv2d(image.view(np.matrix), kernel.view(np.matrix))
    assert type(result) is np.ndarray
    assert np.array_equal(result, fc.conv2d(image, kernel))


def test_subclasses_of_arrays_give_plain_arrays(rng):
    image = values(rng, (9, 9), "f4").view(np.recarray)
    assert type(fc.conv2d(image, np.ones((3, 3), np.float32))) is np.ndarray


def test_memory_maps(rng, tmp_path):
    image, kernel = values(rng, (9, 9), "f4"), np.ones((3, 3), np.float32)
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    assert np.array_equal(fc.conv2d(mapped, kernel), fc.conv2d(image, kernel))


# Nothing at all


@pytest.mark.parametrize("batch", [(0,), (3, 0), (0, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_empty_batch_gives_an_empty_batch(batch, dtype):
    result = fc.conv2d(np.zeros((*batch, 3, 8, 9), dtype), np.ones((4, 3, 3, 3), dtype), padding=1)
    assert result.shape == (*batch, 4, 8, 9)
    full = fc.conv2d(np.zeros((2, 3, 8, 9), dtype), np.ones((4, 3, 3, 3), dtype), padding=1)
    assert result.dtype == full.dtype


def test_an_empty_batch_of_planes():
    assert fc.conv2d(np.zeros((0, 8, 9)), np.ones((3, 3))).shape == (0, 6, 7)


def test_an_empty_batch_may_be_written_to_out():
    out = np.zeros((0, 4, 6, 7), np.float32)
    assert fc.conv2d(np.zeros((0, 3, 8, 9), np.float32), np.ones((4, 3, 3, 3), np.float32), out=out) is out


def test_an_image_without_pixels_and_zero_padding():
    """Zero padding alone makes an image of zeros; the other modes have no pixel to copy."""
    empty = np.zeros((0, 5), np.float32)
    assert np.array_equal(fc.conv2d(empty, np.ones((3, 3), np.float32), padding=2), np.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"^(input|padding_mode).*\(0, 5\)"):
        fc.conv2d(empty, np.ones((3, 3), np.float32), padding=2, padding_mode="reflect")


# out


@layout_params()
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "i4"])
def test_out_may_have_any_layout(layout, dtype, rng):
    image, weight = values(rng, (2, 3, 9, 21), "f4"), values(rng, (4, 3, 3, 2), "f4")
    if dtype == "i4":
        image, weight = values(rng, (2, 3, 9, 21), "u1"), values(rng, (4, 3, 3, 2), "i1")
    expected = fc.conv2d(image, weight, padding=1)
    out = layout(np.zeros(expected.shape, dtype))
    if not out.flags.writeable:
        with pytest.raises(ValueError, match=r"^out.*read-only"):
            fc.conv2d(image, weight, padding=1, out=out)
        assert not out.any()
        return
    assert fc.conv2d(image, weight, padding=1, out=out) is out
    assert np.array_equal(out, expected.astype(dtype))


def test_out_leaves_the_gaps_between_its_pixels(rng):
    image, weight = values(rng, (3, 9, 21), "f4"), values(rng, (4, 3, 3, 3), "f4")
    whole = np.full((6, 11, 50), 7, np.float32)
    out = whole[1:5, 2:9, 3:41:2]
    fc.conv2d(image, weight, out=out)
    assert np.array_equal(out, fc.conv2d(image, weight))
    out[...] = 7
    assert (whole == 7).all()


@pytest.mark.parametrize(
    ("image", "weight", "out"),
    [
        ("f4", "f4", "f2"),
        ("f8", "f8", "f4"),
        ("f4", "f4", "f8"),
        ("f4", "f4", "c16"),
        ("u1", "i1", "f8"),
        ("u1", "i1", BFLOAT16),
        ("f8", "f8", BFLOAT16),
        (BFLOAT16, BFLOAT16, "f2"),
        (BFLOAT16, BFLOAT16, "f4"),
        (BFLOAT16, BFLOAT16, "c8"),
    ],
)
def test_out_is_cast_to_the_same_kind(image, weight, out, rng):
    image, weight = values(rng, (3, 9, 21), image), values(rng, (4, 3, 3, 3), weight)
    result = np.zeros((4, 7, 19), out)
    fc.conv2d(image, weight, out=result)
    exact = fc.conv2d(image, weight) if image.dtype != BFLOAT16 else fc.conv2d(image.astype("f4"), weight.astype("f4"))
    assert np.array_equal(result, exact.astype(out))


def test_out_of_smaller_integers_holds_sums_that_fit(rng):
    image, weight = values(rng, (9, 21), "u1"), np.array([[1, -1], [0, 1]], np.int8)
    out = np.zeros((8, 20), np.int16)
    fc.conv2d(image, weight, out=out)
    assert np.array_equal(out, fc.conv2d(image, weight))


def test_out_of_smaller_integers_is_refused_when_a_sum_does_not_fit():
    out = np.full((7, 7), 7, np.int16)
    with pytest.raises(ValueError, match=r"^(input|out).*int16"):
        fc.conv2d(np.full((9, 9), 255, np.uint8), np.full((3, 3), 127, np.int8), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("image", "out"),
    [
        ("f4", "i4"),
        ("f4", "?"),
        ("c8", "f4"),
        ("i2", "u4"),
        ("u1", "u1"),
        ("f4", "M8[s]"),
        ("c8", BFLOAT16),
        ("c16", BFLOAT16),
        (BFLOAT16, "i8"),
        ("f4", ml_dtypes.float8_e5m2),
    ],
)
def test_out_of_another_kind_is_refused(image, out, rng):
    image, weight = values(rng, (3, 9, 21), image), values(rng, (4, 3, 3, 3), image)
    result = np.ones((4, 7, 19), out)
    before = result.copy()
    with pytest.raises(TypeError, match=r"^out.*" + re.escape(str(result.dtype))):
        fc.conv2d(image, weight, out=result)
    assert (result == before).all()


@pytest.mark.parametrize("shape", [(7, 19), (4, 7, 18), (4, 7, 20), (1, 4, 7, 19), (3, 7, 19), (4, 7, 0), ()])
def test_out_of_another_shape_is_refused(shape, rng):
    image, weight = values(rng, (3, 9, 21), "f4"), values(rng, (4, 3, 3, 3), "f4")
    out = np.full(shape, 7, np.float32)
    with pytest.raises(ValueError, match=r"^out.*\(4, 7, 19\)"):
        fc.conv2d(image, weight, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("out", [[[0.0] * 19] * 7, "out", 3.0, np.float32(3)])
def test_out_that_is_no_array_is_refused(out, rng):
    with pytest.raises(TypeError, match=r"^out"):
        fc.conv2d(values(rng, (9, 21), "f4"), values(rng, (3, 3), "f4"), out=out)


def test_out_whose_pixels_share_memory_is_refused(rng):
    image, weight = values(rng, (9, 21), "f4"), values(rng, (3, 3), "f4")
    memory = np.full(100, 7, np.float32)
    with pytest.raises(ValueError, match=r"^out"):
        fc.conv2d(image, weight, out=as_strided(memory, (7, 19), (4, 4)))
    with pytest.raises(ValueError, match=r"^out"):
        fc.conv2d(image, weight, out=as_strided(memory, (7, 19), (0, 4)))
    assert (memory == 7).all()


@pytest.mark.parametrize(
    "wrong",
    [{"stride": 0}, {"padding": -1}, {"groups": 2}, {"bias": [1.0, 2.0]}, {"activation": "no"}, {"dilation": 99}],
)
def test_out_is_untouched_when_arguments_are_refused(wrong, rng):
    out = np.full((4, 7, 19), 7, np.float32)
    with pytest.raises((ValueError, TypeError)):
        fc.conv2d(values(rng, (3, 9, 21), "f4"), values(rng, (4, 3, 3, 3), "f4"), out=out, **wrong)
    assert (out == 7).all()


def test_out_is_untouched_when_a_sum_would_not_fit():
    image, out = np.full((9, 9), 2**62), np.full((7, 7), 7)
    with pytest.raises(ValueError, match=r"^input"):
        fc.conv2d(image, np.full((3, 3), 2), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
@pytest.mark.parametrize("shift", [-5, -1, 0, 1, 5])
def test_out_may_overlap_the_input(shift, dtype, rng):
    kernel = values(rng, (3, 3), dtype)
    memory = values(rng, 40 * 41 + 10, dtype)
    image = memory[5 : 5 + 40 * 41].reshape(40, 41)
    out = memory[5 + shift : 5 + shift + 40 * 41].reshape(40, 41)
    expected = fc.conv2d(image.copy(), kernel, padding=1)
    fc.conv2d(image, kernel, padding=1, out=out)
    assert np.array_equal(out, expected)


@pytest.mark.parametrize(("dtype", "wider"), [("f2", "f4"), ("f4", "f8"), ("u1", "f8")])
def test_values_in_out_do_not_depend_on_overlap(dtype, wider, rng):
    image, kernel = values(rng, (20, 20), dtype), values(rng, (3, 3), dtype)
    apart, out = np.zeros((20, 20), wider), np.zeros((20, 20), wider)
    fc.conv2d(image, kernel, padding=1, out=apart)
    overlapping = out.view(dtype)[:, :20]
    overlapping[...] = image
    fc.conv2d(overlapping, kernel, padding=1, out=out)
    assert np.array_equal(out, apart)


def test_out_may_be_the_input(rng):
    image, weight = values(rng, (2, 3, 20, 21), "f4"), values(rng, (3, 3, 3, 3), "f4")
    expected = fc.conv2d(image, weight, padding=1)
    assert fc.conv2d(image, weight, padding=1, out=image) is image
    assert np.array_equal(image, expected)


def test_out_may_be_the_input_turned_round(rng):
    image, kernel = values(rng, (20, 20), "f4"), values(rng, (3, 3), "f4")
    for turn in (np.transpose, np.flipud, np.rot90):
        turned = image.copy()
        fc.conv2d(turned, kernel, padding=1, out=turn(turned))
        assert np.array_equal(turn(turned), fc.conv2d(image, kernel, padding=1))


def test_out_may_overlap_the_weight_or_the_bias(rng):
    image, weight, bias = values(rng, (2, 6, 6), "f4"), values(rng, (4, 2, 3, 3), "f4"), values(rng, 4, "f4")
    expected = fc.conv2d(image, weight, bias, stride=3)  # (4, 2, 2)
    overlapping = weight.copy()
    fc.conv2d(image, overlapping, bias, stride=3, out=overlapping.reshape(-1)[:16].reshape(4, 2, 2))
    assert np.array_equal(overlapping.reshape(-1)[:16].reshape(4, 2, 2), expected)
    memory = np.concatenate([bias, np.zeros(12, np.float32)])
    fc.conv2d(image, weight, memory[:4], stride=3, out=memory.reshape(4, 2, 2))
    assert np.array_equal(memory.reshape(4, 2, 2), expected)


# Arrays of other libraries


def test_torch_tensors_are_inputs_and_weights(rng):
    torch = pytest.importorskip("torch")
    image, weight, bias = values(rng, (2, 3, 8, 9), "f4"), values(rng, (4, 3, 3, 3), "f4"), values(rng, 4, "f4")
    result = fc.conv2d(torch.from_numpy(image), torch.from_numpy(weight), torch.from_numpy(bias))
    assert type(result) is np.ndarray
    assert np.array_equal(result, fc.conv2d(image, weight, bias))


@pytest.mark.parametrize("which", ["input", "weight", "bias"])
def test_a_tensor_that_requires_grad_is_refused(which, rng):
    torch = pytest.importorskip("torch")
    arrays = {
        "input": values(rng, (1, 8, 9), "f4"),
        "weight": values(rng, (1, 1, 3, 3), "f4"),
        "bias": np.ones(1, "f4"),
    }
    arrays[which] = torch.from_numpy(arrays[which]).requires_grad_()
    with pytest.raises(TypeError, match=f"^{which}.*(grad|detach)"):
        fc.conv2d(**arrays)


class OnlyDLPack:
    """An array known by the DLPack protocol alone."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def test_any_object_with_dlpack_is_an_array(rng):
    image, weight = values(rng, (3, 8, 9), "f4"), values(rng, (4, 3, 3, 3), "f4")
    assert np.array_equal(fc.conv2d(OnlyDLPack(image), OnlyDLPack(weight)), fc.conv2d(image, weight))


def test_bfloat16_tensors_of_torch_are_read_by_their_bits(rng):
    torch = pytest.importorskip("torch")
    image, weight = torch.randn(3, 8, 9).bfloat16(), torch.randn(4, 3, 3, 3).bfloat16()
    result = fc.conv2d(image, weight)
    assert result.dtype == BFLOAT16
    exact = fc.conv2d(image.float(), weight.float())
    assert np.array_equal(result, exact.astype(BFLOAT16))
    for same in (image.mT.contiguous().mT, torch.stack([image, image], -1)[..., 1], [*image], image.detach()):
        assert np.array_equal(fc.conv2d(same, weight), result)
    assert fc.conv2d(image[0], weight[0, 0], torch.tensor(0.5).bfloat16()).dtype == BFLOAT16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda torch: torch.ones(3, 3).bfloat16().requires_grad_(), "detach"),
        (lambda torch: torch.nn.Parameter(torch.ones(3, 3).bfloat16()), "detach"),
        (lambda torch: torch.ones(3, 3, dtype=torch.complex64).conj(), "resolve_conj"),
        (lambda torch: torch.ones(3, 3, dtype=torch.complex64).conj().imag, "resolve_neg"),
        (lambda torch: torch.ones(3, 3).to_sparse(), "to_dense"),
        (lambda torch: torch.ones(3, 3, device="meta"), "meta"),
        (lambda torch: torch.ones(3, 3).to(torch.float8_e5m2), "(F|f)loat8_e5m2"),
        (lambda torch: [torch.ones(3).requires_grad_()], "detach"),
    ],
)
def test_other_tensors_of_torch_are_refused_with_advice(make, message):
    tensor = make(pytest.importorskip("torch"))
    for which in ("input", "weight"):
        with pytest.raises(TypeError, match=f"^{which} must be an array.*{message}"):
            fc.conv2d(**({"input": np.ones((3, 3)), "weight": np.ones((1, 1))} | {which: tensor}))


class BFloat16:
    """A dtype that NumPy has never heard of."""

    def __repr__(self):
        return "library.bfloat16"


int16 = "an int16 of this module, which plays the library"


class Tensor:
    """A tensor of bfloat16 that can view its bits as an array of integers, as those of MLX do."""

    dtype = BFloat16()

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        raise ValueError("no such dtype")

    def view(self, dtype):
        assert dtype is int16
        return self._array.view(np.int16)


def test_bfloat16_tensors_of_other_libraries_are_read_by_their_bits(rng):
    image, kernel = values(rng, (9, 9), BFLOAT16), values(rng, (3, 3), BFLOAT16)
    assert np.array_equal(fc.conv2d(Tensor(image), Tensor(kernel)), fc.conv2d(image, kernel))


def test_without_ml_dtypes_bfloat16_tensors_are_refused_by_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError, match=r"^input.*install.*ml_dtypes|^input.*ml_dtypes.*install"):
        fc.conv2d(Tensor(np.ones((9, 9), np.int16)), np.ones((3, 3)))


def test_bfloat16_tensors_that_cannot_be_viewed_are_refused():
    class Other(Tensor):
        dtype = type("bfloat16", (), {"__module__": "builtins", "__repr__": lambda self: "bfloat16"})()

    with pytest.raises(TypeError, match=r"^input.*bfloat16.*float32"):
        fc.conv2d(Other(np.ones((9, 9), BFLOAT16)), np.ones((3, 3)))


# Masks: what they hide would be added up


class Masked:
    """An object with a mask beside its data."""

    def __init__(self, data, mask, **attributes):
        self._data, self.mask = data, mask
        vars(self).update(attributes)

    def __array__(self, dtype=None, copy=None):
        return self._data


class MaskedSubclass(np.ndarray):
    mask = np.array([True, False])


def some_mask(array):
    mask = np.zeros(array.shape, bool)
    mask.flat[0] = True
    return mask


class BecomesMasked:
    """An object whose mask shows when it becomes an array."""

    mask = True  # whether to make one, as variables of netCDF4 say

    def __init__(self, data, mask):
        self._data, self._mask = data, mask

    def __array__(self, dtype=None, copy=None):
        return np.ma.array(self._data, mask=self._mask)


def lazy(array):
    return Masked(array, None, _meta=np.ma.array(np.empty(0)))


def masked_by_dask(array):
    return pytest.importorskip("dask.array").from_array(np.ma.array(array, mask=some_mask(array)))


def masked_by_astropy(array):
    return pytest.importorskip("astropy.utils.masked").Masked(array, mask=some_mask(array))


def masked_quantity(array):
    units = pytest.importorskip("astropy.units")
    return pytest.importorskip("astropy.utils.masked").Masked(array * units.m, mask=some_mask(array))


def ccd_data(array):
    return pytest.importorskip("astropy.nddata").CCDData(array, mask=some_mask(array), unit="adu")


MASKED = {
    "MaskedArray": lambda a: np.ma.array(a, mask=some_mask(a)),
    "duck": lambda a: Masked(a, some_mask(a)),
    "flags": lambda a: Masked(a, some_mask(a).astype(int).tolist()),
    "subclass": lambda a: a.view(MaskedSubclass),
    "becomes-masked": lambda a: BecomesMasked(a, some_mask(a)),
    "lazy": lazy,
    "dask": masked_by_dask,
    "astropy": masked_by_astropy,
    "quantity": masked_quantity,
    "CCDData": ccd_data,
}


@pytest.mark.parametrize("masked", [*MASKED.values()], ids=[*MASKED])
@pytest.mark.parametrize("nest", [lambda a: a, lambda a: [a], lambda a: ([a], [a])], ids=["itself", "list", "nested"])
@pytest.mark.parametrize("which", ["input", "weight", "bias"])
def test_what_has_a_mask_is_refused(which, nest, masked):
    arrays = {"input": np.ones((1, 8, 9)), "weight": np.ones((1, 1, 3, 3)), "bias": np.ones(1)}
    arrays[which] = nest(masked(arrays[which]))
    if which == "input" and isinstance(arrays[which], np.ma.MaskedArray):
        return  # what it hides is missing: see test_missing.py
    with pytest.raises(TypeError, match=f"^{which} must be an array.*mask.*fill"):
        fc.conv2d(**arrays)


def test_a_masked_number_in_a_list_is_refused():
    with pytest.raises(TypeError, match=r"^input.*mask.*fill"):
        fc.conv1d([1.0, np.ma.masked, 3.0], [1.0])


def test_banks_refuse_masks_too():
    masked = MASKED["MaskedArray"](np.ones((1, 1, 3, 3)))
    with pytest.raises(TypeError, match=r"^weight.*mask.*fill"):
        fc.FilterBank(masked)
    with pytest.raises(TypeError, match=r"^kernels.*mask.*fill"):
        fc.FilterBank.from_kernels([masked[0, 0]])
    with pytest.raises(TypeError, match=r"^input.*mask.*fill"):
        fc.FilterBank(np.ones((1, 1, 3, 3)))(MASKED["duck"](np.ones((8, 9))))


@pytest.mark.parametrize(
    "complete",
    [
        lambda a: Masked(a, None),
        lambda a: Masked(a, np.ma.nomask),
        lambda a: Masked(a, np.zeros(a.shape, bool)),
        lambda a: Masked(a, lambda condition: None),  # a method, as pandas has
        lambda a: Masked(a, SimpleNamespace(some="thing else")),
        lambda a: BecomesMasked(a, np.zeros(a.shape, bool)),
        lambda a: pytest.importorskip("astropy.utils.masked").Masked(a),
        lambda a: pytest.importorskip("astropy.nddata").CCDData(a, unit="adu"),
    ],
)
def test_a_mask_that_hides_nothing_does_no_harm(complete, rng):
    image, kernel = values(rng, (8, 9), "f4"), values(rng, (3, 3), "f4")
    for given in (complete(image), [complete(image)]):
        result = fc.conv2d(given, complete(kernel))
        assert type(result) is np.ndarray
        assert np.array_equal(result.reshape(6, 7), fc.conv2d(image, kernel))


@pytest.mark.parametrize("mask", [False, True])
def test_results_are_not_written_into_masked_arrays(mask):
    out = np.ma.array(np.zeros((6, 7)), mask=mask)
    with pytest.raises(TypeError, match=r"^out must be an ndarray.*MaskedArray"):
        fc.conv2d(np.ones((8, 9)), np.ones((3, 3)), out=out)
    with pytest.raises(TypeError, match=r"^out must be an ndarray"):
        fc.conv2d(np.ones((8, 9)), np.ones((3, 3)), out=np.zeros((6, 7)).view(MaskedSubclass))


# Palettes


class Paletted:
    """A stand-in for an image of Pillow's."""

    def __init__(self, mode):
        self.mode = mode

    def getpalette(self):
        return None

    def __array__(self, dtype=None, copy=None):
        return np.ones((8, 9), np.uint8)


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_places_in_a_palette_are_no_pixels(mode):
    for image in (Paletted(mode), [Paletted(mode)]):
        with pytest.raises(TypeError, match=r"^input.*palette.*convert\('RGB'\)"):
            fc.conv2d(image, np.ones((3, 3)))
    assert fc.conv2d(Paletted("L"), np.ones((3, 3))).shape == (6, 7)


def test_palette_images_of_pillow_are_refused():
    image = pytest.importorskip("PIL.Image").new("RGB", (9, 8))
    assert fc.conv2d(image.convert("L"), np.ones((3, 3))).shape == (6, 7)
    with pytest.raises(TypeError, match=r"^input.*palette"):
        fc.conv2d(image.convert("P"), np.ones((3, 3)))


def test_no_library_is_imported_to_look_at_objects():
    program = (
        "import sys, numpy as np, fastconv as fc\n"
        "for image in ([[1.0, 2.0]], np.ma.array([[1.0, 2.0]]), memoryview(np.ones((1, 2)))): fc.conv2d(image, [[1.0]])\n"
        "print(*{'torch', 'dask', 'astropy', 'PIL', 'ml_dtypes'} & sys.modules.keys())"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split() == []
    )


# Memory


@pytest.mark.parametrize(
    ("dtype", "view", "options"),
    [
        ("f4", None, {}),
        ("f4", None, {"padding_mode": "reflect"}),
        ("f4", None, {"padding_mode": "circular", "stride": 2}),
        ("f4", None, {"dilation": 3, "activation": "silu"}),
        ("f4", lambda a: a[..., ::2, ::2], {}),
        ("f4", lambda a: a[:, ::-1, ::-1, ::-1], {}),
        ("f4", lambda a: np.moveaxis(a, 1, -1).copy(), {}),
        ("f8", None, {}),
        ("f2", None, {}),
        ("f2", None, {"padding_mode": "symmetric"}),
        (">f4", None, {}),
        (">f4", None, {"padding_mode": "replicate"}),
        (">i2", None, {}),
        ("u1", None, {}),
        ("u1", None, {"padding_mode": "reflect"}),
        ("i8", None, {}),
        ("c8", None, {}),
    ],
)
def test_a_call_needs_little_more_than_its_output(dtype, view, options):
    image = np.ones((2, 8, 1000, 1000), dtype)  # 16 to 128 MB
    if view is not None:
        image = view(image)
        image = np.moveaxis(image, -1, 1) if image.shape[-1] == 8 else image
    weight = np.ones((2, 8, 3, 3), dtype)
    fc.conv2d(image[:1, :, :8, :8], weight)  # whatever is made once and kept
    tracemalloc.start()
    result = fc.conv2d(image, weight, padding=1, **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - result.nbytes < 8e6


@pytest.mark.parametrize("weight", [(8, 3, 3, 3), (3, 1, 7, 7), (8, 3, 1, 1), (5, 3, 5, 31), (40, 3, 3, 3)])
@pytest.mark.parametrize("options", [{"padding": "same"}, {"stride": 2, "padding": 1, "padding_mode": "reflect"}])
def test_images_that_are_converted_whole_or_in_parts(weight, options, rng, monkeypatch):
    weight = values(rng, weight, "f4")
    image = np.moveaxis(values(rng, (2, 300, 350, 3), "f4"), -1, 1)
    options = {**options, "groups": 3 // weight.shape[1]}
    contiguous = fc.conv2d(np.ascontiguousarray(image), weight, **options)
    for converted in (_blocks.CONVERTED_BYTES, 3 * 300 * 350 * 4, 0):  # all images, one, parts of one
        monkeypatch.setattr(_blocks, "CONVERTED_BYTES", converted)
        result = fc.conv2d(image, weight, **options)
        np.testing.assert_allclose(result, contiguous, rtol=0, atol=2e-6 * np.abs(contiguous).max())


# Image, weight and the block that it passes through, of register tiles with pixels in the lanes; its last vectors are cut off.
NARROW = [
    ((channels, 7, 2 * width + rest + 2), (5, channels, 3, 3), (1, 3, width))
    for channels, width in itertools.product([2, 80], [5, 9, 17])  # of one chunk of taps, or of two
    for rest in {1, 3, width - 2}
]
NARROW += [((4, 2 * rows + rest, 1), (5, 4, 1, 1), (1, rows, 1)) for rows in [5, 9, 17] for rest in [1, 3]]
NARROW += [((4, 5 * rows + 1, 3), (5, 4, 1, 1), (1, rows, 3)) for rows in [2, 3, 6]]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("image", "weight", "block"), NARROW)
def test_the_last_block_may_be_narrower_than_a_vector(image, weight, block, dtype, rng, monkeypatch):
    monkeypatch.setattr(_blocks, "CONVERTED_BYTES", 0)
    monkeypatch.setattr(_blocks, "_block_size", lambda layout, together: (1, block))
    image, weight, bias = (values(rng, shape, dtype) for shape in (image, weight, weight[:1]))
    options = {"bias": bias, "activation": "relu", "algorithm": "direct"}
    expected = np.maximum(convolve(image, weight, bias), 0)
    result = np.full((len(expected) + 2, *expected.shape[1:]), 7, dtype)  # with a map before and behind
    fc.conv2d(np.repeat(image, 2, -1)[..., ::2], weight, **options, out=result[1:-1], threads=1)
    assert (result[[0, -1]] == 7).all()
    np.testing.assert_allclose(result[1:-1], expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(result[1:-1], fc.conv2d(image, weight, **options))


def test_writing_to_out_needs_no_second_output():
    image, weight = np.ones((1, 8, 1000, 1000), np.float32), np.ones((2, 8, 3, 3), np.float32)
    for out in (np.zeros((1, 2, 998, 998), np.float32), np.zeros((1, 2, 998, 998), np.float16)):
        tracemalloc.start()
        fc.conv2d(image, weight, out=out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8e6


def test_a_call_leaves_no_memory_behind(rng):
    image, weight = values(rng, (3, 100, 100), "f4"), values(rng, (8, 3, 3, 3), "f4")
    tracemalloc.start()
    for _ in range(3):
        fc.conv2d(image, weight, padding=1)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(20):
        fc.conv2d(image, weight, padding=1)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 1e5
