"""An even kernel with padding="same": the odd pixel of padding comes after the image, or with "same_lower" before it."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import PALE, grid, outline

row = np.arange(1, 6)[np.newaxis]
figure, panels = plt.subplots(2, 1, figsize=(4.4, 1.9))
for axes, name, (before, after) in zip(panels, ("same", "same_lower"), ((1, 2), (2, 1)), strict=True):
    padded = np.pad(row, ((0, 0), (before, after)))
    border = {(0, column): PALE for column in range(8) if not before <= column < before + 5}
    grid(axes, padded, f'padding="{name}"', colours=border)
    outline(axes, 0, 0, 1, 4)
