"""What the options of public functions may be, spelt out for editors and type checkers.

At run time `_check.py` and its relatives decide; `tests/test_types.py` compares both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike

Real = TypeVar("Real", np.float16, np.float32, np.float64, np.complex64, np.complex128)  # dtypes that results keep

PerAxis = int | Sequence[int]

PaddingName = Literal["valid", "same", "same_upper", "same_lower", "full", "causal"]
Padding = int | PaddingName | Sequence[int | PaddingName | Sequence[int]]

PaddingModeName = Literal["zeros", "constant", "reflect", "replicate", "edge", "circular", "wrap", "symmetric"]
PaddingMode = PaddingModeName | Sequence[PaddingModeName]

ActivationName = Literal[
    "relu",
    "relu6",
    "leaky_relu",
    "hardsigmoid",
    "hardswish",
    "sigmoid",
    "silu",
    "tanh",
    "elu",
    "softplus",
    "mish",
    "gelu",
    "gelu_tanh",
]
Activation = (
    ActivationName
    | tuple[Literal["leaky_relu", "elu"], float]
    | tuple[Literal["clip"], float, float]
    | tuple[Literal["prelu"], ArrayLike]
    | None
)

Algorithm = Literal["auto", "direct", "winograd", "fft"]
Precision = Literal["default", "highest"]
Nan = Literal["propagate", "ignore"]
Renormalize = bool | Literal["abs"]

# SciPy's words
NdimageMode = Literal["reflect", "mirror", "nearest", "wrap", "constant", "grid-mirror", "grid-wrap", "grid-constant"]
NdimageModes = NdimageMode | Sequence[NdimageMode]
SignalMode = Literal["full", "same", "valid"]
SignalMethod = Literal["auto", "direct", "fft"]
SignalBoundary = Literal["fill", "pad", "wrap", "circular", "symm", "symmetric"]
UpfirdnMode = Literal[
    "constant", "wrap", "edge", "smooth", "symmetric", "reflect", "antisymmetric", "antireflect", "line"
]


class _ByName(TypedDict, total=False):
    padding_mode: PaddingMode
    padding_value: ArrayLike
    flip: bool
    activation: Activation
    algorithm: Algorithm
    precision: Precision
    channels_last: bool
    saturate: bool


class BankOptions(_ByName, total=False):
    """The options of a `FilterBank`."""

    stride: PerAxis
    padding: Padding
    dilation: PerAxis
    groups: int


class ConvOptions(_ByName, total=False):
    """What conv1d, conv2d and conv3d take by name only, besides return_weight and out, on which the result's type depends."""

    nan: Nan
    mask: ArrayLike | None
    renormalize: Renormalize
    fill_value: complex
    residual: ArrayLike | None
    threads: int | None


class AlongOptions(ConvOptions, total=False):
    """The same for conv1d."""

    axis: int
