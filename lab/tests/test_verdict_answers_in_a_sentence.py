"""The answer is a headline and one sentence: the declared comparison, or the largest effect, and
the count of the others. Expectations and the exit code use the same verdicts."""

import numpy as np
import pytest

from lab.judge import verdict
from lab.judge.answer import of_lists
from lab.tests.invented_trials import BASE, CANARY, TWIN, experiment, figures, fine

WIGGLE = np.asarray(fine()[TWIN])


def answer(metric: str = "cpu_us", **arms: np.ndarray) -> str:
    controls = fine()
    if metric == "rps":
        controls[CANARY] = -np.asarray(controls[CANARY])
    made = figures({**controls, **arms}, metric)
    return str(verdict.of(experiment(list(arms), metric=metric), made, {})["answer"])


def test_a_difference() -> None:
    said = answer("wakeups", on=-2.5 + WIGGLE)
    assert said == (
        '"on" lowers wake-ups per request (voluntary context switches) from 500 ("base") '
        'to 41.0 under "main": ratio 0.082 [0.082, 0.083], 10 blocks.'
    )
    assert answer(heavy=0.6 + WIGGLE).startswith(
        '"heavy" raises CPU time per request (nginx, app and Redis) from 500 µs ("base") to 911 µs '
    )
    assert 'from 500/s ("base")' in answer("rps", quick=0.6 + WIGGLE)
    assert '"slow" raises time from the start to' in answer("start_s", slow=0.6 + WIGGLE)


def test_among_many_arms_the_largest_is_named_and_the_others_are_counted() -> None:
    said = answer(
        a=0.2 + WIGGLE, b=-0.4 + WIGGLE, c=WIGGLE, d=-WIGGLE, e=0.06 + 12 * WIGGLE, f=0.3 + WIGGLE
    )
    assert said.startswith('"b" lowers CPU time')
    assert ", simultaneous over 6 comparisons; " in said
    assert said.endswith("; the other 5 comparisons: 2 worse, 2 equivalent, 1 inconclusive.")
    assert answer(a=0.2 + WIGGLE, b=WIGGLE).endswith("; the other comparison is equivalent.")


def test_no_difference() -> None:
    assert answer(new=WIGGLE).startswith(
        '"new" and "base" are equivalent (within ±5%) in CPU time per request (nginx, app and '
        'Redis) under "main", 50'
    )


def test_an_open_question() -> None:
    said = answer(new=0.04 + 10 * WIGGLE)
    assert said.startswith('It is not settled whether "new" differs from "base" in CPU time')
    assert said.endswith(" blocks would settle it four times in five.")


@pytest.mark.parametrize(
    ("metric", "new", "said"),
    [
        ("wakeups", -2.5 + WIGGLE, "Yes: 500 wake-ups per request become 41.0."),
        ("cpu_us", -0.2 + WIGGLE, "Yes: CPU per request: 500 µs become 409 µs."),
        ("cpu_us", 0.2 + WIGGLE, "No, the opposite: CPU per request: 500 µs become 610 µs."),
        ("cpu_us", WIGGLE, "No: CPU per request: 500 µs and 500 µs are equivalent, within ±5%."),
        ("cpu_us", 0.04 + 10 * WIGGLE, "Not settled: CPU per request: 500 µs and 518 µs."),
        (
            "cpu_us",
            WIGGLE[:4],
            "No answer: 4 of the 6 good blocks that are needed.",
        ),
    ],
)
def test_the_headline_answers_the_question(metric: str, new: np.ndarray, said: str) -> None:
    """Another arm has the larger effect, and is not what was asked."""
    arms = {"new": new, "other": -3.0 + WIGGLE}
    setup = experiment(list(arms), metric=metric, answer=("new", BASE))
    found = verdict.of(setup, figures({**fine(), **arms}, metric), {})
    assert found["headline"] == said
    assert '"new"' in found["answer"]
    assert "simultaneous" not in found["answer"], "it was chosen before the run"


def test_without_a_declared_answer_the_headline_is_the_largest_difference() -> None:
    found = verdict.of(
        experiment(("a", "b")), figures({**fine(), "a": 0.2 + WIGGLE, "b": WIGGLE}), {}
    )
    assert (
        found["headline"] == 'The largest difference is "a": CPU per request: 500 µs become 610 µs.'
    )


def test_no_answer() -> None:
    found = verdict.of(experiment(), figures(fine(10, new=WIGGLE[:4])), {})
    assert found["answer"] == (
        'No answer about "new" and "base" in CPU time per request (nginx, app and Redis) under '
        '"main": 4 of the 6 good blocks that are needed.'
    )


@pytest.mark.parametrize(
    ("expect", "code"),
    [
        ({}, 0),
        ({"up": "slower"}, 0),
        ({"up": "slower", "same": "equivalent"}, 0),
        ({"up": "faster"}, 1),
        ({"same": "slower"}, 1),
        ({"open": "slower"}, 3),
        ({"up": "slower", "open": "slower"}, 3),
        ({"up": "faster", "open": "slower"}, 1),
    ],
)
def test_expectations_and_the_exit_code(expect: dict[str, str], code: int) -> None:
    arms = {"up": 0.2 + WIGGLE, "same": WIGGLE, "open": 0.04 + 10 * WIGGLE}
    found = verdict.of(experiment(list(arms), expect=expect), figures({**fine(), **arms}), {})
    words = {"up": "slower", "same": "equivalent", "open": "inconclusive"}
    assert found["expectations"] == {
        arm: {"declared": word, "found": words[arm], "met": words[arm] == word}
        for arm, word in expect.items()
    }
    assert verdict.exit_code(found) == code


def test_where_nothing_was_declared_and_nothing_settled_the_run_did_not_answer() -> None:
    made = figures(fine(10, new=0.04 + 10 * WIGGLE))
    assert verdict.exit_code(verdict.of(experiment(), made, {})) == 3


def test_the_headline_of_claims_or_budgets_counts_them() -> None:
    outcomes = ["confirmed", "refuted", "confirmed", "cannot tell here"]
    claims = [{"outcome": outcome} for outcome in outcomes]
    budgets = [{"met": True}, {"met": False}, {"met": False}]
    found = {"trustworthy": True, "claims": claims, "budgets": []}
    said = of_lists(found)["headline"]
    assert said == "Of 4 claims: 2 confirmed, 1 refuted, 1 cannot tell here."
    assert of_lists({"trustworthy": True, "budgets": budgets})["headline"] == (
        "1 of 3 budgets are met."
    )
    assert of_lists({**found, "trustworthy": False}) == {}
    assert of_lists({"trustworthy": True, "budgets": []}) == {}
