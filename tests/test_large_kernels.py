"""Large kernels: transforms of blocks and, for kernels of rank 1, two passes, against the definition and against direct summation."""

import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problem_table import Case, convolve_tap_by_tap, use_isa
from strategies import ACTIVATIONS, FLOATS, PADDING_MODES, Problem, assert_agrees, problems, values

import fastconv as fc
from fastconv import _check, _core, _lengths, conv
from fastconv.algorithms import fft, separable

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}  # of the largest sum
all_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)

# Several blocks along every axis, several groups and channels, ends that fall into the middle of a block.
LARGE = [
    Case((2, 1, 200, 250), (1, 1, 31, 31), {"padding": 15}),
    Case((2, 3, 200, 333), (5, 3, 15, 21), {"padding": "same", "padding_mode": "reflect", "activation": "silu"}),
    Case((1, 4, 150, 190), (6, 2, 25, 13), {"padding": "full", "groups": 2, "padding_mode": "circular", "flip": True}),
    Case((2, 6, 90, 400), (6, 1, 19, 23), {"groups": 6, "padding": 9, "stride": (2, 3)}),
    Case((1, 2, 300, 250), (3, 2, 9, 7), {"dilation": (5, 6), "padding": ((40, 3), (0, 70)), "padding_mode": "symmetric"}),
    Case((1, 2, 40, 300), (3, 2, 1, 101), {"padding": "same"}),
    Case((1, 2, 40, 300), (3, 2, 1, 101), {"padding": 50, "stride": (3, 2)}),
    Case((1, 2, 900, 30), (2, 2, 65, 1), {"padding": "same", "padding_mode": "replicate"}),
    Case((2, 2, 30000), (3, 2, 256), {"stride": 3}),
    Case((1, 1, 50000), (1, 1, 1000), {"padding": "same"}),
    Case((1, 2, 40, 50, 60), (2, 2, 7, 9, 11), {"padding": 3, "padding_mode": "reflect"}),
]  # fmt: skip
GRAY = Case((1, 1, 300, 410), (1, 1, 31, 31), {"padding": 15})


def kernels_of_rank_1(shape: Any, dtype: Any, rng: Any) -> Any:
    """A bank (K, 1, ..., kh, kw), in float64 before it is rounded."""
    *banks, kh, kw = shape
    return (rng.standard_normal((*banks, kh, 1)) * rng.standard_normal((*banks, 1, kw))).astype(dtype)


def plan_of(image: Any, weight: Any, **options: Any) -> Any:
    """The plan for arrays of these shapes."""
    axes, dtypes = len(weight) - 2, (np.dtype(np.float32), np.dtype(np.float32))
    chosen = _check.options(axes, _check.Options(**options))
    return _lengths.plan_for(axes, image, weight, None, dtypes, chosen)


# Transforms


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=60)
def test_transforms_agree_with_the_definition(axes, data):
    problem = data.draw(problems(axes, FLOATS, activations=(None, *ACTIVATIONS)))
    assert_agrees(problem.result(algorithm="fft"), problem)


@all_dtypes
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_errors_of_transforms_are_small(case, dtype):
    arrays = case.draw(dtype, integers=False)
    result = case.convolve(arrays, algorithm="fft")
    assert result.dtype == dtype
    expected = case.expected(arrays)
    largest = case.largest_sum(arrays) if case.options.get("activation") else abs(expected).max()
    assert abs(result - expected).max() <= TOLERANCE[dtype] * largest


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_transforms_give_the_same_bits_for_every_batch_and_number_of_threads(case):
    images, *rest = case.draw(np.float32, integers=False)
    alone = case.convolve((images, *rest), algorithm="fft", threads=1)
    assert np.array_equal(case.convolve((images, *rest), algorithm="fft", threads=3), alone)
    for image, maps in zip(images, alone, strict=True):
        assert np.array_equal(case.convolve((image[np.newaxis], *rest), algorithm="fft"), maps[np.newaxis])


