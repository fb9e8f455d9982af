"""The form for writing and editing a post."""

from __future__ import annotations

import re

from wtforms import Field, StringField, TextAreaField
from wtforms.validators import ValidationError

from app.security.forms import Form

TITLE_LIMIT = 120
TEXT_LIMIT = 10_000

# Control characters except tab and line ends.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def tidy(text: str | None) -> str:
    """Normalise line ends to \\n, drop control characters and strip surrounding white space."""
    unified = (text or "").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", unified).strip()


def tidy_line(text: str | None) -> str:
    return " ".join(tidy(text).split())


class UpTo:
    """Requires 1 to *limit* characters after `tidy()`. The message states the excess.

    WTForms' Length cannot state it.
    """

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self.field_flags = {"required": True, "maxlength": limit}

    def __call__(self, _form: Form, field: Field) -> None:
        length = len(field.data)
        if not length:
            raise ValidationError(f"{self._what} is missing.")
        if length > self._limit:
            excess = length - self._limit
            characters = "character" if excess == 1 else "characters"
            raise ValidationError(
                f"{self._what} is {excess:,} {characters} too long: "
                f"it has {length:,}, the limit is {self._limit:,}."
            )


class PostForm(Form):
    title = StringField("Title", filters=[tidy_line], validators=[UpTo(TITLE_LIMIT, "The title")])
    text = TextAreaField("Text", filters=[tidy], validators=[UpTo(TEXT_LIMIT, "The text")])
