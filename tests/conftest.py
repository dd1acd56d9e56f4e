"""Random numbers, and Hypothesis profiles: `ci` repeats itself, `quick` too, with a tenth of the problems that `default` draws;
`thorough` draws twenty times as many; HYPOTHESIS_PROFILE chooses."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=10)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20190101)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--isa-times", action="store_true", help="print how long each instruction set takes for each problem"
    )
