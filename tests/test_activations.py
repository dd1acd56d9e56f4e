"""Activations: their accuracy on every instruction set, their meaning in PyTorch, parameters, residuals and derivatives."""

import copy
import math
import pickle
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problem_table import use_isa

import fastconv as fc
from fastconv import _activations, _core

PARAMETERS = {"clip": ("clip", -0.5, 1.5), "leaky_relu": ("leaky_relu", 0.2), "elu": ("elu", 0.7)}
NAMES = [name for name in _core.ACTIVATIONS if name not in (None, "prelu")]
SLOPES = np.array([0.25, -0.5, 0.0, 1.5, 0.1, 2.0])
ULPS = 2
# One case for each road through the core: (image, weight, options), weights of six filters but for the last.
ROADS = {
    "tiles": ((2, 3, 9, 21), (6, 3, 3, 3), {"algorithm": "direct"}),
    "filters in the lanes": ((2, 40, 4, 4), (6, 40, 3, 3), {"algorithm": "direct"}),
    "pointwise": ((2, 3, 9, 21), (6, 3, 1, 1), {}),
    "sweep": ((2, 6, 20, 37), (6, 1, 3, 3), {"groups": 6, "padding": 1}),
    "stack": ((2, 6, 5, 5), (6, 1, 3, 3), {"groups": 6, "padding": 1}),
    "two maps a channel": ((2, 3, 5, 5), (6, 1, 3, 3), {"groups": 3, "padding": 1}),
    "winograd": ((2, 32, 20, 21), (6, 32, 3, 3), {"algorithm": "winograd", "padding": 1}),
    "few channels": ((2, 3, 40, 41), (6, 3, 3, 3), {"algorithm": "winograd", "padding": 1}),
    "fft": ((2, 2, 30, 41), (6, 2, 9, 9), {"algorithm": "fft"}),
    "far padding": ((2, 6, 7, 7), (6, 6, 3, 3), {"dilation": 5, "padding": 5}),
    "border": ((2, 3, 9, 21), (6, 3, 3, 3), {"padding": 1, "padding_mode": ("reflect", "zeros")}),
    "volumes": ((3, 5, 9, 8), (6, 3, 3, 3, 3), {"padding": 1}),
    "signals": ((2, 3, 50), (6, 3, 5), {}),
    "separable": ((2, 3, 60, 70), (6, 1, 9, 9), {"groups": 3}),
    "separable in depth": ((3, 12, 30, 40), (6, 1, 7, 7, 7), {"groups": 3}),
}
roads = pytest.mark.parametrize("road", ROADS)


