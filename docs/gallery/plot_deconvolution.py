"""
Undoing a blur
==============

Richardson's and Lucy's iteration needs a blur and its adjoint: every pixel is multiplied by what the blurred image has more than
the blur of the present estimate.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import fastconv as fc

photo = load_sample_image("china.jpg")[100:300, 150:450].mean(axis=2).astype(np.float32)[np.newaxis] / 255

# %%
# A camera that moved along a slant while the shutter was open, and a little noise.
kernel = fc.conv2d(np.eye(15)[::-1], fc.filters.gaussian(3), padding="same").astype(np.float32)
kernel /= kernel.sum()
blur = fc.FilterBank(kernel[np.newaxis, np.newaxis], padding="same", padding_mode="symmetric")
noise = 0.005 * np.random.default_rng(0).standard_normal(photo.shape, np.float32)
blurred = (blur(photo) + noise).clip(0.001, 1)

# %%
adjoint = blur.adjoint()
seen = adjoint(np.ones_like(photo))
estimate = blurred
for _ in range(40):
    estimate = estimate * adjoint(blurred / blur(estimate).clip(0.001)) / seen

# %%
figure, panels = plt.subplots(3, 1, figsize=(5, 10), layout="constrained")
for axes, picture, title in zip(panels, (blurred, estimate, photo), ("blurred", "restored", "original"), strict=True):
    error = np.sqrt(np.mean((picture - photo) ** 2))
    axes.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
    axes.set_title(title if title == "original" else f"{title}, error {error:.3f}")
    axes.set_axis_off()
