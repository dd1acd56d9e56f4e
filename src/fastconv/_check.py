"""Arguments -> Problem: checks all arguments, and raises all errors about them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._problem import EXACT_DOUBLE, EXACT_SINGLE, Activation, Array, Problem, Triple

if TYPE_CHECKING:
    from numpy.ma import MaskedArray

PADDINGS = {name: name for name in ("valid", "same", "same_lower", "full", "causal")} | {"same_upper": "same"}
PADDING_MODES: dict[object, str] = {
    **{mode: mode for mode in _core.PADDING_MODES},
    "constant": "zeros",
    "edge": "replicate",
    "wrap": "circular",
}
# Names of padding modes in other libraries, for advice in errors; case and hyphens do not matter.
FOREIGN_MODES = {
    "SciPy": {
        "mirror": "reflect",
        "nearest": "replicate",
        "grid-mirror": "symmetric",
        "grid-wrap": "circular",
        "grid-constant": "zeros",
        "fill": "zeros",
        "symm": "symmetric",
    },
    "OpenCV": {  # the first five in the order of its numbers
        "border_constant": "zeros",
        "border_replicate": "replicate",
        "border_reflect": "symmetric",
        "border_wrap": "circular",
        "border_reflect_101": "reflect",
        "border_default": "reflect",
        "reflect_101": "reflect",
    },
    "ITK": {"zero_flux_neumann_pad": "replicate", "periodic_pad": "circular", "zero_pad": "zeros"},
    "libvips": {"copy": "replicate", "repeat": "circular", "black": "zeros"},
    "astropy": {"extend": "replicate"},
    "dask": {"periodic": "circular"},
    "PyWavelets": {"zero": "zeros"},
    "OpenGL": {"clamp": "replicate", "clamp_to_edge": "replicate", "mirrored_repeat": "symmetric"},
}
NUMPY_MODES = ("empty", "linear_ramp", "maximum", "mean", "median", "minimum")  # of np.pad, without a counterpart here
ALGORITHMS = ("auto", "direct", "winograd", "fft")
PRECISIONS = ("default", "highest")
PARAMETERS = {"clip": ("low", "high"), "leaky_relu": ("negative_slope",), "elu": ("alpha",)}  # of activations
# Names of activations in other libraries, for advice in errors.
FOREIGN_ACTIVATIONS = {
    "swish": "silu",
    "hard_swish": "hardswish",
    "hard_silu": "hardswish",
    "hard_sigmoid": "hardsigmoid",
    "leakyrelu": "leaky_relu",
    "hardtanh": ("clip", -1, 1),
    "gelu_approximate": "gelu_tanh",
    "linear": None,
    "identity": None,
}
AXIS_NAMES = ("depth", "height", "width")

PYTHON_NUMBERS = {bool, int, float, complex}
NUMPY_ENTRIES = {*PYTHON_NUMBERS, np.ndarray, *np.sctypeDict.values()}  # types in lists that np.asarray converts
MAX_NESTING = 64  # levels of lists: the most axes of a NumPy array
CHANNELS_LAST = (  # names no shapes, so that Python's warning filter shows it once per line of code
    "input seems to have its channels last, but a kernel slides over the last two axes: pass channels_last=True"
)
MASKED_VALUES = (
    "its mask hides values, which would be added up: fill it first, e.g. with .filled(0); input may also be one "
    "numpy.ma.MaskedArray (numpy.ma.stack makes it of a list), or the data with mask=~x.mask"
)
MASKED_CHUNKS = (
    "its chunks are masked, and hidden values would be added up: compute() it, for input may be a "
    "numpy.ma.MaskedArray, or fill them first"
)
LAZY = "input is a dask array"  # as errors say it
STORED = "out is storage that is no ndarray"
LARGE = 2**26  # bytes from which on an image in storage is read block by block, rather than whole
IN_MEMORY = "__array_interface__", "__dlpack__", "iloc"  # attributes of what lies in memory although it is no ndarray
MAX_ARRAY_BYTES = sys.maxsize - 2**12  # addresses allow no more; the rest is room for alignment
MAX_PIXELS = 2**48  # along an axis with its padding, so that the core's products of positions and steps do not overflow
MAX_OPTION_BITS = 1024  # of an int: Python refuses to print much larger ones
PIECE_NUMBERS = 2**24  # numbers that one call of NumPy reads: interrupts (Ctrl-C) are handled in between


class Options(NamedTuple):
    """The options of a convolution, in the order of its signature; `options` returns them checked and normalised."""

    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: Any = 1
    padding_mode: Any = "zeros"
    padding_value: Any = 0
    flip: Any = False
    activation: Any = None
    algorithm: Any = "auto"
    precision: Any = "default"
    channels_last: Any = False
    saturate: Any = False  # or the dtype whose range results are clipped to


class LayoutWarning(UserWarning):
    """An image seems to have its channels last, though one kernel slides over the last two axes.

    Examples
    --------
    >>> import warnings
    >>> import fastconv as fc
    >>> warnings.simplefilter("ignore", fc.LayoutWarning)  # for arrays that only look as if
    """

    __module__ = "fastconv"


def as_array(name: str, value: ArrayLike) -> Array:
    """Return an array, number, nested list, buffer or CPU tensor as an ndarray, without copying if possible."""
    kind = type(value)
    if kind is np.ndarray:
        return cast(Array, value)
    is_list = isinstance(value, (list, tuple, range)) and not hasattr(value, "__array__")
    if is_list:
        value = _convert_entries(name, cast("Sequence[Any]", value))
    try:
        array = np.asarray(value) if is_list or kind in PYTHON_NUMBERS else _convert_object(value)
        if array.dtype == object:
            raise TypeError("not an array of numbers, but of objects or of integers of more than 64 bits")
    except MemoryError:
        raise
    except Exception as error:  # other libraries' objects may raise anything
        wanted = f"{name} must be an array, nested lists of numbers or a tensor on the CPU"
        reason = str(error)
        if is_list and isinstance(error, ValueError):
            reason = "its parts are not of one shape"
            reason += " (FilterBank.from_kernels makes a bank of kernels of unequal sizes)" * (name == "weight")
        raise TypeError(f"{wanted}; got {kind.__name__}: {reason}") from error
    return array


def is_masked(value: object) -> TypeGuard[MaskedArray[Any, Any]]:
    """Return whether a value is a masked array. Nobody has one before numpy.ma is imported, which takes as long as fastconv."""
    return isinstance(value, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ()))


def is_lazy(value: object) -> bool:
    """Return whether a value is a dask array, whose numbers are computed only once they are asked for."""
    lazy = sys.modules.get("dask.array")
    return lazy is not None and isinstance(value, lazy.Array)


def is_storage(value: object) -> bool:
    """Return whether results can be written to slices of a value that is no ndarray, such as an array of zarr or h5py."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__setitem__") or is_lazy(value):
        return False
    return isinstance(getattr(value, "dtype", None), np.dtype) and isinstance(getattr(value, "shape", None), tuple)


