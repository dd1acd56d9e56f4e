"""fastconv.grad: gradients of convolutions and of transposed ones, against the definition, finite differences and PyTorch."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problem_table import use_isa
from reference import convolve, input_gradient, weight_gradient
from strategies import (
    COMPLEX,
    CONV,
    CONV_TRANSPOSE,
    FLOATS,
    INTEGERS,
    PADDING_MODES,
    PADDING_NAMES,
    assert_near,
    problems,
    transposed_problems,
    values,
)

import fastconv as fc
from fastconv import _check, _core, _gradient
from fastconv.algorithms import GradientLayout

all_axes = pytest.mark.parametrize("axes", [1, 2, 3])
all_modes = pytest.mark.parametrize("padding_mode", PADDING_MODES)


def grad(kind, axes, of):
    """`grad("conv_transpose", 2, "weight")` is `fc.grad.conv_transpose2d_weight`."""
    return getattr(fc.grad, f"{kind}{axes}d_{of}")


# By hand


def test_the_gradient_of_the_input_is_the_sum_of_the_weights_that_see_a_pixel():
    grad_output, weight = np.ones((1, 3)), np.array([[[1.0, 10.0]]])
    assert fc.grad.conv1d_input((1, 4), weight, grad_output).tolist() == [[1, 11, 11, 10]]
    assert fc.grad.conv1d_input((1, 7), weight, grad_output, stride=2).tolist() == [[1, 10, 1, 10, 1, 10, 0]]


def test_the_gradient_of_the_weight_is_the_sum_of_the_pixels_that_it_sees():
    image, grad_output = np.array([[1.0, 10, 100, 1000]]), np.ones((1, 3))
    assert fc.grad.conv1d_weight(image, (1, 1, 2), grad_output).tolist() == [[[111, 1110]]]
    assert fc.grad.conv1d_weight(image, (1, 1, 2), np.ones((1, 2)), stride=2).tolist() == [[[101, 1010]]]


def test_pixels_that_are_repeated_by_the_padding_gather_all_its_gradients():
    weight, grad_output = np.array([[[1.0, 10, 100]]]), np.ones((1, 4))
    options = {"padding": 1}
    expected = {
        "zeros": [11, 111, 111, 110],
        "replicate": [12, 111, 111, 210],
        "reflect": [11, 112, 211, 110],
        "symmetric": [12, 111, 111, 210],
        "circular": [111, 111, 111, 111],
    }
    for mode, gradient in expected.items():
        assert fc.grad.conv1d_input((1, 4), weight, grad_output, **options, padding_mode=mode).tolist() == [gradient], (
            mode
        )


def test_the_gradient_of_the_bias_is_the_sum_of_each_map(rng):
    for axes in (1, 2, 3):
        for lead in ((), (2,), (2, 3)):
            grad_output = rng.integers(-9, 9, (*lead, 4, *(5, 6, 7)[:axes])).astype(np.float32)
            summed = (*range(len(lead)), *range(-axes, 0))
            for kind in ("conv", "conv_transpose"):
                assert np.array_equal(grad(kind, axes, "bias")(grad_output), grad_output.sum(summed))


def test_flip_turns_the_gradient_of_the_weight(rng):
    image, grad_output = values(rng, (2, 9, 9), "f8"), values(rng, (3, 7, 8), "f8")
    plain = fc.grad.conv2d_weight(image, (3, 2, 3, 2), grad_output)
    flipped = fc.grad.conv2d_weight(image, (3, 2, 3, 2), grad_output, flip=True)
    np.testing.assert_allclose(flipped, plain[..., ::-1, ::-1], rtol=1e-13)


def test_options_take_the_order_of_torch(rng):
    image, weight = values(rng, (2, 4, 9, 10), "f8"), values(rng, (6, 2, 3, 2), "f8")
    options = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 3), "groups": 2}
    grad_output = values(rng, fc.conv2d(image, weight, **options).shape, "f8")
    for by_place, by_name in (
        (fc.grad.conv2d_input(image.shape, weight, grad_output, *options.values()), ("input", image.shape, weight)),
        (fc.grad.conv2d_weight(image, weight.shape, grad_output, *options.values()), ("weight", image, weight.shape)),
    ):
        of, *arrays = by_name
        assert np.array_equal(by_place, grad("conv", 2, of)(*arrays, grad_output, **options))
    options = {"stride": (2, 3), "padding": (1, 2), "output_padding": (1, 2), "groups": 2, "dilation": (1, 3)}
    weight = values(rng, (4, 3, 3, 2), "f8")
    grad_output = values(rng, fc.conv_transpose2d(image, weight, **options).shape, "f8")
    for of, *arrays in (("input", image.shape, weight), ("weight", image, weight.shape)):
        function = grad("conv_transpose", 2, of)
        by_place = function(*arrays, grad_output, *options.values())
        assert np.array_equal(by_place, function(*arrays, grad_output, **options))


# Every option at once, drawn by Hypothesis


def drawn_bank(data, axes, dtypes, weight_dtypes=None):
    """A problem with a bank, its options but for the activation, and a gradient of its output."""
    problem = data.draw(
        problems(axes, dtypes, weight_dtypes).filter(
            lambda p: p.weight.ndim == p.axes + 2 and p.input.ndim > p.axes and p.expected().size <= 3000
        )
    )
    options = {name: option for name, option in problem.options.items() if name != "activation"}
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    return problem, options, values(rng, problem.expected().shape, problem.input.dtype)


def assert_gradients_agree(problem, options, grad_output):
    axes, image, weight = problem.axes, problem.input, problem.weight
    expected = input_gradient(image.shape, weight, grad_output, **options)
    found = grad("conv", axes, "input")(image.shape, weight, grad_output, **options)
    pads = 1 if options["padding_mode"] == "zeros" else 81  # so often may a pixel be repeated
    assert_near(found, expected, pads * weight[:, 0].size, repr(problem))
    expected = weight_gradient(image, weight.shape, grad_output, **options)
    found = grad("conv", axes, "weight")(image, weight.shape, grad_output, **options)
    assert_near(found, expected, grad_output.size, repr(problem))


@all_axes
@given(data=st.data())
def test_floats_agree_with_the_definition(axes, data):
    assert_gradients_agree(*drawn_bank(data, axes, FLOATS))


@all_axes
@given(data=st.data())
@settings(max_examples=40)
def test_complex_numbers_agree_with_the_definition(axes, data):
    assert_gradients_agree(*drawn_bank(data, axes, COMPLEX))


@all_axes
@given(data=st.data())
@settings(max_examples=40)
def test_integers_agree_with_the_definition(axes, data):
    """There is no calculus with integers, but sums of their products are exact."""
    small = [np.int8, np.uint8, np.int16]
    assert_gradients_agree(*drawn_bank(data, axes, small, small))


@all_axes
@given(data=st.data())
@pytest.mark.parametrize("dtypes", [FLOATS, COMPLEX], ids=["floats", "complex"])
def test_transposed_ones_agree_with_the_definition(dtypes, axes, data):
    problem = data.draw(
        transposed_problems(axes, dtypes).filter(
            lambda p: p.weight.ndim == p.axes + 2 and p.input.ndim > p.axes and "output_size" not in p.options
        )
    )
    image, weight = problem.input, problem.weight
    options = {name: option for name, option in problem.options.items() if name != "activation"}
    grad_output = values(np.random.default_rng(0), problem.expected().shape, image.dtype)
    # The adjoint is a convolution, whose padded image may hold some pixels more than it reaches.
    forward = {name: option for name, option in options.items() if name != "output_padding"}
    seen = convolve(
        grad_output, weight.astype(complex if image.dtype.kind == "c" else float).conj(), axes=axes, **forward
    )
    seen = seen[(..., *map(slice, image.shape[-axes:]))]
    found = grad("conv_transpose", axes, "input")(image.shape, weight, grad_output, **options)
    assert_near(found, seen, weight[0].size, repr(problem))
    swapped = weight_gradient(grad_output, weight.shape, image.reshape(-1, *image.shape[-axes - 1 :]), **forward).conj()
    found = grad("conv_transpose", axes, "weight")(image, weight.shape, grad_output, **options)
    assert_near(found, swapped, image.size, repr(problem))


LAYERS = [
    ((2, 40, 14, 15), (33, 40, 3, 3), {"padding": 1}),
    ((2, 64, 9, 9), (48, 64, 3, 3), {"padding": 1}),
    ((3, 33, 14, 14), (40, 33, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 3, 31, 30), (20, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((2, 3, 30, 33), (20, 3, 3, 3), {"padding": 1}),
    ((2, 1, 28, 28), (32, 1, 3, 3), {"padding": 1}),
    ((2, 40, 9, 9), (70, 40, 1, 1), {}),
    ((7, 100, 7, 7), (600, 100, 1, 1), {}),
    ((2, 40, 10, 11), (70, 40, 1, 1), {"stride": 2}),
    ((2, 24, 14, 30), (24, 1, 3, 3), {"padding": 1, "groups": 24}),
    ((2, 24, 14, 31), (24, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 24}),
    ((2, 24, 14, 30), (24, 1, 7, 7), {"padding": 3, "groups": 24}),
    ((2, 24, 14, 30), (24, 4, 3, 3), {"padding": 1, "groups": 6}),
    ((2, 32, 13, 13), (32, 32, 3, 3), {"padding": 2, "dilation": 2}),
    ((2, 16, 13, 14), (20, 16, 5, 5), {"padding": 2}),
    ((2, 16, 12, 13), (20, 16, 4, 4), {"stride": 2, "padding": 1}),
    ((2, 16, 12, 13), (20, 16, 2, 2), {"stride": 3}),
    ((2, 16, 70), (20, 16, 16), {"stride": 8, "padding": 4}),
    ((2, 6, 7, 8, 9), (8, 6, 3, 3, 3), {"padding": 1}),
    ((2, 6, 7, 8, 9), (8, 6, 2, 2, 2), {"stride": 2}),
    ((64, 16, 8, 8), (32, 16, 3, 3), {"padding": 1}),
]
layers = pytest.mark.parametrize(("image", "weight", "options"), LAYERS)


def layer_arrays(image, weight, options, dtype, rng):
    axes = len(image) - 2
    image, weight = rng.standard_normal(image).astype(dtype), rng.standard_normal(weight).astype(dtype)
    maps = CONV[axes](image, weight, **options)
    return axes, image, weight, rng.standard_normal(maps.shape).astype(dtype)


@all_axes
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_filters_and_kernels_have_gradients_of_their_shape(padding_mode, axes, rng):
    image, bank = values(rng, (2, 3, *(9, 8, 7)[:axes]), "f8"), values(rng, (1, 3, *(3, 2, 2)[:axes]), "f8")
    options = {"stride": (2, 1, 1)[:axes], "padding": "same", "padding_mode": padding_mode}
    maps = CONV[axes](image, bank, **options)
    grad_output = values(rng, maps.shape, "f8")
    by_input, by_weight = grad("conv", axes, "input"), grad("conv", axes, "weight")
    expected = by_input(image.shape, bank, grad_output, **options)
    np.testing.assert_allclose(by_input(image.shape, bank[0], grad_output[:, 0], **options), expected, rtol=1e-12)
    expected = by_weight(image, bank.shape, grad_output, **options)[0]
    found = by_weight(image, bank.shape[1:], grad_output[:, 0], **options)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    kernel = bank[0, 0]
    grad_output = values(rng, CONV[axes](image, kernel, **options).shape, "f8")
    inner = np.vdot(CONV[axes](image, kernel, **options), grad_output)
    found = by_input(image.shape, kernel, grad_output, **options)
    assert found.shape == image.shape
    np.testing.assert_allclose(np.vdot(found, image), inner, rtol=1e-11)
    found = by_weight(image, kernel.shape, grad_output, **options)
    assert found.shape == kernel.shape
    np.testing.assert_allclose(np.vdot(found, kernel), inner, rtol=1e-11)


@layers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_of_networks_agree_with_directional_derivatives(image, weight, options, dtype, rng):
    """A convolution is linear in its input and in its weight, so that its differences are its derivatives."""
    axes, image, weight, grad_output = layer_arrays(image, weight, options, dtype, rng)
    eps = 30 * np.finfo(dtype).eps
    wide = [array.astype(np.float64) for array in (image, weight, grad_output)]
    for of, arrays in (("input", (image.shape, weight)), ("weight", (image, weight.shape))):
        gradient = grad("conv", axes, of)(*arrays, grad_output, **options)
        assert gradient.dtype == dtype
        for _ in range(10):
            direction = rng.standard_normal(gradient.shape)
            steps = (direction, wide[1]) if of == "input" else (wide[0], direction)
            derivative = (CONV[axes](*steps, **options) * wide[2]).sum()
            scale = np.sqrt(gradient.size) * abs(gradient).max()
            assert abs((gradient * direction).sum() - derivative) <= eps * scale


@layers
def test_every_entry_for_the_smallest_batch(image, weight, options, rng):
    image = (1, *image[1:])
    axes, image, weight, grad_output = layer_arrays(image, weight, options, np.float64, rng)
    if grad_output.size > 12_000:
        pytest.skip("loops would take too long")
    np.testing.assert_allclose(
        grad("conv", axes, "weight")(image, weight.shape, grad_output, **options),
        weight_gradient(image, weight.shape, grad_output, **options),
        rtol=1e-10,
        atol=1e-10,
    )
    np.testing.assert_allclose(
        grad("conv", axes, "input")(image.shape, weight, grad_output, **options),
        input_gradient(image.shape, weight, grad_output, **options),
        rtol=1e-10,
        atol=1e-10,
    )


@layers
def test_errors_are_those_of_direct_summation(image, weight, options, rng):
    axes, image, weight, grad_output = layer_arrays(image, weight, options, np.float32, rng)
    wide = [array.astype(np.float64) for array in (image, weight, grad_output)]
    for precision, limit in (("default", 3e-6), ("highest", 1.5e-6)):
        for of, arrays, wide_arrays in (
            ("input", (image.shape, weight), (image.shape, wide[1])),
            ("weight", (image, weight.shape), (wide[0], weight.shape)),
        ):
            exact = grad("conv", axes, of)(*wide_arrays, wide[2], **options)
            found = grad("conv", axes, of)(*arrays, grad_output, **options, precision=precision)
            assert abs(found - exact).max() <= limit * abs(exact).max(), (of, precision)


# Every entry by finite differences


def differences(function, array):
    """The derivative of a function by every entry of an array, changed in place: central differences are exact for what is linear."""
    result = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + 1
        above = function()
        array[index] = before - 1
        result[index] = (above - function()) / 2
        array[index] = before
    return result


@all_axes
@all_modes
@pytest.mark.parametrize("padding", [0, "same", "same_lower", "full", 2])
def test_finite_differences(padding, padding_mode, axes, rng):
    image, weight = values(rng, (2, 2, *(5, 4, 3)[:axes]), "f8"), values(rng, (2, 1, *(3, 2, 2)[:axes]), "f8")
    options = {"stride": (2, 1, 1)[:axes], "padding": padding, "dilation": (1, 2, 1)[:axes], "groups": 2}
    options |= {"padding_mode": padding_mode, "flip": padding == "full"}
    grad_output = values(rng, CONV[axes](image, weight, **options).shape, "f8")

    def loss():
        return (CONV[axes](image, weight, **options) * grad_output).sum()

    for of, array, arrays in (("input", image, (image.shape, weight)), ("weight", weight, (image, weight.shape))):
        found = grad("conv", axes, of)(*arrays, grad_output, **options)
        np.testing.assert_allclose(found, differences(loss, array), rtol=1e-10, atol=1e-11)


@all_axes
@pytest.mark.parametrize(
    "options", [{"padding": 1, "output_padding": 1}, {"padding": "same"}, {"padding": "same_lower"}, {"flip": True}]
)
def test_finite_differences_of_transposed_ones(options, axes, rng):
    image, weight = values(rng, (2, 4, *(4, 3, 2)[:axes]), "f8"), values(rng, (4, 3, *(3, 2, 2)[:axes]), "f8")
    options = {"stride": 2, "groups": 2, "dilation": (1, 2, 2)[:axes]} | options
    grad_output = values(rng, CONV_TRANSPOSE[axes](image, weight, **options).shape, "f8")

    def loss():
        return (CONV_TRANSPOSE[axes](image, weight, **options) * grad_output).sum()

    for of, array, arrays in (("input", image, (image.shape, weight)), ("weight", weight, (image, weight.shape))):
        found = grad("conv_transpose", axes, of)(*arrays, grad_output, **options)
        np.testing.assert_allclose(found, differences(loss, array), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("size", [7, 8, 9, 10, 11])
@pytest.mark.parametrize("stride", [2, 3, 4, 5])
def test_strides_may_leave_pixels_over(stride, size, rng):
    image, weight = values(rng, (2, 3, size, size + 1), "f8"), values(rng, (4, 3, 3, 2), "f8")
    grad_output = values(rng, fc.conv2d(image, weight, stride=stride).shape, "f8")
    arrays = image.shape, weight, grad_output
    np.testing.assert_allclose(
        fc.grad.conv2d_input(*arrays, stride=stride), input_gradient(*arrays, stride=stride), rtol=1e-12, atol=1e-12
    )
    arrays = image, weight.shape, grad_output
    np.testing.assert_allclose(
        fc.grad.conv2d_weight(*arrays, stride=stride), weight_gradient(*arrays, stride=stride), rtol=1e-12, atol=1e-12
    )


@all_modes
@pytest.mark.parametrize("padding", [((9, 14),), ((40, 3),)])
def test_padding_may_be_many_times_the_size(padding, padding_mode, rng):
    image, weight = values(rng, (2, 3, 5), "f8"), values(rng, (4, 3, 3), "f8")
    options = {"stride": 2, "padding": padding, "padding_mode": padding_mode}
    grad_output = values(rng, fc.conv1d(image, weight, **options).shape, "f8")
    found = fc.grad.conv1d_input(image.shape, weight, grad_output, **options)
    expected = input_gradient(image.shape, weight, grad_output, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    found = fc.grad.conv1d_weight(image, weight.shape, grad_output, **options)
    expected = weight_gradient(image, weight.shape, grad_output, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@all_modes
def test_kernels_may_reach_far_beyond_the_image(padding_mode, rng):
    """Then the plan folds the problem into a smaller one."""
    weight = values(rng, (3, 1, 10), "f8")
    options = {"padding": ((32, 50),), "dilation": 9, "groups": 3, "padding_mode": padding_mode}
    for size in (1, 2, 5):
        image = values(rng, (2, 3, size), "f8")
        grad_output = values(rng, fc.conv1d(image, weight, **options).shape, "f8")
        found = fc.grad.conv1d_input(image.shape, weight, grad_output, **options)
        expected = input_gradient(image.shape, weight, grad_output, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
        found = fc.grad.conv1d_weight(image, weight.shape, grad_output, **options)
        expected = weight_gradient(image, weight.shape, grad_output, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


# Inner products


@all_axes
@all_modes
@pytest.mark.parametrize("padding", [*PADDING_NAMES, 1, "pairs"])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_gradients_are_adjoints(dtype, padding, padding_mode, axes, rng):
    """<conv(x, w), g> is <x, input gradient> and <w, weight gradient>."""
    padding = ((1, 2), (0, 3), (2, 2))[:axes] if padding == "pairs" else padding
    image, weight = values(rng, (2, 4, *(9, 8, 7)[:axes]), dtype), values(rng, (6, 2, *(3, 2, 3)[:axes]), dtype)
    options = {"stride": (2, 3, 1)[:axes], "padding": padding, "dilation": (1, 1, 2)[:axes], "groups": 2}
    options["padding_mode"] = padding_mode
    maps = CONV[axes](image, weight, **options)
    grad_output = values(rng, maps.shape, dtype)
    inner = np.vdot(maps, grad_output)
    by_input = grad("conv", axes, "input")(image.shape, weight, grad_output, **options)
    by_weight = grad("conv", axes, "weight")(image, weight.shape, grad_output, **options)
    assert (by_input.shape, by_weight.shape) == (image.shape, weight.shape)
    np.testing.assert_allclose(np.vdot(image, by_input), inner, rtol=1e-10)
    np.testing.assert_allclose(np.vdot(weight, by_weight), inner, rtol=1e-10)


@all_axes
@pytest.mark.parametrize("padding", [*PADDING_NAMES, 1, "pairs"])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_gradients_of_transposed_ones_are_adjoints(dtype, padding, axes, rng):
    padding = ((1, 2), (0, 3), (2, 2))[:axes] if padding == "pairs" else padding
    image, weight = values(rng, (2, 4, *(9, 8, 7)[:axes]), dtype), values(rng, (4, 3, *(3, 2, 3)[:axes]), dtype)
    options = {"stride": (2, 3, 1)[:axes], "padding": padding, "dilation": (1, 1, 2)[:axes], "groups": 2}
    maps = CONV_TRANSPOSE[axes](image, weight, **options)
    grad_output = values(rng, maps.shape, dtype)
    inner = np.vdot(maps, grad_output)
    by_input = grad("conv_transpose", axes, "input")(image.shape, weight, grad_output, **options)
    by_weight = grad("conv_transpose", axes, "weight")(image, weight.shape, grad_output, **options)
    assert (by_input.shape, by_weight.shape) == (image.shape, weight.shape)
    np.testing.assert_allclose(np.vdot(image, by_input), inner, rtol=1e-10)
    np.testing.assert_allclose(np.vdot(weight, by_weight), inner, rtol=1e-10)


# PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def torch_gradients(torch, function, image, weight, grad_output):
    tensors = [torch.from_numpy(array).requires_grad_() for array in (image, weight)]
    function(*tensors).backward(torch.from_numpy(grad_output))
    return [tensor.grad.numpy() for tensor in tensors]


@all_axes
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_torch_with_every_option(groups, dtype, axes, torch, rng):
    for _ in range(10):
        channels, filters = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
        image = values(rng, (2, channels, *rng.integers(10, 14, axes)), dtype)
        weight = values(rng, (filters, channels // groups, *rng.integers(1, 4, axes)), dtype)
        stride, padding, dilation = (tuple(map(int, rng.integers(low, 4, axes))) for low in (1, 0, 1))
        options = stride, padding, dilation, groups
        conv = getattr(torch.nn.functional, f"conv{axes}d")
        grad_output = values(rng, CONV[axes](image, weight, None, *options).shape, dtype)
        theirs = torch_gradients(torch, lambda x, w: conv(x, w, None, *options), image, weight, grad_output)  # noqa: B023
        ours = (
            grad("conv", axes, "input")(image.shape, weight, grad_output, *options),
            grad("conv", axes, "weight")(image, weight.shape, grad_output, *options),
        )
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@all_axes
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_torch_transposed_with_every_option(groups, dtype, axes, torch, rng):
    for _ in range(10):
        channels, group_maps = groups * int(rng.integers(1, 4)), int(rng.integers(1, 4))
        stride, dilation, kernel, padding = (rng.integers(low, 4, axes) for low in (1, 1, 1, 0))
        padding = np.minimum(padding, dilation * (kernel - 1))
        extra = rng.integers(0, np.maximum(stride, dilation))
        image = values(rng, (2, channels, *rng.integers(4, 8, axes)), dtype)
        weight = values(rng, (channels, group_maps, *kernel), dtype)
        options = [tuple(map(int, entry)) for entry in (stride, padding, extra)] + [groups, tuple(map(int, dilation))]
        conv = getattr(torch.nn.functional, f"conv_transpose{axes}d")
        grad_output = values(rng, CONV_TRANSPOSE[axes](image, weight, None, *options).shape, dtype)
        theirs = torch_gradients(torch, lambda x, w: conv(x, w, None, *options), image, weight, grad_output)  # noqa: B023
        ours = (
            grad("conv_transpose", axes, "input")(image.shape, weight, grad_output, *options),
            grad("conv_transpose", axes, "weight")(image, weight.shape, grad_output, *options),
        )
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@all_axes
@pytest.mark.parametrize("padding_mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("stride", [1, 2])
def test_torch_padding_modes(stride, padding_mode, axes, torch, rng):
    functional = torch.nn.functional
    image, weight = values(rng, (2, 4, *(8, 7, 6)[:axes]), "f8"), values(rng, (6, 2, *(3, 2, 3)[:axes]), "f8")
    pairs = ((1, 2), (3, 4), (4, 0))[:axes]
    options = {"stride": stride, "groups": 2}
    ours_only = options | {"padding": pairs, "padding_mode": padding_mode}
    grad_output = values(rng, CONV[axes](image, weight, **ours_only).shape, "f8")
    last_axis_first = [edge for pair in reversed(pairs) for edge in pair]

    def padded(x, w):
        return getattr(functional, f"conv{axes}d")(functional.pad(x, last_axis_first, padding_mode), w, **options)

    by_input, by_weight = torch_gradients(torch, padded, image, weight, grad_output)
    found = grad("conv", axes, "input")(image.shape, weight, grad_output, **ours_only)
    np.testing.assert_allclose(found, by_input, rtol=1e-10, atol=1e-10)
    found = grad("conv", axes, "weight")(image, weight.shape, grad_output, **ours_only)
    np.testing.assert_allclose(found, by_weight, rtol=1e-10, atol=1e-10)


def test_torch_nn_grad_has_the_same_signatures(torch, rng):
    image, weight = values(rng, (2, 4, 9, 10), "f8"), values(rng, (6, 2, 3, 2), "f8")
    options = (2, 1), (1, 2), (1, 3), 2
    grad_output = values(rng, fc.conv2d(image, weight, None, *options).shape, "f8")
    x, w, g = map(torch.from_numpy, (image, weight, grad_output))
    theirs = torch.nn.grad.conv2d_input(image.shape, w, g, *options)
    np.testing.assert_allclose(fc.grad.conv2d_input(image.shape, weight, grad_output, *options), theirs, atol=1e-12)
    theirs = torch.nn.grad.conv2d_weight(x, weight.shape, g, *options)
    np.testing.assert_allclose(fc.grad.conv2d_weight(image, weight.shape, grad_output, *options), theirs, atol=1e-12)


# Dtypes, batches and bits


@pytest.mark.parametrize("other", [*FLOATS, *COMPLEX, *INTEGERS])
@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX, *INTEGERS])
def test_dtypes_promote_as_those_of_a_convolution(dtype, other):
    image, weight, grad_output = np.ones((1, 5)), np.ones((1, 1, 3)), np.ones((1, 3))
    convolved = fc.conv1d(image.astype(dtype), weight.astype(other)).dtype
    assert fc.grad.conv1d_input((1, 5), weight.astype(dtype), grad_output.astype(other)).dtype == convolved
    assert fc.grad.conv1d_weight(image.astype(dtype), (1, 1, 3), grad_output.astype(other)).dtype == convolved


def test_half_precision_adds_up_past_its_own_precision():
    image, grad_output = np.ones((1, 5000), np.float16), np.ones((1, 4998), np.float16)
    assert fc.grad.conv1d_weight(image, (1, 1, 3), grad_output).tolist() == [[[np.float16(4998)] * 3]]
    assert fc.grad.conv1d_bias(grad_output).tolist() == [np.float16(4998)]


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_gradients_of_the_weight_are_sums_over_all_leading_axes(lead, rng):
    image, grad_output = values(rng, (*lead, 4, 8, 9), "f8"), values(rng, (*lead, 6, 6, 7), "f8")
    weight = values(rng, (6, 4, 3, 3), "f8")
    apart = sum(fc.grad.conv2d_weight(image[i], weight.shape, grad_output[i]) for i in np.ndindex(lead))
    np.testing.assert_allclose(fc.grad.conv2d_weight(image, weight.shape, grad_output), apart, rtol=1e-11, atol=1e-11)
    gradient = fc.grad.conv2d_input(image.shape, weight, grad_output)
    assert all(
        np.array_equal(gradient[i], fc.grad.conv2d_input((4, 8, 9), weight, grad_output[i])) for i in np.ndindex(lead)
    )


def test_an_empty_batch_has_a_gradient_of_zero():
    image, grad_output = np.ones((0, 4, 8, 9), "f4"), np.ones((0, 6, 6, 7), "f4")
    weight = np.ones((6, 4, 3, 3), "f4")
    assert not fc.grad.conv2d_weight(image, weight.shape, grad_output).any()
    assert fc.grad.conv2d_input(image.shape, weight, grad_output).shape == image.shape
    assert fc.grad.conv2d_bias(grad_output).tolist() == [0] * 6


@layers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_do_not_depend_on_threads(image, weight, options, dtype, rng):
    axes, image, weight, grad_output = layer_arrays(image, weight, options, dtype, rng)
    for of, arrays in (("input", (image.shape, weight)), ("weight", (image, weight.shape))):
        results = {
            grad("conv", axes, of)(*arrays, grad_output, **options, threads=threads).tobytes() for threads in (1, 2, 3)
        }
        assert len(results) == 1, of


@layers
def test_gradients_of_the_input_do_not_depend_on_the_batch(image, weight, options, rng):
    axes, image, weight, grad_output = layer_arrays(image, weight, options, np.float32, rng)
    gradient = grad("conv", axes, "input")(image.shape, weight, grad_output, **options)
    for n in range(min(len(image), 3)):
        alone = grad("conv", axes, "input")(image.shape[1:], weight, grad_output[n], **options)
        assert alone.tobytes() == gradient[n].tobytes()


@layers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_do_not_depend_on_the_instruction_set(image, weight, options, dtype, rng):
    axes, image, weight, grad_output = layer_arrays(image, weight, options, dtype, rng)
    before, _ = _core.current_isa()
    results = set()
    for isa in _core.available_isas():
        if isa != "baseline":  # which multiplies, then adds
            use_isa(isa)
            by_input = grad("conv", axes, "input")(image.shape, weight, grad_output, **options)
            by_weight = grad("conv", axes, "weight")(image, weight.shape, grad_output, **options)
            results.add(by_input.tobytes() + by_weight.tobytes())
    use_isa(before)
    assert len(results) <= 1


def chosen_layouts(seed: int) -> list[str]:
    """What computes the gradients of a layer that is drawn at random."""
    rng = np.random.default_rng(seed)
    channels, filters = (int(rng.choice([1, 2, 4, 8, 16, 24, 64, 128])) for _ in range(2))
    taps, size, dtype = (
        int(rng.choice([1, 2, 3, 5])),
        int(rng.choice([4, 7, 14, 28, 56])),
        np.dtype(rng.choice(["f4", "f8"])),
    )
    groups = channels if rng.integers(4) == 0 else 1
    image, weight = (int(rng.choice([1, 4])), channels, size, size), (groups * filters, channels // groups, taps, taps)
    given = (int(rng.integers(1, 4)), taps // 2, 1, groups, "zeros", 0, False, None, "auto", "default")
    dtypes = dtype, dtype
    forward = _check.problem(2, image, weight, None, dtypes, _check.options(2, given))
    layouts = [*_gradient.plan_weight(forward, weight, dtypes).layouts]
    layouts += _gradient.plan_input(forward, image, dtypes).plan.layouts
    return [f"{type(layout).__module__} {layout.how}" for layout in layouts if isinstance(layout, GradientLayout)] + [
        layout.name for layout in layouts if not isinstance(layout, GradientLayout)
    ]


def test_which_algorithm_runs_does_not_depend_on_the_instruction_set():
    before, _ = _core.current_isa()
    chosen = []
    for isa in _core.available_isas():
        use_isa(isa)
        chosen.append([chosen_layouts(seed) for seed in range(200)])
    use_isa(before)
    assert all(layouts == chosen[0] for layouts in chosen)


@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2, "padding": 1}])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.complex64])
def test_arrays_may_have_any_layout(dtype, options, rng):
    image, weight = values(rng, (2, 4, 9, 11), dtype), values(rng, (6, 4, 3, 3), dtype)
    grad_output = values(rng, fc.conv2d(image, weight, **options).shape, dtype)
    by_input = fc.grad.conv2d_input(image.shape, weight, grad_output, **options)
    by_weight = fc.grad.conv2d_weight(image, weight.shape, grad_output, **options)
    layouts = [
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
        lambda a: np.ascontiguousarray(np.moveaxis(a, 1, -1)).transpose(0, 3, 1, 2),
    ]
    for layout in layouts:
        x, w, g = map(layout, (image, weight, grad_output))
        assert np.array_equal(fc.grad.conv2d_input(x.shape, w, g, **options), by_input)
        assert np.array_equal(fc.grad.conv2d_weight(x, w.shape, g, **options), by_weight)


# NaN and infinity


@layers
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_pixel_reaches_exactly_the_weights_that_see_it(bad, image, weight, options, rng):
    """A gradient of zero times NaN is NaN: what reaches a weight depends on the pixel's place alone."""
    axes, image, weight, grad_output = layer_arrays((2, *image[1:]), weight, options, np.float32, rng)
    place = (0, 0, *(n // 2 for n in image.shape[2:]))
    mark = np.zeros_like(image)
    image[place], mark[place] = bad, 1
    reached = grad("conv", axes, "weight")(mark, weight.shape, np.ones_like(grad_output), **options) != 0
    found = grad("conv", axes, "weight")(image, weight.shape, grad_output, **options)
    assert np.array_equal(~np.isfinite(found), reached)


@layers
def test_a_gradient_of_nan_reaches_every_weight_of_its_filter(image, weight, options, rng):
    """Zeros of the padding are pixels like others: the gradient is that of the definition on the padded image."""
    axes, image, weight, grad_output = layer_arrays((2, *image[1:]), weight, options, np.float32, rng)
    grad_output[0, 1, *[0] * axes] = np.nan
    found = grad("conv", axes, "weight")(image, weight.shape, grad_output, **options)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[np.arange(len(found)) != 1]).all()


@layers
def test_a_gradient_of_nan_reaches_exactly_the_pixels_that_its_output_sees(image, weight, options, rng):
    axes, image, weight, grad_output = layer_arrays((2, *image[1:]), weight, options, np.float32, rng)
    place = (0, 1, *(n // 2 for n in grad_output.shape[2:]))
    mark = np.zeros_like(grad_output)
    grad_output[place], mark[place] = np.nan, 1
    reached = grad("conv", axes, "input")(image.shape, np.ones_like(weight), mark, **options) != 0
    found = grad("conv", axes, "input")(image.shape, weight, grad_output, **options)
    assert np.array_equal(np.isnan(found), reached)


@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2, "padding": 1}, {"stride": 3}])
def test_weights_that_are_not_finite_meet_existing_outputs_only(options, rng):
    image, weight = 2 + values(rng, (20, 9, 10), "f4"), values(rng, (18, 20, 3, 3), "f4")
    grad_output = 2 + values(rng, fc.conv2d(image, weight, **options).shape, "f4")
    weight[3, 5, 0, 0] = np.inf
    expected = input_gradient(image.shape, weight, grad_output, **options)
    found = fc.grad.conv2d_input(image.shape, weight, grad_output, **options)
    assert np.array_equal(np.isfinite(found), np.isfinite(expected))
    assert np.isinf(found[~np.isfinite(found)]).all()


