"""
Unsharp masking of a photograph
===============================

What a blur takes away are the details. Add them once more, and the photograph looks sharper. Identity, blur and their difference
are all kernels, so the whole of it is one: :math:`k = (1 + a) \\; \\delta - a \\; g`.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import cbook

import fastconv as fc

with cbook.get_sample_data("grace_hopper.jpg") as file:
    photo = plt.imread(file, format="jpg")[60:360, 100:400]  # (H, W, C), uint8

# %%
# ``channels_last`` reads the photograph as it lies, and ``saturate`` makes a photograph again: rounded and clipped.
amount = 1.5
kernel = (1 + amount) * fc.filters.identity(13) - amount * fc.filters.gaussian(13, sigma=2.0)
options = {"padding": "same", "padding_mode": "reflect", "channels_last": True, "saturate": True}
sharp = fc.conv2d(photo, kernel, **options)
assert (sharp.dtype, sharp.shape) == (np.uint8, photo.shape)

# %%
figure, panels = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
for axes, picture, title in zip(panels, (photo, sharp), ("photograph", "unsharp mask"), strict=True):
    axes.imshow(picture)
    axes.set_title(title)
    axes.set_axis_off()
