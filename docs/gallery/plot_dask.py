"""
A mosaic that is made when it is asked for
==========================================

Given a dask array, a bank returns one and computes nothing. What is asked for is computed chunk by chunk, and has the bits of one
call on the whole array, so that chunks leave no seams.
"""

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np

import fastconv as fc

# %%
# A picture of 8000x8000 pixels, 256 MB, that is a formula: rings of ever smaller width.
size, chunk = 8000, 1000
y = da.arange(size, chunks=chunk, dtype=np.float32)[:, np.newaxis]
x = da.arange(size, chunks=chunk, dtype=np.float32)[np.newaxis]
rings = np.sin((y**2 + x**2) / 8000)

# %%
# A Gaussian takes away what is too fine, before every eighth pixel is drawn.
blur = fc.FilterBank(fc.filters.gaussian(33, sigma=5.0)[np.newaxis, np.newaxis], padding="same", padding_mode="reflect")
smooth = blur(rings[np.newaxis])[0]
print(f"{smooth}: nothing has been computed")

# %%
# Only these chunks are computed, with the halo that their kernels read.
part = np.s_[:2000:8, :2000:8]
plain, filtered = rings[part].compute(), smooth[part].compute()

figure, panels = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
for axes, picture, title in zip(panels, (plain, filtered), ("every eighth pixel", "of the smooth mosaic"), strict=True):
    axes.imshow(picture, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_title(title)
    axes.set_axis_off()
