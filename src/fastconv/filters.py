"""Named kernels, data only: each function returns a new float32 array that any convolution takes as its weight.

x runs right along the columns and y down along the rows. Signs are meant for convolution as CNNs have it,
out[y, x] = sum over i, j of image[y + i, x + j] * kernel[i, j]; `flip=True` turns them round.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NAMED",
    "box",
    "diagonal",
    "emboss",
    "gabor",
    "gabor_bank",
    "gaussian",
    "identity",
    "laplacian",
    "laplacian_of_gaussian",
    "prewitt",
    "scharr",
    "sharpen",
    "sobel",
]

Kernel = NDArray[np.float32]
Float64s = NDArray[np.float64]
Size = int | tuple[int, int]

# An edge kernel takes differences along one axis and smooths along the other.
DIFFERENCE = (-1, 0, 1)
SOBEL_SMOOTH = (1, 2, 1)
PREWITT_SMOOTH = (1, 1, 1)
SCHARR_SMOOTH = (3, 10, 3)

LAPLACIAN = {
    4: ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    8: ((1, 1, 1), (1, -8, 1), (1, 1, 1)),
}
EMBOSS = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))


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
    kh, kw = _kernel_size(size)
    if kh % 2 == 0 or kw % 2 == 0:
        raise ValueError(f"size must be odd, so that the kernel has a middle pixel; got {size!r}")
    kernel = np.zeros((kh, kw), np.float32)
    kernel[kh // 2, kw // 2] = 1
    return kernel


def box(size: Size) -> Kernel:
    """Return the box blur: the mean of the pixels that the kernel covers.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns, each 1 or more.

    Returns
    -------
    ndarray of float32, shape (kh, kw)
        Equal values that sum to 1.

    Raises
    ------
    ValueError
        If a size is less than 1.
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
    """
    kh, kw = _kernel_size(size)
    return np.full((kh, kw), 1 / (kh * kw), np.float32)


def gaussian(size: Size, sigma: float | tuple[float, float] | None = None) -> Kernel:
    """Return the Gaussian blur: a mean that weighs near pixels more than far ones.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns, each 1 or more. About ``6 * sigma + 1`` holds all of the bell that matters.
    sigma : float or (float, float), optional
        Standard deviation in pixels: along both axes, or down the rows and along them. By default it follows the size,
        for each axis by itself: ``0.15 * size + 0.35``, the rule that OpenCV documents for ``getGaussianKernel``.

    Returns
    -------
    ndarray of float32, shape (kh, kw)
        Values that sum to 1.

    Raises
    ------
    ValueError
        If a size is less than 1, or if sigma is not a finite number above 0.
    TypeError
        If a size is not an int, or if sigma is not a number.

    Notes
    -----
    ``kernel[y, x] = exp(-(y**2 / sigma_y**2 + x**2 / sigma_x**2) / 2) / total``, with x and y counted from the middle
    of the kernel (Gonzalez and Woods, *Digital Image Processing*, 4th ed., section 3.5). It is separable: the outer
    product of a column and a row.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.gaussian(3, sigma=1.0).round(3)
    array([[0.075, 0.124, 0.075],
           [0.124, 0.204, 0.124],
           [0.075, 0.124, 0.075]], dtype=float32)
    """
    return _gaussian(_kernel_size(size), sigma).astype(np.float32)


def sobel(axis: str) -> Kernel:
    """Return a Sobel kernel: the change of intensity along one axis, smoothed along the other.

    Parameters
    ----------
    axis : {"x", "y"}
        "x" finds vertical edges, across which intensity changes along x; "y" finds horizontal edges.
        The response is positive where intensity rises with x (to the right) or with y (downwards).

    Returns
    -------
    ndarray of float32, shape (3, 3)
        Values that sum to 0.

    Raises
    ------
    ValueError
        If axis is neither "x" nor "y".

    Notes
    -----
    For "x" the outer product of the column ``(1, 2, 1)`` and the row ``(-1, 0, 1)``, for "y" its transpose
    (I. Sobel and G. Feldman, 1968, published in Duda and Hart, *Pattern Classification and Scene Analysis*,
    1973, pp. 271-272). Divide the response by 8 for the gradient in intensity per pixel.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.sobel("x")
    array([[-1.,  0.,  1.],
           [-2.,  0.,  2.],
           [-1.,  0.,  1.]], dtype=float32)
    """
    return _edge(axis, SOBEL_SMOOTH)


def prewitt(axis: str) -> Kernel:
    """Return a Prewitt kernel: the change of intensity along one axis, averaged along the other.

    Parameters
    ----------
    axis : {"x", "y"}
        "x" finds vertical edges, across which intensity changes along x; "y" finds horizontal edges.
        The response is positive where intensity rises with x (to the right) or with y (downwards).

    Returns
    -------
    ndarray of float32, shape (3, 3)
        Values that sum to 0.

    Raises
    ------
    ValueError
        If axis is neither "x" nor "y".

    Notes
    -----
    For "x" the outer product of the column ``(1, 1, 1)`` and the row ``(-1, 0, 1)``, for "y" its transpose
    (J. M. S. Prewitt, "Object enhancement and extraction", in *Picture Processing and Psychopictorics*, 1970,
    pp. 75-149). Divide the response by 6 for the gradient in intensity per pixel.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.prewitt("y")
    array([[-1., -1., -1.],
           [ 0.,  0.,  0.],
           [ 1.,  1.,  1.]], dtype=float32)
    """
    return _edge(axis, PREWITT_SMOOTH)


def scharr(axis: str) -> Kernel:
    """Return a Scharr kernel: as Sobel's, with a direction of the gradient that is truer at every angle.

    Parameters
    ----------
    axis : {"x", "y"}
        "x" finds vertical edges, across which intensity changes along x; "y" finds horizontal edges.
        The response is positive where intensity rises with x (to the right) or with y (downwards).

    Returns
    -------
    ndarray of float32, shape (3, 3)
        Values that sum to 0.

    Raises
    ------
    ValueError
        If axis is neither "x" nor "y".

    Notes
    -----
    For "x" the outer product of the column ``(3, 10, 3)`` and the row ``(-1, 0, 1)``, for "y" its transpose
    (H. Scharr, *Optimale Operatoren in der Digitalen Bildverarbeitung*, dissertation, Heidelberg, 2000).
    Divide the response by 32 for the gradient in intensity per pixel.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.scharr("x")
    array([[ -3.,   0.,   3.],
           [-10.,   0.,  10.],
           [ -3.,   0.,   3.]], dtype=float32)
    """
    return _edge(axis, SCHARR_SMOOTH)


def laplacian(connectivity: int = 4) -> Kernel:
    """Return a Laplacian kernel: how far the neighbours of a pixel lie above it.

    Parameters
    ----------
    connectivity : {4, 8}, default 4
        Which neighbours count: the 4 that share a side with the pixel, or the 8 that share a side or a corner.

    Returns
    -------
    ndarray of float32, shape (3, 3)
        Values that sum to 0, negative in the middle: dark spots and lines respond positively.

    Raises
    ------
    ValueError
        If connectivity is neither 4 nor 8.

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
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8; got {connectivity!r}")
    return np.array(LAPLACIAN[connectivity], np.float32)


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
    shape = _kernel_size(size, minimum=3)
    sigma = _positive("sigma", sigma)
    y, x = _offsets(shape)
    with np.errstate(over="ignore", invalid="ignore"):
        kernel: Float64s = ((x**2 + y**2) / sigma / sigma - 2) / sigma / sigma * _gaussian(shape, sigma)
        rounded: Kernel = (kernel - kernel.mean()).astype(np.float32)
    if not np.isfinite(rounded).all():  # as sigma shrinks, the middle grows
        raise ValueError(f"sigma must be large enough for float32 to hold the kernel; got {sigma!r}")
    return rounded


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

    Returns
    -------
    ndarray of float32, shape (kh, kw)
        Values between -1 and 1, not normalised. Only those that find edges sum to 0: with the others a flat area
        gives some response too; subtract the mean of the kernel where that matters.

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
    defaults of sigma and gamma: N. Petkov and P. Kruizinga, *Biol. Cybern.* 76, 1997, pp. 83-96).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.filters.gabor(3, wavelength=4.0, sigma=1.0, gamma=1.0).round(2) + 0.0
    array([[0.  , 0.61, 0.  ],
           [0.  , 1.  , 0.  ],
           [0.  , 0.61, 0.  ]], dtype=float32)
    """
    y, x = _offsets(_kernel_size(size))
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
    return (bell * wave).astype(np.float32)


def gabor_bank(
    orientations: int,
    size: Size,
    *,
    wavelength: float,
    sigma: float | None = None,
    gamma: float = 0.5,
    psi: float = 0.0,
) -> Kernel:
    """Return a bank of Gabor filters that differ in orientation only.

    Parameters
    ----------
    orientations : int
        Number of filters K, 1 or more. Filter k has ``theta = k * pi / K``; half a turn holds every orientation.
    size : int or (int, int)
        Rows and columns of every kernel, each 1 or more.
    wavelength, sigma, gamma, psi : float
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
    options = {"wavelength": wavelength, "gamma": gamma, "psi": psi}
    return np.stack([gabor(size, theta=theta, sigma=sigma, **options)[np.newaxis] for theta in angles])


