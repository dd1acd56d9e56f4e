"""Bad calls: each gives a TypeError or a ValueError that starts with the argument's name and shows what was given."""

import re
import warnings
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from strategies import CONV

import fastconv as fc
from fastconv import conv

FLOAT32 = np.float32
IMAGE, BANK = np.ones((4, 8, 9), FLOAT32), np.ones((6, 4, 3, 3), FLOAT32)


def ones(*shape):
    return np.ones(shape, FLOAT32)


def refused(kind, message, **changes):
    """One bad call: conv2d(IMAGE, BANK) with changes, and the message to expect: a name, then things it must show."""
    name, *shown = message
    pattern = "".join(f".*{re.escape(word)}" for word in shown)
    label = "-".join(f"{key}={value!r}" if not hasattr(value, "shape") else key for key, value in changes.items())
    return pytest.param({"input": IMAGE, "weight": BANK} | changes, kind, f"(?s)^{name}{pattern}", id=label[:70])


SHAPES = [
    refused(ValueError, ("weight", "(3,)"), weight=ones(3)),
    refused(ValueError, ("weight", "()"), weight=1.0),
    refused(ValueError, ("weight", "(1, 6, 4, 3, 3)"), weight=ones(1, 6, 4, 3, 3)),
    refused(ValueError, ("weight", "(0, 4, 3, 3)"), weight=ones(0, 4, 3, 3)),
    refused(ValueError, ("weight", "(6, 0, 3, 3)"), weight=ones(6, 0, 3, 3)),
    refused(ValueError, ("weight", "(6, 4, 0, 3)"), weight=ones(6, 4, 0, 3)),
    refused(ValueError, ("weight", "(3, 0)"), weight=ones(3, 0)),
    refused(ValueError, ("weight", "(0, 3, 3)"), weight=ones(0, 3, 3)),
    refused(ValueError, ("input", "()"), input=1.0),
    refused(ValueError, ("input", "(9,)"), input=ones(9)),
    refused(ValueError, ("input", "(9,)"), input=ones(9), weight=ones(3, 3)),
    refused(ValueError, ("input", "(0, 8, 9)"), input=ones(0, 8, 9)),
    refused(ValueError, ("input", "(2, 0, 8, 9)"), input=ones(2, 0, 8, 9), weight=ones(4, 3, 3)),
    refused(ValueError, ("input", "5", "(6, 4, 3, 3)"), input=ones(5, 8, 9)),
    refused(ValueError, ("input", "5", "(4, 3, 3)"), input=ones(5, 8, 9), weight=ones(4, 3, 3)),
    refused(ValueError, ("input", "4", "(6, 1, 3, 3)"), weight=ones(6, 1, 3, 3)),
    refused(ValueError, ("input", "(6, 4, 3, 3)"), input=ones(8, 9)),
    refused(ValueError, ("input", "(4, 3, 3)"), input=ones(8, 9), weight=ones(4, 3, 3)),
    refused(ValueError, ("input", "4", "groups=2"), groups=2),
    refused(ValueError, ("input", "3", "groups=2"), input=ones(3, 8, 9), weight=ones(4, 1, 3, 3), groups=2),
    refused(ValueError, ("weight", "(9, 3)", "(8, 9)"), weight=ones(6, 4, 9, 3)),
    refused(ValueError, ("weight", "(3, 10)"), weight=ones(3, 10)),
    refused(ValueError, ("weight", "(3, 3)", "(5, 1)", "(8, 9)"), dilation=(5, 1)),
    refused(ValueError, ("weight", "(3, 3)"), input=ones(4, 0, 9)),
    refused(ValueError, ("weight", "(11, 3)"), weight=ones(11, 3), padding=1),
    refused(ValueError, ("weight", "(11, 3)"), weight=ones(11, 3), padding=((0, 2), (0, 0))),
    refused(ValueError, ("bias", "(6,)", "(5,)"), bias=ones(5)),
    refused(ValueError, ("bias", "(6,)", "(6, 1)"), bias=ones(6, 1)),
    refused(ValueError, ("bias", "(6,)", "(1,)"), bias=ones(1)),
    refused(ValueError, ("bias", "(6,)", "()"), bias=1.0),
    refused(ValueError, ("bias", "(2,)"), bias=ones(2), weight=ones(3, 3)),
    refused(ValueError, ("bias", "(4,)"), bias=ones(4), weight=ones(4, 3, 3)),
    refused(ValueError, ("out", "(6, 6, 7)", "(6, 6, 8)"), out=ones(6, 6, 8)),
    refused(TypeError, ("out", "float32", "int32", "round"), out=np.ones((6, 6, 7), np.int32)),
    refused(TypeError, ("out", "matrix"), input=ones(8, 9), weight=ones(3, 3), out=ones(6, 7).view(np.matrix)),
    refused(TypeError, ("out", "MaskedArray"), out=np.ma.array(ones(6, 6, 7))),
    refused(TypeError, ("out", "list"), out=[[1.0]]),
]

