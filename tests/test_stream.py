"""Signals that come in pieces: put together, the maps of the pieces are those of the whole signal, to the bit."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import convolve
from strategies import problems, values

import fastconv as fc
from fastconv.stream import Stream


def pieces_of(signal: Any, lengths: Any, axis: int) -> Any:
    """Yield a signal in pieces of these lengths, and what is left."""
    at = 0
    for length in [*lengths, signal.shape[axis]]:
        yield signal[(..., slice(at, at + length), *[slice(None)] * (-1 - axis))]
        at += length


def streamed(stream: Any, signal: Any, lengths: Any, axis: int = -1) -> Any:
    return np.concatenate([*(stream(piece) for piece in pieces_of(signal, lengths, axis)), stream.flush()], axis)


def as_bank(problem: Any, axes: int) -> Any:
    """Return a problem's weight as a bank, and its input with channels."""
    weight, bias = problem.weight, problem.bias
    image = problem.input[(..., np.newaxis, *[slice(None)] * axes)] if weight.ndim == axes else problem.input
    bank = weight.reshape((1,) * (axes + 2 - weight.ndim) + weight.shape)
    return fc.FilterBank(bank, None if bias is None else bias.reshape(-1), **problem.options), image


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_pieces_put_together_are_the_whole(axes, data):
    bank, image = as_bank(data.draw(problems(axes, ["f4", "f8", "f2", "c8", "u1", "i2"])), axes)
    axis = data.draw(st.integers(-axes, -1))
    try:
        stream = bank.stream(axis, length=max(1, image.shape[axis]))
        expected = bank(image)
    except ValueError as error:
        assert "circular" in str(error)  # noqa: PT017
        return
    lengths = data.draw(st.lists(st.integers(0, image.shape[axis]), max_size=5))
    try:
        found = streamed(stream, image, lengths, axis)
    except ValueError as error:
        assert "much larger than the image" in str(error) or not image.shape[axis]  # noqa: PT017
        return
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.tobytes() == expected.tobytes()


LONG = [
    ((1, 9000), (1, 1, 64), {"padding": "causal", "algorithm": "direct"}),
    ((2, 5000), (3, 2, 9), {"padding": "same", "padding_mode": "reflect"}),
    ((1, 9000), (2, 1, 2000), {"padding": ((700, 900),), "padding_mode": "symmetric"}),  # transforms
    ((8, 6000), (8, 8, 3), {"padding": 1, "activation": "silu"}),
    ((64, 900), (64, 64, 3), {"padding": 1, "algorithm": "winograd"}),
    ((4, 7000), (4, 1, 30), {"groups": 4, "stride": 7, "dilation": 3, "padding": "full"}),
    ((1, 5000), (16, 1, 25), {"stride": 100, "padding": ((3, 0),)}),  # samples that nothing reads
    ((2, 3000), (2, 2, 5), {"padding": "same", "padding_mode": "constant", "padding_value": [1.0, -2.0]}),
]


