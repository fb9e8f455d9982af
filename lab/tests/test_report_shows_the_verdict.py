"""The report repeats verdict.json: the answer first, then each number."""

import base64
import json
import re
from dataclasses import replace
from html import unescape

import pytest

from lab import report
from lab.judge import numbers
from lab.measure import facts
from lab.report import tables, words
from lab.report.data import ReportError, RunData
from lab.tests import invented_runs as runs

FACT = next(iter(facts.PROBES))


def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def text(html):
    """The visible text, with collapsed spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def shown(one):
    """The arm's name in the tables, where the canary's role is added."""
    return one["arm"] + (", the canary" if one["role"] == "canary" else "")


def test_the_answer_stands_above_everything_else(lock):
    folder, verdict = lock
    seen = text(page(folder).partition("<body>")[2])
    assert verdict["trustworthy"], verdict["why"]
    assert seen.index(verdict["question"]) < seen.index(verdict["answer"])
    assert seen.index(verdict["answer"]) < seen.index("All figures")
    assert "UNTRUSTWORTHY" not in seen


def test_the_headline_comes_first_and_can_be_shared(lock):
    folder, verdict = lock
    html = page(folder)
    header = text(html[html.index("<header>") : html.index("</header>")])
    assert header.index(verdict["headline"]) < header.index(verdict["certainty"])
    assert header.index(verdict["certainty"]) < header.index(verdict["answer"])
    picture = (folder / "card.png").read_bytes()
    assert picture[16:24] == (1200).to_bytes(4) + (630).to_bytes(4)
    assert f'download="{verdict["experiment"]}.png"' in html
    assert base64.b64encode(picture).decode() in html
    markdown = html[html.index('<pre class="whole">') :]
    assert verdict["headline"] in text(markdown[: markdown.index("</pre>")])


def test_each_comparison_has_its_numbers(lock):
    folder, verdict = lock
    rows = re.findall(r"<tr>(.*?)</tr>", page(folder), re.S)
    cells = [[text(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]
    for one in verdict["comparisons"]:
        key = [one["baseline"], one["load"], words.label(one["metric"])]
        (found,) = [row for row in cells if row[0] == shown(one) and row[8:] == key]
        expected = [numbers.ratio(one["ratio"]), numbers.interval(one["low"], one["high"])]
        assert found[2:5] == [*expected, str(one["n"])], one
        assert numbers.number(one["means"]["arm"]) in found[6]


def test_memory_and_counts_are_less_and_not_faster(lock):
    folder, verdict = lock
    found = {one["arm"]: one["verdict"] for one in verdict["comparisons"] if one["primary"]}
    assert found["4 processes, on"] == "faster", "verdict.json has one set of words"
    assert "| 4 processes, on | less |" in (folder / "report.md").read_text(encoding="utf-8")


def test_numbers_are_rounded_and_not_changed():
    assert numbers.ratio(1.0474999) == "1.047"
    assert numbers.ratio(0.0689) == "0.069"
    assert numbers.ratio(15.624) == "15.6"
    assert [numbers.number(value) for value in (0, 0.0123456, 1.0567, 15.64, 20100.4)] == [
        "0",
        "0.0123",
        "1.06",
        "15.6",
        "20,100",
    ]
    assert words.p_value(0.0004) == "< 0.001"
    assert numbers.ratio(None) == words.p_value(None) == numbers.number(None)


def test_the_markdown_has_answer_table_and_controls(lock):
    folder, verdict = lock
    markdown = (folder / "report.md").read_text(encoding="utf-8").replace("\\", "")
    assert verdict["answer"] in markdown
    for one in verdict["comparisons"]:
        if one["primary"]:
            interval = numbers.interval(one["low"], one["high"])
            row = next(line for line in markdown.splitlines() if f"| {shown(one)} |" in line)
            assert f"| {numbers.ratio(one['ratio'])} | {interval} | {one['n']} |" in row
    for link in re.findall(r"\]\((pictures/[^)]+)\)", markdown):
        assert (folder / link).is_file(), link
    assert "make compare EXPERIMENT=thunder-lock BLOCKS=8 RUNTIME=local SEED=4" in markdown
    conditions = markdown[markdown.index("## Conditions") :]
    for name in ("capacity of the baseline", "memory", "virtual machine", "CPU time stolen since"):
        assert f"| {name}" in conditions
    assert "| generator's priority (nice) | -10 under 60 % of capacity; 0 under" in conditions


def test_voids_are_counted_and_listed(lock):
    folder, verdict = lock
    count = verdict["void_by_rule"]["stolen CPU"]
    assert count > 0
    seen = text(page(folder))
    assert f"stolen CPU : {count}" in seen
    assert seen.count("the host took 31 %; 10 % are allowed") == count
    assert f"stolen CPU {count}" in (folder / "report.md").read_text(encoding="utf-8")


def test_declared_expectations_are_compared_with_the_verdicts(lock):
    folder, _ = lock
    seen = text(page(folder))
    assert "16 processes, on: faster, found faster (as declared)" in seen
    assert "2 processes, off: slower, found faster (not as declared)" in seen


def test_conditions_are_complete(lock):
    folder, _ = lock
    seen = text(page(folder))
    for fact in (
        "kernel 6.18.44",
        "cores 2",
        "versions · uwsgi 2.0.31",
        "make compare EXPERIMENT=thunder-lock BLOCKS=8 RUNTIME=local SEED=4",
        "capacity of the baseline, requests per second 812",
        "started 2026-11-21 08:00:00 UTC",
        "generator's priority (nice) -10 under 60 % of capacity; 0 under one client",
        "STACK_PROCESSES=16, STACK_THUNDER_LOCK=on",
        "one client rotation path /workload/protected, users 1, rounds 30, slice 60",
    ):
        assert fact in seen, fact
    options = seen[seen.index("Options that differ between arms") :]
    assert "arm processes thunder-lock 1 process, off 1 off 1 process, on 1 on" in options


def test_an_untrustworthy_run_says_so_first(tmp_path):
    verdict = runs.write_run(tmp_path, runs.SMALL, twin_off=1.2, histograms=False)
    assert not verdict["trustworthy"]
    report.write(tmp_path)
    html = page(tmp_path)
    header = text(html[html.index("<header>") : html.index("</header>")])
    assert "✕ UNTRUSTWORTHY: do not use these figures" in header
    assert verdict["answer"] in header
    assert header.startswith("thunder-lock")
    assert "Both controls" not in html
    assert 'class="answer bad" role="alert"' in html
    assert "untrustworthy</title>" in html
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "UNTRUSTWORTHY" in "".join(markdown.splitlines()[:6])


def test_blocks_that_are_too_few_leave_no_ratio(tmp_path):
    verdict = runs.write_run(tmp_path, runs.SMALL, blocks=1, histograms=False)
    assert {one["verdict"] for one in verdict["comparisons"]} == {"void"}
    report.write(tmp_path)
    assert "void" in text(page(tmp_path))
    assert not (tmp_path / "pictures" / "forest.svg").exists()


def test_claims_are_shown_with_source_and_outcome(tmp_path):
    toml = f"""{runs.SMALL}