def drawn(road: str, dtype: Any = np.float32) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return image, weight, bias and options of a road."""
    image, weight, options = ROADS[road]
    rng = np.random.default_rng(5)
    taps = rng.standard_normal(weight) / math.sqrt(math.prod(weight[1:]))
    if road.startswith("separable"):
        taps = np.ones(weight) * np.arange(1, 7).reshape(-1, *[1] * (len(weight) - 1)) / 500
    return rng.standard_normal(image).astype(dtype), taps.astype(dtype), rng.standard_normal(6).astype(dtype), options


def convolve(image: Any, weight: Any, *arrays: Any, **options: Any) -> Any:
    return (fc.conv1d, fc.conv2d, fc.conv3d)[weight.ndim - 3](image, weight, *arrays, **options)


def alone(x: Any, activation: Any) -> Any:
    """Return an activation of numbers: that of a convolution by 1."""
    return fc.conv1d(x[np.newaxis], np.ones((1, 1, 1), x.dtype), activation=activation)[0]


def exact(name: str, x: Any) -> Any:
    """Return an activation in float64, with the relative accuracy of that for small results as well."""
    t = np.exp(-abs(x))
    if name == "gelu":
        return x * np.vectorize(lambda v: math.erfc(-v * math.sqrt(0.5)) / 2, otypes=[float])(x)
    if name == "gelu_tanh":
        v = np.sqrt(8 / np.pi) * (x + 0.044715 * x**3)
        return x * np.where(v < 0, np.exp(-abs(v)), 1) / (1 + np.exp(-abs(v)))
    below, above = {
        "hardsigmoid": (np.clip(x + 3, 0, 6) / 6,) * 2,
        "hardswish": (np.maximum(x, -3) * (np.clip(x + 3, 0, 6) / 6),) * 2,
        "sigmoid": (t / (1 + t), 1 / (1 + t)),
        "silu": (x * t / (1 + t), x / (1 + t)),
        "tanh": (np.tanh(x),) * 2,
        "elu": (np.expm1(np.minimum(x, 0)), x),
        "softplus": (np.log1p(t), np.where(x > 20, x, x + np.log1p(t))),
        "mish": (x * t * (t + 2) / (t * (t + 2) + 2), x * (1 + 2 * t) / (1 + 2 * t + 2 * t * t)),
    }[name]
    return np.where(x < 0, below, above)


def float32_numbers() -> Any:
    every = np.arange(0, 2**32, 50021, dtype=np.uint64).astype(np.uint32).view(np.float32)
    dense = [np.linspace(-size, size, 30001) for size in (110, 16, 4, 1)]
    return np.concatenate([every[np.isfinite(every)], *dense]).astype(np.float32)


# Accuracy


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("relu", "relu6", "clip", "leaky_relu")])
def test_activations_are_accurate_and_the_same_on_every_isa_with_fma(name):
    x = float32_numbers()
    with np.errstate(all="ignore"):
        expected = exact(name, x.astype(float))
        ulp = np.spacing(abs(expected.astype(np.float32))).astype(float)
    results = {}
    before, _ = _core.current_isa()
    try:
        for isa in _core.available_isas():
            use_isa(isa)
            results[isa] = alone(x, name)
            if isa != "baseline":  # without FMA squares are rounded, which shows in tails
                near = np.isfinite(expected)
                assert (abs(results[isa].astype(float) - expected)[near] / ulp[near]).max() <= ULPS, isa
    finally:
        use_isa(before)
    results.pop("baseline")
    assert len({result.tobytes() for result in results.values()}) <= 1


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("relu", "relu6", "clip", "leaky_relu", "gelu_tanh")]
)
def test_activations_of_float64_are_accurate(name):
    lowest = -3 if name == "gelu" else -30  # rounding of the argument shows in the expectation
    x = np.concatenate([np.linspace(lowest, 30, 20001), np.linspace(-1, 1, 2001)])
    np.testing.assert_allclose(alone(x, name), exact(name, x), rtol=4e-15 if name == "gelu" else 2e-15)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "clip"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends(name, dtype):
    result = alone(np.array([-np.inf, np.inf, np.nan, -1e30, 1e30], dtype), name)
    low, high = {"relu6": (0, 6), "sigmoid": (0, 1), "hardsigmoid": (0, 1), "tanh": (-1, 1), "elu": (-1, np.inf)}.get(
        name, (0, np.inf)
    )
    if name == "leaky_relu":
        low = -np.inf
    assert tuple(result[:2]) == (low, high)
    assert result[4] == (high if high < np.inf else dtype(1e30))
    assert np.isnan(result[2])
    assert np.isfinite(result[3])


# Meaning


@roads
@pytest.mark.parametrize("activation", ["silu", ("clip", -0.2, 0.3), ("leaky_relu", 0.3), ("elu", 0.5), "gelu", "relu"])
def test_roads_apply_the_same_activations(road, activation):
    image, weight, bias, options = drawn(road)
    sums = convolve(image, weight, bias, **options)
    result = convolve(image, weight, bias, activation=activation, **options)
    np.testing.assert_allclose(result, alone(sums.ravel(), activation).reshape(sums.shape), rtol=1e-5, atol=1e-6)


@roads
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("has_bias", [False, True])
def test_prelu_has_a_slope_for_each_filter(road, dtype, has_bias):
    image, weight, bias, options = drawn(road, dtype)
    bias = bias if has_bias else None
    sums = convolve(image, weight, bias, **options)
    shape = (6, *[1] * (weight.ndim - 2))
    expected = np.where(sums < 0, SLOPES.reshape(shape).astype(dtype) * sums, sums)
    result = convolve(image, weight, bias, activation=("prelu", SLOPES), **options)
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)
    bank = fc.FilterBank(weight, bias, activation=["prelu", list(SLOPES)], **options)
    np.testing.assert_allclose(bank(image), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("groups", "stride"), [*product([1, 3], [1, 2])])
def test_prelu_of_transposed_convolutions(groups, stride, rng):
    image, weight = rng.standard_normal((2, 3, 7, 8)), rng.standard_normal((3, 6 // groups, 3, 3))
    options = {"stride": stride, "groups": groups}
    sums = fc.conv_transpose2d(image, weight, **options)
    expected = np.where(sums < 0, SLOPES.reshape(6, 1, 1) * sums, sums)
    activation = "prelu", SLOPES
    np.testing.assert_allclose(fc.conv_transpose2d(image, weight, activation=activation, **options), expected)
    np.testing.assert_allclose(fc.TransposedFilterBank(weight, activation=activation, **options)(image), expected)


def test_one_slope_serves_all_filters(rng):
    image, weight = rng.standard_normal((3, 8, 8)), rng.standard_normal((6, 3, 3, 3))
    expected = fc.conv2d(image, weight, activation=("leaky_relu", 0.25))
    for slopes in (0.25, [0.25], np.float32(0.25)):
        np.testing.assert_allclose(fc.conv2d(image, weight, activation=("prelu", slopes)), expected)


def test_activations_of_images_with_holes(rng):
    image, weight = rng.standard_normal((3, 8, 8)), rng.standard_normal((6, 3, 3, 3))
    for renormalize in (False, True):
        options = {"nan": "ignore", "renormalize": renormalize}
        image[0, 3, 3] = np.nan
        sums = fc.conv2d(image, weight, **options)
        result = fc.conv2d(image, weight, activation=("prelu", SLOPES), **options)
        np.testing.assert_allclose(result, np.where(sums < 0, SLOPES.reshape(6, 1, 1) * sums, sums))


def test_parameters_that_are_the_default_change_nothing():
    assert fc.explain((3, 8, 8), np.ones((2, 3, 3, 3)), activation=("leaky_relu", 0.01)).algorithm == "direct"
    banks = [fc.FilterBank(np.ones((2, 3, 3, 3)), activation=a) for a in ("elu", ("elu", 1), ["elu", np.float64(1)])]
    assert banks[0] == banks[1] == banks[2]


def test_banks_keep_their_activation(rng):
    image, weight = rng.standard_normal((3, 8, 8)), rng.standard_normal((6, 3, 3, 3))
    slopes = SLOPES.copy()
    bank = fc.FilterBank(weight, activation=("prelu", slopes))
    before = bank(image)
    slopes[:] = 9
    for other in (bank, copy.deepcopy(bank), pickle.loads(pickle.dumps(bank))):
        assert np.array_equal(other(image), before)
        assert other == bank
    assert bank != fc.FilterBank(weight, activation=("prelu", slopes))
    assert repr(bank) == "FilterBank(3 -> 6, kernel 3x3, activation='prelu')"
    assert repr(fc.FilterBank(weight, activation=("clip", 0, 1))).endswith("activation=('clip', 0, 1))")


@pytest.mark.parametrize(
    ("activation", "error", "words"),
    [
        ("prelu", ValueError, "slopes"),
        (("prelu", [1.0, 2.0]), ValueError, "each of 6 filters"),
        (("prelu", [1j] * 6), TypeError, "real"),
        ("clip", ValueError, "low, high"),
        (("clip", 1, 0), ValueError, "low <= high"),
        (("clip", math.nan, 0), ValueError, "finite"),
        (("elu", math.inf), ValueError, "finite"),
        (("elu", True), TypeError, "real numbers"),
        (("elu", "1"), TypeError, "real numbers"),
        (("silu", 1.0), ValueError, "'silu'"),
        ("swish", ValueError, "'silu'"),
        ("GELU", ValueError, "'gelu'"),
    ],
)
def test_wrong_activations_are_refused(activation, error, words):
    weight = np.ones((6, 3, 3, 3))
    for call in (
        lambda: fc.conv2d(np.ones((3, 8, 8)), weight, activation=activation),
        lambda: fc.FilterBank(weight, activation=activation),
    ):
        with pytest.raises(error, match="activation") as caught:
            call()
        assert words in str(caught.value)


def test_torch_agrees():
    torch = pytest.importorskip("torch")
    functions = torch.nn.functional
    x = torch.linspace(-12, 25, 4001, dtype=torch.float64)
    theirs = {
        "clip": lambda t: functions.hardtanh(t, -0.5, 1.5),
        "leaky_relu": lambda t: functions.leaky_relu(t, 0.2),
        "elu": lambda t: functions.elu(t, 0.7),
        "gelu_tanh": lambda t: functions.gelu(t, approximate="tanh"),
    }
    for name in NAMES:
        expected = theirs.get(name, getattr(functions, name, None))(x).numpy()
        np.testing.assert_allclose(alone(x.numpy(), PARAMETERS.get(name, name)), expected, rtol=1e-9, atol=1e-14)


# Residuals


@roads
@pytest.mark.parametrize("activation", [None, "relu", "silu", ("prelu", SLOPES)])
def test_residuals_are_added_before_the_activation(road, activation):
    image, weight, bias, options = drawn(road)
    sums = convolve(image, weight, bias, **options)
    residual = np.random.default_rng(1).standard_normal(sums.shape).astype(np.float32)
    ones = np.eye(6, dtype=np.float32).reshape(6, 6, *[1] * (weight.ndim - 2))
    expected = convolve(sums + residual, ones, activation=activation)
    bank = fc.FilterBank(weight, bias, activation=activation, **options)
    results = [
        convolve(image, weight, bias, residual=residual, activation=activation, **options),
        convolve(
            image, weight, bias, residual=residual.astype(float)[..., ::-1][..., ::-1], activation=activation, **options
        ),
        convolve(image, weight, bias, residual=residual, activation=activation, threads=2, **options),
        bank(image, residual=residual),
        bank(image, residual=np.asfortranarray(residual)),
        bank(np.asfortranarray(image), residual=residual, out=np.asfortranarray(residual)),
        bank(
            image, residual=residual.copy(), out=np.empty((*sums.shape[:-1], sums.shape[-1] + 3), np.float32)[..., 3:]
        ),
    ]
    in_place = residual.copy()
    results.append(bank(image, residual=in_place, out=in_place))
    for result in results:
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@roads
def test_residuals_hand_nan_and_infinity_on(road):
    image, weight, bias, options = drawn(road)
    plain = convolve(image, weight, bias, activation="relu", **options)
    residual = np.zeros(plain.shape, np.float32)
    residual.ravel()[[3, 7, 11]] = np.nan, np.inf, -np.inf
    result = convolve(image, weight, bias, activation="relu", residual=residual, **options).ravel()
    assert np.isnan(result[3])
    assert tuple(result[[7, 11]]) == (np.inf, 0)
    keep = np.isfinite(residual.ravel())
    assert np.array_equal(result[keep], plain.ravel()[keep])


def test_blank_outputs_of_winograd_get_their_residual(rng):
    image, weight = np.zeros((32, 20, 21), np.float32), rng.standard_normal((6, 32, 3, 3)).astype(np.float32)
    image[:, 3, 4] = 1
    residual = rng.standard_normal((6, 20, 21)).astype(np.float32)
    result = fc.conv2d(image, weight, padding=1, algorithm="winograd", residual=residual)
    assert np.array_equal(result[:, 10:], residual[:, 10:])


@given(
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.integers(1, 40),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
)
def test_residuals_of_any_dtype_and_size(dtype, columns, filters, is_batch, is_double):
    rng = np.random.default_rng(columns)
    image = rng.standard_normal((2, 3, 5, columns)[0 if is_batch else 1 :]).astype(
        np.float64 if is_double else np.float32
    )
    weight = rng.standard_normal((filters, 3, 3, 3)).astype(image.dtype)
    sums = fc.conv2d(image, weight, padding=1)
    residual = rng.standard_normal(sums.shape).astype(dtype)
    result = fc.conv2d(image, weight, padding=1, residual=residual)
    assert result.dtype == sums.dtype
    assert np.array_equal(result, sums + residual.astype(sums.dtype))


def test_residual_along_an_axis(rng):
    signals, kernel = rng.standard_normal((20, 5)), rng.standard_normal(3)
    residual = rng.standard_normal((18, 5))
    result = fc.conv1d(signals, kernel, axis=0, residual=residual)
    np.testing.assert_allclose(result, fc.conv1d(signals, kernel, axis=0) + residual)


@pytest.mark.parametrize(
    ("residual", "error"),
    [
        (np.zeros((6, 6)), ValueError),
        (np.zeros((6, 6, 6), int), TypeError),
        (np.zeros((6, 6, 6), complex), TypeError),
        ("x", TypeError),
    ],
)
def test_wrong_residuals_are_refused(residual, error):
    with pytest.raises(error, match="residual"):
        fc.conv2d(np.ones((3, 8, 8)), np.ones((6, 3, 3, 3)), residual=residual)
    with pytest.raises(error, match="residual"):
        fc.FilterBank(np.ones((6, 3, 3, 3)))(np.ones((3, 8, 8)), residual=residual)
    with pytest.raises(ValueError, match="residual"):
        fc.conv2d(np.ones((3, 8, 8)), np.ones((6, 3, 3, 3)), residual=residual, nan="ignore")


# Derivatives


@pytest.mark.parametrize(
    "activation", [*(PARAMETERS.get(name, name) for name in NAMES), ("prelu", SLOPES), ("leaky_relu", -0.5)]
)
@pytest.mark.parametrize("gives_maps", [False, True])
def test_derivatives(activation, gives_maps, rng):
    weight = rng.standard_normal((6, 2, 3, 3))
    bank = fc.FilterBank(weight, rng.standard_normal(6), activation=activation)
    image, grad = 1.5 * rng.standard_normal((2, 9, 9)), rng.standard_normal((6, 7, 7))
    step = 1e-6 * rng.standard_normal(image.shape)
    gradients = bank.backward(image, grad, maps=bank(image) if gives_maps else None)
    change = np.vdot(grad, bank(image + step) - bank(image - step)) / 2
    assert np.vdot(gradients.input, step) == pytest.approx(change, rel=1e-5, abs=1e-10)


def test_derivatives_are_those_of_torch():
    torch = pytest.importorskip("torch")
    x = np.concatenate([np.linspace(-12, 25, 401), [0, 3, -3, 6]])
    for name in ("silu", "mish", "gelu", "softplus", "elu", "hardswish", "hardsigmoid", "tanh", "sigmoid", "relu6"):
        t = torch.from_numpy(x.copy()).requires_grad_()
        getattr(torch.nn.functional, name)(t).sum().backward()
        values = alone(x, name) if _activations.follows_from_maps(name) else x
        result = _activations.gradient(name, values, np.ones_like(x))
        np.testing.assert_allclose(result, t.grad.numpy(), rtol=1e-6, atol=1e-9, err_msg=name)


FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # orders of axes


@pytest.mark.parametrize("form", ["bank", "filter", "kernel"])
@pytest.mark.parametrize("activation", ["gelu", ("clip", -0.5, 1.5), "prelu"])
def test_channels_last_with_activation_and_residual(form, activation, rng):
    image = rng.standard_normal((2, 21, 30, 3)).astype(np.float32)
    weight = rng.standard_normal((6, 3, 3, 3)).astype(np.float32)
    weight = {"bank": weight, "filter": weight[0], "kernel": weight[0, 0]}[form]
    if activation == "prelu":
        activation = "prelu", SLOPES if form == "bank" else SLOPES[:1]
    options = {"padding": 1, "activation": activation}
    sums = fc.conv2d(image.transpose(FIRST), weight, padding=1)
    residual = rng.standard_normal(sums.shape).astype(np.float32)
    expected = fc.conv2d(image.transpose(FIRST).copy(), weight, residual=residual, **options)
    if form != "filter":
        residual, expected = residual.transpose(LAST), expected.transpose(LAST)
    for more in (residual, residual.copy(), residual.astype(np.float64)):
        result = fc.conv2d(image, weight, residual=more, channels_last=True, **options)
        np.testing.assert_array_equal(result, expected)
    out = residual.copy()
    assert fc.conv2d(image, weight, residual=out, out=out, channels_last=True, **options) is out
    np.testing.assert_array_equal(out, expected)
    if form == "bank":
        bank = fc.FilterBank(weight, channels_last=True, **options)
        np.testing.assert_array_equal(bank(image, residual=residual), expected)
        with pytest.raises(ValueError, match="residual must have the shape"):
            bank(image, residual=residual.transpose(FIRST))


def test_slopes_of_banks_with_channels_last_have_their_derivatives(rng):
    image, grad = rng.standard_normal((2, 8, 9, 3)), rng.standard_normal((2, 6, 7, 6))
    weight = rng.standard_normal((6, 3, 3, 3))
    last, first = (fc.FilterBank(weight, activation=("prelu", SLOPES), channels_last=flag) for flag in (True, False))
    expected = first.backward(image.transpose(FIRST), grad.transpose(FIRST))
    gradients = last.backward(image, grad)
    np.testing.assert_allclose(gradients.input, expected.input.transpose(LAST))
    np.testing.assert_allclose(gradients.weight, expected.weight)


@pytest.mark.parametrize("is_photograph", [True, False])
@pytest.mark.parametrize(
    "activation", [None, "relu", "leaky_relu", "hardsigmoid", ("clip", 10.5, 90.5), ("prelu", [0.5])]
)
def test_saturating_results_round_after_residual_and_activation(activation, is_photograph, rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    weight = (rng.standard_normal((3, 3)) / 2).astype(np.float32)
    order = {"channels_last": is_photograph}
    if not is_photograph:
        image = np.ascontiguousarray(image.transpose(2, 0, 1))
    sums = fc.conv2d(image, weight, padding=1, precision="highest", **order)
    residual = rng.uniform(-100, 100, sums.shape).astype(np.float32)
    values = fc.conv2d(image, weight, padding=1, precision="highest", residual=residual, activation=activation, **order)
    result = fc.conv2d(image, weight, padding=1, saturate=True, residual=residual, activation=activation, **order)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.clip(np.rint(values), 0, 255))
    bank = fc.FilterBank(weight[np.newaxis, np.newaxis], padding=1, saturate=True, activation=activation)
    planes = image.transpose(2, 0, 1) if is_photograph else image
    maps = bank(
        planes[:, np.newaxis], residual=(residual.transpose(2, 0, 1) if is_photograph else residual)[:, np.newaxis]
    )
    np.testing.assert_array_equal(maps[:, 0], result.transpose(2, 0, 1) if is_photograph else result)


def test_residuals_are_refused_where_sums_are_no_floats():
    kernel = np.ones((3, 3))
    for image, options in ((np.ones((8, 8)), {"channels_last": False}), (np.ones((8, 8, 2)), {"channels_last": True})):
        residual = np.zeros((6, 6, *image.shape[2:]))
        for holes in ({"nan": "ignore"}, {"mask": np.ones(image.shape, bool)}, {"renormalize": True}):
            with pytest.raises(ValueError, match="residual must be None where pixels may be missing"):
                fc.conv2d(image, kernel, residual=residual, **holes, **options)
    bank = fc.FilterBank(kernel[np.newaxis, np.newaxis])
    for holes in ({"nan": "ignore"}, {"mask": np.ones((8, 8), bool)}):
        with pytest.raises(ValueError, match="residual must be None where pixels may be missing"):
            bank(np.ones((8, 8)), residual=np.zeros((1, 6, 6)), **holes)
    with pytest.raises(ValueError, match="residual must be None where pixels may be missing"):
        fc.conv2d(np.ma.ones((8, 8)), kernel, residual=np.zeros((6, 6)))
    for image, weight in ((np.ones((8, 8), complex), kernel), (np.ones((8, 8), int), kernel.astype(int))):
        with pytest.raises(TypeError, match="residual must be floats, to be added to sums of floats"):
            fc.conv2d(image, weight, residual=np.zeros((6, 6)))


def test_banks_with_slopes_can_be_varied(rng):
    image, weight = rng.standard_normal((3, 8, 9)), rng.standard_normal((6, 3, 3, 3))
    bank = fc.FilterBank(weight, activation=("prelu", SLOPES))
    name, slopes = bank.activation
    assert name == "prelu"
    assert np.array_equal(slopes, SLOPES)
    padded = bank.replace(padding=1)
    np.testing.assert_array_equal(padded(image), fc.conv2d(image, weight, padding=1, activation=("prelu", SLOPES)))
    assert bank.replace(activation=None) == fc.FilterBank(weight)
    with pytest.raises(ValueError, match="activation must be None to fold"):
        bank.fold_batch_norm(np.zeros(6), np.ones(6))


def test_residual_of_a_bank_along_an_axis(rng):
    signals, weight = rng.standard_normal((20, 4, 2)), rng.standard_normal((6, 2, 3))
    residual = rng.standard_normal((18, 4, 6))
    result = fc.FilterBank(weight, activation="gelu")(signals, axis=0, residual=residual)
    inner, more = np.moveaxis(signals, 0, -1), np.moveaxis(residual, 0, -1)
    np.testing.assert_array_equal(
        np.moveaxis(result, 0, -1), fc.conv1d(inner, weight, activation="gelu", residual=more)
    )
