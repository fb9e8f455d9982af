"""The WSGI app for servers that speak HTTP: STACK_APP, wrapped as it is behind uWSGI.

With the uwsgi protocol nginx sets REMOTE_ADDR. Over HTTP the app's client is nginx, so it gets the
middleware that Flask's documentation prescribes behind a proxy; nginx overwrites these headers if a
client sends them. As in uwsgi/serve.py, the rest of a request's body is read: otherwise granian
resets the connection and nginx answers 502.
"""

from __future__ import annotations

import os
import pkgutil
import runpy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wsgi import LimitedStream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Body(LimitedStream):
    """Ends after Content-Length, and where the client disconnects."""

    def on_disconnect(self, error: Exception | None = None) -> None:
        """Raise nothing: the body then ends."""


def limited(app: WSGIApplication) -> WSGIApplication:
    """Return *app* with a ``wsgi.input`` that ends; that of Werkzeug's server waits for more."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)  # nginx always sends it
        environ["wsgi.input"] = Body(environ["wsgi.input"], length)
        return app(environ, start_response)

    return application


# The servers that are uWSGI need STACK_APP for this module.
_target = os.environ.get("LAB_APP") or os.environ["STACK_APP"]
if "uwsgi" in sys.modules:  # uwsgi/serve.py is running: it loads this module and reads the bodies
    _found = pkgutil.resolve_name(_target.removesuffix("()"))
    _app = _found() if _target.endswith("()") else _found
else:
    _serve = runpy.run_path(str(Path(__file__).resolve().parents[2] / "uwsgi" / "serve.py"))
    _app = limited(_serve["draining"](_serve["load"](_target)))
application = ProxyFix(_app, x_for=1, x_proto=1)
