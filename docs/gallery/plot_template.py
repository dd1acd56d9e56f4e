"""
Where is the template?
======================

Cross-correlation answers where an image looks like a template, but also where it is merely bright. Divided by how much the image
varies under the template it becomes a correlation coefficient: 1 where they agree up to brightness and contrast.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import cbook

import fastconv as fc

with cbook.get_sample_data("grace_hopper.jpg") as file:
    image = plt.imread(file, format="jpg").mean(axis=2)[:400] / 255
top, left, size = 175, 190, 41
template = image[top : top + size, left : left + size]

# %%
# The image gets darker to the right and noisy; the template does not know of that.
rng = np.random.default_rng(0)
image = image * np.linspace(1, 0.4, image.shape[1]) + 0.05 * rng.standard_normal(image.shape)

# %%
# Three convolutions: with the template, and the sums of pixels and of their squares under it.
zero_mean = template - template.mean()
box = np.ones((size, size))
likeness = fc.conv2d(image, zero_mean)
variation = fc.conv2d(image**2, box) - fc.conv2d(image, box) ** 2 / size**2
coefficient = likeness / np.sqrt(variation * (zero_mean**2).sum())
row, column = np.unravel_index(coefficient.argmax(), coefficient.shape)
print(f"template from ({top}, {left}), found at ({row}, {column}) with {coefficient.max():.2f}")
assert (row, column) == (top, left)

# %%
figure, panels = plt.subplots(1, 3, figsize=(9, 3.2), width_ratios=[1, 2, 2], layout="constrained")
panels[0].imshow(template, cmap="gray")
panels[0].set_title("template")
panels[1].imshow(image, cmap="gray", vmin=0, vmax=1)
panels[1].add_patch(plt.Rectangle((column, row), size, size, fill=False, edgecolor="#e8702a", linewidth=2))
panels[1].set_title("image, and where it was found")
panels[2].imshow(coefficient, cmap="RdBu_r", vmin=-1, vmax=1)
panels[2].set_title("correlation coefficient")
for axes in panels:
    axes.set_axis_off()
