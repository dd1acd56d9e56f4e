"""Whether the plan takes the fastest algorithm: problems drawn at random, each computed by all that can do it.

Run it as ``python benchmarks/choices.py [--problems N] [--seed S] [--only PATTERN] [--isa NAME] [--calibrate]``. A
problem's ratio is the time of the algorithm that the plan took, over that of the fastest one; medians of calls by turns,
on one core. The table has all problems that lost more than 5 %, each with the times of all candidates, and what their
costs predicted.

An algorithm predicts its cost as a sum of counts (products, rows of strips, transformed numbers, ...), each times one of
its COSTS. ``--calibrate`` prints those that fit the times of this machine best: by non-negative least squares (Lawson and
Hanson, 1974) of relative errors, in products of direct summation at full speed. A thousand problems or more are needed,
and those of a kind that is rare among them stay uncertain: compare what a change does to the table before it is kept.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

MACS = 2e4, 4e8  # multiply-adds of a problem: from those where a call counts to those that take too long to draw many
SECONDS = 0.25  # for one problem
GOOD, TOLERABLE = 1.05, 1.10

Timing = tuple[Mapping[str, float], float]  # the counts of a layout, and its time over that of a product


@dataclass(frozen=True)
class Drawn:
    """One problem: image (C, *size) and bank (K, C / groups, *kernel), as drawn."""

    channels: int
    filters: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return self.filters, self.channels // self.groups, *self.kernel

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "dilation": self.dilation, "padding": self.padding, "groups": self.groups}

    @property
    def output(self) -> tuple[int, ...]:
        axes = zip(self.size, self.kernel, self.stride, self.dilation, self.padding, strict=True)
        return tuple((n + 2 * pad - d * (k - 1) - 1) // s + 1 for n, k, s, d, pad in axes)

    @property
    def macs(self) -> int:
        return math.prod(self.output) * math.prod(self.weight_shape)

    def __str__(self) -> str:
        def by(numbers: tuple[int, ...]) -> str:
            return "x".join(map(str, numbers))

        text = f"{by(self.kernel)} {self.channels}->{self.filters} on {by(self.size)}"
        text += f" groups {self.groups}" * (self.groups > 1) + f" stride {by(self.stride)}" * (max(self.stride) > 1)
        return text + f" dilation {by(self.dilation)}" * (max(self.dilation) > 1) + " padded" * (max(self.padding) > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--problems", type=int, default=300, help="how many to draw (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression to find in a problem's words")
    parser.add_argument("--isa", metavar="NAME", help="instruction set (default: the best)")
    parser.add_argument("--calibrate", action="store_true", help="print the COSTS that fit the times (needs SciPy)")
    args = parser.parse_args()
    from compare import pin

    pin(1)
    if args.isa:
        os.environ["FASTCONV_ISA"] = args.isa
    problems = [problem for problem in draw(args.seed, args.problems) if re.search(args.only, str(problem))]
    timings: defaultdict[str, list[Timing]] = defaultdict(list)
    ratios = [report(problem, timings) for problem in problems]
    good, tolerable = (sum(ratio <= limit for ratio in ratios) / len(ratios) for limit in (GOOD, TOLERABLE))
    print(
        f"\n{len(ratios)} problems: {good:.1%} within {GOOD:.2f} of the fastest, {tolerable:.1%} within {TOLERABLE:.2f}"
    )
    print(f"worst: {max(ratios):.2f}, {problems[ratios.index(max(ratios))]}")
    if args.calibrate:
        for name, of_algorithm in timings.items():
            calibrate(name, of_algorithm)


def draw(seed: int, count: int) -> Iterator[Drawn]:
    """Yield so many problems that take neither too little nor too long."""
    import numpy as np

    rng = np.random.default_rng(seed)

    def log_uniform(first: int, last: int) -> int:
        return int(np.exp(rng.uniform(np.log(first), np.log(last + 1))))

    while count:
        axes = int(rng.choice([1, 2, 2, 2, 3]))
        groups = int(rng.choice([1, 1, 1, 1, 2, 4, 0]))  # 0: depthwise
        channels, filters = log_uniform(1, 512), log_uniform(1, 512)
        if groups == 0:
            groups, filters = channels, channels
        elif groups > 1:
            channels, filters = groups * -(-channels // groups), groups * -(-filters // groups)
        square = rng.random() < 0.75

        def of_axes(values: Any, square: bool = bool(square), axes: int = axes) -> tuple[int, ...]:
            return (int(values()),) * axes if square else tuple(int(values()) for _ in range(axes))

        longest = {1: 1024, 2: 63, 3: 9}[axes]
        taps = partial(rng.choice, [1, 3, 3, 3, 5, 7]) if rng.random() < 0.6 else partial(log_uniform, 1, longest)
        kernel = of_axes(taps)
        steps = partial(rng.choice, [1, 1, 1, 2, 2, 3])
        if axes == 1 and rng.random() < 0.3:
            steps = partial(log_uniform, 1, 2 * kernel[0])
        stride = of_axes(steps)
        dilation = of_axes(partial(rng.choice, [1, 1, 1, 1, 2, 3]))
        size = of_axes(partial(log_uniform, 1, {1: 100_000, 2: 512, 3: 64}[axes]))
        padding = (
            tuple(d * (k // 2) for k, d in zip(kernel, dilation, strict=True)) if rng.random() < 0.7 else (0,) * axes
        )
        problem = Drawn(channels, filters, size, kernel, stride, dilation, padding, groups)
        numbers = channels * math.prod(size), math.prod(problem.weight_shape)
        if min(problem.output) > 0 and MACS[0] <= problem.macs <= MACS[1] and max(numbers) < 2**24:
            count -= 1
            yield problem


def report(problem: Drawn, timings: defaultdict[str, list[Timing]]) -> float:
    """Time all algorithms on one problem, print it if the plan's choice is behind, and return its ratio."""
    import numpy as np
    from measure import OURS, PEAK, interleave, peak_probe

    import fastconv as fc
    from fastconv import _plan
    from fastconv.algorithms import separable

    rng = np.random.default_rng(1)
    image = rng.standard_normal((problem.channels, *problem.size), dtype=np.float32)
    weight = rng.standard_normal(problem.weight_shape, dtype=np.float32)
    chosen = fc.FilterBank(weight, **problem.options)
    maps = chosen(image)
    calls = {OURS: partial(chosen, image, out=maps)}
    calls[PEAK], peak_flops = peak_probe()
    costs, counts = {}, {}
    for module in _plan.ORDER:
        if module is separable:  # for kernels of rank 1, which drawn ones are not
            continue
        with only(module):
            try:
                bank = fc.FilterBank(weight, **problem.options)
                layout = planned(bank, image)
            except ValueError:  # it cannot do the problem
                continue
        name = module.__name__.rpartition(".")[2]
        costs[name], counts[name] = layout.cost, layout.counts
        calls[name] = partial(bank, image, out=maps)
    times = {name: float(np.nanmedian(seconds)) for name, seconds in interleave(calls, SECONDS).items()}
    names = sorted(costs, key=lambda name: times[name])
    taken = min(costs, key=lambda name: abs(costs[name] - planned(chosen, image).cost))
    product = 2 * times[PEAK] / peak_flops
    for name in names:
        timings[name].append((counts[name], times[name] / product))
    ratio = times[taken] / times[names[0]]
    if ratio > GOOD:
        candidates = ", ".join(f"{name} {times[name] * 1e6:.0f} us ({costs[name]:.3g})" for name in names)
        print(f"{ratio:5.2f}  {problem}\n       {taken} was taken: {candidates}", flush=True)
    return ratio


