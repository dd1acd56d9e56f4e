"""Weight gradients by Winograd's forms, whether or not a plan would choose them: against the definition."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import weight_gradient
from strategies import PADDING_MODES

import fastconv as fc
from fastconv import _check, _core, _gradient
from fastconv.algorithms import weight_winograd

KERNELS = [(3, 3), (1, 3), (3, 1), (3, 5), (5, 5), (4, 4), (7, 7)]
EPS = {np.float32: 2**-23, np.float64: 2**-52}


def forward_problem(image, weight_shape, precision="default", **options):
    given = _check.Options(**options, precision=precision)
    return _check.problem(2, image.shape, weight_shape, None, (image.dtype,) * 2, _check.options(2, given))


def gradient_by(forward, image, grad_output, threads=1):
    """The gradient by the cheapest forms."""
    layout = weight_winograd.choose(forward, math.inf)
    gradient = layout.run(image.reshape(forward.images_shape), grad_output.reshape(forward.maps_shape), threads)
    return gradient.reshape(forward.filters, -1, *forward.kernel[1:])


def arrays(rng, image_shape, weight_shape, dtype=np.float32, precision="default", **options):
    """The problem, an image and a gradient of its maps."""
    image = rng.standard_normal(image_shape).astype(dtype)
    forward = forward_problem(image, weight_shape, precision, **options)
    return forward, image, rng.standard_normal(forward.output_shape).astype(dtype)


def error(found, expected):
    """The largest error, relative to the largest gradient."""
    return np.abs(found - expected).max() / np.abs(expected).max()


@st.composite
def layers(draw):
    kernel, groups = draw(st.sampled_from(KERNELS)), draw(st.integers(1, 2))
    size = [draw(st.integers(8, 24)) for _ in kernel]
    options = {
        "stride": tuple(draw(st.integers(1, 3)) for _ in kernel),
        "dilation": tuple(draw(st.integers(1, 3)) for _ in kernel),
        "padding": tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in kernel),
        "padding_mode": draw(st.sampled_from(PADDING_MODES)),
        "groups": groups,
    }
    image_shape = (draw(st.integers(1, 3)), draw(st.integers(1, 20)) * groups, *size)
    return image_shape, (draw(st.integers(1, 20)) * groups, image_shape[1] // groups, *kernel), options


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(layer=layers(), seed=st.integers(0, 2**32 - 1))
def test_forms_agree_with_the_definition(dtype, layer, seed):
    image_shape, weight_shape, options = layer
    spans = [(k - 1) * d + 1 for k, d in zip(weight_shape[2:], options["dilation"], strict=True)]
    assume(all(span <= n for span, n in zip(spans, image_shape[2:], strict=True)))
    forward, image, grad_output = arrays(np.random.default_rng(seed), image_shape, weight_shape, dtype, **options)
    assume(weight_winograd.choose(forward, math.inf) is not None)
    expected = weight_gradient(image, weight_shape, grad_output, **options)
    found = gradient_by(forward, image, grad_output)
    assert error(found, expected) <= 40 * EPS[dtype]
    assert found.tobytes() == gradient_by(forward, image, grad_output, threads=2).tobytes()


ACCURATE = [
    ((2, 32, 28, 28), (32, 32, 3, 3), {"padding": 1}),
    ((2, 32, 14, 14), (32, 32, 3, 3), {"padding": 1}),
    ((4, 32, 7, 7), (32, 32, 3, 3), {"padding": 1}),
    ((2, 32, 29, 29), (32, 32, 3, 3), {"padding": 1, "stride": 2}),
    ((2, 32, 28, 28), (32, 32, 3, 3), {"padding": 2, "dilation": 2}),
    ((2, 32, 28, 28), (32, 32, 5, 5), {"padding": 2}),
    ((2, 3, 64, 64), (32, 3, 7, 7), {"padding": 3, "stride": 2}),
]


def exact_gradient(image, grad_output, forward):
    """The gradient in float64, tap by tap."""
    pads = [(p, forward.span(axis, forward.output_size[axis])) for axis, p in enumerate(forward.pad[1:], 1)]
    image = np.pad(image.astype(np.float64), [(0, 0), (0, 0), *pads])
    (_, height, width), (_, s, r), (_, d, e) = forward.output_size, forward.stride, forward.dilation
    gradient = np.empty((forward.filters, forward.channels, *forward.kernel[1:]))
    for u, v in np.ndindex(*forward.kernel[1:]):
        seen = image[:, :, u * d :, v * e :][:, :, : height * s : s, : width * r : r]
        gradient[:, :, u, v] = np.tensordot(grad_output.astype(np.float64), seen, ([0, 2, 3], [0, 2, 3]))
    return gradient


@pytest.mark.parametrize(("precision", "bound"), [("default", 2e-6), ("highest", 6e-7)])
@pytest.mark.parametrize(("image_shape", "weight_shape", "options"), ACCURATE)
def test_errors_are_bounded(precision, bound, image_shape, weight_shape, options, rng):
    forward, image, grad_output = arrays(rng, image_shape, weight_shape, precision=precision, **options)
    if precision == "highest" and weight_winograd.choose(forward, math.inf) is None:
        return  # left to direct summation
    found = gradient_by(forward, image, grad_output)
    assert error(found, exact_gradient(image, grad_output, forward)) <= bound


def is_chosen(forward):
    plan = _gradient.plan_weight(forward, forward.weight_shape, (forward.dtype,) * 2)
    return isinstance(plan.layouts[0], weight_winograd.WeightWinograd)


def test_plans_choose_forms_for_dense_layers_only():
    image = np.ones((64, 28, 28), "f4")
    assert is_chosen(forward_problem(image, (64, 64, 3, 3), padding=1))
    assert is_chosen(forward_problem(image, (512, 64, 3, 3), "highest", padding=1))
    assert not is_chosen(forward_problem(image, (64, 64, 1, 1)))
    assert not is_chosen(forward_problem(image, (64, 1, 3, 3), padding=1, groups=64))
    assert not is_chosen(forward_problem(image, (64, 64, 7, 7), padding=3))


def test_rows_longer_than_a_block_are_cut_into_strips(rng):
    forward, image, grad_output = arrays(rng, (2, 5, 7, 900), (6, 5, 3, 3), padding=1)
    found = gradient_by(forward, image, grad_output)
    assert error(found, exact_gradient(image, grad_output, forward)) <= 2e-6


def test_arrays_may_begin_anywhere_and_have_steps(rng):
    forward, image, grad_output = arrays(rng, (2, 32, 15, 17), (32, 32, 3, 3), padding=1)
    expected = fc.grad.conv2d_weight(image, (32, 32, 3, 3), grad_output, padding=1)
    for start in (1, 3, 5):
        numbers, maps = np.empty(image.size + 8, "f4"), np.empty(grad_output.size + 8, "f4")
        moved = numbers[start : start + image.size].reshape(image.shape)
        moved_maps = maps[start : start + grad_output.size].reshape(grad_output.shape)
        moved[...], moved_maps[...] = image, grad_output
        found = fc.grad.conv2d_weight(moved, (32, 32, 3, 3), moved_maps, padding=1)
        assert found.tobytes() == expected.tobytes()
    wide = np.full((2, 33, 18, 23), np.nan, "f4")
    wide[:, 1:, 2:17, 3:20] = image
    gradient = gradient_by(forward, np.ascontiguousarray(image), grad_output)
    layout = weight_winograd.choose(forward, math.inf)
    window = wide[:, 1:, None, 2:17, 3:20]
    assert layout.run(window, grad_output[:, :, None], 1).tobytes() == gradient.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("array", ["image", "gradient"])
def test_what_is_not_finite_is_as_direct_summation_has_it(array, bad, rng):
    forward, image, grad_output = arrays(rng, (2, 32, 15, 17), (32, 32, 3, 3), padding=1)
    plan = _gradient.plan_weight(forward, (32, 32, 3, 3), (image.dtype,) * 2)
    assert is_chosen(forward)
    (image if array == "image" else grad_output)[1, 5, 0, 3] = bad
    found = _gradient.run_weight(plan, image, grad_output, 1)
    with np.errstate(invalid="ignore"):
        expected = exact_gradient(image, grad_output, forward)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.array_equal(np.isposinf(found), np.isposinf(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_the_instruction_set(dtype, rng):
    before, _ = _core.current_isa()
    for image_shape, weight_shape, options in ACCURATE:
        forward, image, grad_output = arrays(rng, image_shape, weight_shape, dtype, **options)
        results = set()
        for isa in _core.available_isas():
            if isa != "baseline":  # which multiplies, then adds
                _core.use_isa(isa)
                results.add(gradient_by(forward, image, grad_output, threads=2).tobytes())
        _core.use_isa(before)
        assert len(results) <= 1
