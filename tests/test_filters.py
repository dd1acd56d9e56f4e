"""The named kernels: their sums, symmetries and known values, what they respond to, and which arguments they refuse.

scipy.ndimage is the reference where it defines the same kernel; `correlate` is the convolution of CNNs.
"""

import math

import numpy as np
import pytest
from scipy import ndimage

from fastconv import filters

EDGES = [filters.sobel, filters.prewitt, filters.scharr]
AVERAGING = ["identity", "box", "gaussian", "sharpen", "emboss"]
BLIND_TO_FLAT = [name for name in filters.NAMED if name not in [*AVERAGING, "gabor"]]


def impulse(size):
    image = np.zeros((size, size))
    image[size // 2, size // 2] = 1
    return image


def stripes(size, wavelength, theta):
    """A wave that runs in the direction theta, brightest in the middle of the image."""
    y, x = np.mgrid[:size, :size] - size // 2
    return np.cos(2 * np.pi * (x * np.cos(theta) + y * np.sin(theta)) / wavelength)


# All of them


@pytest.mark.parametrize("name", filters.NAMED)
def test_every_named_kernel_is_a_float32_kernel(name):
    kernel = filters.NAMED[name]()
    assert kernel.dtype == np.float32
    assert kernel.ndim == 2 or kernel.shape == (2, 3, 3)  # both kernels of a gradient
    assert np.isfinite(kernel).all()


@pytest.mark.parametrize("name", filters.NAMED)
def test_every_call_returns_a_new_array(name):
    first = filters.NAMED[name]()
    untouched = first.copy()
    first[:] = np.nan
    np.testing.assert_array_equal(filters.NAMED[name](), untouched)


@pytest.mark.parametrize("name", AVERAGING)
def test_kernels_that_keep_the_intensity_sum_to_one(name):
    assert filters.NAMED[name]().sum(dtype=float) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", BLIND_TO_FLAT)
def test_kernels_that_find_changes_sum_to_zero(name):
    assert filters.NAMED[name]().sum(dtype=float) == pytest.approx(0, abs=1e-6)


def test_all_lists_what_the_module_defines():
    public = {name for name, value in vars(filters).items() if getattr(value, "__module__", "") == filters.__name__}
    assert {name for name in public if not name.startswith("_")} | {"NAMED"} == set(filters.__all__)


@pytest.mark.parametrize("make", [filters.identity, filters.box, filters.gaussian])
def test_a_pair_gives_rows_and_columns(make):
    assert make((3, 5)).shape == (3, 5)
    assert make([5, 1]).shape == (5, 1)
    assert make(np.int64(3)).shape == (3, 3)


# Averages


def test_identity_leaves_an_image_as_it_is(rng):
    image = rng.standard_normal((8, 9))
    for size in [1, 3, (5, 3)]:
        np.testing.assert_array_equal(ndimage.correlate(image, filters.identity(size)), image)


@pytest.mark.parametrize("size", [1, 2, 3, (3, 5), (1, 4)])
def test_box_is_the_mean_of_the_pixels_it_covers(rng, size):
    image = rng.standard_normal((8, 9))
    ours, theirs = ndimage.correlate(image, filters.box(size)), ndimage.uniform_filter(image, size)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.5), (5, 1.0), (9, 1.4), (15, 2.5), (7, 100.0)])
