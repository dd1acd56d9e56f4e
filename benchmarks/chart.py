"""The comparison report as a picture: one line for each case, ratios to fastconv on a logarithmic axis."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from peers import PEERS

MARKERS = "osD^v<>PX*hp8d"


def draw(report: dict[str, Any], path: Path) -> None:
    """A bar reaches to the best peer of its case, its ratio stands on the right; marks show every peer."""
    rows = [row for row in report["rows"] if row["best_peer"]]
    machine = report["machine"]
    figure = Figure(figsize=(11, 2.2 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    lines = np.arange(len(rows))
    best = np.array([row["ratios"][row["best_peer"]] for row in rows])
    axes.barh(lines, best - 1, left=1, height=0.62, color=np.where(best >= 1, "#a6d3a0", "#eda69c"))
    for number, (name, marker) in enumerate(zip(PEERS, MARKERS, strict=False)):
        chosen = [line for line in lines if name in rows[line]["ratios"]]
        ratios = [rows[line]["ratios"][name] for line in chosen]
        if chosen:
            axes.scatter(ratios, chosen, s=26, marker=marker, color=f"C{number % 10}", label=name, zorder=3)

    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    axes.set_xlabel("time / time of fastconv (right of 1: fastconv is faster)")
    axes.set_yticks(lines, [row["name"] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    right = axes.secondary_yaxis("right")
    right.set_yticks(
        lines, [f"{ratio:.2f}  {row['best_peer']}" for ratio, row in zip(best, rows, strict=True)], fontsize=8
    )
    axes.set_title(f"{machine['cpu']}, {machine['threads']} thread(s), {machine['date']}", fontsize=10)
    axes.set_title("best peer", fontsize=10, loc="right")
    figure.legend(loc="outside lower center", ncols=7, fontsize=8)
    figure.savefig(path, dpi=130)