OPTIONS = [
    *[
        refused(ValueError, (name, shown), **{name: value})
        for name in ("stride", "dilation")
        for value, shown in (
            (0, "0"),
            (-1, "-1"),
            ((1, 0), "(1, 0)"),
            ((1,), "(1,)"),
            ((1, 2, 3), "(1, 2, 3)"),
            ((), "()"),
            (np.array([0, 1]), "0"),
        )
    ],
    *[
        refused(TypeError, (name, shown), **{name: value})
        for name in ("stride", "dilation")
        for value, shown in (
            (1.0, "1.0"),
            (1.5, "an int of 1 or more, or one such int per axis (2); got 1.5"),
            ("2", "'2'"),
            (None, "None"),
            (True, "True"),
            ({1, 2}, "{1, 2}"),
            ((1, 2.0), "(1, 2.0)"),
            ((1, True), "(1, True)"),
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            ("same", "'same'"),
        )
    ],
    *[
        refused(ValueError, ("padding", shown), padding=value)
        for value, shown in (
            (-1, "-1"),
            ((0, -1), "(0, -1)"),
            (((0, 0), (0, -1)), "-1"),
            ((1,), "(1,)"),
            ((1, 2, 3), "(1, 2, 3)"),
            ((1, 2, 3, 4), "(1, 2, 3, 4)"),
            (((1, 2),), "((1, 2),)"),
            (((1, 2, 3), (1, 2, 3)), "(1, 2, 3)"),
            (((1,), (2,)), "((1,), (2,))"),
            ((), "()"),
            ("SAME", "'SAME'"),
            ("reflect", "'reflect'"),
            ("", "''"),
        )
    ],
    *[
        refused(TypeError, ("padding", shown), padding=value)
        for value, shown in (
            (1.0, "1.0"),
            (None, "None"),
            (True, "True"),
            ((1, 1.5), "1.5"),
            ((True, False), "True"),
            (float("nan"), "nan"),
            (((1, 1), (1, "x")), "'x'"),
        )
    ],
    *[refused(ValueError, ("groups", str(value)), groups=value) for value in (0, -1, 4, 5, 7)],
    *[refused(TypeError, ("groups", str(value)), groups=value) for value in (1.0, "1", None, True)],
    refused((ValueError, TypeError), ("groups", "(1,)"), groups=(1,)),
    refused((ValueError, TypeError), ("stride", "((1, 1), (1, 1))"), stride=((1, 1), (1, 1))),
    refused((ValueError, TypeError), ("dilation", "((1, 1), (1, 1))"), dilation=((1, 1), (1, 1))),
    refused(ValueError, ("groups", "2"), weight=ones(4, 3, 3), groups=2),
    refused(ValueError, ("groups", "4"), weight=ones(3, 3), groups=4),
    *[
        refused(ValueError, (name, shown), **{name: value})
        for name in ("padding_mode", "activation", "algorithm", "precision")
        for value, shown in (("no-such", "'no-such'"), ("ReLU", "'ReLU'"), ("", "''"))
    ],
    *[
        refused((ValueError, TypeError), (name, shown), **{name: value})
        for name in ("padding_mode", "activation", "algorithm", "precision")
        for value, shown in ((3, "3"), (True, "True"), (["relu"], "'relu'"), (np.ones(2), "1."))
    ],
    *[
        refused(TypeError, (name, "'relu'" if name == "activation" else "'zeros'"), **{name: value})
        for name in ("activation", "padding_mode")
        for value in (
            np.tanh,
            1,
            {"relu"},
            *([["relu"], ("zeros",), np.array(["zeros"])] if name == "activation" else []),
        )
    ],
    *[
        refused(ValueError, ("padding_mode", f"; {whose}{theirs!r} is {ours!r} here"), padding_mode=theirs)
        for ours, whose, names in (
            ("reflect", "SciPy's ", ("mirror", "Mirror")),
            ("replicate", "SciPy's ", ("nearest",)),
            ("symmetric", "SciPy's ", ("grid-mirror", "grid_mirror", "symm")),
            ("circular", "SciPy's ", ("grid-wrap",)),
            ("zeros", "SciPy's ", ("grid-constant", "fill")),
            ("reflect", "OpenCV's ", ("BORDER_REFLECT_101", "BORDER_REFLECT101", "reflect_101", "reflect101")),
            ("symmetric", "OpenCV's ", ("border_reflect",)),
            ("replicate", "OpenCV's ", ("border_replicate",)),
            ("zeros", "OpenCV's ", ("BORDER_CONSTANT",)),
            ("replicate", "ITK's ", ("zero_flux_neumann_pad", "ZeroFluxNeumannPad")),
            ("circular", "ITK's ", ("PERIODIC_PAD",)),
            ("replicate", "libvips's ", ("copy",)),
            ("replicate", "astropy's ", ("extend",)),
            ("circular", "dask's ", ("periodic",)),
            ("zeros", "PyWavelets's ", ("zero",)),
            ("reflect", "", ("REFLECT",)),
            ("constant", "", ("CONSTANT",)),
        )
        for theirs in names
    ],
    *[
        refused(TypeError, ("padding_mode", f"got {number}; OpenCV's {theirs!r} is {ours!r} here"), padding_mode=number)
        for number, theirs, ours in (
            (0, "BORDER_CONSTANT", "zeros"),
            (1, "BORDER_REPLICATE", "replicate"),
            (2, "BORDER_REFLECT", "symmetric"),
            (3, "BORDER_WRAP", "circular"),
            (4, "BORDER_REFLECT_101", "reflect"),
        )
    ],
    refused(ValueError, ("padding_mode", "'linear_ramp'", "np.pad first"), padding_mode="linear_ramp"),
    *[refused(ValueError, ("padding_mode", f"{name!r} is a padding"), padding_mode=name) for name in ("same", "full")],
    refused(ValueError, ("padding", "'reflect' is a padding_mode"), padding="reflect"),
    refused(ValueError, ("padding", "SciPy's 'nearest' is 'replicate' here, a padding_mode"), padding="nearest"),
    *[
        refused(ValueError, ("padding", f"{name!r} is {name.lower()!r} here"), padding=padding)
        for name in ("SAME", "VALID", "SAME_UPPER", "SAME_LOWER")
        for padding in (name, (name, 1))
    ],
    refused(ValueError, ("padding_mode", "one per axis", "('zeros',)"), padding_mode=("zeros",)),
    refused(ValueError, ("padding_mode", "SciPy's 'mirror' is 'reflect' here"), padding_mode=("zeros", "mirror")),
    refused(TypeError, ("padding_mode", "1"), padding_mode=("zeros", 1)),
    refused(ValueError, ("padding", "'mirror'"), padding=("same", "mirror")),
    refused(ValueError, ("padding_value", "'constant'", "1"), padding_value=1, padding_mode="reflect"),
    refused(ValueError, ("padding_value", "one per channel (4)", "2"), padding_value=[1, 2], padding=1),
    refused(ValueError, ("padding_value", "(2, 2)"), padding_value=np.ones((2, 2)), padding=1),
    refused(TypeError, ("padding_value", "real", "1j"), padding_value=1j, padding=1),
    refused(TypeError, ("padding_value", "str"), padding_value="1", padding=1),
    *[
        refused(
            ValueError,
            ("padding_value", "uint8", str(value)),
            input=IMAGE.astype("u1"),
            weight=BANK.astype("i1"),
            padding_value=value,
            padding=1,
        )
        for value in (256, -1, 0.5, np.inf)
    ],
    *[refused((ValueError, TypeError), (n, "None"), **{n: None}) for n in ("padding_mode", "algorithm", "precision")],
    refused(ValueError, ("algorithm", "'winograd'"), algorithm="strassen"),
    *[refused(TypeError, ("flip", repr(value)), flip=value) for value in ("yes", 1, None, (True, False))],
]

