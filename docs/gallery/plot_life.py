"""
The Game of Life
================

A cell lives on with two or three living neighbours, and is born with three. Counting neighbours is a convolution; with a middle tap
of 9 one sum tells everything, and the rule is a table. Sums of 8-bit integers are exact.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv as fc

# %%
# The sum is the number of living neighbours, and 9 more for a living cell.
kernel = np.array([[1, 1, 1], [1, 9, 1], [1, 1, 1]], np.uint8)
lives = np.zeros(18, np.uint8)
lives[[3, 9 + 2, 9 + 3]] = 1

# %%
# A torus, a quarter of it alive.
rng = np.random.default_rng(1)
cells = (rng.random((120, 160)) < 0.25).astype(np.uint8)
pictures = {0: cells}
age = np.zeros(cells.shape, np.int64)
for generation in range(1, 301):
    cells = lives[fc.conv2d(cells, kernel, padding=1, padding_mode="circular")]
    age = (age + 1) * cells
    if generation in (20, 300):
        pictures[generation] = np.minimum(age, 20)

# %%
# Cells that have lived long are drawn darker: after a while there are still lifes and blinkers, and few travel.
figure, panels = plt.subplots(1, 3, figsize=(9, 2.7), layout="constrained")
for axes, (generation, picture) in zip(panels, pictures.items(), strict=True):
    axes.imshow(picture, cmap="YlGnBu", interpolation="nearest")
    axes.set_title(f"generation {generation}")
    axes.set_axis_off()