@pytest.mark.parametrize(("shape", "weight", "options"), LONG, ids=str)
@pytest.mark.parametrize("length", [1, 64, 333, 4096])
def test_long_signals(shape, weight, options, length, rng):
    signal, bank = values(rng, shape, "f4"), fc.FilterBank(values(rng, weight, "f4"), **options)
    signal = signal[:, : 2100 + 40 * length]  # not too many pieces
    stream = bank.stream(length=signal.shape[-1])
    found = streamed(stream, signal, [length] * (signal.shape[-1] // length))
    assert found.tobytes() == bank(signal).tobytes()
    assert found.shape == bank.output_shape(signal.shape)


@pytest.mark.parametrize("size", [1, 30, 500, 5000, 70000])
@pytest.mark.parametrize("padding", ["valid", "causal", "same", "full"])
def test_direct_summation_does_not_need_the_length(size, padding, rng):
    signal = values(rng, (3, size), "f4")
    bank = fc.FilterBank(values(rng, (4, 3, min(size, 9)), "f4"), padding=padding, algorithm="direct")
    assert streamed(bank.stream(), signal, [size // 3, 1]).tobytes() == bank(signal).tobytes()


def test_images_row_by_row_and_column_by_column(rng):
    image = values(rng, (3, 70, 90), "f4")
    bank = fc.FilterBank(values(rng, (8, 3, 3, 3), "f4"), padding="same", padding_mode="reflect", activation="relu")
    for axis in (-2, -1):
        assert (
            streamed(bank.stream(axis, length=image.shape[axis]), image, [1] * 60, axis).tobytes()
            == bank(image).tobytes()
        )
    last = bank.replace(channels_last=True)
    photograph = np.ascontiguousarray(np.moveaxis(image, 0, -1))
    found = streamed(last.stream(-3, length=70), photograph, [5] * 10, -3)
    assert np.array_equal(found, last(photograph))


def test_every_piece_gives_all_that_can_be_told(rng):
    signal, weight = values(rng, (2, 200), "f8"), values(rng, (3, 2, 5), "f8")
    stream = fc.FilterBank(weight, padding="causal", algorithm="direct").stream()
    expected = convolve(signal, weight, axes=1, padding=((4, 0),))
    for at in range(200):
        np.testing.assert_allclose(stream(signal[:, at : at + 1]), expected[:, at : at + 1], rtol=1e-12)
    assert stream.flush().shape == (3, 0)


@pytest.mark.parametrize("algorithm", ["direct", "winograd", "fft"])
@pytest.mark.parametrize(("padding", "stride"), [("causal", 1), ("valid", 1), ("full", 1), (((2, 3),), 2)])
def test_latency(algorithm, padding, stride, rng):
    bank = fc.FilterBank(values(rng, (2, 2, 9), "f4"), padding=padding, stride=stride, algorithm=algorithm)
    stream, told, longest = bank.stream(), 0, 0
    before = stream.latency
    for at in range(3000):
        count = stream(values(rng, (2, 1), "f4")).shape[-1]
        if count:
            longest = max(longest, at - told * stride)  # samples behind that of the first of these outputs
        told += count
    assert stream.latency == before == longest
    assert algorithm != "direct" or padding != "causal" or longest == 0


def test_streams_are_copied_and_pickled_where_they_are(rng):
    signal, bank = values(rng, (2, 500), "f4"), fc.FilterBank(values(rng, (3, 2, 7), "f4"), padding="same")
    stream, expected = bank.stream(length=500), bank(signal)
    first = stream(signal[:, :123])
    others = copy.copy(stream), copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))
    for one in (stream, *others):
        rest = [first, one(signal[:, 123:]), one.flush()]
        assert np.concatenate(rest, -1).tobytes() == expected.tobytes()


def test_pieces_may_be_changed_once_they_are_given(rng):
    signal, bank = values(rng, (1, 400), "f4"), fc.FilterBank(values(rng, (1, 1, 31), "f4"))
    stream, room, maps = bank.stream(length=400), np.empty((1, 10), np.float32), []
    for at in range(0, 400, 10):
        room[...] = signal[:, at : at + 10]
        maps.append(stream(room))
    assert np.concatenate([*maps, stream.flush()], -1).tobytes() == bank(signal).tobytes()


def test_a_stream_is_ready_for_another_signal_once_it_is_flushed(rng):
    bank = fc.FilterBank(values(rng, (2, 1, 9), "f4"), padding=4, algorithm="direct")
    stream = bank.stream()
    for shape in ((1, 100), (5, 1, 37)):
        signal = values(rng, shape, "f4")
        assert streamed(stream, signal, [10, 20]).tobytes() == bank(signal).tobytes()


def test_signals_of_one_channel_need_no_axis_for_it(rng):
    signal, bank = (
        values(rng, (300,), "f4"),
        fc.FilterBank(values(rng, (3, 1, 5), "f4"), padding="same", algorithm="direct"),
    )
    assert streamed(bank.stream(), signal, [1, 64, 64]).tobytes() == bank(signal).tobytes()
    image, edges = values(rng, (40, 30), "f4"), fc.FilterBank(values(rng, (2, 1, 3, 3), "f4"), padding=1)
    assert streamed(edges.stream(-2, length=40), image, [7] * 5, -2).tobytes() == edges(image).tobytes()
    with pytest.raises(ValueError, match="piece must have 2 axes"):
        edges.stream()(signal)


def test_causal_convolution_with_state(rng):
    """As ONNX has it: the state is what the last taps - 1 samples were, at first zeros."""
    weight, signal = values(rng, (6, 1, 4), "f4"), values(rng, (2, 6, 50), "f4")
    stream = fc.FilterBank(weight, groups=6, padding="causal", activation="silu", algorithm="direct").stream()
    state = np.zeros((2, 6, 3), np.float32)
    for piece in np.split(signal, [1, 20, 21], axis=-1):
        both = np.concatenate([state, piece], -1)
        expected, state = fc.conv1d(both, weight, groups=6, activation="silu", algorithm="direct"), both[..., -3:]
        assert np.array_equal(stream(piece), expected)


@pytest.mark.parametrize("mode", ["zeros", "constant", "reflect"])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("length", [700_001, 2_300_000])
def test_signals_may_be_longer_than_what_is_planned(length, stride, mode, rng):
    weight, signal = values(rng, (1, 1, 7), "f4"), values(rng, (1, 2_300_000), "f4")
    more = {"padding_value": 1.5} if mode == "constant" else {}
    bank = fc.FilterBank(weight, padding=3, padding_mode=mode, stride=stride, algorithm="direct", **more)
    stream, told = bank.stream(), []
    for piece in pieces_of(signal, [length] * (signal.shape[-1] // length), -1):
        told.append(stream(piece))
        assert sum(maps.shape[-1] for maps in told) >= (stream._received - 7) // stride
    told.append(stream.flush())
    assert np.concatenate(told, -1).tobytes() == bank(signal).tobytes()


def test_memory_is_bounded(rng):
    stream = fc.FilterBank(values(rng, (1, 1, 33), "f4"), padding="same", padding_mode="reflect").stream()
    for _ in range(20):
        stream(values(rng, (1, 10_000), "f4"))
        assert stream._kept.shape[-1] < 100
        assert stream._kept.base is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fc.FilterBank(np.ones((1, 1, 3))).stream(0), r"axis must be one of \[-1\]"),
        (lambda: fc.FilterBank(np.ones((1, 1, 3, 3))).stream(-3), r"axis must be one of \[-2, -1\]"),
        (
            lambda: fc.FilterBank(np.ones((1, 1, 3)), padding=1, padding_mode="circular").stream(),
            "padding_mode must not need",
        ),
        (lambda: fc.FilterBank(np.ones((1, 1, 3)), padding="same", stride=2).stream(), "pass length="),
        (lambda: fc.FilterBank(np.ones((1, 1, 3))).stream(length=0), "length must be"),
        (lambda: fc.FilterBank(np.ones((1, 1, 3))).stream().flush(), "flush needs a piece before it"),
        (lambda: fc.FilterBank(np.ones((1, 1, 3, 3))).stream().latency, "latency is known only after a piece"),
        (lambda: fc.FilterBank(np.ones((1, 2, 3))).stream()(np.ones((3, 9))), "channels"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("piece", [np.ones((2, 5)), np.ones((1, 1, 5)), np.ones((1, 5), np.float32)])
def test_pieces_that_do_not_follow_are_refused(piece):
    stream = fc.FilterBank(np.ones((1, 1, 3)), algorithm="direct").stream()
    stream(np.ones((1, 5)))
    with pytest.raises(ValueError, match=r"piece must have the shape \(1, 0\) of those before"):
        stream(piece)
    assert stream(np.ones((1, 5))).shape == (1, 5)


def test_a_length_that_is_not_reached_is_an_error():
    stream = fc.FilterBank(np.ones((1, 1, 3))).stream(length=10)
    stream(np.ones((1, 9)))
    with pytest.raises(ValueError, match="length must be that of the signal; got 10 for one of 9 samples"):
        stream.flush()


def test_its_words():
    assert repr(fc.FilterBank(np.ones((1, 1, 3))).stream()) == "FilterBank(1 -> 1, kernel 3).stream(axis=-1)"
    assert isinstance(fc.FilterBank(np.ones((1, 1, 3))).stream(), Stream)
