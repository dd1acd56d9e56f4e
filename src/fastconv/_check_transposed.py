"""Arguments of a transposed convolution -> Transposed: checks them, and raises all errors about them; see _check.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastconv import _check
from fastconv._problem import Problem, Transposed

DTypes = tuple[Any, ...]


class TransposedOptions(NamedTuple):
    """The options of a transposed convolution, in the order of its signature; `options` returns them normalised."""

    stride: Any = 1
    padding: Any = 0
    output_padding: Any = 0
    groups: Any = 1
    dilation: Any = 1
    output_size: Any = None
    flip: Any = False
    activation: Any = None
    algorithm: Any = "auto"
    precision: Any = "default"
    channels_last: Any = False


def options(axes: int, given: Sequence[object]) -> TransposedOptions:
    """Check the options one by one, in the signature's order, and return them normalised: ints per axis, pairs, names."""
    asked = TransposedOptions(*given)
    shared = _check.Options()._asdict() | {
        name: value for name, value in asked._asdict().items() if name in _check.Options._fields
    }
    checked = _check.options(axes, tuple(shared.values()))
    if not isinstance(checked.padding, str) and {"same", "same_lower"} & set(checked.padding):
        raise ValueError(f"padding must be 'same' for all axes or for none; got {asked.padding!r}")
    extra = _check.per_axis("output_padding", asked.output_padding, axes, least=0)
    for amount, step, spread in zip(extra, checked.stride, checked.dilation, strict=True):
        if amount >= max(step, spread):
            raise ValueError(
                f"output_padding must be less than stride or dilation: output pixels beyond belong to another input pixel; "
                f"got {asked.output_padding!r} with stride {asked.stride!r} and dilation {asked.dilation!r}"
            )
    size = None if asked.output_size is None else _check.per_axis("output_size", asked.output_size, axes)
    if size is not None and any(extra):
        raise ValueError(f"output_padding must be 0 where output_size says the same; got {asked.output_padding!r}")
    return asked._replace(
        stride=checked.stride,
        padding=checked.padding,
        output_padding=extra,
        groups=checked.groups,
        dilation=checked.dilation,
        output_size=size,
        activation=checked.activation,
    )


def problem(
    axes: int,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    dtypes: DTypes,
    checked: TransposedOptions,
) -> Transposed:
    """Check that input, weight, bias and options fit together, and return their problem.

    Each is already checked by itself: by `_check.check_arrays` and `options`.
    """
    is_bank = len(weight_shape) == axes + 2
    channels, group_filters = (
        (*weight_shape[:2],) if is_bank else (weight_shape[0] if len(weight_shape) > axes else 1, 1)
    )
    kernel, groups = weight_shape[len(weight_shape) - axes :], checked.groups
    if channels % groups or (not is_bank and groups > 1):
        raise ValueError(f"groups must divide the {channels} channels of weight {weight_shape}; got {groups}")
    batch_shape, image_channels, size = _check.split_input_shape(axes, input_shape, weight_shape)
    if image_channels != channels:
        raise ValueError(
            f"input has {image_channels} channels (shape {input_shape}) but weight of shape {weight_shape} expects {channels}"
        )
    filters = group_filters * groups
    _check.check_bias(bias_shape, weight_shape, filters, axes)
    pads, output_size = _placement(size, kernel, input_shape, checked)
    maps = (filters,) if is_bank else ()
    output_shape = (*batch_shape, *maps, *output_size)
    dilations = tuple(1 if taps == 1 else step for taps, step in zip(kernel, checked.dilation, strict=True))
    made = Transposed(
        output_shape=output_shape,
        batch_shape=batch_shape,
        channels=channels,
        filters=filters,
        groups=groups,
        size=_check.triple(size),
        kernel=_check.triple(kernel),
        output_size=_check.triple(output_size),
        stride=_check.triple(checked.stride),
        dilation=_check.triple(dilations),
        pad=_check.triple(pads, fill=0),
        padding_mode="zeros",
        flip=checked.flip,
        activation=checked.activation,
        algorithm=checked.algorithm,
        precision=checked.precision,
        dtype=dtypes[0],
        accumulator=dtypes[0],
        channels_last=axes if checked.channels_last and len(weight_shape) != axes + 1 else 0,
    )
    made = _spread(made)
    dtype, accumulator = _check.result_types(dtypes, made.taps)
    _check.check_activation(checked.activation, dtype)
    largest = max(math.prod(n for n in shape if n) for shape in (output_shape, input_shape)) * accumulator.itemsize
    if largest > _check.MAX_ARRAY_BYTES or max(output_size) > _check.MAX_PIXELS:
        raise ValueError(
            f"input of shape {input_shape} with stride {checked.stride} is too large: the output would have shape {output_shape}"
        )
    return made._replace(dtype=dtype, accumulator=accumulator)


