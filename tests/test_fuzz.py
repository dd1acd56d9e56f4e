"""The fuzzer: its definition of a convolution, what it draws, and that it counts crashes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz_sets import define, draw, refusal
from reference import convolve

CRASHING = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fuzz
def check(seed, index):
    if index == 7:
        os.kill(os.getpid(), signal.SIGSEGV)
    if index == 9:
        raise fuzz.Fault("wrong", "by far")
fuzz.check = check
print(*sorted(fuzz.fuzz(1, 5, 10, 60, 1)))
"""


def test_its_definition_is_the_definition():
    compared = 0
    for index in range(300):
        drawn = draw(20, index)
        if drawn.is_huge or refusal(drawn) or 0 in drawn.plain["input"].shape or np.prod(drawn.shape) > 1000:
            continue
        options = {name: value for name, value in drawn.options.items() if name not in ("algorithm", "precision")}
        options["stride"], options["dilation"] = zip(
            *((axis.stride, axis.dilation) for axis in drawn.axes), strict=True
        )
        options["padding"], options["padding_mode"] = tuple(axis.pads for axis in drawn.axes), drawn.mode
        if drawn.broken in options:
            continue
        found = define(drawn)
        with np.errstate(all="ignore"):
            expected = convolve(*drawn.plain.values(), axes=len(drawn.axes), **options)
        if expected.dtype == object:
            assert (found.values == expected).all(), drawn
        else:
            near = 1e-12 * max(found.scale.max(), 1)
            if expected.dtype.kind == "c":  # infinities depend on how NumPy multiplies
                expected[~np.isfinite(expected)] = found.values[~np.isfinite(expected)]
            np.testing.assert_allclose(found.values, expected, rtol=1e-9, atol=near, err_msg=str(drawn))
        compared += 1
    assert compared > 100


def test_a_set_is_drawn_from_its_seed_and_index_alone():
    for index in range(50):
        one, other = draw(3, index), draw(3, index)
        assert one.plain["input"].tobytes() == other.plain["input"].tobytes()
        assert (one.kind, one.axes, one.mode, one.broken) == (other.kind, other.axes, other.mode, other.broken)


@pytest.mark.skipif(sys.platform == "win32", reason="the fuzzer forks")
def test_crashes_and_faults_are_counted():
    run = subprocess.run([sys.executable, "-c", CRASHING], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.splitlines()[-1:] == ["(7, 'killed by SIGSEGV', '') (9, 'wrong', 'by far')"], run.stderr
