"""Transposed convolutions with pixels in the lanes: the layout alone, whatever the plan would choose, against a loop over all products."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problem_table import use_isa
from test_transposed_tiles import ACTIVATIONS, ISAS, WITH_FMA, Case

import fastconv as fc
from fastconv import _blocks, _core, _problem
from fastconv.algorithms import transposed_interleaved

all_isas = pytest.mark.parametrize("isa", ISAS)


@pytest.fixture(autouse=True)
def _restore_isa():
    before, _ = _core.current_isa()
    yield
    use_isa(before)


class InterleavedCase(Case):
    def layout(self):
        layout = transposed_interleaved.choose(self.problem, math.inf)
        assert layout is not None
        return layout


@st.composite
def cases(draw, dtype):
    axes = draw(st.integers(1, 2))

    def each(most, least=1):
        return draw(st.tuples(*[st.integers(least, most)] * axes))

    kernel, stride, dilation = each(6), each(9), each(3)
    size = (*each(6)[1:], draw(st.integers(1, 70)))
    cut, extra = each(5, 0), each(3, 0)
    extra = tuple(min(e, max(s, d) - 1) for e, s, d in zip(extra, stride, dilation, strict=True))
    whole = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
    pairs = tuple((min(c, n - 1), min(c // 2, n - 1 - min(c, n - 1))) for c, n in zip(cut, whole, strict=True))
    groups = draw(st.integers(1, 4))
    channels, filters = draw(st.sampled_from([(1, 1), (1, 1), (1, 3), (2, 2), (20, 3), (5, 10)]))
    return InterleavedCase(
        (draw(st.integers(1, 2)), groups * channels, *size),
        (groups * channels, filters, *kernel),
        dtype,
        bias=draw(st.booleans()),
        stride=stride,
        dilation=dilation,
        padding=pairs,
        output_padding=extra,
        groups=groups,
        flip=draw(st.booleans()),
        activation=draw(st.sampled_from(list(ACTIVATIONS))),
        precision=draw(st.sampled_from(["default", "highest"])),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@given(data=st.data(), isa=st.sampled_from(ISAS), threads=st.integers(1, 3))
def test_sums_of_small_integers_are_exact(dtype, data, isa, threads):
    use_isa(isa)
    case = data.draw(cases(dtype))
    np.testing.assert_allclose(case.run(threads=threads), case.expected(), rtol=1e-6)  # exact but for leaky_relu


@all_isas
@pytest.mark.parametrize(
    "case",
    [
        InterleavedCase((1, 9, 5, 40), (9, 3, 2, 1), stride=3),  # phases without taps
        InterleavedCase(
            (1, 6, 6, 40), (6, 1, 3, 3), stride=4, dilation=2, groups=6
        ),  # odd rows and columns read nothing
        InterleavedCase((1, 8, 1, 1), (8, 9, 2, 2), stride=9, output_size=9),  # fewer outputs than the stride
        InterleavedCase((1, 600, 4, 4), (600, 3, 4, 4), stride=2, padding=1),  # several chunks
        InterleavedCase((1, 30, 70, 40), (30, 7, 3, 3), stride=2, padding=1, output_padding=1),  # several strips
        InterleavedCase((1, 16, 5, 5), (16, 2, 3, 3), stride=(2, 1), padding=(0, 3)),  # one phase, crops the input
    ],
    ids=lambda case: f"{case.options.stride}{case.weight.shape}",
)
def test_phases_without_taps_chunks_and_strips(case, isa):
    use_isa(isa)
    np.testing.assert_array_equal(case.run(), case.expected())


@all_isas
@pytest.mark.parametrize("columns", [32, 41])
@pytest.mark.parametrize("filters", [1, 3])
def test_maps_that_bypass_the_cache(filters, columns, isa, monkeypatch):
    use_isa(isa)
    monkeypatch.setattr(_problem, "NONTEMPORAL_BYTES", 1)
    case = InterleavedCase((1, 3, 5, columns), (3, filters, 4, 4), stride=2, padding=1, groups=3, activation="relu")
    out = _core.empty(case.problem.output_shape, np.dtype(np.float32))
    np.testing.assert_array_equal(case.run(out=out), case.expected())


@all_isas
def test_a_nan_reaches_exactly_the_outputs_that_it_is_multiplied_for(isa):
    use_isa(isa)
    for options in ({"stride": 2, "padding": 1}, {"stride": (3, 2), "dilation": 2}, {"stride": 2, "groups": 4}):
        case = InterleavedCase((1, 4, 6, 37), (4, 1, 3, 3), **options)
        case.weight[case.weight == 0] = 1
        for place, value in (((0, 3, 0, 0), np.nan), ((0, 1, 5, 36), np.inf), ((0, 0, 2, 3), -np.inf)):
            case.input[place] = value
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(case.run(), case.expected())


def test_weights_that_are_not_finite_are_refused_where_zeros_lie_beyond_the_input():
    inside = InterleavedCase((1, 4, 3, 3), (4, 2, 2, 2), stride=2)
    beyond = InterleavedCase((1, 4, 3, 3), (4, 2, 3, 3), stride=2)
    for case in (inside, beyond):
        case.weight[1, 1, 0, 1] = np.inf
    assert beyond.layout().pack(beyond.weight) is None
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(inside.run(), inside.expected())


@pytest.mark.parametrize("shape", [(36, 3, 4, 4), (36, 1, 3, 3)], ids=["few filters", "depthwise"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_threads_and_batches_and_instruction_sets_do_not_change_bits(shape, dtype):
    options = {"stride": 2, "padding": 1, "groups": 36 if shape[1] == 1 else 1}
    found = []
    for isa in ISAS:
        use_isa(isa)
        rng = np.random.default_rng(0)
        case = InterleavedCase((3, 36, 20, 45), shape, dtype, **options)
        case.input[...], case.weight[...] = rng.standard_normal(case.input.shape), rng.standard_normal(shape)
        maps = case.run()
        assert np.array_equal(maps, case.run(threads=3))
        single = InterleavedCase((1, 36, 20, 45), shape, dtype, **options)
        single.weight[...], single.bias[...] = case.weight, case.bias
        assert np.array_equal(maps[1:2], single.run(case.input[1:2]))
        found.append(maps)
    assert all(np.array_equal(maps, found[0]) for isa, maps in zip(ISAS, found, strict=True) if isa in WITH_FMA)
    np.testing.assert_allclose(found[-1], found[0], rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-4)


@all_isas
def test_arrays_may_lie_anywhere(isa):
    use_isa(isa)
    case = InterleavedCase((2, 12, 9, 33), (12, 2, 4, 4), stride=2, padding=1)
    expected = case.expected()
    room = np.full(case.input.size + 9, np.nan, np.float32)
    for start in (1, 4):  # 4 and 16 bytes behind a line
        moved = room[start : start + case.input.size].reshape(case.input.shape)
        moved[...] = case.input
        out = np.empty(expected.size + start, np.float32)[start:].reshape(expected.shape)
        np.testing.assert_array_equal(case.run(moved, out), expected)
    apart = np.full((2, 24, 9, 35), np.nan, np.float32)[:, ::2, :, 1:-1]
    apart[...] = case.input
    np.testing.assert_array_equal(case.run(apart), expected)


def test_blocks_share_packed_weights(monkeypatch):
    case = InterleavedCase((2, 6, 20, 90), (6, 2, 5, 3), stride=(3, 2), padding=((2, 1), (1, 0)), output_padding=1)
    expected = case.expected()
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 2**13)
    layout = case.layout()
    layout.whole_images = False
    np.testing.assert_array_equal(case.run(layout=layout), expected)


def test_weights_may_be_of_any_dtype():
    case = InterleavedCase((1, 8, 4, 40), (8, 5, 3, 3), stride=2)
    expected = case.expected()
    for weight in (case.weight.astype(np.int8), case.weight.astype(">f4"), np.asfortranarray(case.weight)):
        case.weight = weight
        np.testing.assert_array_equal(case.run(), expected)


def test_the_plan_takes_pixels_in_the_lanes_for_few_filters_and_depthwise():
    rng = np.random.default_rng(0)
    for weight, groups in (((128, 3, 4, 4), 1), ((96, 1, 4, 4), 96)):
        image = rng.standard_normal((weight[0], 32, 32), dtype=np.float32)
        bank = rng.standard_normal(weight, dtype=np.float32)
        case = InterleavedCase((1, *image.shape), weight, stride=2, padding=1, groups=groups, bias=False)
        case.weight = bank
        maps = fc.conv_transpose2d(image, bank, stride=2, padding=1, groups=groups)
        assert np.array_equal(maps, case.run(image[np.newaxis])[0])
