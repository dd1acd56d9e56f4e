"""The comparison report: fastconv against everything else that is installed, on one core unless told otherwise.

It pins the process, asks `measure.py` for one row after another, and prints them; `--help` shows the options.
"""

import argparse
import datetime
import json
import os
import platform
import re
from collections import Counter
from importlib import import_module
from math import nan
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cases import Case
    from measure import Row

NAME_WIDTH = 44


def main() -> None:
    args = parse_arguments()
    cores = pin(args.threads)  # before NumPy and the peers are imported: their thread pools look at it once
    if args.isa:
        os.environ["FASTCONV_ISA"] = args.isa

    from measure import measure
    from networks import NETWORKS
    from suites import SUITES

    suite = SUITES[args.suite]
    if unknown := set(args.networks) - set(NETWORKS):
        raise SystemExit(f"no such network: {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    networks = {name: NETWORKS[name] for name in args.networks}
    if networks and args.suite != "forward":
        raise SystemExit("the layers of networks are measured by the suite forward")
    if unknown := set(args.peers or []) - set(suite.peers):
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(suite.peers)}")
    candidates = dict.fromkeys(case for layers in networks.values() for case in layers) or suite.cases
    cases = [case for case in candidates if re.search(args.cases, case.name) and (case.quick or not args.quick)]
    if not cases:
        raise SystemExit(f"no case's name matches {args.cases!r}")
    wanted = [name for name in args.peers or suite.peers if suite.peers[name].installed]
    machine = describe(cores, args.threads, {module for name in wanted for module in suite.peers[name].modules})

    print(*(f"{key}: {value}" for key, value in machine.items()), sep="\n", end="\n\n")
    print_header(wanted)
    rows = []
    for case in cases:
        rows.append(measure(case, suite, wanted, args.seconds, args.threads, args.algorithms))
        print_row(rows[-1], wanted)
    print_summary(rows, wanted)
    print_networks(rows, networks, wanted)

    report = {"machine": machine, "rows": [as_dict(row) for row in rows]}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        from chart import draw

        draw(report, args.plot)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--suite",
        choices=["forward", "backward", "integers"],
        default="forward",
        help="backward: transposed, and gradients",
    )
    parser.add_argument("--cases", default="", metavar="PATTERN", help="regular expression to find in the names")
    parser.add_argument(
        "--networks", nargs="+", default=[], metavar="NAME", help="the layers of these networks instead, and their sums"
    )
    parser.add_argument("--quick", action="store_true", help="a small subset of the cases")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="only these competitors")
    parser.add_argument(
        "--algorithms", action="store_true", help="time every algorithm that can do a case; note bad choices"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of fastconv and of every peer (default 1)")
    parser.add_argument("--isa", metavar="NAME", help="fastconv's instruction set (default: the best), the peak's too")
    parser.add_argument("--seconds", type=float, default=5, help="time for one case, roughly (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all medians here")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the ratios here (needs matplotlib)")
    return parser.parse_args()


def pin(threads: int) -> list[int] | None:
    """Keep this process on as many cores as it has threads, and tell every library the number; returns the cores."""
    for library in ("OMP", "OPENBLAS", "MKL", "FASTCONV"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    if not hasattr(os, "sched_setaffinity"):
        return None
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])  # the first core often serves interrupts
    return sorted(os.sched_getaffinity(0))


def describe(cores: list[int] | None, threads: int, modules: set[str]) -> dict[str, Any]:
    cpu_info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", cpu_info.read_text()) if cpu_info.exists() else []
    versions = {name: import_module(name).__version__ for name in ["fastconv", "numpy", *sorted(modules)]}
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": models[0] if models else platform.processor(),
        "system": platform.platform(terse=True),
        "instruction set": import_module("fastconv._core").current_isa()[0],
        "threads": threads,
        "cores": cores or "not pinned",
        "python": platform.python_version(),
        "versions": versions,
    }


# The table: a line for each case, ratios time of the peer / time of fastconv


def print_header(peers: list[str]) -> None:
    print("ratio = time / time of fastconv, above 1 fastconv is faster; 'peak' = direct-summation FLOP/s")
    print("over those of a loop of multiply-adds in registers, in the same rounds\n")
    columns = " ".join(f"{name:>{width(name)}}" for name in ["call", "out", *peers])
    print(
        f"{'case':{NAME_WIDTH}} {'time':>9} {'GFLOP/s':>8} {'peak':>5} {'error':>7} {'algorithm':9} {'best peer':11} {'ratio':>6} | {columns}"
    )


