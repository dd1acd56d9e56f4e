"""Sweeps over arrays of any dtype, padded and converted block by block in the core, against the definition."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problem_table import use_isa
from reference import convolve
from strategies import PADDING_MODES

import fastconv as fc
from fastconv import _blocks, _core
from fastconv.algorithms import separable

DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "float16", "bfloat16", "float32", "float64"]


@pytest.fixture
def blocks(monkeypatch):
    """In how many passes the core did it, call by call; 0 if it did not."""
    done: list[int] = []

    def spied(*arguments: Any) -> bool:
        is_done = sweep(*arguments)
        done.append(len(arguments[9]) if is_done else 0)
        return is_done

    sweep = _core.sweep_blocks
    monkeypatch.setattr(_core, "sweep_blocks", spied)
    return done


@pytest.fixture(params=_core.available_isas())
def isa(request):
    before, _ = _core.current_isa()
    use_isa(request.param)
    yield request.param
    use_isa(before)


@pytest.fixture(params=["direct", "separable"])
def passes(request, monkeypatch):
    """How many passes there are: kernels of rank 1 need two where these cost nothing."""
    costs = {"MIN_BUDGET": 0, "COLUMN_PRODUCT": 0, "ROW_PRODUCT": 0, "SUM": 0, "CALL_OVERHEAD": 0}
    for name, cost in costs.items() if request.param == "separable" else ():
        monkeypatch.setattr(separable, name, cost)
    use_isa(_core.current_isa()[0])  # plans of other tests are forgotten
    yield {"direct": 1, "separable": 2}[request.param]
    use_isa(_core.current_isa()[0])


def small_integers(rng, shape, dtype):
    """Integers whose sums every floating-point number of 32 bits holds."""
    low = 0 if np.dtype(dtype).kind == "u" else -100
    return rng.integers(low, 101, shape).astype(dtype)


def saturated(sums, dtype):
    limits = np.iinfo(dtype)
    return np.clip(np.rint(sums), limits.min, limits.max).astype(dtype)


def reference(image, weight, dtype, **options):
    """The definition for an image with channels last, each for itself."""
    sums = convolve(np.moveaxis(image, -1, 0).astype(float), weight.astype(float), **options)
    return saturated(np.moveaxis(sums, 0, -1), dtype)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 1), (13, 17), (40, 130)], ids=str)
def test_photographs_of_every_size(size, channels, mode, rng, isa, blocks):
    photo = small_integers(rng, (*size, channels), "uint8")
    for kernel, padding in (((3, 3), 1), ((5, 1), (2, 0)), ((2, 4), (1, 2))):
        if mode in ("reflect", "symmetric", "circular") and min(size) < 3:
            padding = tuple(min(pad, n - 1) for pad, n in zip(np.broadcast_to(padding, 2).tolist(), size, strict=True))
            kernel = tuple(
                min(k, n + 2 * pad) for k, n, pad in zip(kernel, size, np.broadcast_to(padding, 2), strict=True)
            )
            if kernel == (1, 1):
                continue
        weight = rng.integers(-3, 4, kernel).astype(np.float32)
        options: dict[str, Any] = {"padding": padding, "padding_mode": mode}
        result = fc.conv2d(photo, weight, channels_last=True, saturate=True, **options)
        np.testing.assert_array_equal(result, reference(photo, weight, "uint8", **options))
    assert all(blocks) or min(size) == 1


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_blocks_side_by_side_and_below_each_other(channels, passes, mode, rng, isa, blocks, monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_COLUMNS", 48)
    monkeypatch.setattr(_blocks, "SWEPT_BYTES", 1)
    photo = small_integers(rng, (53, 131, channels), "uint8")
    weight = np.outer([1, 2, -1, 1, 0], [1, 0, 3, -2, 1]).astype(np.float32)
    options: dict[str, Any] = {"padding": 2, "padding_mode": mode}
    result = fc.conv2d(photo, weight, channels_last=True, saturate=True, **options)
    np.testing.assert_array_equal(result, reference(photo, weight, "uint8", **options))
    assert blocks == [passes]


@settings(max_examples=60)
@given(
    st.sampled_from(DTYPES),
    st.sampled_from(DTYPES),
    st.sampled_from(PADDING_MODES),
    st.tuples(*[st.integers(1, 3)] * 4),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.integers(0, 2**32),
)
def test_any_dtypes_strides_and_groups(source, target, mode, steps, counts, seed):
    rng = np.random.default_rng(seed)
    dtypes = [np.dtype(getattr(ml_dtypes, name, None) or name) for name in (source, target)]
    groups, filters = counts
    image = small_integers(rng, (2, groups, *rng.integers(7, 90, 2)), np.uint8).astype(dtypes[0])
    weight = rng.integers(-3, 4, (groups * filters, 1, *rng.integers(1, 4, 2))).astype(np.float32)
    bias = rng.integers(-9, 9, groups * filters).astype(np.float32)
    options: dict[str, Any] = {"stride": steps[:2], "dilation": steps[2:], "padding": 2, "padding_mode": mode}
    sums = convolve(image.astype(float), weight.astype(float), bias.astype(float), groups=groups, **options)
    out = np.zeros((*sums.shape[:-1], sums.shape[-1] + 3), dtypes[1])[..., 1:-2]
    expected = saturated(sums, dtypes[1]) if dtypes[1].kind in "iu" else sums.astype(dtypes[1])
    result = fc.conv2d(image, weight, bias, groups=groups, out=out, saturate=dtypes[1].kind in "iu", **options)
    np.testing.assert_array_equal(result.astype(float), expected.astype(float))
    assert not out.base[..., 0].any()
    assert not out.base[..., -2:].any()


@pytest.mark.parametrize(
    "view",
    [
        lambda photo: photo[::-1],
        lambda photo: photo[::2, 3:-4],
        lambda photo: photo[:, ::-1],
        lambda photo: photo[:, ::2],
        lambda photo: photo[..., 1:],
        lambda photo: photo[..., ::-1],
        lambda photo: np.broadcast_to(photo[:1], photo.shape),
        lambda photo: photo.swapaxes(0, 1),
        lambda photo: photo.astype(">i2"),
    ],
)
def test_views_of_a_photograph(view, rng, isa):
    photo = view(small_integers(rng, (37, 61, 4), "uint8"))
    weight = rng.integers(-3, 4, (3, 3)).astype(np.float32)
    options: dict[str, Any] = {"padding": 1, "padding_mode": "reflect"}
    result = fc.conv2d(photo, weight, channels_last=True, saturate=True, **options)
    np.testing.assert_array_equal(result, reference(photo, weight, photo.dtype, **options))
    out = np.zeros((2, *photo.shape), photo.dtype)[1, ::-1]
    fc.conv2d(photo, weight, channels_last=True, saturate=True, out=out, **options)
    np.testing.assert_array_equal(out, result)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "uint8", "uint16"])
def test_results_are_those_of_floats_rounded_once(passes, dtype, rng, isa):
    kind: Any = getattr(ml_dtypes, dtype, None) or dtype
    image = (rng.standard_normal((3, 45, 150)) * 50 + 100).astype(kind)
    weight = np.outer(rng.standard_normal(5), rng.standard_normal(3)).astype(np.float32)
    if dtype != "float64":
        weight = weight.astype(kind if dtype in ("float16", "bfloat16") else np.float32)
    options: dict[str, Any] = {"padding": 1, "padding_mode": "circular", "activation": "relu"}
    wide = np.float64 if dtype == "float64" else np.float32
    sums = fc.conv2d(image.astype(wide), weight.astype(wide), **options)
    result = fc.conv2d(image, weight, saturate=dtype.startswith("u"), **options)
    expected = saturated(sums, dtype) if dtype.startswith("u") else sums.astype(kind)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("target", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_numbers_at_the_limits_and_ties(target, isa):
    limits = np.iinfo(target)
    around = [np.float64(x) + d for x in (limits.min, limits.max, 0) for d in (-1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2.5)]
    numbers = np.array([*around, 2.0**31, -(2.0**31), 2.0**63, 1e30, -1e30, np.inf, -np.inf, np.nan] * 3, np.float32)
    for count in (numbers.size, 40, 17, 16, 15, 8, 3, 1):
        image = numbers[:count]
        result = np.zeros(count, target)
        fc.conv1d(image, np.array([1.0, 0.0], np.float32)[:1], saturate=True, out=result)
        exact = [0 if np.isnan(x) else int(np.clip(np.rint(np.float64(x)), -(2.0**70), 2.0**70)) for x in image]
        np.testing.assert_array_equal(result, np.array([min(max(x, limits.min), limits.max) for x in exact], target))


def test_threads_change_nothing(passes, rng, blocks):
    photo = rng.integers(0, 256, (301, 411, 3), np.uint8)
    weight = (np.outer(rng.random(3), rng.random(3)) / 4).astype(np.float32)
    options: dict[str, Any] = {"padding": "same", "padding_mode": "reflect", "channels_last": True, "saturate": True}
    one = fc.conv2d(photo, weight, threads=1, **options)
    np.testing.assert_array_equal(fc.conv2d(photo, weight, threads=3, **options), one)
    assert blocks == [passes] * 2


def test_instruction_sets_change_nothing(rng):
    photo = rng.integers(0, 256, (61, 211, 3), np.uint8)
    before, _ = _core.current_isa()
    results = []
    for name in _core.available_isas():
        if name != "baseline":
            use_isa(name)
            weight = np.random.default_rng(1).random((5, 5), np.float32) / 12
            results.append(fc.conv2d(photo, weight, padding=2, channels_last=True, saturate=True))
    use_isa(before)
    assert all(np.array_equal(result, results[0]) for result in results)


@pytest.mark.parametrize("mode", ["constant", ("reflect", "circular"), ("zeros", "replicate")])
def test_values_and_modes_of_each_axis(mode, rng, blocks):
    photo = small_integers(rng, (19, 70, 3), "uint8")
    weight = rng.integers(-3, 4, (3, 5)).astype(np.float32)
    options: dict[str, Any] = {"padding": 2, "padding_mode": mode}
    if mode == "constant":
        options["padding_value"] = 7.5
    result = fc.conv2d(photo, weight, channels_last=True, saturate=True, **options)
    np.testing.assert_array_equal(result, reference(photo, weight, "uint8", **options))
    assert blocks == [1]


def test_blocks_of_tall_kernels_have_room_for_their_sums(passes, rng, blocks):
    image = small_integers(rng, (1, 400, 2000), "float16") % 2
    bank = np.ones((1, 1, 127, 3), np.float32)
    bank[..., 0, 0] = 3 - passes  # not of rank 1 for one pass
    result = fc.FilterBank(bank, padding="same", algorithm="direct" if passes == 1 else "auto")(image)
    assert blocks[-1] == passes
    assert np.array_equal(
        result, fc.conv2d(image.astype(np.float64), bank, padding="same", algorithm="direct").astype(np.float16)
    )
