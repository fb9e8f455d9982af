"""Missing and invalid settings are reported by name with the remedy, and no secret is shown."""

import pytest

from app.settings import Settings, SettingsError

KEY = "k" * 64
PASSWORD = "p" * 40


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return {
        "SECRET_KEY_FILE": str(tmp_path / "key"),
        "REDIS_URL": "redis://app@redis:6379/0",
        "REDIS_PASSWORD_FILE": str(tmp_path / "password"),
    }


def fault(environ):
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ)
    return str(caught.value)


def test_a_complete_environment_is_read(environ):
    settings = Settings.from_environ(environ | {"STACK_DEMO": "yes", "STACK_SESSION_IDLE": "60"})
    assert settings.secret_key == KEY.encode()
    assert settings.redis_password == PASSWORD
    assert (settings.demo, settings.workload, settings.tls) == (True, False, False)
    assert (settings.session_idle, settings.session_absolute) == (60, 28800)


def test_keys_of_before_verify_and_do_not_sign(environ, tmp_path):
    assert Settings.from_environ(environ).flask_config()["SECRET_KEY_FALLBACKS"] == ()
    older = "an older key of some length"
    (tmp_path / "key.fallbacks").write_text(f"{older}\n{KEY}\n")
    config = Settings.from_environ(environ).flask_config()
    assert config["SECRET_KEY_FALLBACKS"] == (older.encode(),)
    # itsdangerous signs with the last one.
    assert config["WTF_CSRF_SECRET_KEY"] == [older.encode(), KEY.encode()]
    assert older not in repr(Settings.from_environ(environ))


def test_a_redis_without_a_password_is_possible(environ):
    del environ["REDIS_PASSWORD_FILE"]
    assert Settings.from_environ(environ).redis_password is None


def test_repr_shows_no_secret(environ):
    environ["REDIS_URL"] = "redis://app:in-the-url@redis:6379/0"
    shown = repr(Settings.from_environ(environ))
    assert "session_idle" in shown
    for secret in (KEY, PASSWORD, "in-the-url"):
        assert secret not in shown


@pytest.mark.parametrize("variable", ["SECRET_KEY_FILE", "REDIS_URL"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_required_variable_is_named(environ, variable, value):
    if value is None:
        del environ[variable]
    else:
        environ[variable] = value
    assert variable in fault(environ)


@pytest.mark.parametrize("variable", ["SECRET_KEY_FILE", "REDIS_PASSWORD_FILE"])
def test_a_file_that_cannot_be_read_is_named(environ, variable, tmp_path):
    environ[variable] = str(tmp_path / "not-there")
    assert f"{variable}='{tmp_path / 'not-there'}': No such file or directory" in fault(environ)
    (tmp_path / "empty").touch()
    environ[variable] = str(tmp_path / "empty")
    assert "empty" in fault(environ)


def test_a_short_key_is_refused_and_not_shown(environ, tmp_path):
    (tmp_path / "key").write_text("guess-me")
    message = fault(environ)
    assert "32" in message
    assert "openssl rand -hex 32" in message
    assert "guess-me" not in message


def test_another_scheme_is_refused_and_its_password_not_shown(environ):
    environ["REDIS_URL"] = "http://app:in-the-url@redis:6379/0"
    message = fault(environ)
    assert "REDIS_URL" in message
    assert "in-the-url" not in message


def test_all_faults_are_reported_at_once(environ):
    del environ["SECRET_KEY_FILE"]
    message = fault(environ | {"STACK_TLS": "maybe", "STACK_DEMOO": "on"})
    assert len(message.splitlines()) == 3
    for name in ("SECRET_KEY_FILE", "STACK_TLS", "STACK_DEMOO"):
        assert name in message


@pytest.mark.parametrize(("tls", "name"), [("on", "__Host-session"), ("off", "session")])
def test_the_cookie_is_secure_with_tls(environ, tls, name):
    config = Settings.from_environ(environ | {"STACK_TLS": tls}).flask_config()
    assert config["SESSION_COOKIE_NAME"] == name
    assert config["SESSION_COOKIE_SECURE"] is (tls == "on")


def test_forms_and_other_bodies_have_one_size_limit(environ):
    config = Settings.from_environ(environ).flask_config()
    assert config["MAX_CONTENT_LENGTH"] == config["MAX_FORM_MEMORY_SIZE"] == 1024 * 1024