# Errors


CALLS = {
    "conv2d_input": {
        "input_shape": (2, 4, 9, 9),
        "weight": np.ones((6, 4, 3, 3)),
        "grad_output": np.ones((2, 6, 7, 7)),
    },
    "conv2d_weight": {
        "input": np.ones((2, 4, 9, 9)),
        "weight_shape": (6, 4, 3, 3),
        "grad_output": np.ones((2, 6, 7, 7)),
    },
    "conv_transpose2d_input": {
        "input_shape": (2, 6, 7, 7),
        "weight": np.ones((6, 4, 3, 3)),
        "grad_output": np.ones((2, 4, 9, 9)),
    },
    "conv_transpose2d_weight": {
        "input": np.ones((2, 6, 7, 7)),
        "weight_shape": (6, 4, 3, 3),
        "grad_output": np.ones((2, 4, 9, 9)),
    },
}
WRONG = [
    ("grad_output", "(2, 6, 7, 8)", {"grad_output": np.ones((2, 6, 7, 8))}),
    ("grad_output", "(6, 7, 7)", {"grad_output": np.ones((6, 7, 7))}),
    ("grad_output", "(3, 6, 7, 7)", {"grad_output": np.ones((3, 6, 7, 7))}),
    ("grad_output", "", {"grad_output": None}),
    ("grad_output", "datetime64", {"grad_output": np.ones((2, 6, 7, 7), "M8[s]")}),
    ("stride", "0", {"stride": 0}),
    ("padding", "-1", {"padding": -1}),
    ("dilation", "0", {"dilation": 0}),
    ("groups", "0", {"groups": 0}),
    ("precision", "low", {"precision": "low"}),
    ("flip", "1", {"flip": 1}),
    ("threads", "0", {"threads": 0}),
]
SHAPES = {
    "input": [
        ("input_shape", "(2, 5, 9, 9)", {"input_shape": (2, 5, 9, 9)}),
        ("input_shape", "(9,)", {"input_shape": (9,)}),
        ("input_shape", "-1", {"input_shape": (2, 4, -1, 9)}),
        ("input_shape", "1.5", {"input_shape": (2, 4, 1.5, 9)}),
        ("input_shape", "", {"input_shape": None}),
    ],
    "weight": [
        ("input|grad_output", "5", {"weight_shape": (6, 5, 3, 3)}),
        ("weight_shape", "(3,)", {"weight_shape": (3,)}),
        ("weight_shape", "0", {"weight_shape": (6, 4, 0, 3)}),
        ("weight_shape", "", {"weight_shape": None}),
    ],
}


@pytest.mark.parametrize(
    ("function", "name", "given_as", "changes"),
    [(f, *wrong) for f in CALLS for wrong in WRONG + SHAPES[f.rpartition("_")[2]]]
    + [(f, "padding_mode", "mirror", {"padding_mode": "mirror"}) for f in ("conv2d_input", "conv2d_weight")]
    + [(f, "output_padding", "1", {"output_padding": 1}) for f in CALLS if "transpose" in f],
)
def test_errors_name_the_argument_and_show_what_was_given(function, name, given_as, changes):
    with pytest.raises((TypeError, ValueError), match=rf"(?s)^({name}) .*{re.escape(given_as)}"):
        getattr(fc.grad, function)(**(CALLS[function] | changes))


def test_functions_say_what_they_do():
    for kind in ("conv", "conv_transpose"):
        for axes in (1, 2, 3):
            for of in ("input", "weight", "bias"):
                assert "Returns" in grad(kind, axes, of).__doc__
