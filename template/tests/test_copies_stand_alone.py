"""`make new` writes a copy that stands alone, with and without the parts that can be left out.

The template here is this working tree as one commit, so a change is tested before it is committed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from template.tree import TEMPLATE_NAME, UNITS
from tests.stack.checkouts import Commands, copy_checkout

pytestmark = pytest.mark.long

# Of a copy without lab and demo, besides tests, documents and pins. It must not grow past this.
# It was 11,988 before a reload became a swap of masters (750), answers were made to break or to
# last (450), sessions got Flask's settings and Flask-Login's remember-me (700), project/ and an
# app's own settings (300), trusted proxies, a prefix and limits that hold in sum (250), and bounds
# for what one account or stranger may store (170). Metrics of the app and
# their service took 116, and 88 are what `make deploy` needs of the runtimes and the socket.
# Secrets that change while it serves took 23, the trace context 9, a deadline for each thread 80.
# Certificates by ACME took 103, besides their unit, and HTTP/2 and the list of new pins 36.
# A command whose reader has gone ends without a traceback: 31. Form tokens that touch no other app
# of the process took 13.
# A load test with workers, whose counts, accounts and passwords must not collide: 265.
# Ctrl-C that ends Locust's page, and tests in the background: 7.
# A worker that outlives the shell that started it, and a wait that is not shown as a run: 4.
# A database's URL from a file, in no message, and its circuit took 39, and a swap that reads the
# table of processes once 11. A supervisord that a full disk does not end took 10.
# A stack that is not up names the service that does not answer: 18.
# OCSP answers that nginx staples took 12; a CPU limit, a program of the tests and the exit code of
# `make logs` 12.
# A new master that fails while it has requests finishes them: 12. A program of the tests took 1.
# Writes that compare what they replace, and are not repeated unseen, took 27.
# Redis' files from elsewhere, put in force at its start: 8.
# As many workers as cores by default, bounded by the container's memory: 10.
# A uv that `make pins` installs, and Flask's commands without the stack's .env: 6.
# The first worker's reason of a failed reload, not the last one's: 3.
# A call with little time left does not open the circuit: 6.
# What Compose files that are no longer named have left is deleted: 8. Port 0 is refused: 2.
# A reload's outcome that cannot be written now is written later: 9.
# nginx's files for responses have a space of their own, so that uploads keep theirs: 16.
# An IPv6 /64 is one client for nginx's limits, and a mapped IPv4 address one for all: 14.
# Requests with a body have limits of their own, also over HTTP/2: 25.
# Login paths that may be none, and lines of the access log that say which requests are logins: 8.
# A bound of what wrong passwords take of Redis: 29.
# A count of the exceptions that the app does not handle: 68.
# A Swarm's version before is not taken for the new one: 17.
# A Swarm that does not answer while its managers choose a leader: 13. A late second Ctrl-C: 7.
# The aim is still 12,000.
MOST_LINES = 16_327
PLAIN = tuple(f"{unit.upper()}=no" for unit in UNITS)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", message)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_checkout(tmp_path_factory.mktemp("from") / "template", venv=False)
    git(folder, "init", "-q")
    commit(folder, "all of it")
    return folder


def make_new(template: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return Commands(template).make("new", f"DIR={folder}", "NAME=shop", *options)


@pytest.fixture(scope="module")
def plain(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest copy, with this checkout's .venv."""
    folder = tmp_path_factory.mktemp("to") / "shop"
    done = make_new(template, folder, *PLAIN)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")
    return folder


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """The tracked text files, by name."""
    for name in git(folder, "ls-files").splitlines():
        content = (folder / name).read_bytes()
        if b"\0" not in content:
            yield name, content.decode()


def test_it_has_one_commit_and_its_own_name_everywhere(plain: Path) -> None:
    assert git(plain, "log", "--format=%s").splitlines() == [f"shop, from {TEMPLATE_NAME} 0.1.0"]
    # ".venv/" of .gitignore is a directory's, and here it is a link.
    assert git(plain, "status", "--porcelain", "--", ":!.venv") == ""
    named = {name for name, text in texts(plain) if TEMPLATE_NAME in text}
    assert named == {"LICENSE", ".template-version"}
    # In a copy, a path of the template must not be called by the copy's name.
    assert [name for name, text in texts(plain) if "TEMPLATE=../shop" in text] == []
    compose = (plain / "docker-compose.yml").read_text()
    assert "image: ${IMAGE_NAME:-${STACK_NAME:-shop}}/app:" in compose


