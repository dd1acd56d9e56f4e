"""
Textures told apart by Gabor filters
====================================

A Gabor kernel is a wave under a bell: it answers to stripes of one width and one direction. A bank of eight directions tells
for every pixel which way the texture runs there.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv as fc

# %%
# Four textures of stripes in different directions, with noise.
rng = np.random.default_rng(0)
y, x = np.mgrid[:200, :200]
angles = np.array([[0, 45], [90, 135]])
angle = np.deg2rad(np.kron(angles, np.ones((100, 100))))
image = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / 7) + 0.6 * rng.standard_normal(x.shape)

# %%
# Two banks, a quarter of a wave apart: the squares of their answers add up to the strength of stripes, wherever the
# wave stands. A blur makes it smooth.
options = {"padding": "same", "padding_mode": "reflect"}
even = fc.FilterBank(fc.filters.gabor_bank(8, 21, wavelength=7.0), **options)
odd = fc.FilterBank(fc.filters.gabor_bank(8, 21, wavelength=7.0, psi=np.pi / 2), **options)
strength = even(image) ** 2 + odd(image) ** 2  # (8, 200, 200)
strength = fc.conv2d(strength, fc.filters.gaussian(15), **options)
found = strength.argmax(axis=0) * 22.5

# %%
figure, panels = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
panels[0].imshow(image, cmap="gray")
panels[0].set_title("image")
panels[1].imshow(even.weight[2, 0], cmap="RdBu_r")
panels[1].set_title("one of eight kernels")
picture = panels[2].imshow(found, cmap="twilight", vmin=0, vmax=180)
panels[2].set_title("direction found")
figure.colorbar(picture, ax=panels[2], label="degrees")
for axes in panels:
    axes.set_axis_off()
