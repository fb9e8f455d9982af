"""docs/examples/bookshop works in containers, on SQLite and on a PostgreSQL outside of them.

It is brought in by the steps of docs/make-it-yours.md, as in the local runtime.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import docker, execute, gateway
from tests.foreign_apps import bookshop
from tests.servers.postgresql import running_postgresql
from tests.stack.checkouts import Commands, copy_checkout

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    checkout = copy_checkout(tmp_path_factory.mktemp("containers") / "shop")
    bookshop.bring(checkout, SMTP_PASSWORD_FILE="secrets/smtp")
    commands = Commands(checkout, RUNTIME="compose")
    yield commands
    running = ComposeRuntime({"STACK_NAME": commands.name}, checkout)
    running.down(volumes=True)
    running.remove_images()


def stack_of(shop: Commands) -> ComposeRuntime:
    return ComposeRuntime({"STACK_NAME": shop.name}, shop.checkout)


def up(shop: Commands) -> ComposeRuntime:
    done = shop.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    return stack_of(shop)


def test_on_sqlite_and_its_data_stay(shop: Commands) -> None:
    secret = shop.checkout / "project" / "secrets" / "smtp"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    stack = up(shop)
    assert "3 books in sqlite" in stack.log("app")
    bookshop.use(shop.url, lambda: execute(stack, "app", "cat /data/receipts || true"))
    assert execute(stack, "app", 'cat "$SMTP_PASSWORD_FILE"') == "hunter2"
    assert shop.make("down").returncode == 0
    up(shop)
    bookshop.orders_stay(shop.url)


def test_nothing_secret_is_in_the_image(shop: Commands) -> None:
    image = f"{shop.name}/app:dev"
    listed = docker("run", "--rm", "--entrypoint", "ls", image, "-A", "/srv/project").split()
    assert "bookshop" in listed and "requirements.txt" in listed
    assert not {"app.env", "secrets"} & set(listed)


@pytest.mark.postgresql
def test_on_postgresql_outside_of_the_containers(shop: Commands) -> None:
    with running_postgresql(gateway()) as url:
        bookshop.bring(shop.checkout, DATABASE_URL=url)
        with (shop.checkout / ".env").open("a") as settings:
            settings.write("STACK_ISOLATED=off\n")
        assert shop.make("down").returncode == 0
        stack = up(shop)
        assert "3 books in postgresql" in stack.log("app")
        bookshop.use(shop.url, lambda: execute(stack, "app", "cat /data/receipts || true"))
    front = json.loads(docker("network", "inspect", f"{shop.name}_front"))[0]
    assert not front["Internal"]
    assert "\t00000000\t" in execute(stack, "app", "cat /proc/net/route"), "no default route"
