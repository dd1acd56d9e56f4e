"""Sequential strip by strip: the same bits as bank by bank, and no whole map in memory between banks."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ACTIVATIONS, PADDING_MODES, an_int_or_one_per_axis, paddings, values

import fastconv as fc
from fastconv import _fuse


def stages_of(banks, image):
    """The banks as stages, or None if one of them cannot be one."""
    stages, shape = [], image.shape
    for bank in banks:
        stage = bank._stage(shape, image.dtype)
        if stage is None:
            return None
        stages.append(stage)
        shape = stage.problem.output_shape
    return stages


def fused(banks, image, rows, columns=None):
    """The banks strip by strip, whether that is faster or not; None if it cannot be."""
    stages = stages_of(banks, image)
    if stages is None:
        return None
    axis = _fuse.strip_axis(stages)
    step = stages[-1].layout.step[axis]
    if columns is not None and axis == 1:
        tile = stages[-1].layout.step[2]
        columns = -(-columns // tile) * tile
    else:
        columns = None
    made = _fuse.Fused(stages, axis, -(-rows // step) * step, columns)
    return None if made.workspace is None else made


def one_by_one(banks, image):
    for bank in banks:
        image = bank(image)
    return image


def same_bits(one, other):
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def bank_of(rng, *shape, dtype="f4", **options):
    return fc.FilterBank(values(rng, shape, dtype), values(rng, shape[:1], dtype), **{"padding": "same", **options})


@st.composite
def stacks(draw, axes):
    """Banks in a row, and an image that they fit."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    channels = draw(st.sampled_from([1, 2, 3, 8, 20]))
    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    sizes = {1: [300], 2: [40, 70], 3: [12, 14, 20]}[axes]
    shape = (*lead, channels, *(draw(st.integers(size // 2, size)) for size in sizes))
    image, banks = values(rng, shape, dtype), []
    for _ in range(draw(st.integers(2, 4))):
        groups = draw(st.sampled_from([1, 1, 1, channels]))
        filters = groups * draw(st.integers(1, 3)) if groups > 1 else draw(st.sampled_from([1, 2, 3, 8, 17]))
        kernel = draw(st.one_of(st.just((3,) * axes), st.tuples(*[st.integers(1, 7 - axes)] * axes)))
        rank_one = draw(st.booleans())
        weight = values(rng, (filters, channels // groups, *kernel), dtype)
        if rank_one:
            weight[...] = math.prod(np.ix_(*(values(rng, n, dtype) for n in kernel)))
        activation = draw(st.sampled_from([None, *ACTIVATIONS, "prelu"]))
        options = {
            "stride": draw(an_int_or_one_per_axis(2, axes)),
            "padding": draw(st.one_of(st.just("same"), paddings(axes))),
            "dilation": draw(an_int_or_one_per_axis(2, axes)),
            "groups": groups,
            "padding_mode": draw(st.sampled_from(["zeros", *PADDING_MODES])),
            "flip": draw(st.booleans()),
            "activation": ("prelu", values(rng, filters, dtype)) if activation == "prelu" else activation,
            "precision": draw(st.sampled_from(["default", "default", "highest"])),
        }
        bank = fc.FilterBank(weight, values(rng, filters, dtype) if draw(st.booleans()) else None, **options)
        try:
            shape = bank.output_shape(shape)
        except ValueError:
            break
        banks.append(bank)
        channels = filters
    if draw(st.booleans()):
        image.reshape(-1)[rng.integers(0, image.size, 3)] = [np.nan, np.inf, -np.inf]
    return banks, image


def check_stack(drawn, rows, threads, columns=None):
    banks, image = drawn
    row = fused(banks, image, rows, columns) if banks else None
    if row is not None:
        with np.errstate(all="ignore"):
            assert same_bits(row.run(image, None, threads), one_by_one(banks, image)), banks


@settings(max_examples=150, deadline=None)
@given(stacks(2), st.sampled_from([1, 2, 4, 8, 12]), st.sampled_from([1, 3]), st.sampled_from([None, None, 8, 20]))
def test_strips_and_tiles_of_images_have_the_bits_of_bank_by_bank(drawn, rows, threads, columns):
    check_stack(drawn, rows, threads, columns)


@settings(max_examples=60, deadline=None)
@given(stacks(1), st.sampled_from([4, 16, 52]), st.sampled_from([1, 3]))
def test_strips_of_signals_have_the_bits_of_bank_by_bank(drawn, rows, threads):
    check_stack(drawn, rows, threads)


@settings(max_examples=60, deadline=None)
@given(stacks(3), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]))
def test_strips_of_volumes_have_the_bits_of_bank_by_bank(drawn, rows, threads):
    check_stack(drawn, rows, threads)


# The algorithms that strips are computed by, on images with ends that do not fall together with tiles


def gaussian(**options):
    return fc.FilterBank(fc.filters.gaussian(9, sigma=1.5).astype("f4")[None, None], **{"padding": "same", **options})


def winograd(rng, **options):
    return [bank_of(rng, 32, 3, 3, 3, **options), bank_of(rng, 48, 32, 3, 3, **options), bank_of(rng, 16, 48, 5, 5)]


ROWS = {
    "winograd": winograd,
    "sweeps": lambda rng, **options: [bank_of(rng, 1, 1, 5, 5, **options) for _ in range(3)],
    "passes": lambda _, **options: [gaussian(**options), gaussian(), gaussian(**options)],
    "a block of MobileNet": lambda rng, **options: [
        bank_of(rng, 48, 16, 1, 1, activation="relu6"),
        bank_of(rng, 48, 1, 3, 3, groups=48, stride=2, **options),
        bank_of(rng, 24, 48, 1, 1),
    ],
    "wide filters": lambda rng, **options: [bank_of(rng, 8, 1, 5, 5, **options), bank_of(rng, 1, 8, 3, 3, **options)],
}


@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("name", ROWS)
def test_every_algorithm_has_the_bits_of_bank_by_bank(name, mode, nan, rng):
    banks = ROWS[name](rng, padding_mode=mode)
    image = values(rng, (2, banks[0].in_channels, 61, 83), "f4")
    if nan:
        image[:, 0, 30, 40], image[:, 0, 8, 82] = np.nan, -np.inf
    expected = one_by_one(banks, image)
    for rows, threads, columns in ((4, 1, None), (12, 2, None), (24, 1, None), (61, 1, None), (8, 3, 20), (24, 1, 44)):
        made = fused(banks, image, rows, columns)
        assert made is not None or (columns is not None and mode != "zeros")
        assert made is None or same_bits(made.run(image, None, threads), expected)


def test_the_algorithms_are_those_of_bank_by_bank(rng):
    names = {
        name: {
            stage.layout.name for stage in stages_of(row(rng), values(rng, (row(rng)[0].in_channels, 400, 512), "f4"))
        }
        for name, row in ROWS.items()
    }
    assert "winograd" in names["winograd"]
    assert names["passes"] == {"separable"}
    assert names["sweeps"] == {"direct"}


# Sequential


def large_stack(rng):
    return [bank_of(rng, 16, 3, 3, 3, activation="relu"), bank_of(rng, 16, 16, 3, 3), bank_of(rng, 3, 16, 3, 3)]


def is_fused(stack, image):
    return [None if made is None else made.count for made, _ in stack._divide(image.shape, image.dtype)]


def test_a_sequence_with_large_maps_runs_strip_by_strip(rng):
    banks, image = large_stack(rng), values(rng, (3, 300, 400), "f4")
    stack = fc.Sequential(*banks)
    assert is_fused(stack, image) == [3]
    for threads in (1, 2, 5):
        assert same_bits(stack(image, threads=threads), one_by_one(banks, image))
    assert is_fused(fc.Sequential(banks[0], fc.Sequential(*banks[1:])), image) == [3]


def test_a_sequence_with_small_maps_runs_bank_by_bank(rng):
    banks = [bank_of(rng, 64, 64, 3, 3), bank_of(rng, 64, 64, 3, 3)]
    for size in (28, 56):
        assert is_fused(fc.Sequential(*banks), values(rng, (64, size, size), "f4")) == [None]


def test_what_strips_cannot_do_lies_between_banks_that_they_can(rng):
    banks = large_stack(rng)
    up = fc.TransposedFilterBank(values(rng, (3, 3, 2, 2), "f4"), stride=2)
    value = bank_of(rng, 3, 3, 3, 3, padding_value=1.0)
    stack = fc.Sequential(*banks, value, up, *banks)
    image = values(rng, (3, 300, 200), "f4")
    assert is_fused(stack, image) == [3, None]
    expected = one_by_one([*banks, value, up, *banks], image)
    out = np.empty_like(expected)
    assert same_bits(stack(image), expected)
    assert stack(image, out=out) is out
    assert same_bits(out, expected)


def test_the_same_bank_at_several_places(rng):
    up, bank = fc.TransposedFilterBank(values(rng, (3, 3, 2, 2), "f4"), stride=2), bank_of(rng, 3, 3, 3, 3)
    for banks in ([bank, up, bank], [bank, bank, up, bank, bank, bank]):
        image = values(rng, (3, 300, 310), "f4")
        expected = one_by_one(banks, image)
        out = np.empty_like(expected)
        assert fc.Sequential(*banks)(image, out=out) is out
        assert same_bits(out, expected)


@pytest.mark.parametrize("dtype", ["u1", "i8", "f2", ">f4", "f8"])
def test_images_of_other_dtypes_take_the_banks_one_by_one_or_not(dtype, rng):
    banks, image = large_stack(rng), values(rng, (3, 150, 200), dtype)
    assert same_bits(fc.Sequential(*banks)(image), one_by_one(banks, image))


def test_images_of_any_strides(rng):
    banks, image = large_stack(rng), values(rng, (300, 3, 401), "f4")
    for view in (image.swapaxes(0, 1), image.swapaxes(0, 1)[:, ::-1, 1:], image.swapaxes(0, 1)[::-1, ::2]):
        assert same_bits(fc.Sequential(*banks)(view), one_by_one(banks, view))


@pytest.mark.parametrize("lead", [(), (3,), (2, 2), (0,)])
def test_batches(lead, rng):
    banks, image = large_stack(rng), values(rng, (*lead, 3, 150, 200), "f4")
    for threads in (1, 4):
        assert same_bits(fc.Sequential(*banks)(image, threads=threads), one_by_one(banks, image))


def test_a_gray_image_without_an_axis_of_channels(rng):
    banks, image = [bank_of(rng, 8, 1, 5, 5), bank_of(rng, 1, 8, 5, 5)], values(rng, (300, 400), "f4")
    stack = fc.Sequential(*banks)
    assert is_fused(stack, image) == [2]
    assert same_bits(stack(image), one_by_one(banks, image))


# out


@pytest.mark.parametrize("size", [20, 300])
def test_out_takes_the_result(size, rng):
    banks, image = large_stack(rng), values(rng, (3, size, size), "f4")
    stack, expected = fc.Sequential(*banks), one_by_one(banks, image)
    wide = np.zeros((3, size, size + 7), np.float32)
    for out in (np.empty_like(expected), np.empty(expected.shape, np.float64), wide[..., 3:-4]):
        assert stack(image, out=out) is out
        assert np.array_equal(out, expected)
    assert not wide[..., :3].any()
    assert not wide[..., -4:].any()
    copy = image.copy()
    assert stack(copy, out=copy) is copy  # which overlaps the image
    assert np.array_equal(copy, expected)
    memory = np.concatenate([image.reshape(-1), np.zeros(1000, np.float32)])
    shifted = memory[1000:].reshape(image.shape)
    assert np.array_equal(stack(memory[:-1000].reshape(image.shape), out=shifted), expected)


def test_out_of_a_sequence_that_ends_in_another_one(rng):
    banks, image = large_stack(rng), values(rng, (3, 20, 20), "f4")
    out = np.empty((3, 20, 20), np.float32)
    assert fc.Sequential(banks[0], fc.Sequential(*banks[1:]))(image, out=out) is out
    assert np.array_equal(out, one_by_one(banks, image))


@pytest.mark.parametrize("size", [20, 300])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda out: out[:, 1:], ValueError),
        (lambda out: out.astype("i4"), TypeError),
        (lambda out: np.broadcast_to(out[:1], out.shape), ValueError),
        (list, TypeError),
    ],
)
def test_out_that_is_refused_is_refused_as_by_a_bank(size, change, error, rng):
    banks, image = large_stack(rng), values(rng, (3, size, size), "f4")
    out = change(np.zeros((3, size, size), np.float32))
    with pytest.raises(error, match=r"^out") as refused:
        banks[-1](one_by_one(banks[:-1], image), out=out)
    with pytest.raises(error, match=r"^out") as also:
        fc.Sequential(*banks)(image, out=out)
    assert str(also.value) == str(refused.value)
    assert not np.any(out)


# Memory


def test_no_map_between_banks_is_in_memory(rng):
    stack, image = fc.Sequential(*large_stack(rng)), values(rng, (3, 500, 1000), "f4")  # maps of 32 MB
    stack(image)
    tracemalloc.start()
    result = stack(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - result.nbytes < 1e5
    ((made, _),) = stack._divide(image.shape, image.dtype)
    assert made.workspace < 8e6


def test_wide_rows_are_cut_into_tiles(rng):
    banks = [bank_of(rng, 32, 3, 3, 3, dilation=2), bank_of(rng, 16, 32, 3, 3), bank_of(rng, 1, 16, 5, 5)]
    image = values(rng, (2, 3, 40, 2345), "f4")
    image[:, 1, 7, [0, 700, 2344]] = np.inf
    expected, stages = one_by_one(banks, image), stages_of(banks, image)
    rows, columns = next(_fuse.tile_sizes(stages, axis=1))
    assert columns < 2345
    made = _fuse.Fused(stages, 1, rows, columns)
    assert made.workspace < 4e6
    for threads in (1, 3):
        assert same_bits(made.run(image, None, threads), expected)


def test_rows_too_wide_for_the_cache_take_the_banks_one_by_one(rng):
    mode = {"padding_mode": "reflect"}  # whose columns tiles cannot tell from the others
    banks, image = [bank_of(rng, 64, 1, 3, 3), bank_of(rng, 1, 64, 3, 3, **mode)], values(rng, (1, 20, 9000), "f4")
    assert is_fused(fc.Sequential(*banks), image) == [None]
    assert same_bits(fc.Sequential(*banks)(image), one_by_one(banks, image))