@pytest.mark.parametrize("dark", [1, 2**-9, 2**-40])  # transforms in double precision, and direct summation
@all_dtypes
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_transforms_give_the_same_bits_wherever_there_is_fma(case, dtype, dark):
    image, weight, bias = case.draw(dtype, integers=False)
    image[..., : image.shape[-1] // 2] *= dtype(dark)
    arrays = image, weight, bias
    expected, largest = case.expected(arrays), case.largest_sum(arrays)
    before, _ = _core.current_isa()
    maps = {}
    try:
        for isa in _core.available_isas():
            use_isa(isa)
            maps[isa] = case.convolve(arrays, algorithm="fft")
    finally:
        use_isa(before)
    assert {isa for isa in maps if not abs(maps[isa] - expected).max() <= TOLERANCE[dtype] * largest} == set()
    first, *others = (maps[isa] for isa in maps if isa != "baseline")
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_nan_and_infinity_reach_the_outputs_that_see_them_and_no_others(case, value):
    image, weight, bias = case.draw(np.float32, integers=False)
    rng = np.random.default_rng(7)
    image[(0, *(rng.integers(n) for n in image.shape[1:]))] = value
    for algorithm in ("fft", "auto"):
        result, expected = (case.convolve((image, weight, bias), algorithm=a) for a in (algorithm, "direct"))
        assert_equal_where_not_finite(result, expected)


@pytest.mark.parametrize("row", [0, 33, 97, 98, 113, 128, 225, 299])
def test_poisoned_pixels_at_the_borders_of_blocks(row):
    image, weight, _ = GRAY.draw(np.float32, integers=False)
    for column in (0, 97, 98, 240, 340, 409):
        poisoned = image.copy()
        poisoned[..., row, column] = np.nan
        result, expected = (GRAY.convolve((poisoned, weight, None), algorithm=a) for a in ("fft", "direct"))
        assert_equal_where_not_finite(result, expected)


def assert_equal_where_not_finite(result: Any, expected: Any) -> None:
    finite = np.isfinite(expected)
    assert finite.any()
    np.testing.assert_array_equal(result[~finite], expected[~finite])
    assert abs(result[finite] - expected[finite]).max() <= 1e-5 * abs(expected[finite]).max()


def test_weights_that_are_not_finite():
    image, weight, bias = LARGE[1].draw(np.float32, integers=False)
    weight[2, 1, 3, 4], weight[3, 0, 0, 0] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        result, expected = (LARGE[1].convolve((image, weight, bias), algorithm=a) for a in ("fft", "direct"))
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(expected))
    np.testing.assert_array_equal(result[:, 2:4], expected[:, 2:4])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_and_see_padding_alone(value, rng):
    volume, weight = rng.random((1, 2, 9, 10), np.float32), rng.random((1, 5, 3, 5), np.float32)
    weight[0, :2, 1, 1] = value
    assert np.isnan(fc.conv3d(volume, weight, padding=(4, 1, 2), stride=(9, 1, 1), algorithm="fft")).all()
    result = fc.conv3d(volume, weight[:, 1:2], padding=(1, 1, 2), algorithm="fft")
    assert np.isnan(result[0]).all()
    assert not np.isfinite(result).any()


@pytest.mark.parametrize(("pixels", "weights"), [(3e38, 1e-4), (1e36, 1), (1e20, 1e16), (1e-20, 1e-10)])
def test_transforms_that_overflow_are_left_to_direct_summation(pixels, weights):
    image, weight, _ = GRAY.draw(np.float32, integers=False)
    image, weight = np.sign(image) * np.float32(pixels), weight * np.float32(weights)
    result, expected = (GRAY.convolve((image, weight, None), algorithm=a) for a in ("fft", "direct"))
    assert np.isfinite(expected).all()
    assert abs(result.astype(float) - expected).max() <= 4e-6 * abs(expected).max()


def test_outputs_that_overflow_are_infinite():
    image = np.ones((100, 120), np.float32)
    image[50, 60] = 3e38
    kernel = np.full((21, 21), 2, np.float32)
    result, expected = (fc.conv2d(image, kernel, algorithm=a) for a in ("fft", "direct"))
    np.testing.assert_array_equal(np.isinf(result), np.isinf(expected))


@pytest.mark.parametrize("dtype", ["f4", "f2", ">f4"])
def test_transforms_take_any_layout(dtype):
    case = LARGE[1]
    image, weight, bias = case.draw(dtype, integers=False)
    expected = case.convolve((np.ascontiguousarray(image), weight, bias), algorithm="fft")
    strided = np.repeat(image, 2, -1)[..., ::2]
    assert np.array_equal(case.convolve((strided, weight, bias), algorithm="fft"), expected)
    assert np.array_equal(case.convolve((np.asfortranarray(image), weight, bias), algorithm="fft"), expected)
    out = np.full((*expected.shape, 2), 7, expected.dtype)
    case.convolve((image, weight, bias), algorithm="fft", out=out[..., 0])
    assert np.array_equal(out[..., 0], expected)
    assert (out[..., 1] == 7).all()


