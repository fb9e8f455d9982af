"""StackUser: a Locust user that checks every response and obeys Retry-After.

It keeps one connection and one cookie jar, as a browser does. It follows no redirect on its own, so
every hop is counted as a request.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from time import monotonic
from typing import Any, ClassVar
from urllib.parse import urlsplit

from locust import FastHttpUser

from loadtest import pages
from loadtest.identity import LEAK, Account, IdentityLeak, check_head, ledger

# Above nginx's uwsgi_read_timeout (harakiri + 5 s, harakiri at most 60 s): a request that takes too
# long must end with the stack's 504 and not with a timeout of ours.
CLIENT_TIMEOUT_SECONDS = 70.0
MAX_RETRY_AFTER_SECONDS = 60.0
REDIRECT = (302, 303)


class Response:
    """What checks and tasks need. Locust's own response is false when its body is empty."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.headers: Mapping[str, str] = response.headers or {}

    @property
    def text(self) -> str:
        return self._response.text or ""


# Returns what is wrong with the content of a response, or None. May raise IdentityLeak.
Check = Callable[[Response], "str | None"]


class StackUser(FastHttpUser):
    """Base of all users. `profiles` names the profiles that a user takes part in."""

    abstract = True
    profiles: ClassVar[tuple[str, ...]] = ("steady", "ramp", "spike")
    think_seconds: ClassVar[tuple[float, float]] = (0.5, 1.5)

    connection_timeout = 10.0
    network_timeout = CLIENT_TIMEOUT_SECONDS
    # One connection for the tasks, and one for the logout when Locust kills a task in mid-request.
    concurrency = 2
    default_headers = {"User-Agent": "flask-uwsgi-stack loadtest"}  # noqa: RUF012, Locust's type

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.paused_until = 0.0
        # Locust puts it before every path; links of a page have it already.
        self.prefix = urlsplit(self.host or "").path

    @property
    def expected_account(self) -> Account | None:
        """The account that every page must show now; None for a visitor."""
        return None

    def wait_time(self) -> float:
        think = random.uniform(*self.think_seconds)  # noqa: S311
        return max(think, self.paused_until - monotonic())

    def fetch(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        expect: Collection[int] = (200,),
        check: Check | None = None,
        form: dict[str, str] | None = None,
        accept: str = "text/html",
    ) -> Response | None:
        """Make one request. Return the response if status and content are right, else None.

        *name* is its row in the statistics. 429 and 503 get rows of their own, count as failures,
        and pause this user for as long as the server asks.
        """
        with self.client.request(
            method,
            path,
            name=name or path,
            data=form,
            # Over HTTPS, Flask-WTF accepts a form only with the page that it comes from.
            headers={"Accept": accept, "Referer": f"{self.host}{path}"},
            allow_redirects=False,
            catch_response=True,
        ) as response:
            found = Response(response)
            failure = self._failure(response, found, expect, check)
            if failure is None:
                response.success()
                return found
            response.failure(failure)
            return None

    def unexpected_status(self, response: Any, expect: Collection[int]) -> str:
        """The name of the failure when the status is not one of *expect*."""
        return f"{response.status_code} instead of {' or '.join(map(str, expect))}"

    def check_identity(self, page: Response) -> str | None:
        """A Check: the page's header shows the expected account and no other."""
        ledger.checks += 1
        return check_head(self.expected_account, pages.head(page.text))

    def _failure(
        self, response: Any, found: Response, expect: Collection[int], check: Check | None
    ) -> str | Exception | None:
        status = response.status_code
        if status == 0:  # no response at all; Locust holds the reason
            return response.error or "no answer"
        if status in {429, 503} and status not in expect:
            return self._pause(response)
        if status not in expect:
            return self.unexpected_status(response, expect)
        try:
            return check(found) if check else None
        except IdentityLeak as leak:
            ledger.leaks.append(
                {
                    "request": f"{response.request_meta['request_type']} {response.url}",
                    "request_id": found.headers.get("X-Request-ID"),
                    "expected": leak.expected,
                    "found": leak.found,
                }
            )
            return LEAK

    def _pause(self, response: Any) -> str:
        """Pause for as long as Retry-After asks; give the response a row of its own."""
        status = response.status_code
        response.request_meta["name"] = f"{status} {response.request_meta['name']}"
        asked = response.headers.get("Retry-After") or ""
        usable = asked.isdecimal()  # the stack never sends a date
        pause = min(float(asked), MAX_RETRY_AFTER_SECONDS) if usable else 1.0
        # Spread: users that are refused together must not come back together.
        self.paused_until = monotonic() + pause * random.uniform(1.0, 1.25)  # noqa: S311
        return f"{status}, waiting as asked" if usable else f"{status} without a usable Retry-After"
