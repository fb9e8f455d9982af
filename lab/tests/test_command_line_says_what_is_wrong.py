"""Wrong usage ends with exit code 2 and a message before anything starts."""

from pathlib import Path

import pytest

from lab.cli import main


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The messages of a command that ends with exit code 2."""
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2
    return capsys.readouterr().err


def test_an_unknown_experiment_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, "compare", "thunderlock")
    assert "compare: there is no experiment 'thunderlock', did you mean thunder-lock?" in said
    assert "lazy-apps, " in said


def test_without_an_experiment_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("compare",), ("compare", "--", "")):
        assert "|lazy-apps|" in told(capsys, *arguments)


@pytest.mark.parametrize("blocks", ["x", "1", "0", "-3", "1000", "2.5", "٣"])
def test_blocks_must_be_a_number(capsys: pytest.CaptureFixture[str], blocks: str) -> None:
    said = told(capsys, "compare", f"--blocks={blocks}", "thunder-lock")
    assert f"{blocks!r}: must be a whole number from 2 to 200" in said


def test_the_runtime_is_one_of_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'compose'" in told(capsys, "compare", "--runtime=podman", "thunder-lock")


def test_other_servers_are_local_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = told(
        capsys, f"--results={tmp_path}", "compare", "--runtime=compose", "--blocks=6", "servers"
    )
    assert "granian" in said
    assert "RUNTIME=local" in said
    assert not list(tmp_path.iterdir()), "nothing was made"


def test_a_wrong_file_is_reported_by_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('question = "?"\nbaseline = 3\n')
    said = told(capsys, f"--results={tmp_path / 'results'}", "compare", str(file))
    assert "wrong.toml, line 2: " in said
    assert not (tmp_path / "results").exists()


def test_a_report_needs_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = told(capsys, f"--results={tmp_path}", "report", "thunder-lock")
    assert "thunder-lock has not been run: make compare EXPERIMENT=thunder-lock" in said
    assert "nothing has been run yet" in told(capsys, f"--results={tmp_path}", "report")
