"""What every server of HTTP hosts: the stack's app, behind the layers that it has behind uWSGI.

Behind the uwsgi protocol nginx sets REMOTE_ADDR itself. Over HTTP the app sees nginx as its client,
so it gets the layer that Flask's documentation prescribes behind a proxy; nginx overwrites what a
client may have sent by these names. And as uwsgi/serve.py does, whatever the app leaves of a
request's body is read: without that, granian resets the connection and nginx answers 502.
"""

from __future__ import annotations

import importlib
import operator
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from werkzeug.exceptions import ClientDisconnected
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wsgi import ClosingIterator, LimitedStream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def load(target: str) -> WSGIApplication:
    """Import ``module:callable``, or call ``module:factory()``."""
    module, _, name = target.partition(":")
    found = operator.attrgetter(name.removesuffix("()"))(importlib.import_module(module))
    return cast("WSGIApplication", found() if name.endswith("()") else found)


def draining(app: WSGIApplication) -> WSGIApplication:
    """*app*, with the rest of every request's body read before the response ends."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # nginx has read the whole body and always tells its length.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if not length:
            return app(environ, start_response)
        # Limited, because the development server's own stream would wait for more.
        body = LimitedStream(environ["wsgi.input"], length)
        environ["wsgi.input"] = body
        response = app(environ, start_response)

        def drain() -> None:
            with suppress(ClientDisconnected, OSError):
                body.exhaust()

        return ClosingIterator(response, drain)

    return application


# uWSGI needs STACK_APP for this module itself.
application = ProxyFix(
    draining(load(os.environ.get("LAB_APP") or os.environ["STACK_APP"])), x_for=1, x_proto=1
)