def test_what_was_left_out_is_gone_with_its_tests_and_documents(plain: Path) -> None:
    for unit in UNITS.values():
        for path in unit.paths:
            assert not (plain / path).exists(), path
    for name, text in texts(plain):
        if name.endswith(".md"):
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
                assert (plain / name).parent.joinpath(link).exists(), f"{name}: {link}"


def test_it_is_small_enough_to_read(plain: Path) -> None:
    left_aside = re.compile(r"(tests|docs|requirements)/|.*\.md$|LICENSE$")
    sizes = {name: text.count("\n") for name, text in texts(plain) if not left_aside.match(name)}
    assert sum(sizes.values()) < MOST_LINES, sum(sizes.values())


def test_linters_find_nothing_and_every_test_can_be_collected(plain: Path) -> None:
    # mypy knows by their content which modules it has already checked here.
    known = CHECKOUT / ".mypy_cache"
    if known.is_dir():
        shutil.copytree(known, plain / known.name)
    done = Commands(plain).make("lint")
    assert done.returncode == 0, done.stdout + done.stderr
    collected = check_what_is_left(plain)
    assert collected > 500


def test_it_runs_here(plain: Path) -> None:
    run_and_load(Commands(plain))
    chosen = (
        "stack/test_timeouts_and_sizes_agree.py",
        "stack/test_documents_name_what_exists.py",
        "accounts/test_session_id_changes.py",
    )
    done = Commands(plain).make("test", f"ARGS=-q {' '.join(f'tests/{name}' for name in chosen)}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)


@pytest.mark.containers
def test_it_runs_in_containers(plain: Path) -> None:
    commands = Commands(plain, RUNTIME="compose")
    try:
        run_and_load(commands)
    finally:
        stack = ComposeRuntime({"STACK_NAME": commands.name}, plain)
        stack.down(volumes=True)
        stack.remove_images()


def run_and_load(commands: Commands) -> None:
    up = commands.make("up")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        # That the copy works is tested here, and not how fast it is beside other tests.
        loaded = commands.make("loadtest", "PROFILE=smoke", "SMOKE_P95_MS=10000")
        assert loaded.returncode == 0, loaded.stdout + loaded.stderr
        assert re.search(r"kept +identity leaks +0 ", loaded.stdout)
        assert re.search(r"kept +identity checks +[1-9]", loaded.stdout)
    finally:
        down = commands.make("down")
    assert down.returncode == 0, down.stderr


@pytest.mark.parametrize(
    "units",
    [
        ["certificates"],
        ["lab"],
        ["lab", "loadtest"],
        ["operate"],
        ["deploy"],
        ["faults"],
        ["tests"],
    ],
)
def test_any_unit_can_be_deleted(template: Path, tmp_path: Path, units: list[str]) -> None:
    folder = tmp_path / "checkout"
    shutil.copytree(template, folder)
    for unit in units:
        shutil.rmtree(folder / unit)
    check_what_is_left(folder)


def check_what_is_left(folder: Path) -> int:
    """Import every module of a checkout and collect its tests; return how many there are."""
    units = ("certificates", "deploy", "faults", "lab", "operate")
    rooms = ("toggles", "app", "stack", "loadtest", "template", *units)
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in git(folder, "ls-files", "*.py").splitlines()
        if (folder / name).exists()
        and name.split("/")[0] in rooms
        and not re.search(r"/(tests|migrations|servers)/|__main__|wsgi|locustfile|generator", name)
    ]
    assert len(modules) > 50
    program = f"import importlib\nfor name in {modules}: importlib.import_module(name)\n"
    tests = (folder / "tests").exists()
    if tests:
        # In the same process, which has imported most of what the tests import.
        options = ["--collect-only", "-q", "-p", "no:cacheprovider"]
        program += f"import sys, pytest; sys.exit(pytest.main({options}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    if not tests:
        return 0
    return int(re.findall(r"(\d+)(?:/\d+)? tests collected", done.stdout)[0])


