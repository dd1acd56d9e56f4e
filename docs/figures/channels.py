"""A filter for three channels: each has a kernel of its own, and the three answers add up to one map."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import photograph, picture

import fastconv as fc

photo = photograph()
filter_ = np.stack([fc.filters.sobel("x"), fc.filters.gaussian(3), -fc.filters.box(3)])  # (3, 3, 3)
scale = {"cmap": "RdBu_r", "vmin": -2, "vmax": 2}
figure, panels = plt.subplots(4, 3, figsize=(5.0, 6.9))
answers = np.stack([fc.conv2d(plane, kernel, padding=1) for plane, kernel in zip(photo, filter_, strict=True)])
for row, name in enumerate(("red", "green", "blue")):
    picture(panels[row, 0], photo[row], f"channel {row}: {name}", cmap="gray", vmin=0, vmax=1)
    picture(panels[row, 1], filter_[row], f"kernel {row}", **scale)
    picture(panels[row, 2], answers[row], f"answer {row}", **scale)
feature_map = fc.conv2d(photo, filter_, padding=1)
assert np.allclose(feature_map, answers.sum(axis=0), atol=1e-5)
picture(panels[3, 0], np.moveaxis(photo, 0, -1), "image (3, H, W)")
panels[3, 1].text(0.5, 0.5, "sum of the\nthree answers", ha="center", va="center")
panels[3, 1].set_axis_off()
picture(panels[3, 2], feature_map, "feature map (H, W)", **scale)