def calibrate(name: str, timings: list[Timing]) -> None:
    """Print the costs that predict some times best, and how well they do."""
    import numpy as np
    from scipy.optimize import nnls

    if not (parts := sorted({part for counts, _ in timings for part in counts})):
        return
    shares = np.array([[counts.get(part, 0) / time for part in parts] for counts, time in timings])
    costs = nnls(shares, np.ones(len(shares)))[0]
    low, median, high = np.quantile(shares @ costs, [0.1, 0.5, 0.9])
    print(f"\n{name}, {len(timings)} problems: predicted / measured {low:.2f} ... {median:.2f} ... {high:.2f}")
    for part, cost in zip(parts, costs, strict=True):
        print(f'    "{part}": {cost:.3g},')


@contextmanager
def only(module: ModuleType) -> Iterator[None]:
    """Let plans ask one algorithm alone."""
    from fastconv import _plan

    before, _plan.ORDER = _plan.ORDER, (module,)
    try:
        yield
    finally:
        _plan.ORDER = before


def planned(bank: Any, image: Any) -> Any:
    """Return the layout that a bank takes for an image; call it while the plan asks the algorithms in question."""
    bank(image)
    (plan, (index, _)), *_ = bank._plans.values()
    return plan.layouts[index]


if __name__ == "__main__":
    main()
