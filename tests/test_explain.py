"""explain: what it says is what runs, for arrays, banks and stacks; and what it measures."""

import re

import numpy as np
import pytest

import fastconv as fc
from fastconv import _check, _core, _lengths, explanation
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


# Banks and stacks


@pytest.mark.parametrize(
    "options", [{}, {"padding": "same", "stride": 2}, {"algorithm": "direct", "activation": "relu"}]
)
def test_a_bank_explains_itself_as_its_weight_is_explained(options):
    weight = bank(64, 32, 3, 3)
    assert fc.FilterBank(weight, **options).explain((32, 56, 56)) == fc.explain((32, 56, 56), weight, **options)
    image = np.ones((2, 32, 9, 9), np.float64)
    assert fc.FilterBank(weight, **options).explain(image) == fc.explain(image, weight, **options)


def test_a_bank_explains_what_it_runs(rng):
    for weight, shape in ((bank(64, 64, 3, 3), (64, 56, 56)), (fc.filters.gaussian(15)[None, None], (1, 512, 512))):
        one = fc.FilterBank(weight, padding="same")
        one(np.ones(shape, np.float32))
        (plan, (index, _)) = one._plans.get((shape, np.dtype(np.float32), None, None))
        assert one.explain(shape).algorithm == plan.layouts[index].name


def test_a_bank_with_channels_last_is_explained_by_shapes_with_channels_last():
    options = {"padding": 1, "saturate": True}
    last = fc.FilterBank(bank(8, 3, 3, 3), channels_last=True, **options).explain((40, 50, 3), dtype=np.uint8)
    first = fc.FilterBank(bank(8, 3, 3, 3), **options).explain((3, 40, 50), dtype=np.uint8)
    assert last.problem == first.problem == "3x3 3->8, 40x50 -> 40x50, float32"


@pytest.mark.parametrize(("stride", "algorithms"), [(2, {"direct", "winograd"}), (1, {"direct", "winograd", "fft"})])
def test_a_transposed_bank_explains_itself(stride, algorithms):
    up = fc.TransposedFilterBank(bank(16, 8, 4, 4), stride=stride, padding=1)
    why = up.explain((2, 16, 64, 64))
    height, width = up.output_shape((16, 64, 64))[1:]
    assert why.problem == f"4x4 16->8, 2 x 64x64 -> {height}x{width}, float32"
    assert {candidate.algorithm for candidate in why.candidates} == algorithms
    assert why.algorithm in algorithms
    assert up.replace(algorithm="winograd").explain((16, 64, 64)).algorithm == "winograd"


def test_a_transposed_bank_whose_padding_repeats_pixels_is_not_explained():
    adjoint = fc.FilterBank(bank(1, 1, 3, 3), padding=1, padding_mode="reflect").adjoint()
    with pytest.raises(ValueError, match=r"^padding_mode must be 'zeros' to be explained; got 'reflect'"):
        adjoint.explain((1, 9, 9))


def test_a_stack_tells_which_banks_run_together():
    same = fc.FilterBank(bank(16, 16, 3, 3), padding=1)
    up = fc.TransposedFilterBank(bank(16, 16, 4, 4), stride=2, padding=1)
    stack = fc.Sequential(same, fc.Sequential(same, up), same, same)
    why = stack.explain((16, 512, 512))
    assert why.fused == ((0, 1), (3, 4))
    assert [one.problem.split(", ")[1] for one in why.banks] == [
        *["512x512 -> 512x512"] * 2,
        "512x512 -> 1024x1024",
        *["1024x1024 -> 1024x1024"] * 2,
    ]
    assert "bank 0, strip by strip together with bank 1: 3x3 16->16" in repr(why)
    assert "\nbank 2: 4x4 16->16" in repr(why)
    small = stack.explain((16, 8, 8))
    assert small.fused == ()
    assert "strip" not in repr(small).replace("strips", "")


def test_banks_that_a_stack_fuses_are_those_explained():
    same = fc.FilterBank(bank(16, 16, 3, 3), padding=1)
    stack = fc.Sequential(same, same, same.replace(algorithm="fft"), same)
    image = np.ones((16, 256, 256), np.float32)
    stack(image)
    parts = stack._parts.get((image.shape, image.dtype))
    assert [len(banks) for fused, banks in parts if fused] == [len(group) for group in stack.explain(image).fused]


