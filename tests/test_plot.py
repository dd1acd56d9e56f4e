"""Pictures of feature maps, of filter banks and of receptive fields: what is in them, and what is refused."""

import copy
import pickle
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.plot import feature_maps, filter_bank, receptive_field

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")


def pictures(figure):
    """The arrays that the panels of a figure show."""
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def inside(figure):
    """Whether everything that is drawn lies within the figure."""
    figure.canvas.draw()
    box, page = figure.get_tightbbox(), figure.bbox_inches
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.width and box.y1 <= page.height


# Feature maps


@pytest.mark.parametrize("shape", [(6, 9, 12), (1, 6, 9, 12), (9, 12), (1, 1, 1)])
def test_one_panel_for_each_map(shape, rng):
    maps = rng.random(shape)
    figure = feature_maps(maps)
    planes = maps.reshape(-1, *shape[-2:])
    assert len(figure.axes) == len(planes)
    assert all(np.array_equal(shown, plane) for shown, plane in zip(pictures(figure), planes, strict=True))


def test_titles_over_the_maps(rng):
    assert [axes.get_title() for axes in feature_maps(rng.random((2, 5, 5))).axes] == ["map 0", "map 1"]
    titled = feature_maps(rng.random((2, 5, 5)), titles=["left", "right"])
    assert [axes.get_title() for axes in titled.axes] == ["left", "right"]


@pytest.mark.parametrize("columns", [1, 3, 7, 20])
def test_columns_of_the_grid(columns, rng):
    places = [axes.get_position() for axes in feature_maps(rng.random((7, 5, 5)), columns=columns).axes]
    assert len({round(place.x0, 6) for place in places}) == min(columns, 7)


def test_zero_lies_in_the_middle_of_the_scale_of_signed_maps(rng):
    maps = np.stack([rng.random((9, 9)) - 0.2, rng.random((9, 9)) + 5])
    signed, unsigned = (axes.images[0] for axes in feature_maps(maps).axes)
    assert signed.norm.vmin == -signed.norm.vmax
    assert signed.get_cmap().name == "RdBu_r"
    assert unsigned.norm.vmin >= 5
    assert unsigned.get_cmap().name == "gray"
    assert {axes.images[0].get_cmap().name for axes in feature_maps(maps, cmap="magma").axes} == {"magma"}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_maps_whose_negative_values_are_rounding_errors_are_gray(dtype, rng):
    errors = 4 * np.finfo(np.float64 if dtype == "f8" else np.float32).eps
    maps = np.where(rng.random((2, 40, 40)) < 0.5, 3.0, -3 * errors).astype(dtype)
    maps[1, 0, :9] = -1.0 if dtype == "f2" else -1e6 * errors
    unsigned, signed = (axes.images[0] for axes in feature_maps(maps).axes)
    assert unsigned.get_cmap().name == "gray"
    assert unsigned.norm.vmin == 0
    assert signed.get_cmap().name == "RdBu_r"
    assert signed.norm.vmin == -signed.norm.vmax


def test_negative_integers_are_no_rounding_errors():
    maps = np.full((1, 9, 9), 2**30)
    maps[0, 0, 0] = -1
    assert feature_maps(maps).axes[0].images[0].get_cmap().name == "RdBu_r"


def test_a_blur_of_what_is_not_negative_is_gray(rng):
    image = (rng.random((1, 64, 64)) < 0.01).astype(np.float32)
    blurred = fc.conv2d(image, fc.filters.gaussian(15)[None, None], padding="same", algorithm="fft")
    assert feature_maps(blurred).axes[0].images[0].get_cmap().name == "gray"


def test_a_few_strong_pixels_do_not_hide_the_others(rng):
    maps = rng.random((1, 100, 100))
    maps[0, :3, 0] = 1e6
    assert feature_maps(maps).axes[0].images[0].norm.vmax < 2


@pytest.mark.parametrize("value", [0.0, -3.0, 7.0, np.nan, np.inf])
def test_a_map_of_one_value_is_drawn(value):
    norm = feature_maps(np.full((1, 4, 4), value)).axes[0].images[0].norm
    assert norm.vmin < norm.vmax


def test_sparse_maps_keep_their_pixels():
    maps = np.zeros((1, 50, 50))
    maps[0, 7, 7] = 3.0
    norm = feature_maps(maps).axes[0].images[0].norm
    assert (norm.vmin, norm.vmax) == (0.0, 3.0)


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", ">f4", "f8"])
def test_maps_of_every_real_dtype(dtype, rng):
    maps = rng.integers(0, 2, (2, 6, 6)).astype(dtype)
    assert np.array_equal(pictures(feature_maps(maps)), maps)


def test_maps_of_bfloat16(rng):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    maps = rng.integers(-3, 3, (2, 6, 6)).astype(ml_dtypes.bfloat16)
    assert np.array_equal(pictures(feature_maps(maps)), maps.astype(float))


