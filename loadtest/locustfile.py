"""What ``locust -f loadtest/locustfile.py`` loads: the users, the shapes, the bookkeeping.

Put users of your own into users.py (or a file beside it) and import them here; Locust's page lists
whatever it finds in this module.
"""

# mypy: allow-untyped-calls
from locust import events

from loadtest.recording import begin, refuse_foreign_host
from loadtest.shapes import Ramp, Smoke, Soak, Spike, Steady
from loadtest.users import Member, Mixed, Soaker, Visitor, Walker

__all__ = [
    "Member",
    "Mixed",
    "Ramp",
    "Smoke",
    "Soak",
    "Soaker",
    "Spike",
    "Steady",
    "Visitor",
    "Walker",
]

events.init.add_listener(begin)
events.test_start.add_listener(refuse_foreign_host)
