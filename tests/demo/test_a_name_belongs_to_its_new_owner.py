"""A deletion that is repeated does not touch the account that has the name by then."""

import pytest

from app.security.users import NameTaken
from tests.people.in_process import Browser, admin, member


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
