"""The stack's app with what makes a reload hard, one factory each: for lab/reloads.py."""

from __future__ import annotations

import threading
import time

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

HOLD = "/hold"
HOLD_S = 20.0
IMPORT_S = 2.0


def slow() -> Flask:
    """An app that takes two seconds more to load."""
    time.sleep(IMPORT_S)
    return _app()


def threaded() -> Flask:
    """An app that starts a thread while it loads, which needs STACK_LAZY_APPS=on."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return _app()


def holding() -> Flask:
    """An app with a page that takes 20 s."""
    app = _app()

    @app.get(HOLD)
    def hold() -> ResponseReturnValue:
        time.sleep(HOLD_S)
        return jsonify(held=HOLD_S)

    return app


def _app() -> Flask:
    # The program that names these factories needs no app.
    from app import create_app  # noqa: PLC0415

    return create_app()