def test_dtypes_go_from_bank_to_bank():
    integers, floats = np.ones((4, 1, 3, 3), np.int8), bank(2, 4, 3, 3)
    stack, image = fc.Sequential(fc.FilterBank(integers), fc.FilterBank(floats)), np.ones((1, 20, 20), np.uint8)
    assert stack.explain(image).banks[1] == fc.explain((4, 18, 18), floats, dtype=stack[0](image).dtype)
    assert stack.explain(image).banks[1].problem.endswith(f", {stack(image).dtype}")


def test_what_does_not_fit_a_bank_is_refused_as_in_a_call():
    one = fc.FilterBank(bank(4, 3, 3, 3))
    for call in (one.explain, fc.Sequential(one, one.replace(weight=bank(2, 4, 3, 3))).explain):
        for measure in (False, True):
            with pytest.raises(ValueError, match=r"^input has 2 channels"):
                call((2, 9, 9), measure=measure)
        with pytest.raises(TypeError, match=r"^dtype"):
            call((3, 9, 9), dtype="no-such")
        with pytest.raises(ValueError, match=r"^threads"):
            call((3, 9, 9), threads=0)


def test_explain_of_a_bank_names_its_method():
    with pytest.raises(TypeError, match=r"^weight must be an array; got a FilterBank, .* bank\.explain\(input\)"):
        fc.explain((3, 9, 9), fc.FilterBank(bank(4, 3, 3, 3)))


# Measured


@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((4, 20, 30), bank(4, 4, 3, 3), {"padding": 1}),
        ((2, 200, 300), fc.filters.gaussian(15), {}),
        ((3, 20, 30), bank(4, 3, 3, 3).astype(np.int8), {"dtype": np.uint8}),
        ((1, 50), bank(4, 1, 3).astype(np.complex64), {}),
        ((2, 9, 9), bank(4, 2, 3, 3), {"activation": ("prelu", [0.1, 0.2, 0.3, 0.4]), "dtype": np.float16}),
        ((2, 9, 9), bank(4, 2, 3, 3), {"dtype": bool}),
        ((2, 9, 9), bank(2, 3, 3), {"axes": 2}),
        ((0, 2, 9, 9), bank(4, 2, 3, 3), {}),
    ],
)
def test_every_candidate_is_measured_on_request(image, weight, options):
    plain, why = fc.explain(image, weight, **options), fc.explain(image, weight, **options, measure=True, threads=1)
    assert all(candidate.time is None for candidate in plain.candidates)
    assert all(candidate.time > 0 for candidate in why.candidates)
    assert tuple(candidate._replace(time=None) for candidate in why.candidates) == plain.candidates
    assert "time" not in repr(plain)
    assert re.search(r"  error     time  how", repr(why))
    assert len(re.findall(r" \d+\.?\d* (?:s|ms|us)  ", repr(why))) == len(why.candidates)


def test_banks_and_stacks_are_measured_with_their_options(rng):
    last = fc.FilterBank(
        rng.random((4, 3, 3, 3)), np.ones(4), padding=1, channels_last=True, activation=("prelu", [0.5] * 4)
    )
    up = fc.TransposedFilterBank(rng.random((4, 2, 2, 2)), np.ones(2), stride=2, channels_last=True)
    for one, image in (
        (last, (9, 9, 3)),
        (last.replace(saturate=True), np.zeros((2, 9, 9, 3), np.uint8)),
        (up, (9, 9, 4)),
    ):
        assert all(candidate.time > 0 for candidate in one.explain(image, measure=True, threads=2).candidates)
    why = fc.Sequential(last, up).explain((9, 9, 3), measure=True)
    assert why.time > 0
    assert all(candidate.time > 0 for one in why.banks for candidate in one.candidates)
    assert repr(why).splitlines()[-1].startswith("all banks: ")


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.50 s"), (0.0123456, "12.3 ms"), (804e-6, "804 us"), (3e-8, "0.0300 us"), (None, "")]
)
def test_durations_have_three_digits(seconds, text):
    assert explanation._duration(seconds) == text


# Notebooks


def test_notebooks_get_a_table_with_the_algorithm_that_runs_in_bold():
    why = fc.explain((64, 56, 56), bank(64, 64, 3, 3), padding=1)
    table = why._repr_html_()
    assert "<b>winograd</b>" in table
    assert "<b>direct</b>" not in table
    assert "3x3 64-&gt;64, 56x56 -&gt; 56x56" in table
    assert table.count("<tr") == 1 + len(why.candidates)


def test_notebooks_get_a_table_for_each_bank_of_a_stack():
    same = fc.FilterBank(bank(4, 4, 3, 3))
    table = fc.Sequential(same, same).explain((4, 9, 9), measure=True)._repr_html_()
    assert table.count("<table") == table.count("</table>") == 2
    assert "all banks: " in table