def test_gaussian_agrees_with_scipy(size, sigma):
    theirs = ndimage.gaussian_filter(impulse(2 * size + 1), sigma, radius=size // 2)
    middle = slice(size + 1 - (size + 1) // 2, size + 1 + size // 2)
    np.testing.assert_allclose(filters.gaussian(size, sigma), theirs[middle, middle], atol=1e-7)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_gaussian_is_symmetric_and_greatest_in_the_middle(size):
    kernel = filters.gaussian(size)
    for turned in [kernel.T, np.flip(kernel), np.fliplr(kernel)]:
        np.testing.assert_array_equal(turned, kernel)
    assert kernel[size // 2, size // 2] == kernel.max()


def test_gaussian_is_separable():
    column, row = filters.gaussian((7, 1), 1.3), filters.gaussian((1, 5), 1.3)
    np.testing.assert_allclose(filters.gaussian((7, 5), 1.3), column @ row, rtol=1e-6)


def test_gaussian_sigma_follows_the_size_of_each_axis():
    np.testing.assert_array_equal(filters.gaussian(7), filters.gaussian(7, 0.15 * 7 + 0.35))
    column, row = filters.gaussian((7, 1)), filters.gaussian((1, 3))
    np.testing.assert_allclose(filters.gaussian((7, 3)), column @ row, rtol=1e-6)


def test_gaussian_takes_a_sigma_for_each_axis():
    column, row = filters.gaussian((7, 1), 0.8), filters.gaussian((1, 5), 2.5)
    np.testing.assert_allclose(filters.gaussian((7, 5), (0.8, 2.5)), column @ row, rtol=1e-6)
    np.testing.assert_array_equal(filters.gaussian(7, [1.3, 1.3]), filters.gaussian(7, 1.3))


@pytest.mark.parametrize("sigma", [5e-324, 1e-300, 1e-160, (1e-300, 1e-160), 1e300])
def test_gaussian_of_an_extreme_sigma_warns_of_nothing(sigma):
    flat = sigma == 1e300
    np.testing.assert_allclose(filters.gaussian(5, sigma), filters.box(5) if flat else filters.identity(5), rtol=1e-6)


@pytest.mark.parametrize("tiny", [5e-324, 1e-300, 1e-160, 1e-40])
def test_other_kernels_of_an_extreme_scale_are_finite_or_refused(tiny):
    assert np.isfinite(filters.gabor(5, wavelength=4.0, sigma=tiny)).all()
    assert np.isfinite(filters.gabor(5, wavelength=4.0, gamma=1 / max(tiny, 1e-300))).all()
    with pytest.raises(ValueError, match=r"^sigma must be large enough"):
        filters.laplacian_of_gaussian(5, tiny)
    with pytest.raises(ValueError, match=r"^wavelength must be large enough"):
        filters.gabor(5, wavelength=5e-324)


def test_gaussian_of_a_tiny_sigma_keeps_the_middle_pixels_only():
    np.testing.assert_array_equal(filters.gaussian(3, 0.01), filters.identity(3))
    np.testing.assert_array_equal(filters.gaussian(4, 0.01)[1:3, 1:3], filters.box(2))


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0, 3.3])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_gaussian_without_a_size_is_scipy_s_in_signals(sigma, order):
    kernel = filters.gaussian(sigma=sigma, order=order, ndim=1)
    assert kernel.shape == (2 * int(4 * sigma + 0.5) + 1,)
    theirs = ndimage.gaussian_filter1d(impulse(41)[20], sigma, order=order)
    middle = slice(20 - len(kernel) // 2, 21 + len(kernel) // 2)
    np.testing.assert_allclose(kernel[::-1], theirs[middle], atol=1e-7)  # an impulse shows a kernel turned round


@pytest.mark.parametrize("order", [0, 1, 2, (0, 1), (1, 0), (2, 0), (1, 2)])
@pytest.mark.parametrize("truncate", [2.5, 4.0])
def test_derivatives_of_gaussians_are_scipy_s_in_images(rng, order, truncate):
    image = rng.standard_normal((20, 23))
    kernel = filters.gaussian(sigma=(1.5, 0.8), order=order, truncate=truncate)
    theirs = ndimage.gaussian_filter(image, (1.5, 0.8), order=order, truncate=truncate)
    np.testing.assert_allclose(ndimage.correlate(image, kernel), theirs, atol=1e-6)


@pytest.mark.parametrize("order", [0, 1, (0, 2, 1)])
def test_gaussians_of_volumes_are_scipy_s(rng, order):
    volume = rng.standard_normal((9, 10, 11))
    sigma = (0.7, 1.0, 1.4)
    kernel = filters.gaussian(sigma=sigma, order=order, ndim=3)
    assert kernel.shape == (7, 9, 13)
    np.testing.assert_allclose(
        ndimage.correlate(volume, kernel), ndimage.gaussian_filter(volume, sigma, order=order), atol=1e-6
    )


def test_derivatives_of_gaussians_are_positive_where_the_image_rises():
    y, x = np.mgrid[-20:21, -20:21]
    image = 3.0 * x - 2 * y + x * y + 2 * x**2
    for order, slope in {(0, 1): 3, (1, 0): -2, (1, 1): 1, (0, 2): 4}.items():
        assert (filters.gaussian(41, 2.0, order=order) * image).sum() == pytest.approx(slope, abs=1e-3)


def test_gaussian_of_a_size_ignores_where_it_would_be_truncated():
    np.testing.assert_array_equal(filters.gaussian(5, 2.0, truncate=1), filters.gaussian(5, 2.0))


@pytest.mark.parametrize("order", [1, 2, 5])
def test_derivatives_of_an_extreme_sigma_are_finite_or_refused(order):
    assert np.isfinite(filters.gaussian(4, 1e200, order=order)).all()
    for tiny in (1e-310, 1e-100, 1e-30):
        with pytest.raises(ValueError, match=r"^sigma must be large enough"):
            filters.gaussian(4, tiny, order=order)


def test_box_averages_signals_and_volumes(rng):
    signal, volume = rng.standard_normal(9), rng.standard_normal((5, 6, 7))
    np.testing.assert_allclose(
        ndimage.correlate(signal, filters.box(4, ndim=1)), ndimage.uniform_filter(signal, 4), atol=1e-6
    )
    np.testing.assert_allclose(
        ndimage.correlate(volume, filters.box((3, 1, 2), ndim=3)), ndimage.uniform_filter(volume, (3, 1, 2)), atol=1e-6
    )


# Edges


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(("ours", "theirs"), [(filters.sobel, ndimage.sobel), (filters.prewitt, ndimage.prewitt)])
def test_edge_kernels_of_signals_images_and_volumes_agree_with_scipy(rng, ours, theirs, ndim):
    array = rng.standard_normal((6, 7, 8)[:ndim])
    for number, axis in enumerate(("z", "y", "x")[3 - ndim :]):
        kernel = ours(axis, ndim=ndim)
        assert (kernel.shape, kernel.dtype) == ((3,) * ndim, np.float32)
        np.testing.assert_allclose(ndimage.correlate(array, kernel), theirs(array, number), atol=1e-12)


@pytest.mark.parametrize(
    ("edge", "scales"), [(filters.sobel, (2, 8, 32)), (filters.prewitt, (2, 6, 18)), (filters.scharr, (2, 32, 512))]
)
def test_edge_kernels_give_the_documented_multiple_of_the_slope_for_all_numbers_of_axes(edge, scales):
    for ndim, scale in enumerate(scales, 1):
        assert (edge("x", ndim=ndim) * (5 * np.arange(3))).sum() == 5 * scale


@pytest.mark.parametrize(("axis", "number"), [("x", 1), ("y", 0)])
@pytest.mark.parametrize(("ours", "theirs"), [(filters.sobel, ndimage.sobel), (filters.prewitt, ndimage.prewitt)])
def test_edge_kernels_agree_with_scipy(rng, ours, theirs, axis, number):
    image = rng.standard_normal((8, 9))
    np.testing.assert_allclose(ndimage.correlate(image, ours(axis)), theirs(image, number), atol=1e-12)


@pytest.mark.parametrize(("edge", "scale"), [(filters.sobel, 8), (filters.prewitt, 6), (filters.scharr, 32)])
def test_edge_kernels_give_the_documented_multiple_of_the_slope(edge, scale):
    y, x = np.mgrid[:3, :3]
    assert (edge("x") * (5 * x + 2 * y)).sum() == 5 * scale
    assert (edge("y") * (5 * x + 2 * y)).sum() == 2 * scale


@pytest.mark.parametrize("edge", EDGES)
def test_edge_kernels_respond_across_the_edge_only(edge):
    rising_to_the_right = np.array([[0, 0, 1]] * 3)
    assert (edge("x") * rising_to_the_right).sum() > 0
    assert (edge("x") * np.fliplr(rising_to_the_right)).sum() < 0
    assert (edge("y") * rising_to_the_right).sum() == 0
    assert (edge("y") * rising_to_the_right.T).sum() > 0


@pytest.mark.parametrize("edge", EDGES)
def test_edge_kernels_are_separable(edge):
    assert np.linalg.matrix_rank(edge("x")) == 1
    np.testing.assert_array_equal(edge("y"), edge("x").T)


def test_scharr_has_the_truest_direction_of_the_gradient():
    y, x = np.mgrid[-1:2, -1:2]
    angles = np.linspace(0, np.pi / 4, 10)

    def greatest_error(edge):
        waves = [np.sin(1.2 * (x * np.cos(angle) + y * np.sin(angle))) for angle in angles]
        found = [math.atan2((edge("y") * wave).sum(), (edge("x") * wave).sum()) for wave in waves]
        return np.abs(found - angles).max()

    assert greatest_error(filters.scharr) < greatest_error(filters.sobel) < greatest_error(filters.prewitt)


# Second differences


def test_laplacian_agrees_with_scipy(rng):
    image = rng.standard_normal((8, 9))
    np.testing.assert_allclose(ndimage.correlate(image, filters.laplacian()), ndimage.laplace(image), atol=1e-12)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_laplacian_of_signals_images_and_volumes_agrees_with_scipy(rng, ndim):
    array = rng.standard_normal((6, 7, 8)[:ndim])
    kernel = filters.laplacian(ndim=ndim)
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(ndimage.correlate(array, kernel), ndimage.laplace(array), atol=1e-12)


@pytest.mark.parametrize(("ndim", "connectivity"), [(1, 2), (2, 4), (2, 8), (3, 6), (3, 18), (3, 26)])
def test_laplacian_counts_the_neighbours_that_differ_in_few_axes(ndim, connectivity):
    kernel = filters.laplacian(connectivity, ndim=ndim)
    steps = {2: 1, 4: 1, 8: 2, 6: 1, 18: 2, 26: 3}[connectivity]
    expected = ndimage.generate_binary_structure(ndim, steps).astype(int)
    expected[(1,) * ndim] = -connectivity
    np.testing.assert_array_equal(kernel, expected)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_laplacian_counts_the_neighbours(connectivity):
    kernel = filters.laplacian(connectivity)
    assert kernel[1, 1] == -connectivity
    assert (kernel == 1).sum() == connectivity


def test_laplacian_is_blind_to_slopes():
    y, x = np.mgrid[:3, :3]
    for connectivity in [4, 8]:
        assert (filters.laplacian(connectivity) * (5 * x - 2 * y + 1)).sum() == 0


def test_laplacian_of_gaussian_agrees_with_scipy():
    theirs = ndimage.gaussian_laplace(impulse(41), 2.0, truncate=8)
    np.testing.assert_allclose(filters.laplacian_of_gaussian(33, 2.0), theirs[4:-4, 4:-4], atol=1e-7)


@pytest.mark.parametrize(("size", "sigma"), [(3, 1.0), (3, 5.0), (5, 0.3), ((4, 7), 1.0), (9, 1.4)])
def test_laplacian_of_gaussian_is_blind_to_flat_areas_however_small(size, sigma):
    kernel = filters.laplacian_of_gaussian(size, sigma)
    assert abs(kernel.sum(dtype=float)) < 1e-6 * np.abs(kernel).max()


def test_laplacian_of_gaussian_responds_most_to_spots_of_its_scale():
    y, x = np.mgrid[:41, :41] - 20
    kernel = filters.laplacian_of_gaussian(41, 4.0)
    radii = np.arange(1, 15)
    responses = [(kernel * (np.hypot(x, y) > radius)).sum() for radius in radii]  # a dark spot on bright ground
    assert max(responses) > 0
    assert radii[np.argmax(responses)] == pytest.approx(math.sqrt(2) * 4, abs=1)


# Effects


def test_sharpen_adds_what_sets_a_pixel_apart_from_its_neighbours():
    np.testing.assert_array_equal(filters.sharpen(), [[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
    np.testing.assert_array_equal(filters.sharpen(0.5), [[0, -0.5, 0], [-0.5, 3, -0.5], [0, -0.5, 0]])
    np.testing.assert_array_equal(filters.sharpen(0), filters.identity())


def test_emboss_is_the_image_and_its_rise_towards_the_lower_right():
    rise = filters.prewitt("x") + filters.prewitt("y")
    np.testing.assert_array_equal(filters.emboss(), filters.identity() + rise)


# Diagonals


@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_diagonal_responds_most_to_the_diagonal(size):
    kernel, line = filters.diagonal(size), np.eye(size)
    assert (kernel * line).sum() == size * (size - 1)
    assert (kernel * np.fliplr(line)).sum() <= 0
    for other in [np.ones((size, size)), np.eye(1, size), np.eye(size, 1)]:  # a flat area, a column and a row
        assert (kernel * other).sum() == 0


def test_anti_diagonal_is_the_mirror_image():
    np.testing.assert_array_equal(filters.diagonal(4, anti=True), np.fliplr(filters.diagonal(4)))


# Gabor


def test_gabor_is_a_cosine_under_a_bell():
    kernel = filters.gabor(9, wavelength=4, theta=0.0, sigma=2, gamma=0.5)
    x = np.arange(-4, 5)
    np.testing.assert_allclose(kernel[4], np.exp(-(x**2) / 8) * np.cos(np.pi * x / 2), atol=1e-7)
    np.testing.assert_allclose(kernel[:, 4], np.exp(-(x**2) / 32), atol=1e-7)


def test_gabor_turns_from_x_towards_y():
    options = {"wavelength": 5.0, "psi": 0.7}
    lying = filters.gabor((9, 7), **options)
    np.testing.assert_allclose(filters.gabor((7, 9), theta=math.pi / 2, **options), lying.T, atol=1e-6)
    np.testing.assert_allclose(filters.gabor((9, 7), theta=math.pi, **options), np.flip(lying), atol=1e-6)


def test_gabor_sigma_follows_the_wavelength():
    np.testing.assert_array_equal(filters.gabor(9, wavelength=5), filters.gabor(9, wavelength=5, sigma=0.56 * 5))


def test_gabor_with_a_quarter_phase_finds_edges():
    rising = filters.gabor(9, wavelength=8, psi=-math.pi / 2)
    step = np.arange(9) >= 4
    assert (rising * step).sum() > 0
    assert rising.sum(dtype=float) == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(filters.gabor(9, wavelength=8, psi=math.pi / 2), -rising, atol=1e-6)


@pytest.mark.parametrize("psi", [0.0, 1.0, math.pi / 2, math.pi])
def test_gabor_of_mean_zero_is_blind_to_flat_areas(psi):
    options = {"wavelength": 5.0, "theta": 0.3, "gamma": 0.8, "psi": psi}
    kernel = filters.gabor((9, 11), **options, zero_mean=True)
    assert abs(kernel.sum(dtype=float)) < 1e-6
    bell = filters.gabor((9, 11), **options | {"wavelength": 1e9, "sigma": 2.8, "psi": 0.0})
    difference = filters.gabor((9, 11), **options) - kernel  # is a multiple of the bell
    np.testing.assert_allclose(difference, bell * difference[4, 5], atol=1e-6)
    bank = filters.gabor_bank(3, 7, wavelength=4.0, zero_mean=True)
    np.testing.assert_allclose(bank.sum((2, 3), dtype=float), 0, atol=1e-6)


def test_gabor_bank_holds_one_filter_for_each_orientation():
    bank = filters.gabor_bank(6, (15, 13), wavelength=6.0, gamma=0.8, psi=0.2)
    assert bank.shape == (6, 1, 15, 13)
    assert bank.dtype == np.float32
    for k, filter in enumerate(bank):
        kernel = filters.gabor((15, 13), wavelength=6.0, theta=k * math.pi / 6, gamma=0.8, psi=0.2)
        np.testing.assert_array_equal(filter, kernel[np.newaxis])


def test_gabor_bank_tells_orientations_apart():
    bank = filters.gabor_bank(8, 21, wavelength=6.0)
    for k in range(8):
        responses = (bank[:, 0] * stripes(21, 6.0, k * math.pi / 8)).sum((1, 2))
        assert responses.argmax() == k


# Derivatives in any direction


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("theta", [0.0, 0.4, math.pi / 2, -2.0])
def test_steered_maps_are_the_derivative_in_a_direction(order, theta):
    basis, weights = filters.steerable_bank(2.0, order), filters.steering(theta, order)
    assert basis.shape == (order + 1, 1, 17, 17)
    assert (basis.dtype, weights.dtype, weights.shape) == (np.float32, np.float32, (order + 1,))
    y, x = np.mgrid[-8:9, -8:9]
    along, across = x * math.cos(theta) + y * math.sin(theta), y * math.cos(theta) - x * math.sin(theta)
    u = along / 2
    hermite = {1: u, 2: u**2 - 1, 3: u**3 - 3 * u}[order]
    expected = hermite / 2**order * np.exp(-(along**2 + across**2) / 8) / (2 * math.pi * 4)
    np.testing.assert_allclose(np.tensordot(weights, basis[:, 0], 1), expected, atol=2e-5)


def test_steering_to_the_axes_selects_one_filter():
    np.testing.assert_array_equal(filters.steering(0.0, 3), [1, 0, 0, 0])
    np.testing.assert_allclose(filters.steering(math.pi / 2, 3), [0, 0, 0, 1], atol=1e-7)
    angles = np.linspace(0, 3, 6).reshape(2, 3)
    assert filters.steering(angles, 2).shape == (2, 3, 3)
    np.testing.assert_array_equal(filters.steering(angles, 2)[1, 2], filters.steering(angles[1, 2], 2))


def test_steerable_bank_holds_the_derivatives_along_the_axes():
    basis = filters.steerable_bank(1.3, 2, size=(9, 7))
    for k, order in enumerate([(0, 2), (1, 1), (2, 0)]):
        np.testing.assert_array_equal(basis[k, 0], filters.gaussian((9, 7), 1.3, order=order))


# Sound


def gains(bank, frequencies, rate):
    """What each filter (K, 1, n) makes of tones of some frequencies, (K, len(frequencies))."""
    tones = np.exp(2j * np.pi * np.outer(frequencies, np.arange(bank.shape[-1])) / rate)
    return np.abs(bank[:, 0] @ tones.T)


def erb_rate(f):
    return 21.4 * np.log10(0.00437 * f + 1)


def mel(f):
    return 2595 * np.log10(1 + f / 700)


def test_gammatone_filters_pass_their_centres_with_a_gain_of_one():
    bank = filters.gammatone_bank(12, 2048, sample_rate=16000, low=80, high=6000)
    assert (bank.shape, bank.dtype) == ((12, 1, 2048), np.float32)
    rates = np.linspace(erb_rate(80), erb_rate(6000), 14)[1:-1]
    centres = (10 ** (rates / 21.4) - 1) / 0.00437
    found = gains(bank, centres, 16000)
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-5)
    assert (found.argmax(axis=0) == np.arange(12)).all()
    half = centres + 1.019 * 24.7 * (0.00437 * centres + 1)  # one bandwidth away: (1 + 1)**(-order / 2)
    np.testing.assert_allclose(np.diag(gains(bank, half, 16000)), 2**-2, rtol=0.05)


def test_gammatone_kernels_are_impulse_responses_that_run_backwards():
    (kernel,) = filters.gammatone_bank(1, 500, sample_rate=8000, low=0, high=4000, order=3)[:, 0]
    centre = (10 ** (erb_rate(4000) / 2 / 21.4) - 1) / 0.00437
    t = np.arange(500) / 8000
    expected = t**2 * np.exp(-2 * np.pi * 1.019 * 24.7 * (0.00437 * centre + 1) * t) * np.cos(2 * np.pi * centre * t)
    np.testing.assert_allclose(kernel[::-1] / kernel.max(), expected / expected.max(), atol=1e-6)


def test_mel_filters_pass_bands_of_equal_width_on_the_mel_scale():
    bank = filters.mel_bank(10, 1601, sample_rate=16000)
    assert (bank.shape, bank.dtype) == ((10, 1, 1601), np.float32)
    steps = 700 * (10 ** (np.linspace(0, mel(8000), 23) / 2595) - 1)
    centres, lower, upper = steps[2:-1:2], steps[1:-2:2], steps[3::2]
    found = gains(bank, centres, 16000)
    np.testing.assert_allclose(found, np.eye(10), atol=0.01)
    np.testing.assert_allclose(np.diag(gains(bank, lower, 16000)), 0.5, atol=0.02)
    np.testing.assert_allclose(np.diag(gains(bank, upper, 16000)), 0.5, atol=0.02)
    np.testing.assert_array_equal(bank, bank[..., ::-1])


# What is refused


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: filters.box(0), ValueError, "size must be an int of 1 or more; got 0"),
        (lambda: filters.box((3, -1)), ValueError, "size must be an int of 1 or more; got -1"),
        (lambda: filters.box((3, 3, 3)), ValueError, r"size must be an int or a pair \(kh, kw\); got \(3, 3, 3\)"),
        (lambda: filters.box(3.0), TypeError, "size must be an int of 1 or more; got 3.0"),
        (lambda: filters.box("3"), TypeError, "size must be an int"),
        (lambda: filters.box(True), TypeError, "size must be an int"),
        (lambda: filters.identity(4), ValueError, "size must be odd.*; got 4"),
        (lambda: filters.identity((3, 2)), ValueError, r"size must be odd.*; got \(3, 2\)"),
        (lambda: filters.gaussian(3, 0), ValueError, "sigma must be above 0; got 0"),
        (lambda: filters.gaussian(3, -1.0), ValueError, "sigma must be above 0; got -1.0"),
        (lambda: filters.gaussian(3, math.nan), ValueError, "sigma must be finite; got nan"),
        (lambda: filters.gaussian(3, (1.0, 0)), ValueError, "sigma must be above 0; got 0"),
        (lambda: filters.gaussian(3, (1.0,)), ValueError, "sigma must be a number or a pair"),
        (lambda: filters.gaussian(3, (1.0, "1")), TypeError, "sigma must be a number; got '1'"),
        (lambda: filters.gaussian(3, "1"), TypeError, "sigma must be a number; got '1'"),
        (lambda: filters.box((3, 3, 3)), ValueError, r".*\(kh, kw\); got \(3, 3, 3\) with ndim=2"),
        (lambda: filters.box((3, 3), ndim=3), ValueError, r"size must be an int or a triple \(kd, kh, kw\); got"),
        (lambda: filters.box(3, ndim=4), ValueError, "ndim must be 1, 2 or 3; got 4"),
        (lambda: filters.box(3, ndim=0), ValueError, "ndim must be an int of 1 or more; got 0"),
        (lambda: filters.sobel("x", ndim=2.0), TypeError, "ndim must be an int"),
        (lambda: filters.gaussian(), ValueError, "sigma must be given where size is not; got None"),
        (lambda: filters.gaussian(sigma=1e9), ValueError, r"sigma must be smaller for a kernel without a size; got"),
        (lambda: filters.gaussian(sigma=-1), ValueError, "sigma must be above 0; got -1"),
        (lambda: filters.gaussian(sigma=(1, 2), ndim=3), ValueError, "sigma must be a number or three"),
        (lambda: filters.gaussian(3, 1, order=-1), ValueError, "order must be an int of 0 or more; got -1"),
        (lambda: filters.gaussian(3, 1, order=1.0), TypeError, "order must be an int of 0 or more; got 1.0"),
        (lambda: filters.gaussian(3, 1, order=(1, 0, 0)), ValueError, "order must be a number or a pair"),
        (lambda: filters.gaussian(sigma=1, truncate=0), ValueError, "truncate must be above 0; got 0"),
        (lambda: filters.sobel("y", ndim=1), ValueError, "axis must be 'x'; got 'y'"),
        (lambda: filters.sobel("z"), ValueError, "axis must be 'x' or 'y'; got 'z'"),
        (lambda: filters.prewitt(0), ValueError, "axis must be 'x' or 'y'; got 0"),
        (lambda: filters.scharr(None), ValueError, "axis must be 'x' or 'y'; got None"),
        (lambda: filters.laplacian(6), ValueError, "connectivity must be 4 or 8; got 6"),
        (lambda: filters.laplacian(4, ndim=3), ValueError, "connectivity must be 6, 18 or 26; got 4"),
        (lambda: filters.laplacian(4, ndim=1), ValueError, "connectivity must be 2; got 4"),
        (lambda: filters.steerable_bank(0), ValueError, "sigma must be above 0; got 0"),
        (lambda: filters.steerable_bank(1, 0), ValueError, "order must be an int of 1 or more; got 0"),
        (lambda: filters.steering("up"), TypeError, "theta must be a number, or an array of numbers; got 'up'"),
        (lambda: filters.steering([0, math.nan]), ValueError, "theta must be finite; got"),
        (lambda: filters.mel_bank(0, 9, sample_rate=8e3), ValueError, "filters must be an int of 1 or more; got 0"),
        (lambda: filters.mel_bank(4, 1, sample_rate=8e3), ValueError, "size must be an int of 2 or more; got 1"),
        (lambda: filters.mel_bank(4, 9, sample_rate=0), ValueError, "sample_rate must be above 0; got 0"),
        (lambda: filters.mel_bank(4, 9, sample_rate=8e3, low=-1), ValueError, "low must be 0 or more; got -1"),
        (lambda: filters.mel_bank(4, 9, sample_rate=8e3, high=5e3), ValueError, "high must be above low and at most"),
        (lambda: filters.gammatone_bank(4, 9, sample_rate=8e3, low=4e3), ValueError, "high must be above low"),
        (lambda: filters.gammatone_bank(4, 9, sample_rate=1e-3), ValueError, "sample_rate must be large enough"),
        (lambda: filters.gammatone_bank(4, 9, sample_rate=8e3, order=0), ValueError, "order must be an int of 1"),
        (lambda: filters.laplacian_of_gaussian(2, 1.0), ValueError, "size must be an int of 3 or more; got 2"),
        (lambda: filters.laplacian_of_gaussian(5, None), TypeError, "sigma must be a number; got None"),
        (lambda: filters.sharpen(math.inf), ValueError, "amount must be finite; got inf"),
        (lambda: filters.sharpen(1j), TypeError, "amount must be a number; got 1j"),
        (lambda: filters.diagonal(1), ValueError, "size must be an int of 2 or more; got 1"),
        (lambda: filters.diagonal((3, 3)), TypeError, r"size must be an int of 2 or more; got \(3, 3\)"),
        (lambda: filters.gabor(5, wavelength=0), ValueError, "wavelength must be above 0; got 0"),
        (lambda: filters.gabor(5, wavelength=4, gamma=0), ValueError, "gamma must be above 0; got 0"),
        (lambda: filters.gabor(5, wavelength=4, theta="up"), TypeError, "theta must be a number; got 'up'"),
        (lambda: filters.gabor(5, wavelength=4, psi=math.inf), ValueError, "psi must be finite; got inf"),
        (lambda: filters.gabor_bank(0, 5, wavelength=4), ValueError, "orientations must be an int of 1 or more; got 0"),
        (lambda: filters.gabor_bank(2.0, 5, wavelength=4), TypeError, "orientations must be an int of 1 or more"),
        (lambda: filters.gabor_bank(2, 5, wavelength=-4), ValueError, "wavelength must be above 0; got -4"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make()
