"""Keras on NumPy: layers on fastconv, without JAX, against the naive program and, with JAX, against Keras's own.

Keras is given its backend once in a process, and JAX warns of processes that fork: calls go to processes of their own.
"""

import doctest
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np
import pytest
import reference

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs Keras")
needs_jax = pytest.mark.skipif(find_spec("jax") is None, reason="Keras's own NumPy backend needs JAX")
BACKEND = "keras.src.backend.numpy.nn"
bfloat16 = np.dtype(ml_dtypes.bfloat16)

# What runs in the other processes


def start_ours() -> None:
    sys.modules["jax"] = None  # type: ignore[assignment]  # as if it were not installed
    os.environ["KERAS_BACKEND"] = "numpy"
    importlib.import_module("fastconv.integrations.keras").enable()


def start_theirs() -> None:
    os.environ["KERAS_BACKEND"] = "numpy"
    importlib.import_module("keras")


def operator(name: str, arrays: list[Any], options: dict[str, Any]) -> Any:
    keras = importlib.import_module("keras")
    return np.asarray(getattr(keras.ops, name)(*arrays, **options))


def layer(name: str, image: Any, options: dict[str, Any]) -> tuple[Any, list[Any], tuple[int, ...]]:
    """Return what a layer with random weights makes of an image, its weights, and the shape that it promises."""
    keras = importlib.import_module("keras")
    keras.utils.set_random_seed(1)
    made = getattr(keras.layers, name)(**options, bias_initializer="random_normal")
    maps = made(image)
    return (
        np.asarray(maps),
        [np.asarray(weight) for weight in made.weights],
        tuple(made.compute_output_shape(image.shape)),
    )


def pool_and_transform(image: Any) -> list[Any]:
    ops = importlib.import_module("keras").ops
    options = [{"strides": strides, "padding": padding} for strides in (1, 2, 3) for padding in ("valid", "same")]
    pooled = [pool(image, 2, **option) for pool in (ops.max_pool, ops.average_pool) for option in options]
    return [np.asarray(x) for x in (*pooled, *ops.fft((image, 2 * image)), *ops.fft2((image, 2 * image)))]


def predict() -> Any:
    """What a small network makes of images it sees, in batches of several sizes."""
    keras = importlib.import_module("keras")
    keras.utils.set_random_seed(1)
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(16, 3, padding="same"),
            layers.BatchNormalization(),
            layers.AveragePooling2D(3, padding="same"),
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return network.predict(np.random.default_rng(3).random((7, 20, 20, 3), np.float32), batch_size=3, verbose=0)


def change_a_kernel() -> list[Any]:
    """Convolve again and again, by a layer whose kernel changes in place and then for another."""
    keras = importlib.import_module("keras")
    made = keras.layers.Conv2D(2, 3, use_bias=False)
    image = np.ones((1, 3, 3, 1), np.float32)
    made.build(image.shape)
    sums = []
    for scale in (1, 1, 1, 2, 2, 2):
        made.kernel.assign(scale * np.ones((3, 3, 1, 2), np.float32))
        made.kernel.value[0] = 0
        sums += [float(made(image)[0, 0, 0, 1])]
    return sums


def switch() -> list[bool]:
    """Whether Keras's functions are in their places, step by step; for a process where they are at first."""
    ours, backend = importlib.import_module("fastconv.integrations.keras"), importlib.import_module(BACKEND)
    own = backend.conv, backend.depthwise_conv, backend.conv_transpose
    seen = []
    for step in (ours.disable, ours.enable, ours.enable, ours.disable, ours.disable):
        step()
        now = backend.conv, backend.depthwise_conv, backend.conv_transpose
        seen.append(all(a is b for a, b in zip(own, now, strict=True)))
    return seen


def refused_backends() -> list[str]:
    """What enable says of another backend, and of functions that are missing, or take other arguments."""
    enable, backend = importlib.import_module("fastconv.integrations.keras").enable, importlib.import_module(BACKEND)
    messages = []
    with mock.patch("keras.config.backend", return_value="jax"), pytest.raises(RuntimeError) as info:
        enable()
    messages.append(str(info.value))
    own = backend.conv_transpose
    with mock.patch.multiple(backend, conv=lambda inputs, kernel: None, depthwise_conv=None):
        with pytest.raises(RuntimeError) as info:
            enable()
        assert backend.conv_transpose is own, "some were replaced"
    return [*messages, str(info.value)]


