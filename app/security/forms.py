"""The forms of accounts. The only file of theirs that knows Flask-WTF and WTForms.

Views ask a form only `validate_on_submit()` and for the values of its fields, so another library
needs a new `Form` and the fields here, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import EqualTo, InputRequired, Length, ValidationError

from app.security import names, passwords


class Form(FlaskForm):  # type: ignore[misc]
    """A form that carries a CSRF token and is filled from the request that posted it."""


def _name_field(**attributes: str) -> StringField:
    return StringField(
        "Name",
        [InputRequired("Please enter your name.")],
        render_kw={
            "autocomplete": "username",
            # Phones would capitalise and correct a login name.
            "autocapitalize": "none",
            "autocorrect": "off",
            "spellcheck": "false",
            **attributes,
        },
    )


def _current_password_field(label: str = "Password") -> PasswordField:
    # No Length here: it is the hash that decides, and a limit would tell a guesser something.
    return PasswordField(
        label,
        [
            InputRequired("Please enter your password."),
            Length(max=passwords.MAX_LENGTH, message="No password here is that long."),
        ],
        # Browsers count UTF-16 units, two for an emoji, where the rule above counts characters.
        render_kw={"autocomplete": "current-password", "maxlength": 2 * passwords.MAX_LENGTH},
    )


def _new_password_field(label: str = "Password") -> PasswordField:
    return PasswordField(
        label,
        [InputRequired("Please choose a password.")],
        description=f"At least {passwords.MIN_LENGTH} characters. Long beats complicated.",
        render_kw={"autocomplete": "new-password"},
    )


def _repeated_password_field(of: str) -> PasswordField:
    return PasswordField(
        "The same password again",
        [InputRequired("Please repeat the password."), EqualTo(of, "The two are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )


class LoginForm(Form):
    """Name and password. Its fields are the manager's to read: `name` and `password`."""

    name = _name_field()
    password = _current_password_field()


class RegistrationForm(Form):
    """What a newcomer is asked. Add fields of your own and return them from `details()`."""

    name = _name_field()
    password = _new_password_field()
    repeated = _repeated_password_field("password")

    def validate_name(self, field: StringField) -> None:
        try:
            names.canonical(field.data)
        except names.BadName as error:
            raise ValidationError(str(error)) from None

    def details(self) -> Mapping[str, str]:
        """What to keep with the user beyond name and password."""
        return {}


class ReauthenticationForm(Form):
    """The password once more, before something that a borrowed browser must not do."""

    password = _current_password_field()


class PasswordForm(Form):
    """A change of password; the current one is asked for although the session is fresh."""

    current = _current_password_field("Current password")
    password = _new_password_field("New password")
    repeated = _repeated_password_field("password")


class FindUserForm(Form):
    """Filled from the address: it changes nothing, and its result can be linked to."""

    class Meta:
        csrf = False

    name = StringField("Name", render_kw={"autocomplete": "off", "autocapitalize": "none"})
