"""The connection breaks between a write and its answer: it is applied once, or told to be unknown.

docs/security.md lists all writes.
"""

from itertools import count

import pytest

from app.redis_client import RedisClient, StoreUnavailable
from app.security.delays import LoginDelays
from app.security.redis_users import RedisUserStore
from app.security.users import User
from app.sessions.store import SessionStore
from tests.servers.fault_proxy import FaultProxy
from tests.sessions.pages import logged_in, make_app

_numbers = count(1)


def new_user() -> tuple[User, str]:
    number = next(_numbers)
    return User(f"{number:032x}", f"Ada-{number}"), f"ada-{number}"


@pytest.mark.parametrize("trip", [1, 2])
def test_a_registration(proxy: FaultProxy, client: RedisClient, trip: int) -> None:
    store, (ada, name) = RedisUserStore(User, client), new_user()
    proxy.cut_answer(client, trip)
    store.create(ada, name, "hash")
    assert store.by_name(name).user == ada
    assert store.page(0, 1000).count(ada) == 1


def test_a_change_of_an_account(proxy: FaultProxy, client: RedisClient) -> None:
    store, (ada, name) = RedisUserStore(User, client), new_user()
    store.create(ada, name, "hash")
    proxy.cut_answer(client)
    with pytest.raises(StoreUnavailable):
        store.update(ada, epoch=ada.epoch + 1)
    assert store.get(ada.id).epoch == 1


@pytest.mark.parametrize("trip", [1, 2])
def test_a_deletion(proxy: FaultProxy, client: RedisClient, trip: int) -> None:
    store, (ada, name) = RedisUserStore(User, client), new_user()
    store.create(ada, name, "hash")
    proxy.cut_answer(client, trip)
    store.delete(ada, name)
    assert store.by_name(name) is store.get(ada.id) is None
    assert ada not in store.page(0, 1000)


def test_a_wrong_password(proxy: FaultProxy, client: RedisClient) -> None:
    delays, here = LoginDelays(client, b"key"), ("ada", "192.0.2.1")
    delays.remaining(*here)
    proxy.cut_answer(client)
    with pytest.raises(StoreUnavailable):
        delays.failed(*here)
    delays.failed(*here)
    assert delays.remaining(*here) == 0, "it is the second one"
    delays.failed(*here)
    assert delays.remaining(*here) == 1


def test_a_login(proxy: FaultProxy, client: RedisClient) -> None:
    app = make_app(client)
    proxy.cut_answer(client)
    browser = logged_in(app, "once")
    assert len(browser.get("/sessions").json) == 1


def test_a_remember_token(proxy: FaultProxy, client: RedisClient) -> None:
    store = SessionStore(client, None)
    store.configure([b"a key of the tests"], idle=60, absolute=60, most=10)
    fields = {b"@user": b"ada", b"@login": b"ada", b"@epoch": b""}
    proxy.cut_answer(client)
    token = store.new_token("ada", fields, 60)
    proxy.cut_answer(client)
    following = store.redeem(token)[4]
    assert following not in {None, token}
    assert store.redeem(following)[0] == "ada"
