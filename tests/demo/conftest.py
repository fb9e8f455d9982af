"""Tests of what DEMO=no leaves out: the posts, the admin pages and the long front page."""

from tests.accounts.conftest import app
from tests.redis.conftest import client, proxy

__all__ = ["app", "client", "proxy"]
