"""scipy.signal's FIR filters: the state of `lfilter`, and `upfirdn` as banks of filters, one for each phase."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastconv import _plan, _sections
from fastconv._arrays import pieces
from fastconv._passes import DTypes
from fastconv._problem import Array
from fastconv._sections import Border, Section, Task, Window
from fastconv._signal import PLAN_BYTES, plans

PIECE_NUMBERS = 2**20  # copied at a time: interrupts (Ctrl-C) are handled in between


def filter_state(state: Array, signals: tuple[int, ...], axis: int, taps: int) -> Array:
    """Return a filter's state, broadcast to what signals of this shape and so many taps before the newest one need."""
    wanted = tuple(taps if index == axis else n for index, n in enumerate(signals))
    fits = state.ndim == len(wanted) and state.shape[axis] == taps
    if not fits or any(n not in (1, m) for n, m in zip(state.shape, wanted, strict=True)):
        raise ValueError(f"Unexpected shape for parameter zi: expected {wanted}, found {state.shape}")
    return np.broadcast_to(state, wanted)


EXTENSIONS = (
    "constant",
    "wrap",
    "edge",
    "smooth",
    "symmetric",
    "reflect",
    "antisymmetric",
    "antireflect",
    "line",
)


def check_extension(mode: object) -> str:
    """Return the name of what lies beyond a signal, in lower case."""
    if isinstance(mode, str) and mode.lower() in EXTENSIONS:
        return mode.lower()
    raise ValueError(f"Unknown mode: it must be one of {', '.join(map(repr, EXTENSIONS))}; got {mode!r}")


def extended(x: Array, count: int, mode: str, value: complex) -> Array:
    """Return signals (N, W) with so many samples more at each end."""
    n, index = x.shape[1], np.arange(-count, x.shape[1] + count)
    if mode == "constant":
        return np.pad(x, ((0, 0), (count, count)), constant_values=value)
    if mode == "wrap":
        return x[:, index % n]
    if mode in ("symmetric", "antisymmetric"):
        turns, place = np.divmod(index, n)
        mirrored = x[:, np.where(turns % 2, n - 1 - place, place)]
        return np.where(turns % 2, -mirrored, mirrored) if mode == "antisymmetric" else mirrored
    first, last = x[:, :1], x[:, -1:]
    if mode in ("reflect", "antireflect") and n > 1:
        turns, place = np.divmod(index, n - 1)
        mirrored = x[:, np.where(turns % 2, n - 1 - place, place)]
        if mode == "antireflect":
            mirrored = np.where(turns % 2, 2 * last - mirrored, mirrored) + turns // 2 * 2 * (last - first)
        return mirrored.astype(x.dtype, copy=False)
    result: Array = x[:, np.clip(index, 0, n - 1)]
    if mode in ("line", "smooth") and n > 1:
        slopes = [(last - first) / (n - 1)] * 2 if mode == "line" else [x[:, 1:2] - first, last - x[:, -2:-1]]
        result[:, :count] += slopes[0] * index[:count]
        result[:, count + n :] += slopes[1] * (index[count + n :] - (n - 1))
    return result


class Polyphase(NamedTuple):
    """A filter between samples of two rates: output k sees those samples j for which h[k * down - j * up] is there.

    With period = up / gcd(up, down), outputs r + period * q of one phase r are a convolution of stride
    down / gcd(up, down). Phases that read about the same samples are the filters of one bank.
    """

    outputs: int  # of one signal
    period: int
    banks: tuple[tuple[slice, int, Array, Any], ...]  # phases, samples to skip, their weights in h, and the plan


def upfirdn(h: Array, x: Array, up: int, down: int, extension: tuple[str, Any], threads: int) -> Array:
    """Return signals (N, W) upsampled by zeros between samples, filtered, and downsampled, in the dtype of h.

    extension: a mode, and what lies beyond the signals if it is "constant".
    """
    outputs, lead = -(-((x.shape[1] - 1) * up + len(h)) // down), (len(h) - 1) // up
    if not x.size:
        return np.zeros((len(x), max(0, outputs)), h.dtype)
    if extension == ("constant", 0):
        lead = 0
    else:
        x = extended(x.astype(h.dtype), lead, *extension)
    key = (x.shape, h.shape, x.dtype, h.dtype, up, down, lead)
    filter_ = plans.get(key)
    if filter_ is None:
        filter_ = polyphase(x.shape, lead, outputs, len(h), up, down, DTypes(x.dtype, h.dtype, h.dtype))
        plans.put(key, filter_, PLAN_BYTES * (1 + len(filter_.banks)))
    if filter_.period == 1:
        _, skipped, _, plan = filter_.banks[0]
        return _plan.run(plan, x[:, skipped:], np.ascontiguousarray(h[::up][::-1]), None, None, threads)
    padded = np.append(h, np.zeros(1 + -len(h) % up, h.dtype))  # the last one is no weight of the filter
    rows = -(-filter_.outputs // filter_.period)
    result: Array = np.empty((len(x), rows, filter_.period), h.dtype)
    for phases, skipped, index, plan in filter_.banks:
        maps = _plan.run(plan, x[:, skipped:], padded[index], None, None, threads)  # (N, phases, outputs)
        ordered = maps.transpose(0, 2, 1)
        for place in pieces(ordered.shape, PIECE_NUMBERS):
            result[:, : maps.shape[2], phases][place] = ordered[place]
    return result.reshape(len(x), -1)[:, : filter_.outputs]


def polyphase(
    shape: tuple[int, int], lead: int, outputs: int, taps: int, up: int, down: int, dtypes: DTypes
) -> Polyphase:
    """Return the plans of a filter of so many taps for signals (N, W), of which `lead` samples precede the first."""
    signals, samples = shape
    divisor = math.gcd(up, down)
    period, stride, reach = up // divisor, down // divisor, -(-taps // up)
    newest = [
        lead + phase * down // up for phase in range(period)
    ]  # the last sample that the first output of a phase sees
    task = Task((), (), Section((), ()), Border(), dtypes, "auto")
    banks, first = [], 0
    while first < min(period, outputs):
        last = first + 1
        while last < min(period, outputs) and newest[last] - newest[first] < reach:
            last += 1
        tap = [[phase * down % up + i * up for i in range(reach)] for phase in range(first, last)]
        columns = reach + newest[last - 1] - newest[first]
        index = np.full((last - first, columns), reach * up)  # of the weight 0 behind those of h
        for row, phase in enumerate(range(first, last)):
            offset = newest[phase] - newest[first]
            index[row, offset : offset + reach] = tap[row][::-1]
        before = reach - 1 - newest[first]
        skipped = max(0, -before)
        count = -(-(outputs - first) // period)
        window = Window(slice(skipped, samples), max(0, before), columns, count)
        plan = _sections.plan(task, [window], (signals,), filters=last - first if period > 1 else 0, stride=stride)
        banks.append((slice(first, last), skipped, index, plan))
        first = last
    return Polyphase(outputs, period, tuple(banks))
