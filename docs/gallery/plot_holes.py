"""
A map with holes
================

Satellites do not see through clouds: maps of measurements have holes, marked by NaN. A plain convolution spreads each of them over
a whole kernel. With ``nan="ignore"`` holes are left out, and with ``renormalize=True`` a blur is a mean of what is there.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv as fc

# %%
# A smooth field with noise, and clouds over a third of it.
rng = np.random.default_rng(3)
coarse = rng.standard_normal((3, 160, 220))
smooth = fc.conv2d(coarse, fc.filters.gaussian(61, sigma=12.0), padding="same", padding_mode="reflect")
field, clouds = smooth[0] / smooth[0].std(), smooth[1] / smooth[1].std()
measured = np.where(clouds + 0.3 * coarse[2] > 0.5, np.nan, field + 0.3 * coarse[0])

# %%
blur = fc.filters.gaussian(15, sigma=3.0)
options = {"padding": "same", "padding_mode": "reflect"}
plain = fc.conv2d(measured, blur, **options)
filled, seen = fc.conv2d(measured, blur, nan="ignore", renormalize=True, return_weight=True, **options)

# %%
# ``return_weight`` tells how much of the kernel met a number: where that is little, the mean is not worth much.
figure, panels = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
pictures = {"measured": measured, "plain blur": plain, "holes ignored": filled, "weight seen": seen}
for axes, (title, picture) in zip(panels.flat, pictures.items(), strict=True):
    scale = {"cmap": "viridis"} if title == "weight seen" else {"cmap": "RdYlBu_r", "vmin": -2.5, "vmax": 2.5}
    axes.imshow(picture, **scale)
    axes.set_title(title)
    axes.set_axis_off()
