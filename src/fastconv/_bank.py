"""What FilterBank and TransposedFilterBank share: a bank's own copy of its weights, its options, and what it has packed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _activations, _check, _parts, _plan, _views, _weights
from fastconv._cache import Cache
from fastconv._problem import Array

PLAN_CACHE_BYTES = 2**21  # bytes of plans of each bank
WEIGHT_CACHE_BYTES = 2**25  # bytes of packed weights of each bank; a single packing may take more


class Gradients(NamedTuple):
    """Gradients of a loss by what a bank computed with: its input, its weight and, if it has one, its bias.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> bank = fc.FilterBank(np.ones((1, 1, 3)))
    >>> gradients = bank.backward(np.arange(5.0), np.ones((1, 3)))
    >>> gradients.weight  # a step of gradient descent is weight - rate * gradients.weight
    array([[[3., 6., 9.]]])
    """

    input: Array
    weight: Array
    bias: Array | None


class Option:
    """An option of a bank, as it was given; read-only."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, bank: Any, owner: type | None = None) -> Any:
        return self if bank is None else bank._options[self._name]

    def __set__(self, bank: Any, value: object) -> None:
        raise AttributeError(f"{self._name} of a bank cannot be set: bank.replace({self._name}=...) makes another one")


class Bank:
    """Filters with their options; packed weights are kept from call to call."""

    padding = Option("What surrounds an image.")
    dilation = Option("Pixels from one tap to the next.")
    groups = Option("Groups of channels and filters, each convolved for itself.")
    padding_mode = Option("What the padding holds.")
    flip = Option("Whether kernels are rotated by 180 degrees first.")
    activation = Option("What is applied to every output.")
    algorithm = Option("How it is computed.")
    precision = Option("How accurately.")

    DEFAULTS: ClassVar[dict[str, Any]]  # of the options
    IS_TRANSPOSED: ClassVar[bool] = False

    __hash__ = None  # type: ignore[assignment]  # equal by value, like arrays

    _checked: Any  # the options, checked and normalised

    def __init__(self, forms: str, weight: ArrayLike, bias: ArrayLike | None) -> None:
        """`forms`: the shapes that weight may have, in words."""
        filters = _check.as_array("weight", weight)
        offset = None if bias is None else _check.as_array("bias", bias)
        self._axes = filters.ndim - 2
        if self._axes not in (1, 2, 3):
            raise ValueError(f"weight must be a bank for {forms}; got shape {filters.shape}")
        dtypes = [filters.dtype] if offset is None else [filters.dtype, offset.dtype]
        _check.check_weight(self._axes, filters.shape, dtypes)
        with _weights.naming_weight(filters.shape):
            self._weight, self._bias = read_only_copy(filters), None if offset is None else read_only_copy(offset)
        self._plans = Cache(PLAN_CACHE_BYTES)  # plans with packed weights, by shape and dtype of the image
        self._packed = Cache(WEIGHT_CACHE_BYTES)  # packed weights, by the plan's packing
        self._options: dict[str, Any] = {}  # as given
        self._linear: Any = None  # the same bank without activation, once a gradient has needed it
        self._slopes: Array | None = None  # of an activation that has them

    def _keep_slopes(self, activation: object) -> object:
        """Keep a copy of the slopes that an activation comes with, if any; return it as an option that is not changed."""
        slopes = _check.slopes_of(activation, self.out_channels)
        if slopes is None:
            return _check.hashable(activation)
        self._slopes = read_only_copy(slopes)
        return "prelu", self._slopes

    @property
    def weight(self) -> Array:
        """The filters, a read-only view."""
        return self._weight

    @property
    def bias(self) -> Array | None:
        """The biases, (K,), or None."""
        return self._bias

    @property
    def num_parameters(self) -> int:
        """Weights and biases, counted."""
        return int(self._weight.size) + (0 if self._bias is None else int(self._bias.size))

    @property
    def channels_last(self) -> bool:
        """Whether channels come last, in images and feature maps."""
        return bool(self._checked.channels_last)

    @property
    def in_channels(self) -> int:
        """Channels that the bank expects."""
        raise NotImplementedError

    @property
    def out_channels(self) -> int:
        """Feature maps that the bank returns."""
        raise NotImplementedError

    def __call__(self, image: ArrayLike, *, threads: int | None = None) -> Array:
        """Return the feature maps of an image."""
        raise NotImplementedError

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the feature maps for an input of this shape."""
        raise NotImplementedError

    def _before_activation(
        self, image: ArrayLike, grad_output: ArrayLike, maps: ArrayLike | None, threads: int | None
    ) -> tuple[Array, Array]:
        """Return the image and the gradient by the sums before the activation, given that by its values."""
        array, grad = _check.as_array("image", image), _check.as_array("grad_output", grad_output)
        shape, activation = self.output_shape(array.shape), self._checked.activation
        values = None if maps is None else _check.as_array("maps", maps)
        for name, given in (("grad_output", grad), ("maps", values)):
            if given is not None and given.shape != shape:
                raise ValueError(f"{name} must have the shape of the output, {shape}; got {given.shape}")
        if activation is None:
            return array, grad
        if not _activations.follows_from_maps(activation, self._slopes):
            if self._linear is None:
                kind: Any = type(self)
                self._linear = kind(self._weight, self._bias, **{**self._options, "activation": None})
            values = self._linear(array, threads=threads)
        elif values is None:
            values = self(array, threads=threads)
        slopes = self._slopes
        if slopes is not None and not self._checked.channels_last:
            slopes = slopes.reshape(-1, *[1] * self._axes)
        return array, _activations.gradient(activation, values, grad, slopes)

    def _pack(self, plan: _plan.Plan, weight: Array) -> _plan.Packed:
        """Return the weight, or its conjugate, packed for a plan, from the cache if they are there."""
        packed: _plan.Packed | None = self._packed.get(plan.packing)
        if packed is None:
            packed = _plan.prepare(plan, weight)
            size = _weights.nbytes(packed)
            if self._packed.nbytes + size > WEIGHT_CACHE_BYTES:
                self._plans.clear()  # they refer to packed weights that are about to be dropped
            self._packed.put(plan.packing, packed, size)
        return packed

    def _whole(self, shape: tuple[int, ...], dtype: np.dtype[Any], image: Array | None = None) -> _parts.Whole:
        """Return how the feature maps of images of this shape are computed, channels first; `image`: if values tell."""
        raise NotImplementedError

    def _plan_by(self, shape: tuple[int, ...], dtype: np.dtype[Any], algorithm: str) -> _plan.Plan:
        """Return the plan of an algorithm for images of this shape, channels first."""
        raise NotImplementedError

    def _reads_blocks(self, image: object) -> bool:
        """Return whether an image is better read block by block."""
        return not self._checked.channels_last and _check.is_large_storage(image)

    def _biases(self, plan: _plan.Plan) -> Array | None:
        """Return the biases as the core takes them, and the slopes of the activation behind them."""
        dtype = plan.problem.accumulator
        if self._slopes is not None:
            return _weights.with_slopes(self._bias, self._slopes, dtype)
        return None if self._bias is None else _weights.copy_unless_plain(self._bias.reshape(-1), dtype)

    def _part(self, shape: tuple[int, ...], pixels: Array, wanted: Sequence[slice], threads: int) -> Array:
        """Return part of the feature maps of images of this shape, from the pixels that it reads, channels first.

        wanted: outputs, along each axis; pixels: those of `_parts.axis_part`, one run after another along each axis.
        """
        outer = (slice(0, 1),) * (3 - self._axes)
        whole, by_values = self._whole(shape, pixels.dtype), self._whole(shape, pixels.dtype, pixels)
        part = _parts.part_of(whole.plan, whole.packed[0], (*outer, *wanted))
        size = pixels.shape[-self._axes :]
        batch = shape[: -1 - self._axes]
        planes = pixels.reshape(math.prod(batch), self.in_channels, *(1,) * len(outer), *size)
        bias = self._biases(by_values.plan)
        maps = _parts.compute(*by_values, part, self._weight, planes, bias, threads)
        return maps.reshape(*batch, *maps.shape[1:2], *maps.shape[2 + len(outer) :])

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """What dask tells banks apart by."""
        return type(self).__name__, self._weight, self._bias, sorted(self._options.items())

    def replace(self, **changes: Any) -> Self:
        """Return another bank that differs in some options, or in its weight or bias.

        Parameters
        ----------
        **changes
            Options by name, as the bank itself takes them; ``weight`` and ``bias``, too.

        Returns
        -------
        FilterBank or TransposedFilterBank
            The bank itself stays as it is.

        Raises
        ------
        TypeError
            If there is no such option.
        ValueError, TypeError
            As for a new bank.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> fc.FilterBank(np.ones((4, 3, 3, 3)), padding=1).replace(activation="relu", padding="same")
        FilterBank(3 -> 4, kernel 3x3, padding='same', activation='relu')
        """
        unknown = sorted(changes.keys() - {"weight", "bias", *self._options})
        if unknown:
            names = ", ".join(["weight", "bias", *self._options])
            raise TypeError(f"{unknown[0]} is not an option of {type(self).__name__}: these are {names}")
        arrays = {"weight": self._weight, "bias": self._bias}
        return type(self)(**{**arrays, **self._options, **changes})

    @classmethod
    def from_torch(cls, layer: Any, **options: Any) -> Self:
        """Make a bank of a trained layer of PyTorch, or of its weight. PyTorch is not imported.

        Parameters
        ----------
        layer : torch.nn.Conv1d, Conv2d or Conv3d, or tensor
            For `TransposedFilterBank`, ``ConvTranspose1d`` and so on. Of a layer, or whatever has such attributes: weight,
            bias, stride, padding, output_padding, dilation, groups and padding_mode. A tensor, such as an entry of a
            state dict, is the weight: its options are those that follow.
        **options
            Options of the bank, in place of the layer's; ``bias``, too.

        Returns
        -------
        FilterBank or TransposedFilterBank
            With a copy of the parameters.

        Raises
        ------
        TypeError
            If `layer` has no weight that is a tensor, or is of the other kind, transposed or not.
        ValueError, TypeError
            As for a new bank.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> state = {"conv.weight": np.ones((8, 3, 3, 3), np.float32), "conv.bias": np.zeros(8, np.float32)}
        >>> fc.FilterBank.from_torch(state["conv.weight"], bias=state["conv.bias"], padding=1)
        FilterBank(3 -> 8, kernel 3x3, padding=1, bias)
        """
        weight = getattr(layer, "weight", layer)
        if weight is not layer:
            if bool(getattr(layer, "transposed", False)) != cls.IS_TRANSPOSED:
                raise TypeError(f"layer must be one that {cls.__name__} can stand for; got {type(layer).__name__}")
            names = [name for name in cls.DEFAULTS if hasattr(layer, name)]
            options = {
                "bias": getattr(layer, "bias", None),
                **{name: getattr(layer, name) for name in names},
                **options,
            }
        arrays = {"weight": weight, "bias": options.pop("bias", None)}
        return cls(**{name: as_parameter(name, array) for name, array in arrays.items()}, **options)

    def fold_batch_norm(
        self,
        mean: ArrayLike,
        var: ArrayLike,
        gamma: ArrayLike | None = None,
        beta: ArrayLike | None = None,
        eps: float = 1e-5,
    ) -> Self:
        """Return the bank that does what this one and a batch normalisation of its maps do, as it is after training.

        Parameters
        ----------
        mean, var : array_like, shape (K,)
            The running mean and variance of each map.
        gamma, beta : array_like, shape (K,), optional
            Scale and offset, 1 and 0 by default.
        eps : float
            Added to the variance.

        Returns
        -------
        FilterBank or TransposedFilterBank
            With weights ``gamma / sqrt(var + eps)`` times as large, and a bias.

        Raises
        ------
        ValueError
            If the bank has an activation, which the normalisation would have to follow, or shapes do not fit.

        Notes
        -----
        :math:`\\gamma (y - \\mu) / \\sqrt{\\sigma^2 + \\epsilon} + \\beta`, S. Ioffe and C. Szegedy, "Batch normalization:
        accelerating deep network training by reducing internal covariate shift", 2015.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> bank = fc.FilterBank(np.ones((1, 1, 3)))
        >>> bank.fold_batch_norm(mean=[3.0], var=[4.0], eps=0).replace(activation="relu")([1.0, 2.0, 4.0])
        array([[2.]])
        """
        if self.activation is not None:
            raise ValueError(
                f"activation must be None to fold what comes before it; got {self.activation!r}: "
                "bank.replace(activation=None).fold_batch_norm(...).replace(activation=...)"
            )
        count = self.out_channels
        given = {
            "mean": mean,
            "var": var,
            "gamma": 1.0 if gamma is None else gamma,
            "beta": 0.0 if beta is None else beta,
        }
        arrays = {name: np.asarray(as_parameter(name, value), np.float64) for name, value in given.items()}
        for name, array in arrays.items():
            if array.shape not in [(count,), (1,)] and (array.ndim or name in ("mean", "var")):
                raise ValueError(f"{name} must have shape ({count},), one for each map; got {array.shape}")
        scale = arrays["gamma"] / np.sqrt(arrays["var"] + eps)
        bias = (0 if self._bias is None else self._bias) - arrays["mean"]
        dtype = _check.promote([self._weight.dtype, np.dtype(np.float16)])
        weight = self._weight * self._by_filter(np.broadcast_to(scale, (count,)))
        return self.replace(weight=weight.astype(dtype), bias=(bias * scale + arrays["beta"]).astype(dtype))

    def _by_filter(self, numbers: Array) -> Array:
        """Return numbers (K,), one for each filter, in a shape to be multiplied with the weight."""
        raise NotImplementedError

    def _first(self, name: str, given: ArrayLike) -> Array:
        """Return an array, as it is passed to the bank, with its channels first."""
        array = _check.as_array(name, given)
        return _views.channels_first(name, array, self._axes) if self.channels_last else array

    def _as_given(self, result: Any, out: Array | None) -> Any:
        """Return a result with its channels where they are in what the bank is given, out itself if that was given."""
        if out is not None and not isinstance(result, tuple):
            return out
        return _views.channels_last(result, self._axes) if self.channels_last else result

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Pixels of the input that one output depends on, per axis."""
        raise NotImplementedError

    @property
    def _step(self) -> tuple[Fraction, ...]:
        """Pixels of the input from one output to the next, per axis: fractions where the bank up-samples."""
        raise NotImplementedError

    @property
    def _conjugate_weight(self) -> Array:
        """The weight of the adjoint and of gradients."""
        return conjugate(self._weight)

    def __repr__(self) -> str:
        size = "x".join(map(str, self._weight.shape[2:]))
        options = self._options if self._slopes is None else {**self._options, "activation": "prelu"}
        changed = [f"{name}={value!r}" for name, value in options.items() if value != self.DEFAULTS[name]]
        parts = [f"{self.in_channels} -> {self.out_channels}", f"kernel {size}", *changed]
        return f"{type(self).__name__}({', '.join(parts if self._bias is None else [*parts, 'bias'])})"

    def _repr_html_(self) -> str:
        from fastconv import _html

        return _html.bank(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return bool(self._checked == other._checked) and all(
            mine is theirs or (mine is not None and theirs is not None and equal_arrays(mine, theirs))
            for mine, theirs in (
                (self._weight, other._weight),
                (self._bias, other._bias),
                (self._slopes, other._slopes),
            )
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._weight, self._bias, self._options)


def as_parameter(name: str, value: Any) -> Any:
    """Return a parameter as an array: a tensor that a gradient is asked for, or on another device, too."""
    for method in ("detach", "cpu"):
        if hasattr(value, method):
            value = getattr(value, method)()
    return None if value is None else _check.as_array(name, value)


def conjugate(array: Array) -> Array:
    """Return the complex conjugate: the array itself unless it is complex."""
    return array.conj() if array.dtype.kind == "c" else array


def equal_arrays(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind not in "biu")


def read_only_copy(array: Array) -> Array:
    """Return a contiguous copy in native byte order that cannot be written to."""
    dtype = array.dtype.newbyteorder("=")
    copy = _weights.copy(array, dtype) if array.ndim else np.array(array, dtype)
    copy.flags.writeable = False
    return copy.view()  # a view of a read-only array cannot be made writeable


def _rebuild(kind: type[Any], weight: Array, bias: Array | None, options: dict[str, Any]) -> Any:
    return kind(weight, bias, **options)
