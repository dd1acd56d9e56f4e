#!/usr/bin/env bash
# SciPy 1.17.1: correlate2d with mode="valid", complex numbers and a second array that is larger than the first returns
# the conjugate of the correlation.
#
# Expected: the values of scipy.signal.correlate for the same arrays and mode, which are those that mode "full" of either
# function has where the arrays overlap entirely.
# Seen: their complex conjugates. With the larger array first, all of them agree.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
"$scratch/venv/bin/python" - << 'END'
import numpy as np
from scipy.signal import correlate, correlate2d

small = np.array([[1, 2j], [0, 1 + 1j]])
large = np.array([[1j, 2, 0], [3, 1 - 1j, 1], [0, 1j, 2]])
expected = correlate(small, large, "valid")
inner = correlate2d(small, large, "full")[1:3, 1:3]
seen = correlate2d(small, large, "valid")
print("correlate, valid:\n", expected)
print("correlate2d, full, where the arrays overlap entirely:\n", inner)
print("correlate2d, valid:\n", seen)
assert np.array_equal(inner, expected), "this has changed"
assert np.array_equal(correlate2d(large, small, "valid"), correlate(large, small, "valid")), "this has changed"
assert not np.array_equal(seen, expected) and np.array_equal(seen, expected.conj()), "this has changed"
END