def test_scipy_is_not_imported():
    program = """
import sys
import numpy as np
import fastconv as fc
fc.conv2d(np.ones((64, 64)), np.ones((9, 9)), algorithm="fft")
print("scipy" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("False\n", "")


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.bool_, np.complex64, np.complex128])
def test_transforms_are_refused_where_they_cannot(dtype):
    image, kernel = np.ones((40, 40), dtype), np.ones((9, 9), dtype)
    with pytest.raises(ValueError, match=r"^algorithm 'fft' cannot .*float32 or float64"):
        fc.conv2d(image, kernel, algorithm="fft")


def test_transforms_are_refused_for_kernels_without_end():
    with pytest.raises(ValueError, match=r"^algorithm 'fft' cannot .*span less than 2\*\*31 pixels"):
        fc.FilterBank(np.ones((1, 1, 2, 3), np.float32), dilation=(2**40, 1), algorithm="fft")


# Two passes


@all_dtypes
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((2, 1, 130, 257), (1, 1, 31, 31), {}),
        ((1, 3, 150, 140), (6, 1, 15, 33), {"groups": 3, "activation": "silu"}),
        ((1, 1, 200, 151), (2, 1, 21, 17), {"stride": (2, 3), "padding": ((5, 20), (0, 16))}),
        ((1, 1, 150, 201), (1, 1, 11, 13), {"dilation": (3, 2), "flip": True, "activation": "relu6"}),
        ((1, 2, 2100, 40), (2, 1, 9, 31), {"groups": 2}),
        ((2, 2, 5, 150, 130), (4, 1, 1, 13, 15), {"groups": 2, "stride": (2, 1, 1)}),
    ],
)
def test_kernels_of_rank_1_take_two_passes(image, weight, options, padding_mode, dtype):
    case = Case(image, weight, {"padding": "same", "padding_mode": padding_mode, **options})
    image, weight, bias = case.draw(dtype, integers=False)
    weight = kernels_of_rank_1(weight.shape, dtype, np.random.default_rng(3))
    bank = fc.FilterBank(weight, bias, **case.options)
    result = bank(image)
    assert [type(packed[1]) for packed in bank._packed.values()] == [separable.Factors]
    arrays = image, weight, bias
    assert abs(result - case.expected(arrays)).max() <= TOLERANCE[dtype] * case.largest_sum(arrays)
    assert np.array_equal(bank(image, threads=3), result)
    strided, out = np.repeat(image, 2, -1)[..., ::2], np.zeros((*result.shape, 2), dtype)
    assert np.array_equal(bank(strided, out=out[..., 0]), result)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_nan_and_infinity_in_two_passes(padding_mode, value):
    image = np.random.default_rng(5).standard_normal((1, 300, 200)).astype(np.float32)
    image[0, 2, 3] = image[0, 120, 130] = image[0, 125, 120] = image[0, -1, 90] = value
    image[0, 122, 125] = np.inf
    rows = np.float32([1, -2, 0, 0.5, 3, 1, 1, -1, 2, 0, 1])
    weight = np.stack([np.outer(rows, abs(rows)), np.outer(abs(rows), abs(rows)), np.outer(rows, rows[::-1])])
    options = {"padding": 5, "padding_mode": padding_mode}
    passes, direct = (fc.FilterBank(weight[:, np.newaxis], **options, algorithm=a) for a in ("auto", "direct"))
    assert_equal_where_not_finite(passes(image), direct(image))
    assert [type(packed[1]) for packed in passes._packed.values()] == [separable.Factors]


def test_the_sums_of_the_first_pass_do_not_overflow():
    image = np.full((200, 200), 3e38, np.float32)
    bank = fc.FilterBank(np.full((1, 1, 16, 16), 2**-8, np.float32))
    np.testing.assert_allclose(bank(image), np.full((1, 185, 185), 3e38, np.float32), rtol=1e-6)


@pytest.mark.parametrize(
    "kernel",
    [
        fc.filters.box(9),
        fc.filters.gaussian(31),
        fc.filters.gaussian((5, 63)),
        fc.filters.sobel("x"),
        fc.filters.scharr("y"),
        np.outer(np.hanning(33)[1:-1], np.hanning(17)[1:-1]),
    ],
)
def test_kernels_of_rank_1_are_split(kernel):
    _, columns, rows = separable.factorize(kernel[np.newaxis])
    np.testing.assert_allclose(np.outer(columns[0], rows[0]), kernel, rtol=2 * np.finfo(kernel.dtype).eps)
    assert abs(columns).sum() <= 1


def test_kernels_that_are_not_of_rank_1_are_not_split():
    gaussian = fc.filters.gaussian(9)
    changed = gaussian.copy()
    changed[2, 3] *= 1 + 1e-4
    unlike = [
        changed,
        fc.filters.laplacian_of_gaussian(9, 1.4),
        np.zeros((9, 9), np.float32),
        gaussian * np.float32(np.nan),
    ]
    for kernel in unlike:
        assert separable.factorize(np.stack([gaussian, kernel])) is None
    image = np.random.default_rng(1).standard_normal((1, 200, 200)).astype(np.float32)
    result = fc.FilterBank(changed[np.newaxis, np.newaxis])(image)
    expected = fc.conv2d(image, changed[np.newaxis, np.newaxis], algorithm="direct")
    assert np.array_equal(result, expected)


def test_one_bank_takes_small_and_large_images():
    bank = fc.FilterBank(fc.filters.gaussian(11)[np.newaxis, np.newaxis], padding="same")
    rng = np.random.default_rng(2)
    for size in (3, 300, 5, 300):
        image = rng.standard_normal((1, 1, size, size)).astype(np.float32)
        expected = convolve_tap_by_tap(image, bank.weight, padding="same")
        assert abs(bank(image) - expected).max() <= 2e-6 * abs(expected).max()


# Which algorithm


def test_the_rule():
    """What a plan chooses for gray images of 2048 x 2048: sweeps for small kernels, transforms for large ones."""
    image = (1, 1, 2048, 2048)
    for k, transforms, passes in [(3, False, False), (11, False, True), (21, True, True), (31, True, True)]:
        plan = plan_of(image, (1, 1, k, k), padding=k // 2)
        assert (plan.layouts[-1].name == "fft") == transforms, k
        assert (plan.layouts[0].name == "separable") == passes, k
    assert [layout.name for layout in plan_of(image, (1, 1, 31, 31), algorithm="direct").layouts] == ["direct"]
    assert plan_of((1, 1, 28, 28), (1, 1, 9, 9)).layouts[-1].name == "direct"


@pytest.mark.parametrize(
    ("image", "weight", "padding"),
    [
        ((1, 1024, 1024), (8, 1, 255, 255), 127),
        ((1, 1024, 1024), (16, 1, 101, 101), 50),
        ((3, 512, 512), (8, 3, 65, 65), 32),
        ((1, 1024, 1024), (24, 1, 41, 41), 20),
    ],
)
def test_many_large_filters_are_transformed(image, weight, padding):
    plan = plan_of(image, weight, padding=padding)
    assert plan.layouts[-1].name == "fft"
    assert all(n >= 1.2 * taps for n, taps in zip(plan.layouts[-1].blocks.size, weight[2:], strict=True))


def test_many_long_filters_of_one_call_take_turns(monkeypatch):
    rng = np.random.default_rng(0)
    signals, weight = rng.standard_normal((24, 30_000), np.float32), rng.standard_normal((48, 2, 6_000), np.float32)
    bank = fc.FilterBank(weight, groups=12, algorithm="fft")
    expected = bank(signals)
    largest = abs(expected).max()
    for threads in (1, 3):
        result = fc.conv1d(signals, weight, groups=12, algorithm="fft", threads=threads)
        assert abs(result - expected).max() <= 2e-6 * largest
    assert plan_of(signals.shape, weight.shape, groups=12).layouts[-1].name == "fft"
    transformed = []
    transform = fft._spectra
    monkeypatch.setattr(fft, "_spectra", lambda *given: transformed.append(given[0].shape[:2]) or transform(*given))
    fc.conv1d(signals, weight, groups=12, threads=1)
    assert len(transformed) > 1
    assert sum(groups * filters for groups, filters in transformed) == 48


def test_transforms_work_when_no_more_threads_can_start():
    program = """