def what_is_left_of_jax() -> tuple[list[str], str]:
    """The modules and finders that enable leaves behind, and what Keras's own convolution says after disable."""
    left = [name for name in sys.modules if name.startswith(("jax.", "keras.src.backend.jax"))]
    left += [repr(finder) for finder in sys.meta_path if "fastconv" in repr(finder)]
    module = importlib.import_module("fastconv.integrations.keras")
    module.disable()
    try:
        with pytest.raises(ModuleNotFoundError) as info:
            operator("conv", [np.ones((1, 3, 3, 1), "f4"), np.ones((3, 3, 1, 1), "f4")], {})
    finally:
        module.enable()
    return left, str(info.value)


def refusal(name: str, arrays: list[Any], options: dict[str, Any]) -> str:
    with pytest.raises(ValueError) as info:  # noqa: PT011  # its message is what is asked for
        operator(name, arrays, options)
    return str(info.value)


def run_examples() -> tuple[int, int]:
    module = importlib.import_module("fastconv.integrations.keras")
    results = doctest.testmod(module, extraglobs={"np": np})
    module.enable()
    return results.failed, results.attempted


# The processes


def worker(start: Callable[[], None]) -> Iterator[Callable[..., Any]]:
    with ProcessPoolExecutor(1, get_context("spawn"), start) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


@pytest.fixture(scope="module")
def ours() -> Iterator[Callable[..., Any]]:
    yield from worker(start_ours)


@pytest.fixture(scope="module")
def theirs() -> Iterator[Callable[..., Any]]:
    yield from worker(start_theirs)


# Operators


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def channels_first(array: Any, is_last: bool = True) -> Any:
    return np.moveaxis(array, -1, 1) if is_last else array


def as_filters(kernel: Any) -> Any:
    return np.moveaxis(kernel, (-1, -2), (0, 1))


SIZES = {1: (11,), 2: (11, 8), 3: (5, 6, 7)}
TAPS = {1: (4,), 2: (3, 2), 3: (2, 3, 1)}
every_format = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
every_rank = pytest.mark.parametrize("axes", [1, 2, 3])
every_padding = pytest.mark.parametrize("padding", ["valid", "same"])
steps = pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), (3, 1), (2, 2)])


def image_of(rng: np.random.Generator, axes: int, channels: int, data_format: str, dtype: Any = "f4") -> Any:
    size = SIZES[axes]
    return random(rng, (2, *size, channels) if data_format == "channels_last" else (2, channels, *size), dtype)


