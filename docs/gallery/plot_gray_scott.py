"""
Spots that divide: the equations of Gray and Scott
==================================================

Two substances diffuse and react; V eats U and makes more of itself. Diffusion is a convolution with a Laplacian, on a surface that
joins at its ends. From a few seeds spots grow, and divide (J. E. Pearson, *Science* 261, 1993).

.. math:: \\dot u = D_u \\nabla^2 u - u v^2 + F (1 - u), \\qquad \\dot v = D_v \\nabla^2 v + u v^2 - (F + k) v
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv as fc

# %%
# Both substances are channels of one image, and their diffusion is one depthwise convolution.
laplacian = np.array([[0.05, 0.2, 0.05], [0.2, -1, 0.2], [0.05, 0.2, 0.05]], np.float32)
diffusion = np.array([1.0, 0.5], np.float32)
bank = fc.FilterBank(diffusion[:, None, None, None] * laplacian, groups=2, padding=1, padding_mode="circular")

rng = np.random.default_rng(0)
u, v = state = np.stack([np.ones((128, 128)), np.zeros((128, 128))]).astype(np.float32)
for row, column in rng.integers(8, 120, (12, 2)):
    v[row - 4 : row + 4, column - 4 : column + 4] = 0.5

# %%
# Euler's method; u and v are views of the state, so both move with it.
feed, kill = 0.0367, 0.0649
change = np.empty_like(state)
pictures = {0: v.copy()}
for step in range(1, 4001):
    bank(state, out=change)
    reaction = u * v * v
    change[0] += feed * (1 - u) - reaction
    change[1] += reaction - (feed + kill) * v
    state += change
    if step in (1000, 4000):
        pictures[step] = v.copy()

# %%
figure, panels = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for axes, (step, picture) in zip(panels, pictures.items(), strict=True):
    axes.imshow(picture, cmap="magma", vmin=0, vmax=0.4)
    axes.set_title(f"after {step} steps")
    axes.set_axis_off()
