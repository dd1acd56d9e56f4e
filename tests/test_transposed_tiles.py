"""Transposed convolutions by register tiles: the layout alone, whatever the plan would choose, against a loop over all products."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problem_table import use_isa

from fastconv import _blocks, _check_transposed, _core
from fastconv.algorithms import transposed_tiles

ISAS = _core.available_isas()
WITH_FMA = [isa for isa in ISAS if isa != "baseline"]
ACTIVATIONS = {
    None: lambda sums: sums,
    "relu": lambda sums: np.maximum(sums, 0),
    "relu6": lambda sums: np.clip(sums, 0, 6),
    "leaky_relu": lambda sums: np.where(sums < 0, sums.dtype.type(0.01) * sums, sums),
}

all_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
all_isas = pytest.mark.parametrize("isa", ISAS)


@pytest.fixture(autouse=True)
def _restore_isa():
    before, _ = _core.current_isa()
    yield
    use_isa(before)


class Case:
    """One transposed convolution: input (N, C, *size), weight (C, K / groups, *kernel), integers so small that sums are exact."""

    def __init__(self, input: Any, weight: Any, dtype: Any = np.float32, *, bias: bool = True, **options: Any) -> None:
        self.axes, rng = len(input) - 2, np.random.default_rng([*input, *weight])
        self.input = rng.integers(-4, 5, input).astype(dtype)
        self.weight = rng.integers(-4, 5, weight).astype(dtype)
        filters = options.get("groups", 1) * weight[1]
        self.bias = rng.integers(-9, 10, filters).astype(dtype) if bias else None
        given = _check_transposed.TransposedOptions(**{"algorithm": "direct", **options})
        self.options = _check_transposed.options(self.axes, given)
        shapes = (input, weight, None if self.bias is None else self.bias.shape)
        self.problem = _check_transposed.problem(self.axes, *shapes, (np.dtype(dtype),) * 3, self.options)

    def layout(self) -> transposed_tiles.TransposedTiles:
        layout = transposed_tiles.choose(self.problem, math.inf)
        assert layout is not None
        return layout

    def run(self, input: Any = None, out: Any = None, threads: int = 1, layout: Any = None) -> Any:
        layout = self.layout() if layout is None else layout
        packed = layout.pack(self.weight)
        assert packed is not None
        out = np.full(self.problem.output_shape, np.nan, self.problem.dtype) if out is None else out
        _blocks.convolve(layout, self.input if input is None else input, packed, self.bias, out, threads)
        return out

    def expected(self) -> Any:
        """Add every product where it belongs."""
        problem, groups = self.problem, self.problem.groups
        channels, filters = problem.group_size
        image, weight = self.input.reshape(problem.images_shape), self.weight.reshape(problem.weight_shape)
        if problem.flip:
            weight = weight[:, :, ::-1, ::-1, ::-1]
        out = np.zeros(problem.maps_shape, problem.dtype)
        if self.bias is not None:
            out += self.bias.reshape(-1, 1, 1, 1)
        for group, tap in itertools.product(range(groups), np.ndindex(problem.kernel)):
            inputs = slice(group * channels, (group + 1) * channels)
            outputs = slice(group * filters, (group + 1) * filters)
            for pixel in np.ndindex(problem.size):
                places = zip(pixel, problem.stride, tap, problem.dilation, problem.pad, strict=True)
                place = tuple(i * s + t * d - p for i, s, t, d, p in places)
                if all(0 <= o < n for o, n in zip(place, problem.output_size, strict=True)):
                    out[:, outputs, *place] += image[:, inputs, *pixel] @ weight[inputs, :, *tap]
        return ACTIVATIONS[problem.activation](out).reshape(problem.output_shape)


@st.composite
def cases(draw, dtype):
    axes = draw(st.integers(1, 3))

    def each(most, least=1):
        return draw(st.tuples(*[st.integers(least, most)] * axes))

    kernel, stride, dilation, size = each(5), each(4), each(3), each(6)
    cut, extra = each(4, 0), each(3, 0)
    extra = tuple(min(e, max(s, d) - 1) for e, s, d in zip(extra, stride, dilation, strict=True))
    whole = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
    pairs = tuple((min(c, n - 1), min(c // 2, n - 1 - min(c, n - 1))) for c, n in zip(cut, whole, strict=True))
    groups, channels = draw(st.integers(1, 2)), draw(st.integers(1, 20))
    filters = draw(st.sampled_from([1, 3, 8, 17, 30, 50]))
    return Case(
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


@all_dtypes
@given(data=st.data(), isa=st.sampled_from(ISAS), threads=st.integers(1, 2))
def test_sums_of_small_integers_are_exact(dtype, data, isa, threads):
    use_isa(isa)
    case = data.draw(cases(dtype))
    np.testing.assert_allclose(case.run(threads=threads), case.expected(), rtol=1e-6)  # exact but for leaky_relu


@all_isas
@pytest.mark.parametrize(
    "case",
    [
        Case((1, 40, 9, 9), (40, 20, 1, 1), stride=3),  # most phases without taps
        Case((1, 3, 5, 5), (3, 9, 2, 3), stride=(5, 4), activation="relu"),
        Case((1, 8, 6, 6), (8, 9, 3, 3), stride=4, dilation=2),  # outputs of odd rows and columns read nothing
        Case((1, 8, 6, 6), (8, 9, 4, 4), stride=6, dilation=4, padding=3),
        Case((2, 8, 3, 4, 5), (8, 9, 1, 2, 3), stride=(2, 3, 2)),  # depths without taps
        Case((1, 8, 1, 1), (8, 9, 2, 2), stride=9, output_size=9),  # fewer outputs than the stride
        Case((1, 600, 4, 4), (600, 30, 4, 4), stride=2, padding=1),  # several chunks
        Case((1, 30, 70, 40), (30, 60, 3, 3), stride=2, padding=1, output_padding=1),  # several strips
        Case((1, 16, 5, 5), (16, 16, 3, 3), stride=1, padding=3),  # crops the input
    ],
    ids=lambda case: f"{case.options.stride}{case.weight.shape}",
)
def test_phases_without_taps_chunks_and_strips(case, isa):
    use_isa(isa)
    np.testing.assert_array_equal(case.run(), case.expected())


@all_isas
def test_a_nan_reaches_exactly_the_outputs_that_it_is_multiplied_for(isa):
    use_isa(isa)
    for options in ({"stride": 2, "padding": 1}, {"stride": (3, 2), "dilation": 2}, {"stride": 2, "output_padding": 1}):
        case = Case((1, 17, 6, 7), (17, 9, 3, 3), **options)
        case.weight[case.weight == 0] = 1
        for place, value in (((0, 3, 0, 0), np.nan), ((0, 16, 5, 6), np.inf), ((0, 0, 2, 3), -np.inf)):
            case.input[place] = value
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(case.run(), case.expected())


def test_weights_that_are_not_finite_are_refused_where_zeros_lie_beyond_the_input():
    inside, beyond = Case((1, 4, 3, 3), (4, 8, 2, 2), stride=2), Case((1, 4, 3, 3), (4, 8, 3, 3), stride=2)
    for case in (inside, beyond):
        case.weight[1, 2, 0, 1] = np.inf
    assert beyond.layout().pack(beyond.weight) is None
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(inside.run(), inside.expected())


@all_dtypes
@pytest.mark.parametrize("options", [{}, {"groups": 3}, {"dilation": 2}, {"padding": 1, "activation": "relu"}], ids=str)
def test_threads_and_batches_and_instruction_sets_do_not_change_bits(options, dtype):
    found = []
    for isa in ISAS:
        use_isa(isa)
        case = Case((3, 36, 20, 22), (36, 60, 3, 3), dtype, stride=2, **options)
        rng = np.random.default_rng(0)
        case.input[...] = rng.standard_normal(case.input.shape)
        case.weight[...] = rng.standard_normal(case.weight.shape)
        maps = case.run()
        assert np.array_equal(maps, case.run(threads=2))
        single = Case((1, 36, 20, 22), (36, 60, 3, 3), dtype, stride=2, **options)
        single.weight[...], single.bias[...] = case.weight, case.bias
        assert np.array_equal(maps[1:2], single.run(case.input[1:2]))
        found.append(maps)
    assert all(np.array_equal(maps, found[0]) for isa, maps in zip(ISAS, found, strict=True) if isa in WITH_FMA)
    np.testing.assert_allclose(found[-1], found[0], rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-4)


@all_isas
def test_arrays_may_lie_anywhere(isa):
    use_isa(isa)
    case = Case((2, 12, 9, 11), (12, 20, 4, 4), stride=2, padding=1)
    expected = case.expected()
    room = np.full(case.input.size + 9, np.nan, np.float32)
    for start in (1, 4):  # 4 and 16 bytes behind a line
        moved = room[start : start + case.input.size].reshape(case.input.shape)
        moved[...] = case.input
        out = np.empty(expected.size + start, np.float32)[start:].reshape(expected.shape)
        np.testing.assert_array_equal(case.run(moved, out), expected)
    apart = np.full((2, 24, 9, 13), np.nan, np.float32)[:, ::2, :, 1:-1]
    apart[...] = case.input
    np.testing.assert_array_equal(case.run(apart), expected)
    backwards = np.ascontiguousarray(case.input[..., ::-1])[..., ::-1]
    out = np.full(expected.shape[::-1], np.nan, np.float64).T
    np.testing.assert_array_equal(case.run(backwards, out), expected)


def test_blocks_share_packed_weights(monkeypatch):
    case = Case((2, 24, 20, 50), (24, 20, 5, 3), stride=(3, 2), padding=((2, 1), (1, 0)), output_padding=1)
    expected = case.expected()
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 2**13)
    layout = case.layout()
    layout.whole_images = False
    np.testing.assert_array_equal(case.run(layout=layout), expected)


def test_weights_of_any_dtype_are_packed_piece_by_piece():
    case = Case((1, 8, 4, 4), (8, 5, 3, 3), stride=2)
    expected = case.expected()
    for weight in (case.weight.astype(np.int8), case.weight.astype(">f4"), np.asfortranarray(case.weight)):
        case.weight = weight
        np.testing.assert_array_equal(case.run(), expected)
    large = Case((1, 900, 1, 1), (900, 700, 1, 2), stride=2)  # more than one piece
    assert len(large.layout()._core_layout.piece_bounds) > 2
    np.testing.assert_array_equal(large.run(), large.expected())
