"""Sharpen a photograph that the camera shook and the sensor covered with noise, by two iterations that need an adjoint.

With the blur A, a bank of one filter, its adjoint A', and a blurred photograph b = A x + noise:

    Landweber          x <- x + rate * A'(b - A x)       gradient descent on |b - A x|^2 / 2
    Richardson-Lucy    x <- x * A'(b / A x) / A' 1       for light, which is never negative

Beyond its borders the blur sees the photograph reflected, and the adjoint adds what belongs there to the pixels that
were reflected. The photograph comes with scikit-learn.

    pip install ".[examples]" && python examples/deconvolution.py
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image
from tqdm import trange

import fastconv as fc

Floats = NDArray[np.float32]

NOISE = 0.01  # standard deviation, where white is 1
DARKEST = 1e-3  # what Richardson-Lucy divides by is never darker
DETAIL = np.s_[20:260, :360]  # rows and columns that are drawn


def main() -> None:
    parser = argparse.ArgumentParser(description="Sharpen a blurred and noisy photograph.")
    parser.add_argument("--iterations", type=int, default=60, help="of each method; default: %(default)s")
    parser.add_argument("-o", "--output", type=Path, default=Path("deconvolution.png"), help="default: %(default)s")
    arguments = parser.parse_args()

    photo = np.moveaxis(load_sample_image("china.jpg"), -1, 0)[:, np.newaxis].astype(np.float32) / 255  # (3, 1, H, W)
    kernel = shake()
    blur = fc.FilterBank(kernel[np.newaxis, np.newaxis], padding="same", padding_mode="symmetric")
    noise = np.random.default_rng(0).normal(0, NOISE, photo.shape).astype(np.float32)
    blurred = (blur(photo) + noise).clip(0, 1)
    print(f"{'blurred':18}{psnr(blurred, photo):.2f} dB")

    restored, curves = {}, {}
    for name, step in (("Landweber", landweber(blur, blurred)), ("Richardson-Lucy", richardson_lucy(blur, blurred))):
        image, curve = blurred, [psnr(blurred, photo)]
        for _ in trange(arguments.iterations, desc=name, leave=False):
            image = step(image)
            curve.append(psnr(image, photo))
        restored[name], curves[name] = image, curve
        print(f"{name:18}{curve[-1]:.2f} dB")

    pictures = {"blurred": blurred, **restored, "original": photo}
    draw(pictures, kernel, curves).savefig(arguments.output, dpi=110)
    print(f"Wrote {arguments.output}.")


def shake(size: int = 15) -> Floats:
    """Return the kernel of a camera that moves along an arc while the shutter is open, (size, size), of sum 1."""
    time = np.linspace(-1, 1, 200)
    rows, columns = size / 2 + 5 * time**2, size / 2 + 6 * time
    path, _, _ = np.histogram2d(rows, columns, bins=size, range=[(0, size), (0, size)])
    soft = fc.conv2d(path, fc.filters.gaussian(3), padding="same")
    return (soft / soft.sum()).astype(np.float32)


def landweber(blur: fc.FilterBank, blurred: Floats) -> Callable[[Floats], Floats]:
    """Return the step of gradient descent that takes an image to a sharper one."""
    adjoint = blur.adjoint()
    rate = 1 / adjoint(np.ones_like(blurred)).max()  # no more than 1 / |A|^2, for rows of A that sum to 1
    return lambda image: image + rate * adjoint(blurred - blur(image))


def richardson_lucy(blur: fc.FilterBank, blurred: Floats) -> Callable[[Floats], Floats]:
    """Return the step that multiplies every pixel by what the blurred photograph has more than the blurred image."""
    adjoint = blur.adjoint()
    seen = adjoint(np.ones_like(blurred))  # how much all outputs together see of a pixel
    return lambda image: image * adjoint(blurred / blur(image).clip(DARKEST)) / seen


def psnr(image: Floats, original: Floats) -> float:
    """Return the peak signal-to-noise ratio in dB, where white is 1."""
    return float(-10 * np.log10(np.square(image - original, dtype=np.float64).mean()))


def draw(pictures: dict[str, Floats], kernel: Floats, curves: dict[str, list[float]]) -> Figure:
    """Draw a detail of the pictures (3, 1, H, W), the kernel of the blur, and the curves of PSNR."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    *panels, kernel_panel, curve_panel = figure.subplots(2, 3).flat
    for axes, (name, picture) in zip(panels, pictures.items(), strict=True):
        axes.imshow(np.moveaxis(picture[:, 0, *DETAIL], 0, -1).clip(0, 1))
        axes.set_title(name)
        axes.set_axis_off()
    kernel_panel.imshow(kernel, cmap="gray")
    kernel_panel.set_title("kernel of the blur")
    kernel_panel.set_axis_off()
    for name, curve in curves.items():
        curve_panel.plot(curve, label=name)
    curve_panel.set(title="PSNR", xlabel="iteration", ylabel="dB")
    curve_panel.legend()
    return figure


if __name__ == "__main__":
    main()
