#!/usr/bin/env bash
# Keras 3.15.1: ops.image.gaussian_blur exchanges height and width, and with JAX takes channels for rows by default.
#
# Expected: kernel_size is "height and width", so (3, 5) blurs over 3 rows and 5 columns; without data_format the layout is that of
# keras.config.image_data_format(), here channels_last.
# Seen: a single bright pixel is spread over 5 rows and 3 columns, by the NumPy backend and by JAX. With JAX and no data_format
# it is spread along columns alone, and into no other row: axis 1 is taken for channels.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 keras==3.15.1 jax==0.10.2
for backend in numpy jax; do
    KERAS_BACKEND=$backend "$scratch/venv/bin/python" - << 'END'
import keras
import numpy as np

image = np.zeros((1, 9, 9, 1), np.float32)
image[0, 4, 4, 0] = 1
seen = {}
for layout in (None, "channels_last"):
    blurred = keras.ops.image.gaussian_blur(image, kernel_size=(3, 5), sigma=(1.0, 1.0), data_format=layout)
    plane = np.asarray(blurred)[0, :, :, 0] > 0
    seen[layout] = int(plane.any(axis=1).sum()), int(plane.any(axis=0).sum())
    print(f"{keras.backend.backend()}, data_format={layout}: spread over {seen[layout][0]} rows, {seen[layout][1]} columns")
assert keras.config.image_data_format() == "channels_last"
assert seen["channels_last"] == (5, 3), "this has changed"
assert seen[None] == ((1, 5) if keras.backend.backend() == "jax" else (5, 3)), "this has changed"
END
done
