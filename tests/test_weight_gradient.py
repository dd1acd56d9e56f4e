"""The fast ways to compute the gradient of a weight, each alone, against loops in float64."""

import itertools
import math
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import _core
from fastconv._problem import Problem
from fastconv.algorithms import weight_direct, weight_dot

PADDING_MODES = ["zeros", "reflect", "replicate", "circular", "symmetric"]


def lines(forward: Problem, budget: float) -> Any:
    """Dot products whose lanes are pixels."""
    with patch.object(weight_dot, "INTERLEAVE", math.inf):
        return weight_dot.choose(forward, budget)


def stacks(forward: Problem, budget: float) -> Any:
    """Dot products whose lanes are channels, for kernels of a single one."""
    with patch.object(weight_dot, "INTERLEAVE", 0.0), patch.object(weight_dot, "TILE", math.inf):
        return weight_dot.choose(forward, budget)


algorithms = pytest.mark.parametrize("choose", [weight_direct.choose, lines, stacks], ids=["direct", "lines", "stacks"])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def problem(
    batch: int, channels: int, filters: int, size: Any, kernel: Any, dtype: Any = np.float32, **options: Any
) -> Problem:
    """A forward convolution; sizes and options have one number for each of 1 to 3 axes, output_size is as large as can be."""
    axes = len(size)

    def triple(given: Any, fill: int) -> Any:
        given = given if isinstance(given, tuple) else (given,) * axes
        return (fill,) * (3 - axes) + given

    size, kernel = triple(size, 1), triple(kernel, 1)
    stride, dilation = triple(options.pop("stride", 1), 1), triple(options.pop("dilation", 1), 1)
    pad = triple(options.pop("pad", 0), 0)
    after = triple(options.pop("after"), 0) if "after" in options else pad
    output_size = tuple(
        (n + before + behind - step * (taps - 1) - 1) // s + 1
        for n, taps, s, step, before, behind in zip(size, kernel, stride, dilation, pad, after, strict=True)
    )
    return Problem(
        output_shape=(batch, filters, *output_size),
        batch_shape=(batch,),
        channels=channels,
        filters=filters,
        groups=options.pop("groups", 1),
        size=size,
        kernel=kernel,
        output_size=output_size,
        stride=stride,
        dilation=dilation,
        pad=pad,
        padding_mode=options.pop("padding_mode", "zeros"),
        flip=False,
        activation=None,
        algorithm="auto",
        precision=options.pop("precision", "default"),
        dtype=np.dtype(dtype),
        accumulator=np.dtype(dtype),
    )


