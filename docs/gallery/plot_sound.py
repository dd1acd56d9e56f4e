"""
A cochleagram: sound through a gammatone bank
=============================================

The inner ear is a bank of filters: every place on it answers to one frequency. A gammatone models such a place as a
tone that swells and fades, :math:`t^3 e^{-2 \\pi b t} \\cos 2 \\pi f t`, with a bandwidth b that grows with the frequency f
(B. R. Glasberg and B. C. J. Moore, *Hearing Research* 47, 1990).
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv as fc

# %%
# A second of sound: a tone that rises, a steady one, and two clicks.
rate = 16_000
time = np.arange(rate) / rate
sound = np.sin(2 * np.pi * (200 * time + 1500 * time**2)) + 0.5 * np.sin(2 * np.pi * 440 * time)
sound[[4000, 12000]] += 20
sound = sound.astype(np.float32)

# %%
# 64 filters, their frequencies evenly spaced on the scale of the ear. ``padding="causal"`` lets no output see the future, and
# the ear's hair cells answer to one half of a wave (relu).
weight = fc.filters.gammatone_bank(64, 1024, sample_rate=rate, low=100, high=6000)  # (64, 1, 1024)
bank = fc.FilterBank(weight, padding="causal", activation="relu")
answers = bank(sound)  # (64, 16000)

# %%
# What the nerve passes on is a mean over some milliseconds, here of 16 ms, every 4 ms.
mean = np.full((64, 1, 256), 1 / 256, np.float32)
cochleagram = fc.conv1d(answers, mean, stride=64, padding="same", groups=64)

steps = np.linspace(*(np.log10(1 + 0.00437 * np.array([100, 6000]))), 66)[1:-1]
frequencies = (10**steps - 1) / 0.00437  # Hz
figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
axes.pcolormesh(
    np.arange(cochleagram.shape[1]) * 64 / rate, frequencies, cochleagram**0.5, cmap="magma", rasterized=True
)
axes.set(yscale="log", xlabel="time (s)", ylabel="frequency (Hz)", title="what 64 places of the inner ear answer")
