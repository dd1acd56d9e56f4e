"""
Learning a filter
=================

Somebody has filtered a photograph and will not say how. Gradient descent finds the kernel from the photograph and the result:
the gradient of the error by the kernel is one call of ``fc.grad``.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import cbook

import fastconv as fc

with cbook.get_sample_data("grace_hopper.jpg") as file:
    gray = plt.imread(file, format="jpg").mean(axis=2)[:256, :256] / 255
image = (gray - gray.mean())[np.newaxis]
image /= image.std()

secret = fc.filters.gabor(9, wavelength=5.0, theta=0.6).astype(np.float64)
wanted = fc.conv2d(image, secret[np.newaxis, np.newaxis])

# %%
# Descent with momentum, from a kernel of zeros. The error is the mean square of the difference.
weight = np.zeros((1, 1, 9, 9))
speed, errors, snapshots = np.zeros_like(weight), [], {}
for step in range(401):
    difference = fc.conv2d(image, weight) - wanted
    errors.append(np.mean(difference**2))
    if step in (10, 100, 400):
        snapshots[step] = weight[0, 0].copy()
    gradient = fc.grad.conv2d_weight(image, weight.shape, difference) * (2 / difference.size)
    speed = 0.9 * speed - 0.002 * gradient
    weight = weight + speed
print(f"error {errors[0]:.3f} before, {errors[-1]:.5f} after {step} steps")
assert errors[-1] < 0.05 * errors[0]

# %%
figure, panels = plt.subplots(1, 5, figsize=(10, 2.4), width_ratios=[1.6, 1, 1, 1, 1], layout="constrained")
panels[0].semilogy(errors)
panels[0].set(title="error", xlabel="step")
kernels = {f"step {step}": kernel for step, kernel in snapshots.items()} | {"the secret": secret}
for axes, (title, kernel) in zip(panels[1:], kernels.items(), strict=True):
    axes.imshow(kernel, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_title(title)
    axes.set_axis_off()
