"""
Light and shadow on a terrain
=============================

The slope of a terrain is a pair of convolutions of its heights. With the light in the north-west it gives the shading of maps. The
heights, of a fault in Tennessee, come with matplotlib.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import cbook

import fastconv as fc

with cbook.get_sample_data("jacksboro_fault_dem.npz") as data:
    height = data["elevation"].astype(np.float64)  # metres
    spacing = 111_200 * np.array([data["dy"], data["dx"] * np.cos(np.radians(36.5))])  # metres a pixel

# %%
# Scharr's kernels, smoothed a little. Rows run from north to south.
smooth = fc.conv2d(height, fc.filters.gaussian(5), padding="same", padding_mode="replicate")
bank = fc.FilterBank.from_kernels(
    [fc.filters.scharr("y") / 32, fc.filters.scharr("x") / 32], padding="same", padding_mode="replicate"
)
south, east = bank(smooth) / np.abs(spacing)[:, np.newaxis, np.newaxis]  # metres a metre

# %%
# The cosine between the normal of the surface, exaggerated, and the light.
exaggeration, light = 4, np.array([-1, -1, 1.2]) / np.sqrt(3.44)
normal = np.stack([-exaggeration * south, -exaggeration * east, np.ones_like(east)])
shade = np.einsum("i,ihw->hw", light, normal / np.linalg.norm(normal, axis=0))

figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
panels[0].imshow(height, cmap="terrain")
panels[0].set_title("height")
panels[1].imshow(height, cmap="terrain")
panels[1].imshow(1 - shade.clip(0, 1), cmap="Greys", alpha=0.65)
panels[1].set_title("with shading")
for axes in panels:
    axes.set_axis_off()
