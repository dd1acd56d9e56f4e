"""Keras on NumPy: the convolution layers of Keras's NumPy backend, computed by fastconv instead of JAX.

Layers and `keras.ops` look functions up in the backend's module in every call, so that those put there serve all of
them; `separable_conv` calls two of them itself. Keras keeps channels last in its kernels, (kh, kw, C/groups, K).
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np

from fastconv import _remembered
from fastconv._problem import Array
from fastconv.bank import FilterBank
from fastconv.conv import conv1d, conv2d, conv3d
from fastconv.transpose import TransposedFilterBank, conv_transpose1d, conv_transpose2d, conv_transpose3d

__all__ = ["disable", "enable"]

BACKEND = "keras.src.backend.numpy.nn"
# bytes: glibc returns memory to the system until a block has been freed that is as large as those in use, of 32 MB at most.
# Layers in NumPy would wait for new pages in every call; JAX frees such blocks in passing.
LARGEST_KEPT = 2**25 - 2**13
# A kind of bank, the functions for 1 to 3 axes, and the names of their sizes in order
FORWARD = FilterBank, (conv1d, conv2d, conv3d), ("stride", "padding", "dilation", "groups")
TRANSPOSED = (
    TransposedFilterBank,
    (conv_transpose1d, conv_transpose2d, conv_transpose3d),
    ("stride", "padding", "output_padding", "groups", "dilation"),
)
_originals: dict[str, Any] = {}  # Keras's own functions, while ours are in their place


def enable() -> None:
    """Let the convolution layers and operators of Keras's NumPy backend run on fastconv.

    Those are Conv, DepthwiseConv, SeparableConv and transposed layers, and the functions of `keras.ops` that they call.
    JAX, which Keras's NumPy backend calls else, need not be installed if this is called before Keras is imported, with
    ``KERAS_BACKEND=numpy`` in the environment. Where it has been called before, nothing happens.

    Raises
    ------
    ImportError
        If Keras, with the backend that it is set to, cannot be imported.
    RuntimeError
        If Keras runs on another backend, or this version of it does not have the functions that are replaced.

    Notes
    -----
    Results have the dtype that Keras promotes the operands to, which on NumPy is one of 32 bits at most: layers of
    float64 compute in float32, as before. Integers wrap around. Kernels that are seen again are kept with what they
    are packed into; `fastconv.set_weight_cache` bounds the memory for the kernels and their copies, not for the latter.

    Examples
    --------
    >>> import os
    >>> os.environ["KERAS_BACKEND"] = "numpy"
    >>> from fastconv.integrations.keras import disable, enable
    >>> enable()
    >>> import keras
    >>> keras.layers.Conv2D(8, 3, padding="same")(np.ones((2, 28, 28, 1), np.float32)).shape
    (2, 28, 28, 8)
    >>> disable()
    """
    backend = _numpy_backend()
    if _originals:
        return
    found = {name: getattr(backend, name, None) for name in REPLACEMENTS}
    strange = [name for name, original in found.items() if not _takes_the_same(original, REPLACEMENTS[name])]
    if strange:
        raise RuntimeError(
            f"keras {_keras().__version__} does not have {', '.join(strange)} in {BACKEND} as fastconv expects it"
        )
    _originals.update(found)
    for name, replacement in REPLACEMENTS.items():
        setattr(backend, name, replacement)
    np.empty(LARGEST_KEPT, np.uint8)


def disable() -> None:
    """Put Keras's own functions back, which call JAX. Where `enable` has not been called, nothing happens.

    Examples
    --------
    >>> from fastconv.integrations.keras import disable
    >>> disable()
    """
    for name, original in _originals.items():
        setattr(sys.modules[BACKEND], name, original)
    _originals.clear()


def _keras() -> Any:
    import keras

    return keras


def _numpy_backend() -> ModuleType | None:
    """Import Keras, and return the module of its NumPy backend that has the convolutions, if there is such a module."""
    is_first = "keras" not in sys.modules and os.environ.get("KERAS_BACKEND") == "numpy"
    try:
        with _jax_stood_in_for() if is_first and find_spec("jax") is None else nullcontext():
            keras = _keras()
    except ImportError as error:
        raise ImportError(
            "fastconv.integrations.keras needs Keras on NumPy: pip install keras, and set KERAS_BACKEND=numpy in the"
            f" environment before Keras is imported ({error})"
        ) from error
    if keras.config.backend() != "numpy":
        raise RuntimeError(
            f"keras runs on {keras.config.backend()}: set KERAS_BACKEND=numpy in the environment before it is imported"
        )
    return sys.modules.get(BACKEND)


def _takes_the_same(original: Any, replacement: Callable[..., Any]) -> bool:
    return callable(original) and [*inspect.signature(original).parameters] == [
        *inspect.signature(replacement).parameters
    ]


# What takes the place of Keras's functions: the same arguments


def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    """kernel: (kh, kw, C/groups, K)."""
    image, bank = _operands(inputs, kernel)
    channels, per_group = image.shape[_channel_axis(data_format)], bank.shape[-2]
    if not per_group or channels % per_group:
        raise ValueError(
            f"inputs of shape {image.shape} have {channels} channels: not a multiple of the {per_group} of kernel,"
            f" of shape {bank.shape}"
        )
    groups = channels // per_group
    return _convolve(image, bank, groups, strides, padding, data_format, dilation_rate)


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    """kernel: (kh, kw, C, M), M filters for each channel."""
    image, bank = _operands(inputs, kernel)
    channels, multiplier = bank.shape[-2:]
    _check_channels(image, channels, bank, data_format)
    bank = bank.reshape(*bank.shape[:-2], 1, channels * multiplier)
    return _convolve(image, bank, channels, strides, padding, data_format, dilation_rate)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    """kernel: (kh, kw, K, C).

    Of the n outputs along an axis that the kernels reach, Keras takes, where s is the stride and r the kernel's reach:
    valid, max(n, n - r + s) or n + output_padding, from the first on; same, n - (r - s) or
    n - (r - r % 2 - output_padding), cut off at both ends alike, and where that is odd, one more at the end.
    """
    image, bank = _operands(inputs, kernel)
    _check_channels(image, bank.shape[-1], bank, data_format)
    axes = bank.ndim - 2
    stride, dilation, more = (_per_axis(value, axes) for value in (strides, dilation_rate, output_padding))
    cuts, ends = [], []
    for taps, s, d, extra in zip(bank.shape, stride, dilation, more, strict=False):
        reach = d * (taps - 1) + 1
        if _checked(padding) == "same":
            cut = reach - (s if extra is None else reach % 2 + extra)
            before = max(cut // 2, 0)
        else:
            cut, before = -(max(s - reach, 0) if extra is None else extra), 0
        cuts.append((before, max(cut - before, 0)))
        ends.append(max(before - cut, 0))
    sizes = stride, tuple(cuts), tuple(ends), 1, dilation
    return _run(True, image, bank, data_format, sizes)


REPLACEMENTS: dict[str, Callable[..., Array]] = {
    "conv": conv,
    "depthwise_conv": depthwise_conv,
    "conv_transpose": conv_transpose,
}


def _operands(inputs: Any, kernel: Any) -> tuple[Array, Array]:
    """Return both as arrays of the dtype that Keras promotes them to."""
    image, bank = (x if type(x) is np.ndarray else _keras().ops.convert_to_tensor(x) for x in (inputs, kernel))
    if image.ndim != bank.ndim or image.ndim not in (3, 4, 5):
        raise ValueError(
            f"inputs and kernel must have 3, 4 or 5 axes, both the same; got shapes {image.shape} and {bank.shape}"
        )
    dtype = _promoted(image.dtype, bank.dtype)
    return image.astype(dtype, copy=False), bank.astype(dtype, copy=False)


@cache
def _promoted(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of a result, by Keras's rules; of 64 bits it makes 32, on this backend."""
    name: str = _keras().backend.result_type(*(dtype.name for dtype in dtypes))
    return np.dtype(name)


