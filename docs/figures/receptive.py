"""How many ways lead from one output of a stack of banks to each pixel: the gradient of that output, with weights of one."""

import matplotlib.pyplot as plt
import numpy as np
from drawing import BLUE, grid

import fastconv as fc

ones = np.ones((1, 1, 3, 3))
stacks = {
    "one bank": fc.Sequential(fc.FilterBank(ones)),
    "two": fc.Sequential(fc.FilterBank(ones), fc.FilterBank(ones)),
    "three": fc.Sequential(*[fc.FilterBank(ones)] * 3),
    "two, the first with stride 2": fc.Sequential(fc.FilterBank(ones, stride=2), fc.FilterBank(ones)),
}
figure, panels = plt.subplots(2, 2, figsize=(5.4, 5.8))
for axes, (name, stack) in zip(panels.flat, stacks.items(), strict=True):
    size = stack.receptive_field[0]
    ways = stack.backward(np.ones((1, size, size)), np.ones((1, 1, 1)))[0].input[0]
    seen = np.full((7, 7), np.nan)
    start = (7 - size) // 2
    seen[start : start + size, start : start + size] = ways
    blue = dict.fromkeys(zip(*np.nonzero(~np.isnan(seen)), strict=True), BLUE)
    grid(axes, seen, f"{name}: {size}x{size}", colours=blue, size=8.5)
