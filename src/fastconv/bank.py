"""FilterBank and Sequential: filters with their options as one object, and banks in a row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain, pairwise, product
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, Unpack, cast, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import _check, _exact, _fuse, _gradient, _lengths, _missing, _parts, _plan, _views, config
from fastconv._bank import PLAN_CACHE_BYTES, Bank, Gradients, Option, conjugate
from fastconv._cache import Cache
from fastconv._problem import Array, Problem
from fastconv._types import (
    Activation,
    Algorithm,
    BankOptions,
    Nan,
    Padding,
    PaddingMode,
    PerAxis,
    Precision,
    Renormalize,
)
from fastconv.conv import PROPAGATE, along

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastconv.explanation import Explanation, StackExplanation
    from fastconv.stream import Stream
    from fastconv.transpose import TransposedFilterBank

__all__ = ["FilterBank", "Sequential"]

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None]  # of input, weight and bias
Dtypes = tuple[np.dtype[Any], ...]
AnyBank = Union["FilterBank", "TransposedFilterBank", "Sequential"]
Part = tuple[_fuse.Fused | None, tuple[AnyBank, ...]]  # banks that compute their maps together, or one by one


class FilterBank(Bank):
    """A bank of filters: called on images, it returns one feature map per filter, stacked.

    Parameters
    ----------
    weight : array_like, shape (K, C/groups, kh, kw)
        K filters. Rank 3 makes a bank for signals, rank 5 one for volumes. The bank keeps a copy.
    bias : array_like, shape (K,), optional
        Added to each feature map.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision, channels_last, saturate
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
    stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision, channels_last, saturate
        The options; `replace` makes a bank with others.

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

    DEFAULTS: ClassVar = _check.Options()._asdict()

    padding_value = Option("What the padding holds where its mode is constant.")
    saturate = Option("Whether sums are rounded and clipped to integers.")

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        padding_mode: PaddingMode = "zeros",
        padding_value: ArrayLike = 0,
        flip: bool = False,
        activation: Activation = None,
        algorithm: Algorithm = "auto",
        precision: Precision = "default",
        channels_last: bool = False,
        saturate: bool = False,
    ) -> None:
        super().__init__(
            "signals (K, C/groups, kw), images (K, C/groups, kh, kw) or volumes (K, C/groups, kd, kh, kw)", weight, bias
        )
        options = (
            stride,
            padding,
            dilation,
            groups,
            padding_mode,
            padding_value,
            flip,
            activation,
            algorithm,
            precision,
            channels_last,
            saturate,
        )
        self._checked = _check.options(self._axes, options)
        self._options = dict(zip(self.DEFAULTS, map(_check.hashable, options), strict=True))  # as given
        self._options["activation"] = self._keep_slopes(activation)
        dilations = self._checked.dilation
        self._receptive_field = tuple(
            (taps - 1) * step + 1 for taps, step in zip(self._weight.shape[2:], dilations, strict=True)
        )
        self._in_channels = int(self._weight.shape[1] * self._checked.groups)
        self._integers = _exact.integers(self._weight, self._weight.shape[0], self._bias)
        self._mask_weights: dict[Any, _missing.MaskWeights] = {}  # once an image with holes has needed them
        self._has_views = self._checked.channels_last or self._checked.saturate
        self._check_that_some_image_fits()

    @classmethod
    def from_kernels(
        cls,
        kernels: Iterable[ArrayLike],
        channels: int = 1,
        bias: ArrayLike | None = None,
        *,
        per_channel: bool = False,
        **options: Unpack[BankOptions],
    ) -> FilterBank:
        """Make a bank of one filter per kernel, each kernel repeated for every channel.

        Parameters
        ----------
        kernels : iterable of array_like, each (kh, kw)
            Smaller kernels are centred in the size of the largest; sizes must differ by even numbers.
        channels : int
            Channels of the input; a feature map is the sum of its kernel's answers to all of them.
        bias : array_like, shape (len(kernels),), optional
        per_channel : bool
            Whether each kernel answers to each channel by itself (a depthwise convolution): there are
            ``channels * len(kernels)`` feature maps then, first those of the first channel.
        **options
            As for `FilterBank`.

        Returns
        -------
        FilterBank
            With weight ``(len(kernels), channels, kh, kw)``; with `per_channel`
            ``(channels * len(kernels), 1, kh, kw)`` and ``groups=channels``.

        Raises
        ------
        ValueError, TypeError
            If the kernels cannot be stacked, or as for `FilterBank`.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.FilterBank.from_kernels([fc.filters.box(3), fc.filters.gaussian(5)], channels=3, padding="same")
        FilterBank(3 -> 2, kernel 5x5, padding='same')
        >>> slopes = [fc.filters.sobel("x"), fc.filters.sobel("y")]
        >>> fc.FilterBank.from_kernels(slopes, channels=3, per_channel=True).output_shape((3, 32, 32))
        (6, 30, 30)
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
        if not isinstance(per_channel, bool):
            raise TypeError(f"per_channel must be True or False; got {per_channel!r}")
        if not per_channel:
            return cls(stacked, bias, **options)
        if "groups" in options:
            raise TypeError(
                f"groups must be left out with per_channel=True: it is {channels}; got {options['groups']!r}"
            )
        if bias is not None:
            offsets = _check.as_array("bias", bias)
            if offsets.shape != (len(arrays),):
                raise ValueError(f"bias must have shape ({len(arrays)},), one per kernel; got shape {offsets.shape}")
            bias = np.tile(offsets, channels)
        weight = stacked.swapaxes(0, 1).reshape(-1, 1, *size)  # the filters of a channel side by side
        options["groups"] = channels
        return cls(weight, bias, **options)

    @overload
    def __call__(
        self,
        image: ArrayLike,
        *,
        nan: Nan = ...,
        mask: ArrayLike | None = ...,
        renormalize: Renormalize = ...,
        fill_value: complex = ...,
        return_weight: Literal[False] = ...,
        residual: ArrayLike | None = ...,
        axis: int = ...,
        out: Array | None = ...,
        threads: int | None = ...,
    ) -> Array: ...
    @overload
    def __call__(
        self,
        image: ArrayLike,
        *,
        nan: Nan = ...,
        mask: ArrayLike | None = ...,
        renormalize: Renormalize = ...,
        fill_value: complex = ...,
        return_weight: Literal[True],
        residual: ArrayLike | None = ...,
        axis: int = ...,
        out: Array | None = ...,
        threads: int | None = ...,
    ) -> tuple[Array, Array]: ...
    def __call__(
        self,
        image: ArrayLike,
        *,
        nan: Nan = PROPAGATE,
        mask: ArrayLike | None = None,
        renormalize: Renormalize = False,
        fill_value: complex = math.nan,
        return_weight: bool = False,
        residual: ArrayLike | None = None,
        axis: int = -1,
        out: Array | None = None,
        threads: int | None = None,
    ) -> Any:
        """Return the feature maps ``(..., K, H', W')`` of an image ``(..., C, H, W)``, all options as for `conv2d`.

        `axis`, for a bank for signals, is that of their samples, as for `conv1d`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> mean = fc.FilterBank(fc.filters.box(3)[None, None], padding="same")
        >>> mean([[1.0, np.nan], [3.0, 5.0]], nan="ignore").round(2)
        array([[[1., 1.],
                [1., 1.]]])
        """
        if axis != -1:
            named = {"nan": nan, "renormalize": renormalize, "fill_value": fill_value, "return_weight": return_weight}
            return self._convolve_along(axis, image, mask, residual, out, {**named, "threads": threads})
        missing = None
        if nan is not PROPAGATE or mask is not None or renormalize is not False or return_weight is not False:
            missing = _missing.Options(nan, mask, renormalize, fill_value, return_weight)
        if type(image) is not np.ndarray and _check.is_lazy(image):
            _check.check_left_out(_check.LAZY, out=out, residual=residual, missing=missing)
            from fastconv import dask

            maps: Array = dask.convolve(self, cast(Any, image), threads=threads)
            return maps
        if out is not None and type(out) is not np.ndarray and _check.is_storage(out):
            _check.check_left_out(_check.STORED, residual=residual, missing=missing)
            from fastconv import storage

            return storage.convolve(self, image, out, threads=threads)
        if type(image) is not np.ndarray and missing is None and residual is None and self._reads_blocks(image):
            from fastconv import storage

            return storage.convolve(self, image, out, threads=threads)
        if missing is not None:
            return self._convolve_numbers(image, missing, out, threads, residual)
        if type(image) is not np.ndarray and _check.is_masked(image):
            return self._convolve_numbers(image, _missing.Options(), out, threads, residual)
        array = image if type(image) is np.ndarray else _check.as_array("input", image)
        target, saturated = out, None
        if self._has_views:
            array, target, saturated = self._views(array, out)
        shape = array.shape
        rounded = shape if not shape or shape[-1] < _lengths.LONG_ROW else _lengths.rounded(shape)
        sums = None if self._integers is None else self._integers.sums(array.dtype, array)
        key = rounded, array.dtype, saturated, sums
        prepared = self._plans.get(key)
        if prepared is None or (rounded is not shape and prepared[0].columns != shape[-1]):
            prepared = self._prepare(prepared, key, shape)
        plan, packed = prepared
        if residual is not None:
            residual = _check.check_residual(self._first("residual", residual), plan.problem)
        count = config.num_threads(threads)
        result = _plan.run(plan, array, self._weight, self._bias, target, count, packed, residual, self._slopes)
        return self._as_given(result, out) if self._has_views else result

    def _convolve_along(
        self,
        axis: int,
        image: ArrayLike,
        mask: ArrayLike | None,
        residual: ArrayLike | None,
        out: Array | None,
        options: dict[str, Any],
    ) -> Any:
        """Return the feature maps of signals along any axis."""
        signals: Any = (
            image if isinstance(image, np.ndarray) or _check.is_lazy(image) else _check.as_array("input", image)
        )
        place = _check.axis("axis", axis, signals.ndim)
        if self._axes > 1:
            raise ValueError(f"axis is for banks for signals; got {axis} for filters of shape {self._weight.shape}")
        return along(place, signals, mask, residual, out, partial(self, **options))

    def _convolve_numbers(
        self,
        image: ArrayLike,
        missing: _missing.Options,
        out: Array | None,
        threads: int | None,
        residual: ArrayLike | None,
    ) -> Any:
        """Return the feature maps of an image of which parts may be missing."""
        _check.check_no_residual(residual)
        target, saturated = out, None
        if self._has_views:
            given = image if _check.is_masked(image) else _check.as_array("input", image)
            image, target, saturated = self._views(given, out)
        if self._checked.channels_last and missing.mask is not None:
            missing = missing._replace(mask=_views.mask_first(missing.mask, self._axes))
        array = np.asarray(np.ma.getdata(image)) if _check.is_masked(image) else _check.as_array("input", image)
        key = (array.shape, array.dtype, saturated, missing.key)
        plan = self._plans.get(key)
        if plan is None:
            plan = _missing.Plan(*self._problem_of(array.shape, array.dtype, saturated), missing, reuse=True)
            self._plans.put(key, plan, plan.nbytes)
        arrays, count = (image, array, self._weight, self._bias), config.num_threads(threads)
        result = plan.run(*arrays, missing, target, count, self._pack, self._mask_weights, self._slopes)
        return self._as_given(result, out) if self._checked.channels_last else result  # which may be masked

    def _views(self, image: Any, out: Array | None) -> tuple[Any, Array | None, np.dtype[Any] | None]:
        """Return image and out with their channels first, and the dtype whose range results are clipped to."""
        saturated = _views.target_dtype(self._checked.saturate, image, out)
        if self._checked.channels_last:
            image = _views.channels_first("input", image, self._axes)  # a masked array stays one
            out = None if out is None else self._first("out", _check.array_out(out))
        return image, out, saturated

    def _by_filter(self, numbers: Array) -> Array:
        return numbers.reshape(-1, 1, *[1] * self._axes)

    @property
    def in_channels(self) -> int:
        """Channels that the bank expects."""
        return self._in_channels

    @property
    def out_channels(self) -> int:
        """Feature maps that the bank returns."""
        return int(self._weight.shape[0])

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Pixels of the input that one output depends on, per axis."""
        return self._receptive_field

    def backward(
        self, image: ArrayLike, grad_output: ArrayLike, *, maps: ArrayLike | None = None, threads: int | None = None
    ) -> Gradients:
        """Return the gradients of a loss by image, weight and bias, given that by the feature maps of the image.

        Parameters
        ----------
        image : array_like, shape (..., C, H, W)
            What the bank was called on.
        grad_output : array_like, shape (..., K, H', W')
            Gradient of the loss by the feature maps.
        maps : array_like, shape (..., K, H', W'), optional
            The feature maps that the call returned: with them, the derivative of most activations need not compute
            them again (the exceptions, such as "silu" and "gelu", need the sums before the activation, which are
            computed without a residual).
        threads : int, optional
            The most threads to use; the result does not depend on it.

        Returns
        -------
        Gradients
            The named tuple (input, weight, bias); bias is None if the bank has none.

        Raises
        ------
        ValueError, TypeError
            If shapes or dtypes do not fit together.

        Notes
        -----
        The derivative of the activation, then `grad.conv2d_input`, `grad.conv2d_weight` and `grad.conv2d_bias`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> bank = fc.FilterBank(np.ones((4, 3, 3, 3)), np.zeros(4), padding=1, activation="relu")
        >>> image = np.ones((3, 8, 8))
        >>> gradients = bank.backward(image, np.ones((4, 8, 8)))
        >>> gradients.input.shape, gradients.weight.shape, gradients.bias
        ((3, 8, 8), (4, 3, 3, 3), array([64., 64., 64., 64.]))
        """
        array, grad = self._before_activation(image, grad_output, maps, threads)
        array, grad = self._first("image", array), self._first("grad_output", grad)
        count = config.num_threads(threads)
        key = ("backward", array.shape, array.dtype, grad.dtype)
        plans = self._plans.get(key)
        if plans is None:
            plans = self._plan_backward(array.shape, (array.dtype, grad.dtype))
            self._plans.put(key, plans, sum(plan.nbytes for plan in plans[::2]))
        input_plan, packed, weight_plan = plans
        grad_input = _gradient.run_input(input_plan, self._conjugate_weight, grad, count, packed)
        return Gradients(
            self._as_given(grad_input, None),
            _gradient.run_weight(weight_plan, conjugate(array), grad, count),
            None if self._bias is None else _gradient.run_bias(grad, self._axes),
        )

    def adjoint(self) -> TransposedFilterBank:
        """Return the adjoint of the bank without bias and activation, a bank that maps feature maps to images.

        For all images x and maps y, ``np.vdot(bank(x), y) == np.vdot(x, bank.adjoint()(y))`` up to rounding, if the
        bank has neither bias nor activation. With a stride, several sizes of images have maps of one size: pass
        ``output_size=`` to choose other than the smallest.

        Returns
        -------
        TransposedFilterBank
            With the same options; the weight is conjugated if it is complex.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> blur = fc.FilterBank(fc.filters.gaussian(5)[None, None], padding=2, padding_mode="reflect")
        >>> x, y = np.random.default_rng(0).random((2, 1, 9, 9))
        >>> bool(np.isclose(np.vdot(blur(x), y), np.vdot(x, blur.adjoint()(y))))
        True
        """
        from fastconv.transpose import TransposedFilterBank

        names = ("stride", "padding", "groups", "dilation", "padding_mode", "flip", "precision", "channels_last")
        return TransposedFilterBank(self._conjugate_weight, **{name: self._options[name] for name in names})

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels of the input from one output to the next, per axis."""
        strides: tuple[int, ...] = self._checked.stride
        return strides

    @property
    def _step(self) -> tuple[Fraction, ...]:
        return tuple(map(Fraction, self.stride))

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the feature maps for an input of this shape.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> fc.FilterBank(np.ones((8, 3, 3, 3)), stride=2, padding=1).output_shape((16, 3, 224, 224))
        (16, 8, 112, 112)
        """
        given = _check.shape_of("shape", shape)
        if not self._checked.channels_last or len(given) <= self._axes:
            return self._plan_for(given, *self._any_dtypes).problem.output_shape
        first = _views.shape_first(given, self._axes)
        return _views.shape_last(self._plan_for(first, *self._any_dtypes).problem.output_shape, self._axes)

    @property
    def _any_dtypes(self) -> tuple[np.dtype[Any], np.dtype[Any] | None]:
        """A dtype of images, and the one whose range their results are clipped to."""
        return (np.dtype(np.uint8),) * 2 if self._checked.saturate else (np.dtype(np.float32), None)

    def plot(self, **options: Any) -> Figure:
        """Draw the filters of a bank for signals or images; see `plot.filter_bank`. Needs matplotlib."""
        if self._axes == 3:
            raise ValueError(f"weight must be of rank 3 or 4 to be drawn; got shape {self._weight.shape}")
        from fastconv import plot

        return plot.filter_bank(self._weight[:, :, np.newaxis] if self._axes == 1 else self._weight, **options)

    def _check_that_some_image_fits(self) -> None:
        """Raise what planning raises if these filters and options fit no image."""
        strides, padding = self._checked.stride, self._checked.padding
        named = (padding,) * self._axes if isinstance(padding, str) else padding
        pads = [
            (0 if pair == "valid" else field - 1) if isinstance(pair, str) else sum(pair)
            for field, pair in zip(self._receptive_field, named, strict=True)
        ]
        # Sizes to try, per axis: the kernel's, one much larger than kernel and padding, and the smallest possible.
        sizes = [
            (field, 64 * step + 16 * (field + pad), max(1, field - pad))
            for field, step, pad in zip(self._receptive_field, strides, pads, strict=True)
        ]
        errors = []
        for size in product(*sizes):
            try:
                self._plan_for((self._in_channels, *size), *self._any_dtypes)
            except ValueError as error:
                errors.append(error)
            else:
                return
        raise errors[0]

    def _prepare(
        self,
        cached: tuple[_plan.Plan, _plan.Packed] | None,
        key: tuple[tuple[int, ...], np.dtype[Any], np.dtype[Any] | None, _exact.Sums | None],
        shape: tuple[int, ...],
    ) -> tuple[_plan.Plan, _plan.Packed]:
        """Return a plan with packed weights for images of this shape, and cache it; `cached`: what the key has now."""
        adapted = None if cached is None else _lengths.adapt(cached[0], shape)
        if cached is not None and adapted is not None:
            self._plans.replace(key, (adapted, cached[1]))
            return adapted, cached[1]
        plan = self._plan_for(shape, *key[1:])
        packed = self._pack(plan, self._weight)
        self._plans.put(key, (plan, packed), plan.nbytes)
        return plan, packed

    def _whole(self, shape: tuple[int, ...], dtype: np.dtype[Any], image: Array | None = None) -> _parts.Whole:
        saturated = _views.target_dtype(self._checked.saturate, np.empty(0, dtype), None)
        sums = None if self._integers is None else self._integers.sums(dtype, image)
        key = "whole", shape, dtype, saturated, sums
        whole: _parts.Whole | None = self._plans.get(key)
        if whole is None:
            plan = self._plan_for(shape, dtype, saturated, sums)
            whole = _parts.Whole(plan, self._pack(plan, self._weight))
            self._plans.put(key, whole, plan.nbytes)
        return whole

    def _unfolded(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Problem:
        """Return the problem of images of this shape as it is planned, channels first, but not folded."""
        saturated = _views.target_dtype(self._checked.saturate, np.empty(0, dtype), None)
        axes, shapes, dtypes, options = self._problem_of(shape, dtype, saturated)
        sums = None if self._integers is None else self._integers.sums(dtype)
        problem = _exact.summed(_check.problem(axes, *shapes, dtypes, options), sums)
        return problem if problem.border is None else problem.padded

    def stream(self, axis: int = -1, *, length: int | None = None) -> Stream:
        """Return a convolution of signals that come in pieces, or of images that come row by row.

        Parameters
        ----------
        axis : int
            Along which pieces follow one another, counted from the last: for a bank for images, -2 for rows.
        length : int, optional
            Samples of the whole signal, if they are known; see `stream.Stream`.

        Returns
        -------
        Stream
            To be called on one piece after another, and to be flushed.

        Raises
        ------
        ValueError, TypeError
            If kernels do not slide along the axis, or the padding depends on what is still to come.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> edges = fc.FilterBank(fc.filters.sobel("y")[None, None], padding="same").stream(axis=-2)
        >>> rows = np.arange(12.0).reshape(1, 4, 3)
        >>> edges(rows[:, :2]).shape, edges(rows[:, 2:]).shape, edges.flush().shape
        ((1, 1, 3), (1, 2, 3), (1, 1, 3))
        """
        from fastconv.stream import Stream

        return Stream(self, axis, length)

    def _plan_backward(
        self, shape: tuple[int, ...], dtypes: tuple[np.dtype[Any], ...]
    ) -> tuple[_gradient.InputGradient, tuple[_plan.Packed, ...], _gradient.WeightGradient]:
        """Return the plans of the gradients for an image of this shape, and the weights packed for that of the input.

        dtypes: of the image and of the gradient by the feature maps.
        """
        linear = self._checked._replace(activation=None, channels_last=False, saturate=False)
        _check.check_arrays(self._axes, shape, self._weight.shape, dtypes)
        forward = _check.problem(self._axes, shape, self._weight.shape, None, dtypes, linear)
        input_plan = _gradient.plan_input(forward, shape, (dtypes[1], self._weight.dtype))
        packed = tuple(self._pack(plan, self._conjugate_weight) for plan in input_plan.plans)
        return input_plan, packed, _gradient.plan_weight(forward, self._weight.shape, dtypes)

    def _plan_for(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        saturated: np.dtype[Any] | None,
        sums: _exact.Sums | None = None,
    ) -> _plan.Plan:
        axes, shapes, dtypes, options = self._problem_of(shape, dtype, saturated)
        return _lengths.plan_for(axes, *shapes, dtypes, options, sums)

    def explain(
        self,
        input: ArrayLike | Sequence[int],
        *,
        dtype: DTypeLike | None = None,
        measure: bool = False,
        threads: int | None = None,
    ) -> Explanation:
        """Return which algorithm would run for this input, and why.

        Parameters
        ----------
        input : tuple or list of int, or array_like
            The shape of an image, as the bank takes it, or the image itself.
        dtype : dtype, optional
            Of the image; by default its own, or, if only its shape is given, that of the weight.
        measure : bool
            Also run every candidate on random numbers, and tell how long a call takes.
        threads : int, optional
            The most threads to use for that.

        Returns
        -------
        Explanation
            See the function `explain`.

        Raises
        ------
        ValueError, TypeError
            As for a call.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> bank = fc.FilterBank(np.ones((64, 64, 3, 3), np.float32), padding=1, activation="relu")
        >>> bank.explain((64, 56, 56)).algorithm
        'winograd'
        """
        from fastconv import explanation

        return explanation.of_bank(self, input, dtype, measure, threads)

    def _plan_by(self, shape: tuple[int, ...], dtype: np.dtype[Any], algorithm: str) -> _plan.Plan:
        saturated = _views.target_dtype(self._checked.saturate, np.empty(0, dtype), None)
        sums = None if self._integers is None else self._integers.sums(dtype)
        axes, shapes, dtypes, options = self._problem_of(shape, dtype, saturated)
        return _lengths.plan_for(axes, *shapes, dtypes, options._replace(algorithm=algorithm), sums)

    def _stage(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _fuse.Stage | None:
        """Return how the bank computes strips of its maps of an image of this shape; None if it cannot."""
        if self._has_views or dtype.kind != "f":
            return None
        plan = self._plan_for(shape, dtype, None)
        return _fuse.stage(plan, self._pack(plan, self._weight), dtype, self._bias, self._slopes)

    def _problem_of(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], saturated: np.dtype[Any] | None
    ) -> tuple[int, Shapes, Dtypes, _check.Options]:
        """Return what plans for images of this shape are made of: axes, shapes, dtypes and options."""
        bias_shape = None if self._bias is None else self._bias.shape
        dtypes = (dtype, *(array.dtype for array in (self._weight, self._bias) if array is not None))
        _check.check_arrays(self._axes, shape, self._weight.shape, dtypes)
        checked = self._checked if saturated is None else self._checked._replace(saturate=saturated)
        return self._axes, (shape, self._weight.shape, bias_shape), dtypes, checked


def bank_of(
    axes: int, weight: ArrayLike, bias: ArrayLike | None, image_dtype: np.dtype[Any], options: dict[str, Any]
) -> tuple[FilterBank, int]:
    """Return a bank, a filter or a kernel, as functions take them, as a bank, and how many of its axes were missing."""
    filters = _check.as_array("weight", weight)
    if filters.ndim not in range(axes, axes + 3):
        raise ValueError(f"weight must have {axes} to {axes + 2} axes; got shape {filters.shape}")
    missing = axes + 2 - filters.ndim
    offset = None if bias is None else _check.as_bias(bias, image_dtype, filters.dtype)
    if offset is not None and missing and offset.ndim == 0:
        offset = offset.reshape(1)
    return FilterBank(filters.reshape((1,) * missing + filters.shape), offset, **options), missing


class Sequential:
    """Banks in a row: the feature maps of one are the image of the next.

    Parameters
    ----------
    *banks : FilterBank, TransposedFilterBank or Sequential
        One or more; each must expect as many channels as the one before it returns.

    Raises
    ------
    TypeError
        If something is not a bank.
    ValueError
        If there is none, or if the channels of neighbours do not match.

    Notes
    -----
    Where maps between neighbouring banks are larger than the cache, strips of all of them are computed in turn, and those
    maps are never in memory as a whole. The result is the same, to the bit.

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

    def __init__(self, *banks: AnyBank) -> None:
        for position, bank in enumerate(banks):
            if not isinstance(bank, (Bank, Sequential)):
                raise TypeError(
                    f"banks must be FilterBank, TransposedFilterBank or Sequential objects; got {type(bank).__name__} at position {position}"
                )
        if not banks:
            raise ValueError("banks must be at least one; got none")
        for position, (bank, following) in enumerate(pairwise(banks)):
            if bank.out_channels != following.in_channels:
                raise ValueError(
                    f"banks must match: bank {position} returns {bank.out_channels} feature maps, "
                    f"but bank {position + 1} expects {following.in_channels} channels"
                )
            if bank.channels_last != following.channels_last:
                raise ValueError(
                    f"banks must agree on channels_last: it is {bank.channels_last} for bank {position}, "
                    f"{following.channels_last} for bank {position + 1}"
                )
            if len(bank.receptive_field) != len(following.receptive_field):
                raise ValueError(
                    f"banks must have the same number of axes: bank {position} has {len(bank.receptive_field)}, "
                    f"bank {position + 1} has {len(following.receptive_field)}"
                )
        self._banks = banks
        rows = (bank._row if isinstance(bank, Sequential) else (bank,) for bank in banks)
        self._row: tuple[AnyBank, ...] = tuple(chain.from_iterable(rows))
        self._one_by_one: tuple[Part, ...] = ((None, self._row),)
        self._parts = Cache(PLAN_CACHE_BYTES)  # by shape and dtype of the image

    def __call__(self, image: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> Array:
        """Return the feature maps of the last bank, in `out` if it is given, as for `conv2d`."""
        maps: Any = image
        if type(maps) is np.ndarray and maps.size >= _fuse.MIN_NUMBERS:
            key = maps.shape, maps.dtype
            parts: tuple[Part, ...] | None = self._parts.get(key)
            if parts is None:
                parts = self._divide(*key)
                self._parts.put(key, parts, sum(fused.nbytes for fused, _ in parts if fused is not None))
        else:
            parts = self._one_by_one
        for part in parts:
            fused, banks = part
            target = out if part is parts[-1] else None
            if fused is not None and fused.accepts(maps, target):
                maps = fused.run(maps, target, config.num_threads(threads))
                continue
            for bank in banks[:-1]:
                maps = bank(maps, threads=threads)
            maps = banks[-1](maps, out=target, threads=threads)
        return maps if _check.is_masked(maps) or _check.is_lazy(maps) else _check.as_array("image", maps)

    def explain(
        self,
        input: ArrayLike | Sequence[int],
        *,
        dtype: DTypeLike | None = None,
        measure: bool = False,
        threads: int | None = None,
    ) -> StackExplanation:
        """Return which algorithm each bank would run, and which banks compute their maps together, strip by strip.

        Parameters
        ----------
        input, dtype, measure, threads
            As for `FilterBank.explain`; `measure` also times the whole stack.

        Returns
        -------
        StackExplanation
            The named tuple (banks, fused, time), which shows itself as a table for each bank.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> banks = [fc.FilterBank(np.ones((16, 16, 3, 3), np.float32), padding=1) for _ in range(3)]
        >>> why = fc.Sequential(*banks).explain((16, 512, 512))
        >>> why.fused
        ((0, 1, 2),)
        >>> why  # doctest: +ELLIPSIS
        bank 0, strip by strip together with banks 1, 2: 3x3 16->16, 512x512 -> 512x512, float32
            algorithm   cost  products  workspace    error  how
        ...
        """
        from fastconv import explanation

        return explanation.of_stack(self, input, dtype, measure, threads)

    def _divide(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Part, ...]:
        """Return the banks in parts, for images of this shape: neighbours that compute their maps together, and others."""
        stages: list[_fuse.Stage] = []
        for bank in self._row:
            stage = bank._stage(shape, dtype) if type(bank) is FilterBank else None
            if stage is None:
                break
            stages.append(stage)
            shape = stage.problem.output_shape
        parts: list[Part] = []
        position = alone = 0
        while position < len(stages):
            fused = _fuse.fuse(stages[position:])
            if fused is None:
                position += 1
                continue
            if alone < position:
                parts.append((None, self._row[alone:position]))
            alone = position + fused.count
            parts.append((fused, self._row[position:alone]))
            position = alone
        rest = self._row[alone:]
        if position + 1 < len(self._row):  # behind a bank whose maps are known only once it has run
            known = position + 1 - alone
            rest = (*rest[:known], Sequential(*rest[known:]))
        return (*parts, (None, rest)) if rest else tuple(parts)

    def backward(
        self, image: ArrayLike, grad_output: ArrayLike, *, maps: ArrayLike | None = None, threads: int | None = None
    ) -> tuple[Gradients | tuple[Any, ...], ...]:
        """Return the gradients of a loss for every bank, given that by the feature maps of the last one.

        The feature maps between the banks are computed again.

        Parameters
        ----------
        image : array_like, shape (..., C, H, W)
            What the banks were called on.
        grad_output : array_like, shape (..., K, H', W')
            Gradient of the loss by the feature maps of the last bank.
        maps : array_like, shape (..., K, H', W'), optional
            The feature maps of the last bank; see `FilterBank.backward`.
        threads : int, optional
            The most threads to use; the result does not depend on it.

        Returns
        -------
        tuple
            One `Gradients` (input, weight, bias) for each bank, in their order; a tuple of them for a `Sequential`
            among the banks. The gradient by the image is the input of the first one.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> stack = fc.Sequential(fc.FilterBank(np.ones((4, 1, 3, 3))), fc.FilterBank(np.ones((2, 4, 3, 3))))
        >>> [gradients.weight.shape for gradients in stack.backward(np.ones((1, 9, 9)), np.ones((2, 5, 5)))]
        [(4, 1, 3, 3), (2, 4, 3, 3)]
        """
        images: list[ArrayLike] = [image]
        for bank in self._banks[:-1]:
            images.append(bank(images[-1], threads=threads))
        outputs = [*images[1:], maps]
        grad, gradients = grad_output, []
        for bank, seen, known in zip(self._banks[::-1], images[::-1], outputs[::-1], strict=True):
            one = bank.backward(seen, grad, maps=known, threads=threads)
            gradients.append(one)
            grad = _input_gradient(one)
        return tuple(reversed(gradients))

    @property
    def in_channels(self) -> int:
        """Channels that the first bank expects."""
        return self._banks[0].in_channels

    @property
    def out_channels(self) -> int:
        """Feature maps that the last bank returns."""
        return self._banks[-1].out_channels

    @property
    def channels_last(self) -> bool:
        """Whether channels come last, in images and feature maps."""
        return self._banks[0].channels_last

    @property
    def num_parameters(self) -> int:
        """Weights and biases of all banks, counted."""
        return sum(bank.num_parameters for bank in self._banks)

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Pixels of the input that one output depends on, per axis."""
        field = [Fraction(1)] * len(self._banks[0].receptive_field)
        jump = field.copy()
        for bank in self._banks:
            growth = [(length - 1) * step for length, step in zip(bank.receptive_field, jump, strict=True)]
            field = [length + more for length, more in zip(field, growth, strict=True)]
            jump = [one * other for one, other in zip(jump, bank._step, strict=True)]
        return tuple(map(math.ceil, field))

    @property
    def stride(self) -> tuple[int | Fraction, ...]:
        """Pixels of the input from one output to the next, per axis; fractions where banks up-sample."""
        return tuple(int(step) if step.denominator == 1 else step for step in self._step)

    @property
    def _step(self) -> tuple[Fraction, ...]:
        steps = [bank._step for bank in self._banks]
        return tuple(math.prod(along, start=Fraction(1)) for along in zip(*steps, strict=True))

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the last bank's feature maps for an input of this shape."""
        for bank in self._banks:
            shape = bank.output_shape(shape)
        return tuple(shape)

    def __len__(self) -> int:
        return len(self._banks)

    def __iter__(self) -> Iterator[AnyBank]:
        return iter(self._banks)

    def __getitem__(self, position: int | slice) -> AnyBank:
        return Sequential(*self._banks[position]) if isinstance(position, slice) else self._banks[position]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._banks

    def __eq__(self, other: object) -> bool:
        return self._banks == other._banks if isinstance(other, Sequential) else NotImplemented

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self._banks))})"

    def _repr_html_(self) -> str:
        from fastconv import _html

        return _html.stack(self)


def _input_gradient(gradients: Gradients | tuple[Any, ...]) -> Array:
    """Return the gradient by the image, of a bank or of banks in a row."""
    return gradients.input if isinstance(gradients, Gradients) else _input_gradient(gradients[0])
