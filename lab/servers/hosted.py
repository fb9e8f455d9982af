"""The WSGI app for servers that speak HTTP: STACK_APP, wrapped as it is behind uWSGI.

With the uwsgi protocol nginx sets REMOTE_ADDR and the scheme. Over HTTP they are in headers, which
nginx overwrites if a client sends them. They are copied here; Werkzeug's ProxyFix, which is for any
number of proxies, takes longer. As in uwsgi/serve.py, the rest of a request's body is read:
otherwise granian resets the connection and nginx answers 502. A request without a body goes
straight to the app.
"""

from __future__ import annotations

import os
import pkgutil
import runpy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.wsgi import LimitedStream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Body(LimitedStream):
    """Ends after Content-Length, and where the client disconnects."""

    def on_disconnect(self, error: Exception | None = None) -> None:
        """Raise nothing: the body then ends."""


def behind_nginx(app: WSGIApplication) -> WSGIApplication:
    """Return *app* with the client as nginx knows it, and a ``wsgi.input`` that ends.

    That of Werkzeug's server waits for more.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = environ["HTTP_X_REAL_IP"]
        environ["wsgi.url_scheme"] = environ["HTTP_X_FORWARDED_PROTO"]
        if length := int(environ.get("CONTENT_LENGTH") or 0):  # nginx sends it with every body
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
    _app = _serve["draining"](_serve["load"](_target))
application = behind_nginx(_app)
