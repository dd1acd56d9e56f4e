"""How a case is measured: everybody computes it, is checked, and is then timed in turns in one process.

Clocks drift and caches are shared, so a time alone says little: what counts is the ratio of two times of the same round,
and of these ratios the median. The order rotates from round to round, so that nobody always follows the same neighbour.
"""

import gc
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cases import Array
from peers import Call, Peer
from suites import OURS, Suite

from fastconv import _core

PEAK = "peak"
TOLERANCE = 1e-4  # of max|output|, fastconv to the definition and peers to fastconv: finds mistakes, not rounding
SLOWER = 1.05  # than another algorithm: worth a note on the planner
PATIENCE = 5  # seconds; a peer whose first call takes longer is not called again


@dataclass
class Row:
    """What one case gave; seconds and ratios (peer / fastconv: above 1 fastconv is faster) are medians over rounds."""

    case: Any
    peers: list[str]
    seconds: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    rounds: dict[str, int] = field(default_factory=dict)
    error: float = np.nan  # fastconv's largest error / max|output|, against float64
    peak: float = np.nan  # fastconv's direct-summation FLOP/s / those of the peak probe
    algorithm: str = ""  # that the plan chose
    notes: list[str] = field(default_factory=list)

    @property
    def gflops(self) -> float:
        return 2 * self.case.macs / self.seconds[OURS] / 1e9

    @property
    def best_peer(self) -> str | None:
        measured = [name for name in self.peers if name in self.ratios]
        return min(measured, key=self.ratios.__getitem__, default=None)


def measure(case: Any, suite: Suite, peers: list[str], seconds: float, threads: int, algorithms: bool = False) -> Row:
    """Check and time fastconv and the named peers on one case, in about `seconds` (very slow peers take longer).

    With `algorithms`, every algorithm that can do it is timed as well, and a choice of the plan that is behind is noted.
    """
    row = Row(case, peers)
    x, w = case.arrays()
    calls = suite.calls(case, x, w)
    result = calls[OURS]()
    row.error = suite.error_of(case, x, w, result)
    if not row.error <= TOLERANCE:
        raise ValueError(f"fastconv is wrong on {case.name!r}: its error is {row.error:.1e} of max|output|")
    row.algorithm, others = suite.algorithms(case, x, w)
    others = others if algorithms else {}
    calls |= others
    too_slow = {}
    for name in peers:
        try:
            if (entry := checked(suite.peers[name], case, x, w, threads, result)) is None:
                continue
        except Exception as error:  # noqa: BLE001 - whatever a peer's trouble is, it must not end the run
            row.notes.append(f"{name} left out: {error}")
            continue
        call, first = entry
        if first > PATIENCE:
            too_slow[name] = first
        else:
            calls[name] = call
    calls[PEAK], peak_flops = peak_probe()

    times = interleave(calls, seconds, pause=0.02 if threads > 1 else 0)
    times |= {name: np.full_like(times[OURS], first) for name, first in too_slow.items()}
    for name, of_rounds in times.items():
        row.seconds[name] = float(np.nanmedian(of_rounds))
        row.ratios[name] = float(np.nanmedian(of_rounds / times[OURS]))
        row.rounds[name] = 1 if name in too_slow else int(np.isfinite(of_rounds).sum())
    row.peak = 2 * case.macs / peak_flops * row.ratios[PEAK]
    if others and row.ratios[best := min(others, key=row.ratios.__getitem__)] * SLOWER < 1:
        row.notes.append(f"the plan chose {row.algorithm}, but {best} takes {row.ratios[best]:.2f} of its time")
    return row


def checked(peer: Peer, case: Any, x: Array, w: Any, threads: int, result: Array) -> tuple[Call, float] | None:
    """A peer's call, when it agrees with fastconv's result, and the seconds that it took to find out."""
    call = peer.make(case, x, w, threads)
    if call is None:
        return None
    start = time.perf_counter()
    theirs = np.asarray(call())
    first = time.perf_counter() - start
    difference = np.abs(theirs.reshape(case.output) - result).max() / np.abs(result).max()
    if not difference <= TOLERANCE:
        raise ValueError(f"its result differs by {difference:.1e} of max|output|")
    return call, first


def interleave(calls: dict[str, Call], seconds: float, pause: float = 0) -> dict[str, Array]:
    """Time all calls round by round; returns seconds per call, (rounds,) for each name, NaN where it sat out.

    A turn is one untimed call, which brings code and data back into the caches, then as many timed ones as fill a
    millisecond; calls above 0.1 s have no use for the first. Each call may use an equal share of `seconds`, so slow ones
    take part in fewer rounds, fastconv and the peak probe in all. `pause` lets the threads of the call before fall asleep.
    """
    warm, repeats, rounds = {}, {}, {}
    for name, call in calls.items():
        once = timed(call, 1)
        warm[name] = once < 0.1
        repeats[name] = max(1, int(1e-3 / once))
        turn = once * (warm[name] + repeats[name])
        rounds[name] = int(np.clip(seconds / len(calls) / turn, 3, 50))
    rounds[PEAK] = rounds[OURS]

    times = {name: np.full(rounds[OURS], np.nan) for name in calls}
    names = list(calls)
    gc.disable()
    for r in range(rounds[OURS]):
        in_turn = names[r % len(names) :] + names[: r % len(names)]
        for name in in_turn:
            if r < rounds[name]:
                time.sleep(pause)
                if warm[name]:
                    calls[name]()
                times[name][r] = timed(calls[name], repeats[name])
    gc.enable()
    return times


def timed(call: Call, repeats: int) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def peak_probe() -> tuple[Call, float]:
    """A call that does nothing but multiply and add vectors in registers, and its floating-point operations."""
    rounds = 20_000
    return lambda: _core.multiply_adds(rounds), 2 * _core.multiply_adds(rounds)