HUGE = [
    refused(ValueError, ("(input|padding)", str(2**62)), padding=2**62),
    refused(ValueError, ("(input|padding)", str(2**100)), padding=2**100),
    refused(ValueError, ("(input|padding)", str(2**40)), padding=2**40),
    refused(ValueError, ("(input|padding)", str(2**62)), padding=((2**62, 2**62), (0, 0))),
    refused(ValueError, ("(input|padding)", str(2**62)), padding=2**62, padding_mode="reflect"),
    refused(ValueError, ("(weight|dilation)", str(2**62)), dilation=2**62),
    refused(ValueError, ("(weight|dilation)", str(2**100)), dilation=2**100),
    refused(ValueError, ("(input|padding|dilation)", str(2**62)), dilation=2**62, padding="full"),
    refused(ValueError, ("(input|padding|dilation)", str(2**62)), dilation=2**62, padding="same"),
    refused(
        ValueError,
        ("input", "(0,"),
        input=np.broadcast_to(np.zeros(0, FLOAT32).reshape(0, 1, 1, 1), (0, 2**20, 2**20, 2**10)),
        weight=ones(2**8, 1)[:, None, None, :].repeat(2, 1),
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), SHAPES)
def test_bad_shapes(call, kind, message):
    with pytest.raises(kind, match=message):
        fc.conv2d(**call)


