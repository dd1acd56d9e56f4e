"""Pictures of feature maps and of filter banks: what is in them, and what is refused."""

import copy
import pickle
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.plot import feature_maps, filter_bank

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


def test_no_columns_are_refused():
    with pytest.raises(ValueError, match=r"^columns must be 1 or more; got 0"):
        feature_maps(np.zeros((3, 4, 4)), columns=0)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastconv\[demo\]"'):
        feature_maps(np.zeros((3, 4, 4)))
