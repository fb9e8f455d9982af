"""Strangers store nothing, and a Redis full of posts refuses posts only: people still log in."""

from itertools import count

import pytest

from app.redis_client import StoreUnavailable
from tests.people.in_process import Browser, admin, make_app, member, new_name
from tests.servers.redis import running_redis


def test_a_hundred_strangers_at_a_form_store_nothing(redis):
    app = make_app(redis)
    client = app.extensions["redis"]
    before = redis.connect("monitor").dbsize()
    for path in ("/auth/login", "/auth/register") * 50:
        stranger = Browser(app)
        assert stranger.get(path).status_code == 200
        assert stranger.session_id is None
    assert redis.connect("monitor").dbsize() == before
    client.close()


def test_a_form_needs_the_cookie_that_came_with_it(redis):
    app, name = make_app(redis), new_name()
    fields = {
        "name": name,
        "password": "a long and quiet walk",
        "repeated": "a long and quiet walk",
    }
    fields["csrf_token"] = Browser(app).token("/auth/register")
    assert Browser(app).post("/auth/register", fields).status_code == 400
    assert Browser(app).register(name).status_code == 303


_fillers = count()


def fill(app):
    client = app.extensions["redis"]
    with pytest.raises(StoreUnavailable, match="OOM"):
        while True:
            client.execute("SET", f"post:filler:{next(_fillers)}", "x" * 4000)


@pytest.fixture
def full():
    """An app, an admin and a member of it, and a Redis that was then filled."""
    with running_redis(REDIS_MAXMEMORY="4mb") as server:
        app = make_app(server)
        root, root_name = admin(app)
        ada, ada_name = member(app)
        path = ada.write()
        fill(app)
        yield app, (root, root_name), (ada, ada_name), path


def test_everybody_can_log_in_and_clean_up_when_it_is_full(full):
    app, (root, root_name), (ada, ada_name), path = full
    assert Browser(app).get("/auth/login").status_code == 200
    for name in (root_name, ada_name):
        visitor = Browser(app)
        assert visitor.log_in(name).status_code == 303
        assert visitor.get("/home").status_code == 200
        assert visitor.send("/auth/login", name=name, password="wrong").status_code == 401
    assert root.get("/admin/users").status_code == 200
    assert ada.get(path).status_code == 200
    fill(app)  # Redis has returned the buffers of idle connections meanwhile
    assert ada.send("/posts/", title="A title", text="x" * 5000).status_code == 503
    assert ada.send(f"{path}/delete").status_code == 303
    assert ada.get(path).status_code == 404
    user = app.extensions["security"].find(ada_name)
    answer = root.send(f"/admin/users/{user.id}/disable", page=f"/admin/users/{user.id}")
    assert answer.status_code == 303 and ada.who() is None
    assert root.send("/admin/sessions/end", page="/home").status_code == 303


def test_guesses_still_count_when_it_is_full(full):
    app, (_, name), *_ = full
    guesser = Browser(app, address="198.51.100.7")
    answers = [guesser.log_in(name, "not the password").status_code for _ in range(4)]
    assert answers == [401, 401, 401, 429]
