"""A report of compare.py, as `benchmarks/compare.py --json report.json` writes it, made into what readers see.

`python benchmarks/results.py report.json` writes the table RESULTS.md beside this file, with the rows that fastconv loses,
and the bar chart of the README, docs/speed-light.svg and docs/speed-dark.svg.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from compare import geometric_mean
from matplotlib import rc_context
from matplotlib.figure import Figure

HERE = Path(__file__).parent
# Libraries of the chart, and their peers of the report: the fastest of them counts, case by case.
LIBRARIES = {
    "PyTorch": ("torch", "torch nhwc"),
    "ONNX Runtime": ("onnxruntime",),
    "OpenCV": ("opencv", "opencv sep"),
    "SciPy": ("ndimage", "fftconvolve", "oaconvolve"),
    "NumPy": ("einsum", "tensordot"),
}
COLUMNS = {  # of the table
    **LIBRARIES,
    "OpenVINO": ("openvino",),
    "ncnn": ("ncnn",),
    "LiteRT": ("litert",),
    "IPP": ("ipp",),
    "pyFFTW": ("pyfftw",),
}
THEMES = {  # ink, faint ink, bars
    "light": ("#1f2328", "#8c959f", "#2f6fb5"),
    "dark": ("#e6edf3", "#7d8590", "#6cb0f0"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("report", type=Path)
    report = json.loads(parser.parse_args().report.read_text("utf-8"))
    (HERE / "RESULTS.md").write_text(table(report), "utf-8")
    for theme in THEMES:
        draw(report, theme, HERE.parent / "docs" / f"speed-{theme}.svg")


def ratio(row: dict[str, Any], peers: tuple[str, ...]) -> float | None:
    """How many times as long as fastconv the fastest of these peers takes."""
    return min((row["ratios"][name] for name in peers if name in row["ratios"]), default=None)


def draw(report: dict[str, Any], theme: str, path: Path) -> None:
    """A bar for each library: the geometric mean over the cases that it can do, each of which is a dot."""
    ink, faint, colour = THEMES[theme]
    found = {name: [ratio(row, peers) for row in report["rows"]] for name, peers in LIBRARIES.items()}
    ratios = {name: [value for value in values if value is not None] for name, values in found.items()}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "fastconv", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8, 2.9), layout="constrained")
        axes = figure.subplots()
        for line, (name, values) in enumerate(ratios.items()):
            mean = geometric_mean(values)
            axes.barh(line, mean - 1, left=1, height=0.62, color=colour, alpha=0.85)
            axes.scatter(values, np.full(len(values), line), s=9, color=ink, alpha=0.45, linewidths=0, zorder=3)
            for text, left, weight in ((name, -0.3, "normal"), (f"{mean:.2g}x", -0.045, "bold")):
                place: dict[str, Any] = {"xy": (left, line), "xycoords": ("axes fraction", "data"), "va": "center"}
                axes.annotate(text, **place, ha="left" if text == name else "center", color=ink, weight=weight)
        axes.axvline(1, color=ink, linewidth=1)
        axes.set_xscale("log")
        ticks = (1, 2, 5, 10, 20, 50, 100, 200, 500)
        axes.set_xticks(ticks, [f"{tick}x" for tick in ticks])
        axes.minorticks_off()
        axes.set_yticks([])
        axes.invert_yaxis()
        least, greatest = (end(map(end, ratios.values())) for end in (min, max))
        axes.set_xlim(0.9 * least, 1.1 * greatest)
        axes.set_xlabel("time / time of fastconv, one core; bar: geometric mean, dots: cases", color=faint)
        axes.tick_params(colors=faint)
        for side in axes.spines.values():
            side.set_visible(False)
        figure.savefig(path, transparent=True, metadata={"Date": None})


def table(report: dict[str, Any]) -> str:
    machine, rows = report["machine"], [row for row in report["rows"] if row["best_peer"]]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    best = {row["name"]: row["ratios"][row["best_peer"]] for row in rows}
    lost = sorted((value, name) for name, value in best.items() if value < 1)
    lines = [
        "# Results",
        "",
        "How many times as long as fastconv the others take on one thread, case by case: medians of ratios of calls that take",
        "turns in one process, as `benchmarks/README.md` explains. Where a library has several ways, the fastest counts. **Bold**",
        "is below 1: there fastconv loses. `python benchmarks/compare.py` makes the same table for your machine.",
        "",
        f"{machine['cpu']}, {machine['instruction set']}, {machine['threads']} thread, {machine['date']}. {versions}.",
        "",
        "| problem (batch 1, float32) | fastconv | " + " | ".join(COLUMNS) + " |",
        "|---" * (2 + len(COLUMNS)) + "|",
    ]
    for row in rows:
        seconds = row["seconds"]["fastconv"]
        time = f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"
        cells = [cell(ratio(row, peers)) for peers in COLUMNS.values()]
        lines.append(f"| {row['name']} | {time} | {' | '.join(cells)} |")
    means = []
    for peers in COLUMNS.values():
        values = [value for row in rows if (value := ratio(row, peers)) is not None]
        means.append(f"{geometric_mean(values):.3g}" if values else "-")
    wins = f"{len(best) - len(lost)} of {len(best)} rows; the others are:"
    lines += [
        f"| **geometric mean** | | {' | '.join(means)} |",
        "",
        f"Geometric mean over the best library of each row: {geometric_mean(list(best.values())):.2f}.",
        f"fastconv is the fastest in {wins}",
        "",
        *(f"- {name}: {value:.2f}" for value, name in lost),
        "",
        f"The largest error of fastconv is {max(row['error'] for row in rows):.1e} of the largest output.",
    ]
    return "\n".join(lines) + "\n"


def cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"**{value:.2f}**" if value < 1 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
