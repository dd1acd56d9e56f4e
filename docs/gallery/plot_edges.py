"""
Edges of a photograph
=====================

Two Sobel kernels give the change of brightness along x and y. Together they tell how strong an edge is, and which way it runs.
"""

# %%
# The photograph comes with matplotlib: Grace Hopper, by the US Navy.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import cbook

import fastconv as fc

with cbook.get_sample_data("grace_hopper.jpg") as file:
    photo = plt.imread(file, format="jpg")
gray = photo.mean(axis=2, dtype=np.float32) / 255

# %%
# One call computes both maps. A division by 8 makes them brightness per pixel.
sobel = fc.FilterBank.from_kernels(
    [fc.filters.sobel("x") / 8, fc.filters.sobel("y") / 8], padding="same", padding_mode="reflect"
)
across, down = sobel(gray)
strength, direction = np.hypot(across, down), np.arctan2(down, across)

# %%
# Directions are drawn as hues, and the strength as brightness.
hues = plt.get_cmap("hsv")((direction + np.pi) / (2 * np.pi))[..., :3]
figure, panels = plt.subplots(1, 3, figsize=(9, 3.9), layout="constrained")
panels[0].imshow(photo)
panels[1].imshow(strength, cmap="gray", vmax=0.15)
panels[2].imshow(hues * (strength / 0.15).clip(0, 1)[..., np.newaxis])
for axes, title in zip(panels, ("photograph", "strength of edges", "their direction"), strict=True):
    axes.set_title(title)
    axes.set_axis_off()