def is_large_storage(value: object) -> bool:
    """Return whether an image is no array in memory but can be read by slices, as those of zarr or h5py, and is large."""
    if isinstance(value, np.ndarray) or any(hasattr(value, name) for name in IN_MEMORY):
        return False
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if not isinstance(dtype, np.dtype) or not isinstance(shape, tuple) or not hasattr(value, "__getitem__"):
        return False
    return math.prod(shape) * dtype.itemsize > LARGE and not is_lazy(value)


def check_left_out(what: str, **given: object) -> None:
    """Raise TypeError if an argument is given, by its name, that does not go with what there is."""
    for name, value in given.items():
        if value is not None:
            names = "nan, mask, renormalize and return_weight" if name == "missing" else name
            raise TypeError(f"{names} must be left out where {what}")


def as_bias(value: ArrayLike, *dtypes: np.dtype[Any]) -> Array:
    """Return bias as an ndarray; a Python number gets the result dtype of input and weight, whose dtypes are given."""
    array = as_array("bias", value)
    is_array = type(value) not in PYTHON_NUMBERS
    if is_array or not all(map(_is_supported, dtypes)) or all(dtype.kind in "biu" for dtype in dtypes):
        return array
    dtype = promote(dtypes)
    if array.dtype.kind == "c":
        dtype = np.result_type(_castable(dtype), 1j)
    with np.errstate(over="ignore"):  # it may become infinite in float16
        return array.astype(dtype)


def per_axis(name: str, value: object, axes: int, least: int = 1) -> tuple[int, ...]:
    """Return an option that is one int of at least so much, or one such int per axis, as one int per axis."""
    value = _limit_bits(name, hashable(value))
    entries = value if isinstance(value, tuple) else (value,) * axes
    numbers = tuple(_as_int(entry) for entry in entries)
    if len(numbers) != axes or any(number is None or number < least for number in numbers):
        raise _int_error(name, f"an int of {least} or more, or one such int per axis ({axes})", value)
    return cast(tuple[int, ...], numbers)


def positive_int(name: str, value: object) -> int:
    """Return value as an int of 1 or more."""
    return int_from(1, name, value)


def int_from(least: int, name: str, value: object) -> int:
    """Return value as an int of at least so much."""
    value = _limit_bits(name, hashable(value))
    number = _as_int(value)
    if number is None or number < least:
        raise _int_error(name, f"an int of {least} or more", value)
    return number


def axis(name: str, value: object, ndim: int) -> int:
    """Return the place of an axis of an array of so many, counted from the first."""
    number = _as_int(_limit_bits(name, hashable(value)))
    if number is None or not -ndim <= number < ndim:
        kind = TypeError if number is None else ValueError
        raise kind(f"{name} must be an int from {-ndim} to {ndim - 1}, for an input of {ndim} axes; got {value!r}")
    return number % ndim


def shape_of(name: str, value: object) -> tuple[int, ...]:
    """Return a shape as a tuple of ints of 0 or more."""
    value = _limit_bits(name, hashable(value))
    numbers = tuple(map(_as_int, value)) if isinstance(value, tuple) else (None,)
    if any(number is None or number < 0 for number in numbers):
        raise _int_error(name, "a shape: ints of 0 or more", value)
    return cast(tuple[int, ...], numbers)


def normalize_padding(padding: object, axes: int) -> str | tuple[tuple[int, int] | str, ...]:
    """Return a padding as one name, or as one (before, after) pair or name per axis."""
    padding = _limit_bits("padding", hashable(padding))
    if isinstance(padding, str):
        return _padding_name(padding)
    entries = padding if isinstance(padding, tuple) else (padding,) * axes
    if axes == 1 and len(entries) == 2 and not any(isinstance(entry, (tuple, str)) for entry in entries):
        entries = (entries,)  # a flat pair
    entries = tuple(_padding_name(entry) if isinstance(entry, str) else entry for entry in entries)
    pairs = tuple(e if isinstance(e, (tuple, str)) else (e, e) for e in entries)
    if len(pairs) != axes or not all(isinstance(pair, str) or _is_pair(pair) for pair in pairs):
        several = f"one such int, (before, after) pair or name per axis ({axes})"
        wanted = f"an int of 0 or more, {several if axes > 1 else 'a pair, (2, 0)'}, or one of {tuple(PADDINGS)}"
        raise _int_error("padding", wanted, padding)
    names = set(pairs)
    return cast(str, names.pop()) if len(names) == 1 and isinstance(pairs[0], str) else cast(Any, pairs)


