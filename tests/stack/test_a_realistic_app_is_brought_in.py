"""docs/examples/bookshop works in the local runtime, on SQLite and on PostgreSQL.

It is brought in by the steps of docs/make-it-yours.md. tests/deploy/ does the same in containers.
"""

from pathlib import Path

import pytest

from tests.foreign_apps import bookshop
from tests.servers.postgresql import running_postgresql
from tests.stack.checkouts import Commands, copy_checkout


def serve_and_use(checkout: Path, database: str) -> None:
    commands = Commands(checkout)
    up = commands.make("up")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        log = (commands.run_dir / "logs" / "app.log").read_text()
        assert f"3 books in {database}" in log
        receipts = commands.run_dir / "app-data" / "receipts"
        bookshop.use(commands.url, lambda: receipts.read_text() if receipts.exists() else "")
        reload = commands.make("reload")
        assert reload.returncode == 0, reload.stderr
        bookshop.orders_stay(commands.url)
    finally:
        assert commands.make("down").returncode == 0


def test_on_sqlite(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "shop")
    bookshop.bring(checkout)
    serve_and_use(checkout, "sqlite")


@pytest.mark.postgresql
def test_on_postgresql(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "shop")
    with running_postgresql() as url:
        bookshop.bring(checkout, DATABASE_URL=url)
        serve_and_use(checkout, "postgresql")
