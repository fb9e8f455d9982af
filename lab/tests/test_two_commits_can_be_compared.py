"""``make compare A=main B=branch``: its experiment, its exit codes, and a real run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import __main__ as lab_main
from lab import cli
from lab.measure import trees
from lab.measure.running_arm import start
from lab.plan import two_refs
from lab.plan.arms import ArmSpec
from lab.plan.experiment_file import ExperimentError, parse, require_commits
from lab.plan.sources import NoSuchCommit, in_repository, resolve
from lab.tests.running_arms import ask
from stack.errors import StackError

CHECKOUT = Path(__file__).resolve().parents[2]
COMMIT = "HEAD" if in_repository() else "."


@pytest.mark.parametrize(
    ("trustworthy", "verdicts", "code"),
    [
        (True, ["equivalent"], 0),
        (True, ["faster"], 0),
        (True, ["slower"], 1),
        (True, ["inconclusive"], 125),
        (True, ["overloaded"], 125),
        (True, [], 125),
        (False, ["slower"], 125),
    ],
)
def test_exit_codes_are_those_of_git_bisect(
    trustworthy: bool, verdicts: Sequence[str], code: int
) -> None:
    assert two_refs.exit_code(trustworthy=trustworthy, verdicts=verdicts) == code


def test_the_built_in_experiment_has_twin_canary_and_answer() -> None:
    text = two_refs.text("main", "x/y", app="shop:app", path="/products", login="none")
    experiment = parse(text, "main-to-x-y.toml")
    assert experiment.answer == ("x/y", "main")
    assert [arm.role for arm in experiment.arms] == ["arm", "arm", "twin", "canary", "canary"]
    assert {arm.ref for arm in experiment.arms if arm.role != "arm"} == {"main"}
    assert {load.path for load in experiment.loads} == {"/products"}
    assert parse(two_refs.text(".", "."), "x.toml").answer == (". again", ".")


def test_a_commit_that_does_not_exist_is_named_with_its_line() -> None:
    text = two_refs.text(".", "no-such-branch")
    with pytest.raises(ExperimentError, match=r"x.toml, line \d+: ref = 'no-such-branch' is no"):
        require_commits(parse(text, "x.toml"), text, "x.toml")
    with pytest.raises(NoSuchCommit):
        resolve("no-such-branch")


def test_names_that_git_would_read_as_options_are_refused() -> None:
    with pytest.raises(ExperimentError, match="must be a commit, branch or tag"):
        parse(two_refs.text(".", "--output=x"), "x.toml")


def test_nginx_gets_new_values_where_a_directive_is_set_once(tmp_path: Path) -> None:
    (tmp_path / "snippets").mkdir()
    (tmp_path / "nginx.conf").write_text("worker_processes 2;\nhttp {\n    gzip on;\n}\n")
    (tmp_path / "snippets" / "x.conf").write_text("    # gzip on;\n    keepalive_timeout 65s;\n")
    trees.with_directives(tmp_path, "worker_processes 1;\nkeepalive_timeout 5s;\nsendfile off;")
    main = (tmp_path / "nginx.conf").read_text().split("\n")
    assert main[0] == "worker_processes 1;"
    assert main[-3:] == ["sendfile off;", "}", ""]
    assert "    keepalive_timeout 5s;" in (tmp_path / "snippets" / "x.conf").read_text()
    trees.with_directives(tmp_path, "map $uri $x { default 1; }")
    assert "map $uri $x { default 1; }" in (tmp_path / "nginx.conf").read_text()


def test_a_copy_leaves_units_of_the_template_out() -> None:
    spec = ArmSpec("small", without=("inside",))
    if not (CHECKOUT / "template").is_dir():
        with pytest.raises(StackError, match="only the template can leave units out"):
            trees.of(spec)
        return
    tree = trees.of(spec)
    assert tree != trees.of(ArmSpec("whole", ref="."))
    assert not (tree / "app" / "inside").exists()
    assert "inside" not in (tree / "nginx" / "nginx.conf").read_text()
    named = r"without = \['cellar'\]: .*there is no unit 'cellar': there are .*\binside\b"
    with pytest.raises(StackError, match=named):
        trees.of(ArmSpec("misspelt", without=("cellar",)))


@pytest.mark.long
def test_an_arm_runs_the_files_of_its_commit_with_its_own_variables_and_directives() -> None:
    spec = ArmSpec(
        "own",
        {"STACK_PROCESSES": "1", "STACK_THREADS": "1", "STACK_APP": "variables:app"},
        ref=COMMIT,
        env={"GREETING": "hello"},
        nginx="add_header X-Of-The-Arm yes always;",
        ini=("mule-reload-mercy = 7",),
        setup=('test "$GREETING" = hello',),
        login="none",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "foreign_app"))
        running = start(spec, path="/")
    try:
        answer, body = ask(running, "/")
        assert (answer.status, body) == (200, b"hello")
        tree = trees.of(spec)
        assert tree != CHECKOUT
        assert (tree / "uwsgi" / "uwsgi.ini").read_text().endswith("mule-reload-mercy = 7\n")
        assert "X-Of-The-Arm" in (tree / "nginx" / "nginx.conf").read_text()
        assert running.wrong_options == []
    finally:
        running.stop()
    assert not list(tree.glob("run/lab-????????"))


@pytest.mark.long
def test_a_tiny_real_run_ends_in_a_comment(tmp_path: Path) -> None:
    """Two blocks decide nothing, so it cannot tell."""
    command = [sys.executable, "-m", "lab.cli", f"--results={tmp_path}", "compare"]
    done = subprocess.run(
        [*command, f"--a={COMMIT}", "--b=.", "--blocks=2", "--quick"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == two_refs.CANNOT_TELL, done.stdout + done.stderr
    assert "Exit code 125: this run cannot tell." in done.stdout
    (folder,) = (path for path in tmp_path.glob("*/*") if not path.is_symlink())
    comment = (folder / "comment.md").read_text(encoding="utf-8")
    assert comment in done.stdout
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert plan["refs"] == f"make compare A={COMMIT} B=."
    assert f"`.` is {plan['conditions']['refs']['.'][:12]}" in comment
    lines = (folder / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    assert len({(one["block"], one["arm"]) for one in map(json.loads, lines)}) == 2 * 5


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--b=no-such-branch", "'no-such-branch' is no commit, branch or tag"),
        ("--blocks=none", "must be a whole number"),
    ],
)
def test_a_wrong_command_stops_git_bisect(
    option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code: object
    try:
        code = cli.main(["compare", "--a=.", "--b=.", option])
    except SystemExit as error:
        code = error.code
    assert code == two_refs.USAGE
    assert said in capsys.readouterr().err


def test_an_error_of_the_lab_itself_says_nothing_about_the_commit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("a fault of the lab")

    monkeypatch.setattr(cli, "require_commits", breaks)
    assert cli.main(["compare", "--a=.", "--b=."]) == two_refs.CANNOT_TELL
    assert "a fault of the lab" in capsys.readouterr().err


def test_the_codes_of_both_entries_agree() -> None:
    assert lab_main.CANNOT_TELL == two_refs.CANNOT_TELL
