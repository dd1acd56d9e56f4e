"""Hypothesis strategies: convolution problems of every shape, rank, dtype and option, each with its expected result.

Sizes are small, but rows reach past the vectors of any instruction set. Values come from a drawn seed: shapes and options shrink, values need not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from reference import convolve, per_axis, transpose, transposed_cuts

import fastconv as fc

CONV = {1: fc.conv1d, 2: fc.conv2d, 3: fc.conv3d}
CONV_TRANSPOSE = {1: fc.conv_transpose1d, 2: fc.conv_transpose2d, 3: fc.conv_transpose3d}
PADDING_MODES = ["zeros", "reflect", "replicate", "circular", "symmetric"]
PADDING_NAMES = ["valid", "same", "same_lower", "full", "causal"]
ACTIVATIONS = ["relu", "relu6", "leaky_relu", "sigmoid", "silu", "hardswish", "tanh"]
FLOATS = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
COMPLEX = [np.complex64, np.complex128]
INTEGERS = [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@dataclass
class Problem:
    axes: int
    input: Any  # (..., C, H, W)
    weight: Any  # (K, C/groups, kh, kw), (C, kh, kw) or (kh, kw); (C, K/groups, kh, kw) if transposed
    bias: Any = None
    options: dict[str, Any] = field(default_factory=dict)

    def result(self, **more: Any) -> Any:
        return CONV[self.axes](self.input, self.weight, self.bias, **self.options, **more)

    def expected(self) -> Any:
        return convolve(self.input, self.weight, self.bias, axes=self.axes, **self.options)

    @property
    def most_products(self) -> int:
        """That an output adds up."""
        return int(np.prod(self.weight.shape[1 if self.weight.ndim == self.axes + 2 else 0 :]))

    def __repr__(self) -> str:
        arrays = {"input": self.input, "weight": self.weight, "bias": self.bias}
        shapes = [f"{name} {a.shape} {a.dtype}" for name, a in arrays.items() if a is not None]
        return f"{type(self).__name__} {self.axes}d({', '.join(shapes)}, {self.options})"


class TransposedProblem(Problem):
    def result(self, **more: Any) -> Any:
        return CONV_TRANSPOSE[self.axes](self.input, self.weight, self.bias, **self.options, **more)

    def expected(self) -> Any:
        return transpose(self.input, self.weight, self.bias, axes=self.axes, **self.options)

    @property
    def most_products(self) -> int:
        channels = self.weight.shape[0] // self.options["groups"] if self.weight.ndim > self.axes else 1
        return channels * int(np.prod(self.weight.shape[-self.axes :]))


def values(rng: np.random.Generator, shape: Any, dtype: Any) -> Any:
    """Random values: floats in [-1, 1], integers of every size up to 21 bits, so that no sum leaves int64."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        largest = min(np.iinfo(dtype).max, 2**20)
        return rng.integers(-largest - 1 if dtype.kind == "i" else 0, largest, shape, dtype, endpoint=True)
    if dtype.kind == "c":
        return (rng.uniform(-1, 1, shape) + 1j * rng.uniform(-1, 1, shape)).astype(dtype)
    return rng.uniform(-1, 1, shape).astype(dtype)


def real_part_eps(dtype: Any) -> float:
    """The spacing of numbers near one: of the real part, and of bfloat16 too."""
    return float(ml_dtypes.finfo(np.zeros(0, dtype).real.dtype).eps)


def assert_agrees(result: Any, problem: Problem) -> None:
    assert_near(result, problem.expected(), problem.most_products, repr(problem))


def assert_near(result: Any, expected: Any, products: int, message: str = "") -> None:
    """Integers must be equal; floats as close as one final rounding and a sum of `products` in (at least) float32 allow."""
    assert result.shape == expected.shape
    if result.dtype.kind in "iu":
        assert (result == expected).all()
        return
    eps = real_part_eps(result.dtype)
    tolerance = 8 * min(eps, 2**-23) * (products + 1)
    np.testing.assert_allclose(result.astype(expected.dtype), expected, rtol=eps, atol=tolerance, err_msg=message)


def paddings(axes: int, mixed_names: Sequence[str] = PADDING_NAMES) -> st.SearchStrategy[Any]:
    """Paddings for all axes at once, or one for each: names among them are some of these."""
    amount = st.integers(0, 4)
    return st.one_of(
        amount,
        st.tuples(*[amount] * axes),
        st.tuples(*[st.tuples(amount, amount)] * axes),
        st.sampled_from(PADDING_NAMES),
        st.tuples(*[st.one_of(amount, st.tuples(amount, amount), st.sampled_from(mixed_names))] * axes),
    )


def an_int_or_one_per_axis(largest: int, axes: int) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(1), st.integers(1, largest), st.tuples(*[st.integers(1, largest)] * axes))


def smallest_size(padding: Any, axis: int, reach: int) -> int:
    """The fewest pixels along an axis on which a kernel that reaches over `reach` pixels fits."""
    if isinstance(padding, str):
        return reach if padding == "valid" else 1
    pad = padding if isinstance(padding, int) else padding[axis]
    if isinstance(pad, str):
        return smallest_size(pad, axis, reach)
    return max(1, reach - (2 * pad if isinstance(pad, int) else sum(pad)))