@every_rank
@every_format
@every_padding
@steps
@pytest.mark.parametrize("groups", [1, 2])
def test_conv_equals_the_definition(axes, data_format, padding, strides, dilation, groups, rng, ours):
    image = image_of(rng, axes, 4, data_format)
    kernel = random(rng, (*TAPS[axes], 4 // groups, 6), "f4")
    options = {"strides": strides, "padding": padding, "data_format": data_format, "dilation_rate": dilation}
    is_last = data_format == "channels_last"
    right = reference.convolve(
        channels_first(image, is_last), as_filters(kernel), None, strides, padding, dilation, groups, axes=axes
    )
    for _ in range(3):  # by the function, then by a bank that is kept
        maps = ours(operator, "conv", [image, kernel], options)
        assert maps.dtype == np.float32
        np.testing.assert_allclose(channels_first(maps, is_last), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 2])
@every_format
@every_padding
@steps
def test_depthwise_and_separable_conv_equal_the_definition(axes, data_format, padding, strides, dilation, rng, ours):
    image = image_of(rng, axes, 3, data_format)
    kernel, pointwise = random(rng, (*TAPS[axes], 3, 2), "f4"), random(rng, (*(1,) * axes, 6, 5), "f4")
    options = {"strides": strides, "padding": padding, "data_format": data_format, "dilation_rate": dilation}
    is_last = data_format == "channels_last"
    filters = as_filters(kernel.reshape(*TAPS[axes], 1, 6))
    right = reference.convolve(channels_first(image, is_last), filters, None, strides, padding, dilation, 3, axes=axes)
    maps = channels_first(ours(operator, "depthwise_conv", [image, kernel], options), is_last)
    np.testing.assert_allclose(maps, right, rtol=1e-5, atol=1e-5)
    mixed = channels_first(ours(operator, "separable_conv", [image, kernel, pointwise], options), is_last)
    right = reference.convolve(right, as_filters(pointwise), axes=axes)
    np.testing.assert_allclose(mixed, right, rtol=1e-5, atol=1e-5)


@every_rank
@every_format
@every_padding
@steps
def test_conv_transpose_equals_the_definition(axes, data_format, padding, strides, dilation, rng, ours):
    image = image_of(rng, axes, 3, data_format)
    kernel = random(rng, (*TAPS[axes], 4, 3), "f4")  # (kh, kw, K, C)
    options = {"strides": strides, "padding": padding, "data_format": data_format, "dilation_rate": dilation}
    is_last = data_format == "channels_last"
    beyond = 0  # pixels that the stride leaves over behind the last kernel
    if padding == "valid":
        beyond = tuple(max(strides - dilation * (taps - 1) - 1, 0) for taps in TAPS[axes])
    right = reference.transpose(
        channels_first(image, is_last), as_filters(kernel), None, strides, padding, beyond, 1, dilation, axes=axes
    )
    for _ in range(3):
        maps = ours(operator, "conv_transpose", [image, kernel], options)
        np.testing.assert_allclose(channels_first(maps, is_last), right, rtol=1e-5, atol=1e-5)


# A signal 1, 10 and a kernel 1, 2, 3 ... by hand: same padding cuts off (taps - taps % 2 - output_padding) // 2 before
OUTPUT_PADDING = [
    (3, 2, "valid", 0, [1, 2, 13, 20, 30]),
    (3, 2, "valid", 1, [1, 2, 13, 20, 30, 0]),
    (3, 2, "same", 0, [2, 13, 20]),
    (3, 2, "same", 1, [1, 2, 13, 20]),
    (4, 3, "same", 2, [2, 3, 14, 20, 30]),
    (1, 3, "same", 2, [1, 0, 0, 10, 0, 0]),
]


@pytest.mark.parametrize(("taps", "stride", "padding", "more", "right"), OUTPUT_PADDING)
def test_output_padding_adds_to_the_size_that_the_padding_leaves(taps, stride, padding, more, right, ours):
    signal, kernel = np.float32([1, 10]).reshape(1, 2, 1), np.arange(1, taps + 1, dtype="f4").reshape(taps, 1, 1)
    options = {"strides": stride, "padding": padding, "output_padding": more}
    assert ours(operator, "conv_transpose", [signal, kernel], options).ravel().tolist() == right


@needs_jax
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5])
@every_padding
@pytest.mark.parametrize("dilation", [1, 2])
def test_transposed_sizes_are_keras_s_own(taps, padding, dilation, rng, ours, theirs):
    image, kernel = random(rng, (1, 5, 6, 2), "f4"), random(rng, (taps, 3, 3, 2), "f4")
    for strides in ((1, 1), (2, 1), (3, 2), (4, 3)):
        for more in (None, 0, tuple(s - 1 for s in strides)):
            options = {"strides": strides, "padding": padding, "output_padding": more, "dilation_rate": dilation}
            arguments = operator, "conv_transpose", [image, kernel], options
            np.testing.assert_allclose(ours(*arguments), theirs(*arguments), rtol=1e-4, atol=1e-5, err_msg=str(options))


DTYPES = ["f4", "f2", bfloat16, "f8", "c8", "i1", "u1", "i2", "i4", "i8"]


