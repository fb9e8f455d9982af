"""STACK_ACME with settings that cannot work: the message names them before anything starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from certificates.settings import Settings
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from toggles import ToggleError, read

GOOD = {"STACK_ACME": "ops@example.org", "STACK_TLS": "on", "STACK_HOSTS": "www.example.org"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"STACK_TLS": "off"}, "STACK_ACME='ops@example.org': needs STACK_TLS=on"),
        ({"STACK_HOSTS": ""}, "STACK_HOSTS='': must be exact names such as www.example.org"),
        ({"STACK_HOSTS": "www.example.org,.example.org"}, "'.example.org' is not"),
        ({"STACK_HOSTS": "192.0.2.1"}, "'192.0.2.1' is not"),
        ({"STACK_HOSTS": "localhost"}, "'localhost' is not"),
        ({"STACK_ACME": "yes"}, "STACK_ACME='yes': must be a mail address"),
        ({"STACK_ACME": "a@b.c; rm"}, "must be a mail address"),
        ({"STACK_ACME_SERVER": "http://ca.test"}, "STACK_ACME_SERVER='http://ca.test': must be"),
        ({"STACK_ACME_SERVER": ""}, "STACK_ACME_SERVER is empty"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, str], message: str) -> None:
    assert read(GOOD)["STACK_ACME"] == "ops@example.org"
    with pytest.raises(ToggleError) as refused:
        read({**GOOD, **change})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "Let's Encrypt asks at port 80, and STACK_PORT is not 80"),
        ({"STACK_ACME_SERVER": "staging"}, "Let's Encrypt asks at port 80"),
        ({"STACK_PORT": "80", "TLS_KEY_FILE": "/own.pem"}, "and TLS_KEY_FILE are both set"),
    ],
)
def test_local_processes_that_do_not_fit(
    change: dict[str, str], message: str, tmp_path: Path
) -> None:
    runtime = LocalRuntime({**GOOD, "STACK_NAME": "refused", **change}, run_dir=tmp_path / "run")
    with pytest.raises(StackError) as refused:
        runtime.up()
    assert message in str(refused.value)


def test_a_copy_without_the_unit(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "toggles", tmp_path / "toggles")
    with pytest.raises(StackError, match="this copy was made without certificates/"):
        LocalRuntime({**GOOD, "STACK_NAME": "none"}, tmp_path, run_dir=tmp_path / "run")


def test_each_server_has_a_directory_of_its_own(tmp_path: Path) -> None:
    environ = {
        **GOOD,
        "TLS_CERT_FILE": "/c.pem",
        "TLS_KEY_FILE": "/k.pem",
        "ACME_STATE": str(tmp_path),
        "ACME_WEBROOT": "/srv/webroot",
        "ACME_NGINX": "[::1]:80",
        "ACME_METRICS": "127.0.0.1:9102",
    }
    servers = ("production", "staging", "https://ca.test/dir")
    found = [Settings.read({**environ, "STACK_ACME_SERVER": server}) for server in servers]
    assert len({settings.state for settings in found}) == 3
    assert [settings.server.split("/")[2] for settings in found] == [
        "acme-v02.api.letsencrypt.org",
        "acme-staging-v02.api.letsencrypt.org",
        "ca.test",
    ]
    assert found[0].nginx == ("::1", 80)