@pytest.mark.parametrize("shape", [(4, 40, 60), (1, 200, 3), (5, 1, 300), (40, 8, 8)])
def test_nothing_of_the_maps_is_cut_off(shape, rng):
    assert inside(feature_maps(rng.random(shape)))


def test_the_figure_has_the_size_asked_for(rng):
    assert feature_maps(rng.random((3, 5, 5)), figsize=(4, 3)).get_size_inches().tolist() == [4, 3]


# Filter banks


def test_a_panel_shows_the_kernels_of_a_filter_side_by_side(rng):
    weight = rng.standard_normal((4, 3, 5, 7))
    for shown, filter_ in zip(pictures(filter_bank(weight)), weight, strict=True):
        assert np.array_equal(shown, np.hstack(filter_))


def test_many_kernels_of_a_filter_are_drawn_row_by_row(rng):
    weight = rng.standard_normal((1, 7, 3, 3))
    (shown,) = pictures(filter_bank(weight))
    assert shown.shape == (9, 9)
    assert np.array_equal(shown[3:6, :3], weight[0, 3])
    assert shown.mask[6:, 3:].all()


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)])
def test_a_kernel_and_a_filter_are_a_bank_of_one(shape, rng):
    weight = rng.standard_normal(shape)
    (shown,) = pictures(filter_bank(weight))
    assert np.array_equal(shown, np.hstack(weight.reshape(-1, 3, 3)))


def test_all_filters_share_one_scale_about_zero(rng):
    weight = rng.standard_normal((4, 3, 5, 5))
    limits = {(axes.images[0].norm.vmin, axes.images[0].norm.vmax) for axes in filter_bank(weight).axes[:-1]}
    strongest = np.abs(weight).max()
    assert limits == {(-strongest, strongest)}


def test_each_filter_has_its_own_scale_on_request(rng):
    weight = rng.standard_normal((4, 3, 5, 5)) * [[[[1]]], [[[10]]], [[[0]]], [[[1e-6]]]]
    figure = filter_bank(weight, scale="each")
    norms = [axes.images[0].norm for axes in figure.axes[:-1]]
    expected = np.abs(weight).max(axis=(1, 2, 3))
    expected[2] = 1.0  # any scale suits a filter of zeros
    assert [norm.vmax for norm in norms] == expected.tolist()
    assert [norm.vmin for norm in norms] == (-expected).tolist()
    assert [label.get_text() for label in figure.axes[-1].get_yticklabels()] == ["\u2212max", "0", "max"]
    assert inside(figure)


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (1, 1, 9, 9), (20, 1, 1, 7), (2, 64, 3, 3)])
def test_nothing_of_the_filters_is_cut_off(shape, rng):
    assert inside(filter_bank(rng.standard_normal(shape) * 1000))


def test_a_bank_of_zeros_is_drawn():
    norm = filter_bank(np.zeros((1, 1, 3, 3))).axes[0].images[0].norm
    assert (norm.vmin, norm.vmax) == (-1, 1)


def test_a_bank_plots_its_filters(rng):
    bank = fc.FilterBank(rng.standard_normal((2, 3, 5, 5)), groups=2)
    figure = bank.plot(titles=["one", "two"])
    assert [axes.get_title() for axes in figure.axes[:-1]] == ["one", "two"]
    assert np.array_equal(pictures(figure)[1], np.hstack(bank.weight[1]))


# Receptive fields


def outlines(figure):
    """The rectangles (left, top, width, height) that are drawn over a receptive field."""
    lines = [line.get_xydata() for line in figure.axes[0].lines]
    return [(*(xy.min(axis=0) + 0.5).astype(int), *np.ptp(xy, axis=0).astype(int)) for xy in lines]


def test_the_field_of_a_linear_bank_is_the_size_of_its_weights(rng):
    weight = rng.standard_normal((5, 3, 4, 7))
    (shown,) = pictures(receptive_field(fc.FilterBank(weight, np.ones(5), padding="same", padding_mode="reflect")))[:1]
    expected = np.sqrt((weight**2).sum(axis=(0, 1)))
    assert np.allclose(shown, expected / expected.max(), rtol=1e-5)


def test_the_field_of_a_stack_is_that_of_its_kernels_convolved():
    blur = fc.FilterBank(fc.filters.gaussian(5)[None, None], padding=2)
    (shown, *_) = pictures(receptive_field(fc.Sequential(blur, blur)))
    both = fc.FilterBank(fc.conv2d(fc.filters.gaussian(5), fc.filters.gaussian(5), padding=4)[None, None])
    assert np.allclose(shown, both.weight[0, 0] / both.weight.max(), atol=1e-6)


def test_activations_let_gradients_pass_where_they_do():
    """Two opposite edges cancel out, but not behind rectifiers."""
    opposite = fc.FilterBank.from_kernels([fc.filters.sobel("x"), -fc.filters.sobel("x")])
    add = np.ones((1, 2, 1, 1), np.float32)
    assert not pictures(receptive_field(fc.Sequential(opposite, fc.FilterBank(add))))[0].any()
    rectified = opposite.replace(activation="relu")
    shown = pictures(receptive_field(fc.Sequential(rectified, fc.FilterBank(add))))[0]
    assert np.allclose(shown, np.abs(fc.filters.sobel("x")) / np.abs(fc.filters.sobel("x")).max(), atol=1e-6)


