"""The last line of a run is a whole sentence about its exit code, and a believed quick run is no
failure."""

import numpy as np
import pytest

from lab import cli
from lab.judge import verdict
from lab.tests.invented_trials import TWIN, experiment, figures, fine

NOISE = 0.1 * np.array([1, -1, 1, -1, 1, -1])


@pytest.mark.parametrize(
    ("new", "quick", "code", "says"),
    [
        (-0.3, False, 0, "The run is believed."),
        (-0.3, True, 0, "It was a quick one, which decides large effects only."),
        (0.0, True, 0, "It was a quick one, which decides large effects only."),
        (0.0, False, 3, "Exit code 3: the run is believed, but it does not decide what was asked."),
        (0.3, True, 1, "Exit code 1: the run is believed, and what was declared did not come true"),
    ],
)
def test_the_exit_code_is_explained(new: float, quick: bool, code: int, says: str) -> None:
    made = figures(fine(6, new=new + NOISE))
    found = verdict.of(experiment(expect={"new": "faster"}), made, {})
    assert verdict.exit_code(found, quick=quick) == code
    assert says in cli.closing(found, code, quick=quick)


def test_an_untrustworthy_run_fails_when_it_is_quick_as_well() -> None:
    made = figures({**fine(6, new=-0.3 + NOISE), TWIN: 5 * NOISE})
    found = verdict.of(experiment(), made, {})
    assert verdict.exit_code(found, quick=True) == 3
    assert "untrustworthy" in cli.closing(found, 3, quick=True)
