"""Kernels larger than the image, dilations wider than it, and images without pixels: right, and no dearer than what is seen of them."""

import itertools
import subprocess
import sys
import textwrap

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import convolve
from strategies import ACTIVATIONS, COMPLEX, CONV, FLOATS, INTEGERS, PADDING_MODES, Problem, assert_agrees, values

import fastconv as fc
from fastconv import _check, _fold, conv

FLOAT32 = np.float32
MAX_UNFOLDED_SPAN = _fold.MAX_UNFOLDED_SPAN


@pytest.fixture(scope="module", autouse=True)
def small_axes_too():
    """Problems of few pixels are drawn, so that the definition is fast, and folded all the same."""
    for span in (0, MAX_UNFOLDED_SPAN):
        _fold.MAX_UNFOLDED_SPAN = span
        conv._plans.clear()
        if span == 0:
            yield


def ones(*shape):
    return np.ones(shape, FLOAT32)


@st.composite
def far_reaching(draw, dtypes=FLOATS, weight_dtypes=None, activations=(None,)):
    """A problem of few pixels whose kernels, dilation, padding and stride may all be larger than its image."""
    axes = draw(st.integers(1, 3))
    largest = {1: 60, 2: 14, 3: 6}[axes]
    amount = st.one_of(st.integers(0, 3), st.integers(0, 2 * largest))
    size, kernel, dilation, stride, padding = [], [], [], [], []
    for _ in range(axes):
        n, before, after = draw(st.integers(1, 1 + largest // 3)), draw(amount), draw(amount)
        step = draw(st.one_of(st.integers(1, 2), st.integers(1, max(1, n + before + after - 1))))
        most = min((n + before + after - 1) // step + 1, largest)
        taps = draw(st.one_of(st.integers(1, min(3, most)), st.integers(1, most)))
        outputs = n + before + after - (taps - 1) * step
        least = -(-outputs // {1: 60, 2: 8, 3: 4}[axes])  # few outputs: the definition is slow
        size.append(n)
        kernel.append(taps)
        dilation.append(step)
        stride.append(draw(st.one_of(st.just(least), st.integers(least, least + outputs))))
        padding.append((before, after))
    rank = draw(st.sampled_from(["bank", "bank", "filter", "kernel"]))
    groups = draw(st.sampled_from([1, 2])) if rank == "bank" else 1
    filters = groups * draw(st.integers(1, 3))
    channels = draw(st.integers(1, 3)) if rank != "kernel" else 1
    weight_shape = {"bank": (filters, channels), "filter": (channels,), "kernel": ()}[rank] + tuple(kernel)
    planes = [] if rank == "kernel" else [channels * groups]
    lead = draw(st.lists(st.integers(1, 2), max_size=1))
    dtype = draw(st.sampled_from(dtypes))
    weight_dtype = dtype if weight_dtypes is None else draw(st.sampled_from(weight_dtypes))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    bias_shape = {"bank": (filters,), "filter": (1,), "kernel": ()}[rank]
    bias = np.asarray(values(rng, bias_shape, weight_dtype), weight_dtype) if draw(st.booleans()) else None
    return Problem(
        axes,
        values(rng, (*lead, *planes, *size), dtype),
        values(rng, weight_shape, weight_dtype),
        bias,
        {
            "stride": tuple(stride),
            "padding": draw(st.one_of(st.just(tuple(padding)), st.sampled_from(["same", "same_lower"]))),
            "dilation": tuple(dilation),
            "groups": groups,
            "padding_mode": draw(st.sampled_from(PADDING_MODES)),
            "flip": draw(st.booleans()),
            "activation": draw(st.sampled_from(activations)),
        },
    )


# Values


@given(data=st.data())
@pytest.mark.parametrize("algorithm", ["auto", "direct", "fft"])
def test_floats_agree_with_the_definition(algorithm, data):
    problem = data.draw(far_reaching(activations=[None, *ACTIVATIONS]))
    assert_agrees(problem.result(algorithm=algorithm), problem)


@given(data=st.data())
def test_complex_numbers_agree_with_the_definition(data):
    problem = data.draw(far_reaching(COMPLEX))
    assert_agrees(problem.result(), problem)


@given(data=st.data())
def test_integers_agree_with_the_definition(data):
    problem = data.draw(far_reaching(INTEGERS, INTEGERS, activations=[None, "relu", "relu6"]))
    assert_agrees(problem.result(), problem)


@given(data=st.data())
def test_banks_agree_with_the_definition(data):
    problem = data.draw(far_reaching([np.float64, np.uint8]).filter(lambda p: p.weight.ndim == p.axes + 2))
    bank = fc.FilterBank(problem.weight, problem.bias, **problem.options | {"padding": "full", "algorithm": "direct"})
    problem.options["padding"] = "full"
    for images in (problem.input, problem.input[..., :-1] if problem.input.shape[-1] > 1 else problem.input):
        problem.input = images
        assert_agrees(bank(images), problem)
        assert_agrees(bank(images), problem)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_small_axis_agrees_with_the_definition(size, mode, rng):
    """Integers, so that taps that were added up wrongly would show."""
    image = rng.integers(-9, 10, size)
    for taps, dilation, stride, before, after in itertools.product(
        [1, 2, 3, 4, 9], [1, 2, 3, 7, 20], [1, 2, 9, 30], [0, 1, 8, 41], [0, 5, 40]
    ):
        if (taps - 1) * dilation < size + before + after:
            weight = rng.integers(-9, 10, taps)
            options = {"stride": stride, "dilation": dilation, "padding": ((before, after),), "padding_mode": mode}
            result = fc.conv1d(image, weight, **options)
            np.testing.assert_array_equal(result, convolve(image, weight, axes=1, **options), err_msg=str(options))


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("dtype", [FLOAT32, np.uint8])
def test_a_dilation_of_many_periods(mode, dtype, rng):
    """Beyond its edges a signal of 5 samples repeats itself after 5, 8 or 10, and is constant with the others."""
    signal, weight = values(rng, (2, 3, 5), dtype), values(rng, (4, 3, 3), dtype)
    options = {"padding_mode": mode, "groups": 1}
    expected = fc.conv1d(signal, weight, dilation=40 + 2, padding=40 + 2, **options)
    for dilation in (10**8 + 2, 4 * 10**13 + 2):
        for algorithm in ("auto", "direct"):
            result = fc.conv1d(signal, weight, dilation=dilation, padding=dilation, algorithm=algorithm, **options)
            np.testing.assert_array_equal(result, expected)


def pixel(signal, place, mode):
    """What lies at a place of a padded signal, however far away."""
    n = len(signal)
    if mode in ("zeros", "replicate"):
        return signal[min(max(place, 0), n - 1)] if mode == "replicate" or 0 <= place < n else 0
    back = {"circular": [], "symmetric": range(n - 1, -1, -1), "reflect": range(n - 2, 0, -1)}[mode]
    around = [*range(n), *back]
    return signal[around[place % len(around)]]


@pytest.mark.parametrize("dtype", [FLOAT32, np.int16, np.complex64])
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_outputs_a_billion_pixels_apart(mode, dtype):
    signal, weight = np.arange(1, 6).astype(dtype), np.array([1, 10, 100], dtype)
    options = {"stride": 10**9, "padding": 2 * 10**9, "dilation": 10**9 - 1}
    result = fc.conv1d(signal, weight, padding_mode=mode, **options)
    places = [[o * 10**9 + t * (10**9 - 1) - 2 * 10**9 for t in range(3)] for o in range(3)]
    expected = [sum(weight[t] * pixel(signal, row[t], mode) for t in range(3)) for row in places]
    np.testing.assert_array_equal(result, expected)


huge = st.one_of(
    st.integers(1, 4),
    st.builds(lambda power, more: 2**power + more, st.sampled_from([16, 31, 32, 40, 46]), st.integers(-3, 3)),
)


@given(data=st.data(), size=st.integers(1, 5), taps=st.integers(1, 3), mode=st.sampled_from(PADDING_MODES))
def test_huge_numbers_in_any_option(data, size, taps, mode):
    before, after, dilation = data.draw(huge), data.draw(huge), data.draw(huge)
    room = size + before + after - (taps - 1) * dilation
    assume(room > 0)
    stride = data.draw(st.integers(-(-room // 4), 2 * room))  # four outputs at most
    signal, weight = np.arange(1.0, size + 1), np.array([1.0, 10, 100][:taps])
    algorithm = data.draw(st.sampled_from(["auto", "direct", "fft"]))
    result = fc.conv1d(
        signal,
        weight,
        stride=stride,
        padding=((before, after),),
        dilation=dilation,
        padding_mode=mode,
        algorithm=algorithm,
    )
    places = [[o * stride + t * dilation - before for t in range(taps)] for o in range((room - 1) // stride + 1)]
    expected = [sum(weight[t] * pixel(signal, row[t], mode) for t in range(taps)) for row in places]
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "winograd", "fft"])
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_algorithms_asked_for_do_what_is_left_of_kernels(algorithm, mode, rng):
    for size, taps, options in (
        ((4, 4), 9, {"padding": "same"}),
        ((1, 1), 3, {"padding": 1}),
        ((3, 5), 3, {"padding": 40, "dilation": 40}),
        ((2, 7), 5, {"padding": "full", "stride": 3}),
    ):
        image, weight = values(rng, (2, *size), np.float64), values(rng, (3, 2, taps, taps), np.float64)
        if algorithm == "winograd" and "stride" in options:
            continue
        result = fc.conv2d(image, weight, algorithm=algorithm, padding_mode=mode, **options)
        np.testing.assert_allclose(result, convolve(image, weight, padding_mode=mode, **options), atol=1e-12)


# What is not finite


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (20, 3), (9, 40), (40, 40), (20, 20)])
@pytest.mark.parametrize("dtype", [FLOAT32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_weights_that_are_not_finite_meet_the_zeros_of_the_padding(dtype, place, bad, rng):
    """Be they cropped or not: the outputs of their filter are what the definition makes of them."""
    image, weight = values(rng, (2, 3, 4), dtype), values(rng, (3, 2, 41, 41), dtype)
    weight[(1, 0, *place)] = bad
    for algorithm in ("auto", "direct", "fft"):
        with np.errstate(invalid="ignore"):
            expected = convolve(image, weight, padding="same")
            result = fc.conv2d(image, weight, padding="same", algorithm=algorithm).astype(float)
        np.testing.assert_allclose(result, expected, rtol=0.01, atol=0.05)
        bank = fc.FilterBank(weight, padding="same", algorithm=algorithm)
        np.testing.assert_array_equal(bank(image).astype(float), result)


def test_complex_weights_that_are_not_finite_do_not_meet_the_zeros_of_the_padding(rng):
    image, weight = values(rng, (5,), np.complex64), values(rng, (41,), np.complex64)
    expected = fc.conv1d(image, weight, padding="same")
    weight[2] = np.inf
    np.testing.assert_array_equal(fc.conv1d(image, weight, padding="same"), expected)


def test_finite_weights_whose_sum_overflows_are_finite():
    weight = np.full((1, 1, 4000), 3e38, FLOAT32)
    result = fc.conv1d(np.array([[1e-30]], FLOAT32), weight, padding=2000)
    np.testing.assert_allclose(result, 3e8, rtol=1e-6)


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_a_nan_reaches_exactly_the_outputs_that_see_it(mode, rng):
    image, weight = values(rng, (5, 6), FLOAT32), values(rng, (17, 23), FLOAT32)
    image[1, 4] = np.nan
    options = {"padding": ((30, 9), (3, 40)), "padding_mode": mode, "dilation": (2, 1)}
    np.testing.assert_array_equal(
        np.isnan(fc.conv2d(image, weight, **options)), np.isnan(convolve(image, weight, **options))
    )


# Rounding


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "symmetric"])
@pytest.mark.parametrize("dtype", [FLOAT32, np.float16])
def test_taps_are_added_up_in_double_precision(dtype, mode, rng):
    image, weight = values(rng, (3, 3), dtype), values(rng, (301, 301), dtype)
    options = {"padding": "same", "padding_mode": mode}
    exact = convolve(image, weight, **options)
    result = fc.conv2d(image, weight, precision="highest", **options)
    np.testing.assert_allclose(result, exact, rtol=np.finfo(dtype).eps, atol=1e-6 * np.abs(exact).max())


def test_integers_are_added_up_exactly():
    image, weight = np.full((2, 2), 255, np.uint8), np.full((91, 91), -128, np.int8)  # 2.7e8 fit int32
    result = fc.conv2d(image, weight, padding="same", padding_mode="reflect")
    assert result.dtype == np.int32
    assert (result == -128 * 255 * 91 * 91).all()
    big = np.full(1001, 2**40)
    assert (fc.conv1d([2**10, 2**10], big, padding="same", padding_mode="symmetric") == 1001 * 2**50).all()
    with pytest.raises(ValueError, match=r"^input would need sums"):
        fc.conv1d([2**20, 2**20], big, padding="same", padding_mode="symmetric")


# No pixels


ALGORITHMS = ["auto", "direct", "winograd", "fft"]
EMPTY = [  # image, weight, options, output
    ((3, 0, 8), (4, 3, 3, 3), {"padding": "same"}, (4, 0, 8)),
    ((3, 0, 0), (4, 3, 3, 3), {"padding": "same_lower", "stride": 2}, (4, 0, 0)),
    ((3, 0, 8), (4, 3, 1, 1), {"padding": "full"}, (4, 0, 8)),
    ((3, 4, 0), (2, 3, 4, 1), {"padding": ((5, 2), (0, 1))}, (2, 8, 1)),
    ((1, 1, 0, 5), (2, 1, 3, 3), {"padding": 2}, (1, 2, 2, 7)),
    ((2, 9, 0), (3, 3, 1), {"padding": ((0, 2),), "groups": 3}, (2, 3, 2)),
    ((0, 3, 8, 9), (4, 3, 3, 3), {"padding": 1}, (0, 4, 8, 9)),
    ((0, 3, 0, 0), (4, 3, 3, 3), {"padding": 30, "dilation": 20}, (0, 4, 20, 20)),
    ((2, 0, 3, 5, 5, 5), (4, 3, 3, 3, 3), {"padding": "same"}, (2, 0, 4, 5, 5, 5)),
    ((0, 0), (3, 3), {"padding": 2}, (2, 2)),
    ((0,), (3,), {"padding": "full"}, (2,)),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", [FLOAT32, np.float64, np.float16, np.uint8, np.complex64])
@pytest.mark.parametrize(("image", "weight", "options", "shape"), EMPTY)
def test_images_without_pixels_have_the_outputs_of_zeros(image, weight, options, shape, dtype, algorithm):
    axes = len(weight) - 2 if len(weight) > 2 else len(weight)
    filters = weight[0] if len(weight) > 2 else 1
    bias = np.arange(filters).astype(dtype) if len(weight) > 2 else None
    arrays = np.zeros(image, dtype), np.ones(weight, dtype), bias
    convolve_all = [lambda: CONV[axes](*arrays, algorithm=algorithm, **options)]
    if len(weight) > 2 and options["padding"] != 30:
        convolve_all.append(lambda: fc.FilterBank(*arrays[1:], algorithm=algorithm, **options)(arrays[0]))
    for attempt in convolve_all:
        try:
            result = attempt()
        except ValueError as error:
            assert str(error).startswith(f"algorithm '{algorithm}' cannot do this")  # noqa: PT017 - either outcome will do
            assert algorithm == "winograd" or dtype in (np.uint8, np.complex64)
            continue
        assert result.shape == shape
        expected = 0 if bias is None else bias.reshape(-1, *[1] * axes)
        np.testing.assert_array_equal(result, np.broadcast_to(expected, shape))


def test_no_pixels_and_nothing_to_see_are_activated_as_anything_else():
    bias = np.linspace(-8, 8, 33).astype(FLOAT32)
    for activation in ACTIVATIONS:
        expected = fc.conv1d(np.zeros((1, 2), FLOAT32), ones(33, 1, 2), bias, activation=activation)
        result = fc.conv1d(np.zeros((1, 0), FLOAT32), ones(33, 1, 2), bias, padding=1, activation=activation)
        np.testing.assert_array_equal(result, expected)


def test_other_padding_needs_pixels_to_repeat():
    with pytest.raises(ValueError, match=r"^padding_mode 'reflect'.*\(1, 0\)"):
        fc.conv1d(ones(1, 0), ones(1, 1, 3), padding=2, padding_mode="reflect")
    assert fc.conv1d(ones(1, 0), ones(1, 1, 3), padding="same", padding_mode="reflect").shape == (1, 0)


def test_a_kernel_does_not_fit_an_image_without_pixels_or_padding():
    with pytest.raises(ValueError, match=r"^weight must fit"):
        fc.conv2d(ones(4, 0, 9), ones(6, 4, 3, 3))


# What it costs


def fold_of(image, weight, **options):
    dtypes = (np.dtype(FLOAT32),) * 2
    chosen = _check.options(len(weight) - 2, _check.Options(**options))
    return _fold.fold(_check.problem(len(weight) - 2, image, weight, None, dtypes, chosen))


@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((64, 56, 56), (64, 64, 3, 3), {"padding": 1}),
        ((3, 224, 224), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
        ((512, 1, 1), (512, 512, 3, 3), {"padding": 1}),
        ((64, 7, 7), (64, 64, 3, 3), {"padding": 1, "padding_mode": "reflect"}),
        ((8, 40, 40), (8, 1, 5, 5), {"padding": "same", "dilation": 6, "groups": 8, "padding_mode": "replicate"}),
        ((1, 90, 90), (2, 1, 90, 90), {"padding": "same", "padding_mode": "circular"}),
        ((1, 10**6), (1, 1, 31), {"padding": "full"}),
        ((1, 10**6), (1, 1, 31), {"stride": 10**5}),
    ],
)
def test_most_problems_are_left_as_they_are(image, weight, options, monkeypatch):
    monkeypatch.setattr(_fold, "MAX_UNFOLDED_SPAN", MAX_UNFOLDED_SPAN)
    assert fold_of(image, weight, **options) is None


@pytest.mark.parametrize(
    ("size", "taps", "dilation", "mode", "kernel"),
    [
        (10, 2001, 1, "zeros", 19),
        (10, 2001, 1, "reflect", 18),
        (10, 2001, 1, "circular", 10),
        (10, 2001, 1, "symmetric", 20),
        (10, 2001, 1, "replicate", 19),
        (64, 3, 1000, "reflect", 3),
        (64, 3, 10**8, "zeros", 1),
        (64, 3, 10**8 + 1, "circular", 3),
        (64, 5, 10**8, "replicate", 3),
        (64, 3, 64, "circular", 1),
        (1, 3, 5, "reflect", 1),
    ],
)
def test_only_taps_that_see_something_of_their_own_are_left(size, taps, dilation, mode, kernel):
    options = {"padding": "same", "dilation": dilation, "padding_mode": mode}
    fold = fold_of((1, size, size), (1, 1, taps, taps), **options)
    assert fold.reduced.kernel == (1, kernel, kernel)
    left = fold.reduced
    for n, k, d, p in zip(left.size, left.kernel, left.dilation, left.pad, strict=True):
        assert (k - 1) * d <= _fold.GATHER_RATIO * max(n, size)
        assert p <= _fold.GATHER_RATIO * size


def test_a_bank_folds_its_weights_once_for_all_images_of_a_kind(monkeypatch, rng):
    folded, weights = [], _fold.Fold.reduce_weight
    monkeypatch.setattr(_fold.Fold, "reduce_weight", lambda fold, weight: folded.append(fold) or weights(fold, weight))
    bank = fc.FilterBank(values(rng, (2, 1, 101), FLOAT32), padding="same")
    for count in (1, 2, 3, 1, 2, 3):
        image = values(rng, (count, 1, 10), FLOAT32)
        np.testing.assert_allclose(bank(image), convolve(image, bank.weight, axes=1, padding="same"), atol=1e-5)
    assert len(folded) == 1
    image = values(rng, (1, 14), FLOAT32)  # sees more of the taps
    np.testing.assert_allclose(bank(image), convolve(image, bank.weight, axes=1, padding="same"), atol=1e-5)
    assert len(folded) == 2


SPARING = [
    "fc.conv2d(ones(10, 10), huge_kernel, padding='same')",
    "fc.conv2d(ones(10, 10), huge_kernel, padding='same', padding_mode='reflect')",
    "fc.conv2d(ones(10, 10), huge_kernel, padding='same', padding_mode='replicate', algorithm='fft')",
    "fc.conv2d(ones(10, 10).astype(np.uint8), huge_kernel.view(np.uint8)[:, ::4], padding='same')",
    "[fc.conv2d(ones(16, 64, 64), ones(16, 16, 3, 3), dilation=1000, padding=1000, padding_mode=mode) for mode in modes]",
    "[fc.conv2d(ones(16, 64, 64), ones(16, 16, 3, 3), dilation=10**4, padding=10**4, padding_mode=mode) for mode in modes]",
    "[fc.conv1d(ones(5), ones(3), dilation=10**8, padding=10**8, padding_mode=mode) for mode in modes]",
    "[fc.conv1d(ones(1, 8), ones(1, 1, 3), dilation=10**9, padding=10**9, padding_mode=mode) for mode in modes]",
    "[fc.conv1d(ones(5), ones(3), dilation=2**31, padding=2**31, algorithm=a) for a in ('direct', 'fft', 'winograd')]",
    "fc.conv2d(ones(2, 4, 4), ones(8, 2, 2, 2), dilation=(2**31 - 1, 2**31 - 4), padding=((2**31 - 1, 0), (2**31 - 4, 0)))",
    "fc.conv2d(ones(3, 2, 4), ones(9, 3, 3, 3), dilation=2**31 - 1, padding=2**31 - 1, padding_mode='replicate')",
    "fc.FilterBank(ones(1, 1, 3), dilation=10**9, padding='same')(ones(1, 8))",
    "fc.conv2d(np.broadcast_to(FLOAT32(1), (2**20, 2**20)), ones(3, 3), stride=2**18)",
    "fc.conv2d(ones(10, 10), np.broadcast_to(FLOAT32(1), (2**20, 2**20)), padding=2**19, stride=2**19)",
    "fc.conv2d(ints(10, 10), np.broadcast_to(ints(1), (2**20, 2**20)), padding=2**19, stride=2**19)",
    "fc.conv2d(np.broadcast_to(ints(1), (2**20, 2**20)), ints(3, 3), stride=2**18)",
    "fc.conv1d(np.broadcast_to(ints(1), (2**50 - 1,))[: 2**48], ints(3), stride=2**46)",
]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory was in use at most")
def test_what_is_not_seen_takes_no_memory():
    """Each in a process of its own beside arrays of 16 MB, so that no other has left memory to be used again."""
    calls = "\n".join(f"call(lambda: {call})" for call in SPARING)
    program = textwrap.dedent(
        """
        import os
        import numpy as np, fastconv as fc
        FLOAT32 = np.float32
        modes = ["zeros", "reflect", "replicate", "circular", "symmetric"]
        ones, ints = lambda *s: np.ones(s, FLOAT32), lambda *s: np.ones(s, np.int64)
        huge_kernel = ones(2001, 2001)
        fc.conv2d(ones(10, 10), ones(3, 3), algorithm="fft")  # imports what transforms

        def peak():
            return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024

        def call(attempt):
            if not os.fork():
                before = peak()
                attempt()
                print(peak() - before, flush=True)
                os._exit(0)
            os.wait()
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", program + calls], capture_output=True, text=True, timeout=300, check=True
    )
    grown = [int(line) for line in run.stdout.split()]
    assert len(grown) == len(SPARING), run.stderr
    assert max(grown) <= 16, dict(zip(SPARING, grown, strict=True))


# What cannot be


HOPELESS = [  # image, weight, options, what the message says
    ((3, 13), (3, 3), {"padding": (1, 2**42)}, ("input and padding", "(3, 8796093022219)")),
    ((2**20, 2**20), (3, 3), {}, ("input and padding", "(1048574, 1048574)")),
    ((0, 1, 3, 3), (1, 1, 3, 3), {"padding": 2**40}, ("input", "1099511627776")),
    ((3, 3), (3, 3), {"padding": 2**62}, ("input", str(2**62))),
    ((3, 3), (3, 3), {"padding": 10**5000}, ("padding", "16610 bits")),
    ((3, 3), (3, 3), {"padding": ((1, 1), (0, 10**5000))}, ("padding", "16610 bits")),
    ((3, 3), (3, 3), {"dilation": 10**5000}, ("dilation", "16610 bits")),
    ((3, 3), (3, 3), {"stride": 10**5000}, ("stride", "16610 bits")),
    ((3, 3), (3, 3), {"groups": 10**5000}, ("groups", "16610 bits")),
    ((64, 2**22, 2**22), (64, 64, 3, 3), {"dilation": 2**20, "stride": 2**20, "padding": 2**40}, ("input", "")),
    ((2**11, 2**24, 2**24), (1, 2**11, 3, 3), {"dilation": 2**22, "stride": 2**22}, ("dilation", "4194304")),
]


@pytest.mark.parametrize(("image", "weight", "options", "message"), HOPELESS)
def test_what_no_memory_holds_is_refused_by_name(image, weight, options, message):
    arrays = (np.broadcast_to(FLOAT32(1), shape) for shape in (image, weight))
    with pytest.raises((ValueError, MemoryError)) as refusal:
        fc.conv2d(*arrays, **options)
    assert str(refusal.value).startswith(message[0])
    assert message[1] in str(refusal.value)


@pytest.mark.parametrize("padding_mode", ["replicate", "circular"])
def test_folded_weights_have_the_same_bits_in_any_order(padding_mode, rng):
    image, weight = rng.standard_normal((8, 6)).astype("f4"), rng.standard_normal((3, 35)).astype("f4")
    options = {"padding": ((0, 0), (1, 40)), "padding_mode": padding_mode}
    result = fc.conv2d(image, weight, **options)
    np.testing.assert_array_equal(fc.conv2d(image, np.asfortranarray(weight), **options), result)
    np.testing.assert_array_equal(fc.conv2d(image, np.repeat(weight, 2, axis=1)[:, ::2], **options), result)
