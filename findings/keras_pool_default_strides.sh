#!/usr/bin/env bash
# Keras 3.15.1: with the backends NumPy and JAX, ops.max_pool and ops.average_pool raise unless strides are given.
#
# Expected: strides default to pool_size, as is documented, so that a 4x4 image pooled by 2 has 2x2 outputs.
# Seen: a TypeError about the number of strides: by default they are taken from pool_size once it has been widened to all axes, and
# then widened again. With strides=2 the outputs are there. Layers pass strides.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 keras==3.15.1 jax==0.10.2
for backend in numpy jax; do
    KERAS_BACKEND=$backend "$scratch/venv/bin/python" - << 'END'
import keras
import numpy as np

image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
name = keras.backend.backend()
for function in (keras.ops.max_pool, keras.ops.average_pool):
    assert np.asarray(function(image, 2, strides=2)).shape == (1, 2, 2, 1)
    try:
        seen = str(np.asarray(function(image, 2)).shape)
    except TypeError as error:
        seen = f"TypeError: {str(error).splitlines()[0][:100]}"
    print(f"{name}, {function.__name__}(image, 2): {seen}")
    assert seen.startswith("TypeError"), "this has changed"
END
done
