"""The sessions work on a Redis Cluster of three nodes: no script crosses slots."""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis import Redis, RedisCluster, RedisError

from app.redis_client.redis_py import RedisPyClient
from stack import ports
from tests.sessions.pages import cookie_of, logged_in, make_app
from tests.waiting import wait_until


def answers(port):
    try:
        return Redis(port=port).ping()
    except RedisError:
        return False


def is_ready(port):
    return Redis(port=port, decode_responses=True).cluster("info")["cluster_state"] == "ok"


@pytest.fixture(scope="module")
def nodes():
    server = shutil.which("redis-server")
    with TemporaryDirectory(prefix="cluster-") as name:
        found, running = [], []
        while len(found) < 3:
            # A node also listens on the port 10,000 above its own.
            if ports.try_bind("127.0.0.1", (port := ports.free()) + 10_000) is None:
                found.append(port)
        for port in found:
            directory = Path(name) / str(port)
            directory.mkdir()
            command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
            command += ["--cluster-enabled", "yes", "--dir", str(directory)]
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        try:
            addresses = [f"127.0.0.1:{port}" for port in found]
            wait_until(lambda: all(map(answers, found)), 30)
            subprocess.run(
                ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"],
                check=True,
                capture_output=True,
                timeout=60,
            )
            wait_until(lambda: all(map(is_ready, found)), 30)
            yield found
        finally:
            for process in running:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def app(nodes):
    client = RedisCluster(host="127.0.0.1", port=nodes[0], socket_timeout=2)
    return make_app(RedisPyClient(client))


def test_sessions_are_spread_over_the_nodes(nodes, app):
    for number in range(60):
        logged_in(app, f"user-{number}")
    assert all(Redis(port=port).dbsize() > 10 for port in nodes)


def test_everything_a_session_can_do(app):
    for number in range(20):
        browser = app.test_client()
        browser.post("/set/cart", json=["book"])
        browser.post(f"/login/member-{number}")
        assert browser.get("/all").json == {"cart": ["book"], "user": f"member-{number}"}
        before = cookie_of(browser)
        browser.post("/rotate")
        assert cookie_of(browser) != before
        browser.post("/set/cart", json=[])
        assert browser.get("/get/cart").json == []
        assert [line["current"] for line in browser.get("/sessions").json] == [True]
        browser.post("/logout")
        assert browser.get("/whoami").status_code == 401
        assert app.session_interface.sessions_of(f"member-{number}") == []


def test_revocation(app):
    interface = app.session_interface
    browsers = [logged_in(app, "crowd") for _ in range(10)]
    handle = interface._store.handle(cookie_of(browsers[0]))
    assert interface.revoke("crowd", handle)
    assert browsers[1].post("/revoke-others").json == 8
    assert [one.get("/whoami").status_code for one in browsers] == [401, 200] + [401] * 8
    assert interface.revoke_user("crowd") == 1
    other = logged_in(app, "other")
    interface.revoke_everybody()
    assert other.get("/whoami").status_code == 401
    assert logged_in(app, "other").get("/whoami").status_code == 200