@needs_jax
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["conv", "depthwise_conv", "conv_transpose"])
def test_dtypes_and_values_are_keras_s_own(dtype, name, rng, ours, theirs):
    arguments = (
        operator,
        name,
        [random(rng, (2, 6, 5, 3), dtype), random(rng, (3, 3, 3, 3), dtype)],
        {"padding": "same"},
    )
    mine, own = ours(*arguments), theirs(*arguments)
    assert mine.dtype == own.dtype
    if own.dtype.kind in "iu":  # which wrap around
        assert np.array_equal(mine, own)
    else:
        bound = {2: 2**-10, bfloat16: 2**-7}.get(bfloat16 if dtype is bfloat16 else own.itemsize, 1e-5)
        wide = np.complex128 if own.dtype.kind == "c" else np.float64
        np.testing.assert_allclose(mine.astype(wide), own.astype(wide), rtol=bound, atol=4 * bound)


def test_mixed_dtypes_are_promoted(rng, ours):
    image, kernel = random(rng, (1, 5, 5, 2), "i1"), random(rng, (3, 3, 2, 4), "f2")
    right = reference.convolve(channels_first(image), as_filters(kernel))
    maps = ours(operator, "conv", [image, kernel], {})
    assert maps.dtype == np.float16
    np.testing.assert_allclose(channels_first(maps).astype("f8"), right, rtol=2**-10)


@pytest.mark.parametrize("name", ["conv", "depthwise_conv", "conv_transpose"])
def test_an_empty_batch_stays_empty(name, ours):
    image, kernel = np.empty((0, 5, 6, 3), "f4"), np.ones((3, 3, 3, 3), "f4")
    assert ours(operator, name, [image, kernel], {"padding": "same"}).shape[:3] == (0, 5, 6)