def _channel_axis(data_format: str | None) -> int:
    if data_format is None:
        data_format = _keras().config.image_data_format()
    return -1 if data_format == "channels_last" else 1


def _check_channels(image: Array, channels: int, bank: Array, data_format: str | None) -> None:
    given = image.shape[_channel_axis(data_format)]
    if given != channels:
        raise ValueError(
            f"inputs of shape {image.shape} have {given} channels, but kernel, of shape {bank.shape}, has {channels}"
        )


def _per_axis(value: Any, axes: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes


def _checked(padding: Any) -> str:
    name = str(padding).lower()
    if name not in ("valid", "same"):
        raise ValueError(f"padding must be 'valid' or 'same'; got {padding!r}")
    return name


def _convolve(
    image: Array, bank: Array, groups: int, strides: Any, padding: str, data_format: str | None, dilation_rate: Any
) -> Array:
    axes = bank.ndim - 2
    sizes = _per_axis(strides, axes), _checked(padding), _per_axis(dilation_rate, axes), groups
    return _run(False, image, bank, data_format, sizes)


def _run(is_transposed: bool, image: Array, kernel: Array, data_format: str | None, sizes: tuple[Any, ...]) -> Array:
    """Convolve by a function, with these sizes in its order, or by a bank where this kernel was seen before.

    The function would pack the kernel in every call, since it is given a view with the axes in another order.
    """
    channels_last = _channel_axis(data_format) == -1
    kind, functions, names = TRANSPOSED if is_transposed else FORWARD

    def bank_of(kernel: Array) -> tuple[Any, Array]:
        bank = kind(_as_filters(kernel), channels_last=channels_last, **dict(zip(names, sizes, strict=True)))
        return bank, bank.weight  # the bank with an array, whose bytes are counted

    packing = repr((kind.__name__, sizes, channels_last))
    known = _remembered.weights.find(packing, kernel, kernel.nbytes, bank_of)
    if known is not None:
        maps = known[0](image)
    else:
        function = functions[kernel.ndim - 3]
        maps = function(image, _as_filters(kernel), None, *sizes, channels_last=channels_last)
    return maps.astype(image.dtype, copy=False)  # type: ignore[no-any-return]


def _as_filters(kernel: Array) -> Array:
    """Return a kernel (kh, kw, C, K) as a view (K, C, kh, kw)."""
    return kernel.transpose(-1, -2, *range(kernel.ndim - 2))


# Keras's NumPy backend imports JAX, for convolutions, pooling and Fourier transforms


class _Finder:
    """Finds the modules of Keras's NumPy backend that import JAX, and lets them alone see stand-ins made of NumPy."""

    MODULES = frozenset(f"keras.src.backend.numpy.{name}" for name in ("image", "math", "nn"))

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the module as it is found otherwise, to be executed beside stand-ins for JAX."""
        spec = PathFinder.find_spec(name, path, target) if name in cls.MODULES else None
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            loader.exec_module = _beside_stand_ins(loader.exec_module)
        return spec


def _beside_stand_ins(execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    lax, jax = ModuleType("jax.lax"), ModuleType("jax")
    package, math = ModuleType("keras.src.backend.jax"), ModuleType("keras.src.backend.jax.math")
    vars(lax).update(max=np.maximum, add=np.add, reduce_window=_reduce_window, __getattr__=_refuse)
    vars(jax).update(lax=lax, __getattr__=_refuse)
    vars(math).update({name: _transform(getattr(np.fft, name)) for name in ("fft", "fft2")})
    stand_ins = {module.__name__: module for module in (lax, jax, package, math)}

    def execute_beside(module: ModuleType) -> None:
        before = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
        sys.modules.update(stand_ins)
        try:
            execute(module)
        finally:
            for name in stand_ins:
                del sys.modules[name]
            sys.modules.update(before)

    return execute_beside


@contextmanager
def _jax_stood_in_for() -> Iterator[None]:
    sys.meta_path.insert(0, _Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(_Finder)


def _refuse(name: str) -> Any:
    if name.startswith("__"):  # what the import system asks for
        raise AttributeError(name)
    raise ModuleNotFoundError(f"Keras asks JAX for {name}, but it is not installed: pip install jax", name="jax")


def _transform(function: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    """Return a Fourier transform of NumPy as one of pairs of a real and an imaginary part."""

    def transformed(x: Any) -> tuple[Any, Any]:
        values = function(np.asarray(x[0]) + 1j * np.asarray(x[1]))
        return values.real, values.imag

    return transformed


def _reduce_window(values: Array, initial: float, reduce: np.ufunc, window: Any, strides: Any, padding: str) -> Array:
    """Reduce windows of an array, all axes of which have a window and a stride: pooling, as jax.lax has it."""
    sizes = [n if padding == "SAME" else n - w + s for n, w, s in zip(values.shape, window, strides, strict=True)]
    counts = [-(-n // s) if padding == "SAME" else n // s for n, s in zip(sizes, strides, strict=True)]
    steps = list(zip(counts, strides, strict=True))
    room = [max((n - 1) * s + w - size, 0) for (n, s), w, size in zip(steps, window, values.shape, strict=True)]
    wide = np.promote_types(values.dtype, np.float32) if values.dtype.itemsize == 2 else values.dtype
    pads = [(r // 2, r - r // 2) for r in room]
    padded = np.pad(values.astype(wide, copy=False), pads, constant_values=initial)
    out = np.full(counts, initial, wide)
    for corner in product(*map(range, window)):
        places = (slice(c, c + (n - 1) * s + 1, s) for c, (n, s) in zip(corner, steps, strict=True))
        out = reduce(out, padded[tuple(places)])
    return out.astype(values.dtype, copy=False)