@pytest.mark.parametrize(("call", "kind", "message"), OPTIONS)
def test_bad_options(call, kind, message):
    with pytest.raises(kind, match=message):
        fc.conv2d(**call)


@pytest.mark.parametrize("mode", ["nearest", ("zeros", "nearest")])
@pytest.mark.parametrize(
    "call",
    [
        lambda **options: fc.conv2d(IMAGE, BANK, padding=1, **options),
        lambda **options: fc.conv2d(IMAGE, BANK, mask=IMAGE > 0, **options),
        lambda **options: fc.explain(IMAGE.shape, BANK, **options),
        lambda **options: fc.FilterBank(BANK, **options),
        lambda **options: fc.FilterBank.from_kernels([ones(3, 3)], **options),
        lambda **options: fc.FilterBank(BANK).replace(**options),
        lambda **options: fc.TransposedFilterBank(BANK, **options),
        lambda **options: fc.grad.conv2d_input(IMAGE.shape, BANK, ones(6, 6, 7), **options),
        lambda **options: fc.grad.conv2d_weight(IMAGE, BANK.shape, ones(6, 6, 7), **options),
        lambda **options: fc.conv2d(pytest.importorskip("dask.array").from_array(IMAGE), BANK, **options),
    ],
)
def test_every_function_knows_the_names_of_padding_modes_elsewhere(call, mode):
    with pytest.raises(ValueError, match=r"^padding_mode must be one of .*SciPy's 'nearest' is 'replicate' here$"):
        call(padding_mode=mode)


