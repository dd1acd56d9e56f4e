"""conv_transpose1d, conv_transpose2d, conv_transpose3d, TransposedFilterBank: the adjoint of a convolution, for up-sampling.

A call goes on to _plan.py, as those of conv.py do; algorithms/transposed.py says how the stride is dealt with.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import _check, _check_transposed, _gradient, _parts, _plan, _views, _weights, config
from fastconv._bank import Bank, Gradients, Option, conjugate
from fastconv._cache import Cache
from fastconv._problem import Array, Transposed
from fastconv._types import Activation, Algorithm, Padding, PaddingMode, PerAxis, Precision

if TYPE_CHECKING:
    from fastconv.explanation import Explanation

__all__ = ["TransposedFilterBank", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

PLAN_CACHE_BYTES = 2**22
_plans = Cache(PLAN_CACHE_BYTES)  # by shapes, dtypes and options
ACTIVATION = _check_transposed.TransposedOptions._fields.index("activation")


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    activation: Activation = None,
    algorithm: Algorithm = "auto",
    precision: Precision = "default",
    channels_last: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Convolve images with a bank of filters, backwards: every pixel adds its multiple of a kernel to the output.

    It is the adjoint of `conv2d`, the map from a gradient of its output to that of its input, and up-samples images by
    the stride. Positional arguments and their meaning are those of ``torch.nn.functional.conv_transpose2d``.

    Parameters
    ----------
    input : array_like, shape (..., C, H, W)
        Images of C channels, as for `conv2d`; all leading axes are batch. ``(H, W)`` is an image of one channel.
    weight : array_like
        Its rank says what it is. A bank ``(C, K/groups, kh, kw)`` makes K feature maps of C channels; a filter
        ``(C, kh, kw)`` makes one map; a kernel ``(kh, kw)`` spreads each plane for itself.
    bias : array_like, shape (K,), optional
        Added to each feature map. For a filter or a kernel: one number.
    stride : int or (int, int)
        Pixels of the output from one kernel to the next.
    padding : int, (int, int), ((int, int), (int, int)) or str
        Pixels cut off around the output: those that `conv2d` with this padding would have added. ``"valid"``: none.
        ``"same"``: the output is stride times as large as the input, cut as Keras, TensorFlow and ONNX's ``SAME_UPPER``
        do (where an odd number is cut off, one more after); ``"same_lower"`` as ONNX's ``SAME_LOWER``. ``"full"``:
        one pixel less than the kernel's extent on each side.
    output_padding : int or (int, int)
        Pixels added to the output's size, after it: with a stride, several sizes are convolved to the size of the input.
        Less than stride or dilation.
    groups : int
        Channels and filters are split into so many groups, each convolved for itself.
    dilation : int or (int, int)
        Pixels of the output from one tap of the kernel to the next.
    output_size : int or (int, int), optional
        Height and width of the output, instead of `output_padding`.
    flip : bool
        Rotate every kernel by 180 degrees first, for the adjoint of `conv2d` with ``flip=True``.
    activation : str or tuple, optional
        Applied to every output; see `conv2d`.
    algorithm : {"auto", "direct", "winograd", "fft"}
        How to compute it; one that cannot do the problem is refused. ``"fft"`` takes no stride.
    precision : {"default", "highest"}
        As for `conv2d`.
    channels_last : bool
        Whether channels come last, in the input ``(..., H, W, C)`` and in the result ``(..., H', W', K)``.
    out : ndarray, optional
        Where to write the result: any strides, any dtype that ``same_kind`` casting allows.
    threads : int, optional
        The most threads to use; the result does not depend on it.

    Returns
    -------
    ndarray, shape (..., K, H', W')
        ``H' = (H - 1) * stride - before - after + dilation * (kh - 1) + output_padding + 1``, and W' likewise;
        ``(..., H', W')`` for a filter or a kernel. Dtypes are those of `conv2d`.

    Raises
    ------
    ValueError
        If shapes or options do not fit together, or if int64 might not hold a sum of the given integers.
    TypeError
        If a dtype is not supported, an argument is not an array, or an option is of the wrong type.

    Notes
    -----
    With stride s, dilation d, and p pixels cut off before each axis, feature map k is

    .. math:: y_k[i, j] = b_k + \\sum_c \\sum_{u, v} w_{c, k}[u, v] \\; x_c[(i + p - u d) / s, (j + p - v d) / s]

    over the taps for which both quotients are whole and within the image x, as in V. Dumoulin and F. Visin, "A guide
    to convolution arithmetic for deep learning", 2016. Outputs that no tap reaches are ``activation(bias)``. A NaN or
    infinity in the input reaches exactly the outputs that it is multiplied for. Results do not depend on the batch size.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.conv_transpose2d(np.array([[1.0, 2.0]]), np.ones((2, 2)), stride=2)  # every pixel becomes a square
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]])
    >>> maps, bank = np.ones((8, 16, 14, 14), np.float32), np.ones((16, 3, 4, 4), np.float32)
    >>> fc.conv_transpose2d(maps, bank, stride=2, padding=1).shape
    (8, 3, 28, 28)
    """
    sizes = stride, padding, output_padding, groups, dilation, output_size
    options = (*sizes, flip, activation, algorithm, precision, channels_last)
    return _convolve(2, input, weight, bias, options, out, threads)


