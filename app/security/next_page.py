"""Where to go after logging in: only ever to a page of ours.

`next=` comes from the address bar and so from anybody. Werkzeug's redirect() does not make it safe:
it strips a tab out of `/\\t/evil.example` and sends people to `//evil.example`, and a line feed in
it is an unhandled ValueError. So nothing is repaired here: whatever is not a plain path that one of
our own pages answers is not used.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from flask import current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, RequestRedirect

MAX_LENGTH = 2000
# Printable ASCII; browsers read "\" as "/", so "/\evil.example" is another host to them.
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
# Coming back to these would show the login again, or a page that makes no sense out of order.
_NOT_AGAIN = frozenset({"auth.login", "auth.register", "auth.reauthenticate", "auth.logout"})


def own_page(target: str | None) -> str | None:
    """*target* if it is the path of a page of ours that can be fetched with GET, else None."""
    if not target or len(target) > MAX_LENGTH or not _PATH.fullmatch(target):
        return None
    path = target.partition("#")[0].partition("?")[0]
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return None
    if "\\" in decoded or not decoded.isprintable():
        return None
    try:
        endpoint, _arguments = _adapter().match(decoded, method="GET")
    except RequestRedirect:
        return None  # the router would send it on, after rewriting it: not a plain path
    except HTTPException:
        return None
    return None if endpoint in _NOT_AGAIN else target


def page_of(path: str) -> str | None:
    """The page that a form posting to *path* stands on: the nearest path above it that is a page.

    `/admin/users/7/disable` → `/admin/users/7`. Used after asking for the password again: what was
    posted is gone by then, and must not be repeated unseen.
    """
    while path:
        if (page := own_page(path)) is not None:
            return page
        path = path.rpartition("/")[0]
    return None


def this_page() -> str | None:
    """The page that the current request is about, in a form that `next=` accepts."""
    if request.method == "GET":
        query = request.query_string.decode("ascii", "replace")
        return own_page(request.path + (f"?{query}" if query else "")) or own_page(request.path)
    return page_of(request.path)


def _adapter() -> MapAdapter:
    return current_app.url_map.bind(request.host, script_name=request.root_path or None)
