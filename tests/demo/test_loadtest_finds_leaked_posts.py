"""The load test writes, edits and deletes posts, and finds another account's post on a page."""

import json
from pathlib import Path

from tests.loadtest.stand_in import StandIn, run, serving

SOAK = {
    "SOAK_USERS": "6",
    "SOAK_RATE": "50",
    "SOAK_SECONDS": "20",
    "SOAK_REQUESTS": "600",
    "STACK_LOGIN_RATE": "0",
}


def test_a_leaked_post_fails_the_run(tmp_path: Path) -> None:
    with serving(StandIn(leak="post")) as url:
        done = run("--profile", "soak", "--host", url, "--results", str(tmp_path), **SOAK)
    assert done.returncode == 1, done.stderr
    assert "GET /posts/<id>: identity leak" in done.stderr
    details = (tmp_path / "soak" / "latest" / "identity-leaks.jsonl").read_text().splitlines()
    assert all(json.loads(leak)["found"].startswith("a post of lt-") for leak in details)


def test_the_smoke_profile_does_everything_and_leaves_no_post(tmp_path: Path) -> None:
    app = StandIn()
    with serving(app) as url:
        done = run(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path)),
            SMOKE_SECONDS="14",
            SMOKE_RATE="50",
        )
    assert done.returncode == 0, done.stdout + done.stderr
    for request in (r"POST /posts/$", r"POST /posts/\d+/edit", r"POST /posts/\d+/delete"):
        assert set(app.statuses(request)) == {302}
    assert set(app.statuses(r"GET /posts/\d+$")) == {200}
    assert not app.posts
