"""The network of examples/train_digits.py, trained by the example itself and by torch in turns, an epoch each, on one core.

Both start from the same weights and see the same batches; their losses must agree, and the median ratio of the times of
their epochs is printed. torch goes backward by autograd and descends by `torch.optim.SGD`.

    pip install "fastconv[examples]" torch && python benchmarks/training.py
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from compare import describe, pin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from train_digits import Floats, Labels, Network

    Step = Callable[[Floats, Labels], float]  # takes a step of descent on a batch and returns the loss before it

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
RATE = 0.02  # lower than the example's, so that roundings drift apart slowly
TOLERANCE = 1e-2  # between the mean losses of an epoch, relative


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--epochs", type=int, default=15, help="of each; the first is not timed (default %(default)s)")
    arguments = parser.parse_args()
    cores = pin(threads=1)  # before NumPy and torch are imported: their thread pools look at it once

    import numpy as np
    import train_digits

    print(*(f"{key}: {value}" for key, value in describe(cores, 1, {"torch"}).items()), sep="\n", end="\n\n")
    rng = np.random.default_rng(0)
    images, labels = train_digits.digits(rng)
    network = train_digits.random_network(rng)
    steps = {"torch": torch_step(network), "fastconv": fastconv_step(network)}
    seconds = {name: np.empty(arguments.epochs) for name in steps}
    for epoch in range(arguments.epochs):
        batches = train_digits.batches(len(images), rng)
        losses = {}
        for name, step in steps.items():
            seconds[name][epoch], losses[name] = run_epoch(step, images, labels, batches)
        if not np.isclose(losses["fastconv"], losses["torch"], rtol=TOLERANCE):
            raise AssertionError(f"fastconv and torch disagree on the loss: {losses}")
    ours, theirs = (seconds[name][1:] for name in ("fastconv", "torch"))
    for name, times in seconds.items():
        print(f"{name:8} {np.median(times[1:]) / len(batches) * 1e3:6.2f} ms a step of {train_digits.BATCH} digits")
    print(f"ratio    {np.median(theirs / ours):6.2f}, above 1 fastconv is faster")


def run_epoch(
    step: "Step", images: "Floats", labels: "Labels", batches: "list[NDArray[np.int64]]"
) -> tuple[float, float]:
    """Take a step on every batch; returns the seconds, and the mean loss."""
    start = time.perf_counter()
    loss = sum(step(images[batch], labels[batch]) for batch in batches)
    return time.perf_counter() - start, loss / len(batches)


def fastconv_step(network: "Network") -> "Step":
    import train_digits

    speed = train_digits.still(network)

    def step(images: "Floats", labels: "Labels") -> float:
        loss, gradients = train_digits.loss_and_gradients(network, images, labels)
        train_digits.descend(network, speed, gradients, RATE)
        return loss

    return step


def torch_step(network: "Network") -> "Step":
    """Return the step of torch, on a copy of the network."""
    import torch
    import train_digits
    from torch.nn.functional import conv2d, cross_entropy, linear, relu

    torch.set_num_threads(1)
    parameters = [torch.tensor(parameter, requires_grad=True) for parameter in network]
    first, first_bias, second, second_bias, matrix, matrix_bias = parameters
    descent = torch.optim.SGD(parameters, RATE, train_digits.MOMENTUM)

    def step(images: "Floats", labels: "Labels") -> float:
        maps = relu(conv2d(torch.from_numpy(images), first, first_bias, **train_digits.FIRST))
        maps = relu(conv2d(maps, second, second_bias, **train_digits.SECOND))
        loss = cross_entropy(linear(maps.flatten(1), matrix, matrix_bias), torch.from_numpy(labels))
        descent.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        descent.step()
        return float(loss.detach())

    return step


if __name__ == "__main__":
    main()