def _padding_name(name: str) -> str:
    """Return the name that is used here of a padding: ONNX has another for one."""
    _check_one_of("padding", name, tuple(PADDINGS), _padding_advice(name))
    return PADDINGS[name]


def _is_pair(value: tuple[object, ...]) -> bool:
    """Return whether value is a pair of ints of 0 or more."""
    edges = tuple(map(_as_int, value))
    return len(edges) == 2 and all(edge is not None and edge >= 0 for edge in edges)


def options(axes: int, given: Sequence[object]) -> Options:
    """Check the options one by one, in the signature's order, and return them normalised: ints per axis, pairs, names.

    Floats and bools that equal ints (1.0, True) are refused, so that the returned options can be a key of cached plans.
    """
    asked = Options(*given)
    strides = per_axis("stride", asked.stride, axes)
    padding = normalize_padding(asked.padding, axes)
    dilations = per_axis("dilation", asked.dilation, axes)
    group_count = positive_int("groups", asked.groups)
    mode = padding_mode_names(asked.padding_mode, axes)
    values = padding_values(asked.padding_value, mode)
    if not isinstance(asked.flip, bool):
        raise TypeError(f"flip must be True or False; got {asked.flip!r}")
    activation = activation_of(asked.activation)
    _check_one_of("algorithm", asked.algorithm, ALGORITHMS)
    _check_one_of("precision", asked.precision, PRECISIONS)
    if asked.precision == "highest" and asked.algorithm in ("winograd", "fft"):
        raise ValueError(
            f"algorithm must be 'auto' or 'direct' with precision='highest', which {asked.algorithm!r} does not reach; "
            f"got {asked.algorithm!r}: use precision='default' or algorithm='direct'"
        )
    if not isinstance(asked.channels_last, bool):
        raise TypeError(f"channels_last must be True or False; got {asked.channels_last!r}")
    if not isinstance(asked.saturate, (bool, np.dtype)):
        raise TypeError(f"saturate must be True or False; got {asked.saturate!r}")
    return asked._replace(
        stride=strides,
        padding=padding,
        dilation=dilations,
        groups=group_count,
        padding_mode=mode,
        padding_value=values,
        activation=activation,
    )


def activation_of(given: object) -> Activation:
    """Return an activation as its name, or as (name, parameters) if these are not the default ones; without slopes."""
    name, *parameters = given if isinstance(given, (tuple, list)) and len(given) > 1 else (given,)
    _check_one_of("activation", name, tuple(_core.ACTIVATIONS), _activation_advice(name))
    if name == "prelu" and len(parameters) < 2:
        return "prelu"
    wanted = PARAMETERS.get(cast(str, name), ())
    numbers = [parameter.item() if isinstance(parameter, np.generic) else parameter for parameter in parameters]
    if len(numbers) != len(wanted) and (numbers or name == "clip"):
        form = f"({', '.join((repr(name), *wanted))})" if wanted else repr(name)
        raise ValueError(f"activation {name!r} must be {form}; got {given!r}")
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
        raise TypeError(f"activation {name!r} must have real numbers as parameters; got {given!r}")
    try:
        values = tuple(map(float, numbers))
    except OverflowError:
        values = (math.nan,)
    if any(math.isnan(value) or (math.isinf(value) and name != "clip") for value in values):
        raise ValueError(f"activation {name!r} must have finite parameters; got {given!r}")
    if name == "clip" and values[0] > values[1]:
        raise ValueError(f"activation 'clip' must have low <= high; got {given!r}")
    known = _core.ACTIVATIONS[cast(str, name)]
    return cast(Activation, name) if not values or values == known[1 : 1 + len(values)] else (name, *values)


def slopes_of(activation: object, filters: int) -> Array | None:
    """Return the slopes of an activation that has them, one for each filter; else None."""
    name, *parameters = activation if isinstance(activation, (tuple, list)) else (activation,)
    if not isinstance(name, str) or name != "prelu":
        return None
    if len(parameters) != 1:
        raise ValueError(f"activation 'prelu' must come with slopes, as ('prelu', slopes); got {activation!r}")
    slopes = as_array("activation", parameters[0])
    check_dtype("activation", slopes.dtype)
    if slopes.dtype.kind == "c":
        raise TypeError(f"activation 'prelu' must have real slopes; got dtype {slopes.dtype}")
    if slopes.shape not in ((), (1,), (filters,)):
        raise ValueError(
            f"activation 'prelu' must have a slope for each of {filters} filters; got shape {slopes.shape}"
        )
    return np.broadcast_to(slopes, (filters,))


def padding_mode_names(mode: object, axes: int) -> str | tuple[str, ...]:
    """Return the names that are used here of a padding mode, or of one per axis; NumPy has others for some."""
    mode = hashable(mode)
    if not isinstance(mode, tuple):
        _check_one_of("padding_mode", mode, tuple(PADDING_MODES), _padding_mode_advice(mode))
        return PADDING_MODES[mode]
    if len(mode) != axes:
        raise ValueError(f"padding_mode must be one name, or one per axis ({axes}); got {mode!r}")
    names = tuple(cast(str, padding_mode_names(entry, 0)) for entry in mode)
    return names[0] if len(set(names)) == 1 else names


