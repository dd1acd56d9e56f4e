"""SciPy's own tests, as they are installed with it, run against our functions of the same names."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from suites import SUITES

pytest.importorskip("scipy")


@pytest.mark.parametrize("name", SUITES)
def test_the_tests_of_scipy_pass_with_our_functions(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = SUITES[name]
    if missing := [module for module in suite.tests if not is_installed(module)]:
        pytest.skip(f"this installation of SciPy lacks {', '.join(missing)}")
    report = tmp_path / "report.json"
    here = str(Path(__file__).parent)
    environment = {
        **os.environ,
        "REPLACED_SUITE": name,
        "REPLACED_REPORT": str(report),
        "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "replaced", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir", str(tmp_path), "-W", "ignore::pytest.PytestUnknownMarkWarning", "--tb=short"]
    command += ["-m", "not slow", "--pyargs"]  # those that SciPy calls slow take many gigabytes, or minutes
    run = subprocess.run(
        [*command, *suite.tests], check=False, env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert report.exists(), run.stdout[-4000:] + run.stderr[-4000:]
    found = json.loads(report.read_text())
    calls = found["calls"]
    with capsys.disabled():
        print(f"\n{name}: {found['outcomes']}, {sum(calls.values())} calls of {calls}; excluded: {len(suite.excluded)}")
    assert set(calls) == set(suite.functions), "functions that no test has called"
    failed = {test: why for test, why in found["failures"].items() if excluded_as(test, suite.excluded) is None}
    assert failed == {}, "\n".join(f"{test}: {why}" for test, why in failed.items())
    unused = {one for one in suite.excluded if not any(excluded_as(test, [one]) for test in found["failures"])}
    assert unused == set(), "these are excluded, and pass"


def is_installed(module: str) -> bool:
    return find_spec(module.rpartition(".")[0]) is not None and find_spec(module) is not None


def excluded_as(test: str, excluded: Iterable[str]) -> str | None:
    """Return the entry that excludes a test: its name, without parameters or with them."""
    return next((one for one in excluded if test == one or test.startswith(f"{one}[")), None)