def conv_transpose1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    activation: Activation = None,
    algorithm: Algorithm = "auto",
    precision: Precision = "default",
    channels_last: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Convolve signals with a bank of filters, backwards: the adjoint of `conv1d`.

    Parameters
    ----------
    input : array_like, shape (..., C, W)
        Signals of C channels; all leading axes are batch. ``(W,)`` is a signal of one channel.
    weight : array_like
        A bank ``(C, K/groups, kw)``, a filter ``(C, kw)`` or a kernel ``(kw,)``.
    bias, stride, padding, output_padding, groups, dilation, output_size, flip, activation, algorithm, precision, channels_last, out, threads
        As for `conv_transpose2d`, with one spatial axis.

    Returns
    -------
    ndarray, shape (..., K, W')
        The feature maps; ``(..., W')`` for a filter or a kernel.

    Raises
    ------
    ValueError, TypeError
        As for `conv_transpose2d`.

    Notes
    -----
    The sum of `conv_transpose2d` over one axis of taps.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.conv_transpose1d([1, 2, 4], [1, 1, 1], stride=2)
    array([1, 1, 3, 2, 6, 4, 4])
    """
    sizes = stride, padding, output_padding, groups, dilation, output_size
    options = (*sizes, flip, activation, algorithm, precision, channels_last)
    return _convolve(1, input, weight, bias, options, out, threads)


def conv_transpose3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    activation: Activation = None,
    algorithm: Algorithm = "auto",
    precision: Precision = "default",
    channels_last: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Convolve volumes with a bank of filters, backwards: the adjoint of `conv3d`.

    Parameters
    ----------
    input : array_like, shape (..., C, D, H, W)
        Volumes of C channels; all leading axes are batch. ``(D, H, W)`` is a volume of one channel.
    weight : array_like
        A bank ``(C, K/groups, kd, kh, kw)``, a filter ``(C, kd, kh, kw)`` or a kernel ``(kd, kh, kw)``.
    bias, stride, padding, output_padding, groups, dilation, output_size, flip, activation, algorithm, precision, channels_last, out, threads
        As for `conv_transpose2d`, with three spatial axes.

    Returns
    -------
    ndarray, shape (..., K, D', H', W')
        The feature maps; ``(..., D', H', W')`` for a filter or a kernel.

    Raises
    ------
    ValueError, TypeError
        As for `conv_transpose2d`.

    Notes
    -----
    The sum of `conv_transpose2d` over three axes of taps.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.conv_transpose3d(np.ones((4, 3, 8, 8)), np.ones((4, 2, 2, 2, 2)), stride=2).shape
    (2, 6, 16, 16)
    """
    sizes = stride, padding, output_padding, groups, dilation, output_size
    options = (*sizes, flip, activation, algorithm, precision, channels_last)
    return _convolve(3, input, weight, bias, options, out, threads)


def _convolve(
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: tuple[Any, ...],
    out: Array | None,
    threads: int | None,
) -> Array:
    """Convolve by a plan that is remembered for these shapes, dtypes and options, in the order of `TransposedOptions`."""
    if type(input) is not np.ndarray and _check.is_lazy(input):
        from fastconv import dask

        named = dict(zip(_check_transposed.TransposedOptions._fields, options, strict=True))
        _check.check_left_out(_check.LAZY, out=out, output_size=named.pop("output_size"))
        lazy: Array = dask.convolve_transposed(axes, input, weight, bias, named, threads)
        return lazy
    image, filters = _check.as_array("input", input), _check.as_array("weight", weight)
    target = out
    if options[-1] is True:
        image = _views.channels_first("input", image, axes)
        if out is not None and filters.ndim != axes + 1:
            target = _views.channels_first("out", _check.array_out(out), axes)
    offset = None if bias is None else _check.as_bias(bias, image.dtype, filters.dtype)
    arrays = (image, filters) if offset is None else (image, filters, offset)
    shapes_and_dtypes = [(array.shape, array.dtype) for array in arrays]
    given = options[ACTIVATION]
    if given is not None and type(given) is not str:  # slopes are no part of what is remembered
        options = (*options[:ACTIVATION], _check.activation_of(given), *options[ACTIVATION + 1 :])
    key: Any = (axes, *shapes_and_dtypes, options, _check.types(options))
    try:
        plan = _plans.get(key)
    except TypeError:  # an option is a list or an array
        options = tuple(map(_check.hashable, options))
        key = (axes, *shapes_and_dtypes, options, _check.types(options))
        plan = _plans.get(key)
    if plan is None:
        dtypes = tuple(array.dtype for array in arrays)
        offset_shape = None if offset is None else offset.shape
        _check.check_arrays(axes, image.shape, filters.shape, dtypes)
        checked = _check_transposed.options(axes, options)
        problem = _check_transposed.problem(axes, image.shape, filters.shape, offset_shape, dtypes, checked)
        with _weights.naming_weight(filters.shape):
            plan = _plan.make(problem, dtypes)
        _plans.put(key, plan, plan.nbytes)
    slopes = _check.slopes_of(given, plan.problem.filters)
    result = _plan.run(plan, image, filters, offset, target, config.num_threads(threads), None, None, slopes)
    if options[-1] is False or filters.ndim == axes + 1:
        return result
    return _views.channels_last(result, axes) if out is None else out


class TransposedFilterBank(Bank):
    """A bank of filters for transposed convolution: it packs its weights once, and is called on images.

    Parameters
    ----------
    weight : array_like, shape (C, K/groups, kh, kw)
        Rank 3 makes a bank for signals, rank 5 one for volumes. The bank keeps a copy.
    bias : array_like, shape (K,), optional
        Added to each feature map.
    stride, padding, output_padding, groups, dilation, flip, activation, algorithm, precision, channels_last
        As for `conv_transpose2d`.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}, or one per axis
        That of the convolution whose adjoint the bank is: what would be cut off is added to the pixels that its padding
        repeats. Other than zeros only without bias and activation. `conv2d` has the names in other libraries.

    Attributes
    ----------
    weight, bias : ndarray
        Read-only views.
    in_channels, out_channels : int
        C and K.
    num_parameters : int
        Weights and biases.
    padding, output_padding, groups, dilation, padding_mode, flip, activation, algorithm, precision, channels_last
        The options; `replace` makes a bank with others.

    Raises
    ------
    ValueError, TypeError
        As for `conv_transpose2d`.

    Notes
    -----
    The formula is that of `conv_transpose2d`. `FilterBank.adjoint` makes one.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> up = fc.TransposedFilterBank(np.ones((16, 8, 4, 4)), stride=2, padding=1, activation="relu")
    >>> up
    TransposedFilterBank(16 -> 8, kernel 4x4, stride=2, padding=1, activation='relu')
    >>> up(np.ones((16, 14, 14))).shape
    (8, 28, 28)
    """

    output_padding = Option("Pixels added to the output's size.")
    IS_TRANSPOSED: ClassVar = True

    DEFAULTS: ClassVar = {**_check_transposed.TransposedOptions()._asdict(), "padding_mode": "zeros"}

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        dilation: PerAxis = 1,
        padding_mode: PaddingMode = "zeros",
        flip: bool = False,
        activation: Activation = None,
        algorithm: Algorithm = "auto",
        precision: Precision = "default",
        channels_last: bool = False,
    ) -> None:
        super().__init__(
            "signals (C, K/groups, kw), images (C, K/groups, kh, kw) or volumes (C, K/groups, kd, kh, kw)", weight, bias
        )
        sizes = stride, padding, output_padding, groups, dilation, None
        options = (*sizes, flip, activation, algorithm, precision, channels_last)
        self._checked = _check_transposed.options(self._axes, options)
        self._padding_mode = _check.padding_mode_names(padding_mode, self._axes)
        if self._padding_mode != "zeros" and (self._bias is not None or activation is not None):
            raise ValueError(f"padding_mode must be 'zeros' with bias or activation; got {padding_mode!r}")
        names = _check_transposed.TransposedOptions._fields
        self._options = dict(zip(names, map(_check.hashable, options), strict=True)) | {
            "padding_mode": _check.hashable(padding_mode)
        }
        del self._options["output_size"]
        if self._weight.shape[0] % self._checked.groups:
            raise ValueError(
                f"groups must divide the {self._weight.shape[0]} channels of weight {self._weight.shape}; got {groups}"
            )
        self._options["activation"] = self._keep_slopes(activation)

    def __call__(
        self,
        image: ArrayLike,
        *,
        output_size: PerAxis | None = None,
        out: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """Return the feature maps ``(..., K, H', W')`` of an image ``(..., C, H, W)``; see `conv_transpose2d`.

        `output_size` chooses their height and width, where the stride allows several, instead of output_padding.
        """
        if type(image) is not np.ndarray and _check.is_lazy(image):
            _check.check_left_out(_check.LAZY, out=out, output_size=output_size)
            from fastconv import dask

            maps: Array = dask.convolve(self, cast(Any, image), threads=threads)
            return maps
        is_stored = out is not None and type(out) is not np.ndarray and _check.is_storage(out)
        if is_stored:
            _check.check_left_out(_check.STORED, output_size=output_size)
        elif type(image) is not np.ndarray and output_size is None and self._padding_mode == "zeros":
            is_stored = self._reads_blocks(image)
        if is_stored:
            from fastconv import storage

            stored: Array = storage.convolve(self, image, out, threads=threads)
            return stored
        array, target = self._first("input", image), out
        if out is not None and self.channels_last:
            target = self._first("out", _check.array_out(out))
        gradient, packed = self._prepare(array.shape, array.dtype, output_size)
        if not gradient.borders:
            count = config.num_threads(threads)
            arrays = array, self._weight, self._bias, target
            result = _plan.run(gradient.plan, *arrays, count, packed[0], None, self._slopes)
        else:
            if target is not None:
                _check.check_out(target, gradient.plan.problem._replace(output_shape=gradient.shape))
            result = _gradient.run_input(gradient, self._weight, array, config.num_threads(threads), packed)
            if target is not None:
                target[...] = result
        given: Array = self._as_given(result, out)
        return given

    def _by_filter(self, numbers: Array) -> Array:
        per_group = numbers.reshape(self._checked.groups, 1, -1, *[1] * self._axes)
        channels = self._weight.shape[0] // self._checked.groups
        return per_group.repeat(channels, axis=1).reshape(self._weight.shape[0], -1, *[1] * self._axes)

    @property
    def in_channels(self) -> int:
        """Channels that the bank expects."""
        return int(self._weight.shape[0])

    @property
    def out_channels(self) -> int:
        """Feature maps that the bank returns."""
        return int(self._weight.shape[1] * self._checked.groups)

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Pixels of the input that one output depends on, per axis, at most."""
        axes = zip(self._weight.shape[2:], self._checked.dilation, self._checked.stride, strict=True)
        return tuple(((taps - 1) * spread) // step + 1 for taps, spread, step in axes)

    @property
    def _step(self) -> tuple[Fraction, ...]:
        return tuple(Fraction(1, step) for step in self._checked.stride)

    def backward(
        self, image: ArrayLike, grad_output: ArrayLike, *, maps: ArrayLike | None = None, threads: int | None = None
    ) -> Gradients:
        """Return the gradients of a loss by image, weight and bias, given that by the feature maps of the image.

        Parameters
        ----------
        image : array_like, shape (..., C, H, W)
            What the bank was called on, without output_size.
        grad_output : array_like, shape (..., K, H', W')
            Gradient of the loss by the feature maps.
        maps, threads
            As for `FilterBank.backward`.

        Returns
        -------
        Gradients
            The named tuple (input, weight, bias); bias is None if the bank has none.

        Raises
        ------
        ValueError, TypeError
            If shapes or dtypes do not fit together.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> up = fc.TransposedFilterBank(np.ones((2, 1, 2, 2)), stride=2)
        >>> up.backward(np.ones((2, 4, 4)), np.ones((1, 8, 8))).weight.shape
        (2, 1, 2, 2)
        """
        array, grad = self._before_activation(image, grad_output, maps, threads)
        array, grad = self._first("image", array), self._first("grad_output", grad)
        key = ("backward", array.shape, array.dtype, grad.dtype)
        plans = self._plans.get(key)
        if plans is None:
            problem, _ = self._problem(array.shape, array.dtype, None)
            forward = _check_transposed.forward(problem, array.shape).bordered(self._padding_mode, ())
            dtypes = (grad.dtype, self._weight.dtype)
            dtype, accumulator = _check.result_types(dtypes, forward.taps)
            input_plan = _plan.make(forward._replace(dtype=dtype, accumulator=accumulator), dtypes)
            weight_plan = _gradient.plan_weight(forward, self._weight.shape, (grad.dtype, array.dtype))
            plans = input_plan, self._pack(input_plan, self._conjugate_weight), weight_plan
            self._plans.put(key, plans, input_plan.nbytes + weight_plan.nbytes)
        input_plan, packed, weight_plan = plans
        count = config.num_threads(threads)
        grad_input = _plan.run(input_plan, grad, self._conjugate_weight, None, None, count, packed)
        return Gradients(
            self._as_given(grad_input, None),
            _gradient.run_weight(weight_plan, grad, conjugate(array), count),
            None if self._bias is None else _gradient.run_bias(grad, self._axes),
        )

    def output_shape(self, shape: Sequence[int], output_size: PerAxis | None = None) -> tuple[int, ...]:
        """Return the shape of the feature maps for an input of this shape.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> fc.TransposedFilterBank(np.ones((8, 3, 2, 2)), stride=2).output_shape((16, 8, 7, 7))
        (16, 3, 14, 14)
        """
        given = _check.shape_of("shape", shape)
        if not self._checked.channels_last or len(given) <= self._axes:
            return self._problem(given, np.dtype(np.float32), output_size)[0].output_shape
        first = _views.shape_first(given, self._axes)
        return _views.shape_last(self._problem(first, np.dtype(np.float32), output_size)[0].output_shape, self._axes)

    def _problem(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], output_size: PerAxis | None
    ) -> tuple[Transposed, tuple[np.dtype[Any], ...]]:
        """Return the problem of an input of this shape, and the dtypes of all arrays."""
        arrays = (self._weight,) if self._bias is None else (self._weight, self._bias)
        bias_shape = None if self._bias is None else self._bias.shape
        dtypes = (dtype, *(array.dtype for array in arrays))
        _check.check_arrays(self._axes, shape, self._weight.shape, dtypes)
        checked = self._checked
        if output_size is not None:
            options = {**checked._asdict(), "output_padding": 0, "output_size": output_size}
            checked = _check_transposed.options(self._axes, tuple(options.values()))
        problem = _check_transposed.problem(self._axes, shape, self._weight.shape, bias_shape, dtypes, checked)
        return problem, dtypes

    def _prepare(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], output_size: PerAxis | None
    ) -> tuple[_gradient.InputGradient, tuple[_plan.Packed, ...]]:
        """Return how to compute the feature maps of images of this shape, and the packed weights."""
        size = _check.hashable(output_size)
        key = (shape, dtype, size, _check.types(size))
        prepared: tuple[_gradient.InputGradient, tuple[_plan.Packed, ...]] | None = self._plans.get(key)
        if prepared is None:
            problem, dtypes = self._problem(shape, dtype, output_size)
            if self._padding_mode == "zeros":
                plan = _gradient.InputGradient(
                    problem.output_shape, problem.images_shape, _plan.make(problem, dtypes), ()
                )
            else:
                forward = _check_transposed.forward(problem, shape).bordered(self._padding_mode, ())
                plan = _gradient.plan_input(forward, problem.output_shape, dtypes)
            prepared = plan, tuple(self._pack(part, self._weight) for part in plan.plans)
            self._plans.put(key, prepared, plan.nbytes)
        return prepared

    def explain(
        self,
        input: ArrayLike | Sequence[int],
        *,
        dtype: DTypeLike | None = None,
        measure: bool = False,
        threads: int | None = None,
    ) -> Explanation:
        """Return which algorithm would run for this input, and why; see `FilterBank.explain`.

        Raises
        ------
        ValueError
            If padding_mode is other than "zeros": parts of the maps then have plans of their own.
        ValueError, TypeError
            As for a call.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> up = fc.TransposedFilterBank(np.ones((16, 8, 4, 4), np.float32), stride=2, padding=1)
        >>> up.explain((16, 14, 14)).problem
        '4x4 16->8, 14x14 -> 28x28, float32'
        """
        from fastconv import explanation

        return explanation.of_bank(self, input, dtype, measure, threads)

    def _plan_by(self, shape: tuple[int, ...], dtype: np.dtype[Any], algorithm: str) -> _plan.Plan:
        self._check_zeros("be explained")
        problem, dtypes = self._problem(shape, dtype, None)
        return _plan.make(problem._replace(algorithm=algorithm), dtypes)

    def _check_zeros(self, purpose: str) -> None:
        if self._padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros' to {purpose}; got {self._padding_mode!r}")

    def _whole(self, shape: tuple[int, ...], dtype: np.dtype[Any], image: Array | None = None) -> _parts.Whole:
        self._check_zeros("compute the maps in parts")
        gradient, packed = self._prepare(shape, dtype, None)
        return _parts.Whole(gradient.plan, packed[0])
