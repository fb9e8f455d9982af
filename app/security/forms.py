"""The forms of accounts. No other file of this package uses Flask-WTF and WTForms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import PasswordField, StringField
from wtforms.validators import EqualTo, InputRequired, Length, ValidationError

from app.security import names, passwords


class Form(FlaskForm):  # type: ignore[misc]
    """A form with a CSRF token, filled from the text fields of the request."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        def wrap_formdata(self, _form: FlaskForm, formdata: Any) -> Any:
            # Flask-WTF's own also takes files and JSON, which are no strings: validators and views
            # would fail on them. A form with a FileField overrides this.
            given = formdata is None or isinstance(formdata, MultiDict)
            return formdata if given else (request.form or None)


def _name_field() -> StringField:
    # Phones capitalise and correct text by default.
    as_typed = {"autocapitalize": "none", "autocorrect": "off", "spellcheck": "false"}
    return StringField(
        "Name",
        [InputRequired("Enter your name.")],
        render_kw={"autocomplete": "username", **as_typed},
    )


def _current_password_field(label: str = "Password") -> PasswordField:
    # No minimum: the hash decides, and a minimum would help a guesser.
    message = f"A password has at most {passwords.MAX_LENGTH} characters."
    return PasswordField(
        label,
        [InputRequired("Enter your password."), Length(max=passwords.MAX_LENGTH, message=message)],
        # Browsers count UTF-16 units, two for an emoji; the rule above counts characters.
        render_kw={"autocomplete": "current-password", "maxlength": 2 * passwords.MAX_LENGTH},
    )


def _new_password_field(label: str = "Password") -> PasswordField:
    return PasswordField(
        label,
        [InputRequired("Choose a password.")],
        description=f"At least {passwords.MIN_LENGTH} characters. Length beats complexity.",
        render_kw={"autocomplete": "new-password"},
    )


def _repeated_password_field() -> PasswordField:
    return PasswordField(
        "Repeat the password",
        [InputRequired("Repeat the password."), EqualTo("password", "The passwords do not match.")],
        render_kw={"autocomplete": "new-password"},
    )


class LoginForm(Form):
    """The login form. The views read its fields `name` and `password`."""

    name = _name_field()
    password = _current_password_field()


class RegistrationForm(Form):
    """The registration form. Add fields in a subclass and return them from `details()`."""

    name = _name_field()
    password = _new_password_field()
    repeated = _repeated_password_field()

    def validate_name(self, field: StringField) -> None:
        try:
            names.check_new(field.data)
        except names.BadName as error:
            raise ValidationError(str(error)) from None

    def details(self) -> Mapping[str, str]:
        """Values to store with the user besides name and password."""
        return {}


class ReauthenticationForm(Form):
    """Asks for the password again before a sensitive action, in case the browser is borrowed."""

    password = _current_password_field()


class PasswordForm(Form):
    """A change of password. It asks for the current one even in a fresh session."""

    current = _current_password_field("Current password")
    password = _new_password_field("New password")
    repeated = _repeated_password_field()