# Kernels that the command line knows by name, each made when it is called.
NAMED: dict[str, Callable[[], Kernel]] = {
    "identity": identity,
    "box": partial(box, 3),
    "gaussian": partial(gaussian, 5),
    "sobel-x": partial(sobel, "x"),
    "sobel-y": partial(sobel, "y"),
    "prewitt-x": partial(prewitt, "x"),
    "prewitt-y": partial(prewitt, "y"),
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


def _edge(axis: str, smooth: tuple[int, ...]) -> Kernel:
    """Differences along one axis, smoothed along the other."""
    if axis not in ("x", "y"):
        raise ValueError(f"axis must be 'x' or 'y'; got {axis!r}")
    column, row = (smooth, DIFFERENCE) if axis == "x" else (DIFFERENCE, smooth)
    return np.outer(column, row).astype(np.float32)


def _gaussian(shape: tuple[int, int], sigma: float | tuple[float, float] | None) -> Float64s:
    """A sampled Gaussian that sums to 1, before it is rounded to float32."""
    sigmas = tuple(sigma) if isinstance(sigma, (tuple, list)) else (sigma, sigma)
    if len(sigmas) != 2:
        raise ValueError(f"sigma must be a number or a pair (down the rows, along them); got {sigma!r}")
    column, row = (_bell(offsets, along) for offsets, along in zip(_offsets(shape), sigmas, strict=True))
    return column * row


def _bell(offsets: Float64s, sigma: float | None) -> Float64s:
    """One axis of a sampled Gaussian, with a sum of 1."""
    sigma = 0.15 * offsets.size + 0.35 if sigma is None else _positive("sigma", sigma)
    squares = offsets**2 - (offsets**2).min()  # the greatest value is exp(0), so that the total cannot vanish
    with np.errstate(over="ignore"):  # infinitely many sigmas away the value is 0
        bell: Float64s = np.exp(-squares / sigma / sigma / 2)
    bell /= bell.sum()
    return bell


def _offsets(shape: tuple[int, int]) -> tuple[Float64s, Float64s]:
    """Pixels from the middle of a kernel: y as a column (kh, 1), x as a row (1, kw)."""
    y, x = (np.arange(n, dtype=np.float64) - np.float64((n - 1) / 2) for n in shape)
    return y[:, np.newaxis], x[np.newaxis]


def _kernel_size(size: object, minimum: int = 1) -> tuple[int, int]:
    """Rows and columns of a kernel, from one int for both or a pair."""
    if not isinstance(size, (tuple, list)):
        size = (size, size)
    if len(size) != 2:
        raise ValueError(f"size must be an int or a pair (kh, kw); got {size!r}")
    kh, kw = (_checked_int("size", n, minimum) for n in size)
    return kh, kw


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
