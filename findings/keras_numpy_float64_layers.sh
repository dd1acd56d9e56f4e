#!/usr/bin/env bash
# Keras 3.15.1: on the NumPy backend, a layer of dtype float64 promises float64, and computes and returns float32.
#
# Expected: NumPy has float64, the layer's dtype and that of its symbolic output say so, and so does floatx: 16 digits.
# Seen: the output is float32, wrong from the 9th digit on; operators such as ops.add do the same. Keras's rules of promotion know
# no more than 32 bits on this backend.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 keras==3.15.1 jax==0.10.2
KERAS_BACKEND=numpy "$scratch/venv/bin/python" - << 'END'
import keras
import numpy as np

keras.config.set_floatx("float64")
layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", dtype="float64")
x = np.full((1, 1), 0.1)
symbolic, result = layer(keras.Input((1,), dtype="float64")).dtype, layer(x)
added = keras.ops.add(x, x)
print(f"symbolic output: {symbolic}; output: {result.dtype}, off by {abs(float(result[0, 0]) - 0.1):.0e}; ops.add: {added.dtype}")
assert (symbolic, str(result.dtype), str(added.dtype)) == ("float64", "float32", "float32"), "this has changed"
END