[claims]
reload = {{ says = "A <chain> reload", source = "https://example.org/a?b=1&c=2", fact = "{FACT}" }}
"""
    verdict = runs.write_run(tmp_path, toml, histograms=False)
    (claim,) = verdict["claims"]
    report.write(tmp_path)
    html = page(tmp_path)
    section = html[html.index('<section id="claims">') : html.index('<section id="pictures">')]
    seen = text(section)
    assert claim["says"] in seen
    assert claim["outcome"] in seen
    assert 'href="https://example.org/a?b=1&amp;c=2"' in section
    assert claim["outcome"] in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_budgets_are_shown_with_figure_and_outcome(tmp_path):
    arms = 'arm = "4 processes, on", against = "4 processes, off"'
    toml = f"""{runs.LOCK}
[budgets]
"wake-ups" = {{ arm = "4 processes, on", load = "one client", metric = "wakeups", limit = 100 }}
"CPU" = {{ {arms}, load = "one client", metric = "cpu_us", limit = 0.01 }}
"""
    wakeups, cpu = runs.write_run(tmp_path, toml, histograms=False)["budgets"]
    report.write(tmp_path)
    html = page(tmp_path)
    section = html[html.index('<section id="budgets">') : html.index('<section id="pictures">')]
    seen, copied = text(section), (tmp_path / "report.md").read_text(encoding="utf-8")
    limit = f"100 {wakeups['unit']}".strip()
    for one, most, outcome in ((wakeups, limit, "met"), (cpu, "0.01", "missed")):
        figure, ends = numbers.ratio(one["ratio"]), numbers.interval(one["low"], one["high"])
        mark = "" if one["controlled"] else ", not controlled"
        assert f"{one['name']} {outcome}{mark} {most} {figure} {ends} {one['n']}" in seen
        row = f"| {one['name']} | {outcome}{mark} | {most} | {figure} | {ends} | {one['n']} |"
        assert row.replace("[", "\\[").replace("]", "\\]") in copied


def test_a_missing_or_damaged_file_is_named(tmp_path):
    runs.write_run(tmp_path, runs.SMALL, histograms=False)
    trials = tmp_path / "trials.jsonl"
    lines = trials.read_text(encoding="utf-8").splitlines()
    trials.write_text("\n".join([lines[0], "{", *lines[1:]]) + "\n", encoding="utf-8")
    with pytest.raises(ReportError, match=r"trials\.jsonl, line 2"):
        report.write(tmp_path)
    trials.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "verdict.json").unlink()
    with pytest.raises(ReportError, match=r"verdict\.json is missing"):
        report.write(tmp_path)


def test_an_incomplete_last_line_is_ignored(tmp_path):
    runs.write_run(tmp_path, runs.SMALL, histograms=False)
    with (tmp_path / "trials.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"block":9,"ar')
    assert report.write(tmp_path).is_file()


def test_the_same_run_gives_the_same_page(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / name / "2026"
        runs.write_run(folder, runs.SMALL, histograms=False)
        report.write(folder)
    for file in ("report.html", "report.md", "pictures/forest.svg", "pictures/strip.svg"):
        one, two = ((tmp_path / name / "2026" / file).read_bytes() for name in ("one", "two"))
        assert one == two, file


def test_a_load_without_trials_is_listed(tmp_path):
    runs.write_run(tmp_path, runs.SMALL, histograms=False)
    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    plan["loads"].append({"name": "never run", "kind": "open"})
    runs.edit(tmp_path, "plan.json", {"loads": plan["loads"]})
    report.write(tmp_path)
    assert "never run" in page(tmp_path)


def test_the_command_names_the_file_of_an_experiment_of_your_own(lock):
    run = RunData.read(lock[0])
    assert tables.command(run).startswith("make compare EXPERIMENT=thunder-lock BLOCKS")
    mine = replace(run, plan=replace(run.plan, file="thunder-lock.toml"))
    assert tables.command(mine).startswith("make compare EXPERIMENT=thunder-lock.toml BLOCKS")
