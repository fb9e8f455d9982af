"""`make reload` loads new code and new static files while every request is answered."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.stack.checkouts import TINY_APP, Commands, copy_checkout, get
from tests.waiting import wait_until


@pytest.fixture(params=["off", "on"], ids=["preforked", "lazy-apps"])
def commands(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Commands]:
    commands = Commands(
        copy_checkout(tmp_path), STACK_APP="tiny:app", STACK_LAZY_APPS=request.param
    )
    (commands.checkout / "tiny.py").write_text(TINY_APP)
    done = commands.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    yield commands
    commands.make("down")


def nginx_workers(commands: Commands) -> set[int]:
    """They change when nginx has read its configuration again."""
    main = int((commands.run_dir / "nginx" / "nginx.pid").read_text())
    return {child.pid for child in psutil.Process(main).children()}


def test_new_code_is_served_and_no_request_lost(commands: Commands) -> None:
    assert get(commands.url)[1].startswith("one ")
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                status, body = get(commands.url)
                seen.append((status, body.split()[0]))
            except OSError as error:
                seen.append((0, repr(error)))

    asking = threading.Thread(target=ask)
    asking.start()
    (commands.checkout / "tiny.py").write_text(TINY_APP.replace('"one"', '"two"'))
    style = commands.checkout / "app" / "static" / "style.css"
    static = commands.run_dir / "static"
    before, front = set(static.iterdir()), nginx_workers(commands)
    style.write_text(style.read_text() + "\n/* newer */\n")
    done = commands.make("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    after = get(commands.url)
    stop.set()
    asking.join()
    assert after[1].startswith("two ")
    assert [answer for answer in seen if answer[0] != 200] == []
    # It would close idle connections, on which a client may be sending.
    assert nginx_workers(commands) == front, "nginx was reloaded, and none of its files has changed"
    assert set(static.iterdir()) > before, "old static files are gone, or new ones did not come"
    name = next(p.name for p in set(static.iterdir()) - before if p.suffix == ".css")
    assert "newer" in get(f"{commands.url}/static/{name}")[1]


def test_broken_nginx_configuration_is_refused_and_the_old_one_serves(commands: Commands) -> None:
    snippet = commands.checkout / "nginx" / "snippets" / "basics.conf"
    snippet.write_text(snippet.read_text() + "\nno_such_directive on;\n")
    done = commands.make("reload")
    assert done.returncode != 0
    assert "make reload: nginx's new configuration is not valid" in done.stderr
    assert "no_such_directive" in done.stderr
    assert get(commands.url)[0] == 200

    front = nginx_workers(commands)
    snippet.write_text(snippet.read_text().replace("no_such_directive on;", "etag on;"))
    done = commands.make("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: not front & nginx_workers(commands), 20)


def test_changed_settings_come_into_force(commands: Commands) -> None:
    """Those that only the app reads; refused ones leave no trace."""
    done = commands.make("reload", STACK_PROCESSES="3", STACK_HARAKIRI="20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "not applied: STACK_HARAKIRI=20; a reload changes settings of the app only" in done.stdout
    )
    state = json.loads((commands.run_dir / "state.json").read_text())
    assert (state["toggles"]["STACK_PROCESSES"], state["toggles"]["STACK_HARAKIRI"]) == ("3", "30")
    metrics = f"http://127.0.0.1:{state['ports']['metrics']}/metrics"
    assert "uwsgi_generation 2.0" in get(metrics)[1]
    assert 'uwsgi_option{name="processes"} 3.0' in get(metrics)[1]

    environment = (commands.run_dir / "environment.json").read_text()
    done = commands.make("reload", STACK_APP="nowhere:app")
    assert done.returncode != 0
    assert "No module named 'nowhere'" in done.stderr
    assert (commands.run_dir / "environment.json").read_text() == environment
    assert get(commands.url)[0] == 200
    # A reload without settings keeps those that an earlier one applied.
    assert commands.make("reload").returncode == 0
    assert 'uwsgi_option{name="processes"} 3.0' in get(metrics)[1]


def test_reload_of_nothing_says_so(tmp_path: Path) -> None:
    commands = Commands(copy_checkout(tmp_path))
    done = commands.make("reload")
    assert done.returncode != 0
    assert f"the stack {commands.name} is not up: make up" in done.stderr
