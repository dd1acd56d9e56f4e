"""No byte before or after an array is read or written, workspaces stay small, and sizes may be huge.

Run as a program, this file convolves arrays that end, or begin, where a protected page does, each problem in a process of its own.
"""

import ctypes
import faulthandler
import mmap
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from problem_table import CASES, Case

import fastconv as fc
from fastconv import _core, _plan

LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
PREPARE = _plan.prepare
OPTIONS = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "padding_mode": "zeros",
    "flip": False,
    "activation": None,
    "algorithm": "auto",
    "precision": "default",
}

# Problems that float16 images pass through in blocks, the last of them narrower than a vector.
BLOCKS = [Case((1, 16000, w), (3, 16000, taps), {"padding": taps // 2}) for taps in (1, 3) for w in (193, 196, 199)]
# Images that threads share in strips, the last of them smaller than a vector, for one instruction set or another.
STRIPS = [
    (Case((1, 90, 1, 324), (92, 90, 1, 1)), 5),
    (Case((1, 64, 1, 1156), (64, 64, 1, 1)), 9),
    (Case((1, 32, 1, 25672), (48, 32, 1, 1)), 50),
    (Case((1, 40, 61, 30), (40, 40, 3, 3)), 50),
]
ROUNDS = [  # case, dtype, threads, whether arrays lie at the end of their pages
    *((case, np.float32, 1, True) for case in CASES),
    *((case, np.float32, 1, False) for case in CASES[::3]),
    *((case, np.float64, 1, True) for case in CASES[1::3]),
    *((case, np.float16, 1, True) for case in BLOCKS),
    *((case, dtype, threads, True) for case, threads in STRIPS for dtype in (np.float32, np.float64)),
]


def guarded(array: Any, at_end: bool) -> Any:
    """A copy whose last byte, or whose first, is next to a page that must not be touched."""
    page = mmap.PAGESIZE
    room = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, room + 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for guard in (address, address + page + room):
        if LIBC.mprotect(ctypes.c_void_p(guard), page, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = page + (room - array.nbytes if at_end else 0)
    copy = np.frombuffer(memory, array.dtype, array.size, start).reshape(array.shape)
    copy[...] = array
    return copy


def convolve_guarded(case: Case, dtype: Any, threads: int, at_end: bool) -> None:
    """Convolve with every array guarded, packed weights too, by a function and by a bank."""
    arrays = case.draw(dtype, integers=True)
    expected = case.expected(arrays)
    _plan.prepare = lambda plan, weight: guarded(PREPARE(plan, weight), at_end)
    image, weight, bias = (None if array is None else guarded(array, at_end) for array in arrays)
    out = guarded(np.zeros(expected.shape, dtype), at_end)
    calls = {
        "function": lambda: case.convolve((image, weight, bias), out=out, threads=threads),
        "bank": lambda: fc.FilterBank(weight, bias, **case.options)(image, out=out, threads=threads),
    }
    for name, call in calls.items():
        call()
        wrong = ~np.isclose(out, expected, rtol=1e-3, atol=1e-3)
        assert not wrong.any(), f"{wrong.sum()} wrong outputs by a {name}"


def run_rounds(reached: Any) -> None:
    for index in range(reached[0], len(ROUNDS)):
        reached[0] = index
        try:
            convolve_guarded(*ROUNDS[index])
        except Exception as error:
            print(type(error).__name__, error, *ROUNDS[index], flush=True)
    reached[0] = len(ROUNDS)


def main() -> None:
    """Run all rounds in a child; after a crash say so, and go on in another child."""
    faulthandler.disable()
    reached = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.int64)  # shared with the children: the round that is running
    while reached[0] < len(ROUNDS):
        if not os.fork():
            run_rounds(reached)
            os._exit(0)
        _, status = os.wait()
        if status:
            print(f"killed by signal {status}", *ROUNDS[reached[0]], flush=True)
            reached[0] += 1


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected as on Linux")
@pytest.mark.parametrize("isa", _core.available_isas())
def test_nothing_beyond_the_arrays_is_touched(isa):
    environment = os.environ | {"FASTCONV_ISA": isa}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


if __name__ == "__main__":
    main()
