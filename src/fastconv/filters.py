"""Named kernels, data only: each function returns a new float32 array that any convolution takes as its weight.

x runs right along the columns, y down along the rows, and z along the slices of a volume. Signs are meant for convolution
as CNNs have it, out[y, x] = sum over i, j of image[y + i, x + j] * kernel[i, j]; `flip=True` turns them round.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, reduce
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "NAMED",
    "box",
    "diagonal",
    "emboss",
    "gabor",
    "gabor_bank",
    "gammatone_bank",
    "gaussian",
    "identity",
    "laplacian",
    "laplacian_of_gaussian",
    "mel_bank",
    "prewitt",
    "scharr",
    "sharpen",
    "sobel",
    "steerable_bank",
    "steering",
]

Kernel = NDArray[np.float32]
Float64s = NDArray[np.float64]
Size = int | tuple[int, ...]
Axis = Literal["x", "y", "z"]

# An edge kernel takes differences along one axis and smooths along the other.
DIFFERENCE = (-1, 0, 1)
SOBEL_SMOOTH = (1, 2, 1)
PREWITT_SMOOTH = (1, 1, 1)
SCHARR_SMOOTH = (3, 10, 3)

CONNECTIVITIES = {1: (2,), 2: (4, 8), 3: (6, 18, 26)}  # neighbours that differ by one axis, by two, by three
EMBOSS = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))

SHAPES = {1: "(kw,)", 2: "a pair (kh, kw)", 3: "a triple (kd, kh, kw)"}
PER_AXIS = {1: "one in a tuple", 2: "a pair (down the rows, along them)", 3: "three (along z, y and x)"}
MAX_TAPS = 2**31  # of a kernel whose size follows from sigma


def identity(size: Size = 3) -> Kernel:
    """Return the kernel that leaves an image as it is.

    Parameters
    ----------
    size : int or (int, int), default 3
        Rows and columns, odd so that there is a middle pixel.

    Returns
    -------
    ndarray of float32, shape (kh, kw)
        One in the middle, zero elsewhere.

    Raises
    ------
    ValueError
        If a size is even or less than 1.
    TypeError
        If a size is not an int.

    Notes
    -----
    ``kernel[kh // 2, kw // 2] = 1``: the unit impulse (Gonzalez and Woods, *Digital Image Processing*,
    4th ed., section 3.4).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.identity()
    array([[0., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    kh, kw = _kernel_size(size, 2)
    if kh % 2 == 0 or kw % 2 == 0:
        raise ValueError(f"size must be odd, so that the kernel has a middle pixel; got {size!r}")
    kernel = np.zeros((kh, kw), np.float32)
    kernel[kh // 2, kw // 2] = 1
    return kernel


def box(size: Size, *, ndim: int = 2) -> Kernel:
    """Return the box blur: the mean of the pixels that the kernel covers.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns, each 1 or more; one such int for each of other numbers of axes.
    ndim : {1, 2, 3}, default 2
        Axes of the kernel: for signals, images or volumes.

    Returns
    -------
    ndarray of float32, shape (kh, kw), (kw,) or (kd, kh, kw)
        Equal values that sum to 1.

    Raises
    ------
    ValueError
        If a size is less than 1, or ndim not 1, 2 or 3.
    TypeError
        If a size is not an int.

    Notes
    -----
    ``kernel[i, j] = 1 / (kh * kw)`` (Gonzalez and Woods, *Digital Image Processing*, 4th ed., section 3.5).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.box(2)
    array([[0.25, 0.25],
           [0.25, 0.25]], dtype=float32)
    >>> fc.filters.box(4, ndim=1)
    array([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """
    shape = _kernel_size(size, _axes(ndim))
    return np.full(shape, 1 / math.prod(shape), np.float32)


def gaussian(
    size: Size | None = None,
    sigma: float | tuple[float, ...] | None = None,
    *,
    order: int | tuple[int, ...] = 0,
    truncate: float = 4.0,
    ndim: int = 2,
) -> Kernel:
    """Return the Gaussian blur, a mean that weighs near pixels more than far ones, or a derivative of it.

    Parameters
    ----------
    size : int or (int, int), optional
        Rows and columns, each 1 or more; one such int for each of other numbers of axes. By default they follow sigma:
        ``2 * int(truncate * sigma + 0.5) + 1``, as in SciPy.
    sigma : float or (float, float), optional
        Standard deviation in pixels: along all axes, or down the rows and along them. By default it follows the size,
        for each axis by itself: ``0.15 * size + 0.35``, the rule that OpenCV documents for ``getGaussianKernel``.
    order : int or (int, int), default 0
        0 blurs. 1, 2 and so on are derivatives of the blurred image, along all axes, or down the rows and along them:
        ``(0, 1)`` is the slope along x, positive where intensity rises with x, and ``(1, 1)`` the mixed derivative.
    truncate : float, default 4.0
        How many sigmas from the middle the kernel ends, where no size is given.
    ndim : {1, 2, 3}, default 2
        Axes of the kernel: for signals, images or volumes.

    Returns
    -------
    ndarray of float32, shape (kh, kw), (kw,) or (kd, kh, kw)
        Values that sum to 1 if order is 0.

    Raises
    ------
    ValueError
        If a size is less than 1, if sigma or truncate is not a finite number above 0, if neither size nor sigma is given,
        or if order is less than 0.
    TypeError
        If a size or order is not an int, or if sigma or truncate is not a number.

    Notes
    -----
    ``kernel[y, x] = exp(-(y**2 / sigma_y**2 + x**2 / sigma_x**2) / 2) / total``, with x and y counted from the middle
    of the kernel (Gonzalez and Woods, *Digital Image Processing*, 4th ed., section 3.5). It is separable: the outer
    product of a column and a row. A derivative of order n multiplies one of them by ``He_n(x / sigma) / sigma**n``, with
    the Hermite polynomials ``He_1(u) = u``, ``He_2(u) = u**2 - 1``, ..., ``He_n(u) = u He_{n-1}(u) - (n - 1) He_{n-2}(u)``
    (Abramowitz and Stegun, *Handbook of Mathematical Functions*, 22.7.14). These are the kernels of
    ``scipy.ndimage.gaussian_filter``.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.gaussian(3, sigma=1.0).round(3)
    array([[0.075, 0.124, 0.075],
           [0.124, 0.204, 0.124],
           [0.075, 0.124, 0.075]], dtype=float32)
    >>> fc.filters.gaussian(sigma=2.0).shape
    (17, 17)
    >>> fc.filters.gaussian(5, sigma=1.0, order=1, ndim=1).round(3)
    array([-0.109, -0.244,  0.   ,  0.244,  0.109], dtype=float32)
    """
    axes = _axes(ndim)
    sigmas, orders = _per_axis("sigma", sigma, axes), _per_axis("order", order, axes)
    orders = tuple(_checked_int("order", one, minimum=0) for one in orders)
    truncate = _positive("truncate", truncate)
    shape = _truncated(sigmas, truncate) if size is None else _kernel_size(size, axes)
    return _rounded(_gaussian(shape, sigmas, orders), "sigma", sigma)


def sobel(axis: Axis, *, ndim: int = 2) -> Kernel:
    """Return a Sobel kernel: the change of intensity along one axis, smoothed along the other.

    Parameters
    ----------
    axis : {"x", "y", "z"}
        "x" finds vertical edges, across which intensity changes along x; "y" finds horizontal edges; "z", in volumes,
        those between slices. The response is positive where intensity rises with x (to the right) or y (downwards).
    ndim : {1, 2, 3}, default 2
        Axes of the kernel: for signals, which have x alone, images or volumes.

    Returns
    -------
    ndarray of float32, shape (3, 3), (3,) or (3, 3, 3)
        Values that sum to 0.

    Raises
    ------
    ValueError
        If axis is not among the first ndim of "x", "y" and "z", or ndim not 1, 2 or 3.
    TypeError
        If ndim is not an int.

    Notes
    -----
    For "x" the outer product of the column ``(1, 2, 1)`` and the row ``(-1, 0, 1)``, for "y" its transpose
    (I. Sobel and G. Feldman, 1968, published in Duda and Hart, *Pattern Classification and Scene Analysis*,
    1973, pp. 271-272); in volumes it is smoothed along both other axes. Divide the response by 8 for the gradient in
    intensity per pixel (signals: 2, volumes: 32).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.sobel("x")
    array([[-1.,  0.,  1.],
           [-2.,  0.,  2.],
           [-1.,  0.,  1.]], dtype=float32)
    """
    return _edge(axis, SOBEL_SMOOTH, _axes(ndim))


def prewitt(axis: Axis, *, ndim: int = 2) -> Kernel:
    """Return a Prewitt kernel: the change of intensity along one axis, averaged along the other.

    Parameters
    ----------
    axis : {"x", "y", "z"}
        "x" finds vertical edges, across which intensity changes along x; "y" finds horizontal edges; "z", in volumes,
        those between slices. The response is positive where intensity rises with x (to the right) or y (downwards).
    ndim : {1, 2, 3}, default 2
        Axes of the kernel: for signals, which have x alone, images or volumes.

    Returns
    -------
    ndarray of float32, shape (3, 3), (3,) or (3, 3, 3)
        Values that sum to 0.

    Raises
    ------
    ValueError
        If axis is not among the first ndim of "x", "y" and "z", or ndim not 1, 2 or 3.
    TypeError
        If ndim is not an int.

    Notes
    -----
    For "x" the outer product of the column ``(1, 1, 1)`` and the row ``(-1, 0, 1)``, for "y" its transpose
    (J. M. S. Prewitt, "Object enhancement and extraction", in *Picture Processing and Psychopictorics*, 1970,
    pp. 75-149); in volumes it is averaged along both other axes. Divide the response by 6 for the gradient in
    intensity per pixel (signals: 2, volumes: 18).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.prewitt("y")
    array([[-1., -1., -1.],
           [ 0.,  0.,  0.],
           [ 1.,  1.,  1.]], dtype=float32)
    """
    return _edge(axis, PREWITT_SMOOTH, _axes(ndim))


def scharr(axis: Axis, *, ndim: int = 2) -> Kernel:
    """Return a Scharr kernel: as Sobel's, with a direction of the gradient that is truer at every angle.

    Parameters
    ----------
    axis : {"x", "y", "z"}
        "x" finds vertical edges, across which intensity changes along x; "y" finds horizontal edges; "z", in volumes,
        those between slices. The response is positive where intensity rises with x (to the right) or y (downwards).
    ndim : {1, 2, 3}, default 2
        Axes of the kernel: for signals, which have x alone, images or volumes.

    Returns
    -------
    ndarray of float32, shape (3, 3), (3,) or (3, 3, 3)
        Values that sum to 0.

    Raises
    ------
    ValueError
        If axis is not among the first ndim of "x", "y" and "z", or ndim not 1, 2 or 3.
    TypeError
        If ndim is not an int.

    Notes
    -----
    For "x" the outer product of the column ``(3, 10, 3)`` and the row ``(-1, 0, 1)``, for "y" its transpose
    (H. Scharr, *Optimale Operatoren in der Digitalen Bildverarbeitung*, dissertation, Heidelberg, 2000).
    Divide the response by 32 for the gradient in intensity per pixel (signals: 2, volumes: 512).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.scharr("x")
    array([[ -3.,   0.,   3.],
           [-10.,   0.,  10.],
           [ -3.,   0.,   3.]], dtype=float32)
    """
    return _edge(axis, SCHARR_SMOOTH, _axes(ndim))


def laplacian(connectivity: int | None = None, *, ndim: int = 2) -> Kernel:
    """Return a Laplacian kernel: how far the neighbours of a pixel lie above it.

    Parameters
    ----------
    connectivity : {4, 8}, default 4
        Which neighbours count: the 4 that share a side with the pixel, or the 8 that share a side or a corner. In volumes
        6 that share a face, by default, 18 that share a face or an edge, or all 26; in signals 2.
    ndim : {1, 2, 3}, default 2
        Axes of the kernel: for signals, images or volumes.

    Returns
    -------
    ndarray of float32, shape (3, 3), (3,) or (3, 3, 3)
        Values that sum to 0, negative in the middle: dark spots and lines respond positively.

    Raises
    ------
    ValueError
        If connectivity is not one of these numbers, or ndim not 1, 2 or 3.
    TypeError
        If ndim is not an int.

    Notes
    -----
    The sum of the neighbours less ``connectivity`` times the pixel. With 4 that is the sum of the second
    differences along x and along y; with 8 those along the diagonals are added (Gonzalez and Woods, *Digital
    Image Processing*, 4th ed., section 3.6).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.laplacian()
    array([[ 0.,  1.,  0.],
           [ 1., -4.,  1.],
           [ 0.,  1.,  0.]], dtype=float32)
    >>> fc.filters.laplacian(ndim=1)
    array([ 1., -2.,  1.], dtype=float32)
    """
    known = CONNECTIVITIES[_axes(ndim)]
    count = known[0] if connectivity is None else connectivity
    if count not in known:
        *others, last = map(str, known)
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"connectivity must be {wanted}; got {connectivity!r}")
    distance = sum(
        np.abs(offsets) for offsets in _offsets((3,) * ndim)
    )  # axes in which a pixel differs from the middle
    kernel = np.where(distance <= known.index(count) + 1, np.float32(1), np.float32(0))
    kernel[(1,) * ndim] = -count
    return kernel


def laplacian_of_gaussian(size: Size, sigma: float) -> Kernel:
    """Return the Laplacian of a Gaussian: it finds spots, and by its zero crossings edges, of one scale.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns, each 3 or more. About ``6 * sigma + 1`` or more holds all that matters.
    sigma : float
        Standard deviation of the Gaussian in pixels. Spots of radius ``sqrt(2) * sigma`` respond most.

    Returns
    -------
    ndarray of float32, shape (kh, kw)
        Values that sum to 0, negative in the middle: dark spots respond positively.

    Raises
    ------
    ValueError
        If a size is less than 3, or if sigma is not a finite number above 0.
    TypeError
        If a size is not an int, or if sigma is not a number.

    Notes
    -----
    ``kernel[y, x] = (x**2 + y**2 - 2 * sigma**2) / sigma**4 * gaussian[y, x]``, with x and y counted from the
    middle of the kernel (D. Marr and E. Hildreth, "Theory of edge detection", *Proc. R. Soc. Lond. B* 207, 1980,
    pp. 187-217). The mean of the kernel is then subtracted, so that flat areas give zero however small it is.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.laplacian_of_gaussian(5, sigma=1.0).round(2)
    array([[ 0.02,  0.05,  0.05,  0.05,  0.02],
           [ 0.05,  0.01, -0.09,  0.01,  0.05],
           [ 0.05, -0.09, -0.32, -0.09,  0.05],
           [ 0.05,  0.01, -0.09,  0.01,  0.05],
           [ 0.02,  0.05,  0.05,  0.05,  0.02]], dtype=float32)
    """
    shape = _kernel_size(size, 2, minimum=3)
    sigma = _positive("sigma", sigma)
    y, x = _offsets(shape)
    with np.errstate(over="ignore", invalid="ignore"):
        bell = _gaussian(shape, (sigma, sigma))
        kernel: Float64s = ((x**2 + y**2) / sigma / sigma - 2) / sigma / sigma * bell
        kernel -= kernel.mean()
    return _rounded(kernel, "sigma", sigma)


def sharpen(amount: float = 1.0) -> Kernel:
    """Return the kernel that sharpens an image by adding what sets each pixel apart from its neighbours.

    Parameters
    ----------
    amount : float, default 1.0
        How much is added; 0 leaves the image as it is, and negative amounts blur.

    Returns
    -------
    ndarray of float32, shape (3, 3)
        Values that sum to 1.

    Raises
    ------
    ValueError
        If amount is not finite.
    TypeError
        If amount is not a number.

    Notes
    -----
    ``identity() - amount * laplacian()`` (Gonzalez and Woods, *Digital Image Processing*, 4th ed., section 3.6).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.sharpen()
    array([[ 0., -1.,  0.],
           [-1.,  5., -1.],
           [ 0., -1.,  0.]], dtype=float32)
    """
    return identity() - _number("amount", amount) * laplacian()


def emboss() -> Kernel:
    """Return the emboss kernel: the image looks like a relief that is lit from the upper left.

    Returns
    -------
    ndarray of float32, shape (3, 3)
        Values that sum to 1: flat areas keep their intensity.

    Notes
    -----
    ``identity() + prewitt("x") + prewitt("y")``: the image and its rise towards the lower right (the kernel
    of the embossing example in the GIMP manual, "Convolution Matrix").

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.emboss()
    array([[-2., -1.,  0.],
           [-1.,  1.,  1.],
           [ 0.,  1.,  2.]], dtype=float32)
    """
    return np.array(EMBOSS, np.float32)


def diagonal(size: int = 3, anti: bool = False) -> Kernel:
    """Return a kernel with a diagonal line, which responds to diagonal lines in an image.

    Parameters
    ----------
    size : int, default 3
        Rows and columns, 2 or more.
    anti : bool, default False
        Which lines to find: those that fall from the upper left to the lower right, or with True those that
        rise from the lower left to the upper right.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Values that sum to 0: flat areas give zero however bright they are.

    Raises
    ------
    ValueError
        If size is less than 2.
    TypeError
        If size is not an int.

    Notes
    -----
    ``size - 1`` on the diagonal and -1 elsewhere. With a size of 3 it is the line detector of Gonzalez and Woods,
    *Digital Image Processing*, 4th ed., section 10.2. It stands for the diagonal kernel with which Kevin Fu's
    lecture "Convolutional Neural Networks: The Convolution" (2019), section 2.2, explains feature maps.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.diagonal()
    array([[ 2., -1., -1.],
           [-1.,  2., -1.],
           [-1., -1.,  2.]], dtype=float32)
    """
    size = _checked_int("size", size, minimum=2)
    line = np.eye(size, dtype=np.float32)
    return size * (np.fliplr(line) if anti else line) - 1


def gabor(
    size: Size,
    *,
    wavelength: float,
    theta: float = 0.0,
    sigma: float | None = None,
    gamma: float = 0.5,
    psi: float = 0.0,
    zero_mean: bool = False,
) -> Kernel:
    """Return a Gabor kernel: a wave under a Gaussian bell, which finds stripes of one width and orientation.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns, each 1 or more.
    wavelength : float
        Length of the wave in pixels.
    theta : float, default 0.0
        Direction of the wave in radians, from x towards y: 0 finds vertical stripes, ``pi / 2`` horizontal ones.
    sigma : float, optional
        Standard deviation of the bell along the wave in pixels. By default ``0.56 * wavelength``, with which
        the kernel responds to wavelengths over a range of one octave.
    gamma : float, default 0.5
        Standard deviation along the wave divided by that along the stripes: below 1 the bell follows the stripes.
    psi : float, default 0.0
        Phase of the wave in radians: 0 finds bright stripes and ``pi`` dark ones, ``-pi / 2`` edges where
        intensity rises in the direction of the wave and ``pi / 2`` those where it falls.
    zero_mean : bool, default False
        Whether flat areas are to give no response, however bright they are: so much of the bell is subtracted that the
        kernel sums to 0.

    Returns
    -------
    ndarray of float32, shape (kh, kw)
        Values between -1 and 1, not normalised. Without `zero_mean` only those that find edges sum to 0.

    Raises
    ------
    ValueError
        If a size is less than 1, if wavelength, sigma or gamma is not above 0, or if any number is not finite.
    TypeError
        If a size is not an int, or another argument not a number.

    Notes
    -----
    ``kernel[y, x] = exp(-(u**2 + gamma**2 * v**2) / (2 * sigma**2)) * cos(2 * pi * u / wavelength + psi)`` with
    ``u = x * cos(theta) + y * sin(theta)``, ``v = -x * sin(theta) + y * cos(theta)``, and x and y counted from the
    middle of the kernel (J. G. Daugman, *J. Opt. Soc. Am. A* 2, 1985, pp. 1160-1169; these parameters and the
    defaults of sigma and gamma: N. Petkov and P. Kruizinga, *Biol. Cybern.* 76, 1997, pp. 83-96; the wave less a
    constant, under the same bell: T. S. Lee, *IEEE Trans. PAMI* 18, 1996, pp. 959-971).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.gabor(3, wavelength=4.0, sigma=1.0, gamma=1.0).round(2) + 0.0
    array([[0.  , 0.61, 0.  ],
           [0.  , 1.  , 0.  ],
           [0.  , 0.61, 0.  ]], dtype=float32)
    """
    y, x = _offsets(_kernel_size(size, 2))
    wavelength, gamma = _positive("wavelength", wavelength), _positive("gamma", gamma)
    sigma = 0.56 * wavelength if sigma is None else _positive("sigma", sigma)
    theta, psi = _number("theta", theta), _number("psi", psi)
    along = x * math.cos(theta) + y * math.sin(theta)
    across = y * math.cos(theta) - x * math.sin(theta)
    with np.errstate(over="ignore", invalid="ignore"):  # infinitely many sigmas away the value is 0
        bell = np.exp(-((along / sigma) ** 2 + (gamma * across / sigma) ** 2) / 2)
        wave = np.cos(2 * math.pi * along / wavelength + psi)
    if np.isnan(wave).any():
        raise ValueError(f"wavelength must be large enough to count waves; got {wavelength!r}")
    if zero_mean and bell.any():
        wave -= (bell * wave).sum() / bell.sum()
    return (bell * wave).astype(np.float32)


def gabor_bank(
    orientations: int,
    size: Size,
    *,
    wavelength: float,
    sigma: float | None = None,
    gamma: float = 0.5,
    psi: float = 0.0,
    zero_mean: bool = False,
) -> Kernel:
    """Return a bank of Gabor filters that differ in orientation only.

    Parameters
    ----------
    orientations : int
        Number of filters K, 1 or more. Filter k has ``theta = k * pi / K``; half a turn holds every orientation.
    size : int or (int, int)
        Rows and columns of every kernel, each 1 or more.
    wavelength, sigma, gamma, psi, zero_mean
        As for `gabor`.

    Returns
    -------
    ndarray of float32, shape (K, 1, kh, kw)
        One-channel filters, ready for a filter bank.

    Raises
    ------
    ValueError
        If orientations or a size is less than 1, or if another argument is refused by `gabor`.
    TypeError
        If orientations or a size is not an int, or another argument not a number.

    Notes
    -----
    The formula and its source are those of `gabor`.

    Examples
    --------
    >>> import fastconv as fc
    >>> bank = fc.FilterBank(fc.filters.gabor_bank(8, 15, wavelength=6.0), padding="same")
    >>> bank.output_shape((64, 64))
    (8, 64, 64)
    """
    filters = _checked_int("orientations", orientations, minimum=1)
    angles = math.pi * np.arange(filters) / filters
    make = partial(gabor, size, wavelength=wavelength, sigma=sigma, gamma=gamma, psi=psi, zero_mean=zero_mean)
    return np.stack([make(theta=theta)[np.newaxis] for theta in angles])


def steerable_bank(sigma: float, order: int = 1, *, size: Size | None = None) -> Kernel:
    """Return a bank of derivatives of a Gaussian, whose maps add up to the derivative in any direction.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian in pixels.
    order : int, default 1
        Order of the derivatives, 1 or more: 1 finds edges, 2 lines.
    size : int or (int, int), optional
        Rows and columns of every kernel; as for `gaussian` by default.

    Returns
    -------
    ndarray of float32, shape (order + 1, 1, kh, kw)
        One-channel filters, ready for a filter bank: filter k is the derivative k times along y, and ``order - k`` times
        along x.

    Raises
    ------
    ValueError
        If order or a size is less than 1, or if sigma is not a finite number above 0.
    TypeError
        If order or a size is not an int, or if sigma is not a number.

    Notes
    -----
    The derivative in direction theta is ``(cos(theta) d/dx + sin(theta) d/dy)**order``; by the binomial theorem it is a
    sum of these filters with the weights that `steering` returns. So few convolutions are enough for all directions
    (W. T. Freeman and E. H. Adelson, "The design and use of steerable filters", *IEEE Trans. PAMI* 13, 1991,
    pp. 891-906).

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> bank = fc.FilterBank(fc.filters.steerable_bank(1.5), padding="same", padding_mode="symmetric")
    >>> y, x = np.mgrid[:32, :32]
    >>> maps = bank((x + y).astype(np.float32))  # (2, 32, 32): slopes along x and along y
    >>> weights = fc.filters.steering([np.pi / 4, -np.pi / 4])  # down to the right, and up: (2, 2)
    >>> np.tensordot(weights, maps, 1)[:, 16, 16].round(3) + 0
    array([1.414, 0.   ], dtype=float32)
    """
    count = _checked_int("order", order, minimum=1)
    kernels = [gaussian(size, sigma, order=(k, count - k)) for k in range(count + 1)]
    return np.stack(kernels)[:, np.newaxis]


def steering(theta: ArrayLike, order: int = 1) -> Kernel:
    """Return the weights with which the maps of `steerable_bank` add up to the derivative in a direction.

    Parameters
    ----------
    theta : float or array_like of float
        Directions in radians, from x towards y.
    order : int, default 1
        Order of the derivatives, that of the bank.

    Returns
    -------
    ndarray of float32, shape (..., order + 1)
        Weights of the maps, for each direction. Those of K directions are the weight ``(K, order + 1, 1, 1)`` of a bank
        of 1x1 filters with ``[..., np.newaxis, np.newaxis]``.

    Raises
    ------
    ValueError
        If order is less than 1, or if theta is not finite.
    TypeError
        If order is not an int, or if theta is not made of numbers.

    Notes
    -----
    ``weights[k] = binomial(order, k) * cos(theta)**(order - k) * sin(theta)**k`` (Freeman and Adelson, 1991).

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.filters.steering(np.pi / 4, order=2).round(3)
    array([0.5, 1. , 0.5], dtype=float32)
    """
    count = _checked_int("order", order, minimum=1)
    angles = np.asarray(theta)
    if angles.dtype.kind not in "fiu":
        raise TypeError(f"theta must be a number, or an array of numbers; got {theta!r}")
    angles = angles.astype(np.float64)[..., np.newaxis]
    if not np.isfinite(angles).all():
        raise ValueError(f"theta must be finite; got {theta!r}")
    k = np.arange(count + 1)
    binomials = np.array([math.comb(count, one) for one in range(count + 1)], np.float64)
    weights: Float64s = binomials * np.cos(angles) ** (count - k) * np.sin(angles) ** k
    return weights.astype(np.float32)


def gammatone_bank(
    filters: int, size: int, *, sample_rate: float, low: float = 0.0, high: float | None = None, order: int = 4
) -> Kernel:
    """Return a bank of gammatone filters, which answer to sound as places along the inner ear do.

    Parameters
    ----------
    filters : int
        Number of filters K, 1 or more.
    size : int
        Samples of every kernel, 2 or more. Low frequencies ring long: ``0.06 * sample_rate`` holds what matters from
        100 Hz on, half of it from 400 Hz on.
    sample_rate : float
        Samples per second of the signal, in Hz.
    low, high : float, optional
        Range of the centre frequencies in Hz; high is half of the sample rate by default.
    order : int, default 4
        Order of the filters, 1 or more: how steep their flanks are.

    Returns
    -------
    ndarray of float32, shape (K, 1, size)
        One-channel filters for `conv1d` or a bank with ``padding="causal"``: their impulse responses run backwards,
        since kernels are not flipped. A tone of the centre frequency passes a filter with a gain of 1.

    Raises
    ------
    ValueError
        If filters, size or order is too small, if sample_rate is not above 0, or not ``0 <= low < high <= sample_rate / 2``.
    TypeError
        If filters, size or order is not an int, or another argument not a number.

    Notes
    -----
    The impulse response of a filter with centre f is ``t**(order - 1) * exp(-2 * pi * 1.019 * ERB(f) * t) * cos(2 * pi *
    f * t)`` from t = 0 on (R. D. Patterson et al., "Complex sounds and auditory images", 1992), with the bandwidth
    ``ERB(f) = 24.7 * (0.00437 * f + 1)`` in Hz. Centres divide the range from low to high in K + 1 equal steps of the
    scale ``21.4 * log10(0.00437 * f + 1)`` (B. R. Glasberg and B. C. J. Moore, *Hearing Research* 47, 1990,
    pp. 103-138).

    Examples
    --------
    >>> import fastconv as fc
    >>> bank = fc.FilterBank(fc.filters.gammatone_bank(32, 960, sample_rate=16000.0, low=100.0), padding="causal")
    >>> bank.output_shape((16000,))
    (32, 16000)
    """
    count, taps = _checked_int("filters", filters, minimum=1), _checked_int("size", size, minimum=2)
    power = _checked_int("order", order, minimum=1) - 1
    rate = _positive("sample_rate", sample_rate)
    centres = _steps(low, high, rate, 1 / 0.00437, count + 1)[1:-1]  # (K, 1)
    times = np.arange(taps) / rate
    decays = np.exp(-2 * math.pi * 1.019 * 24.7 * (0.00437 * centres + 1) * times)
    responses = (times * rate) ** power * decays * np.cos(2 * math.pi * centres * times)
    return _of_gain_one(responses, centres, rate)[:, np.newaxis, ::-1].copy()


def mel_bank(filters: int, size: int, *, sample_rate: float, low: float = 0.0, high: float | None = None) -> Kernel:
    """Return a bank of band-pass filters whose bands are of equal width on the mel scale of pitch.

    Parameters
    ----------
    filters : int
        Number of filters K, 1 or more.
    size : int
        Samples of every kernel, 2 or more. The flanks of a band are about ``3.3 * sample_rate / size`` Hz wide.
    sample_rate : float
        Samples per second of the signal, in Hz.
    low, high : float, optional
        Range of the bands in Hz; high is half of the sample rate by default.

    Returns
    -------
    ndarray of float32, shape (K, 1, size)
        One-channel filters for `conv1d` or a bank, symmetric, so that they delay nothing with ``padding="same"`` where
        size is odd. A tone of the centre frequency passes a filter with a gain of 1.

    Raises
    ------
    ValueError
        If filters or size is too small, if sample_rate is not above 0, or not ``0 <= low < high <= sample_rate / 2``.
    TypeError
        If filters or size is not an int, or another argument not a number.

    Notes
    -----
    Centres divide the range from low to high in K + 1 equal steps of ``mel(f) = 2595 * log10(1 + f / 700)``
    (D. O'Shaughnessy, *Speech Communication*, 1987, p. 150); a band reaches half a step to both sides. The impulse response
    of a band from f1 to f2 is ``sin(2 * pi * f2 * t) / (pi * t) - sin(2 * pi * f1 * t) / (pi * t)``, with t in seconds from
    the middle of the kernel, times a Hamming window: the filters with which M. Ravanelli and Y. Bengio, "Speaker
    recognition from raw waveform with SincNet", 2018, begin to learn.

    Examples
    --------
    >>> import fastconv as fc
    >>> bank = fc.FilterBank(fc.filters.mel_bank(40, 401, sample_rate=16000.0), stride=160, padding="same")
    >>> bank.output_shape((16000,))
    (40, 100)
    """
    count, taps = _checked_int("filters", filters, minimum=1), _checked_int("size", size, minimum=2)
    rate = _positive("sample_rate", sample_rate)
    edges = _steps(low, high, rate, 700, 2 * count + 2)  # of bands, and between them their centres
    first, centres, last = edges[1:-2:2], edges[2:-2:2], edges[3:-1:2]  # (K, 1)
    times = _offsets((taps,))[0] / rate
    responses = 2 * last * np.sinc(2 * last * times) - 2 * first * np.sinc(2 * first * times)
    return _of_gain_one(responses * np.hamming(taps), centres, rate)[:, np.newaxis]


# Kernels that the command line knows by name, each made when it is called; of a pair (2, kh, kw) it takes the magnitude
# of both answers.
NAMED: dict[str, Callable[[], Kernel]] = {
    "identity": identity,
    "box": partial(box, 3),
    "gaussian": partial(gaussian, 5),
    "gaussian-x": partial(gaussian, 9, 1.4, order=(0, 1)),
    "gaussian-y": partial(gaussian, 9, 1.4, order=(1, 0)),
    "sobel": lambda: _gradient(sobel),
    "sobel-x": partial(sobel, "x"),
    "sobel-y": partial(sobel, "y"),
    "prewitt": lambda: _gradient(prewitt),
    "prewitt-x": partial(prewitt, "x"),
    "prewitt-y": partial(prewitt, "y"),
    "scharr": lambda: _gradient(scharr),
    "scharr-x": partial(scharr, "x"),
    "scharr-y": partial(scharr, "y"),
    "laplacian": laplacian,
    "log": partial(laplacian_of_gaussian, 9, sigma=1.4),
    "sharpen": sharpen,
    "emboss": emboss,
    "diagonal": diagonal,
    "antidiagonal": partial(diagonal, anti=True),
    "gabor": partial(gabor, 15, wavelength=6.0),
}


def _gradient(edge: Callable[[Axis], Kernel]) -> Kernel:
    """Both kernels of a gradient, along x and along y."""
    return np.stack([edge("x"), edge("y")])


def _edge(axis: Axis, smooth: tuple[int, ...], ndim: int) -> Kernel:
    """Differences along one axis, smoothed along the others."""
    names = ("x", "y", "z")[:ndim]
    if axis not in names:
        raise ValueError(f"axis must be {' or '.join(map(repr, names))}; got {axis!r}")
    along = ndim - 1 - names.index(axis)
    factors = [DIFFERENCE if place == along else smooth for place in range(ndim)]
    kernel: Kernel = reduce(np.multiply.outer, np.array(factors, np.float32))
    return kernel


def _gaussian(shape: tuple[int, ...], sigmas: tuple[float | None, ...], orders: tuple[int, ...] = (0, 0)) -> Float64s:
    """A sampled Gaussian that sums to 1, or a derivative of it, before it is rounded to float32."""
    with np.errstate(all="ignore"):  # what is not finite is refused once it is rounded
        return reduce(np.multiply, map(_bell, _offsets(shape), sigmas, orders))


def _bell(offsets: Float64s, sigma: float | None, order: int) -> Float64s:
    """One axis of a sampled Gaussian, with a sum of 1, or its derivative."""
    sigma = 0.15 * offsets.size + 0.35 if sigma is None else _positive("sigma", sigma)
    squares = offsets**2 - (offsets**2).min()  # the greatest value is exp(0), so that the total cannot vanish
    bell: Float64s = np.exp(-squares / sigma / sigma / 2)  # infinitely many sigmas away it is 0
    bell /= bell.sum()
    before, polynomial = np.zeros_like(bell), np.ones_like(bell)
    for n in range(order):
        before, polynomial = polynomial, (offsets / sigma * polynomial - n * before / sigma) / sigma
    return polynomial * bell


def _truncated(sigmas: tuple[float | None, ...], truncate: float) -> tuple[int, ...]:
    """Rows and columns of a Gaussian that ends so many sigmas from its middle."""
    if None in sigmas:
        raise ValueError("sigma must be given where size is not; got None")
    extents = [truncate * _positive("sigma", sigma) + 0.5 for sigma in sigmas]
    if not math.prod(2 * extent for extent in extents) < MAX_TAPS:
        raise ValueError(f"sigma must be smaller for a kernel without a size; got {sigmas!r}")
    return tuple(2 * int(extent) + 1 for extent in extents)


def _steps(low: object, high: object, rate: float, corner: float, count: int) -> Float64s:
    """Frequencies (count + 1, 1) in Hz that divide a range in equal steps of log(1 + f / corner)."""
    first, last = _number("low", low), rate / 2 if high is None else _number("high", high)
    if first < 0:
        raise ValueError(f"low must be 0 or more; got {low!r}")
    if not first < last <= rate / 2:
        raise ValueError(f"high must be above low and at most half of sample_rate, {rate / 2}; got {low!r} to {last!r}")
    steps = np.linspace(math.log1p(first / corner), math.log1p(last / corner), count + 1)
    return corner * np.expm1(steps)[:, np.newaxis]


def _of_gain_one(responses: Float64s, centres: Float64s, rate: float) -> Kernel:
    """Impulse responses (K, n), each divided by its gain at its centre frequency (K, 1)."""
    waves = np.exp(-2j * math.pi * centres * np.arange(responses.shape[1]) / rate)
    gains = np.abs((responses * waves).sum(axis=1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _rounded(responses / gains, "sample_rate", rate)


def _rounded(kernel: Float64s, name: str, value: object) -> Kernel:
    """A kernel in float32; the argument is to blame if that cannot hold it."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = kernel.astype(np.float32)
    if not np.isfinite(rounded).all():  # as sigma shrinks, the middle grows
        raise ValueError(f"{name} must be large enough for float32 to hold the kernel; got {value!r}")
    return rounded


def _offsets(shape: tuple[int, ...]) -> list[Float64s]:
    """Pixels from the middle of a kernel along each axis, to be broadcast: y as a column (kh, 1), x as a row (1, kw)."""
    places = (np.arange(n, dtype=np.float64) - np.float64((n - 1) / 2) for n in shape)
    return [place.reshape(-1, *(1,) * (len(shape) - 1 - axis)) for axis, place in enumerate(places)]


def _kernel_size(size: object, ndim: int, minimum: int = 1) -> tuple[int, ...]:
    """Rows and columns of a kernel, from one int for both or a pair; likewise for other numbers of axes."""
    if not isinstance(size, (tuple, list)):
        size = (size,) * ndim
    if len(size) != ndim:
        raise ValueError(f"size must be an int or {SHAPES[ndim]}; got {size!r} with ndim={ndim}")
    return tuple(_checked_int("size", n, minimum) for n in size)


def _per_axis(name: str, value: object, ndim: int) -> tuple[Any, ...]:
    """A number for each axis, from one for all or as many."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * ndim
    if len(values) != ndim:
        raise ValueError(f"{name} must be a number or {PER_AXIS[ndim]}; got {value!r} with ndim={ndim}")
    return values


def _axes(ndim: object) -> int:
    axes = _checked_int("ndim", ndim, minimum=1)
    if axes > 3:
        raise ValueError(f"ndim must be 1, 2 or 3; got {ndim!r}")
    return axes


def _checked_int(name: str, value: object, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int of {minimum} or more; got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be an int of {minimum} or more; got {value!r}")
    return int(value)


def _positive(name: str, value: object) -> float:
    number = _number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0; got {value!r}")
    return number


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite; got {value!r}")
    return float(value)
