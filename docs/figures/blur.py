"""A photograph, its blur by a box of 7x7, and its vertical edges by a Sobel kernel."""

import matplotlib.pyplot as plt
from drawing import photograph, picture

import fastconv as fc

gray = photograph().mean(axis=0)
options = {"padding": "same", "padding_mode": "reflect"}
figure, panels = plt.subplots(1, 3, figsize=(5.4, 2.1))
picture(panels[0], gray, "image", cmap="gray")
picture(panels[1], fc.conv2d(gray, fc.filters.box(7), **options), "box(7)", cmap="gray")
picture(panels[2], fc.conv2d(gray, fc.filters.sobel("x"), **options), 'sobel("x")', cmap="RdBu_r", vmin=-2, vmax=2)
