#!/usr/bin/env bash
# ml_dtypes 0.6.0 with NumPy 2.4.6: casting complex numbers to bfloat16 is called "same_kind", and drops imaginary parts.
#
# Expected: as for float16, np.can_cast(complex64, bfloat16, "same_kind") is False, so that np.copyto and ufuncs with
# an `out` refuse it with a TypeError; a cast that is forced warns of discarded imaginary parts (ComplexWarning).
# Seen: True; 1+2j becomes 1 without an error or a warning.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 ml_dtypes==0.6.0
"$scratch/venv/bin/python" - << 'END'
import warnings

import numpy as np
from ml_dtypes import bfloat16

warnings.simplefilter("error")
allowed = {dtype.__name__: np.can_cast(np.complex64, dtype, "same_kind") for dtype in (bfloat16, np.float16)}
out = np.zeros(1, bfloat16)
np.copyto(out, np.array([1 + 2j], np.complex64), casting="same_kind")
print("complex64 may be cast as same_kind to", allowed, "and 1+2j became", out[0])
assert allowed == {"bfloat16": True, "float16": False}, "this has changed"
assert out[0] == 1, "this has changed"
END
