"""What banks and stacks show of themselves in notebooks: facts, and images of their kernels."""

import io
import re
from base64 import b64decode
from xml.etree import ElementTree

import numpy as np
import pytest

import fastconv as fc
from fastconv import _html


def images(html):
    """The images in a table, as arrays (H, W, 3)."""
    image = pytest.importorskip("PIL.Image")
    files = [b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]*)", html)]
    return [np.asarray(image.open(io.BytesIO(file))) for file in files]


def text(html):
    """The text of a table, whose tags must be well-formed."""
    closed = re.sub(r"(<img [^>]*)>", r"\1/>", html)
    return " ".join("".join(f"{part} " for part in ElementTree.fromstring(closed).itertext()).split())


def test_png_files_hold_the_pixels(rng):
    image = pytest.importorskip("PIL.Image")
    pixels = rng.integers(0, 256, (7, 11, 3), np.uint8)
    file = image.open(io.BytesIO(_html.png(pixels)))
    assert (file.format, file.mode) == ("PNG", "RGB")
    assert np.array_equal(np.asarray(file), pixels)


def test_zero_is_white_negative_blue_positive_red_and_nan_gray():
    negative, zero, positive, nan = _html.colours(np.array([-1.0, 0.0, 1.0, np.nan])).tolist()
    assert negative[2] > negative[0]
    assert zero == [247] * 3
    assert positive[0] > positive[2]
    assert nan == [128] * 3


def test_a_bank_shows_its_facts():
    bank = fc.FilterBank(np.ones((64, 32, 3, 3), np.float32), np.ones(64), dilation=2, activation="relu")
    shown = text(bank._repr_html_())
    assert shown.startswith(repr(bank))
    for fact in ("weight (64, 32, 3, 3), float32", "bias (64,), float64", "parameters 18,496", "receptive field 5 x 5"):
        assert fact in shown
    assert "16 of 64 filters, 8 of 32 channels" in shown


def test_what_a_bank_is_given_is_escaped():
    assert (
        "-&gt; 1, kernel 3x3, padding=&#x27;same&#x27;"
        in fc.FilterBank(np.ones((1, 1, 3, 3)), padding="same")._repr_html_()
    )


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 1, 3, 3), (27, 27)),
        ((2, 3, 3, 3), (27, 83)),
        ((2, 1, 9), (10, 27)),
        ((2, 1, 2, 9, 5), (27, 31)),
        ((1, 1, 1000, 3), (125, 1)),
    ],
)
def test_kernels_of_a_filter_stand_side_by_side(shape, size):
    html = fc.FilterBank(np.ones(shape, np.float32))._repr_html_()
    assert [image.shape for image in images(html)] == [(*size, 3)] * shape[0]


def test_pixels_of_an_image_are_the_weights(rng):
    weight = rng.standard_normal((3, 2, 3, 3))
    for image, filter_ in zip(images(fc.FilterBank(weight)._repr_html_()), weight, strict=True):
        expected = _html.colours(filter_ / np.abs(weight).max())
        assert np.array_equal(image[4::9, 4:27:9], expected[0])
        assert np.array_equal(image[4::9, 32::9], expected[1])
        assert (image[:, 27] == 128).all()


def test_a_transposed_bank_shows_a_filter_for_each_of_its_maps(rng):
    weight = rng.standard_normal((4, 3, 3, 3))
    up = fc.TransposedFilterBank(weight, groups=2)
    filters = _html.by_filter(up)
    assert filters.shape == (6, 2, 3, 3)
    assert np.array_equal(filters[4], weight[2:, 1])
    assert len(images(up._repr_html_())) == 6


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f8", "c8", "bfloat16"])
def test_banks_of_every_dtype(dtype, rng):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    html = fc.FilterBank((9 * rng.random((2, 1, 3, 3))).astype(dtype))._repr_html_()
    assert len(images(html)) == 2
    assert ("magnitudes" in html) == (dtype == "c8")


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e308])
def test_weights_of_any_value(value):
    assert len(images(fc.FilterBank(np.full((1, 1, 3, 3), value))._repr_html_())) == 1


def test_a_stack_has_a_row_for_each_bank():
    first = fc.FilterBank(np.ones((8, 3, 3, 3)), stride=2)
    up = fc.TransposedFilterBank(np.ones((4, 2, 2, 2)), stride=2)
    stack = fc.Sequential(first, fc.Sequential(fc.FilterBank(np.ones((4, 8, 3, 3))), up))
    html = stack._repr_html_()
    shown = text(html)
    assert shown.startswith("Sequential, 3 -> 2 bank parameters receptive field kernels 0 FilterBank(3 -> 8")
    assert "216 3 x 3" in shown
    assert "288 7 x 7" in shown
    assert shown.endswith("all 536 7 x 7")
    assert html.count("<tr") == 5


def test_no_other_package_is_needed():
    html = fc.FilterBank(np.ones((512, 512, 3, 3), np.float32))._repr_html_()
    assert len(html) < 20_000
