"""A subclass of SecurityManager with another collaborator changes what the whole app does."""

import hashlib
from dataclasses import dataclass

import pytest
from wtforms import StringField
from wtforms.validators import InputRequired

from app import create_app
from app.redis_client import RedisClient
from app.redis_client.pool import pool_from_url
from app.security import SecurityManager, User, current_user, login_required
from app.security.forms import LoginForm, RegistrationForm
from app.security.hashing import Argon2Hasher
from app.security.passwords import WeakPassword
from app.security.roles import Role
from tests.people.in_process import PASSWORD, Browser, make_app, member, new_name, sqlite_manager


@dataclass(slots=True, eq=False)
class Reader(User):
    @property
    def city(self) -> str:
        return self.details.get("city", "")


class WithCity(RegistrationForm):
    city = StringField("City", [InputRequired("Where do you live?")])

    def details(self):
        return {"city": self.city.data}


class PlainHasher(Argon2Hasher):
    def hash(self, password):
        return "sum:" + hashlib.sha256(password.encode()).hexdigest()

    def verify(self, password_hash, password):
        return password_hash == self.hash(password)

    def needs_rehash(self, password_hash):
        return not password_hash.startswith("sum:")


class Strict(SecurityManager):
    def check_new_password(self, password, name):
        if "sesame" not in password:
            raise WeakPassword("A password opens with sesame.")


LIBRARIAN = Role("librarian", "lends books", frozenset({"books.lend", "users.manage"}))


class ByName(SecurityManager):
    def permissions_of(self, user):
        return frozenset({"users.manage"}) if user.name.startswith("ada") else frozenset()


class Greeting(LoginForm):
    name = StringField("Who goes there?", [InputRequired()])


def manager(**parts):
    return type("Mine", (SecurityManager,), parts)


def show_permissions(app):
    @app.get("/permissions")
    @login_required
    def permissions():
        return sorted(current_user.permissions)


@pytest.fixture(params=["redis users", "sqlite users"])
def base(request, redis):
    if request.param == "redis users":
        return SecurityManager
    return sqlite_manager(redis.folder)


def test_user_model_and_registration_form(redis, base):
    mine = type("Mine", (base,), {"user_model": Reader, "registration_form": WithCity})
    app = make_app(redis, mine)

    @app.get("/city")
    @login_required
    def city():
        return current_user.city

    ada, name = Browser(app), new_name()
    assert 'name="city"' in ada.get("/auth/register").text
    assert ada.register(name).status_code == 400
    fields = {"name": name, "password": PASSWORD, "repeated": PASSWORD, "city": "Turin"}
    assert ada.send("/auth/register", **fields).status_code == 303

    assert ada.get("/city").text == "Turin"
    security = app.extensions["security"]
    everybody = [security.find(name), *security.users.page(0, 10**6)]
    assert {type(user) for user in everybody} == {Reader}
    assert type(security.users.by_name(name).user) is Reader


def test_redis_client(redis):
    class Counting(RedisClient):
        commands = 0

        def pipeline(self, commands, *, retry=True):
            self.commands += len(commands)
            return super().pipeline(commands, retry=retry)

    client = Counting(pool_from_url(redis.url, redis.password))
    app = create_app(redis.environ | {"REDIS_URL": "redis://redis.invalid"}, redis=client)
    assert Browser(app).register(new_name()).status_code == 303
    assert client.commands > 3


def test_password_hasher(redis):
    app = make_app(redis, manager(password_hasher=PlainHasher))
    ada, name = member(app)
    assert app.extensions["security"].users.by_name(name).password_hash.startswith("sum:")
    ada.log_out()
    assert ada.log_in(name, "wrong one").status_code == 401
    assert ada.log_in(name).status_code == 303


def test_a_new_hasher_takes_over_the_old_hashes(redis):
    class Both(PlainHasher):
        def verify(self, password_hash, password):
            old = password_hash.startswith("$argon2id$")
            return (Argon2Hasher() if old else super()).verify(password_hash, password)

    _, name = member(make_app(redis))
    app = make_app(redis, manager(password_hasher=Both))
    assert Browser(app).log_in(name).status_code == 303
    assert app.extensions["security"].users.by_name(name).password_hash.startswith("sum:")
    assert Browser(app).log_in(name).status_code == 303


def test_rules_for_new_passwords(redis):
    app = make_app(redis, Strict)
    assert "opens with sesame" in Browser(app).register(new_name()).text
    assert Browser(app).register(new_name(), "sesame").status_code == 303


def test_login_form(redis):
    app = make_app(redis, manager(login_form=Greeting))
    assert "Who goes there?" in Browser(app).get("/auth/login").text


def test_role_catalogue(redis):
    app = make_app(redis, manager(role_catalogue=[LIBRARIAN]))
    show_permissions(app)
    ada, name = member(app)
    security = app.extensions["security"]
    with pytest.raises(KeyError):
        security.change_roles(security.find(name), grant=["admin"])
    security.change_roles(security.find(name), grant=["librarian"])
    ada.log_in(name)
    assert ada.get("/permissions").json == ["books.lend", "users.manage"]


def test_permissions(redis):
    app = make_app(redis, ByName)
    show_permissions(app)
    ada, _ = member(app)
    assert ada.get("/permissions").json == ["users.manage"]
    other = Browser(app)
    other.register("bob-" + new_name())
    assert other.get("/permissions").json == []


def test_session_interface(redis):
    class Named(SecurityManager.session_interface):
        def get_cookie_name(self, app):
            return "biscuit"

    app = make_app(redis, manager(session_interface=Named))
    ada, name = member(app)
    assert ada.client.get_cookie("biscuit") is not None
    assert ada.who() == name


def test_freshness_and_home(redis):
    app = make_app(redis, manager(fresh_for=-1, home_endpoint="front.index"))
    ada = Browser(app)
    assert ada.register(new_name()).location == "/"
    assert ada.get("/auth/password").location.startswith("/auth/reauthenticate")
