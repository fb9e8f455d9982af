"""A deletion that is repeated does not touch the account that has the name by then."""

import pytest

from app.redis_client import ReplyError, StoreUnavailable
from app.security.redis_users import _RELEASE, RedisUserStore
from app.security.users import NameTaken, User
from tests.people.in_process import Browser, admin, make_app, member, new_name


def test_deleting_twice_leaves_the_next_owner_alone(app):
    security = app.extensions["security"]
    _, name = member(app)
    seen_twice = security.find(name)
    security.delete(seen_twice)
    assert Browser(app).register(name).status_code == 303
    security.delete(seen_twice)
    assert security.find(name) is not None
    assert Browser(app).log_in(name).status_code == 303


def test_two_admins_delete_at_once(app):
    root, _ = admin(app)
    _, name = member(app)
    security = app.extensions["security"]
    user = security.find(name)
    page = f"/admin/users/{user.id}"
    fields = {"name": name, "csrf_token": root.token(page)}
    real = security.users.get
    assert root.post(f"{page}/delete", fields).status_code == 303
    assert Browser(app).register(name).status_code == 303
    security.users.get = lambda user_id: user if user_id == user.id else real(user_id)
    try:
        root.post(f"{page}/delete", fields)
    finally:
        del security.users.get
    assert security.find(name) not in {None, user}


def test_a_refused_registration_leaves_the_owner_alone(app):
    _, name = member(app)
    security = app.extensions["security"]
    owner = security.find(name)
    with pytest.raises(NameTaken):
        security.register(name, "a long and quiet walk")
    assert (
        security.find(name) == owner
        and len([each for each in security.users.page(0, 10_000) if each.name == name]) == 1
    )


def test_a_deletion_that_fails_halfway_can_be_repeated(redis, monkeypatch):
    """Redis has been restarted and does not know the script, which is then sent on its own."""
    app = make_app(redis)
    _, name = member(app)
    security, client = app.extensions["security"], app.extensions["redis"]
    security.users._release = client.script(f"-- unknown to Redis\n{_RELEASE}")
    round_trip = client._round_trip

    def breaks(packed, *arguments):
        if b"EVAL\r\n" in packed:
            raise StoreUnavailable("the connection is cut")
        return round_trip(packed, *arguments)

    user = security.find(name)
    monkeypatch.setattr(client, "_round_trip", breaks)
    with pytest.raises(StoreUnavailable):
        security.delete(user)
    monkeypatch.undo()
    security.delete(security.find(name))
    assert Browser(app).register(name).status_code == 303


def test_no_name_is_taken_for_an_account_that_was_not_stored(redis):
    """As when Redis is full at the first command and no longer at the last."""
    client = make_app(redis).extensions["redis"]
    store, name = RedisUserStore(User, client), new_name()
    first, second = User("e" * 32, name), User("f" * 32, name)
    client.execute("SET", f"account:user:{first.id}", "refuses a hash")
    with pytest.raises(ReplyError):
        store.create(first, name, "hash")
    client.execute("DEL", f"account:user:{first.id}")
    store.create(second, name, "hash")
    assert store.by_name(name).user == second
