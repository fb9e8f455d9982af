"""The WSGI callable that STACK_APP names by default."""

from app import create_app

application = create_app()