@pytest.mark.parametrize(
    "call",
    [
        lambda padding: fc.conv_transpose2d(IMAGE, BANK.swapaxes(0, 1), padding=padding),
        lambda padding: fc.conv_integer(IMAGE.astype("u1"), BANK.astype("i1"), padding=padding),
        lambda padding: fc.grad.conv2d_weight(IMAGE, BANK.shape, ones(6, 8, 9), padding=padding),
        lambda padding: fc.explain(IMAGE.shape, BANK, padding=padding),
    ],
)
def test_every_function_knows_the_names_of_paddings_elsewhere(call):
    with pytest.raises(ValueError, match=r"^padding must be one of .*'SAME_UPPER' is 'same_upper' here$"):
        call("SAME_UPPER")


@pytest.mark.parametrize(("call", "kind", "message"), HUGE)
def test_sizes_past_all_memory_are_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        fc.conv2d(**call)


@pytest.mark.parametrize("huge", [2**31, 2**32, 2**40, 2**62, 2**63, 2**100])
def test_huge_strides_are_right_or_refused(huge):
    try:
        result = fc.conv2d(IMAGE, BANK, stride=huge, padding=1)
    except ValueError as error:
        assert re.match(f"stride.*{huge}", str(error))  # noqa: PT017 - either outcome will do
    else:
        assert result.shape == (6, 1, 1)
        assert (result == 16).all()


@pytest.mark.parametrize("huge", [2**31, 2**32, 2**40, 2**62, 2**63, 2**100])
def test_huge_dilations_of_one_tap_are_right_or_refused(huge):
    try:
        result = fc.conv2d(IMAGE, ones(6, 4, 1, 1), dilation=huge)
    except ValueError as error:
        assert re.match(f"dilation.*{huge}", str(error))  # noqa: PT017 - either outcome will do
    else:
        assert (result == 4).all()


def test_huge_sizes_without_pixels_neither_crash_nor_hang():
    """No memory is needed, yet the sizes' product passes what an index can hold."""
    none = np.broadcast_to(np.zeros((0, 1, 1, 1), FLOAT32), (0, 4, 2**30, 2**28))
    assert fc.conv2d(none, BANK).shape == (0, 6, 2**30 - 2, 2**28 - 2)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_messages_fit_the_number_of_axes(axes):
    conv, size = CONV[axes], (5,) * axes
    with pytest.raises(ValueError, match=rf"^stride.*{axes}.*{re.escape(str((1,) * (axes + 1)))}"):
        conv(np.ones(size), np.ones((2,) * axes), stride=(1,) * (axes + 1))
    with pytest.raises(ValueError, match=r"^input"):
        conv(np.ones(size[1:]), np.ones((2,) * axes))
    with pytest.raises(ValueError, match=r"^weight"):
        conv(np.ones(size), np.ones((1,) * (axes + 3)))
    with pytest.raises(ValueError, match=r"^weight.*" + re.escape(str((6,) * axes)) + ".*" + re.escape(str(size))):
        conv(np.ones(size), np.ones((6,) * axes))


@pytest.mark.parametrize("padding", [(1, 2, 3), (-1, 0), [((1, 2),)]])
def test_padding_of_one_axis_before_and_after_is_shown_as_a_pair(padding):
    with pytest.raises((ValueError, TypeError), match=r"^padding .*a pair, \(2, 0\)"):
        fc.conv1d(ones(1, 9), ones(1, 1, 3), padding=padding)


WRONG = {  # one of each, in the order in which they are found
    "input": {"input": IMAGE.astype(object)},
    "weight": {"weight": ones(3)},
    "bias": {"bias": np.array(["1"] * 6)},
    "stride": {"stride": 1.0},
    "padding": {"padding": -1},
    "dilation": {"dilation": (1,)},
    "groups": {"groups": 0},
    "padding_mode": {"padding_mode": "no"},
    "flip": {"flip": 1},
    "activation": {"activation": "no"},
    "algorithm": {"algorithm": "no"},
    "precision": {"precision": "no"},
    "input has 5 channels": {"input": ones(5, 8, 9)},
    "threads": {"threads": 0},
    "out": {"out": [1.0]},
}


