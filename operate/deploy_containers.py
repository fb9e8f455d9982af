"""A deploy in containers: a second app container, which takes the first one's place.

Over a unix socket the serving name changes by a rename (uwsgi/listening.py), and nginx notices
nothing. Over TCP both containers have the name `app`, and Docker drops an address from it only when
the container is gone. So nginx is reloaded with the name of one container as long as there are two.

nginx publishes a port, which only one container can do. If its image or settings have changed, it
is replaced last, and connections are refused meanwhile.

Until the first app container is told to stop, everything can be taken back. A file says how far a
deploy came, so that the next one can clean up after one that was killed.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress

from operate.undisturbed import undisturbed
from stack import probes
from stack.address import known_host, public_address
from stack.checkout import CHECKOUT
from stack.compose.runtime import START_TIMEOUT_S, ComposeRuntime, Container
from stack.errors import StackError
from stack.progress import Progress
from stack.runtime import SERVICES

LOOK_S = 0.5
# The new app answers for so long before it gets requests.
SETTLE_S = 2.0
# CPU shares of the new app while it loads, and Docker's default: the requests go first.
LOADING_SHARES, USUAL_SHARES = 128, 1024
# worker_shutdown_timeout of nginx.conf.
NGINX_DRAINS_S = 70.0
# STOP_GRACE_SECONDS of uwsgi/generation.py, and stop_grace_period in docker-compose.yml.
APP_DRAINS_S, APP_STOPS_S = 75.0, 90.0
# Responses in flight when nginx itself is replaced: its port is closed meanwhile.
NGINX_STOPS_S = 10

# Run in an app container. The first asks for the page that `make up` asks for, without nginx.
_ANSWERS = """
import sys
sys.path.insert(0, "/srv/uwsgi")
from protocol import get
status, _ = get(sys.argv[1], "/readyz", timeout=2.5)
if status >= 500:
    sys.exit(f"/readyz answers {status}")