# ── What it refuses ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "DIR is missing: make new DIR=../shop NAME=shop"),
        (["DIR=../x"], "NAME is missing: make new DIR=../shop NAME=shop"),
        (["DIR=../x", "NAME=My Shop"], "NAME='My Shop': must be up to 41 lowercase"),
        (["DIR=../x", f"NAME={TEMPLATE_NAME}"], "is the template's own"),
        (["DIR=shop", "NAME=shop"], "is inside this checkout"),
        (["DIR=.", "NAME=shop"], "is inside this checkout"),
        (["DIR=/usr", "NAME=shop"], "/usr exists and is not empty"),
        (["DIR=../x", "NAME=shop", "LBA=no"], "unknown option LBA: there are DIR, NAME, "),
        (["DIR=../x", "NAME=shop", "LAB=maybe"], "LAB='maybe' must be yes or no"),
    ],
)
def test_refused_arguments_are_named(template: Path, arguments: list[str], message: str) -> None:
    done = Commands(template).make("new", *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (template.parent / "x").exists()


def test_without_history_there_is_nothing_to_copy(tmp_path: Path) -> None:
    done = make_new(copy_checkout(tmp_path / "unpacked", venv=False), tmp_path / "shop")
    assert "this checkout has no git history: clone the template with git" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["unpacked"]


def test_what_is_not_committed_is_named_and_left_behind(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    git(tmp_path, "clone", "-q", str(template), str(folder))
    (folder / "Makefile").write_text("broken")
    (folder / "draft.txt").write_text("not yet")
    done = subprocess.run(
        [sys.executable, "-m", "template", "new"],
        cwd=folder,
        env={**Commands(folder).environ, "DIR": str(tmp_path / "shop"), "NAME": "shop"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Not copied, because it is not committed: Makefile, draft.txt" in done.stdout
    assert not (tmp_path / "shop" / "draft.txt").exists()
    assert (tmp_path / "shop" / "Makefile").read_text() == (template / "Makefile").read_text()


# ── What comes later ─────────────────────────────────────────────────────────────────────────────


def test_the_templates_changes_arrive_as_a_patch(template: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    git(tmp_path, "clone", "-q", str(template), str(newer))
    copy = tmp_path / "shop"
    assert make_new(newer, copy, *PLAIN).returncode == 0
    (newer / "NOTES.txt").write_text(f"{TEMPLATE_NAME} has notes.\n")
    ini = newer / "uwsgi" / "uwsgi.ini"
    ini.write_text(ini.read_text() + "# a fix\n")
    commit(newer, "a fix")

    done = Commands(copy).make("template-diff", f"TEMPLATE={newer}")
    assert done.returncode == 0, done.stderr
    assert "1 commits" in done.stderr
    changed = re.findall(r"^\+\+\+ b/(.*)$", done.stdout, re.MULTILINE)
    assert sorted(changed) == [".template-version", "NOTES.txt", "uwsgi/uwsgi.ini"]
    subprocess.run(["git", "apply", "--3way"], cwd=copy, input=done.stdout, text=True, check=True)
    assert (copy / "NOTES.txt").read_text() == "shop has notes.\n"
    assert (copy / "uwsgi" / "uwsgi.ini").read_text().endswith("# a fix\n")
    again = Commands(copy).make("template-diff", f"TEMPLATE={newer}")
    assert (again.stdout, again.returncode) == ("", 0)


def test_a_template_without_the_commit_is_refused(plain: Path, tmp_path: Path) -> None:
    make = Commands(plain).make
    assert "TEMPLATE='' is not a checkout of the template: clone it" in make("template-diff").stderr
    other = copy_checkout(tmp_path / "other", venv=False)
    git(other, "init", "-q")
    commit(other, "another history")
    done = make("template-diff", f"TEMPLATE={other}")
    assert (done.stdout, done.returncode) == ("", 2)
    assert re.search(r"other does not have the commit \w{10} of \.template-version", done.stderr)


def test_the_template_itself_is_no_copy(template: Path) -> None:
    done = Commands(template).make("template-diff", "TEMPLATE=/nowhere")
    assert "there is no .template-version: only a copy by `make new` has one" in done.stderr
