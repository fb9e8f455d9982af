"""GET and HEAD write nothing to Redis except the time at which a session was last seen."""

import re

import pytest

from tests.people.in_process import admin, make_app, member

WRITES = {
    "append", "copy", "decr", "del", "expire", "getdel", "getex", "getset", "hdel", "hincrby",
    "hmset", "hset", "hsetnx", "incr", "incrby", "lpush", "mset", "persist", "pexpire", "psetex",
    "rename", "renamenx", "rpush", "sadd", "set", "setex", "setnx", "srem", "unlink", "xadd",
    "zadd", "zincrby", "zrem", "zremrangebyscore",
}  # fmt: skip


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis)


@pytest.fixture
def written(redis):
    """Redis's count of write commands since the last call."""
    monitor = redis.connect("monitor")
    before = {}

    def since():
        stats = monitor.info("commandstats")
        counts = {
            name: entry["calls"] - before.get(name, 0)
            for name, entry in stats.items()
            if name.removeprefix("cmdstat_").partition("|")[0] in WRITES
        }
        before.update({name: entry["calls"] for name, entry in stats.items()})
        return {name.removeprefix("cmdstat_"): n for name, n in counts.items() if n}

    since()
    yield since
    monitor.close()


def addresses(app, user_id, post_id, style):
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods:
            path = rule.rule.replace("<user_id>", user_id).replace("<name>", style)
            yield re.sub(r"<[^>]*post_id>", post_id, path)


def test_every_address(app, written):
    root, _ = admin(app)
    _, name = member(app)
    user_id = app.extensions["security"].find(name).id
    post_id = root.write()[-16:] if "posts" in app.blueprints else ""
    style = re.search(r'href="/static/([^"]+\.css)"', root.get("/").text)[1]
    paths = list(addresses(app, user_id, post_id, style))
    assert len(paths) >= 12
    assert not [path for path in paths if "<" in path]
    for path in paths:
        root.get(path)  # a flash message of before leaves the session here
    assert written(), "creating the accounts was counted"
    for path in paths:
        for method, ask in (("GET", root.client.get), ("HEAD", root.client.head)):
            answer = ask(path, environ_overrides=root.environ)
            assert answer.status_code in {200, 302, 303} or method == "HEAD", path
            assert answer.status_code < 500, path
            counted = written()
            # The idle timeout slides at most once a second: one PEXPIRE and one HSET.
            assert counted in ({}, {"pexpire": 1, "hset": 1}), (method, path, counted)
    root.log_out()
    assert {"del", "unlink"} & written().keys(), "the logout was counted"
