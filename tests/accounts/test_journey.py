"""Register, be recognised, log out, be refused, log in again: with either user store."""

from tests.people.in_process import PASSWORD, Browser, member, new_name


def test_the_whole_way(app):
    ada, name = Browser(app), new_name()
    assert ada.who() is None
    registered = ada.register(name)
    assert (registered.status_code, registered.location) == (303, "/home")
    assert ada.who() == name

    left = ada.log_out()
    assert (left.status_code, left.location) == (303, "/")
    assert left.headers["Cache-Control"] == "no-store"
    assert '"storage"' in left.headers["Clear-Site-Data"]
    assert ada.session_id is None
    assert ada.who() is None

    asked = ada.get("/auth/password")
    assert (asked.status_code, asked.location) == (302, "/auth/login?next=/auth/password")
    entered = ada.send(asked.location, name=name, password=PASSWORD)
    assert (entered.status_code, entered.location) == (303, "/auth/password")
    assert ada.who() == name


def test_a_copied_cookie_is_of_no_use_after_logout(app):
    ada, _ = member(app)
    thief = Browser(app)
    thief.client.set_cookie(app.config["SESSION_COOKIE_NAME"], ada.session_id)
    assert thief.who() is not None
    ada.log_out()
    assert thief.who() is None


def test_a_name_belongs_to_whoever_took_it_first(app):
    _, name = member(app)
    for spelling in (name, name.upper(), name.replace("a", "\uff41", 1)):
        refused = Browser(app).register(spelling)
        assert refused.status_code == 400
        assert "This name is already taken" in refused.text


def test_a_name_is_known_in_every_spelling(app):
    _, name = member(app)
    other = Browser(app)
    assert other.log_in(name.upper()).status_code == 303
    assert other.who() == name


def test_logging_in_twice_makes_one_person_not_two(app):
    ada, _ = member(app)
    _, other = member(app)
    assert ada.log_in(other).status_code == 303
    assert ada.who() == other


def test_logout_is_not_a_link(app):
    ada, name = member(app)
    assert ada.get("/auth/logout").status_code == 405
    assert ada.who() == name


def test_a_form_that_is_not_filled_in_says_so_at_its_fields(app):
    refused = Browser(app).send("/auth/login", name="", password="")
    assert refused.status_code == 400
    assert 'aria-describedby="name-error"' in refused.text
    assert 'aria-invalid="true"' in refused.text
    page = Browser(app).get("/auth/login").text
    assert 'autocomplete="username"' in page and 'autocomplete="current-password"' in page
    assert 'autocomplete="new-password"' in Browser(app).get("/auth/register").text