def padding_values(value: Any, mode: str | tuple[str, ...]) -> tuple[complex, ...]:
    """Return the values of padding with constants, one or one per channel; () if all are zero."""
    if type(value) in (int, tuple) and value in (0, ()):
        return ()
    array = as_array("padding_value", value)
    check_dtype("padding_value", array.dtype)
    if array.ndim > 1 or not array.size:
        raise ValueError(f"padding_value must be a number, or one per channel; got shape {array.shape}")
    if not array.any():
        return ()
    if mode != "zeros" and "zeros" not in tuple(mode):
        raise ValueError(f"padding_value must be 0 unless padding_mode is 'constant'; got {value!r} with {mode!r}")
    return tuple(
        math.nan if isinstance(number, float) and math.isnan(number) else number for number in array.ravel().tolist()
    )


def hashable(value: object, levels: int = 2) -> object:
    """Return an option with its lists and arrays converted to tuples and Python numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if levels and isinstance(value, (list, tuple)):
        return tuple(hashable(entry, levels - 1) for entry in value)
    return value


def types(value: object) -> object:
    """Return the types of an option's entries, for keys of caches: 1 == 1.0 == True, but only an int is one."""
    return tuple(map(types, value)) if isinstance(value, tuple) else type(value)


def check_arrays(
    axes: int, input_shape: tuple[int, ...], weight_shape: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]
) -> None:
    """Check dtypes and ranks of input, weight and bias, each by itself, in this order."""
    check_dtype("input", dtypes[0])
    if len(input_shape) < axes:
        image = ", ".join(("D", "H", "W")[3 - axes :])
        raise ValueError(f"input must have the axes (..., {image}) at least; got shape {input_shape}")
    check_weight(axes, weight_shape, dtypes[1:])


