#!/usr/bin/env bash
# SciPy 1.17.1: ndimage.gaussian_filter darkens constant images of integers, some by more than one step.
#
# Expected: a blur leaves a constant image as it is, as it does for floats; of integers at most one less, for results are
# truncated towards zero.
# Seen: 7 becomes 5, and 13 becomes 11, with sigma 0.5 in two dimensions: the weights add up to slightly less than 1, and the
# result of each pass is truncated to the integer below. Most other numbers and sigmas stay.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
"$scratch/venv/bin/python" - << 'END'
import numpy as np
from scipy.ndimage import gaussian_filter

seen = {}
for value in (7, 9, 13, 100):
    for dtype in (np.uint8, np.int64, np.float64):
        blurred = gaussian_filter(np.full((9, 9), value, dtype), 0.5)
        seen[value, dtype.__name__] = np.unique(blurred.round(12)).tolist()
        print(f"{value} in {dtype.__name__}: {seen[value, dtype.__name__]}")
assert seen[7, "float64"] == [7] and seen[13, "float64"] == [13], "this has changed"
assert seen[7, "uint8"] == seen[7, "int64"] == [5], "this has changed"
assert seen[13, "uint8"] == seen[13, "int64"] == [11], "this has changed"
assert seen[9, "uint8"] == [9] and seen[100, "uint8"] == [100], "this has changed"
END
