#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93): filter2D answers where a kernel sees nothing but zeros, once the kernel is
# large enough for its DFT.
#
# Expected: an output all of whose pixels are zero is zero, so that y > 0 tells where something was seen, sums of
# non-negative products have non-negative square roots, and ratios of two filtered images are 0/0 where nothing is known.
# Seen: with 11x11 taps so it is; from 13x13 on most of an empty background is not zero, some of it below zero.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 opencv-python-headless==5.0.0.93
"$scratch/venv/bin/python" - << 'END'
import cv2
import numpy as np

image = np.zeros((256, 256), np.float32)
image[:20, :20] = 1
wrong = {}
for taps in (11, 13, 41):
    maps = cv2.filter2D(image, -1, np.ones((taps, taps), np.float32), borderType=cv2.BORDER_CONSTANT)
    background = maps[45:, 45:]  # no kernel up to 51x51 reaches the square from here
    wrong[taps] = np.count_nonzero(background)
    print(f"{taps}x{taps}: {wrong[taps]} of {background.size} empty outputs are not zero, the least is {background.min():.2g}")
assert wrong[11] == 0, "this has changed"
assert wrong[13] > 0, "this has changed"
assert wrong[41] > 0, "this has changed"
END
