"""Make calls with arguments drawn at random, and check what each gives; see `.ci/fuzz --help`.

Sets are drawn and made in blocks, each in a process of its own: a crash or a hang costs that process, is counted, and the next one
goes on behind it. A set is repeated by its seed and index, a fault that only comes after other calls by its block.
"""

import argparse
import contextlib
import faulthandler
import json
import mmap
import os
import pickle
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("FASTCONV_POISON", "1")  # what is read before it is written shows

import ml_dtypes
import numpy as np
from fuzz_sets import (
    DEFAULTS,
    Definition,
    Dice,
    Drawn,
    as_plain,
    call,
    define,
    draw,
    finite,
    lay_out,
    refusal,
    result_dtypes,
    strided,
    summing_bank,
)
from problem_table import use_isa
from reference import input_gradient, weight_gradient
from strategies import real_part_eps

import fastconv as fc
from fastconv import _core

BLOCK = 500  # sets of one process
HANG_SECONDS = 20
MEMORY = 3 * 2**30  # of a process
MOST_LOOPS = 3000  # outputs of which gradients are compared with their definition, pixel by pixel
GROWTH = 300 * 2**20  # of what a process needs at its peak, by one call
ISAS = _core.available_isas()
ARRAYS = ("input", "weight", "bias", "out")
NAMES = "|".join(["image", "input_shape", "banks", "kernels", "shape", "threads", *ARRAYS, *DEFAULTS])
SPECIAL = {"silu", "hardswish"}  # whose limits at minus infinity are not what their formulas give


class Fault(Exception):
    """What should not have happened; its first argument says of which kind."""


# Checks