@st.composite
def problems(
    draw: Any,
    axes: int = 2,
    dtypes: Any = FLOATS,
    weight_dtypes: Any = None,
    activations: Any = (None,),
    padding_modes: Any = PADDING_MODES,
    padding: Any = None,
) -> Problem:
    """A convolution that has a result. The weight has the input's dtype unless `weight_dtypes` says otherwise."""
    rank = draw(st.sampled_from(["bank", "bank", "bank", "filter", "kernel"]))
    groups = draw(st.sampled_from([1, 1, 2, 3])) if rank == "bank" else 1
    group_channels = draw(st.integers(1, 4)) if rank != "kernel" else 1
    filters = groups * draw(st.integers(1, 4)) if rank == "bank" else 1
    channels = groups * group_channels

    kernel = draw(st.tuples(*[st.integers(1, 6 - axes)] * axes))
    stride = draw(an_int_or_one_per_axis(3, axes))
    dilation = draw(an_int_or_one_per_axis(3, axes))
    padding = draw(paddings(axes)) if padding is None else padding
    size = []
    for axis, k in enumerate(kernel):
        d = dilation if isinstance(dilation, int) else dilation[axis]
        smallest = smallest_size(padding, axis, d * (k - 1) + 1)
        room = (60 // axes if axis == axes - 1 else 6) if draw(st.booleans()) else 3
        size.append(smallest + draw(st.integers(0, room)))

    modes = draw(st.sampled_from(padding_modes))
    if padding_modes is PADDING_MODES and draw(st.integers(0, 3)) == 0:
        modes = draw(st.tuples(*[st.sampled_from(padding_modes)] * axes))
    value: Any = 0
    if "zeros" in (modes if isinstance(modes, tuple) else (modes,)) and draw(st.booleans()):
        number = st.integers(0, 1)
        value = draw(st.one_of(number, st.tuples(*[number] * channels)))

    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    planes = [] if rank == "kernel" or (channels == 1 and not lead and draw(st.booleans())) else [channels]
    weight_shape = {"bank": (filters, group_channels), "filter": (group_channels,), "kernel": ()}[rank] + kernel

    dtype = draw(st.sampled_from(dtypes))
    weight_dtype = dtype if weight_dtypes is None else draw(st.sampled_from(weight_dtypes))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    bias_shape = {"bank": (filters,), "filter": (1,), "kernel": ()}[rank]
    has_bias = draw(st.booleans())
    return Problem(
        axes,
        values(rng, (*lead, *planes, *size), dtype),
        values(rng, weight_shape, weight_dtype),
        np.asarray(values(rng, bias_shape, weight_dtype), weight_dtype) if has_bias else None,
        {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "padding_mode": modes,
            "padding_value": value,
            "flip": draw(st.booleans()),
            "activation": draw(st.sampled_from(activations)),
        },
    )


@st.composite
def transposed_problems(
    draw: Any, axes: int = 2, dtypes: Any = FLOATS, weight_dtypes: Any = None, activations: Any = (None,)
) -> TransposedProblem:
    """A transposed convolution that has a result; its size is asked for by `output_padding`, by `output_size`, or not at all."""
    rank = draw(st.sampled_from(["bank", "bank", "bank", "filter", "kernel"]))
    groups = draw(st.sampled_from([1, 1, 2, 3])) if rank == "bank" else 1
    channels = groups * draw(st.integers(1, 3)) if rank != "kernel" else 1
    group_maps = draw(st.integers(1, 4)) if rank == "bank" else 1

    kernel = draw(st.tuples(*[st.integers(1, 6 - axes)] * axes))
    stride = draw(an_int_or_one_per_axis(4, axes))
    dilation = draw(an_int_or_one_per_axis(3, axes))
    strides, dilations = per_axis(stride, axes), per_axis(dilation, axes)
    padding = draw(paddings(axes, [name for name in PADDING_NAMES if "same" not in name]))
    asked = (
        draw(st.sampled_from(["nothing", "padding", "size"])) if padding not in ("same", "same_lower") else "nothing"
    )
    limits = [max(s, d) - 1 for s, d in zip(strides, dilations, strict=True)]
    extra = draw(st.tuples(*[st.integers(0, most) for most in limits])) if asked != "nothing" else 0
    size = list(draw(st.tuples(*[st.integers(1, 20 if axes == 1 else 6)] * axes)))
    while min(left := transposed_cuts(padding, size, kernel, strides, dilations, extra)[1]) < 1:
        size[left.index(min(left))] += 1

    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    planes = [] if rank == "kernel" or (channels == 1 and not lead and draw(st.booleans())) else [channels]
    weight_shape = {"bank": (channels, group_maps), "filter": (channels,), "kernel": ()}[rank] + kernel
    dtype = draw(st.sampled_from(dtypes))
    weight_dtype = dtype if weight_dtypes is None else draw(st.sampled_from(weight_dtypes))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    bias_shape = {"bank": (groups * group_maps,), "filter": (1,), "kernel": ()}[rank]
    has_bias = draw(st.booleans())
    return TransposedProblem(
        axes,
        values(rng, (*lead, *planes, *size), dtype),
        values(rng, weight_shape, weight_dtype),
        np.asarray(values(rng, bias_shape, weight_dtype), weight_dtype) if has_bias else None,
        {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            **{"nothing": {}, "padding": {"output_padding": extra}, "size": {"output_size": tuple(left)}}[asked],
            "flip": draw(st.booleans()),
            "activation": draw(st.sampled_from(activations)),
        },
    )
