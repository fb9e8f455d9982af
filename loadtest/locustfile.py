"""The locustfile: every user class that is imported here takes part.

`python -m loadtest` starts it; `locust -f loadtest/locustfile.py` works too, from the checkout.
"""

# ruff: noqa: F401 - Locust finds the users among this module's names
# mypy: allow-untyped-calls
from locust import events

from loadtest.headless import begin, refuse_foreign_host
from loadtest.posts import Author, AuthorWalkthrough, SoakAuthor
from loadtest.users import Member, SoakMember, Visitor, Walkthrough

events.init.add_listener(begin)
events.test_start.add_listener(refuse_foreign_host)
