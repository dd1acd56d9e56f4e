"""The suites: their cases and peers, what of fastconv is timed, and the definition in float64."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from backward_cases import BACKWARD_CASES, BackwardCase, Net
from backward_peers import BACKWARD_PEERS
from cases import CASES, Array, Case
from integers import INTEGER_CASES, INTEGER_PEERS, IntegerCase
from peers import PEERS, Call, Peer, padded, windows

import fastconv as fc

OURS, OUR_CALL, OUR_OUT = "fastconv", "fastconv call", "fastconv out"
SAMPLE = 200_000_000  # multiply-adds that a check takes, or a few times as many


@dataclass(frozen=True)
class Suite:
    cases: list[Any]
    peers: dict[str, Peer]
    calls: Callable[[Any, Array, Any], dict[str, Call]]  # of fastconv, OURS among them, from a case and its arrays
    error_of: Callable[[Any, Array, Any, Array], float]  # of a result, over max|output|
    algorithms: Callable[[Any, Array, Any], tuple[str, dict[str, Call]]]  # the plan's, and calls of each that can do it


# Forward


def forward_calls(case: Case, x: Array, w: Array) -> dict[str, Call]:
    bank = fc.FilterBank(w, **case.options)
    maps = bank(x)  # (N, K, H', W')
    return {
        OURS: lambda: bank(x),
        OUR_CALL: lambda: fc.conv2d(x, w, **case.options),
        OUR_OUT: lambda: bank(x, out=maps),
    }


def forward_algorithms(case: Case, x: Array, w: Array) -> tuple[str, dict[str, Call]]:
    why = fc.explain(case.input, w, **case.options)
    # two passes are nothing to ask for: only "auto" takes them
    names = [c.algorithm for c in why.candidates if c.algorithm != "separable"]
    return why.algorithm, {name: partial(fc.FilterBank(w, **case.options, algorithm=name), x) for name in names}


def forward_error(case: Case, x: Array, w: Array, result: Array) -> float:
    """Largest error over max|output|, against the definition in float64 on as many output rows as take a moment."""
    height = case.output[2]
    count = min(height, max(3, SAMPLE * height // case.macs))
    maps = windows(case, padded(case, x.astype(np.float64)))  # (N, C, H', W', kh, kw)
    banks = np.split(w.astype(np.float64), case.groups)
    errors = []
    for i in np.linspace(0, height - 1, count).astype(int):
        groups = np.split(maps[:, :, i], case.groups, axis=1)
        exact = [np.tensordot(b, g, ((1, 2, 3), (1, 3, 4))) for b, g in zip(banks, groups, strict=True)]  # (K/g, N, W')
        errors.append(np.abs(np.concatenate(exact).swapaxes(0, 1) - result[:, :, i]).max())
    return float(np.max(errors) / np.abs(result).max())


# Backward


def backward_calls(case: BackwardCase | Net, x: Array, w: Any) -> dict[str, Call]:
    """Banks are made beforehand, but for a training step, whose weights are new every time."""
    if isinstance(case, Net):
        return {OURS: lambda: training_step(case, x, w)}
    options = case.options
    if case.computes == "transposed":
        bank = fc.TransposedFilterBank(w, **options)
        function, maps = getattr(fc, f"conv_transpose{case.axes}d"), bank(x)
        return {
            OURS: lambda: bank(x),
            OUR_CALL: lambda: function(x, w, **options),
            OUR_OUT: lambda: bank(x, out=maps),
        }
    function = getattr(fc.grad, f"conv{case.axes}d_{case.computes}")
    if case.computes == "input":
        return {OURS: lambda: function(case.input, w, x, **options)}
    return {OURS: lambda: function(x, case.weight, w, **options)}


def training_step(case: Net, x: Array, w: list[Array]) -> Array:
    """Return the gradients of all weights, by the functions that take new weights in every call."""
    gradient, *weights = w
    images = [x]
    for weight, layer in zip(weights, case.layers, strict=True):
        images.append(fc.conv2d(images[-1], weight, **layer.options))
    found = []
    for weight, layer in zip(reversed(weights), reversed(case.layers), strict=True):
        options = {**layer.options}
        maps, image = images.pop(), images[-1]
        if options.pop("activation", None):
            gradient = gradient * (maps > 0)
        found.append(fc.grad.conv2d_weight(image, weight.shape, gradient, **options).reshape(-1))
        gradient = fc.grad.conv2d_input(image.shape, weight, gradient, **options)
    return np.concatenate(found[::-1])


def backward_error(case: BackwardCase | Net, x: Array, w: Any, result: Array) -> float:
    """Largest error over max|result|, against the definition in float64 on as many maps or filters as take a moment."""
    if isinstance(case, Net):  # against fastconv in float64: what its layers compute is checked one by one
        exact = training_step(case, x.astype(np.float64), [array.astype(np.float64) for array in w])
        return float(abs(result - exact).max() / abs(exact).max())
    first, second = x.astype(np.float64), w.astype(np.float64)
    filters = case.weight[0] if case.computes == "weight" else case.output[1]
    channels, errors = first.shape[1] // case.groups, []
    for k in np.linspace(0, filters - 1, max(1, min(filters, SAMPLE * filters // case.macs))).astype(int):
        group, k_of_group = divmod(k, filters // case.groups)
        seen = slice(group * channels, (group + 1) * channels)
        if case.computes == "weight":
            exact, found = weight_of_filter(case, first[:, seen], second[:, k]), result[k]
        else:
            exact, found = stamped_map(case, first[:, seen], second[seen, k_of_group]), result[:, k]
        errors.append(abs(found - exact).max())
    return float(max(errors) / abs(result).max())


def stamped_map(case: BackwardCase, images: Array, weight: Array) -> Array:
    """One map (N, *size) of a transposed convolution of images (N, C, *size) with kernels (C, *kernel)."""
    s, d, pad = case.stride, case.dilation, case.padding
    maps = np.zeros((len(images), *(n + 2 * pad + s for n in case.output[2:])))  # with room for what is cut off
    for tap in itertools.product(*map(range, weight.shape[1:])):
        reached = (slice(t * d, t * d + (n - 1) * s + 1, s) for t, n in zip(tap, images.shape[2:], strict=True))
        maps[:, *reached] += np.tensordot(images, weight[:, *tap], (1, 0))
    return maps[:, *(slice(pad, pad + n) for n in case.output[2:])]


def weight_of_filter(case: BackwardCase, images: Array, gradient: Array) -> Array:
    """The gradient (C, *kernel) of one filter, from images (N, C, *size) and the gradient of its map, (N, *size)."""
    s, d, pad = case.stride, case.dilation, case.padding
    around = np.pad(images, [(0, 0), (0, 0), *[(pad, pad)] * case.axes]).swapaxes(0, 1)
    weight = np.empty((len(around), *case.weight[2:]))
    for tap in itertools.product(*map(range, case.weight[2:])):
        seen = (slice(t * d, t * d + (n - 1) * s + 1, s) for t, n in zip(tap, gradient.shape[1:], strict=True))
        weight[:, *tap] = np.tensordot(around[:, :, *seen], gradient, gradient.ndim)
    return weight


# Integers


def integer_calls(case: IntegerCase, x: Array, w: Array) -> dict[str, Call]:
    if case.kind == "quantized":
        bank = fc.QuantizedFilterBank(*case.quantization(w), padding=case.padding)
        return {
            OURS: lambda: bank(x),
            OUR_CALL: lambda: fc.qlinear_conv(x, *case.quantization(w), padding=case.padding),
        }
    filters = fc.FilterBank(w, **case.options, padding_mode=case.padding_mode)
    return {
        OURS: lambda: filters(x),
        OUR_CALL: lambda: fc.conv2d(x, w, **case.options, padding_mode=case.padding_mode),
    }


def integer_error(case: IntegerCase, x: Array, w: Array, result: Array) -> float:
    """0 or infinite: exact sums, or what exact sums are quantized to."""
    wide = {"circular": "wrap", "zeros": "constant"}[case.padding_mode]
    (rows, columns), zero = case.pads, case.input_zero
    image = np.pad(x.astype(np.float64) - zero, ((0, 0), (0, 0), (rows, rows), (columns, columns)), mode=wide)
    sums = fc.conv2d(image, w.astype(np.float64), algorithm="direct")
    return 0.0 if np.array_equal(case.quantized(sums), result) else np.inf


SUITES = {
    "integers": Suite(INTEGER_CASES, INTEGER_PEERS, integer_calls, integer_error, lambda *_: ("", {})),
    "forward": Suite(CASES, PEERS, forward_calls, forward_error, forward_algorithms),
    "backward": Suite(BACKWARD_CASES, BACKWARD_PEERS, backward_calls, backward_error, lambda *_: ("", {})),
}
