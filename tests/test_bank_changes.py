"""Banks that are read and varied: options as attributes, replace, from_torch, fold_batch_norm."""

from types import SimpleNamespace

import numpy as np
import pytest
from strategies import values

import fastconv as fc

KINDS = [fc.FilterBank, fc.TransposedFilterBank]


@pytest.mark.parametrize("kind", KINDS)
def test_options_are_attributes_that_cannot_be_set(kind, rng):
    bank = kind(values(rng, (4, 4, 3, 3), "f4"), stride=2, padding=(1, 0), groups=2, activation="relu", flip=True)
    assert (bank.padding, bank.groups, bank.activation, bank.flip) == ((1, 0), 2, "relu", True)
    assert (bank.padding_mode, bank.dilation, bank.algorithm, bank.precision) == ("zeros", 1, "auto", "default")
    assert bank.channels_last is False
    with pytest.raises(AttributeError, match=r"bank.replace\(activation=...\)"):
        bank.activation = "tanh"
    assert fc.FilterBank.padding.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_replace_makes_another_bank(kind, rng):
    weight, bias, image = values(rng, (4, 4, 3, 3), "f4"), values(rng, 4, "f4"), values(rng, (4, 9, 9), "f4")
    bank = kind(weight, bias, padding=1)
    other = bank.replace(activation="relu", padding=(1, 0))
    assert other == kind(weight, bias, padding=(1, 0), activation="relu") != bank
    assert np.array_equal(other(image), kind(weight, bias, padding=(1, 0), activation="relu")(image))
    assert bank.replace() == bank
    assert bank.replace(bias=None) == kind(weight, padding=1)
    assert bank.replace(weight=2 * weight).weight[0, 0, 0, 0] == 2 * weight[0, 0, 0, 0]
    with pytest.raises(
        TypeError, match=r"strides is not an option of .*FilterBank: these are weight, bias, stride, padding"
    ):
        bank.replace(strides=2)
    with pytest.raises(ValueError, match="groups must divide"):
        bank.replace(groups=3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
def test_batch_norm_is_folded_into_the_weights(kind, groups, dtype, rng):
    weight, image = values(rng, (4, 4 // groups * groups, 3, 3), dtype)[:, : 4 // groups], values(rng, (4, 9, 9), dtype)
    bank = kind(weight, values(rng, 4, dtype), groups=groups, padding=1)
    count = bank.out_channels
    mean, beta = rng.standard_normal(count), rng.standard_normal(count)
    var, gamma = rng.random(count) + 0.1, rng.random(count)
    column = (slice(None), None, None)
    for scale, offset in ((gamma, beta), (None, None)):
        folded = bank.fold_batch_norm(mean, var, scale, offset, eps=1e-3)
        maps = bank(image).astype(float)
        normal = (maps - mean[column]) / np.sqrt(var + 1e-3)[column]
        expected = normal if scale is None else normal * gamma[column] + beta[column]
        assert folded.weight.dtype == bank.weight.dtype
        np.testing.assert_allclose(
            folded(image), expected, rtol=0.05 if dtype == "f2" else 1e-3, atol=0.2 if dtype == "f2" else 1e-4
        )
    with pytest.raises(ValueError, match="mean must have shape"):
        bank.fold_batch_norm(np.zeros(count + 1), var)
    with pytest.raises(ValueError, match="activation must be None to fold"):
        bank.replace(activation="relu").fold_batch_norm(mean, var)


def test_banks_of_a_kind_of_their_own_fold_as_well():
    class Bank(fc.FilterBank):
        pass

    assert type(folded := Bank(np.ones((2, 3, 3))).fold_batch_norm([0, 0], [1, 4], eps=0)) is Bank
    assert folded.weight[:, 0, 0].tolist() == [1, 0.5]


def test_layers_are_known_by_their_attributes(rng):
    weight = values(rng, (4, 3, 3, 3), "f4")
    layer = SimpleNamespace(
        weight=weight, bias=None, stride=(2, 2), padding=(1, 1), dilation=(1, 1), groups=1, padding_mode="reflect"
    )
    assert fc.FilterBank.from_torch(layer) == fc.FilterBank(weight, stride=2, padding=1, padding_mode="reflect")
    assert fc.FilterBank.from_torch(layer, padding=0).padding == 0
    with pytest.raises(TypeError, match="layer must be one that TransposedFilterBank can stand for"):
        fc.TransposedFilterBank.from_torch(layer)
    with pytest.raises(TypeError, match="weight"):
        fc.FilterBank.from_torch(object())


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1, "bias": False}, {"groups": 2, "dilation": 2}])
def test_layers_of_torch_compute_the_same(axes, transposed, options, rng):
    torch = pytest.importorskip("torch")
    name = f"Conv{'Transpose' if transposed else ''}{axes}d"
    layer = getattr(torch.nn, name)(4, 6, 3, **options)
    kind = KINDS[transposed]
    image = values(rng, (2, 4, *(11,) * axes), "f4")
    expected = layer(torch.from_numpy(image)).detach().numpy()
    np.testing.assert_allclose(kind.from_torch(layer)(image), expected, rtol=1e-4, atol=1e-5)
    state = layer.state_dict()
    rest = {name: value for name, value in options.items() if name != "bias"}
    bank = kind.from_torch(state["weight"], bias=state.get("bias"), **rest)
    np.testing.assert_allclose(bank(image), expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_of_torch(rng):
    torch = pytest.importorskip("torch")
    layer, norm = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
    images = torch.from_numpy(values(rng, (4, 3, 12, 12), "f4"))
    norm(layer(images))  # which moves the running statistics
    norm.eval()
    bank = fc.FilterBank.from_torch(layer).fold_batch_norm(
        norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps
    )
    expected = torch.relu(norm(layer(images))).detach().numpy()
    np.testing.assert_allclose(bank.replace(activation="relu")(images.numpy()), expected, rtol=1e-4, atol=1e-5)
