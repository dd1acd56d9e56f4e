"""FilterBank and Sequential: filters with their options as one object, and banks in a row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _check, _lengths, _plan, _weights, config
from fastconv._cache import Cache
from fastconv._check import Padding, PerAxis
from fastconv._problem import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FilterBank", "Sequential"]

PLAN_CACHE_BYTES = 2**21  # bytes of plans of each bank
WEIGHT_CACHE_BYTES = 2**25  # bytes of packed weights of each bank; a single packing may take more
DEFAULTS = _check.Options()._asdict()


class FilterBank:
    """A bank of filters: called on images, it returns one feature map per filter, stacked.

    Parameters
    ----------
    weight : array_like, shape (K, C/groups, kh, kw)
        K filters. Rank 3 makes a bank for signals, rank 5 one for volumes. The bank keeps a copy.
    bias : array_like, shape (K,), optional
        Added to each feature map.
    stride, padding, dilation, groups, padding_mode, flip, activation, algorithm, precision
        As for `conv2d`.

    Attributes
    ----------
    weight, bias : ndarray
        Read-only views.
    in_channels, out_channels : int
        C and K.
    num_parameters : int
        Weights and biases.
    receptive_field : tuple of int
        Pixels of the input that one output depends on, per axis.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`: options that suit no image are refused when the bank is built.

    Notes
    -----
    The formula is that of `conv2d`; stacked feature maps are an image of K channels, ready for the next bank.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> edges = fc.FilterBank.from_kernels([fc.filters.sobel("x"), fc.filters.sobel("y")], padding="same", activation="relu")
    >>> edges
    FilterBank(1 -> 2, kernel 3x3, padding='same', activation='relu')
    >>> edges(np.ones((32, 48), np.float32)).shape
    (2, 32, 48)
    >>> edges.num_parameters, edges.receptive_field
    (18, (3, 3))
    """

    __hash__ = None  # type: ignore[assignment]  # equal by value, like arrays

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        flip: bool = False,
        activation: str | None = None,
        algorithm: str = "auto",
        precision: str = "default",
    ) -> None:
        filters = _check.as_array("weight", weight)
        offset = None if bias is None else _check.as_array("bias", bias)
        self._axes = filters.ndim - 2
        if self._axes not in (1, 2, 3):
            raise ValueError(
                "weight must be a bank for signals (K, C/groups, kw), images (K, C/groups, kh, kw) "
                f"or volumes (K, C/groups, kd, kh, kw); got shape {filters.shape}"
            )
        dtypes = [filters.dtype] if offset is None else [filters.dtype, offset.dtype]
        _check.check_weight(self._axes, filters.shape, dtypes)
        with _weights.naming_weight(filters.shape):
            self._weight, self._bias = _read_only_copy(filters), None if offset is None else _read_only_copy(offset)
        self._plans = Cache(PLAN_CACHE_BYTES)  # plans with packed weights, by shape and dtype of the image
        self._packed = Cache(WEIGHT_CACHE_BYTES)  # packed weights, by the plan's packing
        options = (stride, padding, dilation, groups, padding_mode, flip, activation, algorithm, precision)
        self._checked = _check.options(self._axes, options)
        self._options = dict(zip(DEFAULTS, map(_check.hashable, options), strict=True))  # as given
        dilations = self._checked.dilation
        self._receptive_field = tuple(
            (taps - 1) * step + 1 for taps, step in zip(self._weight.shape[2:], dilations, strict=True)
        )
        self._in_channels = int(self._weight.shape[1] * self._checked.groups)
        self._check_that_some_image_fits()

    @classmethod
    def from_kernels(
        cls, kernels: Iterable[ArrayLike], channels: int = 1, bias: ArrayLike | None = None, **options: Any
    ) -> FilterBank:
        """Make a bank of one filter per kernel, each kernel repeated for every channel.

        Parameters
        ----------
        kernels : iterable of array_like, each (kh, kw)
            Smaller kernels are centred in the size of the largest; sizes must differ by even numbers.
        channels : int
            Channels of the input; a feature map is the sum of its kernel's answers to all of them.
        bias : array_like, shape (len(kernels),), optional
        **options
            As for `FilterBank`.

        Returns
        -------
        FilterBank
            With weight ``(len(kernels), channels, kh, kw)``.

        Raises
        ------
        ValueError, TypeError
            If the kernels cannot be stacked, or as for `FilterBank`.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.FilterBank.from_kernels([fc.filters.box(3), fc.filters.gaussian(5)], channels=3, padding="same")
        FilterBank(3 -> 2, kernel 5x5, padding='same')
        """
        try:
            entries = [*kernels]
        except TypeError as error:
            raise TypeError(f"kernels must be one or more arrays; got {type(kernels).__name__}") from error
        arrays = [_check.as_array("kernels", kernel) for kernel in entries]
        for array in arrays:
            _check.check_dtype("kernels", array.dtype)
        if len(ranks := {array.ndim for array in arrays}) != 1 or not ranks <= {1, 2, 3}:
            raise ValueError(
                f"kernels must be one or more arrays of the same rank, 1 to 3; got shapes {[a.shape for a in arrays]}"
            )
        channels = _check.positive_int("channels", channels)
        size = tuple(max(lengths) for lengths in zip(*(array.shape for array in arrays), strict=True))
        dtype = _check.promote([array.dtype for array in arrays])
        try:
            stacked = np.zeros((len(arrays), channels, *size), dtype)
        except (ValueError, MemoryError) as error:
            raise MemoryError(f"channels must leave the weight room in memory; got {channels}") from error
        for filter_, array in zip(stacked, arrays, strict=True):
            margins = [whole - length for whole, length in zip(size, array.shape, strict=True)]
            if any(margin % 2 for margin in margins):
                raise ValueError(
                    f"kernels must differ in size by even numbers, to share a centre; got shapes {[a.shape for a in arrays]}"
                )
            centre = tuple(slice(m // 2, m // 2 + length) for m, length in zip(margins, array.shape, strict=True))
            filter_[(slice(None), *centre)] = array
        return cls(stacked, bias, **options)

    def __call__(self, image: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> Array:
        """Return the feature maps ``(..., K, H', W')`` of an image ``(..., C, H, W)``; see `conv2d`."""
        array = image if type(image) is np.ndarray else _check.as_array("input", image)
        shape = array.shape
        rounded = shape if not shape or shape[-1] < _lengths.LONG_ROW else _lengths.rounded(shape)
        prepared = self._plans.get((rounded, array.dtype))
        if prepared is None or (rounded is not shape and prepared[0].columns != shape[-1]):
            prepared = self._prepare(prepared, (rounded, array.dtype), shape)
        plan, packed = prepared
        return _plan.run(plan, array, self._weight, self._bias, out, config.num_threads(threads), packed)

    @property
    def weight(self) -> Array:
        """The filters, (K, C/groups, kh, kw)."""
        return self._weight

    @property
    def bias(self) -> Array | None:
        """The biases, (K,), or None."""
        return self._bias

    @property
    def in_channels(self) -> int:
        """Channels that the bank expects."""
        return self._in_channels

    @property
    def out_channels(self) -> int:
        """Feature maps that the bank returns."""
        return int(self._weight.shape[0])

    @property
    def num_parameters(self) -> int:
        """Weights and biases, counted."""
        return int(self._weight.size) + (0 if self._bias is None else int(self._bias.size))

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Pixels of the input that one output depends on, per axis."""
        return self._receptive_field

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels of the input from one output to the next, per axis."""
        strides: tuple[int, ...] = self._checked.stride
        return strides

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the feature maps for an input of this shape.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> fc.FilterBank(np.ones((8, 3, 3, 3)), stride=2, padding=1).output_shape((16, 3, 224, 224))
        (16, 8, 112, 112)
        """
        return self._plan_for(_check.shape_of("shape", shape), np.dtype(np.float32)).problem.output_shape

    def plot(self, **options: Any) -> Figure:
        """Draw the filters of a bank for signals or images; see `plot.filter_bank`. Needs matplotlib."""
        if self._axes == 3:
            raise ValueError(f"weight must be of rank 3 or 4 to be drawn; got shape {self._weight.shape}")
        from fastconv import plot

        return plot.filter_bank(self._weight[:, :, np.newaxis] if self._axes == 1 else self._weight, **options)

    def __repr__(self) -> str:
        size = "x".join(map(str, self._weight.shape[2:]))
        changed = [f"{name}={value!r}" for name, value in self._options.items() if value != DEFAULTS[name]]
        parts = [f"{self.in_channels} -> {self.out_channels}", f"kernel {size}", *changed]
        return f"FilterBank({', '.join(parts if self._bias is None else [*parts, 'bias'])})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FilterBank):
            return NotImplemented
        return self._checked == other._checked and all(
            mine is theirs or (mine is not None and theirs is not None and _equal_arrays(mine, theirs))
            for mine, theirs in ((self._weight, other._weight), (self._bias, other._bias))
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._weight, self._bias, self._options)

    def _check_that_some_image_fits(self) -> None:
        """Raise what planning raises if these filters and options fit no image."""
        strides, padding = self._checked.stride, self._checked.padding
        pads = [0 if padding == "valid" else field - 1 for field in self._receptive_field]
        if not isinstance(padding, str):
            pads = [sum(pair) for pair in padding]
        # Sizes to try, per axis: the kernel's, one much larger than kernel and padding, and the smallest possible.
        sizes = [
            (field, 64 * step + 16 * (field + pad), max(1, field - pad))
            for field, step, pad in zip(self._receptive_field, strides, pads, strict=True)
        ]
        errors = []
        for size in product(*sizes):
            try:
                self._plan_for((self._in_channels, *size), np.dtype(np.float32))
            except ValueError as error:
                errors.append(error)
            else:
                return
        raise errors[0]

    def _prepare(
        self,
        cached: tuple[_plan.Plan, _plan.Packed] | None,
        key: tuple[tuple[int, ...], np.dtype[Any]],
        shape: tuple[int, ...],
    ) -> tuple[_plan.Plan, _plan.Packed]:
        """Return a plan with packed weights for images of this shape, and cache it; `cached`: what the key has now."""
        adapted = None if cached is None else _lengths.adapt(cached[0], shape)
        if cached is not None and adapted is not None:
            self._plans.replace(key, (adapted, cached[1]))
            return adapted, cached[1]
        plan = self._plan_for(shape, key[1])
        packed = self._packed.get(plan.packing)
        if packed is None:
            packed = _plan.prepare(plan, self._weight)
            size = _weights.nbytes(packed)
            if self._packed.nbytes + size > WEIGHT_CACHE_BYTES:
                self._plans.clear()  # they refer to packed weights that are about to be dropped
            self._packed.put(plan.packing, packed, size)
        self._plans.put(key, (plan, packed), plan.nbytes)
        return plan, packed

    def _plan_for(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _plan.Plan:
        arrays = (self._weight,) if self._bias is None else (self._weight, self._bias)
        bias_shape = None if self._bias is None else self._bias.shape
        dtypes = (dtype, *(array.dtype for array in arrays))
        _check.check_arrays(self._axes, shape, self._weight.shape, dtypes)
        return _lengths.plan_for(self._axes, shape, self._weight.shape, bias_shape, dtypes, self._checked, reuse=True)


class Sequential:
    """Banks in a row: the feature maps of one are the image of the next.

    Parameters
    ----------
    *banks : FilterBank or Sequential
        One or more; each must expect as many channels as the one before it returns.

    Raises
    ------
    TypeError
        If something is not a bank.
    ValueError
        If there is none, or if the channels of neighbours do not match.

    Notes
    -----
    The receptive field grows by ``(r - 1) * jump`` with each bank of receptive field r, where jump is the product of
    the strides before it (Dumoulin and Visin, 2016).

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> first = fc.FilterBank(np.ones((8, 3, 3, 3)), stride=2, activation="relu")
    >>> stack = fc.Sequential(first, fc.FilterBank(np.ones((4, 8, 3, 3))))
    >>> stack(np.ones((3, 32, 32))).shape
    (4, 13, 13)
    >>> stack.receptive_field, stack.num_parameters
    ((7, 7), 504)
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *banks: FilterBank | Sequential) -> None:
        for position, bank in enumerate(banks):
            if not isinstance(bank, (FilterBank, Sequential)):
                raise TypeError(
                    f"banks must be FilterBank or Sequential objects; got {type(bank).__name__} at position {position}"
                )
        if not banks:
            raise ValueError("banks must be at least one; got none")
        for position, (bank, following) in enumerate(pairwise(banks)):
            if bank.out_channels != following.in_channels:
                raise ValueError(
                    f"banks must match: bank {position} returns {bank.out_channels} feature maps, "
                    f"but bank {position + 1} expects {following.in_channels} channels"
                )
            if len(bank.receptive_field) != len(following.receptive_field):
                raise ValueError(
                    f"banks must have the same number of axes: bank {position} has {len(bank.receptive_field)}, "
                    f"bank {position + 1} has {len(following.receptive_field)}"
                )
        self._banks = banks

    def __call__(self, image: ArrayLike, *, threads: int | None = None) -> Array:
        """Return the feature maps of the last bank."""
        maps = image
        for bank in self._banks:
            maps = bank(maps, threads=threads)
        return _check.as_array("image", maps)

    @property
    def in_channels(self) -> int:
        """Channels that the first bank expects."""
        return self._banks[0].in_channels

    @property
    def out_channels(self) -> int:
        """Feature maps that the last bank returns."""
        return self._banks[-1].out_channels

    @property
    def num_parameters(self) -> int:
        """Weights and biases of all banks, counted."""
        return sum(bank.num_parameters for bank in self._banks)

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Pixels of the input that one output depends on, per axis."""
        field = [1] * len(self._banks[0].receptive_field)
        jump = field.copy()
        for bank in self._banks:
            growth = [(length - 1) * step for length, step in zip(bank.receptive_field, jump, strict=True)]
            field = [length + more for length, more in zip(field, growth, strict=True)]
            jump = [step * stride for step, stride in zip(jump, bank.stride, strict=True)]
        return tuple(field)

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels of the input from one output to the next, per axis."""
        return tuple(math.prod(strides) for strides in zip(*(bank.stride for bank in self._banks), strict=True))

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the last bank's feature maps for an input of this shape."""
        for bank in self._banks:
            shape = bank.output_shape(shape)
        return tuple(shape)

    def __len__(self) -> int:
        return len(self._banks)

    def __iter__(self) -> Iterator[FilterBank | Sequential]:
        return iter(self._banks)

    def __getitem__(self, position: int | slice) -> FilterBank | Sequential:
        return Sequential(*self._banks[position]) if isinstance(position, slice) else self._banks[position]

    def __eq__(self, other: object) -> bool:
        return self._banks == other._banks if isinstance(other, Sequential) else NotImplemented

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self._banks))})"


def _equal_arrays(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind not in "biu")


def _read_only_copy(array: Array) -> Array:
    dtype = array.dtype.newbyteorder("=")
    copy = _weights.copy(array, dtype) if array.ndim else np.array(array, dtype)
    copy.flags.writeable = False
    return copy.view()  # a view of a read-only array cannot be made writeable


def _rebuild(weight: Array, bias: Array | None, options: dict[str, Any]) -> FilterBank:
    return FilterBank(weight, bias, **options)
