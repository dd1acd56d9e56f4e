"""The programs of examples/, run as users run them, but not for as long; they need scikit-learn and tqdm."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

for package in ("matplotlib", "PIL", "sklearn", "tqdm"):
    pytest.importorskip(package)


def run(name: str, *arguments: str, picture: Path) -> str:
    """Run an example that draws a picture, and return what it prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments, "--output", str(picture)]
    printed = subprocess.run(command, cwd=picture.parent, capture_output=True, text=True, check=True).stdout
    assert f"Wrote {picture}." in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    return printed


def test_a_short_training_reads_97_percent_of_the_digits_it_has_not_seen(tmp_path: Path) -> None:
    printed = run("train_digits.py", "--epochs", "8", picture=tmp_path / "digits.png")
    accuracies = [float(percent) for percent in re.findall(r"held-out accuracy ([\d.]+)%", printed)]
    assert len(accuracies) == 8
    assert accuracies[-1] > 97


def test_deconvolution_brings_a_blurred_photograph_nearer_to_the_original(tmp_path: Path) -> None:
    printed = run("deconvolution.py", "--iterations", "15", picture=tmp_path / "photographs.png")
    ratios = {name: float(ratio) for name, ratio in re.findall(r"^(\S+) +([\d.]+) dB$", printed, re.MULTILINE)}
    assert ratios.keys() == {"blurred", "Landweber", "Richardson-Lucy"}
    assert ratios["Landweber"] > ratios["blurred"] + 1.4
    assert ratios["Richardson-Lucy"] > ratios["blurred"] + 1.8


def test_a_mosaic_is_filtered_by_processes_of_this_machine() -> None:
    pytest.importorskip("distributed")
    command = [sys.executable, str(EXAMPLES / "cluster.py"), "--size", "1024", "--chunk", "256"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"1024x1024 pixels, 8 filters, \d+ workers", printed)
    assert len(re.findall(r"\d+", printed.partition("part:")[2])) == 16
