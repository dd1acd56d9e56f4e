"""The lecture "Convolutional Neural Networks: The Convolution" (Kevin Fu, 2019), in its order: what it shows and says holds here."""

import numpy as np
import pytest

import fastconv as fc

# Figure 2: a 3x3 convolution of a 7x7 image
IMAGE = np.array(
    [
        [0, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
    ]
)
KERNEL = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
FEATURE_MAP = np.array(
    [
        [1, 4, 3, 4, 1],
        [1, 2, 4, 3, 3],
        [1, 2, 3, 4, 1],
        [1, 3, 3, 1, 1],
        [3, 3, 1, 1, 0],
    ]
)


# 2.1 Convolutions


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_figure_2_as_floats(dtype):
    result = fc.conv2d(IMAGE.astype(dtype), KERNEL.astype(dtype))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, FEATURE_MAP)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64])
def test_figure_2_as_integers(dtype):
    result = fc.conv2d(IMAGE.astype(dtype), KERNEL.astype(dtype))
    assert result.dtype == (np.int32 if np.dtype(dtype).itemsize == 1 else np.int64)
    np.testing.assert_array_equal(result, FEATURE_MAP)


def test_figure_2_as_a_filter_bank():
    bank = fc.FilterBank.from_kernels([KERNEL], channels=1)
    np.testing.assert_array_equal(bank(IMAGE), FEATURE_MAP[np.newaxis])


def test_the_kernel_slides_over_the_image_and_multiplies_what_it_covers(rng):
    image, kernel = rng.standard_normal((7, 7)), rng.standard_normal((3, 3))
    result = fc.conv2d(image, kernel)
    for y in range(5):
        for x in range(5):
            assert result[y, x] == pytest.approx((image[y : y + 3, x : x + 3] * kernel).sum(), abs=1e-12)


def test_without_padding_the_output_loses_one_pixel_on_every_side():
    assert fc.conv2d(IMAGE, KERNEL).shape == (5, 5)


@pytest.mark.parametrize("padding", [1, "same"])
def test_zero_padding_keeps_the_dimensions(padding):
    result = fc.conv2d(IMAGE, KERNEL, padding=padding)
    assert result.shape == IMAGE.shape
    np.testing.assert_array_equal(result, fc.conv2d(np.pad(IMAGE, 1), KERNEL))
    np.testing.assert_array_equal(result[1:-1, 1:-1], FEATURE_MAP)


def test_box_blur_is_the_mean_of_a_pixel_and_its_eight_neighbours(rng):
    image = rng.random((8, 9), np.float32)
    blurred = fc.conv2d(image, fc.filters.box(3), padding=1)
    padded = np.pad(image, 1)
    neighbourhoods = [padded[i : i + 8, j : j + 9] for i in range(3) for j in range(3)]
    np.testing.assert_allclose(blurred, np.mean(neighbourhoods, axis=0), rtol=1e-5)


def test_box_blur_of_a_color_image_blurs_each_color(rng):
    image = rng.random((3, 8, 9), np.float32)
    blurred = fc.conv2d(image, fc.filters.box(3), padding=1)
    for color in range(3):
        np.testing.assert_array_equal(blurred[color], fc.conv2d(image[color], fc.filters.box(3), padding=1))


def test_sobel_gives_zero_on_areas_of_one_color():
    image = np.full((6, 6), 0.7, np.float32)
    np.testing.assert_array_equal(fc.conv2d(image, fc.filters.sobel("x")), np.zeros((4, 4)))


def test_sobel_gives_high_values_on_vertical_edges():
    image = np.zeros((6, 8), np.float32)
    image[:, 4:] = 1
    np.testing.assert_array_equal(fc.conv2d(image, fc.filters.sobel("x")), [[0, 0, 4, 4, 0, 0]] * 4)
    np.testing.assert_array_equal(fc.conv2d(image.T, fc.filters.sobel("x")), np.zeros((6, 4)))


# 2.2 Feature maps


