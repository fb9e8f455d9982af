"""People with accounts at a running copy, and requests that go on in the background."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.people.over_http import Person


class Member(Person):
    """A person with an account of their own, logged in."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.name, self.password = f"ada-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
        done = self.fill_in(
            "/auth/register", name=self.name, password=self.password, repeated=self.password
        )
        assert done.status == 200, done.text

    @property
    def is_logged_in(self) -> bool:
        return self.get("/auth/whoami", Accept="application/json").status == 200

    def log_in(self, password: str = "") -> int:
        return self.fill_in(
            "/auth/login", name=self.name, password=password or self.password
        ).status


@contextmanager
def asking(*people: Member) -> Iterator[list[int]]:
    """Each of *people* asks for their own page again and again; the statuses are collected."""
    statuses: list[int] = []
    stop = threading.Event()

    def ask(person: Member) -> None:
        while not stop.is_set():
            try:
                statuses.append(person.get("/auth/whoami", Accept="application/json").status)
            except OSError:
                statuses.append(0)
            stop.wait(0.01)

    threads = [threading.Thread(target=ask, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()