def test_arguments_are_checked_in_the_order_of_the_signature_and_then_together():
    for first, name in enumerate(WRONG):
        later = [*WRONG.items()][first:]
        call = {"input": IMAGE, "weight": BANK}
        for _, change in reversed(later):
            call |= change
        with pytest.raises((ValueError, TypeError), match=f"^{name}"):
            fc.conv2d(**call)


def test_a_mismatch_says_what_would_be_right():
    with pytest.raises(ValueError, match=r"^input has 5 channels .*\(5, 8, 9\).*\(6, 4, 3, 3\).*expects 4"):
        fc.conv2d(ones(5, 8, 9), BANK)


@pytest.mark.parametrize("missing", ["input", "weight"])
def test_nothing_is_no_array(missing):
    with pytest.raises(TypeError, match=f"^{missing}"):
        fc.conv2d(**({"input": IMAGE, "weight": BANK} | {missing: None}))


@pytest.mark.parametrize("name", ["stride", "padding", "dilation", "groups"])
def test_an_array_of_one_number_is_that_number(name):
    expected = fc.conv2d(IMAGE, ones(4, 2, 3, 3) if name == "groups" else BANK, **{name: 2})
    result = fc.conv2d(IMAGE, ones(4, 2, 3, 3) if name == "groups" else BANK, **{name: np.array(2)})
    assert np.array_equal(result, expected)


def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError, match="strides"):
        fc.conv2d(IMAGE, BANK, strides=2)
    with pytest.raises(TypeError):
        fc.conv2d(IMAGE, BANK, None, 1, 0, 1, 1, "reflect")


def test_a_refused_call_does_not_spoil_the_next():
    expected = fc.conv2d(IMAGE, BANK)
    for wrong in ({"stride": 1.0}, {"stride": True}, {"padding": False}, {"groups": 1.0}, {"flip": 0}):
        with pytest.raises(TypeError):
            fc.conv2d(IMAGE, BANK, **wrong)  # 1, 1.0 and True are equal: a cache must not mix them up
    assert np.array_equal(fc.conv2d(IMAGE, BANK), expected)


@pytest.mark.parametrize(
    ("good", "wrong"),
    [
        ({"stride": (2, 2)}, {"stride": (2.0, 2.0)}),
        ({"stride": [2, 2]}, {"stride": [2.0, 2]}),
        ({"stride": (1, 1)}, {"stride": (1, True)}),
        ({"padding": (1, 1)}, {"padding": (1, True)}),
        ({"padding": ((1, 1), (1, 1))}, {"padding": ((1, 1), (1, 1.0))}),
        ({"dilation": (2, 1)}, {"dilation": (2.0, 1)}),
        ({"stride": 2}, {"stride": np.float64(2)}),
        ({"groups": 1}, {"groups": np.True_}),
    ],
)
def test_numbers_in_tuples_are_told_apart_from_equal_ints(good, wrong):
    """Plans are remembered by their options, and 2 == 2.0 and 1 == True."""
    name = next(iter(wrong))
    fc.conv2d(IMAGE, BANK, **good)
    fc.FilterBank(BANK, **good)(IMAGE)
    with pytest.raises(TypeError, match=f"^{name} must be"):
        fc.conv2d(IMAGE, BANK, **wrong)
    with pytest.raises(TypeError, match=f"^{name} must be"):
        fc.FilterBank(BANK, **wrong)
    assert fc.conv2d(IMAGE, BANK, **good).shape == fc.FilterBank(BANK, **good).output_shape(IMAGE.shape)


def test_named_tuples_of_ints_are_options_and_those_of_floats_are_not():
    class Step(NamedTuple):
        y: float
        x: float

    for _ in range(2):
        assert fc.conv2d(IMAGE, BANK, stride=Step(2, 2)).shape == (6, 3, 4)
        with pytest.raises(TypeError, match=r"^stride"):
            fc.conv2d(IMAGE, BANK, stride=Step(2.0, 2.0))