def check(seed: int, index: int) -> None:
    """Make one call and whatever calls have to agree with it; raise Fault if something is wrong."""
    use_isa(ISAS[index // 20 % len(ISAS)])
    drawn = draw(seed, index)
    before = {name: value.tobytes() for name, value in drawn.given.items() if isinstance(value, np.ndarray)}
    room = None if drawn.room is None else drawn.room.copy()
    result, error = attempt(drawn)
    for name, data in before.items():
        may_change = error is None and (name == "out" or drawn.overlaps)
        if drawn.given[name].tobytes() != data and not may_change:
            raise Fault(f"{name} is changed")
    if error is not None:
        check_refusal(drawn, error)
        return
    if drawn.broken is not None:
        raise Fault(f"{drawn.broken} is not refused", repr(drawn.given[drawn.broken])[:200])
    if (why := refusal(drawn)) is not None and result_size(result):
        raise Fault("an impossible set is not refused", why)
    if room is not None:
        check_around(drawn, room)
    if drawn.kind == "explain":
        check_explanation(drawn, result)
    elif drawn.kind == "sequential":
        first = call_as(drawn, "bank")
        again = summing_bank(drawn, first.shape[-len(drawn.axes) - 1])(first)
        expect_same(result, again, "a sequence differs from its banks one by one")
    else:
        check_result(drawn, result, Dice(seed, index, 1))


def attempt(drawn: Drawn) -> tuple[Any, Exception | None]:
    """Make a call that must not take long, and return what it returns or raises."""
    seconds, peak = time.process_time(), peak_memory()
    try:
        result, error = call(drawn), None
    except Exception as raised:  # noqa: BLE001  any that comes is looked at
        result, error = None, raised
    seconds = time.process_time() - seconds
    if seconds > 2 + result_size(result) * drawn.taps / 1e7:
        raise Fault("slow", f"{seconds:.1f} s of CPU time, then {error!r}"[:300])
    if (grown := peak_memory() - peak) > GROWTH + 8 * result_size(result):
        raise Fault("memory", f"{grown >> 20} MB, then {error!r}"[:300])
    return result, error


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def result_size(result: Any) -> int:
    return result.size if isinstance(result, np.ndarray) else 0


def check_refusal(drawn: Drawn, error: Exception) -> None:
    name, message = type(error).__name__, str(error)
    where = f"{name}: {message}"[:300]
    if not isinstance(error, (ValueError, TypeError, MemoryError)):
        raise Fault(f"{name} in {place(error)}", where)
    if not (match := re.match(rf"({NAMES})\b", message)):
        raise Fault(f"{name} names no argument", where)
    blamed, why = match.group(), refusal(drawn)
    if drawn.broken is None and why is None and not is_excused(drawn, blamed, error):
        raise Fault(f"a valid set is refused, {drawn.kind}: {blamed}", where)
    if why is not None or drawn.is_huge:
        return
    if drawn.broken in (*DEFAULTS, "threads") and blamed not in (drawn.broken, "algorithm"):
        raise Fault(f"{blamed} is blamed for {drawn.broken}", where)
    if drawn.broken in ARRAYS and blamed not in (*ARRAYS, "input_shape", "groups", "algorithm"):
        raise Fault(f"{blamed} is blamed for {drawn.broken}", where)


def is_excused(drawn: Drawn, blamed: str, error: Exception) -> bool:
    """Tell whether a set that has a result may be refused nevertheless."""
    algorithm, sizes = drawn.option("algorithm"), [axis.size for axis in drawn.axes]
    if drawn.is_huge or 0 in sizes or 0 in drawn.plain["input"].shape:
        return True
    if algorithm in ("winograd", "fft") and blamed == "algorithm":
        return True
    dtypes = {array.dtype.kind for array in drawn.plain.values() if array is not None}
    out = drawn.given.get("out")
    if out is not None and blamed == "out":
        return not np.can_cast(result_dtypes(drawn)[0], out.dtype, "same_kind") or "sums of up to" in str(error)
    return blamed == "input" and "sums of up to" in str(error) and dtypes <= set("biu")


def check_around(drawn: Drawn, before: Any) -> None:
    """What holds `out` keeps all its other bytes."""
    out, room = drawn.given["out"], drawn.room
    offset = out.__array_interface__["data"][0] - room.__array_interface__["data"][0]
    np.ndarray(out.shape, out.dtype, before, offset, out.strides)[...] = out
    if before.tobytes() != room.tobytes():
        raise Fault("more than out is written")


def check_explanation(drawn: Drawn, explanation: Any) -> None:
    """What is said to run runs: it has the same bits as when it is asked for."""
    if (
        explanation.algorithm == "separable"
        or drawn.is_huge
        or drawn.option("algorithm") != "auto"
        or drawn.plain["bias"] is not None
    ):
        return
    if drawn.plain["weight"].dtype == drawn.plain["input"].dtype and drawn.plain["input"].dtype.kind in "fc":
        named = call_as(drawn, "conv", algorithm=explanation.algorithm)
        expect_same(call_as(drawn, "conv"), named, "explain names another algorithm than runs")


def call_as(drawn: Drawn, kind: str, **changes: Any) -> Any:
    return call(Drawn(kind, drawn.axes, drawn.groups, drawn.given, drawn.plain, drawn.mode), **changes)


def call_plainly(drawn: Drawn, **changes: Any) -> Any:
    """Make the call with contiguous arrays, without `out`, on one thread."""
    given = {name: value for name, value in drawn.given.items() if name != "out"}
    arrays = {name: value for name, value in drawn.plain.items() if value is not None}
    if isinstance(bias := given.get("bias"), (int, float, complex)):
        arrays["bias"] = bias
    plain = Drawn(drawn.kind, drawn.axes, drawn.groups, given | arrays | {"threads": 1}, drawn.plain, drawn.mode)
    return call(plain, **changes)


def check_result(drawn: Drawn, result: Any, dice: Dice) -> None:
    if result.shape != drawn.shape:
        raise Fault("the shape is wrong", f"{result.shape} instead of {drawn.shape}")
    if (out := drawn.given.get("out")) is not None and result is not out:
        raise Fault("out is not returned")
    if out is not None and result.size == 0:
        return
    plain = call_plainly(drawn)
    expect_same(*as_narrow(result, plain), "bits depend on how arrays are given, or on threads")
    if result.size * drawn.taps < 3e6:
        compare(drawn, plain, define(drawn))
    if result.size:
        dice.choice(VARIANTS)(drawn, plain, dice)


def as_narrow(one: Any, other: Any) -> tuple[Any, Any]:
    """Return two arrays in the dtype of the one that holds less; one of float16 and bfloat16 alone."""
    with np.errstate(all="ignore"):
        if one.dtype.itemsize > other.dtype.itemsize and other.dtype.kind != "i":
            return one.astype(other.dtype), other
        if one.dtype.itemsize == other.dtype.itemsize == 2 and one.dtype.name != other.dtype.name:
            return one, one
        return one, other.astype(one.dtype)


def expect_same(one: Any, other: Any, kind: str) -> None:
    if one.dtype != other.dtype.newbyteorder("=") and one.dtype != other.dtype:
        raise Fault(f"{kind}: dtype", f"{one.dtype} and {other.dtype}")
    one, other = as_plain(one), as_plain(other)
    if one.tobytes() == other.tobytes():
        return
    if one.dtype.kind == "c":
        one, other = (array.view(array.real.dtype) for array in map(np.ascontiguousarray, (one, other)))
    with np.errstate(all="ignore"):
        differs = (one != other) & ~(np.isnan(one) & np.isnan(other))
        signs = (one == other) & (np.signbit(one) != np.signbit(other)) if one.dtype.kind != "b" else differs
    if differs.any() or (one.dtype.kind == "f" and signs.any()):
        zeros = "" if differs.any() else ", signs of zero"
        first = tuple(map(int, np.argwhere(differs | signs)[0]))
        detail = f"{(differs | signs).sum()} of {one.size}, first at {first}: {one[first]!r} and {other[first]!r}"
        raise Fault(kind + zeros, detail)


# Other calls that have to give the same


def in_other_layouts(drawn: Drawn, plain: Any, dice: Dice) -> None:
    changes = {"input": lay_out(dice, drawn.plain["input"])}
    drawn.plain["input"] = np.ascontiguousarray(as_plain(changes["input"])).reshape(changes["input"].shape)
    expect_same(call(drawn, out=None, **changes), call_plainly(drawn), "bits depend on the layout of input")


def into_strides(drawn: Drawn, plain: Any, dice: Dice) -> None:
    out = strided(dice, np.zeros_like(plain))
    expect_same(call_plainly(drawn, out=out), plain, "bits depend on the layout of out")


def on_threads(drawn: Drawn, plain: Any, dice: Dice) -> None:
    expect_same(call_plainly(drawn, threads=dice.choice([2, 3])), plain, "bits depend on threads")


def image_by_image(drawn: Drawn, plain: Any, dice: Dice) -> None:
    image = drawn.plain["input"]
    if len(drawn.shape) - len(drawn.axes) - (drawn.weight_rank == 2) < 1:
        return
    kind = "bits depend on the batch"
    for n in range(len(image)):
        expect_same(call_plainly(drawn, input=image[n]), plain[n], kind)


def once_more(drawn: Drawn, plain: Any, dice: Dice) -> None:
    expect_same(call_plainly(drawn), plain, "the same call gives other bits")


def as_a_bank(drawn: Drawn, plain: Any, dice: Dice) -> None:
    if drawn.weight_rank != 2:
        return
    options = {name: value for name, value in drawn.options.items() if name != "algorithm"} | {"algorithm": "direct"}
    bank = fc.FilterBank(drawn.plain["weight"], drawn.plain["bias"], **options)
    image = drawn.plain["input"]
    maps = bank(image)
    expect_same(
        maps, call_as(drawn, "conv", **drawn.plain, algorithm="direct", out=None), "a bank differs from the function"
    )
    loaded = pickle.loads(pickle.dumps(bank))
    expect_same(loaded(image), maps, "a bank differs when it is pickled")
    if bank.output_shape(image.shape) != maps.shape or repr(bank) != repr(loaded) or bank != loaded:
        raise Fault("what a bank says of itself is wrong")


def on_other_isas(drawn: Drawn, plain: Any, dice: Dice) -> None:
    results = {}
    for isa in ISAS:
        if isa != "baseline":
            use_isa(isa)
            results[isa] = call_as(drawn, "conv", **drawn.plain, out=None)
    for isa, other in list(results.items())[1:]:
        expect_same(results[ISAS[0]], other, f"bits differ between {ISAS[0]} and {isa}")


def gradients(drawn: Drawn, plain: Any, dice: Dice) -> None:
    """Gradients are those of the definition, and so is the transposed convolution, which is one of them."""
    image, weight = drawn.plain["input"], drawn.plain["weight"]
    rank = len(drawn.axes)
    if drawn.weight_rank < 2 or image.ndim == rank or not image.size or plain.size > MOST_LOOPS or drawn.is_huge:
        return
    if image.dtype.kind in "biu" or weight.dtype.kind in "biu" or not all(map(is_finite, (image, weight))):
        return
    grad = dice.numbers.standard_normal(plain.shape).astype(image.dtype)
    given = {"image": lay_out(dice, image), "weight": lay_out(dice, weight), "grad": lay_out(dice, grad)}
    image, weight, grad = (np.ascontiguousarray(as_plain(array)) for array in given.values())
    stride, dilation, padding = (tuple(getattr(a, name) for a in drawn.axes) for name in ("stride", "dilation", "pads"))
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": drawn.groups}
    geometry["flip"] = drawn.option("flip")
    options = geometry | {"padding_mode": drawn.mode}
    more = {"precision": drawn.option("precision"), "threads": dice.choice([1, 2, 3])}
    for name, define_gradient, plain_two, given_two in (
        ("input", input_gradient, (image.shape, weight), (image.shape, given["weight"])),
        ("weight", weight_gradient, (image, weight.shape), (given["image"], weight.shape)),
    ):
        function = getattr(fc.grad, f"conv{rank}d_{name}")
        found = function(*plain_two, grad, **options, **more)
        expect_near(found, define_gradient, *plain_two, grad, options, f"the gradient of the {name} is wrong")
        again = function(*given_two, given["grad"], **options, **more | {"threads": 1})
        expect_same(again, found, f"bits of the gradient of the {name} depend on layouts, or on threads")
        if name == "input" and drawn.mode == "zeros" and weight.dtype.kind != "c":
            size = image.shape[-rank:]
            transposed = getattr(fc, f"conv_transpose{rank}d")(grad, weight, **geometry, output_size=size, **more)
            expect_same(transposed, found, "the transposed convolution is not the gradient of the input")


def is_finite(array: Any) -> bool:
    return bool(np.isfinite(array.astype(complex if array.dtype.kind == "c" else float)).all())


def expect_near(
    found: Any, define_gradient: Callable[..., Any], one: Any, other: Any, grad: Any, options: Any, kind: str
) -> None:
    """Compare a gradient with its definition, its errors relative to what its entries could be."""
    right = define_gradient(one, other, grad, **options)
    one, other = (abs(finite(a)).astype(float) if isinstance(a, np.ndarray) else a for a in (one, other))
    most = define_gradient(one, other, abs(finite(grad)).astype(float), **options).max(initial=0)
    accumulator = np.dtype(np.float32) if found.dtype.itemsize == 2 else found.dtype
    if most > largest(found.dtype) / 8:
        return  # sums may overflow
    fewer_digits = 2000 * smallest(accumulator) * grad.size * (1 + most)
    near = (
        40 * real_part_eps(accumulator) * most
        + real_part_eps(found.dtype) * abs(right)
        + fewer_digits
        + smallest(found.dtype)
    )
    errors = abs(found.astype(right.dtype) - right)
    if not (errors <= near).all():
        first = tuple(map(int, np.argwhere(~(errors <= near))[0]))
        raise Fault(
            kind,
            f"{(~(errors <= near)).sum()} of {right.size}, first at {first}: {found[first]!r}, not {right[first]!r}",
        )


VARIANTS: list[Callable[[Drawn, Any, Dice], None]] = [
    in_other_layouts,
    into_strides,
    on_threads,
    image_by_image,
    once_more,
    as_a_bank,
    on_other_isas,
    gradients,
    gradients,
]


# Values


def compare(drawn: Drawn, plain: Any, right: Definition) -> None:
    """Compare with the definition: NaN and infinity where it has them, exact integers, floats within their rounding errors."""
    if plain.dtype != right.dtype:
        raise Fault("the dtype is wrong", f"{plain.dtype} instead of {right.dtype}")
    if plain.dtype.kind in "iu":
        expect(plain == right.values, plain, right, "integers are wrong")
        return
    with np.errstate(all="ignore"):
        found, wanted = plain.astype(right.values.dtype), right.values
        known = right.scale < float(np.finfo(right.accumulator).max) / 8  # else a sum may overflow on the way
        if drawn.option("activation") in SPECIAL:
            known &= right.sums != -np.inf
        if drawn.mode != "zeros" and np.isinf(drawn.plain["input"]).any():
            known &= ~np.isnan(
                right.sums
            )  # weights of taps that see the same pixel may be added up before they meet it
        if plain.dtype.kind == "c":
            known &= np.isfinite(wanted)
        too_large = np.isinf(found) & (abs(wanted) > 0.99 * largest(plain.dtype))
        same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        agrees = np.where(np.isfinite(wanted), np.isfinite(found) | too_large, same)
        expect(agrees | ~known, plain, right, "NaN or infinity in the wrong places")
        errors = np.where(known & np.isfinite(wanted) & np.isfinite(found), abs(found - wanted), 0)
    exact = rounding(drawn, right, plain.dtype)
    expect((errors <= exact) | (right.pixels > 0), plain, right, "outputs that see only zeros are not zero")
    expect(errors <= exact + tolerance(drawn, right), plain, right, f"{drawn.option('algorithm')} sums are inaccurate")


def tolerance(drawn: Drawn, right: Definition) -> Any:
    """Of direct sums: relative to the sum of an output's own products; of others, to what an output could be."""
    eps, algorithm = real_part_eps(right.accumulator), drawn.option("algorithm")
    direct = eps * (5 + min(drawn.taps, 512) / 4) * right.scale
    if algorithm == "direct" or (algorithm == "auto" and drawn.option("precision") == "highest"):
        return direct
    pixel, weights = (abs(finite(drawn.plain[name])).astype(float) for name in ("input", "weight"))
    sums = weights.reshape(len(weights) if drawn.weight_rank == 2 else 1, -1).sum(axis=1)
    fewer_digits = (
        2000 * smallest(right.accumulator) * drawn.taps * (1 + pixel.max(initial=0) + weights.max())
    )  # of subnormal numbers
    return np.maximum(direct, 40 * eps * (pixel.max(initial=0) * sums.max() + right.scale) + fewer_digits)


def rounding(drawn: Drawn, right: Definition, dtype: Any) -> Any:
    """Errors of the last rounding to the result's dtype, of an activation, and of numbers too small to be exact."""
    eps, too_small = real_part_eps(dtype) if dtype != right.accumulator else 0, smallest(dtype)
    if drawn.option("activation") is not None or drawn.plain["bias"] is not None:
        eps += 4 * real_part_eps(right.accumulator)
    if drawn.option("activation") in (
        "gelu",
        "gelu_tanh",
    ):  # the definition's exponents, of about sums ** 2, are rounded
        eps = eps + np.finfo(float).eps * finite(right.sums) ** 2
    if drawn.option("activation") in ("sigmoid", "silu"):  # exp(-x) overflows where its reciprocal would be subnormal
        too_small += 100 * float(np.finfo(np.zeros(0, right.accumulator).real.dtype).smallest_normal)
    if drawn.option("activation") == "gelu_tanh":
        too_small += 1e-300  # which the definition's exponents go down to
    return eps * abs(finite(right.values)) + smallest(right.accumulator) * (2 + drawn.taps) + too_small


def smallest(dtype: Any) -> float:
    return float(ml_dtypes.finfo(np.zeros(0, dtype).real.dtype).smallest_subnormal)


def largest(dtype: Any) -> float:
    return float(ml_dtypes.finfo(np.zeros(0, dtype).real.dtype).max)


def expect(holds: Any, plain: Any, right: Definition, kind: str) -> None:
    if not np.all(holds):
        first = tuple(map(int, np.argwhere(~holds)[0]))
        values = f"{plain[first]!r} instead of {right.values[first]!r}, of products {right.products[first]!r}"
        raise Fault(kind, f"{(~holds).sum()} of {plain.size}, first at {first}: {values}")


# Processes


def run_block(seed: int, indices: range, reached: Any, report: Path, deadline: float) -> None:
    """Check sets in this process, and write what is wrong to the report; `reached` says how far it came."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=getattr(fc, "LayoutWarning", BytesWarning))
    for index in indices:
        reached[0] = index
        if time.monotonic() > deadline:
            return
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=sys.stderr)
        if (fault := find_fault(seed, index)) is not None:
            with report.open("a") as file:
                file.write(json.dumps([index, *fault]) + "\n")
    reached[0] = indices.stop


def find_fault(seed: int, index: int) -> tuple[str, str] | None:
    """Return the kind of what is wrong with a set, and the details."""
    try:
        check(seed, index)
    except Fault as fault:
        return str(fault.args[0]), " ".join(map(str, fault.args[1:]))
    except Exception as error:  # noqa: BLE001  likewise
        if not (isinstance(error, MemoryError) and draw(seed, index).is_huge):
            return f"{type(error).__name__} in {place(error)}, in a call that had to work", str(error)[:300]
    return None


def place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.name}"


def fuzz(seed: int, first: int, most: int, seconds: float, jobs: int) -> list[tuple[int, str, str]]:
    """Check sets in blocks until the time is over, and return what is wrong: index, kind and details of every fault."""
    start = time.monotonic()
    upcoming = [range(n, min(n + BLOCK, first + most)) for n in range(first, first + most, BLOCK)][::-1]
    running: dict[int, tuple[range, Any]] = {}  # by process
    crashes: list[tuple[int, str, str]] = []
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "faults"
        report.touch()
        try:
            while running or (upcoming and time.monotonic() < start + seconds):
                while upcoming and len(running) < jobs and time.monotonic() < start + seconds:
                    indices, reached = upcoming.pop(), np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.int64)
                    child = start_block(seed, indices, reached, report, start + seconds)
                    running[child] = indices, reached
                child, status = os.wait()
                indices, reached = running.pop(child)
                done += int(reached[0]) - indices.start
                if status:
                    crashes.append((int(reached[0]), describe_end(status), ""))
                    upcoming.append(range(int(reached[0]) + 1, indices.stop))
        except KeyboardInterrupt:
            for child in running:
                os.kill(child, signal.SIGKILL)
        faults = [tuple(json.loads(line)) for line in report.read_text().splitlines()] + crashes
    print(f"{done} sets of seed {seed} in {time.monotonic() - start:.0f} s: {len(faults)} faults")
    return faults


def start_block(seed: int, indices: range, reached: Any, report: Path, deadline: float) -> int:
    """Run a block in another process, and return that."""
    if child := os.fork():
        return child
    status = 2
    try:
        run_block(seed, indices, reached, report, deadline)
        status = 0
    finally:
        os._exit(status)


def describe_end(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return "hangs" if os.WEXITSTATUS(status) == 1 else "the fuzzer ends"


def summarise(seed: int, faults: list[tuple[int, str, str]]) -> None:
    """Print every kind of fault with its smallest example."""
    kinds: dict[str, list[tuple[int, str]]] = {}
    for index, kind, details in faults:
        kinds.setdefault(kind, []).append((index, details))
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        index, details = min(found, key=lambda example: size(draw(seed, example[0])))
        print(f"\n{kind}: {len(found)} times, e.g. --repeat {seed}:{index}\n  {draw(seed, index)}\n  {details}")


def size(drawn: Drawn) -> int:
    return int(sum(array.size for array in drawn.plain.values() if array is not None)) + 5 * len(drawn.given)


def repeat(seed: int, index: int) -> int:
    """Check one set again, and if nothing is wrong, all of its block up to it."""
    print(draw(seed, index))
    faults = fuzz(seed, index, 1, 1e9, 1)
    if not faults:
        first = index // BLOCK * BLOCK
        faults = [fault for fault in fuzz(seed, first, index + 1 - first, 1e9, 1) if fault[0] == index]
    for _, kind, details in faults:
        print(f"{kind}\n  {details}")
    return 1 if faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog=".ci/fuzz", description="Make calls with arguments drawn at random and check each."
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long to go on (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="what sets are drawn from (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="the index of the first set (default: 0)")
    parser.add_argument("--repeat", metavar="SEED:INDEX", help="check one set again, and print it")
    options = parser.parse_args()
    if options.repeat:
        return repeat(*map(int, options.repeat.split(":")))
    faults = fuzz(options.seed, options.first, 10**9, options.seconds, options.jobs)
    with contextlib.suppress(BrokenPipeError):
        summarise(options.seed, faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
