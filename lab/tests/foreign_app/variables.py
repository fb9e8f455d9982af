"""An app that answers with a variable of its environment."""

import os
from collections.abc import Callable, Iterable
from typing import Any


def app(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ["GREETING"].encode()]