@pytest.mark.parametrize("threads", [257, 10**6, 2**31, 2**63, 2**100])
def test_more_threads_than_there_are_will_do(threads):
    expected = fc.conv2d(IMAGE, BANK)
    assert np.array_equal(fc.conv2d(IMAGE, BANK, threads=threads), expected)
    assert np.array_equal(fc.FilterBank(BANK)(IMAGE, threads=threads), expected)
    assert np.array_equal(
        fc.conv2d(IMAGE, BANK, threads=threads, algorithm="fft"), fc.conv2d(IMAGE, BANK, algorithm="fft")
    )
    before = fc.get_num_threads()
    try:
        fc.set_num_threads(threads)
        assert np.array_equal(fc.conv2d(IMAGE, BANK), expected)
    finally:
        fc.set_num_threads(before)


# Objects that are no arrays


class Raises:
    """An object that fails when it is asked for its data, by one protocol or the other."""

    def __init__(self, error):
        self._error = error

    def __array__(self, dtype=None, copy=None):
        raise self._error


class RaisesByDLPack:
    def __init__(self, error):
        self._error = error

    def __dlpack__(self, **options):
        raise self._error

    def __dlpack_device__(self):
        return 1, 0


@pytest.mark.parametrize("kind", [Raises, RaisesByDLPack])
@pytest.mark.parametrize(
    "error", [RuntimeError, KeyError, AttributeError, ZeroDivisionError, OSError, DeprecationWarning]
)
def test_objects_that_fail_to_become_arrays_say_so(error, kind):
    for which in ("input", "weight", "bias"):
        call = {"input": IMAGE, "weight": BANK} | {which: kind(error("no data today"))}
        with pytest.raises(TypeError, match=rf"^{which}.*{kind.__name__}.*no data today") as caught:
            fc.conv2d(**call)
        assert isinstance(caught.value.__cause__, error)


class Pixels:
    """An image that tells its pixels one by one, as SimpleITK's do, and is no array."""

    def __iter__(self):
        return iter([1.0, 2.0, 3.0])

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return [1.0, 2.0, 3.0][i]


class AnObject:
    """Something that becomes an array of one object."""

    def __array__(self, dtype=None, copy=None):
        return np.array({"pixels": 3}, object)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Pixels(), "Pixels"),
        ((pixel for pixel in range(5)), "generator"),
        ({1, 2, 3}, "set"),
        ({1: 2}, "dict"),
        (b"123", "bytes"),
        ("123", "str"),
        (Fraction(1, 2), "Fraction"),
        (AnObject(), "AnObject"),
        ([Pixels()], "Pixels"),
        ([1, {2}], "set"),
        ([1, None], "NoneType"),
        (["1", "2"], "str"),
        ([[1, b"2"]], "bytes"),
        ([2**100, 1], "list"),
    ],
)
@pytest.mark.parametrize("which", ["input", "weight", "bias"])
def test_what_is_no_array_is_refused_by_the_name_of_its_type(which, value, kind):
    with pytest.raises(TypeError, match=f"^{which} must be an array.*; got {kind}: not an array"):
        fc.conv1d(**({"input": [1, 2, 3], "weight": [1, 1]} | {which: value}))


@pytest.mark.parametrize("levels", [65, 10**5])
def test_lists_of_too_many_levels_are_refused(levels):
    nested = [1.0]
    for _ in range(levels):
        nested = [nested]
    with pytest.raises(TypeError, match=r"^input must be an array.*64 levels"):
        fc.conv1d(nested, [1.0])
    while nested != [1.0]:  # freed level by level: Python's own way may be too deep
        (nested,) = nested


def test_lists_that_hold_themselves_are_refused():
    itself, twice, other = [], [], []
    itself.append(itself)
    twice.extend([twice, twice])
    other.append([[other]])
    for endless in (itself, twice, other):
        with pytest.raises(TypeError, match=r"^weight must be an array.*holds itself"):
            fc.conv1d([1.0], endless)
        with pytest.raises((TypeError, ValueError), match=r"^stride must be"):
            fc.conv1d([1.0], [1.0], stride=endless)


