"""A bank of six filters, and the six feature maps that it makes of one image."""

import matplotlib.pyplot as plt
from drawing import photograph, picture

import fastconv as fc

kernels = {
    'sobel("x")': fc.filters.sobel("x"),
    'sobel("y")': fc.filters.sobel("y"),
    "laplacian()": fc.filters.laplacian(),
    "diagonal()": fc.filters.diagonal(),
    "diagonal(anti=True)": fc.filters.diagonal(anti=True),
    "emboss()": fc.filters.emboss(),
}
bank = fc.FilterBank.from_kernels(kernels.values(), padding="same", padding_mode="reflect")
maps = bank(photograph().mean(axis=0))  # (6, H, W)
figure, panels = plt.subplots(2, 3, figsize=(5.4, 4.1))
for axes, name, feature_map in zip(panels.flat, kernels, maps, strict=True):
    picture(axes, feature_map, name, cmap="RdBu_r", vmin=-1.5, vmax=1.5)
