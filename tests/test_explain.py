"""explain: what it says is what runs."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import _check, _core, _lengths
from fastconv.algorithms import separable

OPTIONS = (1, 1, 1, 1, "zeros", 0, False, None, "auto", "default")  # with padding 1


def bank(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("image", "weight", "options", "algorithm"),
    [
        ((64, 56, 56), bank(64, 64, 3, 3), {"padding": 1}, "winograd"),
        ((64, 56, 56), bank(64, 64, 3, 3), {"padding": 1, "algorithm": "direct"}, "direct"),
        ((256, 56, 56), bank(64, 256, 1, 1), {}, "direct"),
        ((1, 1024, 1024), np.eye(63, dtype=np.float32)[np.newaxis, np.newaxis], {}, "fft"),
        ((3, 9, 9), bank(2, 3, 3, 3).astype(np.int8), {}, "direct"),
        ((4, 500), bank(4, 4, 3), {"activation": "relu"}, "direct"),
        ((1, 1024, 1024), bank(1, 1, 15, 15), {}, "separable"),
        ((1, 1024, 1024), bank(1, 1, 15, 15), {"algorithm": "direct"}, "direct"),
    ],
)
def test_the_algorithm_that_runs_is_a_candidate(image, weight, options, algorithm, capsys):
    why = fc.explain(image, weight, **options)
    assert why.algorithm == algorithm
    assert algorithm in [candidate.algorithm for candidate in why.candidates]
    assert f"-> {algorithm}" in repr(why) == str(why)
    assert capsys.readouterr().out == ""


def test_candidates_come_with_figures():
    why = fc.explain((64, 56, 56), bank(64, 64, 3, 3), padding=1)
    found = {candidate.algorithm: candidate for candidate in why.candidates}
    assert found["direct"].cost == 1
    assert found["direct"].products == 576
    assert found["winograd"].cost < 0.6
    assert found["winograd"].products == 144  # 36 of them make 16 outputs, instead of 9 each
    assert found["direct"].error < found["winograd"].error < 2.5e-6
    assert all(0 < candidate.workspace <= 2**22 for candidate in why.candidates)
    assert [candidate.cost for candidate in why.candidates] == sorted(candidate.cost for candidate in why.candidates)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("flip", [False, True])
def test_two_passes_run_if_the_kernels_are_of_rank_1(flip, dtype):
    image = np.random.default_rng(1).standard_normal((2, 500, 700)).astype(dtype)
    rank_1 = np.stack([fc.filters.gaussian(17), fc.filters.box(17)])[:, np.newaxis].astype(dtype)
    rank_1[0] = 2.0 ** -np.arange(17)  # another kernel when flipped
    other = rank_1.copy()
    other[1, 0, 2, 3] = 1
    for weight, passes in ((rank_1, True), (other, False)):
        options = {"groups": 2, "padding": 8, "flip": flip}
        packed = fc.FilterBank(weight, **options)
        packed(image)
        why = fc.explain(image.shape, weight, **options)
        assert [isinstance(p[1], separable.Factors) for p in packed._packed.values()] == [passes]
        assert (why.algorithm == "separable") == passes
        assert ("separable" in [candidate.algorithm for candidate in why.candidates]) == passes


def test_two_passes_come_with_figures():
    why = fc.explain((1, 1024, 1024), fc.filters.gaussian((15, 31))[np.newaxis, np.newaxis])
    found = {candidate.algorithm: candidate for candidate in why.candidates}
    assert found.keys() == {"separable", "direct", "fft", "winograd"}
    assert found["separable"].products == 15 + 31
    assert found["separable"].cost == min(candidate.cost for candidate in why.candidates) < 0.3
    assert 0 < found["separable"].workspace <= 2**22
    assert found["separable"].error < 1e-6
    assert found["separable"].how.startswith("two passes, 15x1 then 1x31, strips of ")


def test_the_choice_depends_on_neither_batch_nor_instruction_set():
    before, _ = _core.current_isa()
    try:
        for isa in _core.available_isas():
            _core.use_isa(isa)
            for batch in (1, 100):
                assert fc.explain((batch, 64, 56, 56), bank(64, 64, 3, 3), padding=1).algorithm == "winograd"
    finally:
        _core.use_isa(before)


def test_an_array_stands_for_its_shape_and_dtype():
    image = np.ones((3, 30, 40), np.float64)
    why = fc.explain(image, bank(4, 3, 3, 3), padding=1)
    assert why == fc.explain((3, 30, 40), bank(4, 3, 3, 3), padding=1, dtype=np.float64)
    assert "3x3 3->4, 30x40 -> 30x40, float64" in repr(why)
    assert fc.explain(image, bank(4, 3, 3, 3), dtype=np.float32) == fc.explain([3, 30, 40], bank(4, 3, 3, 3))
    assert fc.explain([[1.0, 2.0, 3.0]], [[1.0, 1.0]]).problem == "1x2 1->1, 1x3 -> 1x2, float64"


@pytest.mark.parametrize(
    ("image", "weight", "axes", "problem"),
    [
        ((10,), bank(3), None, "1x3 1->1, 1x10 -> 1x8, float32"),
        ((10, 10), bank(3, 3), None, "3x3 1->1, 10x10 -> 8x8, float32"),
        ((5, 10, 10), bank(3, 3), None, "3x3 1->1, 5 x 10x10 -> 8x8, float32"),
        ((3, 10), bank(2, 3, 3), None, "1x3 3->2, 1x10 -> 1x8, float32"),
        ((2, 10), bank(2, 3), 1, "1x3 2->1, 1x10 -> 1x8, float32"),
        ((2, 10, 10), bank(2, 3, 3), 2, "3x3 2->1, 10x10 -> 8x8, float32"),
        ((10, 10, 10), bank(3, 3, 3), 3, "3x3x3 1->1, 10x10x10 -> 8x8x8, float32"),
        ((2, 10, 10, 10), bank(2, 3, 3, 3), 3, "3x3x3 2->1, 10x10x10 -> 8x8x8, float32"),
    ],
)
def test_filters_and_kernels_are_explained_as_the_functions_take_them(image, weight, axes, problem):
    why = fc.explain(image, weight, axes=axes)
    assert why.problem == problem
    assert why.algorithm in [candidate.algorithm for candidate in why.candidates]


def test_what_is_explained_is_what_runs():
    """For a kernel, a filter and a bank: the plan of the call itself."""
    image = np.ones((3, 64, 64), np.float32)
    for weight in (bank(3, 3), bank(3, 3, 3), bank(64, 3, 3, 3)):
        fc.conv2d(image, weight, padding=1)
        options = _check.options(2, OPTIONS)
        plan = _lengths.plan_for(2, image.shape, weight.shape, None, (image.dtype,) * 2, options)
        assert fc.explain(image, weight, axes=2, padding=1).algorithm == plan.layouts[-1].name


@pytest.mark.parametrize("weight", [np.ones(()), np.ones((3, 3, 3, 3, 3, 3))])
def test_weights_of_other_ranks_are_refused(weight):
    with pytest.raises(ValueError, match=r"^weight must be a bank"):
        fc.explain((3, 9, 9), weight)


@pytest.mark.parametrize(
    ("changes", "kind", "name"),
    [
        ({"stride": 0}, ValueError, "stride"),
        ({"stride": (1.0, 1.0)}, TypeError, "stride"),
        ({"input": 5}, ValueError, "input"),
        ({"input": None}, TypeError, "input"),
        ({"input": (3, "a")}, TypeError, "input"),
        ({"input": (3, -1, 9)}, ValueError, "input"),
        ({"input": (3, True, 9)}, TypeError, "input"),
        ({"input": (4, 9, 9)}, ValueError, "input"),
        ({"weight": None}, TypeError, "weight"),
        ({"axes": 0}, ValueError, "axes"),
        ({"axes": 4}, ValueError, "axes"),
        ({"axes": 1}, ValueError, "weight"),
        ({"axes": "2"}, TypeError, "axes"),
        ({"dtype": "no-such"}, TypeError, "dtype"),
        ({"dtype": object}, TypeError, "input"),
        ({"algorithm": "strassen"}, ValueError, "algorithm"),
    ],
)
def test_bad_arguments_are_refused_by_name(changes, kind, name):
    with pytest.raises(kind, match=f"^{name}"):
        fc.explain(**({"input": (3, 9, 9), "weight": bank(2, 3, 3, 3)} | changes))


def test_pixels_of_a_volume_cost_what_those_of_a_plane_do():
    flat, deep = (fc.explain((296, *size), bank(226, 296, *[1] * len(size))) for size in ((12, 144), (12, 12, 12)))
    assert flat.candidates[0].how == deep.candidates[0].how