"""
_METRICS = """
import sys, urllib.request
port = sys.argv[2].rpartition(":")[2]
print(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=3).read().decode())
"""


def deploy(stack: ComposeRuntime, progress: Progress, *, nginx_later: bool = False) -> None:
    """With *nginx_later*, do not replace nginx.

    Raises StackError if the new version does not serve; the old one then still does.
    """
    _Deploy(stack, progress, nginx_later=nginx_later).run()


class _Deploy:
    def __init__(self, stack: ComposeRuntime, progress: Progress, *, nginx_later: bool) -> None:
        self._stack = stack
        self._progress = progress
        self._nginx_later = nginx_later
        self._journal = CHECKOUT / "run" / stack.name / "deploy.json"
        running = stack.running_toggles()
        self._running = running
        self._unix = running["STACK_SOCKET"] == "unix"
        # Whether the new container may have requests.
        self._moving = False
        # Whether nginx sends anything by TCP: everything, or the declared streams.
        self._tcp = not self._unix or running["STACK_STREAM_PATHS"] != ""
        self._shares = USUAL_SHARES  # of the new container, once it has loaded

    def run(self) -> None:
        self._finish_a_killed_one()
        self._remove_what_serves_nothing()
        old = self._only("app")
        if self._stack.toggles["STACK_SOCKET"] != self._running["STACK_SOCKET"]:
            raise StackError(
                f"STACK_SOCKET={self._stack.toggles['STACK_SOCKET']} cannot be deployed to a "
                "running stack",
                "`make down up` applies it",
            )
        images = self._images()
        known = {container.id for container in self._stack.replicas()}
        try:
            self._stack.build()
            outdated = self._outdated()
            if not outdated:
                self._progress.step("nothing to deploy: these images and settings run already")
                return
            self._check_nginx()
            if "app" not in outdated:
                with undisturbed(self._progress, "a moment: nginx is being replaced"):
                    self._renew_the_others()
                return
            self._progress.step("starting the new app container beside the old one")
            with undisturbed(self._progress, "going back in a moment") as signals:
                new = self._create("app")
            if signals:
                raise KeyboardInterrupt
            begun = time.monotonic()
            self._start(old, new)
            self._wait_until_it_answers(new)
            self._move(new)
            self._wait_for_answers_through_nginx()
        except BaseException:
            with undisturbed(self._progress, "still going back; the old version serves"):
                for new in self._apps():
                    if new.id not in known:
                        self._go_back(old, new)
                self._name_again(images)
            raise
        with undisturbed(self._progress, "the new version serves; the rest takes a moment"):
            took = time.monotonic() - begun
            self._progress.step(f"the new version serves, {took:.1f} s after its start")
            self._finish(old, new)
            self._renew_the_others()

    # ── The new app ─────────────────────────────────────────────────────────────────────────────

    def _start(self, old: Container, new: Container) -> None:
        self._save(old, new, moved=False)
        if self._tcp:
            self._send_to(old.name)
        if self._unix:
            # Its host name lets it start beside the one that serves.
            self._shell(old, 'echo "$1" > "$0.next"', _socket(old), new.id[:12])
        # A failed STACK_BEFORE_START must not run again.
        self._stack.docker("update", "--restart=no", new.id)
        shares = self._stack.docker("inspect", "--format", "{{.HostConfig.CpuShares}}", new.id)
        self._shares = int(shares) or USUAL_SHARES
        self._give_shares(new, LOADING_SHARES)
        self._stack.docker("start", new.id)

    def _wait_until_it_answers(self, new: Container) -> None:
        self._progress.step(f"waiting until {new.name} answers")
        most = START_TIMEOUT_S + float(self._stack.toggles["STACK_START_TIMEOUT"])
        begun = time.monotonic()
        since: float | None = None
        why = ""
        while since is None or time.monotonic() - since < SETTLE_S:
            try:
                metrics = self._python(new, _ANSWERS + _METRICS)
            except StackError as error:
                if (found := self._find(new)) is None or found.state != "running":
                    code = found.exit_code if found else "?"
                    raise self._fault(new, f"it ended with exit code {code}") from None
                since, why = None, error.log.strip().splitlines()[-1] if error.log else str(error)
            else:
                since = since or time.monotonic()
                if _sum(metrics, "uwsgi_respawns_total") > 0:
                    raise self._fault(new, "a worker died while it started")
            waited = time.monotonic() - begun
            if waited > most:
                raise self._fault(new, f"it does not answer after {most:.0f} s ({why})")
            self._progress.detail(f"{waited:.0f} of {most:.0f} s (STACK_START_TIMEOUT + 60)")
            time.sleep(LOOK_S)
        self._progress.clear()

    def _fault(self, new: Container, why: str) -> StackError:
        log = self._stack.log_of(new, lines=20)
        return StackError(
            f"the new version does not serve, {why}",
            "the old one still does; the end of the new one's log is above",
            log=log,
        )

    def _give_shares(self, container: Container, shares: int) -> None:
        """An engine that cannot limit CPU time is no reason to fail."""
        self._stack.docker("update", f"--cpu-shares={shares}", container.id, check=False)

    def _move(self, new: Container) -> None:
        self._progress.step("moving the traffic")
        self._give_shares(new, self._shares)
        self._moving = True
        if self._unix:
            self._shell(
                new,
                'ln -f "$0" "$0.previous" && mv -T "$0.$1" "$0"',
                _socket(new),
                new.id[:12],
            )
        if self._tcp:
            self._send_to(new.name, NGINX_DRAINS_S)

    def _wait_for_answers_through_nginx(self) -> None:
        deadline = time.monotonic() + 5
        while not self._stack.is_up():
            if time.monotonic() > deadline:
                raise StackError(
                    "the new version does not answer through nginx",
                    "the old one serves again; see `make logs`",
                )
            time.sleep(LOOK_S)

    def _go_back(self, old: Container, new: Container) -> None:
        """Leave the old container as it was, and nothing of the new one."""
        self._progress.step(f"going back to {old.name}")
        if self._unix:
            self._shell(
                old,
                'if [ -S "$0.previous" ]; then mv -T "$0.previous" "$0"; fi',
                _socket(old),
            )
        if self._tcp:
            self._send_to(old.name, NGINX_DRAINS_S)
        if self._moving and (found := self._find(new)) and found.state == "running":
            self._wait_for_empty_queue(new)
            self._stack.docker("stop", new.id, check=False, timeout_s=APP_STOPS_S)
        self._stack.docker("rm", "--force", "--volumes", new.id, check=False)
        if self._unix:
            self._shell(old, 'rm -f "$0.next" "$0.$1"', _socket(old), new.id[:12])
        if self._tcp:
            self._send_to("app")
        self._journal.unlink(missing_ok=True)

    def _finish(self, old: Container | None, new: Container) -> None:
        """End the old container after its requests. This cannot be taken back."""
        self._stack.docker("update", "--restart=unless-stopped", new.id)
        if old:
            self._save(old, new, moved=True)
            self._end(old)
        if self._unix:
            self._shell(new, 'rm -f "$0.previous" "$0.next"', _socket(new))
        if self._tcp:
            self._send_to("app")
        self._journal.unlink(missing_ok=True)

    def _end(self, old: Container) -> None:
        self._progress.step(f"{old.name} finishes its requests (at most {APP_DRAINS_S:.0f} s)")
        self._wait_for_empty_queue(old)
        self._stack.docker("stop", old.id, check=False, timeout_s=APP_STOPS_S)
        ended = self._find(old)
        if ended is not None and ended.exit_code != 0:
            lines = self._stack.log_of(old, lines=30).splitlines()
            lost = [line for line in lines if "cut off" in line] or lines[-1:]
            self._progress.step(f"exit code {ended.exit_code}: {' '.join(lost)}")
        image = self._image(old)
        self._stack.docker("rm", "--force", "--volumes", old.id, check=False)
        self._remove_nameless(image)

    def _images(self) -> dict[str, str]:
        """Return the images that run: the id by name."""
        found = {}
        for container in self._stack.replicas():
            name = self._stack.docker("inspect", "--format", "{{.Config.Image}}", container.id)
            found[name.strip()] = self._image(container)
        return found

    def _image(self, container: Container) -> str:
        return self._stack.docker("inspect", "--format", "{{.Image}}", container.id).strip()

    def _name_again(self, images: Mapping[str, str]) -> None:
        """Let the names of the images mean those that run, so that Compose finds no change."""
        for name, image in images.items():
            built = self._stack.docker("image", "inspect", "--format", "{{.Id}}", name).strip()
            if built != image:
                self._stack.docker("tag", image, name)
                self._remove_nameless(built)

    def _remove_nameless(self, image: str) -> None:
        tags = self._stack.docker("image", "inspect", "--format", "{{len .RepoTags}}", image)
        if tags.strip() == "0":
            self._stack.docker("image", "rm", image, check=False)

    def _finish_a_killed_one(self) -> None:
        try:
            journal = json.loads(self._journal.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        self._progress.step("an earlier deploy was killed: cleaning up after it")
        self._moving = True
        found = {one.id: one for one in self._apps()}
        old, new = found.get(journal["old"]), found.get(journal["new"])
        with undisturbed(self._progress, "still cleaning up"):
            if new and journal["moved"]:
                self._finish(old, new)
            elif old and new:
                self._go_back(old, new)
        self._journal.unlink(missing_ok=True)

    def _remove_what_serves_nothing(self) -> None:
        """Remove what a killed deploy left and its journal does not name.

        That is an app container that was created and not started, or a second nginx.
        """
        containers = self._stack.replicas()
        running = {one.service for one in containers if one.state == "running"}
        states = {"app": {"created"}, "nginx": {"created", "exited"}}
        for one in containers:
            if one.service in running and one.state in states.get(one.service, ()):
                self._progress.step(f"an earlier deploy was killed: removing {one.name}")
                self._stack.docker("rm", "--volumes", one.id)

    def _save(self, old: Container, new: Container, *, moved: bool) -> None:
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"old": old.id, "new": new.id, "moved": moved})
        self._journal.write_text(text, encoding="utf-8")

    # ── nginx ───────────────────────────────────────────────────────────────────────────────────

    def _check_nginx(self) -> None:
        """Let the new image test its configuration before anything changes."""
        try:
            self._stack.compose("run", "--rm", "--no-deps", "-T", "nginx", "--check")
        except StackError as error:
            raise StackError(
                "nginx's new configuration is not valid", "nothing was changed", log=error.log
            ) from None

    def _send_to(self, host: str, patience_s: float = 0) -> None:
        """Let nginx ask the app at *host*; return when workers with the former name are gone.

        They finish requests in flight, and those may take longer than *patience_s*.
        """
        nginx = self._only("nginx")
        before = self._nginx_workers(nginx)
        command = ["/srv/nginx/entrypoint", "--check"]
        self._stack.docker("exec", "--env", f"APP_HOST={host}", nginx.id, *command)
        self._stack.docker("kill", "--signal=HUP", nginx.id)
        begun = time.monotonic()
        while left := before.keys() & (now := self._nginx_workers(nginx)).keys():
            waited = time.monotonic() - begun
            if all(now[pid] for pid in left) and waited > patience_s:
                return
            if waited > max(10.0, patience_s):
                raise StackError("nginx was not reloaded", "see `make logs`")
            self._progress.detail(f"nginx finishes responses: {waited:.0f} of {patience_s:.0f} s")
            time.sleep(LOOK_S)

    def _nginx_workers(self, nginx: Container) -> dict[str, bool]:
        """By pid: whether this worker only finishes what it has begun."""
        lines = self._stack.docker("top", nginx.id, "-eo", "pid,args").splitlines()
        return {
            line.split()[0]: "is shutting down" in line
            for line in lines
            if "nginx: worker process" in line
        }

    def _renew_the_others(self) -> None:
        """Replace nginx and services of the user's own that have changed; name what stays."""
        outdated = self._outdated()
        if "nginx" in outdated and not self._nginx_later:
            self._replace_nginx()
        if own := outdated - set(SERVICES):
            self._progress.step(f"replacing {', '.join(sorted(own))}")
            if "redis" not in outdated:
                self._stack.compose("up", "--detach", "--no-build", *own, timeout_s=300)
        if left := self._outdated():
            how = "make deploy" if left == {"nginx"} else "make down up"
            names = ", ".join(sorted(left))
            self._progress.step(
                f"not applied: a new image or other settings of {names}; `{how}` applies it"
            )

    def _replace_nginx(self) -> None:
        old = self._only("nginx")
        new = self._create("nginx")
        toggles = self._stack.toggles
        proxied = toggles["STACK_PROXY_PROTOCOL"] == "on"
        self._progress.step("replacing nginx: connections are refused for a moment")
        begun = time.monotonic()
        self._stack.docker("stop", "-t", str(NGINX_STOPS_S), old.id)
        try:
            self._stack.docker("start", new.id)
            while not probes.stack_answers(
                public_address(toggles), known_host(toggles), proxied=proxied
            ):
                if time.monotonic() - begun > NGINX_STOPS_S + 10.0:
                    raise StackError("the new nginx does not answer")
                time.sleep(0.05)
        except StackError as error:
            log = self._stack.log_of(new, lines=20)
            self._stack.docker("rm", "--force", "--volumes", new.id)
            self._stack.docker("start", old.id)
            raise StackError(
                "the app is replaced, nginx is not",
                f"the old nginx serves again ({error.message})",
                log=log,
            ) from None
        self._progress.step(f"nginx was replaced within {time.monotonic() - begun:.1f} s")
        image = self._image(old)
        self._stack.docker("rm", "--force", "--volumes", old.id)
        self._remove_nameless(image)

    # ── Compose ─────────────────────────────────────────────────────────────────────────────────

    def _create(self, service: str) -> Container:
        """Create a second container of *service*, and return it.

        As part of the whole project: without its dependencies a container would get another hash,
        and the next `docker compose up` would replace it.
        """
        known = {one.id for one in self._stack.replicas()}
        options = ["--no-start", "--no-recreate", "--no-build", f"--scale={service}=2"]
        self._stack.compose("up", *options, service)
        return next(
            one for one in self._stack.replicas() if one.service == service and one.id not in known
        )

    def _outdated(self) -> set[str]:
        """Return the services of which `docker compose up` would create or replace a container."""
        command = self._stack.command("--dry-run", "up", "--detach", "--no-build")
        done = subprocess.run(
            command, env=self._stack.environ, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise StackError("Compose cannot compare what runs", log=done.stderr)
        pattern = r"Container (?:[0-9a-f]{12}_)?(\S+)\s+(?:Recreate|Creating)\s"
        names = re.findall(pattern, done.stdout + done.stderr)
        services = {container.name: container.service for container in self._stack.replicas()}
        plain = rf"{re.escape(self._stack.name)}-(.+)-\d+"
        return {services.get(name) or re.sub(plain, r"\1", name) for name in names}

    def _apps(self) -> list[Container]:
        return [one for one in self._stack.replicas() if one.service == "app"]

    def _only(self, service: str) -> Container:
        found = [one for one in self._stack.replicas() if one.service == service]
        running = [one for one in found if one.state == "running"]
        if len(running) == 1 and (len(found) == 1 or service == "nginx"):
            return running[0]
        names = ", ".join(one.name for one in found)
        raise StackError(
            f"a deploy replaces one {service} container, and there are {len(found)}: {names}",
            "scale to one first, or `make down up`",
        )

    def _find(self, container: Container) -> Container | None:
        return next((one for one in self._stack.replicas() if one.id == container.id), None)

    def _shell(self, container: Container, script: str, *arguments: str) -> None:
        self._stack.docker("exec", container.id, "sh", "-ec", script, *arguments)

    def _python(self, container: Container, program: str) -> str:
        known = container.environment
        # uwsgi/entrypoint has the default.
        listen = [known["APP_LISTEN"], known.get("METRICS_LISTEN", "0.0.0.0:9101")]
        return self._stack.docker("exec", container.id, "python3", "-c", program, *listen)

    def _wait_for_empty_queue(self, container: Container) -> None:
        """Connections in a queue are reset when the container stops."""
        deadline = time.monotonic() + APP_DRAINS_S
        with suppress(StackError):  # it has ended
            while _sum(self._python(container, _METRICS), "uwsgi_listen_queue") > 0:
                if time.monotonic() > deadline:
                    return
                time.sleep(LOOK_S)


def _sum(metrics: str, name: str) -> float:
    """Return the sum of the series of *name*."""
    return sum(map(float, re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", metrics, re.MULTILINE)))


def _socket(container: Container) -> str:
    return container.environment["APP_SOCKET"]
