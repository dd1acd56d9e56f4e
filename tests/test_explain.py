"""explain: what it says is what runs."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core, _plan


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
    assert str(why) == capsys.readouterr().out.rstrip("\n")
    assert f"-> {algorithm}" in str(why)


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
        assert [isinstance(p, _plan.Instead) for p in packed._packed.values()] == [passes]
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


def test_weights_that_are_transformed_in_the_call_are_counted():
    once, every = (fc.explain((512, 7, 7), bank(512, 512, 3, 3), padding=1, packed=packed) for packed in (True, False))
    assert [why.algorithm for why in (once, every)] == ["winograd", "direct"]


def test_the_choice_depends_on_neither_batch_nor_instruction_set():
    before, _ = _core.current_isa()
    try:
        for isa in _core.available_isas():
            _core.use_isa(isa)
            for batch in (1, 100):
                assert fc.explain((batch, 64, 56, 56), bank(64, 64, 3, 3), padding=1).algorithm == "winograd"
    finally:
        _core.use_isa(before)


@pytest.mark.parametrize("weight", [np.ones((3, 3)), np.ones((3, 3, 3, 3, 3, 3))])
def test_other_weights_than_banks_are_refused(weight):
    with pytest.raises(ValueError, match="weight must be a bank"):
        fc.explain((3, 9, 9), weight)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="stride must be"):
        fc.explain((3, 9, 9), bank(2, 3, 3, 3), stride=0)