@pytest.mark.parametrize(
    ("name", "image", "kernel", "start"),
    [
        ("conv", (1, 5, 5, 3), (3, 3, 2, 4), "inputs of shape"),
        ("conv", (1, 2, 2, 3), (3, 3, 3, 4), "weight must fit"),
        ("conv", (1, 5, 5, 3), (3, 3, 4), "inputs and kernel must have"),
        ("depthwise_conv", (1, 5, 5, 4), (3, 3, 2, 2), "inputs of shape"),
        ("conv_transpose", (1, 5, 5, 4), (3, 3, 4, 2), "inputs of shape"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, image, kernel, start, ours):
    assert ours(refusal, name, [np.ones(image, "f4"), np.ones(kernel, "f4")], {}).startswith(start)


@pytest.mark.parametrize("name", ["conv", "depthwise_conv", "conv_transpose"])
def test_other_padding_is_refused(name, ours):
    arrays = [np.ones((1, 5, 5, 2), "f4"), np.ones((3, 3, 2, 2), "f4")]
    assert ours(refusal, name, arrays, {"padding": "full"}) == "padding must be 'valid' or 'same'; got 'full'"


# Layers


LAYERS = [
    ("Conv1D", (2, 9, 4), {"filters": 6, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}),
    ("Conv1D", (2, 9, 4), {"filters": 6, "kernel_size": 2, "padding": "causal", "strides": 2}),
    ("Conv2D", (2, 9, 8, 4), {"filters": 6, "kernel_size": 3, "padding": "same", "strides": 2, "groups": 2}),
    ("Conv2D", (2, 4, 9, 8), {"filters": 6, "kernel_size": 3, "data_format": "channels_first", "dtype": "float16"}),
    ("Conv2D", (2, 9, 8, 4), {"filters": 6, "kernel_size": 3, "dtype": "mixed_bfloat16"}),
    ("Conv3D", (1, 5, 6, 7, 2), {"filters": 3, "kernel_size": 2, "padding": "same", "strides": (1, 2, 3)}),
    ("DepthwiseConv1D", (2, 9, 4), {"kernel_size": 3, "depth_multiplier": 2}),
    ("DepthwiseConv2D", (2, 9, 8, 4), {"kernel_size": 3, "padding": "same", "strides": 2, "depth_multiplier": 3}),
    ("SeparableConv1D", (2, 9, 4), {"filters": 5, "kernel_size": 3, "padding": "same", "depth_multiplier": 2}),
    ("SeparableConv2D", (2, 9, 8, 4), {"filters": 5, "kernel_size": 3, "dilation_rate": 2}),
    ("Conv1DTranspose", (2, 9, 4), {"filters": 3, "kernel_size": 4, "strides": 3, "padding": "same"}),
    ("Conv2DTranspose", (2, 5, 6, 4), {"filters": 3, "kernel_size": 3, "strides": 2, "output_padding": 1}),
    ("Conv3DTranspose", (1, 3, 4, 5, 2), {"filters": 3, "kernel_size": 2, "strides": 3, "padding": "valid"}),
]


@pytest.mark.parametrize(("name", "shape", "options"), LAYERS)
def test_layers_give_the_shape_that_keras_promises(name, shape, options, rng, ours):
    maps, _, promised = ours(layer, name, random(rng, shape, "f4"), options)
    assert maps.shape == promised


@needs_jax
@pytest.mark.parametrize(("name", "shape", "options"), LAYERS)
def test_layers_give_what_keras_s_own_give(name, shape, options, rng, ours, theirs):
    arguments = layer, name, random(rng, shape, "f4"), options
    (mine, weights, _), (own, own_weights, _) = ours(*arguments), theirs(*arguments)
    assert all(np.array_equal(a, b) for a, b in zip(weights, own_weights, strict=True))
    assert mine.dtype == own.dtype
    bound = {np.dtype("f4"): 1e-5, np.dtype("f2"): 2**-9, bfloat16: 2**-6}[own.dtype]
    np.testing.assert_allclose(mine.astype("f8"), own.astype("f8"), rtol=bound, atol=bound)


def test_a_causal_layer_equals_the_definition(rng, ours):
    options = {"filters": 6, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}
    image = random(rng, (2, 9, 4), "f4")
    maps, (kernel, bias), _ = ours(layer, "Conv1D", image, options)
    right = reference.convolve(channels_first(image), as_filters(kernel), bias, 1, "causal", 2, axes=1)
    np.testing.assert_allclose(channels_first(maps), right, rtol=1e-5, atol=1e-5)


def test_a_kernel_that_changes_is_seen(ours):
    assert ours(change_a_kernel) == [6, 6, 6, 12, 12, 12]


@needs_jax
def test_a_network_predicts_what_it_does_with_keras_s_own(ours, theirs):
    np.testing.assert_allclose(ours(predict), theirs(predict), rtol=1e-5)


@needs_jax
@pytest.mark.parametrize("dtype", ["f4", "f2", bfloat16])
def test_what_else_the_backend_asks_of_jax_is_there_without_it(dtype, rng, ours, theirs):
    image = random(rng, (2, 7, 8, 3), dtype)
    if dtype == "f4":
        mine, own = ours(pool_and_transform, image), theirs(pool_and_transform, image)
    else:
        arguments = operator, "average_pool", [image, 3], {"strides": 2, "padding": "same"}
        mine, own = [ours(*arguments)], [theirs(*arguments)]
    for a, b in zip(mine, own, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(
            a.astype("f8"), b.astype("f8"), rtol=1e-4 if dtype == "f4" else 2**-7, atol=1e-5 if dtype == "f4" else 2**-8
        )


# Switching on and off


@needs_jax
def test_enable_and_disable_may_be_called_twice(theirs):
    assert theirs(switch) == [True, False, False, True, True]


@needs_jax
def test_what_enable_cannot_replace_is_named(theirs):
    other, missing = theirs(refused_backends)
    assert other.startswith("keras runs on jax: set KERAS_BACKEND=numpy")
    assert f"does not have conv, depthwise_conv in {BACKEND} as fastconv expects it" in missing


def test_without_jax_nothing_of_it_is_left_behind(ours):
    left, message = ours(what_is_left_of_jax)
    assert left == []
    assert message.endswith("but it is not installed: pip install jax")


def test_a_keras_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match="needs Keras on NumPy: pip install keras, and set KERAS_BACKEND=numpy"):
        importlib.import_module("fastconv.integrations.keras").enable()


def test_the_examples_of_the_docstrings_run(ours):
    failed, attempted = ours(run_examples)
    assert failed == 0
    assert attempted
