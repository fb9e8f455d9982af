"""The page after a login: always one of this app.

`next=` comes from the address bar, so anybody can set it. Werkzeug's redirect() does not make it
safe: it strips the tab from `/\\t/evil.example`, which leads to `//evil.example`, and a line feed
is an unhandled ValueError. So nothing is repaired here: a value is ignored unless it is the plain
path of a page of this app.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from flask import current_app, request
from werkzeug.exceptions import HTTPException

MAX_LENGTH = 2000
# Printable ASCII without "\": browsers read it as "/", so "/\evil.example" is another host.
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
# Returning to these would show the login again, or a page out of its order.
_NOT_AGAIN = frozenset({"auth.login", "auth.register", "auth.reauthenticate", "auth.logout"})


def own_page(target: str | None) -> str | None:
    """*target* if it is the path of a page of this app that answers GET, else None."""
    if not target or len(target) > MAX_LENGTH or not _PATH.fullmatch(target):
        return None
    path = target.partition("#")[0].partition("?")[0]
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return None
    below = decoded.startswith(f"{request.root_path}/")  # STACK_PREFIX
    if not below or "\\" in decoded or not decoded.isprintable():
        return None
    urls = current_app.url_map.bind(request.host, script_name=request.root_path or None)
    try:
        endpoint, _arguments = urls.match(decoded[len(request.root_path) :], method="GET")
    except HTTPException:  # a redirect too: the router would rewrite the path
        return None
    return None if endpoint in _NOT_AGAIN else target


def this_page() -> str | None:
    """The page of the current request, as a value for `next=`.

    For a posted form it is the nearest path above that is a page: `/orders/7/cancel` → `/orders/7`.
    The posted data is lost by then, and the action must not be repeated unseen.
    """
    path = request.root_path + request.path
    if request.method == "GET":
        query = request.query_string.decode("ascii", "replace")
        return own_page(path + (f"?{query}" if query else "")) or own_page(path)
    while path and own_page(path) is None:
        path = path.rpartition("/")[0]
    return path or None