import atexit
import numpy as np
import fastconv as fc
@atexit.register
def last():
    print(fc.conv2d(np.ones((400, 500)), np.ones((9, 9)), algorithm="fft", threads=2).round().max())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("81.0\n", "")


# Memory


@pytest.mark.parametrize("algorithm", ["fft", "auto"])
@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((2, 1, 1500, 2000), (1, 1, 31, 31), {"padding": 15}),
        ((1, 1, 1500, 2000), (1, 1, 127, 63), {"padding": 31, "padding_mode": "reflect"}),
        ((1, 3, 1000, 1500), (8, 3, 15, 15), {"stride": 2}),
        ((2, 3 * 10**6), (2, 1, 500), {"groups": 2}),
        ((1, 100, 200, 300), (1, 1, 9, 9, 9), {}),
        ((64, 10**5), (64, 1, 9000), {"groups": 64}),
        ((1, 700, 700), (9, 1, 101, 101), {}),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_large_kernels_need_little_more_than_their_output(image, weight, options, algorithm, dtype):
    images, bank = np.zeros(image, dtype), np.ones(weight, dtype)
    function = {3: fc.conv1d, 4: fc.conv2d, 5: fc.conv3d}[len(weight)]
    fc.conv2d(images[..., :40, :40] if images.ndim > 2 else images[:1, :40], np.ones((1, 1)), algorithm="fft")
    tracemalloc.start()
    result = function(images, bank, **options, algorithm=algorithm, threads=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - result.nbytes < 8e6


# Kernels of rank 1 but for rounding


def gaussian_in_float32(sigma: float) -> Any:
    """A Gaussian of 61x61 as many write it: the farther from the middle, the fewer of its digits are right."""
    y, x = np.mgrid[-30:31, -30:31].astype(np.float32)
    kernel = np.exp(-(x * x + y * y) / (2 * np.float32(sigma) ** 2))
    assert kernel.dtype == np.float32
    return kernel


INEXACT = {
    "31x31, sigma 1.5": fc.filters.gaussian(31, 1.5),
    "61x61, sigma 3": fc.filters.gaussian(61, 3.0),  # its corners are rounded to zero
    "21x21, sigma 1": fc.filters.gaussian(21, 1.0),
    "31x31, sigma 1": fc.filters.gaussian(31, 1.0),  # and all that is far from the middle
    **{f"61x61, sigma {sigma} in float32": gaussian_in_float32(sigma) for sigma in (2, 3, 4, 6, 10, 15)},
}


@pytest.mark.parametrize("kernel", INEXACT.values(), ids=INEXACT)
def test_gaussians_take_two_passes_however_they_were_rounded(kernel):
    assert fc.explain((1, 1024, 1024), kernel[np.newaxis, np.newaxis], padding="same").algorithm == "separable"
    rng = np.random.default_rng(11)
    bank = fc.FilterBank(kernel[np.newaxis, np.newaxis], padding="same")
    for image in (rng.standard_normal((1, 190, 210)), rng.random((1, 190, 210)), rng.random((1, 190, 210)) ** 20):
        image = image.astype(np.float32)
        result = bank(image)
        expected = fc.conv2d(image.astype(float), kernel.astype(float), padding="same", algorithm="direct")
        assert abs(result - expected).max() <= 2e-6 * abs(expected).max()
    assert [type(packed[1]) for packed in bank._packed.values()] == [separable.Factors]


@pytest.mark.parametrize("kernel", INEXACT.values(), ids=INEXACT)
def test_split_kernels_have_no_weights_that_make_subnormal_products(kernel):
    for lines in separable.factorize(kernel[np.newaxis]):
        sizes = abs(lines[lines != 0])
        assert sizes.min() > 1e-31 * sizes.max()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kernel", INEXACT.values(), ids=INEXACT)
def test_nan_and_infinity_reach_what_sees_them_through_weights_rounded_to_zero(kernel, value):
    image = np.random.default_rng(5).random((1, 200, 150)).astype(np.float32)
    image[0, 80, 90] = image[0, 0, 3] = value
    passes, direct = (
        fc.FilterBank(kernel[np.newaxis, np.newaxis], padding=30, algorithm=a)(image) for a in ("auto", "direct")
    )
    np.testing.assert_array_equal(np.isfinite(passes), np.isfinite(direct))


def test_highest_precision_splits_only_what_is_of_rank_1_to_the_last_places():
    for kernel in INEXACT.values():
        exact = separable.factorize(kernel[np.newaxis], "highest")
        if exact is not None:
            np.testing.assert_allclose(np.outer(exact.columns[0], exact.rows[0]), kernel, rtol=5e-7)
    assert separable.factorize(fc.filters.gaussian(31)[np.newaxis], "highest") is not None
    assert separable.factorize(fc.filters.gaussian(31, 1.5)[np.newaxis], "highest") is None
    assert separable.factorize(gaussian_in_float32(6)[np.newaxis], "highest") is None


def test_small_structure_beside_a_large_weight_is_kept():
    rng = np.random.default_rng(4)
    for size in (1e-3, 1e-6, 1e-9, 1e-20):
        kernel = (size * rng.random((31, 31))).astype(np.float32)
        kernel[15, 15] = 1
        assert separable.factorize(kernel[np.newaxis]) is None
    for sigma in (1.5, 3, 10):
        kernel = fc.filters.gaussian(31, sigma)
        kernel[3, 5] *= 1.5
        assert separable.factorize(kernel[np.newaxis]) is None


# Small problems, made to take the passes


@pytest.mark.parametrize("axes", [2, 3])
@given(data=st.data())
@settings(max_examples=100)
def test_passes_agree_with_the_definition(axes, data):
    drawn = data.draw(problems(axes, FLOATS, activations=(None, *ACTIVATIONS)))
    channels = drawn.input.shape[-axes - 1] if drawn.input.ndim > axes else 1
    filters = channels * data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    weight = np.ones((filters, 1))
    for taps in drawn.weight.shape[-axes:]:  # products are exact in any dtype
        line = rng.choice([-2, -1, -0.5, 0, 0.5, 1, 2], (filters, taps))
        weight = weight[..., np.newaxis] * line.reshape(filters, *[1] * (weight.ndim - 1), taps)
    dtype = drawn.input.dtype
    options = drawn.options | {"groups": channels}
    problem = Problem(axes, drawn.input, weight.astype(dtype), values(rng, (filters,), dtype), options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(separable, "cost", lambda _: 0.0)
        for name, value in {"MIN_BUDGET": 0, "SLAB_BYTES": 2**11, "MAX_SLAB_PLANES": 3, "MIN_SLAB_ROWS": 2}.items():
            patch.setattr(separable, name, value)
        forget_plans()
        try:
            result = problem.result()
        finally:
            forget_plans()
    assert_agrees(result, problem)


def forget_plans() -> None:
    conv._plans.clear()


# Three passes


VOLUMES = [
    Case((2, 1, 20, 35, 41), (1, 1, 5, 9, 7), {}),
    Case((1, 3, 30, 25, 33), (6, 1, 5, 5, 7), {"groups": 3, "activation": "silu"}),
    Case((1, 1, 26, 60, 80), (1, 1, 5, 7, 5), {"padding": ((3, 1), (0, 20), (2, 9)), "stride": (2, 1, 1)}),
    Case((1, 2, 20, 50, 70), (2, 1, 5, 5, 6), {"groups": 2, "dilation": (2, 3, 2), "stride": (1, 2, 1), "flip": True}),
    Case((1, 1, 7, 40, 70), (1, 1, 5, 7, 9), {"padding": (10, 50, 5)}),  # some outputs see nothing but padding
]


@all_dtypes
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("case", VOLUMES, ids=str)
def test_volumes_take_three_passes_whatever_their_layout(case, padding_mode, dtype, monkeypatch):
    case = Case(case.image, case.weight, {"padding": "same", "padding_mode": padding_mode, **case.options})
    volume, _, bias = case.draw(dtype, integers=False)
    weight = volume_kernels(case.weight, dtype)
    monkeypatch.setattr(separable, "SLAB_BYTES", 2**15)  # so that there are many
    forget_plans()
    try:
        bank = fc.FilterBank(weight, bias, **case.options)
        result = bank(volume)
    finally:
        forget_plans()
    assert [type(packed[1]) for packed in bank._packed.values()] == [separable.Factors]
    arrays = volume, weight, bias
    assert abs(result - case.expected(arrays)).max() <= TOLERANCE[dtype] * case.largest_sum(arrays)
    assert np.array_equal(bank(volume, threads=3), result)
    strided, out = np.repeat(volume, 2, -1)[..., ::2], np.zeros((*result.shape, 2), dtype)
    assert np.array_equal(bank(strided, out=out[..., 0]), result)
    assert np.array_equal(bank(np.asfortranarray(volume)), result)
    swapped = np.zeros(result.shape, np.dtype(dtype).newbyteorder())
    assert np.array_equal(bank(volume.astype(swapped.dtype), out=swapped), result)
    monkeypatch.undo()
    assert np.array_equal(fc.FilterBank(weight, bias, **case.options)(volume), result)  # in few slabs


def volume_kernels(shape: Any, dtype: Any) -> Any:
    rng = np.random.default_rng(3)
    return np.einsum("kz,ky,kx->kzyx", *(rng.standard_normal((shape[0], n)) for n in shape[2:])).astype(dtype)[:, None]


def test_volumes_take_three_passes_as_explained():
    line = np.exp(-((np.arange(31) - 15) ** 2) / 50)
    kernel = np.einsum("z,y,x->zyx", line, line, line).astype(np.float32)[np.newaxis, np.newaxis]
    why = fc.explain((1, 128, 160, 160), kernel, padding=15)
    assert why.algorithm == "separable"
    [found] = [candidate for candidate in why.candidates if candidate.algorithm == "separable"]
    assert found.products == 93
    assert found.workspace <= 2**22
    assert found.how.startswith("three passes, 31x1x1, 1x31x1 then 1x1x31, slabs of ")
    kernel[0, 0, 3, 5, 7] *= 1.5
    assert fc.explain((1, 128, 160, 160), kernel, padding=15).algorithm != "separable"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_nan_and_infinity_in_three_passes(padding_mode, value):
    volume = np.random.default_rng(5).standard_normal((1, 40, 60, 70)).astype(np.float32)
    volume[0, 2, 3, 4] = volume[0, 20, 30, 30] = volume[0, 22, 33, 28] = volume[0, -1, 20, 50] = value
    volume[0, 21, 31, 29] = np.inf
    rows = np.float32([1, -2, 0, 0.5, 3, 1, 1])
    weight = np.stack([np.einsum("z,y,x", *lines) for lines in [(rows, abs(rows), rows[::-1]), (abs(rows),) * 3]])
    options = {"padding": 3, "padding_mode": padding_mode}
    passes, direct = (fc.FilterBank(weight[:, np.newaxis], **options, algorithm=a) for a in ("auto", "direct"))
    assert_equal_where_not_finite(passes(volume), direct(volume))
    assert [type(packed[1]) for packed in passes._packed.values()] == [separable.Factors]


def test_the_sums_of_no_pass_but_the_last_overflow():
    volume = np.full((50, 60, 70), 3e38, np.float32)
    bank = fc.FilterBank(np.full((1, 1, 8, 8, 8), 2**-9, np.float32))
    np.testing.assert_allclose(bank(volume), np.full((1, 43, 53, 63), 3e38, np.float32), rtol=1e-6)
    assert [type(packed[1]) for packed in bank._packed.values()] == [separable.Factors]


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("shape", [(1, 30, 1000, 300), (1, 300, 100, 100), (4, 40, 120, 130)])
def test_volumes_need_little_more_than_their_output(shape, strided):
    volume = np.zeros((*shape, 2), np.float32)[..., 0] if strided else np.zeros(shape, np.float32)
    line = np.hanning(33)[1:-1]
    kernel = np.einsum("z,y,x->zyx", *[line] * 3).astype(np.float32)
    bank = fc.FilterBank(np.stack([kernel[np.newaxis]] * shape[0]), padding=15, groups=shape[0])
    bank(volume[..., :1, :, :])  # splits the kernels
    tracemalloc.start()
    result = bank(volume, threads=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - result.nbytes < 8e6


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
@pytest.mark.parametrize(
    ("size", "dilation"), [((20, 30, 40), (1000, 1, 1)), ((20, 30, 40), (1, 1000, 1)), ((30, 40), 10**6)]
)
def test_kernels_spread_far_beyond_the_image_do_not_take_passes(size, dilation, padding_mode):
    axes = len(size)
    kernel = np.ones([1, 1] + [9] * axes, np.float32)
    plan = plan_of((1, *size), kernel.shape, padding="same", dilation=dilation, padding_mode=padding_mode)
    assert all(layout.workspace <= 2**23 for layout in plan.layouts if layout.name == "separable")
