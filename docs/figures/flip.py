"""What a kernel makes of a single bright pixel: the kernel turned by 180 degrees, or with flip=True the kernel itself."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import BLUE, ORANGE, grid, window

import fastconv as fc

kernel = np.arange(1, 10).reshape(3, 3)
pixel = np.zeros((5, 5), int)
pixel[2, 2] = 1
figure, panels = plt.subplots(2, 2, figsize=(4.4, 4.8))
panels = panels.ravel()
grid(panels[0], pixel, "image", colours={(2, 2): ORANGE})
grid(panels[1], kernel, "kernel", colours=window(0, 0, 3, 3, BLUE))
for axes, flip in ((panels[2], False), (panels[3], True)):
    grid(axes, fc.conv2d(pixel, kernel, padding=1, flip=flip), f"flip={flip}", colours=window(1, 1, 3, 3, BLUE))
