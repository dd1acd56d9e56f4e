"""Train a small convolutional network on handwritten digits of 8x8 pixels, with NumPy and fastconv alone.

    images (N, 1, 8, 8) -> bank of 16 filters, relu -> bank of 32 filters, stride 2, relu -> matrix, softmax -> digits

Every bank goes forward by `fc.conv2d`, and backward by `fc.grad`. The digits come with scikit-learn.

    pip install ".[examples]" && python examples/train_digits.py
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from tqdm import tqdm

import fastconv as fc

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

FIRST: dict[str, Any] = {"padding": 1}  # options of the banks, the same forward and backward
SECOND: dict[str, Any] = {"stride": 2, "padding": 1}
BATCH = 64
RATE, MOMENTUM = 0.1, 0.9  # the rate falls to zero over the training
HELD_OUT = 360  # of the 1797 digits, for the test


class Network(NamedTuple):
    """All parameters; gradients are a Network, too."""

    first: Floats  # (16, 1, 3, 3)
    first_bias: Floats  # (16,)
    second: Floats  # (32, 16, 3, 3)
    second_bias: Floats  # (32,)
    matrix: Floats  # (10, 512)
    matrix_bias: Floats  # (10,)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small convolutional network on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=30, help="times that every digit is seen; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights and the batches")
    parser.add_argument("-o", "--output", type=Path, default=Path("digits.png"), help="default: %(default)s")
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    images, labels = digits(rng)
    test_images, test_labels = images[:HELD_OUT], labels[:HELD_OUT]
    images, labels = images[HELD_OUT:], labels[HELD_OUT:]

    network, start = random_network(rng), time.perf_counter()
    losses: list[float] = []
    speed, steps = still(network), len(images) // BATCH
    epochs = tqdm(range(1, arguments.epochs + 1), unit="epoch")
    for epoch in epochs:
        for batch in batches(len(images), rng):
            loss, gradients = loss_and_gradients(network, shifted(images[batch], rng), labels[batch])
            descend(network, speed, gradients, rate=RATE * (1 - len(losses) / (steps * arguments.epochs)))
            losses.append(loss)
        accuracy = np.mean(predict(network, test_images) == test_labels)
        epochs.write(f"epoch {epoch:2}   loss {np.mean(losses[-steps:]):.4f}   held-out accuracy {accuracy:.2%}")
    print(f"{len(losses)} steps of {BATCH} digits took {time.perf_counter() - start:.1f} s.")

    draw(network, losses, test_images, test_labels).savefig(arguments.output, dpi=110)
    print(f"Wrote {arguments.output}.")


def digits(rng: np.random.Generator) -> tuple[Floats, Labels]:
    """Return all digits in random order: images (1797, 1, 8, 8) of values in 0..1, and labels (1797,)."""
    data = load_digits()
    order = rng.permutation(len(data.target))
    return (data.images[order, np.newaxis] / 16).astype(np.float32), data.target[order]


def random_network(rng: np.random.Generator) -> Network:
    """Return random banks that keep the variance of what goes through relu (He et al., 2015); all else is zero."""

    def bank(*shape: int) -> Floats:
        return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)

    def zeros(*shape: int) -> Floats:
        return np.zeros(shape, np.float32)

    return Network(bank(16, 1, 3, 3), zeros(16), bank(32, 16, 3, 3), zeros(32), zeros(10, 32 * 4 * 4), zeros(10))


def forward(network: Network, images: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the feature maps of both banks, (N, 16, 8, 8) and (N, 32, 4, 4), and the scores (N, 10)."""
    first = fc.conv2d(images, network.first, network.first_bias, activation="relu", **FIRST)
    second = fc.conv2d(first, network.second, network.second_bias, activation="relu", **SECOND)
    return first, second, second.reshape(len(images), -1) @ network.matrix.T + network.matrix_bias


def predict(network: Network, images: Floats) -> Labels:
    return forward(network, images)[-1].argmax(axis=1)


def loss_and_gradients(network: Network, images: Floats, labels: Labels) -> tuple[float, Network]:
    """Return the mean cross entropy over a batch, and its gradient by every parameter: forward, then back layer by layer."""
    first, second, scores = forward(network, images)
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -float(np.log(probabilities[rows, labels]).mean())

    by_scores = probabilities  # minus one at the label, over the batch: the gradient of cross entropy after softmax
    by_scores[rows, labels] -= 1
    by_scores /= len(labels)
    by_second = (by_scores @ network.matrix).reshape(second.shape) * (second > 0)  # relu passes where it was open
    by_first = fc.grad.conv2d_input(first.shape, network.second, by_second, **SECOND) * (first > 0)
    return loss, Network(
        first=fc.grad.conv2d_weight(images, network.first.shape, by_first, **FIRST),
        first_bias=fc.grad.conv2d_bias(by_first),
        second=fc.grad.conv2d_weight(first, network.second.shape, by_second, **SECOND),
        second_bias=fc.grad.conv2d_bias(by_second),
        matrix=by_scores.T @ second.reshape(len(images), -1),
        matrix_bias=by_scores.sum(axis=0),
    )


def batches(count: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the indices of all digits in random order, BATCH at a time; a last few wait for the next epoch."""
    order = rng.permutation(count)
    return [order[first : first + BATCH] for first in range(0, count - BATCH + 1, BATCH)]


def shifted(images: Floats, rng: np.random.Generator) -> Floats:
    """Return the images, each moved by up to a pixel up or down and left or right: the digits stay what they are."""
    padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))  # (N, 10, 10)
    places = sliding_window_view(padded, images.shape[2:], axis=(1, 2))  # (N, 3, 3, 8, 8)
    rows, columns = rng.choice(3, (2, len(images)), p=[0.2, 0.6, 0.2])
    return places[np.arange(len(images)), rows, columns][:, np.newaxis]


def still(network: Network) -> Network:
    """Return the speed that a descent begins with."""
    return Network(*map(np.zeros_like, network))


def descend(network: Network, speed: Network, gradients: Network, rate: float) -> None:
    """Take a step of gradient descent with momentum, in place."""
    for parameter, velocity, gradient in zip(network, speed, gradients, strict=True):
        velocity *= MOMENTUM
        velocity -= rate * gradient
        parameter += velocity


def draw(network: Network, losses: list[float], images: Floats, labels: Labels) -> Figure:
    """Draw the loss of every step, the filters of the first bank, and digits that are taken for others."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[3, 2])
    left, right = above.subfigures(1, 2)

    axes = left.subplots()
    axes.semilogy(losses, linewidth=0.8)
    axes.set(title="Loss", xlabel="step")

    right.suptitle("Filters of the first bank")
    limit = np.abs(network.first).max()
    for axes, (kernel,) in zip(right.subplots(4, 4).flat, network.first, strict=True):
        axes.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_axis_off()

    predicted = predict(network, images)
    mistakes = np.flatnonzero(predicted != labels)
    below.suptitle(f"{len(mistakes)} of {len(labels)} held-out digits are read wrongly")
    for axes, mistake in zip(below.subplots(1, 8).flat, [*mistakes[:8], *[None] * 8], strict=False):
        axes.set_axis_off()
        if mistake is not None:
            axes.imshow(images[mistake, 0], cmap="gray_r")
            axes.set_title(f"{labels[mistake]}, read as {predicted[mistake]}", fontsize=9)
    return figure


if __name__ == "__main__":
    main()
