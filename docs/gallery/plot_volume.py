"""
Gradients of a volume
=====================

``conv3d`` slides kernels through volumes. Three kernels give the gradient along depth, rows and columns; its size shows the
surfaces of what is inside.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv as fc

# %%
# A ball with a hollow, and a rod, in noise.
rng = np.random.default_rng(0)
z, y, x = np.mgrid[-1:1:64j, -1:1:64j, -1:1:64j]
radius = np.sqrt(x**2 + y**2 + z**2)
volume = ((radius < 0.75) & (radius > 0.4)) | (np.hypot(x - 0.1, y + 0.1) < 0.15)
volume = (volume + 0.2 * rng.standard_normal(volume.shape)).astype(np.float32)

# %%
# Sobel's kernel in three dimensions: a difference along one axis, (1, 2, 1) along the others.
difference, smooth = np.array([-1, 0, 1], np.float32) / 2, np.array([1, 2, 1], np.float32) / 4
kernels = [
    np.einsum("i,j,k", *(difference if axis == along else smooth for axis in range(3)), optimize=False)
    for along in range(3)
]
gradient = fc.FilterBank.from_kernels(kernels, padding="same", padding_mode="replicate")(volume)  # (3, D, H, W)
surface = np.sqrt((gradient**2).sum(axis=0))

# %%
figure, panels = plt.subplots(2, 3, figsize=(8, 5.5), layout="constrained")
for column, depth in enumerate((16, 24, 32)):
    for axes, picture, name in ((panels[0, column], volume, "volume"), (panels[1, column], surface, "surface")):
        axes.imshow(picture[depth], cmap="gray", vmin=0, vmax=1.2 if name == "volume" else 0.6)
        axes.set_title(f"{name}, slice {depth}")
        axes.set_axis_off()