def adjoint(forward: Problem, output_shape: tuple[int, ...]) -> Transposed:
    """Return the problem of a convolution's input gradient, of this shape, from the gradient of its output.

    The padding holds zeros: see `_gradient.py` for the other modes.
    """
    fields = forward._asdict() | {
        "output_shape": output_shape,
        "channels": forward.filters,
        "filters": forward.channels,
        "size": forward.output_size,
        "output_size": forward.size,
        "padding_mode": "zeros",
        "border": None,
        "activation": None,
        "channels_last": 0,
    }
    return _spread(Transposed(**fields))


def _spread(problem: Transposed) -> Transposed:
    """Return the same problem with the kernel's extent as stride where the input has one pixel, and its stride no meaning.

    Every output then has at most one tap, and there is no padding to multiply.
    """
    axes = zip(problem.size, problem.stride, problem.kernel, problem.dilation, strict=True)
    z, y, x = ((taps - 1) * spread + 1 if n == 1 else step for n, step, taps, spread in axes)
    return problem._replace(stride=(z, y, x))


def forward(problem: Problem, input_shape: tuple[int, ...]) -> Problem:
    """Return the convolution whose adjoint a transposed convolution of an input of this shape is."""
    fields = problem._asdict() | {
        "output_shape": input_shape,
        "channels": problem.filters,
        "filters": problem.channels,
        "size": problem.output_size,
        "output_size": problem.size,
        "stride": tuple(1 if n == 1 else step for n, step in zip(problem.size, problem.stride, strict=True)),
        "activation": None,
        "channels_last": 0,
    }
    return Problem(**fields)


def _placement(
    size: tuple[int, ...], kernel: tuple[int, ...], input_shape: tuple[int, ...], checked: TransposedOptions
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what is cut off before each axis of the full result, and the size of the output."""
    padding, strides, wanted = checked.padding, checked.stride, checked.output_size
    if wanted is None and 0 in size:
        raise ValueError(f"input must have at least one pixel per axis; got shape {input_shape}")
    full = tuple(
        (n - 1) * step + (taps - 1) * spread + 1
        for n, taps, step, spread in zip(size, kernel, strides, checked.dilation, strict=True)
    )
    if padding in ("same", "same_lower"):
        if any(checked.output_padding):
            raise ValueError(
                f"output_padding must be 0 with padding={padding!r}, which makes the output stride times as large; "
                f"got {checked.output_padding}"
            )
        output_size = wanted or tuple(n * step for n, step in zip(size, strides, strict=True))
        if any(-(-out // step) != n for n, out, step in zip(size, output_size, strides, strict=True)):
            raise ValueError(
                f"output_size must be one that padding={padding!r} and stride {strides} convolve to {size}; got {wanted}"
            )
        totals = [max(whole - out, 0) for whole, out in zip(full, output_size, strict=True)]
        return tuple(total // 2 if padding == "same" else total - total // 2 for total in totals), output_size
    pads = _check.resolve_padding(padding, len(size), size, kernel, strides, checked.dilation)
    least = tuple(whole - before - after for whole, (before, after) in zip(full, pads, strict=True))
    output_size = wanted or tuple(out + extra for out, extra in zip(least, checked.output_padding, strict=True))
    most = tuple(
        out + max(step, spread) - 1 for out, step, spread in zip(least, strides, checked.dilation, strict=True)
    )
    if wanted is not None and any(not low <= out <= high for low, out, high in zip(least, wanted, most, strict=True)):
        raise ValueError(
            f"output_size must be between {least} and {most} for input of shape {input_shape} and these options; got {wanted}"
        )
    if min(output_size) < 1:
        raise ValueError(
            f"padding must leave at least one pixel per axis of {full}; got {pads}, cut off before and after"
        )
    return tuple(before for before, _ in pads), output_size
