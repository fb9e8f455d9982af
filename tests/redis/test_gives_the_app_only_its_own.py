"""The app's user has access to its five key prefixes only; `default` cannot log in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import AuthenticationError, NoPermissionError

from tests.servers.redis import NO_RETRY, RedisServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("prefix", ["session", "account", "post", "guard", "app"])
def test_keys_of_the_app_can_be_used(server: RedisServer, prefix: str) -> None:
    with server.connect() as app:
        app.hset(f"{prefix}:1", "field", "value")
        app.expire(f"{prefix}:1", 60)
        script = "return redis.call('hget', KEYS[1], 'field')"
        assert app.eval(script, 1, f"{prefix}:1") == b"value"
        assert app.evalsha(app.script_load(script), 1, f"{prefix}:1") == b"value"
        with app.pipeline(transaction=True) as transaction:
            transaction.zadd(f"{prefix}:2", {"member": 1})
            transaction.zrange(f"{prefix}:2", 0, -1)
            assert transaction.execute() == [1, [b"member"]]
        assert app.delete(f"{prefix}:1", f"{prefix}:2") == 2


@pytest.mark.parametrize(
    "command",
    [
        "GET other:1",
        "SET sessions 1",
        "CONFIG GET requirepass",
        "CONFIG SET maxmemory 0",
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "ACL LIST",
        "ACL SETUSER x on nopass",
        "SHUTDOWN NOSAVE",
        "SAVE",
        "BGREWRITEAOF",
        "REPLICAOF 127.0.0.1 1",
        "MODULE LIST",
        "MONITOR",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "SCRIPT FLUSH",
        "FUNCTION LIST",
        "MIGRATE 127.0.0.1 1 session:1 0 1",
        "RESTORE session:1 0 x",
        "PUBLISH channel x",
        "SUBSCRIBE channel",
        "BLPOP session:1 0",
        "SWAPDB 0 1",
    ],
)
def test_everything_else_is_refused(server: RedisServer, command: str) -> None:
    with server.connect() as app, pytest.raises(NoPermissionError):
        app.execute_command(*command.split(" "))


def test_a_script_has_no_more_rights_than_its_caller(server: RedisServer) -> None:
    with server.connect() as app, pytest.raises(redis.ResponseError, match="access"):
        app.eval("return redis.call('get', 'other:1')", 0)


def test_the_default_user_is_off(server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(server.socket), retry=NO_RETRY) as default:
        with pytest.raises(AuthenticationError):
            default.ping()
        with pytest.raises(AuthenticationError):
            default.execute_command("AUTH", "default", "")
        with pytest.raises(AuthenticationError):
            default.execute_command("AUTH", "default", server.password)


def test_the_monitor_sees_counters_and_no_keys(server: RedisServer) -> None:
    with server.connect("monitor") as monitor:
        assert "instantaneous_ops_per_sec" in monitor.info()
        assert monitor.dbsize() >= 0
        for command in ("GET session:1", "SET session:1 x", "KEYS *", "CONFIG GET *"):
            with pytest.raises(NoPermissionError):
                monitor.execute_command(*command.split(" "))


def test_the_operator_changes_passwords_with_one_of_its_own(server: RedisServer) -> None:
    file = server.folder / "run" / "operator"
    assert file.stat().st_mode & 0o777 == 0o600
    with redis.Redis(
        unix_socket_path=str(server.socket), username="operator", password=file.read_text()
    ) as operator:
        operator.execute_command("ACL", "SETUSER", "monitor", ">another password")
        for command in ("GET session:1", "ACL LIST", "ACL WHOAMI", "CONFIG GET *"):
            with pytest.raises(NoPermissionError):
                operator.execute_command(*command.split(" "))
        with pytest.raises(AuthenticationError):
            operator.execute_command("AUTH", "operator", server.password)


def test_the_password_is_in_no_argument_and_no_variable(server: RedisServer) -> None:
    assert server.process is not None
    for file in ("cmdline", "environ"):
        # environ is the initial environment, which redis-server overwrites with its title.
        shown = Path(f"/proc/{server.process.pid}/{file}").read_bytes()
        assert server.password.encode() not in shown
    assert server.password not in (server.folder / "run" / "users.acl").read_text()
    assert server.password_file.stat().st_mode & 0o777 == 0o600
    assert len(server.password) == 64
