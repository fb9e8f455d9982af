"""JSON bodies that a client cannot crash the app with."""

from __future__ import annotations

from typing import Any

from flask.json.provider import DefaultJSONProvider


class BoundedJSONProvider(DefaultJSONProvider):
    """Flask's provider, with a body nested beyond Python's recursion limit as an ordinary bad body.

    Werkzeug answers 400 to a ValueError from here and lets everything else through, so 5,000
    opening brackets would be a 500, even with `get_json(silent=True)`.
    """

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return super().loads(s, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None
