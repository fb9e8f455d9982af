"""JSON parsing that deeply nested request bodies cannot crash."""

from __future__ import annotations

from typing import Any

from flask.json.provider import DefaultJSONProvider


class BoundedJSONProvider(DefaultJSONProvider):
    """Flask's provider, which reports a body nested beyond Python's recursion limit as invalid.

    Werkzeug turns a ValueError into a 400 and does not catch RecursionError: 5,000 opening brackets
    would be a 500, even with `get_json(silent=True)`.
    """

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return super().loads(s, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None
