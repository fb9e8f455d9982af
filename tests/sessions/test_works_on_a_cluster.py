"""All of it works on a Redis Cluster: no script crosses slots, on three real nodes."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis import Redis, RedisCluster, RedisError

from app.sessions.redis_py import RedisPyClient
from tests.sessions.pages import cookie_of, logged_in, make_app


def three_free_ports():
    """Each with the bus port 10,000 above it free as well."""
    ports = []
    while len(ports) < 3:
        with socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port + 10000 > 65535 or port in ports:
                continue
            try:
                bus.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
            ports.append(port)
    return ports


@pytest.fixture(scope="module")
def nodes():
    server = shutil.which("redis-server")
    with TemporaryDirectory(prefix="cluster-") as name:
        ports, running = [], []
        # A port above 55535 has no bus port: the ephemeral range is wide enough to find others.
        ports = three_free_ports()
        for port in ports:
            directory = Path(name) / str(port)
            directory.mkdir()
            command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
            command += ["--cluster-enabled", "yes", "--dir", str(directory)]
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        try:
            addresses = [f"127.0.0.1:{port}" for port in ports]
            deadline = time.monotonic() + 30
            for port in ports:
                while True:
                    try:
                        Redis(port=port).ping()
                        break
                    except RedisError:
                        assert time.monotonic() < deadline
                        time.sleep(0.05)
            subprocess.run(
                ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"],
                check=True,
                capture_output=True,
                timeout=60,
            )
            while any(
                Redis(port=port, decode_responses=True).cluster("info")["cluster_state"] != "ok"
                for port in ports
            ):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield ports
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