def test_unequal_kernels_in_a_list_are_led_to_from_kernels():
    for kernels in ([ones(3, 3), ones(5, 5)], [ones(1, 3, 3), ones(1, 3, 5)], [[[1, 2], [3]]]):
        with pytest.raises(TypeError, match=r"^weight must be an array.*shape.*FilterBank\.from_kernels"):
            fc.conv2d(ones(9, 9), kernels)
    with pytest.raises(TypeError, match=r"^input must be an array.*shape$"):
        fc.conv2d([ones(9, 9), ones(9, 8)], ones(3, 3))


# Channels that come last


@pytest.fixture
def _fresh_plans():
    conv._plans.clear()  # whose inputs have been warned of


@pytest.mark.parametrize("shape", [(30, 20, 3), (30, 20, 2), (30, 20, 4), (5, 30, 20, 3)])
@pytest.mark.usefixtures("_fresh_plans")
def test_a_kernel_that_slides_over_channels_warns_and_says_how_to_go_on(shape):
    image = ones(*shape)
    with pytest.warns(fc.LayoutWarning, match=r"^input .*channels_last=True") as warned:
        fc.conv2d(image, ones(3, 2), padding=1)
    assert [warning.filename for warning in warned] == [__file__]
    maps = fc.conv2d(np.moveaxis(image, -1, 0), ones(3, 2), padding="same")
    assert np.moveaxis(maps, 0, -1).shape == shape


@pytest.mark.usefixtures("_fresh_plans")
def test_who_says_where_the_channels_are_is_not_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.conv2d(ones(30, 3, 40), ones(3, 3), channels_last=True)
    with pytest.warns(fc.LayoutWarning) as warned:
        fc.conv2d(ones(30, 20, 3).astype(np.uint8), ones(3, 3), saturate=True)
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.usefixtures("_fresh_plans")
def test_a_layout_is_warned_of_once():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for height in (30, 30, 31, 32):  # on one line
            fc.conv2d(ones(height, 20, 3), ones(3, 3))
    assert len(warned) == 1


@pytest.mark.usefixtures("_fresh_plans")
def test_an_error_made_of_the_layout_warning_is_raised_every_time():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(fc.LayoutWarning):
                fc.conv2d(ones(30, 20, 3), ones(3, 3))


@pytest.mark.parametrize(
    ("image", "weight"),
    [
        ((30, 20, 3), (3, 1)),
        ((30, 20, 1), (3, 1)),
        ((30, 20, 5), (3, 3)),
        ((3, 30, 20), (3, 3)),
        ((3, 3, 3), (3, 3)),
        ((30, 4, 4), (3, 3)),
        ((20, 3), (3, 3)),
        ((8, 30, 3), (8, 3, 3)),
        ((8, 30, 3), (5, 8, 3, 3)),
    ],
)
@pytest.mark.usefixtures("_fresh_plans")
def test_other_layouts_are_not_warned_of(image, weight):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.conv2d(ones(*image), ones(*weight))
        fc.conv1d(ones(30, 20, 3), ones(3))
        fc.conv3d(ones(2, 30, 20, 3), ones(1, 3, 3))


@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((2**38, 2, 2), (1, 2**38, 2, 2), {}),
        ((2**33, 64, 64), (1, 2**33, 31, 31), {"algorithm": "fft"}),
        ((2**36, 2, 5), (2**36, 1, 2, 3), {"groups": 2**36}),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_weights_that_there_is_no_memory_for_are_named(image, weight, options, dtype):
    if options.get("algorithm") == "fft" and dtype == np.int8:
        options = {}
    arrays = (np.broadcast_to(dtype(1), shape) for shape in (image, weight))
    with pytest.raises(MemoryError, match=r"^(weight|input)"):
        fc.conv2d(*arrays, **options)