def check_weight(axes: int, weight_shape: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> None:
    """Check weight, and bias if there is one; dtypes are theirs."""
    check_dtype("weight", dtypes[0])
    forms = _weight_forms(axes)
    if not axes <= len(weight_shape) <= axes + 2:
        raise ValueError(f"weight must be {forms}; got shape {weight_shape}")
    if 0 in weight_shape:
        raise ValueError(
            f"weight must have at least one filter, one channel and one tap ({forms}); got shape {weight_shape}"
        )
    for dtype in dtypes[1:]:
        check_dtype("bias", dtype)


def looks_channels_last(axes: int, input_shape: tuple[int, ...], weight_shape: tuple[int, ...]) -> bool:
    """Return whether one kernel would slide over an axis that is probably one of channels: last, short."""
    return (
        axes == len(weight_shape) == 2
        and weight_shape[1] > 1
        and len(input_shape) > 2
        and 2 <= input_shape[-1] <= 4
        and input_shape[-1] < min(input_shape[-3:-1])
    )


def problem(
    axes: int,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    dtypes: tuple[np.dtype[Any], ...],
    checked: Options,
) -> Problem:
    """Check that input, weight, bias and options fit together, and return their Problem.

    Each is already checked by itself: by `check_arrays` and `options`.
    """
    strides, padding, dilations, group_count, mode, values, flip, activation, algorithm, precision = checked[:10]
    filters, kernel = _filters_and_kernel(axes, weight_shape)
    batch_shape, channels, size = split_input_shape(axes, input_shape, weight_shape)
    if filters % group_count:
        raise ValueError(f"groups must divide the {filters} filters of weight {weight_shape}; got {group_count}")
    if (expected := _filter_channels(axes, weight_shape) * group_count) != channels:
        raise ValueError(
            f"input has {channels} channels (shape {input_shape}) but weight of shape {weight_shape} "
            f"with groups={group_count} expects {expected}"
        )
    check_bias(bias_shape, weight_shape, filters, axes)
    taps = math.prod(kernel) * _filter_channels(axes, weight_shape)
    dtype, accumulator = result_types(dtypes, taps)
    if checked.saturate:
        dtype, accumulator = saturating_types(dtypes, taps, checked.saturate)
        precision = "highest" if algorithm == "auto" else precision  # sums of integers that float32 holds are exact
    check_activation(activation, accumulator)
    _check_padding_values(values, channels, dtypes[0], accumulator)
    pads = resolve_padding(padding, axes, size, kernel, strides, dilations)
    always_fits = isinstance(padding, str) and padding != "valid"
    output_size = _output_size(size, kernel, strides, dilations, pads, always_fits)
    strides = tuple(1 if n == 1 else step for n, step in zip(output_size, strides, strict=True))  # or unused
    dilations = tuple(1 if taps == 1 else step for taps, step in zip(kernel, dilations, strict=True))
    modes = (mode,) * axes if isinstance(mode, str) else mode
    if any(m != "zeros" and n == 0 < outputs for m, n, outputs in zip(modes, size, output_size, strict=True)):
        raise ValueError(f"padding_mode {mode!r} needs pixels to repeat, but input of shape {input_shape} has none")

    maps = (filters,) if len(weight_shape) == axes + 2 else ()
    output_shape = (*batch_shape, *maps, *output_size)
    largest = max(math.prod(n for n in shape if n) for shape in (output_shape, input_shape)) * accumulator.itemsize
    padded = tuple(n + sum(edges) for n, edges in zip(size, pads, strict=True))
    if largest > MAX_ARRAY_BYTES or max(padded) > MAX_PIXELS:
        raise ValueError(
            f"input of shape {input_shape} with padding {padding!r} and dilation {dilations} is too large: padded it would measure "
            f"{padded} pixels, and the output would have shape {output_shape}"
        )
    made = Problem(
        output_shape=output_shape,
        batch_shape=batch_shape,
        channels=channels,
        filters=filters,
        groups=group_count,
        size=triple(size),
        kernel=triple(kernel),
        output_size=triple(output_size),
        stride=triple(strides),
        dilation=triple(dilations),
        pad=triple(tuple(before for before, _ in pads), fill=0),
        padding_mode="zeros",
        flip=flip,
        activation=activation,
        algorithm=algorithm,
        precision=precision,
        dtype=dtype,
        accumulator=accumulator,
        channels_last=axes if checked.channels_last and len(weight_shape) != axes + 1 else 0,
        parts=complex_parts(dtypes),
        saturates=bool(checked.saturate),
    )
    return made.bordered(mode, values)


def result_types(dtypes: tuple[np.dtype[Any], ...], taps: int) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the dtypes of result and accumulator, for input, weight and bias of these dtypes."""
    if all(dtype.kind in "biu" for dtype in dtypes):
        eight_bit = all(dtype.itemsize == 1 for dtype in dtypes)
        exact = eight_bit and _max_sum(dtypes, taps) <= np.iinfo(np.int32).max
        integer = np.dtype(np.int32 if exact else np.int64)
        return integer, integer
    dtype = promote(dtypes)
    return dtype, np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def saturating_types(
    dtypes: tuple[np.dtype[Any], ...], taps: int, target: np.dtype[Any]
) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the dtypes of result and accumulator, for results that are clipped to the range of a dtype of integers."""
    dtype, accumulator = result_types(dtypes, taps)
    if target.kind not in "iu" or dtype.kind == "c":
        raise TypeError(
            f"saturate needs a result of integers: an image of integers, or out= of such a dtype; got {target} for {dtype}"
        )
    if dtype.kind == "i":
        if _max_sum(dtypes, taps) < EXACT_SINGLE:
            accumulator = np.dtype(np.float32)
        elif _max_sum(dtypes, taps) < EXACT_DOUBLE:
            accumulator = np.dtype(np.float64)
    elif dtypes[0].kind in "biu" and dtypes[0].itemsize <= 2 and target.itemsize <= 2:
        accumulator = np.dtype(np.float32)
    return target.newbyteorder("="), accumulator


def complex_parts(dtypes: Sequence[np.dtype[Any]]) -> str:
    """Return which of input and weight are complex; all of them count as such if only the bias is."""
    image, weight = (dtype.kind == "c" for dtype in dtypes[:2])
    return "image" if image > weight else "weight" if weight > image else "both"


def promote(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Return np.result_type, extended: bfloat16 with integers is bfloat16, with other floats it counts as float32."""
    others = [dtype for dtype in dtypes if dtype.name != "bfloat16"]
    if len(others) == len(dtypes):
        return np.result_type(*dtypes).newbyteorder("=")
    if any(dtype.kind in "fc" for dtype in others):
        return np.result_type(np.float32, *others).newbyteorder("=")
    return next(dtype for dtype in dtypes if dtype.name == "bfloat16").newbyteorder("=")


def may_overflow(dtypes: tuple[np.dtype[Any], ...], taps: int, target: np.dtype[Any]) -> bool:
    """Return whether sums of so many products of integers of these dtypes could exceed the range of target's integers."""
    return (
        target.kind == "i"
        and all(dtype.kind in "biu" for dtype in dtypes)
        and _max_sum(dtypes, taps) > np.iinfo(target).max
    )


def check_integer_range(
    name: str,
    target: np.dtype[Any],
    input: Array,
    filters: Array,
    bias: Array | None,
    padding_values: tuple[Any, ...] = (),
) -> None:
    """Raise ValueError, naming the argument `name`, if a sum over these integers could exceed target's range.

    Every partial sum lies between the sum of all negative products and that of all positive ones.
    """
    lowest, highest = _extremes(input)
    pixels = min(lowest, *map(int, padding_values), 0), max(highest, *map(int, padding_values), 0)
    offsets = _extremes(bias)
    lowest, highest = 0, 0
    for taps in filters:
        positive, negative = _exact_sum(taps, np.greater), _exact_sum(taps, np.less)
        lowest = min(lowest, positive * pixels[0] + negative * pixels[1] + offsets[0])
        highest = max(highest, positive * pixels[1] + negative * pixels[0] + offsets[1])
    limits = np.iinfo(target)
    if lowest < limits.min or highest > limits.max:
        raise ValueError(
            f"{name} would need sums of up to {max(-lowest, highest)}, with this weight and pixels from {pixels[0]} "
            f"to {pixels[1]}, but {target} holds {limits.max}: convert to float64 or use smaller integers"
        )


def check_sums(
    problem: Problem,
    input: Array,
    filters: Callable[[], Array],
    bias: Array | None,
    out: Array | None,
    may_overflow: bool,
) -> None:
    """Raise ValueError if a sum of integers could exceed the range of the result's dtype, or of out's."""
    narrows = out is not None and out.dtype.kind == "i" and out.dtype != problem.dtype
    if narrows or may_overflow:
        held = problem.accumulator if problem.saturates else problem.dtype
        name, target = ("out", out.dtype) if out is not None and narrows else ("input", held)
        values = () if problem.border is None else problem.border.values
        check_integer_range(name, target, input, filters(), bias, values)


def check_residual(residual: object, problem: Problem) -> Array:
    """Return residual as an array; raise TypeError or ValueError if it cannot be added to the result."""
    array = as_array("residual", cast(ArrayLike, residual))
    check_dtype("residual", array.dtype)
    sums = problem.dtype if problem.adds_integers else problem.accumulator
    if sums.kind != "f" or array.dtype.kind not in "fV":
        raise TypeError(
            f"residual must be floats, to be added to sums of floats; got dtype {array.dtype} for sums of {sums}"
        )
    if array.shape != problem.output_shape:
        raise ValueError(f"residual must have the shape of the result, {problem.output_shape}; got {array.shape}")
    return array


def check_no_residual(residual: object) -> None:
    """Raise ValueError if there is a residual where pixels may be missing."""
    if residual is not None:
        raise ValueError("residual must be None where pixels may be missing: with nan='ignore', mask or renormalize")


def array_out(out: object) -> Array:
    """Return out; raise TypeError if it is not an array that results can be written to."""
    if type(out) is not np.ndarray and (
        not isinstance(out, np.ndarray) or isinstance(out, np.matrix) or hasattr(out, "mask")
    ):
        raise TypeError(f"out must be an ndarray, neither masked nor a matrix; got {type(out).__name__}")
    return out


def check_out(given: object, problem: Problem) -> Array:
    """Return out; raise TypeError or ValueError if the result cannot be written there."""
    out = array_out(given)
    if out.shape != problem.output_shape:
        raise ValueError(f"out must have shape {problem.output_shape}; got {out.shape}")
    if not (_is_supported(out.dtype) and np.can_cast(_castable(problem.dtype), _castable(out.dtype), "same_kind")):
        loses = out.dtype.kind in "iu" and problem.dtype.kind != "i"
        advice = ": pass saturate=True to round and clip sums" if loses else ""
        raise TypeError(
            f"out must have a dtype that holds {problem.dtype} ('same_kind' casting); got {out.dtype}{advice}"
        )
    if not out.flags.writeable:
        raise ValueError("out must be writeable; got a read-only array")
    span = out.itemsize if out.size else 0
    for stride, n in sorted((abs(stride), n) for stride, n in zip(out.strides, out.shape, strict=True) if n > 1):
        if stride < span:
            raise ValueError(
                f"out must have a place of its own for every pixel; got shape {out.shape} with strides {out.strides}"
            )
        span += (n - 1) * stride
    return out


def _convert_entries(name: str, value: Sequence[Any], outer: tuple[object, ...] = ()) -> Sequence[Any]:
    """Return nested lists with the objects in them converted by as_array, which checks them; outer: enclosing lists."""
    if len(outer) == MAX_NESTING or any(value is one for one in outer):
        raise TypeError(
            f"{name} must be an array or nested lists; got a {type(value).__name__} that holds itself or "
            f"{MAX_NESTING} levels of others"
        )
    if NUMPY_ENTRIES.issuperset(map(type, value)):
        return value
    return [
        _convert_entries(name, entry, (*outer, value))
        if isinstance(entry, (list, tuple, range)) and not hasattr(entry, "__array__")
        else entry
        if isinstance(entry, (int, float, complex, np.generic))
        else as_array(name, entry)
        for entry in value
    ]


def _convert_object(value: Any) -> Array:
    """Return another library's array, or a subclass of ndarray, as an array; raise what its conversion raises."""
    if isinstance(value, (str, bytes)) or not _has_array_protocol(value):
        raise TypeError("not an array, for it has no __array__, buffer of numbers or __dlpack__")
    if isinstance(mode := getattr(value, "mode", None), str) and mode in ("P", "PA") and hasattr(value, "getpalette"):
        raise TypeError("its pixels are places in a palette; convert('RGB') first")
    if masks_values(value):
        raise TypeError(MASKED_VALUES if getattr(value, "mask", None) is not None else MASKED_CHUNKS)
    dtype = getattr(value, "dtype", None)
    if str(dtype).endswith("bfloat16") and not isinstance(dtype, np.dtype):
        return _view_bfloat16(value)
    by_dlpack = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
    array = np.from_dlpack(value) if by_dlpack else np.asanyarray(value)
    if masks_values(array):
        raise TypeError(MASKED_VALUES)
    return np.asarray(array)


def _has_array_protocol(value: object) -> bool:
    """Return whether an object supports one of NumPy's array interfaces, DLPack or the buffer protocol."""
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")):
        return True
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def masks_values(value: object) -> bool:
    """Return whether an object's mask hides values, or whether it is a lazy array of masked ones."""
    mask = getattr(value, "mask", None)
    if mask is None:
        lazy = getattr(getattr(value, "_meta", None), "mask", None)  # of a dask array
        return lazy is not None and not callable(lazy)
    if callable(mask) or isinstance(mask, bool):  # a method of that name, or a flag
        return False
    flags = np.asarray(mask)
    return flags.dtype.kind in "biu" and bool(flags.any())


def _view_bfloat16(value: Any) -> Array:
    """Return a bfloat16 tensor, whose dtype its library cannot export to NumPy, as a view of its bits."""
    library = sys.modules[type(value.dtype).__module__]
    if getattr(value, "requires_grad", False):
        raise TypeError("it requires grad; detach() it first")
    if not hasattr(library, "int16"):
        raise TypeError("its bfloat16 values cannot be read; convert them to float32 first")
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise TypeError("its dtype is bfloat16, which takes the package ml_dtypes; install it") from error
    return np.asarray(value.view(library.int16)).view(bfloat16)


def check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    if not _is_supported(dtype):
        raise TypeError(
            f"{name} must hold bool, integers of up to 64 bits, float16, bfloat16, float32, float64, complex64 or complex128; "
            f"got dtype {dtype}"
        )


def _is_supported(dtype: np.dtype[Any]) -> bool:
    """Return whether there are accumulators for a dtype; other libraries' dtypes may have NumPy's kinds."""
    by_numpy = dtype.kind in "biufc" and dtype.char not in "gG" and issubclass(dtype.type, (np.number, np.bool_))
    return by_numpy or dtype.name == "bfloat16"


def _castable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype, float16 for bfloat16: ml_dtypes allows same_kind casts that NumPy does not."""
    return np.dtype(np.float16) if dtype.name == "bfloat16" else dtype


def _filters_and_kernel(axes: int, weight_shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Return the number of filters in a weight of this shape, and the size of their kernels."""
    return (weight_shape[0] if len(weight_shape) == axes + 2 else 1), weight_shape[len(weight_shape) - axes :]


def _weight_forms(axes: int) -> str:
    kernel = ("kd", "kh", "kw")[3 - axes :]
    forms = [
        ", ".join(("K", "C/groups", *kernel)),
        ", ".join(("C", *kernel)),
        ", ".join(kernel) + ("," if axes == 1 else ""),
    ]
    return "a bank ({}), a filter ({}) or a kernel ({})".format(*forms)


def _filter_channels(axes: int, weight_shape: tuple[int, ...]) -> int:
    return weight_shape[-axes - 1] if len(weight_shape) > axes else 1


def split_input_shape(
    axes: int, input_shape: tuple[int, ...], weight_shape: tuple[int, ...]
) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """Return the input's batch axes, its channels and the size of its images."""
    size = input_shape[len(input_shape) - axes :]
    if len(weight_shape) == axes:
        return input_shape[:-axes], 1, size
    if len(input_shape) == axes:
        return (), 1, size
    if input_shape[-axes - 1] == 0:
        image = ", ".join(("D", "H", "W")[3 - axes :])
        raise ValueError(f"input must have at least one channel (..., C, {image}); got shape {input_shape}")
    return input_shape[: -axes - 1], input_shape[-axes - 1], size


def check_bias(bias_shape: tuple[int, ...] | None, weight_shape: tuple[int, ...], filters: int, axes: int) -> None:
    allowed = [(filters,)] if len(weight_shape) == axes + 2 else [(), (1,)]
    if bias_shape is not None and bias_shape not in allowed:
        raise ValueError(
            f"bias must have shape {' or '.join(map(str, allowed))} for weight of shape {weight_shape}; got shape {bias_shape}"
        )


def resolve_padding(
    padding: object,
    axes: int,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """Return the pixels of padding before and after each axis, for a padding given by name or in ints."""
    per_axis = (padding,) * axes if isinstance(padding, str) else cast(tuple[Any, ...], padding)
    given = zip(per_axis, size, kernel, stride, dilation, strict=True)
    return tuple(_named_padding(p, n, (taps - 1) * d, s) if isinstance(p, str) else p for p, n, taps, s, d in given)


def _named_padding(name: str, size: int, edge: int, stride: int) -> tuple[int, int]:
    """Return the pixels of padding before and after one axis; edge: the span of a kernel less 1."""
    if name == "valid":
        return (0, 0)
    if name == "full":
        return (edge, edge)
    if name == "causal":
        return (edge, 0)
    # "same": ceil(n / stride) outputs; where the total is odd, one end gets one pixel more.
    total = max((-(-size // stride) - 1) * stride + edge + 1 - size, 0)
    half = total // 2
    return (half, total - half) if name == "same" else (total - half, half)


def _output_size(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    always_fits: bool,
) -> tuple[int, ...]:
    """Return floor((n + before + after - dilation (k - 1) - 1) / stride) + 1 for each axis.

    `always_fits`: the padding's name implies that the kernel fits, and an axis without pixels or padding has 0 outputs.
    """
    padded = tuple(n + before + after for n, (before, after) in zip(size, pads, strict=True))
    spans = tuple((taps - 1) * step + 1 for taps, step in zip(kernel, dilation, strict=True))
    if not always_fits and any(n < span for n, span in zip(padded, spans, strict=True)):
        raise ValueError(
            f"weight must fit into the padded input: its kernel {kernel} with dilation {dilation} spans {spans}, "
            f"but input {size} with padding {pads} has {padded}"
        )
    return tuple((n - span) // step + 1 for n, span, step in zip(padded, spans, stride, strict=True))


def _check_padding_values(
    values: tuple[Any, ...], channels: int, image: np.dtype[Any], accumulator: np.dtype[Any]
) -> None:
    """Raise ValueError or TypeError if constants of the padding do not fit the channels, or the dtype of the sums."""
    if len(values) not in (0, 1, channels):
        raise ValueError(f"padding_value must be a number, or one per channel ({channels}); got {len(values)}")
    for value in values:
        if isinstance(value, complex) and accumulator.kind != "c":
            raise TypeError(f"padding_value must be real for a result of real numbers; got {value!r}")
        if accumulator.kind == "i":
            limits = (0, 1) if image.kind == "b" else (np.iinfo(image).min, np.iinfo(image).max)
            if not (math.isfinite(value) and value == int(value) and limits[0] <= value <= limits[1]):
                raise ValueError(
                    f"padding_value must be an integer that input's dtype {image} holds, where weights are integers; "
                    f"got {value!r}"
                )


def check_activation(activation: Activation, dtype: np.dtype[Any]) -> None:
    if activation is not None and dtype.kind == "c":
        raise TypeError(f"activation must be None for complex numbers; got {activation!r} for dtype {dtype}")
    if activation not in (None, "relu", "relu6") and dtype.kind == "i":
        raise TypeError(
            f"activation must be None, 'relu' or 'relu6' for integers; got {activation!r} for dtype {dtype}"
        )


def _max_sum(dtypes: tuple[np.dtype[Any], ...], taps: int) -> int:
    """Return the largest magnitude of a sum of `taps` products and a bias of these integer dtypes."""
    input, weight, *bias = (max_magnitude(dtype) for dtype in dtypes)
    return taps * input * weight + sum(bias)


def max_magnitude(dtype: np.dtype[Any]) -> int:
    """Return the largest magnitude of integers of a dtype."""
    return 1 if dtype.kind == "b" else max(-int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def unbroadcast(array: Array) -> Array:
    """Return a view of an array that has every broadcast axis (of stride 0) shortened to one element."""
    view: Array = array[tuple(slice(1 if stride == 0 else None) for stride in array.strides)]
    return view


def _extremes(values: Array | None) -> tuple[int, int]:
    """Return the minimum and the maximum of some integers and zero."""
    if values is None or not values.size:
        return 0, 0
    pieces = list(_pieces(unbroadcast(values)))
    return min(0, *(int(piece.min()) for piece in pieces)), max(0, *(int(piece.max()) for piece in pieces))


def _pieces(values: Array) -> Iterator[Array]:
    """Yield views of at most PIECE_NUMBERS that cover an array."""
    if values.size <= PIECE_NUMBERS:
        yield values
        return
    axis = int(np.argmax(values.shape))
    step = max(1, PIECE_NUMBERS * values.shape[axis] // values.size)
    for first in range(0, values.shape[axis], step):
        yield from _pieces(values[(slice(None),) * axis + (slice(first, first + step),)])


def _exact_sum(values: Array, sign: np.ufunc) -> int:
    """Return the sum of the positive or the negative integers; sign: np.greater or np.less."""
    total = 0
    for piece in _pieces(values):
        selected = piece[sign(piece, 0)]
        if selected.dtype.itemsize == 8:  # sums of the upper and the lower 32 bits cannot overflow
            total += int((selected >> 32).sum()) << 32
            selected &= 2**32 - 1
        total += int(selected.sum())
    return total


def _limit_bits(name: str, value: object) -> object:
    """Return an option; raise ValueError if it has an int of more than MAX_OPTION_BITS."""
    for entry in _flatten(value):
        if isinstance(entry, int) and entry.bit_length() > MAX_OPTION_BITS:
            raise ValueError(
                f"{name} must be made of ints that count pixels or channels; got one of {entry.bit_length()} bits"
            )
    return value


def _as_int(value: object) -> int | None:
    """Return value if it is an int and no bool, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def triple(values: Sequence[int], fill: int = 1) -> Triple:
    """Return values of up to three axes as those of three, filled up in front."""
    return cast(Triple, (fill,) * (3 - len(values)) + tuple(values))


def _padding_advice(name: str) -> str:
    """Return advice for an unknown name of a padding: what it is called here."""
    if name.lower() in PADDINGS:
        return f"; {name!r} is {name.lower()!r} here"
    if name in PADDING_MODES:
        return f"; {name!r} is a padding_mode"
    theirs = _foreign_mode(name)
    return f"; {theirs} here, a padding_mode" if theirs else ""


def _activation_advice(name: object) -> str:
    """Return advice for an unknown name of an activation: what it is called here."""
    if not isinstance(name, str):
        return ""
    known = FOREIGN_ACTIVATIONS.get(name.lower(), name.lower())
    return f"; it is {known!r} here" if name.lower() in FOREIGN_ACTIVATIONS or known in _core.ACTIVATIONS else ""


def _padding_mode_advice(mode: object) -> str:
    """Return advice for an unknown padding mode: what it is called here."""
    if (number := _as_int(mode)) is not None and 0 <= number < 5:
        mode = list(FOREIGN_MODES["OpenCV"])[number].upper()
    if not isinstance(mode, str):
        return ""
    if mode in PADDINGS:
        return f"; {mode!r} is a padding"
    if mode in NUMPY_MODES:
        return "; call np.pad first, then convolve without padding"
    if mode.lower() in PADDING_MODES:
        return f"; {mode!r} is {mode.lower()!r} here"
    theirs = _foreign_mode(mode)
    return f"; {theirs} here" if theirs else ""


def _foreign_mode(mode: str) -> str:
    """Return whose padding mode this is, and which one it is here, as errors say it; empty if nobody's."""
    for library, modes in FOREIGN_MODES.items():
        for theirs, ours in modes.items():
            if _letters(mode) == _letters(theirs):
                return f"{library}'s {mode!r} is {ours!r}"
    return ""


def _letters(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _check_one_of(name: str, value: object, allowed: tuple[object, ...], advice: str = "") -> None:
    is_name = value is None or isinstance(value, str)
    if not is_name or value not in allowed:
        kind = ValueError if is_name else TypeError
        raise kind(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}{advice}")


def _int_error(name: str, wanted: str, value: object) -> ValueError | TypeError:
    """Return the error for an option with an entry that is no int (TypeError) or out of range (ValueError)."""
    kind = TypeError if any(_as_int(entry) is None for entry in _flatten(value)) else ValueError
    return kind(f"{name} must be {wanted}; got {value!r}")


def _flatten(value: object) -> Iterator[object]:
    """Yield the entries of nested tuples, or the value itself."""
    if isinstance(value, tuple):
        for entry in value:
            yield from _flatten(entry)
    else:
        yield value
