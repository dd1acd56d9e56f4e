"""fastconv.signal: what scipy.signal's functions of the same names give, and where ours are to differ."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import _ready, signal

FUNCTIONS = signal.__all__
MODES = ("full", "same", "valid")
DTYPES = "bBhHiIlLfdFD"
EXTENSIONS = ("constant", "wrap", "edge", "smooth", "symmetric", "reflect", "antisymmetric", "antireflect", "line")


def same(result: Any, *values: Any, dtype: Any = None) -> None:
    """Check a result with a right one, computed by hand, and its dtype if given."""
    np.testing.assert_array_equal(result, *values)
    assert dtype is None or result.dtype == dtype


# The rules, with right values


def test_full_same_and_valid_convolutions() -> None:
    same(signal.convolve([1, 2], [1, 10, 100]), [1, 12, 120, 200])
    same(signal.convolve([3, 4, 5], [1, 2, 3, 4], "same"), [10, 22, 34])
    same(signal.convolve([1, 2, 3, 4], [1, 1], "valid"), [3, 5, 7])
    same(signal.convolve([1, 1], [1, 2, 3, 4], "valid"), [3, 5, 7])
    same(signal.correlate([1, 2, 3, 4], [1, 1], "same"), [1, 3, 5, 7])
    same(signal.correlate([1, 2, 3], [1, 2, 3, 4], "same"), [11, 20, 14])
    same(signal.correlate([1, 2, 3], [1, 2, 3, 4], "valid"), [20, 14])


def test_matrices_are_anchored_as_scipys() -> None:
    same(signal.convolve2d([[1, 2, 3]], [[1, 1]], "same"), [[1, 3, 5]])
    same(signal.correlate2d([[1, 2, 3]], [[1, 1]], "same"), [[3, 5, 3]])
    same(signal.correlate2d([[1, 2, 3]], [[1, 2, 3, 4]], "same"), [[20, 14, 8]])


@pytest.mark.parametrize(
    ("boundary", "value", "right"),
    [
        ("symm", 0, [[2, 3, 5, 6]]),
        ("wrap", 0, [[4, 3, 5, 4]]),
        ("fill", 10, [[11, 3, 5, 13]]),
        ("fill", 0, [[1, 3, 5, 3]]),
    ],
)
def test_boundaries(boundary: str, value: int, right: list[list[int]]) -> None:
    same(signal.convolve2d([[1, 2, 3]], [[1, 1]], "full", boundary, value), right)


def test_fill_values_are_cast_to_the_result() -> None:
    same(signal.convolve2d([[1, 2]], [[1, 1]], fillvalue=1.5), [[2, 3, 3]])
    same(signal.convolve2d([[1, 2]], [[1, 1]], fillvalue=[[2]]), [[3, 3, 4]])
    for wrong in (1j, [1, 2], [], "a"):
        with pytest.raises(ValueError, match="fillvalue"):
            signal.convolve2d([[1, 2]], [[1, 1]], fillvalue=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("repeats", [1, 3000])
def test_integers_wrap_around(method: str, repeats: int) -> None:
    image = np.tile(np.array([200, 100], np.uint8), repeats)
    weights = np.array([2, 1], np.uint8)
    same(signal.convolve(image, weights, method=method), np.convolve(image, weights), dtype=np.uint8)
    huge = np.tile(np.array([2**62, 2**62]), repeats)
    same(signal.convolve(huge, np.array([1, 1]), method=method), np.convolve(huge, [1, 1]), dtype=np.int64)
    unsigned = np.tile(np.array([2**64 - 1, 3], np.uint64), repeats)
    same(signal.convolve(unsigned, unsigned[:2], method=method), np.convolve(unsigned, unsigned[:2]), dtype=np.uint64)


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_sums_of_many_integers_are_exact(method: str) -> None:
    rng = np.random.default_rng(1)
    image, kernel = rng.integers(-999, 999, 3000), rng.integers(-999, 999, 400)
    same(signal.convolve(image, kernel, method=method), np.convolve(image, kernel), dtype=np.int64)
    large = rng.integers(-(2**40), 2**40, 3000)
    same(signal.convolve(large, kernel, method=method), np.convolve(large, kernel), dtype=np.int64)


def test_dtypes_of_results() -> None:
    ones = np.ones(3)
    same(signal.convolve(ones.astype(np.uint64), ones.astype(np.int64)), [1, 2, 3, 2, 1], dtype=np.float64)
    same(signal.convolve(ones.astype(bool), ones.astype(bool)), [True] * 5, dtype=bool)
    same(signal.convolve(ones.astype(np.float16), ones.astype(np.float16)), [1, 2, 3, 2, 1], dtype=np.float16)
    same(signal.convolve(ones.astype(">f4"), ones.astype(">f4")), [1, 2, 3, 2, 1], dtype=np.dtype(np.float32))
    same(signal.fftconvolve([1, 2], [1, 1]), [1, 3, 2], dtype=np.float64)
    same(signal.fftconvolve(ones.astype(np.float16), ones.astype(np.float16)), [1, 2, 3, 2, 1], dtype=np.float32)


@pytest.mark.parametrize("char", "gG")
def test_long_doubles_keep_their_precision(char: str) -> None:
    third = np.array([1, 1], char) / 3
    for function in (signal.convolve, signal.fftconvolve, signal.oaconvolve):
        same(function(third, np.array([1, 1], char)), [third[0], 2 * third[0], third[0]], dtype=char)
    same(signal.lfilter(third, 1, [1.0, 0.0]), third, dtype=char)


def test_the_second_array_of_a_correlation_is_conjugated() -> None:
    same(signal.correlate([1, 2], [1, 1j]), [-1j, 1 - 2j, 2])
    same(signal.correlate2d([[1, 2]], [[1, 1j]]), [[-1j, 1 - 2j, 2]])
    same(signal.convolve([1, 2], [1, 1j]), [1, 2 + 1j, 2j])
    assert signal.correlate(2.0, 1j) == -2j


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("size", "taps"), [(2000, 300), (4000, 3000)])
def test_what_is_not_finite_reaches_only_what_reads_it(method: str, bad: float, size: int, taps: int) -> None:
    image, kernel = np.ones(size), np.ones(taps)
    image[1000] = bad
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = signal.convolve(image, kernel, method=method)
    wrong = ~np.isfinite(result)
    same(np.flatnonzero(wrong), np.arange(1000, 1000 + taps))
    assert [warning.category for warning in caught] == [RuntimeWarning] * (method == "fft")


def test_numbers_are_multiplied() -> None:
    for function in (signal.convolve, signal.correlate, signal.fftconvolve, signal.oaconvolve):
        assert function(3, 4) == 12


def test_empty_arrays() -> None:
    for function in (signal.fftconvolve, signal.oaconvolve):
        same(function([], [1.0]), [], dtype=np.float64)
    for function in (signal.convolve, signal.correlate):
        with pytest.raises(ValueError, match="empty"):
            function([], [1.0])
    assert signal.convolve2d(np.ones((0, 5)), np.ones((5, 5))).shape == (4, 9)
    assert signal.upfirdn([1.0], np.ones((0, 3))).shape == (0, 3)


def test_correlation_lags() -> None:
    same(signal.correlation_lags(4, 3), [-2, -1, 0, 1, 2, 3])
    same(signal.correlation_lags(2, 4, "valid"), [-2, -1, 0])
    same(signal.correlation_lags(4, 3, "same"), [-1, 0, 1, 2])
    same(signal.correlation_lags(2, 5, "same"), [-2, -1])
    with pytest.raises(ValueError, match="Mode asdfgh is invalid"):
        signal.correlation_lags(4, 3, "asdfgh")


def test_the_chosen_method_is_the_planned_one() -> None:
    assert signal.choose_conv_method(np.ones(8), np.ones(6)) == "direct"
    assert signal.choose_conv_method(np.ones((8, 8)), np.ones((6, 6))) == "direct"
    assert signal.choose_conv_method([2**51] * 8, [2**51] * 6) == "direct"
    assert signal.choose_conv_method(np.ones(100000), np.ones(5000)) == "fft"
    method, seconds = signal.choose_conv_method(np.ones(8), np.ones(6), measure=True)
    assert method in seconds
    assert set(seconds) == {"fft", "direct"}


def test_a_filters_state_goes_on_where_it_stopped() -> None:
    rng = np.random.default_rng(2)
    b, x = rng.standard_normal(5), rng.standard_normal((3, 40, 2))
    whole = signal.lfilter(b, 2.0, x, axis=1)
    state = np.zeros((3, 4, 1))
    parts = []
    for part in np.split(x, [7, 9, 30], axis=1):
        y, state = signal.lfilter(b, [2.0], part, 1, state)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-14)


def test_recursive_filters_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="a must be one number"):
        signal.lfilter([1.0], [1.0, 0.5], [1.0])


def test_separable_kernels_longer_than_the_image() -> None:
    same(signal.sepfir2d([[1.0, 2.0]], [1.0, 0, 0, 0, 0, 0, 0], [1.0]), [[1.0, 1.0]])


def test_signals_of_one_sample_have_no_slope() -> None:
    for mode in ("smooth", "line", "reflect", "antireflect"):
        same(signal.upfirdn([1.0, 1, 1], [3.0], mode=mode), [9.0, 9.0, 9.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signal.convolve([1], [[1]]), "in1 and in2 should have the same dimensionality"),
        (lambda: signal.fftconvolve([1], [[1]]), "in1 and in2 should have the same dimensionality"),
        (lambda: signal.convolve([1], [1], "bad"), "acceptable mode flags are 'valid', 'same', or 'full'"),
        (lambda: signal.convolve([1], [1], 2), "acceptable mode flags"),
        (lambda: signal.convolve([1], [1], "full", "bad"), "Acceptable method flags are 'auto', 'direct', or 'fft'"),
        (lambda: signal.convolve(np.ones((2, 3)), np.ones((3, 2)), "valid"), "For 'valid' mode, one must be at least as"),
        (lambda: signal.convolve(np.ones((2, 2), bool), np.ones((2, 2), bool), method="direct"), "Unsupported type"),
        (lambda: signal.convolve2d([1], [1]), "must both be 2-D"),
        (lambda: signal.convolve2d(np.ones((2, 2), bool), np.ones((2, 2), bool)), "dtype bool"),
        (lambda: signal.convolve2d([[1]], [[1]], "full", "reflect"), "Acceptable boundary flags"),
        (lambda: signal.fftconvolve([1], [1], "bad"), "acceptable mode flags are 'valid', 'same', or 'full'"),
        (lambda: signal.fftconvolve([1, 2], [1, 2], axes=[]), "when provided, axes cannot be empty"),
        (lambda: signal.fftconvolve([1, 2], [1, 2], axes=0.5), "axes must be a scalar or iterable of integers"),
        (lambda: signal.fftconvolve([1, 2], [1, 2], axes=[0, 1]), "axes exceeds dimensionality of input"),
        (lambda: signal.fftconvolve([1, 2], [1, 2], axes=[0, -1]), "all axes must be unique"),
        (lambda: signal.oaconvolve(np.ones((2, 6)), np.ones((3, 2)), axes=1), r"incompatible shapes for in1 and in2: \(2, 6\)"),
        (lambda: signal.upfirdn([], [1.0]), "h must be 1-D with non-zero length"),
        (lambda: signal.upfirdn([1.0], [1.0], 0), "Both up and down must be >= 1"),
        (lambda: signal.upfirdn([1.0], [1.0], mode="bad"), "Unknown mode"),
        (lambda: signal.lfilter([[1.0]], 1, [1.0]), "Parameter b is not a non-empty 1-D array"),
        (lambda: signal.lfilter([1.0, 1.0], 1, [1.0], zi=[1.0, 2.0]), "Unexpected shape for parameter zi"),
        (lambda: signal.sepfir2d(np.ones((5, 5)), np.ones(2), np.ones(3)), "hrow and hcol must be odd length"),
    ],
)  # fmt: skip
def test_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_masks_are_not_lost() -> None:
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    for function in (signal.convolve, signal.correlate, signal.fftconvolve):
        with pytest.raises(TypeError, match="mask"):
            function(masked, [1.0])


# Against SciPy


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*args)
        except Exception as error:  # noqa: BLE001 - of any kind
            return error


def check_call(name: str, *args: Any) -> None:
    """Compare a call with SciPy's: value, shape, dtype and the type of an error."""
    theirs = pytest.importorskip("scipy.signal")
    result, expected = attempt(getattr(signal, name), *args), attempt(getattr(theirs, name), *args)
    given = [(array.shape, array.dtype) if isinstance(array, np.ndarray) else array for array in args]
    what = f"{name}{given}: {result!r:.300} instead of {expected!r:.300}"
    if isinstance(expected, Exception):
        assert isinstance(result, type(expected)), what
        return
    assert isinstance(result, tuple) == isinstance(expected, tuple), what
    dtypes = [array.dtype for array in (*args, expected) if isinstance(array, np.ndarray) and array.dtype.kind in "fc"]
    precision = max([1e-15, *(float(np.finfo(dtype).eps) for dtype in dtypes)])
    pairs = zip(result, expected, strict=True) if isinstance(result, tuple) else [(result, expected)]
    for one, other in pairs:
        assert (one.shape, one.dtype) == (other.shape, other.dtype), what
        if one.dtype.kind in "fc":
            bound = 100 * precision * max(1.0, float(np.abs(other).max(initial=0)))
            assert np.abs(one - other).max(initial=0) <= bound, what
        else:
            assert (one == other).all(), what


