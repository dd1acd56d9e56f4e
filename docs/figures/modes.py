"""What each padding mode puts beyond a row of five pixels. A kernel of one tap shows it: its maps are the padded image."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import PALE, grid, outline

import fastconv as fc

row = np.arange(1, 6)[np.newaxis]
modes = ("zeros", "replicate", "reflect", "symmetric", "circular")
figure, panels = plt.subplots(len(modes), 1, figsize=(5.4, 4.4))
for axes, mode in zip(panels, modes, strict=True):
    padded = fc.conv2d(row, np.ones((1, 1), int), padding=((0, 0), (3, 3)), padding_mode=mode)
    grid(axes, padded, mode, colours={(0, column): PALE for column in (0, 1, 2, 8, 9, 10)})
    outline(axes, 0, 3, 1, 5)