def test_every_bank_has_the_outline_of_its_field():
    def bank(size, stride=1, dilation=1):
        return fc.FilterBank(np.ones((1, 1, *size)), stride=stride, dilation=dilation, padding="same")

    figure = receptive_field(fc.Sequential(bank((3, 5), (2, 1)), fc.Sequential(bank((3, 3), 1, 2), bank((1, 2), 3))))
    assert figure.axes[0].get_title() == "one output sees 11 x 10 pixels"
    assert pictures(figure)[0].shape == (11, 10)
    assert outlines(figure) == [(2, 4, 5, 3), (0, 0, 9, 11), (0, 0, 10, 11)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "bank 0: 3 x 5",
        "bank 1: 11 x 9",
        "bank 2: 11 x 10",
    ]


@pytest.mark.parametrize("count", [1, 12])
def test_nothing_of_a_receptive_field_is_cut_off(count, rng):
    for shape in ((2, 2, 3, 3), (2, 2, 9, 1), (2, 2, 5)):
        bank = fc.FilterBank(rng.standard_normal(shape), padding="same")
        assert inside(receptive_field(fc.Sequential(*[bank] * count)))


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 2, "channels_last": True},
        {"activation": ("prelu", np.full(34, 0.5))},
        {"flip": True, "dtype": "c8"},
        {"dtype": "i1", "saturate": True},
        {"dtype": "f2", "activation": "gelu", "padding_value": 3, "padding": 1},
    ],
)
def test_fields_of_banks_of_every_kind(options, rng):
    channels = 4 // options.get("groups", 1)
    weight = (9 * rng.standard_normal((34, channels, 3, 3))).astype(options.pop("dtype", "f4"))
    shown = pictures(receptive_field(fc.FilterBank(weight, **options)))[0]
    assert shown.shape == (3, 3)
    assert shown.max() == 1
    assert shown.min() > 0


def test_what_has_no_field_to_draw_is_refused():
    up, down = fc.TransposedFilterBank(np.ones((1, 1, 3, 3))), fc.FilterBank(np.ones((1, 1, 3, 3)))
    for stack in (up, fc.Sequential(down, up), np.ones((1, 1, 3, 3))):
        with pytest.raises(TypeError, match=r"^stack must be a FilterBank, or a Sequential of them; got a "):
            receptive_field(stack)
    with pytest.raises(ValueError, match=r"^stack must be for signals or images"):
        receptive_field(fc.FilterBank(np.ones((1, 1, 3, 3, 3))))


# Figures


def test_notebooks_get_a_picture_without_pyplot(rng):
    png = feature_maps(rng.random((2, 5, 5)))._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_figures_can_be_saved_copied_and_pickled(rng, tmp_path):
    figure = feature_maps(rng.random((2, 5, 5)))
    figure.savefig(tmp_path / "maps.png")
    for other in (copy.deepcopy(figure), pickle.loads(pickle.dumps(figure))):
        assert other._repr_png_() == figure._repr_png_()


# Refused


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 4), (1, 1, 1, 4, 4), (0, 4, 4), (3, 0, 4), ()])
def test_maps_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"^maps must be .*got shape \(" + ", ".join(map(str, shape))):
        feature_maps(np.zeros(shape))


@pytest.mark.parametrize("shape", [(4,), (1, 1, 1, 4, 4), (0, 1, 3, 3), ()])
def test_weights_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"^weight must be .*got shape \(" + ", ".join(map(str, shape))):
        filter_bank(np.zeros(shape))


@pytest.mark.parametrize("dtype", ["c8", "O", "U3", "M8[s]"])
def test_values_that_are_not_real_numbers_are_refused(dtype):
    with pytest.raises(TypeError, match=r"^maps must hold real numbers; got "):
        feature_maps(np.zeros((3, 4, 4)).astype(dtype))
    with pytest.raises(TypeError, match=r"^weight must hold real numbers; got "):
        filter_bank(np.zeros((3, 4, 4)).astype(dtype))


def test_titles_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"^titles .* 3 maps; got 1"):
        feature_maps(np.zeros((3, 4, 4)), titles=["one"])
    with pytest.raises(ValueError, match=r"^titles .* 2 filters; got 3"):
        filter_bank(np.zeros((2, 1, 3, 3)), titles=["one", "two", "three"])


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match=r"^scale must be 'shared' or 'each'; got 'own'"):
        filter_bank(np.zeros((2, 1, 3, 3)), scale="own")


def test_no_columns_are_refused():
    with pytest.raises(ValueError, match=r"^columns must be 1 or more; got 0"):
        feature_maps(np.zeros((3, 4, 4)), columns=0)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastconv\[demo\]"'):
        feature_maps(np.zeros((3, 4, 4)))