def test_the_diagonal_kernel_gives_higher_values_on_diagonals():
    falling, rising = np.eye(7, dtype=np.float32), np.fliplr(np.eye(7, dtype=np.float32))
    upright = np.zeros((7, 7), np.float32)
    upright[:, 3] = 1

    responses = fc.conv2d(falling, fc.filters.diagonal(3))
    on_the_line = np.eye(5, dtype=bool)
    assert responses[on_the_line].min() > responses[~on_the_line].max()
    for other in [rising, upright, np.ones_like(falling)]:
        assert fc.conv2d(other, fc.filters.diagonal(3)).max() < responses[on_the_line].min()


def test_every_kernel_gives_a_feature_map(rng):
    kernels = [fc.filters.sobel("x"), fc.filters.sobel("y"), fc.filters.diagonal(), fc.filters.box(3)]
    image = rng.random((9, 10), np.float32)
    maps = fc.FilterBank.from_kernels(kernels, channels=1)(image)
    assert maps.shape == (4, 7, 8)
    for feature_map, kernel in zip(maps, kernels, strict=True):
        np.testing.assert_allclose(feature_map, fc.conv2d(image, kernel), atol=1e-5)


# 2.3 Multiple channels


def test_a_multi_channel_convolution_is_the_sum_of_its_channels_convolutions(rng):
    image = rng.integers(-9, 10, (3, 9, 10))  # integers, so that the sums are equal and not only close
    filter = rng.integers(-9, 10, (3, 3, 3))
    one_map = fc.conv2d(image, filter)
    assert one_map.shape == (7, 8)
    np.testing.assert_array_equal(one_map, sum(fc.conv2d(image[c], filter[c]) for c in range(3)))


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_n_filters_give_n_feature_maps(rng, n):
    bank = rng.integers(-9, 10, (n, 3, 3, 3))
    image = rng.integers(-9, 10, (3, 9, 10))
    maps = fc.conv2d(image, bank)
    assert maps.shape == (n, 7, 8)
    for k in range(n):
        np.testing.assert_array_equal(maps[k], fc.conv2d(image, bank[k]))


def test_the_channels_of_the_filter_must_match_those_of_the_input(rng):
    with pytest.raises(ValueError, match=r"input.* 3 .*\(8, 4, 3, 3\).* 4"):
        fc.conv2d(rng.random((3, 9, 10)), rng.random((8, 4, 3, 3)))


def test_feature_maps_are_the_input_of_the_next_layer(rng):
    first = fc.FilterBank(rng.standard_normal((8, 3, 3, 3)), padding="same", activation="relu")
    second = fc.FilterBank(rng.standard_normal((5, 8, 3, 3)), rng.standard_normal(5))
    network = fc.Sequential(first, second)
    image = rng.standard_normal((3, 12, 14))

    assert (network.in_channels, network.out_channels) == (3, 5)
    assert network.output_shape(image.shape) == network(image).shape == (5, 10, 12)
    np.testing.assert_array_equal(network(image), second(first(image)))


def test_layers_whose_channels_do_not_match_are_refused_when_stacked(rng):
    first = fc.FilterBank(rng.standard_normal((8, 3, 3, 3)))
    second = fc.FilterBank(rng.standard_normal((5, 4, 3, 3)))
    with pytest.raises(ValueError, match=r"8.*4|4.*8"):
        fc.Sequential(first, second)


# 2.4 Comparing CNNs to vanilla neural nets


def test_a_convolutional_layer_has_few_parameters_and_a_fully_connected_one_ten_billion():
    inputs = 224 * 224 * 3
    hidden = inputs // 2
    fully_connected = inputs * hidden + hidden  # weights and biases
    assert inputs > 150_000
    assert fully_connected > 10_000_000_000

    layer = fc.FilterBank(np.zeros((64, 3, 3, 3), np.float32), np.zeros(64, np.float32), padding="same")
    assert layer.output_shape((3, 224, 224)) == (64, 224, 224)
    assert layer.num_parameters == 64 * 3 * 3 * 3 + 64
    assert fully_connected // layer.num_parameters > 6_000_000


def test_the_number_of_parameters_does_not_depend_on_the_size_of_the_image():
    layer = fc.FilterBank(np.zeros((1, 1, 3, 3), np.float32))
    assert layer.num_parameters == 9  # "a layer with only nine weights"
    assert layer.output_shape((28, 28)) == (1, 26, 26)
    assert layer.output_shape((224, 224)) == (1, 222, 222)
