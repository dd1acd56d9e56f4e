"""fastconv.ndimage: its rules with right values, and SciPy's own functions on random calls."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import _ready, ndimage

scipy_ndimage = pytest.importorskip("scipy.ndimage")

MODES = ["reflect", "mirror", "nearest", "wrap", "constant", "grid-mirror", "grid-wrap", "grid-constant"]
DTYPES = ["f4", "f8", "u1", "i1", "i2", "u2", "i4", "u4", "i8", "c8", "c16", ">f8", "f2"]
LAYOUTS = [np.asarray, np.asfortranarray, lambda x: np.repeat(x, 2, axis=-1)[..., ::2], lambda x: x[::-1]]


# The rules, by hand


def test_the_anchor_lies_in_the_middle_or_behind_it_and_moves_with_the_origin():
    assert ndimage.correlate1d([1, 2, 3], [1, 1]).tolist() == [2, 3, 5]
    assert ndimage.correlate1d([1, 2, 3], [1, 1], origin=-1).tolist() == [3, 5, 6]
    assert ndimage.convolve1d([1, 2, 3], [1, 1]).tolist() == [3, 5, 6]
    assert ndimage.convolve1d([1, 2, 3], [1, 1], origin=-1).tolist() == [2, 3, 5]
    assert ndimage.correlate([1, 2, 3], [1, 2, 3]).tolist() == [9, 14, 17]
    assert ndimage.convolve([1, 2, 3], [1, 2, 3]).tolist() == [7, 10, 15]
    assert ndimage.uniform_filter1d([2, 4, 6], 2, origin=-1).tolist() == [3, 5, 6]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("nearest", [1, 1, 1]),
        ("wrap", [3, 1, 2]),
        ("reflect", [3, 3, 2]),
        ("mirror", [1, 2, 3]),
        ("constant", [0, 0, 0]),
    ],
)
def test_modes_go_on_for_any_reach(mode, expected):
    assert ndimage.correlate1d([1, 2, 3], [1, 0, 0, 0, 0, 0, 0, 0], mode=mode).tolist() == expected


def test_one_pixel_is_repeated():
    assert ndimage.correlate1d(np.ones(1), np.ones(5), mode="mirror").tolist() == [5]


def test_weights_lie_along_fewer_axes_in_ascending_order():
    cube = np.arange(8).reshape(2, 2, 2)
    for axes in ((0, 2), (2, 0)):
        result = ndimage.correlate(cube, [[0, 1], [0, 0]], axes=axes)
        assert result.ravel().tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    copy = ndimage.gaussian_filter(cube, 1, axes=())
    assert copy is not cube
    assert np.array_equal(copy, cube)


def test_cval_is_a_float_for_images_of_integers():
    assert ndimage.correlate1d([1, 2, 3], [1, 1, 1], mode="constant", cval=1.7).tolist() == [4, 6, 6]


def test_any_rank():
    assert ndimage.correlate(3.0, 1.0) == 3.0
    for shape in ((0, 3), (3, 0, 2)):
        assert ndimage.correlate(np.ones(shape), np.ones((1,) * len(shape))).shape == shape
        assert ndimage.gaussian_filter(np.ones(shape), 1).shape == shape
    image, kernel = np.random.default_rng(0).random((3, 4, 5, 3, 2)), np.ones((2, 3, 2, 2, 1))
    np.testing.assert_allclose(ndimage.correlate(image, kernel), scipy_ndimage.correlate(image, kernel))


def test_the_result_has_the_dtype_of_the_image_unless_output_says_otherwise():
    assert ndimage.correlate(np.ones((3, 3), "f4"), np.ones((3, 3))).dtype == np.float32
    half = ndimage.correlate1d([1, 2, 3], [0.5, 0.5])
    assert half.tolist() == [1, 1, 2]
    assert half.dtype == np.int64
    assert ndimage.correlate1d([1, 2, 3], [0.5, 0.5], output=float).tolist() == [1, 1.5, 2.5]
    for output in ("f4", np.float32, np.dtype("f4")):
        assert ndimage.sobel(np.ones((3, 3)), output=output).dtype == np.float32


@pytest.mark.parametrize(
    ("image", "weights", "expected"),
    [
        (np.uint8([200, 100]), [1, 1], [144, 44]),
        (np.uint8([1, 2]), [-1, 0], [255, 255]),
        (np.int8([100, 100]), [1, 1], [-56, -56]),
        (np.int64([-1, -2, -3]), [0.5, 0.5], [-1, -1, -2]),
        (np.int64([2**53 + 1, 0]), [0, 1, 0], [2**53 + 1, 0]),
    ],
)
def test_integers_are_truncated_and_wrap_around(image, weights, expected):
    assert ndimage.correlate1d(image, weights).tolist() == expected
    assert ndimage.correlate1d(np.repeat(image, 5000), [0, 1, 0]).tolist() == np.repeat(image, 5000).tolist()


def test_every_pass_ends_in_the_dtype_of_the_result():
    image = np.zeros((5, 5), np.uint8)
    image[2, 2] = 10
    assert ndimage.gaussian_filter(image, 1)[2].tolist() == scipy_ndimage.gaussian_filter(image, 1)[2].tolist()
    assert ndimage.prewitt(np.uint8([[3, 2, 5], [5, 8, 3]]), 1).tolist() == [[1, 2, 1], [5, 254, 249]]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("value", [1, 7, 100])
def test_a_constant_image_stays_constant(dtype, value):
    for shape in ((9,), (7, 8), (60, 70)):
        image = np.full(shape, value, dtype)
        filtered = [ndimage.gaussian_filter(image, sigma) for sigma in (0.3, 0.5, 1, 2, 3.7, 8)]
        filtered += [ndimage.uniform_filter(image, size) for size in (2, 3, 7, 10, 49)]
        for result in filtered:
            if image.dtype.kind == "f":
                np.testing.assert_allclose(result, image, rtol=1e-6 if dtype == "f4" else 1e-14)
            else:
                assert np.array_equal(result, image)


def test_means_of_integers_are_exact():
    image = np.random.default_rng(0).integers(0, 255, 300).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, (3, 3), "symmetric").astype(int), 7)
    assert np.array_equal(ndimage.uniform_filter1d(image, 7), windows.sum(1) // 7)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 9, 31, 49, 100, 127, 128, 255, 256, 1000])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2"])
def test_means_of_all_sums_of_integers_are_exact(dtype, size):
    limits = np.iinfo(dtype)
    low, high = (limits.min, limits.max) if limits.bits == 8 else (limits.max - 99, limits.max)
    signal = (np.arange((high - low + 1) * size) // size + low).astype(dtype)  # windows sum to one number after another
    sums = np.convolve(
        np.pad(signal.astype(np.int64), (size // 2, (size - 1) // 2), "edge"), np.ones(size, int), "valid"
    )
    expected = (np.sign(sums) * (abs(sums) // size)).astype(dtype)
    assert np.array_equal(ndimage.uniform_filter1d(signal, size, mode="nearest"), expected)
    columns = np.ascontiguousarray(np.broadcast_to(signal[:, np.newaxis], (len(signal), 17)))
    found = ndimage.uniform_filter1d(columns, size, 0, mode="nearest")
    assert np.array_equal(found, np.broadcast_to(expected[:, np.newaxis], columns.shape))


def summed_along(image, weights, axis, mode, cval, origin, dtype):
    """The sums of a pass, tap by tap in float64, truncated and wrapped around."""
    pad = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap", "constant": "constant"}[mode]
    before = len(weights) // 2 + origin
    reach = [(before, len(weights) - 1 - before) if index == axis else (0, 0) for index in range(image.ndim)]
    options = {"constant_values": cval} if mode == "constant" else {}
    padded = np.pad(image.astype(np.float64), reach, pad, **options)
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis)
    return np.trunc(windows @ np.asarray(weights, np.float64)).astype(np.int64).astype(dtype)


@settings(max_examples=120)
@given(
    shape=st.sampled_from([(9000,), (30, 300), (500, 30), (8, 50, 40), (60, 50, 3), (3, 70, 2, 30), (1030, 9)]),
    dtypes=st.tuples(st.sampled_from(["u1", "i1", "u2", "i2", "?"]), st.sampled_from(["u1", "i1", "u2", "i2", "f8"])),
    taps=st.sampled_from([1, 2, 3, 9, 12, 65, 200]),
    mode=st.sampled_from(["reflect", "mirror", "nearest", "wrap", "constant"]),
    cval=st.sampled_from([0, 0, 3, -1.5]),
    is_integer=st.booleans(),
    data=st.data(),
)
def test_passes_of_small_integers(shape, dtypes, taps, mode, cval, is_integer, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    origin = data.draw(st.integers(-(taps // 2), (taps - 1) // 2))
    kernel = rng.integers(-5, 6, taps) if is_integer else rng.integers(-40, 41, taps) / 16  # sums are exact
    image = rng.integers(0, 2**16, shape).astype(dtypes[0])
    options = {"mode": mode, "cval": cval, "origin": origin}
    found = ndimage.correlate1d(image, kernel, axis, output=dtypes[1], **options)
    if dtypes[1] == "f8":
        expected = summed_along(image, 32 * kernel, axis, mode, cval, origin, "i8") / 32
    else:
        expected = summed_along(image, kernel, axis, mode, cval, origin, dtypes[1])
    assert np.array_equal(found, expected)
    if dtypes[0] == dtypes[1]:
        ndimage.correlate1d(image, kernel, axis, output=image, **options)
        assert np.array_equal(image, expected)


def test_sums_beyond_32_bits_wrap_around_as_all_others_do():
    image = np.full((100, 120), 255, np.uint8)
    assert (ndimage.correlate1d(image, [0, 2**40 + 2, 0]) == (255 * 2) % 256).all()
    assert (ndimage.correlate1d(image, [0.0, 2.0**24 + 1, 0], mode="constant", cval=1e12) == 255).all()


def test_what_scipy_gets_wrong_is_right():
    assert np.isnan(ndimage.uniform_filter1d([1, np.nan, 1, 1, 1, 1.0], 3)).tolist() == [True] * 3 + [False] * 3
    assert ndimage.uniform_filter1d([1e16, 1, 1, 1, 1, 1], 3)[-1] == pytest.approx(1)
    assert ndimage.correlate(np.full(2, 1e20), np.full(2, 1e-17)) == pytest.approx([2000, 2000])
    assert ndimage.correlate(np.array([True, False]), [1, 1]).tolist() == [True, True]
    assert ndimage.correlate(np.array([True, False, False]), [0, 1, 1]).view(np.uint8).max() == 1


def test_complex_weights_are_conjugated_by_correlate_alone():
    assert ndimage.correlate1d([1, 2, 3], [1, 1j]).tolist() == [1 - 1j, 1 - 2j, 2 - 3j]
    assert ndimage.convolve1d([1, 2, 3], [1, 1j]).tolist() == [2 + 1j, 3 + 2j, 3 + 3j]
    assert ndimage.correlate1d([1j, 2, 3], [1, 1, 1], mode="constant", cval=1 + 1j).tolist() == [3 + 2j, 5 + 1j, 6 + 1j]
    assert ndimage.correlate1d(np.float32([1, 2]), np.array([1j, 1])).dtype == np.complex64
    assert ndimage.correlate1d([1, 2], [1j, 1]).dtype == np.complex128
    with pytest.warns(UserWarning, match="promoting specified output dtype to complex"):
        assert ndimage.correlate1d([1, 2], [1j, 1], output=float).dtype == np.complex128


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[::-1], lambda x: x.T])
@pytest.mark.parametrize("size", [7, 90])
def test_output_may_be_the_input(view, size):
    for dtype in ("f8", "u1", "f4"):
        for call in (
            lambda x, **more: ndimage.correlate(x, np.ones((3, 3)), **more),
            lambda x, **more: ndimage.gaussian_filter(x, 1, **more),
            lambda x, **more: ndimage.sobel(x, **more),
        ):
            image = (np.random.default_rng(0).random((size, size)) * 99).astype(dtype)
            expected = call(image)
            target = view(image)
            assert call(image, output=target) is target
            assert np.array_equal(target, expected)


def test_output_in_the_other_byte_order_is_filled():
    image = np.random.default_rng(0).random((9, 9))
    output = np.zeros((9, 9), ">f4")
    assert ndimage.gaussian_filter(image, 1, output=output) is output
    np.testing.assert_allclose(output, ndimage.gaussian_filter(image, 1), rtol=1e-6)


def test_gaussian_derivatives():
    impulse = np.zeros(5)
    impulse[2] = 1
    assert ndimage.gaussian_filter1d(impulse, 1, order=1).round(4).tolist() == [0.0947, 0.2414, 0, -0.2414, -0.0947]


def test_one_call_has_the_bits_of_its_passes():
    image = np.random.default_rng(0).standard_normal((130, 140))
    for dtype in ("f4", "f8"):
        blurred = ndimage.gaussian_filter(image.astype(dtype), 1, mode=["reflect", "wrap"])
        columns = ndimage.gaussian_filter1d(image.astype(dtype), 1, axis=0, mode="reflect")
        assert np.array_equal(blurred, ndimage.gaussian_filter1d(columns, 1, axis=1, mode="wrap"))
        both = ndimage.gaussian_filter1d(ndimage.gaussian_filter1d(image.astype(dtype), 1, axis=0), 1, axis=1)
        assert np.array_equal(ndimage.gaussian_filter(image.astype(dtype), 1), both)


# Errors, as SciPy has them


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda: ndimage.correlate1d([1, 2], [1, 1], mode="circular"),
            RuntimeError,
            "boundary mode not supported.*'circular'",
        ),
        (
            lambda: ndimage.correlate([1, 2], [1, 1], mode=["wrap"]),
            RuntimeError,
            "A sequence of modes is not supported",
        ),
        (lambda: ndimage.correlate1d([1, 2], [1, 1], origin=1), ValueError, "Invalid origin"),
        (lambda: ndimage.convolve1d([1, 2], [1, 1], origin=1), ValueError, "Invalid origin"),
        (lambda: ndimage.uniform_filter1d([1, 2], 3, origin=2), ValueError, "invalid origin"),
        (lambda: ndimage.uniform_filter1d([1, 2], 0), RuntimeError, "incorrect filter size"),
        (lambda: ndimage.correlate1d([1, 2], []), RuntimeError, "no filter weights given"),
        (lambda: ndimage.correlate1d([1, 2], [[1]]), RuntimeError, "no filter weights given"),
        (lambda: ndimage.correlate([1, 2], 1), RuntimeError, r"weights.ndim \(0\) must match len\(axes\) \(1\)"),
        (lambda: ndimage.correlate(np.ones((2, 2)), [1, 1], axes=5), ValueError, "out of range"),
        (
            lambda: ndimage.correlate(np.ones((2, 2)), [1, 1], axes=0.5),
            TypeError,
            "cannot be interpreted as an integer",
        ),
        (lambda: ndimage.gaussian_filter(np.ones((2, 2)), 1, axes=(0, 0)), ValueError, "axes must be unique"),
        (
            lambda: ndimage.gaussian_filter(np.ones((2, 2)), [1, 2, 3]),
            RuntimeError,
            "sequence argument must have length",
        ),
        (lambda: ndimage.gaussian_filter(np.ones(2), 1, order=-1), ValueError, "order must be non-negative"),
        (lambda: ndimage.gaussian_filter(np.ones(2), 1, radius=-1), ValueError, "Radius must be a nonnegative integer"),
        (lambda: ndimage.gaussian_filter1d(np.ones(2), 0), ZeroDivisionError, "division by zero"),
        (lambda: ndimage.correlate1d([1, 2], [1], axis=1), np.exceptions.AxisError, "axis 1"),
        (lambda: ndimage.sobel(np.ones(3), output=np.ones(2)), RuntimeError, "output shape not correct"),
        (lambda: ndimage.sobel(np.ones(3), output="bool"), RuntimeError, "output must have numeric dtype"),
        (lambda: ndimage.sobel(np.ones(3) * 1j, output="f4"), RuntimeError, "output must have complex dtype"),
        (lambda: ndimage.sobel(np.ones(3), output=complex), RuntimeError, "output must have real dtype"),
        (lambda: ndimage.sobel(np.ones(3), cval=1j), ValueError, "cval must be real"),
        (lambda: ndimage.sobel(np.ones(3, np.longdouble)), RuntimeError, "not supported"),
        (lambda: ndimage.sobel(np.ones(3, object)), RuntimeError, "not supported"),
    ],
)
def test_errors(call, kind, words):
    for _ in range(2):  # plans that are remembered must not let anything pass
        with pytest.raises(kind, match=words):
            call()


# SciPy on random calls


def drawn_call(rng):
    """A function's name, its arguments, and the options of a random call."""
    rank = int(rng.integers(1, 5))
    shape = tuple(int(rng.integers(1, [300, 40, 12, 6][rank - 1])) for _ in range(rank))
    dtype = str(rng.choice(DTYPES))
    image = rng.standard_normal(shape) * 20
    image = abs(image) if "u" in dtype else image + 1j * rng.standard_normal(shape) if "c" in dtype else image
    image = LAYOUTS[rng.integers(4)](image.astype(dtype))
    axis = int(rng.integers(-rank, rank))

    def weights(*sizes):
        kernel = rng.standard_normal(sizes)
        return np.rint(3 * kernel) if rng.integers(2) else kernel

    name = str(rng.choice([name for name in ndimage.__all__ if not name.startswith("generic")]))
    options = {"mode": str(rng.choice(MODES)), "cval": float(rng.choice([0, 0, 1.5]))}
    if name in ("correlate", "convolve"):
        size = [int(rng.integers(1, 6 if rank < 4 else 4)) for _ in range(rank)]
        arguments = (weights(*size),)
        if name == "correlate":
            options["origin"] = [int(rng.integers(-(n // 2), (n - 1) // 2 + 1)) for n in size]
    elif name in ("correlate1d", "convolve1d"):
        arguments = weights(int(rng.integers(1, 9))), axis
    else:
        arguments = {
            "gaussian_filter": (float(rng.choice([0.5, 1, 2])), int(rng.integers(0, 3))),
            "gaussian_filter1d": (1.3, axis, int(rng.integers(0, 3))),
            "uniform_filter": (int(rng.integers(1, 6)),),
            "uniform_filter1d": (int(rng.integers(1, 6)), axis),
            "sobel": (axis,),
            "prewitt": (axis,),
            "laplace": (),
        }.get(name, (1.2,))
    if name in ("gaussian_filter", "uniform_filter", "sobel", "laplace") and rng.integers(3) == 0:
        options["mode"] = [str(rng.choice(MODES)) for _ in range(rank)]
    if image.dtype.kind != "c" and rng.integers(2):
        options["output"] = str(rng.choice(["f4", "f8"]))
    return name, image, arguments, options


@pytest.mark.parametrize("seed", range(400))
def test_scipy_on_random_calls(seed):
    name, image, arguments, options = drawn_call(np.random.default_rng(seed))
    theirs = image.astype("f4") if image.dtype == np.float16 else image  # which SciPy refuses
    with warnings.catch_warnings(action="ignore"):
        expected = getattr(scipy_ndimage, name)(theirs, *arguments, **options)
    found = getattr(ndimage, name)(image, *arguments, **options)
    assert found.shape == expected.shape
    if image.dtype == np.float16 and "output" not in options:
        assert found.dtype == np.float16
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=0.2)
        return
    assert found.dtype == expected.dtype
    if found.dtype.kind in "iu":  # truncated: of sums that are integers but for rounding, one or the other
        with np.errstate(over="ignore"):
            far = (found != expected) & (abs(found.astype(float) - expected.astype(float)) != 1)
        assert far.mean() < 0.01
        assert (found != expected).mean() < (0.2 if "gaussian" in name or "uniform" in name else 0.06)
        return
    single = found.real.dtype == np.float32
    scale = abs(expected).max() + abs(theirs.astype(complex)).max()
    np.testing.assert_allclose(
        found, expected, rtol=1e-5 if single else 1e-12, atol=(1e-5 if single else 1e-12) * scale
    )


def test_nothing_of_scipy_is_called(monkeypatch):
    for name in ndimage.__all__:
        monkeypatch.setattr(scipy_ndimage, name, None)
    for seed in range(40):
        name, image, arguments, options = drawn_call(np.random.default_rng(seed))
        getattr(ndimage, name)(image, *arguments, **options)


# Calls that are remembered


def twice(call, *arrays, **options):
    """Return the results of a call that is not remembered, and of one that is."""
    _ready.calls.clear()
    first = call(*arrays, **options)
    return first, call(*arrays, **options)


def assert_same(first, second):
    assert second is not first
    assert second.dtype == first.dtype
    assert second.tobytes() == first.tobytes()


CALLS = [
    lambda image, kernel, **options: ndimage.correlate(image, kernel, **options),
    lambda image, kernel, **options: ndimage.convolve(image, kernel, **options),
    lambda image, kernel, **options: ndimage.correlate1d(image, kernel[0], 0, **options),
    lambda image, kernel, **options: ndimage.gaussian_filter(image, 0.8, **options),
    lambda image, kernel, **options: ndimage.uniform_filter(image, (2, 3), **options),
    lambda image, kernel, **options: ndimage.sobel(image, 0, **options),
]


@pytest.mark.parametrize("dtype", [*DTYPES, "?", "u8"])
@pytest.mark.parametrize("call", CALLS)
def test_remembered_calls_give_the_same(call, dtype):
    rng = np.random.default_rng(3)
    image = rng.standard_normal((7, 6)) * 90
    image = (image * (1 + 1j) if np.dtype(dtype).kind == "c" else np.abs(image)).astype(dtype)
    kernels = [rng.standard_normal((3, 4)), rng.integers(-3, 4, (3, 4)), np.ones((3, 4), bool)]
    kernels += [kernels[0].astype("f4")[:, ::-1], kernels[0].T.copy().T, kernels[0] * (2 - 1j)]
    for kernel in kernels:
        for options in (
            {},
            {"mode": "constant", "cval": 2.5},
            {"mode": "wrap", "output": "c16" if np.iscomplexobj(image) else float},
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                for layout in LAYOUTS:
                    assert_same(*twice(call, image, kernel, **options))
                    remembered = call(layout(image), kernel, **options)
                    _ready.calls.clear()
                    assert_same(call(layout(image), kernel, **options), remembered)


def test_remembered_calls_know_what_integers_need():
    small, large = np.ones((4, 4), np.int64), np.full((4, 4), 2**53 + 1)
    kernel = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]])
    twice(ndimage.correlate, small, kernel)
    assert (ndimage.correlate(large, kernel) == 2**54 + 2).all()
    assert (ndimage.correlate(-large, kernel) == -(2**54) - 2).all()
    twice(ndimage.correlate, small.astype(np.uint64), kernel)
    top = np.full((4, 4), 2**63, np.uint64)
    _ready.calls.clear()
    assert (ndimage.correlate(top, kernel / 2) == 2**63).all()
    twice(ndimage.uniform_filter, small, 3)
    assert (ndimage.uniform_filter(np.full((4, 4), 2**50), 3) == 2**50).all()


def test_remembered_calls_write_to_what_is_given():
    image, kernel = np.arange(20.0).reshape(4, 5), np.ones((3, 3))
    expected, _ = twice(ndimage.correlate, image, kernel)
    for out in (np.empty((4, 5)), np.empty((5, 4)).T, np.empty((4, 10))[:, ::2]):
        for _ in range(2):
            out[...] = -1
            assert ndimage.correlate(image, kernel, out) is out
            assert np.array_equal(out, expected)
    for _ in range(2):
        own = image.copy()
        assert ndimage.correlate(own, kernel, own) is own
        assert np.array_equal(own, expected)
    narrow = np.empty((4, 5), np.uint8)
    for _ in range(2):
        assert np.array_equal(ndimage.correlate(image, kernel, narrow), expected.astype(np.uint8))
    locked = np.empty((4, 5))
    locked.flags.writeable = False
    with pytest.raises(ValueError, match=r"read-only|writeable"):
        ndimage.correlate(image, kernel, locked)


def test_remembered_calls_are_told_apart_by_their_options():
    image, kernel = np.arange(6.0), np.array([1.0, 2.0])
    twice(ndimage.correlate1d, image, kernel, mode="constant", cval=0)
    with pytest.raises(ValueError, match="cval must be real"):
        ndimage.correlate1d(image, kernel, mode="constant", cval=0j)
    twice(ndimage.correlate1d, image, kernel, output=float)
    with pytest.warns(UserWarning, match="promoting"):
        twice(ndimage.correlate1d, image, kernel * 1j, output=float)
    with pytest.warns(UserWarning, match="promoting"):
        ndimage.correlate1d(image, kernel * 1j, output=float)
    assert ndimage.correlate1d(image.astype(">f8"), kernel).dtype.isnative
    twice(ndimage.gaussian_filter, np.eye(5), [1, 2])


def test_complex_arrays_are_filtered_by_parts():
    rng = np.random.default_rng(5)
    for shape in ((9, 8), (400, 300)):
        image, kernel = rng.standard_normal(shape) + 1j * rng.standard_normal(shape), rng.standard_normal((3, 3))
        image[2, 3] = complex(np.inf, 1)  # whose imaginary part stays finite
        for call in CALLS:
            for options in ({}, {"mode": "wrap"}, {"output": np.complex64}):
                expected = [
                    call(part, kernel, **options | ({"output": np.float32} if "output" in options else {}))
                    for part in (image.real, image.imag)
                ]
                for result in twice(call, image, kernel, **options):
                    np.testing.assert_allclose(result.real, expected[0], rtol=1e-5)
                    np.testing.assert_allclose(result.imag, expected[1], rtol=1e-5, atol=1e-6)
        own = image.copy()
        ndimage.gaussian_filter(own, 1, output=own)
        np.testing.assert_array_equal(own, ndimage.gaussian_filter(image, 1))