class Draw:
    """Draws arguments at random."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def one_of(self, values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def array(self, shape: Any, dtypes: str = DTYPES) -> Any:
        """Return small whole numbers, in some order of axes and with any strides."""
        dtype = np.dtype(self.one_of(dtypes))
        values = self.rng.integers(0 if dtype.kind in "bu" else -9, 2 if dtype.kind == "b" else 9, shape)
        if dtype.kind == "c":
            values = values + 1j * self.rng.integers(-9, 9, shape)
        order = self.rng.permutation(len(shape))
        array = np.ascontiguousarray(values.astype(dtype).transpose(order)).transpose(np.argsort(order))
        return array[::-1] if array.ndim and self.rng.random() < 0.2 else array

    def shape(self, rank: int) -> tuple[int, ...]:
        longest = {1: 300, 2: 30, 3: 9, 4: 5}[rank]
        return tuple(int(n) for n in self.rng.integers(1, longest, rank))


seeds = pytest.mark.parametrize("seed", range(150))


@seeds
def test_convolutions_and_correlations_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    rank = draw.one_of([1, 1, 2, 2, 3, 4])
    first, second = draw.array(draw.shape(rank)), draw.array(draw.shape(rank))
    for name in ("convolve", "correlate"):
        check_call(name, first, second, draw.one_of(MODES), draw.one_of(["auto", "direct", "fft"]))


@pytest.mark.parametrize("seed", range(40))
def test_large_kernels_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    rank = draw.one_of([1, 2, 3, 4])
    longest = {1: 5000, 2: 80, 3: 20, 4: 9}[rank]
    first, second = (draw.array(draw.rng.integers(longest // 2, longest, rank), "fdFDl") for _ in range(2))
    for name in ("convolve", "correlate"):
        check_call(name, first, second, draw.one_of(["full", "same"]), "fft")
    if rank > 1:
        second = second[: first.shape[0]]
        check_call("fftconvolve", first[: len(second)], second, draw.one_of(["full", "same"]), tuple(range(1, rank)))


@pytest.mark.parametrize("dtype", "fd")
def test_large_kernels_of_rank_one_are_passes(dtype: str) -> None:
    rng = np.random.default_rng(3)
    image, row = rng.standard_normal((200, 200)).astype(dtype), rng.standard_normal(150).astype(dtype)
    check_call("convolve", image, np.outer(row, row))


def test_transforms_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv import _spectra

    monkeypatch.setattr(_spectra, "library", lambda: (np.fft, {}))
    rng = np.random.default_rng(4)
    for first, second in ((rng.standard_normal(4000), rng.standard_normal(4000)), (np.ones((60, 60)), np.eye(60) * 1j)):
        check_call("convolve", first, second)


@seeds
def test_convolutions_of_any_dtype_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    rank = draw.one_of([1, 2, 3])
    dtypes = DTYPES + "?eg" if rank == 1 else DTYPES + "gG"
    first, second = draw.array(draw.shape(rank), dtypes), draw.array(draw.shape(rank), dtypes)
    check_call(draw.one_of(["convolve", "correlate"]), first, second, draw.one_of(MODES), "direct")


@seeds
def test_convolutions_of_matrices_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    first, second = draw.array(draw.shape(2), DTYPES + "g"), draw.array(draw.shape(2), DTYPES + "g")
    mode, boundary, value = draw.one_of(MODES), draw.one_of(["fill", "wrap", "symm"]), draw.one_of([0, 3, 2.7])
    for name in ("convolve2d", "correlate2d"):
        check_call(name, first, second, mode, boundary, value)


@seeds
def test_convolutions_along_some_axes_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    rank = draw.one_of([1, 2, 3, 4])
    axes = [int(axis) for axis in draw.rng.permutation(rank)[: draw.rng.integers(1, rank + 1)]]
    shape, other = draw.shape(rank), draw.shape(rank)
    other = tuple(
        m if axis in axes else draw.one_of([1, n]) for axis, (n, m) in enumerate(zip(shape, other, strict=True))
    )
    first, second = draw.array(shape, DTYPES + "e"), draw.array(other, DTYPES + "e")
    if draw.rng.random() < 0.5:
        first, second = second, first
    for name in ("fftconvolve", "oaconvolve"):
        check_call(name, first, second, draw.one_of(MODES), draw.one_of([axes, tuple(axes), None]))


@seeds
def test_resampled_signals_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    x = draw.array(draw.shape(draw.one_of([1, 2, 3])))
    axis = int(draw.rng.integers(-x.ndim, x.ndim))
    mode = draw.one_of(EXTENSIONS) if x.shape[axis] > 1 else "constant"  # SciPy reads beyond the only sample
    up, down = (int(step) for step in draw.rng.integers(1, 12, 2))
    check_call("upfirdn", draw.array((int(draw.rng.integers(1, 40)),)), x, up, down, axis, mode, draw.one_of([0, 2.5]))


@seeds
def test_filtered_signals_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    x, b = (
        draw.array(draw.shape(draw.one_of([1, 2, 3])), "fdFDgil"),
        draw.array((int(draw.rng.integers(1, 20)),), "fdFDil"),
    )
    axis = int(draw.rng.integers(-x.ndim, x.ndim))
    state = [len(b) - 1 if index == axis % x.ndim else draw.one_of([1, n]) for index, n in enumerate(x.shape)]
    zi = draw.one_of([None, draw.array(state, "fdD")])
    check_call("lfilter", b, draw.one_of([[2.0], 1.0, np.array([3], np.float32), [1]]), x, axis, zi)


@seeds
def test_separable_filters_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    image = draw.array(draw.shape(2))
    row, column = (draw.array((2 * int(draw.rng.integers(0, (n + 1) // 2)) + 1,)) for n in reversed(image.shape))
    check_call("sepfir2d", image, row, column)


@seeds
def test_lags_are_scipys(seed: int) -> None:
    draw = Draw(seed)
    check_call("correlation_lags", int(draw.rng.integers(0, 9)), int(draw.rng.integers(0, 9)), draw.one_of(MODES))


# The module


def test_signal_is_an_attribute_of_the_package() -> None:
    code = "import fastconv, sys; assert 'fastconv.signal' not in sys.modules; fastconv.signal.convolve; import fastconv.signal"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert fc.signal is signal
    assert "signal" in fc.__all__


def test_scipys_functions_are_never_reached() -> None:
    code = """
