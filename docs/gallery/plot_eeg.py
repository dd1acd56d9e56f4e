"""
Alpha waves: a zero-phase filter for brain waves
================================================

Waves of 8 to 12 Hz in an electroencephalogram tell of closed eyes. A symmetric kernel keeps them where they are in time, all
channels are filtered in one call, and ``padding_mode="reflect"`` keeps the ends from ringing.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv as fc

# %%
# Four channels of made-up signals: slow drift, hum of 50 Hz and noise; from the third second on alpha waves, most at the back.
rate = 250
time = np.arange(6 * rate) / rate
rng = np.random.default_rng(1)
names = ("Fz", "Cz", "Pz", "Oz")
strength = np.array([2, 4, 9, 14])[:, np.newaxis]
alpha = np.where(time > 3, np.sin(2 * np.pi * 10 * time), 0)
drift = np.cumsum(rng.standard_normal((4, len(time))), axis=1)
eeg = strength * alpha + 1.5 * drift + 8 * np.sin(2 * np.pi * 50 * time) + 4 * rng.standard_normal(drift.shape)

# %%
# A band-pass of a second: the difference of two ideal low-passes (sinc), under a Hann window.
taps = rate + 1
at = (np.arange(taps) - taps // 2) / rate
band_pass = (24 * np.sinc(24 * at) - 16 * np.sinc(16 * at)) * np.hanning(taps) / rate
waves = fc.conv1d(eeg, band_pass, padding="same", padding_mode="reflect")  # a kernel: each channel by itself

# %%
figure, (above, below) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
for axes, signals, gap, title in ((above, eeg, 90, "recorded"), (below, waves, 30, "8 to 12 Hz")):
    offsets = -gap * np.arange(4)[:, np.newaxis]
    axes.plot(time, (signals - signals.mean(axis=1, keepdims=True) + offsets).T, linewidth=0.8)
    axes.set_yticks(offsets[:, 0], names)
    axes.set_title(title)
below.set_xlabel("time (s)")
