"""A WSGI app that redirects http to https, as many do, and shows what it knows of a client."""

import json
from typing import Any


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    scheme, host = environ["wsgi.url_scheme"], environ["HTTP_HOST"]
    if scheme != "https" and environ["PATH_INFO"] not in ("/", "/up"):
        location = f"https://{host}{environ['PATH_INFO']}"
        start_response("301 Moved Permanently", [("Location", location)])
        return [b""]
    seen = {"address": environ.get("REMOTE_ADDR"), "scheme": scheme, "host": host}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