import sys
import numpy as np
from fastconv import _ready, signal
x, k = np.ones((300, 300)), np.ones((3, 3))
for dtype in "Bdg":
    signal.convolve(x.astype(dtype), k.astype(dtype)), signal.correlate(x, x, "same"), signal.convolve2d(x, k, "same", "symm")
signal.correlate2d(x, k), signal.fftconvolve(x, x, axes=1), signal.oaconvolve(x, k), signal.choose_conv_method(x, k)
signal.correlation_lags(3, 4), signal.sepfir2d(x, k[0], k[0]), signal.upfirdn(k[0], x, 3, 2), signal.lfilter(k[0], 1, x)
assert not {"scipy.signal", "scipy.ndimage"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("first", ["?", "B", "h", "i", "l", "Q", "f", "d", "F", "D", "e"])
@pytest.mark.parametrize("second", ["?", "B", "i", "l", "f", "d", "D"])
def test_remembered_calls_give_the_same(first: str, second: str) -> None:
    rng = np.random.default_rng(3)
    calls: list[Callable[..., Any]] = [
        signal.convolve,
        signal.correlate,
        lambda x, k: signal.correlate(x, k, "same"),
        lambda x, k: signal.convolve(x, k, "valid"),
    ]
    if first not in "?e" and second != "?":
        calls += [
            lambda x, k: signal.correlate2d(x, k, "same"),
            lambda x, k: signal.convolve2d(x, k, boundary="symm"),
            lambda x, k: signal.convolve2d(x, k, fillvalue=2),
        ]
    for shapes in (((6, 7), (3, 2)), ((2, 3), (5, 6)), ((40, 41), (3, 3))):
        x, k = (
            (np.abs(rng.standard_normal(shape)) * (9 + 5j if char in "FD" else 9)).astype(char)
            for shape, char in zip(shapes, (first, second), strict=True)
        )
        for call in calls:
            _ready.calls.clear()
            expected = call(x, k)
            result = call(x, k)
            assert result.dtype == expected.dtype
            assert result.tobytes() == expected.tobytes()
            assert call(x[::-1], k.T.copy().T).tobytes() == call(x[::-1].copy(), k).tobytes()


def test_remembered_calls_know_what_integers_need() -> None:
    small, large = np.ones((4, 4), np.int64), np.full((4, 4), 2**62 + 1)
    kernel = np.array([[1, 0], [0, 3]])
    for x in (small, small, large, -large):
        assert np.array_equal(signal.convolve2d(x, kernel, "valid"), x[1:, 1:] * 4)  # modulo 2**64


def test_remembered_separable_filters() -> None:
    image, taps = np.arange(20.0).reshape(4, 5), np.array([1.0, 2.0, 4.0])
    for dtype in "fdD":
        x, row, column = image.astype(dtype), taps.astype(dtype), taps[::-1].astype(dtype)
        _ready.calls.clear()
        expected = signal.sepfir2d(x, row, column)
        assert signal.sepfir2d(x, row, column).tobytes() == expected.tobytes()
        assert signal.sepfir2d(x.T.copy().T, row, column).tobytes() == expected.tobytes()
    signal.sepfir2d(image.astype("f"), [1, 2, 1], [1, 2, 1])
    for _ in range(2):
        with pytest.raises(TypeError, match="castable"):
            signal.sepfir2d(image.astype("f"), np.array([1, 2, 1]), np.array([1, 2, 1]))
