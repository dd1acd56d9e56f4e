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
    assert kernel.ndim == 2
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


# Edges


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
        (lambda: filters.sobel("z"), ValueError, "axis must be 'x' or 'y'; got 'z'"),
        (lambda: filters.prewitt(0), ValueError, "axis must be 'x' or 'y'; got 0"),
        (lambda: filters.scharr(None), ValueError, "axis must be 'x' or 'y'; got None"),
        (lambda: filters.laplacian(6), ValueError, "connectivity must be 4 or 8; got 6"),
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