def draw(forward: Problem, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    shapes = (forward.images_shape, forward.maps_shape)
    return [rng.standard_normal(shape).astype(forward.dtype) for shape in shapes]


def padded(forward: Problem, images: Any) -> Any:
    """The image as the forward pass sees it."""
    for axis in range(3):
        last = forward.span(axis, forward.output_size[axis]) - forward.pad[axis]
        mode = _core.PADDING_MODES[forward.padding_mode]
        indices = np.array(_core.padded_indices(-forward.pad[axis], last, forward.size[axis], mode), dtype=int)
        beyond = (indices < 0).reshape([-1 if other == axis else 1 for other in range(3)])
        images = np.where(beyond, 0, np.take(images, np.maximum(indices, 0), axis + 2))
    return images


def expected(forward: Problem, images: Any, maps: Any) -> Any:
    """The gradient by its definition, one kernel position after another."""
    batch, groups = len(images), forward.groups
    result = np.zeros(forward.weight_shape)
    images = padded(forward, images.astype(np.float64)).reshape(batch, groups, -1, *padded_shape(forward))
    maps = maps.astype(np.float64).reshape(batch, groups, -1, *forward.output_size)
    for taps in itertools.product(*map(range, forward.kernel)):
        where = [
            slice(tap * dilation, tap * dilation + (outputs - 1) * stride + 1, stride)
            for tap, dilation, stride, outputs in zip(
                taps, forward.dilation, forward.stride, forward.output_size, strict=True
            )
        ]
        seen = images[(..., *where)]
        with np.errstate(invalid="ignore"):
            sums = np.einsum("ngkzyx,ngczyx->gkc", maps, seen)
        result[(..., *taps)] = sums.reshape(result.shape[:2])
    return result


def padded_shape(forward: Problem) -> list[int]:
    return [forward.span(axis, forward.output_size[axis]) for axis in range(3)]


def check(choose: Any, forward: Problem, images: Any = None, maps: Any = None, threads: int = 1) -> Any:
    """Return the gradient after a comparison with the definition."""
    if images is None:
        images, maps = draw(forward)
    layout = choose(forward, math.inf)
    assert layout is not None
    found, correct = layout.run(images, maps, threads), expected(forward, images, maps)
    assert found.dtype == forward.dtype
    products = math.prod(forward.maps_shape[2:]) * max(1, len(images))
    tolerance = 4 * np.finfo(forward.dtype).eps * (1 + math.sqrt(products))
    np.testing.assert_allclose(found, correct, rtol=1e-5 if found.itemsize == 4 else 1e-13, atol=8 * tolerance)
    return found


@st.composite
def forwards(draw: Any) -> Problem:
    axes = draw(st.integers(1, 3))
    per_axis = lambda low, high: st.tuples(*[st.integers(low, high)] * axes)
    kernel, stride, dilation, pad, after = (draw(per_axis(*pair)) for pair in ((1, 4), (1, 4), (1, 3), (0, 3), (0, 3)))
    reach = [step * (taps - 1) + 1 for step, taps in zip(dilation, kernel, strict=True)]
    more = draw(per_axis(0, 40 if axes == 1 else 20 if axes == 2 else 8))
    size = tuple(max(1, r - before - behind) + m for r, before, behind, m in zip(reach, pad, after, more, strict=True))
    groups = draw(st.sampled_from([1, 1, 2, 5]))
    return problem(
        draw(st.integers(1, 4)),
        groups * draw(st.integers(1, 5)),
        groups * draw(st.sampled_from([1, 1, 2, 5, 9, 30])),
        size,
        kernel,
        draw(st.sampled_from([np.float32, np.float64])),
        stride=stride,
        dilation=dilation,
        pad=pad,
        after=after,
        groups=groups,
        padding_mode=draw(st.sampled_from(PADDING_MODES)),
        precision=draw(st.sampled_from(["default", "highest"])),
    )


@algorithms
@given(forward=forwards(), threads=st.integers(1, 2))
def test_any_problem(choose: Any, forward: Problem, threads: int) -> None:
    check(choose, forward, threads=threads)


LAYERS = [
    problem(3, 20, 50, (14, 14), 3, pad=1),
    problem(2, 70, 100, (9, 9), 1),  # channels in the lanes
    problem(2, 300, 260, (5, 5), 1),  # likewise: there are many filters
    problem(2, 64, 20, (12, 12), 1),
    problem(2, 6, 40, (13, 13), 1, stride=2),
    problem(1, 3, 16, (41, 41), 7, stride=2, pad=3),  # several chunks of rows
    problem(1, 2, 3, (70, 70), 3, pad=1, padding_mode="reflect"),
    problem(1, 2, 30, (2500,), 5, pad=2),  # chunks of columns
    problem(1, 1, 3, (9000,), 4, stride=3, dilation=2),
    problem(1, 3, 8, (11, 12, 13), 3, pad=1),
    problem(2, 4, 6, (20, 9, 9), (2, 3, 1), stride=(2, 1, 1), pad=(1, 1, 0)),
    problem(2, 30, 30, (30, 30), 3, pad=1, groups=30),  # one filter for each channel
    problem(2, 30, 30, (30, 30), 3, pad=1, groups=30, stride=2),
    problem(2, 8, 8, (20, 20), 7, pad=3, groups=8),
    problem(2, 8, 8, (3, 20), 7, pad=3, groups=8),  # fewer rows than the kernel has
    problem(2, 6, 3, (19, 18), (5, 3), pad=2, groups=3, stride=3),
    problem(2, 8, 24, (20, 20), 3, pad=1, groups=8),
    problem(5, 40, 20, (1, 1), 1),
    problem(3000, 3, 5, (2, 2), (2, 1), pad=(1, 0)),  # a huge batch of tiny maps
    problem(1, 600, 500, (4, 4), 3, pad=1),  # weights in several parts
    problem(1, 1, 40, (900,), 700, pad=300),
]


@algorithms
@pytest.mark.parametrize("forward", LAYERS, ids=lambda p: f"{p.channels}->{p.filters} {p.kernel} on {p.size}")
def test_layers(choose: Any, forward: Problem) -> None:
    if choose(forward, math.inf) is None:
        pytest.skip("has too many weights")
    check(choose, forward)


@algorithms
@both_dtypes
def test_bits_do_not_depend_on_threads_or_places(choose: Any, dtype: Any) -> None:
    for forward in LAYERS:
        forward = forward._replace(dtype=np.dtype(dtype), accumulator=np.dtype(dtype))
        if (layout := choose(forward, math.inf)) is None:
            continue
        images, maps = draw(forward)
        alone = layout.run(images, maps, 1)
        assert (layout.run(images, maps, 2) == alone).all()
        rooms = [np.empty(array.size + 1, dtype)[1:].reshape(array.shape) for array in (images, maps)]
        rooms[0][...], rooms[1][...] = images, maps
        assert (layout.run(*rooms, 2) == alone).all()
        wider = [np.empty((*array.shape[:3], array.shape[3] + 2, array.shape[4]), dtype) for array in (images, maps)]
        wider[0][..., 1:-1, :], wider[1][..., 1:-1, :] = images, maps
        assert (layout.run(*(array[..., 1:-1, :] for array in wider), 1) == alone).all()
        assert (layout.run(*(np.concatenate([array] * 2)[: len(array)] for array in (images, maps)), 1) == alone).all()


@pytest.mark.skipif({"avx512", "avx2"} - set(_core.available_isas()) != set(), reason="lacks AVX-512")
@algorithms
def test_bits_do_not_depend_on_the_instruction_set(choose: Any) -> None:
    results: dict[str, list[Any]] = {}
    try:
        for isa in ("avx512", "avx2"):
            _core.use_isa(isa)
            layouts = [choose(forward, math.inf) for forward in LAYERS]
            results[isa] = [layout.run(*draw(layout.forward), 1) for layout in layouts if layout]
    finally:
        _core.use_isa()
    for one, other in zip(*results.values(), strict=True):
        np.testing.assert_array_equal(one, other)


@algorithms
@pytest.mark.parametrize("place", [0, 5, -1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_reach_what_sees_them(choose: Any, place: int, value: float) -> None:
    """Zeros of the padding are multiplied like pixels."""
    for groups, filters in ((1, 3), (4, 4)):
        forward = problem(2, 4, filters, (6, 9), 3, pad=1, groups=groups)
        for spoilt in range(2):
            arrays = draw(forward)
            arrays[spoilt].reshape(-1)[place] = value
            found = choose(forward, math.inf).run(*arrays, 1)
            correct = expected(forward, *arrays)
            np.testing.assert_array_equal(np.isnan(found), np.isnan(correct))
            np.testing.assert_allclose(found, correct, rtol=1e-4, atol=1e-4)


@algorithms
def test_nothing_to_sum_is_zero(choose: Any) -> None:
    forward = problem(2, 3, 4, (5, 5), 3, pad=1)
    layout = choose(forward, math.inf)
    images, maps = draw(forward)
    assert (layout.run(images[:0], maps[:0], 2) == 0).all()


@algorithms
def test_any_number_of_images(choose: Any) -> None:
    forward = problem(7, 3, 30, (9, 9), 3, pad=1)
    for count in (1, 2, 3, 6, 7):
        images, maps = draw(forward._replace(batch_shape=(count,)))
        check(choose, forward._replace(batch_shape=(count,)), images, maps)
        found = choose(forward, math.inf).run(images, maps, 1)
        np.testing.assert_allclose(found, expected(forward, images, maps), rtol=1e-4, atol=1e-4)


@algorithms
def test_the_budget_and_the_dtype_are_looked_at(choose: Any) -> None:
    forward = problem(2, 3, 4, (5, 5), 3, pad=1)
    assert choose(forward, 1.0) is None
    assert choose(forward._replace(accumulator=np.dtype(np.int64)), math.inf) is None
    assert choose(problem(1, 1, 1, (3000, 3000), 3, dilation=1400, pad=1), math.inf) is None


def test_the_cheapest_is_the_one_that_suits() -> None:
    for forward, best, how in [
        (problem(1, 64, 256, (56, 56), 1), weight_direct, "channels in the lanes"),
        (problem(64, 16, 16, (14, 14), 3, stride=2, pad=1), weight_direct, "filters in the lanes"),
        (problem(1, 128, 128, (56, 56), 3, pad=1, groups=32), weight_dot, "pixels in the lanes"),
        (problem(16, 144, 144, (7, 7), 3, pad=1, groups=144), weight_dot, "channels in the lanes"),
    ]:
        layouts = {algorithm: algorithm.choose(forward, math.inf) for algorithm in (weight_direct, weight_dot)}
        chosen = layouts[best]
        assert chosen is not None
        assert how in chosen.how
        assert all(layout is None or chosen.cost <= layout.cost for layout in layouts.values())


def test_the_step_between_images_does_not_matter_if_there_is_one(rng):
    """NumPy calls such an array contiguous, whatever the step is."""
    image, grad_output = rng.standard_normal((1, 2, 9, 9), np.float32), rng.standard_normal((1, 4, 7, 7), np.float32)
    odd = np.lib.stride_tricks.as_strided(image, strides=(3, *image.strides[1:]))
    expected = fc.grad.conv2d_weight(image, (4, 2, 3, 3), grad_output)
    assert np.array_equal(fc.grad.conv2d_weight(odd, (4, 2, 3, 3), grad_output), expected)
