"""FilterBank.backward, Sequential.backward and FilterBank.adjoint: what a training loop calls."""

import itertools
import pickle

import numpy as np
import pytest
from reference import ACTIVATIONS, input_gradient, transpose, weight_gradient
from strategies import ACTIVATIONS as ACTIVATION_NAMES
from strategies import CONV, PADDING_MODES, PADDING_NAMES, values

import fastconv as fc

all_axes = pytest.mark.parametrize("axes", [1, 2, 3])
all_modes = pytest.mark.parametrize("padding_mode", PADDING_MODES)
OPTIONS = {"stride": (2, 1), "padding": "same", "dilation": 2, "groups": 2, "padding_mode": "reflect", "flip": True}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def differences(function, array, step=1e-5):
    """The derivative of a function by every entry of an array, changed in place."""
    result = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + step
        above = function()
        array[index] = before - step
        result[index] = (above - function()) / (2 * step)
        array[index] = before
    return result


# One bank


def test_backward_gives_the_gradients_of_all_that_goes_in(rng):
    image, weight, bias = values(rng, (5, 4, 11, 12), "f8"), values(rng, (6, 2, 3, 3), "f8"), values(rng, 6, "f8")
    bank = fc.FilterBank(weight, bias, **OPTIONS)
    grad_output = values(rng, bank(image).shape, "f8")
    gradients = bank.backward(image, grad_output)
    assert isinstance(gradients, fc.Gradients)
    assert gradients._fields == ("input", "weight", "bias")
    expected = input_gradient(image.shape, weight, grad_output, **OPTIONS)
    np.testing.assert_allclose(gradients.input, expected, rtol=1e-11, atol=1e-11)
    expected = weight_gradient(image, weight.shape, grad_output, **OPTIONS)
    np.testing.assert_allclose(gradients.weight, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(gradients.bias, grad_output.sum((0, 2, 3)), rtol=1e-11, atol=1e-11)


def test_a_bank_without_bias_has_no_gradient_of_it(rng):
    bank = fc.FilterBank(values(rng, (6, 4, 3, 3), "f4"), activation="relu")
    assert bank.backward(values(rng, (4, 8, 9), "f4"), values(rng, (6, 6, 7), "f4")).bias is None


def test_gradients_are_those_of_the_functions(rng):
    image, weight = values(rng, (3, 20, 14, 15), "f4"), values(rng, (24, 20, 3, 3), "f4")
    bank = fc.FilterBank(weight, values(rng, 24, "f4"), padding=1, stride=2)
    grad_output = values(rng, bank(image).shape, "f4")
    gradients = bank.backward(image, grad_output)
    options = {"padding": 1, "stride": 2}
    np.testing.assert_allclose(
        gradients.input, fc.grad.conv2d_input(image.shape, weight, grad_output, **options), atol=1e-4
    )
    np.testing.assert_allclose(
        gradients.weight, fc.grad.conv2d_weight(image, weight.shape, grad_output, **options), atol=1e-4
    )
    np.testing.assert_allclose(gradients.bias, fc.grad.conv2d_bias(grad_output), atol=1e-4)


@all_axes
@pytest.mark.parametrize("activation", [None, *ACTIVATION_NAMES])
def test_finite_differences_with_every_activation(activation, axes, rng):
    image, weight, bias = (
        3 * values(rng, shape, "f8") for shape in [(2, 2, *(5, 4, 3)[:axes]), (3, 2, *(2, 3, 2)[:axes]), 3]
    )
    options = {"stride": (1, 2, 1)[:axes], "padding": 1, "activation": activation}
    grad_output = values(rng, CONV[axes](image, weight, bias, **options).shape, "f8")

    def loss():
        return (CONV[axes](image, weight, bias, **options) * grad_output).sum()

    gradients = fc.FilterBank(weight, bias, **options).backward(image, grad_output)
    for found, array in zip(gradients, (image, weight, bias), strict=True):
        np.testing.assert_allclose(found, differences(loss, array), rtol=1e-6, atol=1e-6)


@all_axes
@pytest.mark.parametrize("activation", [None, *ACTIVATION_NAMES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_torch_with_every_activation(dtype, activation, axes, torch, rng):
    image, weight, bias = (
        3 * values(rng, shape, dtype) for shape in [(2, 4, *(9, 8, 5)[:axes]), (6, 2, *(3, 2, 3)[:axes]), 6]
    )
    options = {"stride": (2, 1, 1)[:axes], "padding": (1, 0, 2)[:axes], "groups": 2}
    tensors = [torch.from_numpy(array).requires_grad_() for array in (image, weight, bias)]
    maps = getattr(torch.nn.functional, f"conv{axes}d")(*tensors, **options)
    if activation is not None:
        maps = getattr(torch.nn.functional, activation)(maps)
    grad_output = values(rng, tuple(maps.shape), dtype)
    maps.backward(torch.from_numpy(grad_output))
    bank = fc.FilterBank(weight, bias, **options, activation=activation)
    gradients = bank.backward(image, grad_output)
    for found, tensor in zip(gradients, tensors, strict=True):
        assert found.dtype == dtype
        largest = float(abs(tensor.grad).max())
        np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=0, atol=30 * np.finfo(dtype).eps * largest)


@pytest.mark.parametrize("activation", ["relu", "relu6", "leaky_relu"])
def test_derivatives_at_kinks_are_those_of_torch(activation, torch):
    """A bank that hands its pixels on: zero and six are where the slope jumps."""
    image = np.array([[-1.0, -0.0, 0.0, 1, 5, 6, 7, -np.inf, np.inf]])
    pixels = torch.from_numpy(image).requires_grad_()
    getattr(torch.nn.functional, activation)(pixels).sum().backward()
    bank = fc.FilterBank(np.ones((1, 1, 1)), activation=activation)
    assert bank.backward(image, np.ones_like(image)).input.tolist() == pixels.grad.tolist()


@pytest.mark.parametrize("activation", ["sigmoid", "silu", "hardswish", "tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_derivatives_of_curves_are_accurate_over_their_range(dtype, activation, torch):
    image = np.linspace(-30, 30, 1201, dtype=dtype)[np.newaxis]
    pixels = torch.from_numpy(image.astype(np.float64)).requires_grad_()
    getattr(torch.nn.functional, activation)(pixels).sum().backward()
    bank = fc.FilterBank(np.ones((1, 1, 1), dtype), activation=activation)
    found = bank.backward(image, np.ones_like(image)).input
    inside = abs(abs(image) - 3) > 1e-6  # but for the kinks of hardswish
    np.testing.assert_allclose(found[inside], pixels.grad.numpy()[inside], rtol=0, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
def test_slopes_far_out_are_finite(activation):
    far = [-np.inf, -1e30, -1e4, -800.0, 800.0, 1e4, 1e30, np.inf]
    bank = fc.FilterBank(np.ones((1, 1, 1)), activation=activation)
    slopes = bank.backward(np.array([far]), np.ones((1, len(far)))).input[0]
    flat = ACTIVATIONS[activation](np.array(1e4)) < 10
    right = 0 if flat else 1
    left = 0.01 if activation == "leaky_relu" else 0
    np.testing.assert_allclose(slopes[1:-1], [left] * 3 + [right] * 3, atol=1e-12)
    assert not np.isnan(slopes).any()


@pytest.mark.parametrize("activation", [None, *ACTIVATION_NAMES])
def test_maps_that_are_known_need_not_be_computed_again(activation, rng):
    image, weight = values(rng, (5, 4, 11, 12), "f4"), values(rng, (6, 4, 3, 3), "f4")
    bank = fc.FilterBank(weight, values(rng, 6, "f4"), activation=activation)
    maps = bank(image)
    grad_output = values(rng, maps.shape, "f4")
    pairs = zip(bank.backward(image, grad_output), bank.backward(image, grad_output, maps=maps), strict=True)
    assert all(one.tobytes() == other.tobytes() for one, other in pairs)


@all_modes
@pytest.mark.parametrize("padding", [*PADDING_NAMES, ((2, 1), (0, 3))])
def test_every_padding(padding, padding_mode, rng):
    image, weight = values(rng, (2, 4, 7, 8), "f8"), values(rng, (6, 2, 3, 2), "f8")
    options = {"padding": padding, "padding_mode": padding_mode, "stride": (1, 2), "groups": 2}
    bank = fc.FilterBank(weight, **options)
    grad_output = values(rng, bank(image).shape, "f8")
    gradients = bank.backward(image, grad_output)
    expected = input_gradient(image.shape, weight, grad_output, **options)
    np.testing.assert_allclose(gradients.input, expected, rtol=1e-11, atol=1e-11)
    expected = weight_gradient(image, weight.shape, grad_output, **options)
    np.testing.assert_allclose(gradients.weight, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_leading_axes_are_batch(lead, rng):
    image, bank = values(rng, (*lead, 4, 8, 9), "f8"), fc.FilterBank(values(rng, (6, 4, 3, 3), "f8"), np.ones(6))
    grad_output = values(rng, (*lead, 6, 6, 7), "f8")
    gradients = bank.backward(image, grad_output)
    apart = [bank.backward(image[i], grad_output[i]) for i in np.ndindex(lead)]
    assert gradients.input.shape == image.shape
    for index, alone in zip(np.ndindex(lead), apart, strict=True):
        assert np.array_equal(gradients.input[index], alone.input)
    np.testing.assert_allclose(gradients.weight, sum(alone.weight for alone in apart), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(gradients.bias, sum(alone.bias for alone in apart), rtol=1e-11, atol=1e-11)


def test_an_image_without_an_axis_of_channels(rng):
    image, bank = values(rng, (8, 9), "f4"), fc.FilterBank(values(rng, (6, 1, 3, 3), "f4"))
    grad_output = values(rng, (6, 6, 7), "f4")
    gradients, with_axis = bank.backward(image, grad_output), bank.backward(image[np.newaxis], grad_output)
    assert gradients.input.shape == (8, 9)
    assert np.array_equal(gradients.input, with_axis.input[0])
    assert np.array_equal(gradients.weight, with_axis.weight)


@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_results_do_not_depend_on_threads(activation, rng):
    image = values(rng, (5, 20, 20, 21), "f4")
    bank = fc.FilterBank(values(rng, (24, 20, 3, 3), "f4"), values(rng, 24, "f4"), padding=1, activation=activation)
    grad_output = values(rng, (5, 24, 20, 21), "f4")
    one, two, three = (bank.backward(image, grad_output, threads=threads) for threads in (1, 2, 3))
    assert all(a.tobytes() == b.tobytes() == c.tobytes() for a, b, c in zip(one, two, three, strict=True))


def test_arguments_are_left_as_they_were(rng):
    image, bank = values(rng, (4, 8, 9), "f4"), fc.FilterBank(values(rng, (6, 4, 3, 3), "f4"), activation="silu")
    grad_output = values(rng, (6, 6, 7), "f4")
    copies = image.copy(), grad_output.copy(), bank.weight.copy()
    bank.backward(image, grad_output)
    assert all(map(np.array_equal, (image, grad_output, bank.weight), copies))


@pytest.mark.parametrize(
    ("name", "image", "grad_output"),
    [
        ("input", np.ones((5, 8, 9)), np.ones((6, 6, 7))),
        ("grad_output", np.ones((4, 8, 9)), np.ones((6, 6, 8))),
        ("grad_output", np.ones((4, 8, 9)), np.ones((5, 6, 7))),
        ("grad_output", np.ones((2, 4, 8, 9)), np.ones((6, 6, 7))),
        ("grad_output", np.ones((4, 8, 9)), None),
    ],
)
def test_errors_name_the_argument(name, image, grad_output):
    with pytest.raises((TypeError, ValueError), match=rf"^({name})\b"):
        fc.FilterBank(np.ones((6, 4, 3, 3))).backward(image, grad_output)


# Banks in a row


def small_network(rng, dtype):
    return fc.Sequential(
        fc.FilterBank(values(rng, (5, 1, 3, 3), dtype), values(rng, 5, dtype), padding=1, activation="relu"),
        fc.FilterBank(values(rng, (4, 5, 3, 3), dtype), stride=2, padding="same", padding_mode="replicate"),
        fc.FilterBank(values(rng, (2, 2, 2, 2), dtype), values(rng, 2, dtype), groups=2, activation="tanh"),
    )


def test_a_sequence_gives_the_gradients_of_each_bank(rng):
    network, image = small_network(rng, "f8"), values(rng, (2, 1, 8, 9), "f8")
    grad_output = values(rng, network(image).shape, "f8")
    gradients = network.backward(image, grad_output)
    assert len(gradients) == 3
    images = [*itertools.accumulate(network[:2], lambda maps, bank: bank(maps), initial=image)]
    for bank, seen, found in reversed([*zip(network, images, gradients, strict=True)]):
        assert isinstance(found, fc.Gradients)
        expected = bank.backward(seen, grad_output)
        np.testing.assert_allclose(found.weight, expected.weight, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found.input, expected.input, rtol=1e-10, atol=1e-12)
        grad_output = expected.input


def test_torch_trains_the_same_network(torch, rng):
    functional = torch.nn.functional
    image = values(rng, (3, 2, 12, 12), "f8")
    weights = [values(rng, shape, "f8") for shape in [(8, 2, 3, 3), (8, 4, 3, 3), (3, 8, 2, 2)]]
    biases = [values(rng, len(weight), "f8") for weight in weights]
    layers = [{"padding": 1}, {"stride": 2, "groups": 2}, {"padding": 1, "dilation": 2}]
    activations = ["silu", "relu", "sigmoid"]
    parameters = [
        torch.from_numpy(array).requires_grad_() for pair in zip(weights, biases, strict=True) for array in pair
    ]
    pixels = maps = torch.from_numpy(image).requires_grad_()
    for n, (options, activation) in enumerate(zip(layers, activations, strict=True)):
        maps = getattr(functional, activation)(functional.conv2d(maps, *parameters[2 * n : 2 * n + 2], **options))
    grad_output = values(rng, tuple(maps.shape), "f8")
    maps.backward(torch.from_numpy(grad_output))

    network = fc.Sequential(
        *(
            fc.FilterBank(weight, bias, **options, activation=activation)
            for weight, bias, options, activation in zip(weights, biases, layers, activations, strict=True)
        )
    )
    gradients = network.backward(image, grad_output)
    for n, found in enumerate(gradients):
        np.testing.assert_allclose(found.weight, parameters[2 * n].grad.numpy(), rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(found.bias, parameters[2 * n + 1].grad.numpy(), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(gradients[0].input, pixels.grad.numpy(), rtol=1e-10, atol=1e-11)


def test_a_sequence_in_a_sequence_has_a_tuple_of_gradients(rng):
    network, image = small_network(rng, "f4"), values(rng, (1, 8, 9), "f4")
    nested = fc.Sequential(fc.Sequential(network[0], network[1]), network[2])
    grad_output = values(rng, network(image).shape, "f4")
    (first, second), third = nested.backward(image, grad_output)
    for found, expected in zip((first, second, third), network.backward(image, grad_output), strict=True):
        assert np.array_equal(found.input, expected.input)
        assert np.array_equal(found.weight, expected.weight)


@pytest.mark.parametrize("activation", [None, *ACTIVATION_NAMES])
@all_axes
def test_torch_trains_the_same_decoder(axes, activation, torch, rng):
    """An encoder and the transposed bank that undoes its stride."""
    functional = torch.nn.functional
    image = values(rng, (2, 3, *(8, 10, 6)[:axes]), "f8")
    arrays = [values(rng, shape, "f8") for shape in [(4, 3, *(3,) * axes), 4, (4, 2, *(4,) * axes), 2]]
    weight, bias, up_weight, up_bias = arrays
    parameters = [torch.from_numpy(array).requires_grad_() for array in arrays]
    pixels = torch.from_numpy(image).requires_grad_()
    maps = torch.tanh(getattr(functional, f"conv{axes}d")(pixels, *parameters[:2], 2, 1))
    maps = getattr(functional, f"conv_transpose{axes}d")(maps, *parameters[2:], 2, 1)
    maps = maps if activation is None else getattr(functional, activation)(maps)
    grad_output = values(rng, tuple(maps.shape), "f8")
    maps.backward(torch.from_numpy(grad_output))

    network = fc.Sequential(
        fc.FilterBank(weight, bias, stride=2, padding=1, activation="tanh"),
        fc.TransposedFilterBank(up_weight, up_bias, stride=2, padding=1, activation=activation),
    )
    np.testing.assert_allclose(network(image), maps.detach().numpy(), rtol=1e-10, atol=1e-11)
    first, second = network.backward(image, grad_output)
    for found, tensor in zip((*first[1:], *second[1:], first.input), [*parameters, pixels], strict=True):
        np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=1e-9, atol=1e-10)


def test_following_the_gradient_downhill_finds_the_filter(rng):
    """A training loop as a reader would write it: the weight that made the maps is found again."""
    image, sought = values(rng, (8, 2, 12, 12), "f4"), values(rng, (3, 2, 3, 3), "f4")
    wanted = fc.conv2d(image, sought, padding=1)
    weight = np.zeros_like(sought)
    for _ in range(200):
        bank = fc.FilterBank(weight, padding=1)
        weight = weight - 0.5 * bank.backward(image, (bank(image) - wanted) / (8 * 144)).weight
    np.testing.assert_allclose(weight, sought, atol=1e-3)


# The adjoint


@all_axes
@all_modes
@pytest.mark.parametrize("padding", [*PADDING_NAMES, 1, "pairs"])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_adjoint_has_the_same_inner_products(dtype, padding, padding_mode, axes, rng):
    padding = ((1, 2), (0, 3), (2, 2))[:axes] if padding == "pairs" else padding
    options = {"stride": (2, 3, 1)[:axes], "dilation": (1, 1, 2)[:axes], "padding": padding, "groups": 2}
    image, weight = values(rng, (2, 4, *(9, 8, 7)[:axes]), dtype), values(rng, (6, 2, *(3, 2, 3)[:axes]), dtype)
    bank = fc.FilterBank(weight, **options, padding_mode=padding_mode, flip=axes == 2)
    maps = bank(image)
    other = values(rng, maps.shape, dtype)
    back = bank.adjoint()(other, output_size=image.shape[-axes:])
    assert back.shape == image.shape
    np.testing.assert_allclose(np.vdot(maps, other), np.vdot(image, back), rtol=1e-10)


def test_the_adjoint_is_the_gradient_of_the_input(rng):
    image, weight = values(rng, (3, 20, 15, 16), "f4"), values(rng, (24, 20, 3, 3), "f4")
    bank = fc.FilterBank(weight, stride=2, padding=1)
    maps = values(rng, (3, 24, 8, 8), "f4")
    back = bank.adjoint()(maps, output_size=(15, 16))
    expected = fc.grad.conv2d_input(image.shape, weight, maps, stride=2, padding=1)
    np.testing.assert_allclose(back, expected, atol=1e-5 * abs(expected).max())
    np.testing.assert_allclose(back, bank.backward(image, maps).input, atol=1e-5 * abs(expected).max())


def test_the_adjoint_makes_the_smallest_image_that_gives_such_maps(rng):
    weight = values(rng, (6, 4, 3, 3), "f8")
    maps = values(rng, (2, 6, 5, 6), "f8")
    back = fc.FilterBank(weight, stride=(1, 2), padding=1).adjoint()(maps)
    assert back.shape == (2, 4, 5, 11)
    np.testing.assert_allclose(back, transpose(maps, weight, stride=(1, 2), padding=1), rtol=1e-11, atol=1e-12)


def test_the_adjoint_leaves_bias_and_activation_out(rng):
    weight, maps = values(rng, (6, 4, 3, 3), "f4"), values(rng, (6, 5, 6), "f4")
    plain = fc.FilterBank(weight).adjoint()
    other = fc.FilterBank(weight, np.ones(6, "f4"), activation="relu").adjoint()
    assert np.array_equal(plain(maps), other(maps))


@pytest.mark.parametrize("output_size", [(9, 9), (12, 11), (11,), "same", -1])
def test_an_image_that_gives_other_maps_is_refused(output_size, rng):
    adjoint = fc.FilterBank(values(rng, (6, 4, 3, 3), "f4"), stride=2).adjoint()
    maps = values(rng, (6, 5, 5), "f4")
    assert adjoint(maps, output_size=(12, 11)).shape == (4, 12, 11)
    if output_size == (12, 11):
        return
    with pytest.raises((TypeError, ValueError), match=r"^output_size"):
        adjoint(maps, output_size=output_size)


@pytest.mark.parametrize("shape", [(5, 5, 5), (5,), (6, 0, 5)])
def test_maps_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"^(input|maps|grad_output)\b"):
        fc.FilterBank(np.ones((6, 4, 3, 3))).adjoint()(np.ones(shape))


def test_the_adjoint_of_a_bank_says_what_it_is(rng):
    adjoint = fc.FilterBank(values(rng, (6, 4, 3, 2), "f4"), stride=2).adjoint()
    assert "6 -> 4" in repr(adjoint)
    assert "3x2" in repr(adjoint)
    maps = values(rng, (6, 5, 5), "f4")
    assert np.array_equal(pickle.loads(pickle.dumps(adjoint))(maps), adjoint(maps))


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 1}, {"stride": 2, "padding": "same"}])
def test_an_adjoint_called_again_gives_the_same_bits(options, rng):
    bank = fc.FilterBank(values(rng, (24, 20, 3, 3), "f4"), **options)
    adjoint, maps = bank.adjoint(), values(rng, (3, 24, 9, 10), "f4")
    first = adjoint(maps)
    assert first.tobytes() == adjoint(maps).tobytes() == adjoint(maps, threads=2).tobytes()
    assert first[1].tobytes() == adjoint(maps[1]).tobytes()