def width(column: str) -> int:
    return max(7, len(column))


def print_row(row: "Row", peers: list[str]) -> None:
    from suites import OUR_CALL, OUR_OUT, OURS

    names = [(OUR_CALL, width("")), (OUR_OUT, width("")), *((name, width(name)) for name in peers)]
    columns = (f"{row.ratios[name]:{size}.2f}" if name in row.ratios else " " * size for name, size in names)
    best = row.best_peer
    ratio = f"{row.ratios[best]:6.2f}" if best else "     -"
    print(
        f"{row.case.name:{NAME_WIDTH}} {in_units(row.seconds[OURS])} {row.gflops:8.1f} {row.peak:5.0%} {row.error:7.1e}"
        f" {row.algorithm or '-':9} {best or '-':11} {ratio} | {' '.join(columns)}",
        flush=True,
    )
    for note in row.notes:
        print(f"    {note}")


def print_summary(rows: list["Row"], peers: list[str]) -> None:
    def line(label: str, chosen: list[float]) -> None:
        if chosen:
            print(f"    {label:20} {geometric_mean(chosen):8.2f}  (n = {len(chosen)}, worst {min(chosen):.2f})")

    print("\ngeometric mean of the ratios to each peer")
    for name in peers:
        line(name, [row.ratios[name] for row in rows if name in row.ratios])
    best = {row.case.name: row.ratios[row.best_peer] for row in rows if row.best_peer}
    print("and to the best peer of each case")
    for kind in dict.fromkeys(row.case.kind for row in rows):
        line(kind, [best[row.case.name] for row in rows if row.case.kind == kind and row.best_peer])
    line("all", list(best.values()))
    if best:
        worst = min(best, key=best.__getitem__)
        print(f"worst row: {worst}, {best[worst]:.2f}")
    print(f"largest error: {max(row.error for row in rows):.1e} of max|output|")


def print_networks(rows: list["Row"], networks: dict[str, "Counter[Case]"], peers: list[str]) -> None:
    """For each network the time of all its layers that were measured, and the peers' sums over ours."""
    from suites import OURS

    if not networks:
        return
    columns = " ".join(f"{name:>{width(name)}}" for name in peers)
    print("\nsums over the layers of a network, each as often as it occurs; 'best' takes the best peer of each layer")
    print(f"{'network':16} {'layers':>6} {'time':>9} {'best':>6} | {columns}  worst layer")
    for network, layers in networks.items():
        measured = [row for row in rows if layers[row.case] and row.best_peer]
        if not measured:
            continue
        ours = [layers[row.case] * row.seconds[OURS] for row in measured]

        def ratio_of_sums(ratios: list[float], ours: list[float] = ours) -> float:
            return sum(map(mul, ours, ratios)) / sum(ours)

        best = [row.ratios[row.best_peer] for row in measured if row.best_peer]
        cells = (f"{ratio_of_sums([row.ratios.get(name, nan) for row in measured]):{width(name)}.2f}" for name in peers)
        worst = measured[best.index(min(best))]
        count = sum(layers[row.case] for row in measured)
        print(
            f"{network:16} {count:6} {in_units(sum(ours))} {ratio_of_sums(best):6.2f} | {' '.join(cells)}"
            f"  {worst.case.name}, {min(best):.2f} {worst.best_peer}"
        )


def geometric_mean(values: list[float]) -> float:
    import numpy as np

    return float(np.exp(np.mean(np.log(values))))


def in_units(seconds: float) -> str:
    return f"{seconds * 1e6:6.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:6.1f} ms"


def as_dict(row: "Row") -> dict[str, Any]:
    case = row.case
    shapes = {"kind": case.kind, "input": case.input, "weight": case.weight, **case.options, "macs": case.macs}
    measured = ("seconds", "ratios", "rounds", "error", "peak", "algorithm", "best_peer", "notes")
    return {"name": case.name, **shapes, **{key: getattr(row, key) for key in measured}}


if __name__ == "__main__":
    main()
