"""A value that is not allowed is an error that names the toggle and the allowed values."""

import pytest

from toggles import TOGGLES, ToggleError, read


def fault(**environ: str) -> str:
    with pytest.raises(ToggleError) as raised:
        read(environ)
    return str(raised.value)


def test_an_empty_environment_gives_every_default_in_the_tables_order() -> None:
    assert read({"PATH": "/bin"}) == {name: t.default for name, t in TOGGLES.items()}
    assert list(read({})) == list(TOGGLES)


@pytest.mark.parametrize("name", TOGGLES)
def test_each_default_is_already_in_its_normal_spelling(name: str) -> None:
    toggle = TOGGLES[name]
    assert toggle.parse(name, toggle.default) == toggle.default
    assert toggle.meaning


@pytest.mark.parametrize("spelling", ["on", "ON", "true", "True", "yes", "1"])
def test_spellings_of_on(spelling: str) -> None:
    assert read({"STACK_THUNDER_LOCK": spelling})["STACK_THUNDER_LOCK"] == "on"


@pytest.mark.parametrize("spelling", ["off", "Off", "false", "FALSE", "no", "0"])
def test_spellings_of_off(spelling: str) -> None:
    assert read({"STACK_THUNDER_LOCK": spelling})["STACK_THUNDER_LOCK"] == "off"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STACK_THUNDER_LOCK", "flase"),
        ("STACK_THUNDER_LOCK", "on "),
        ("STACK_LAZY_APPS", "2"),
        ("STACK_THREADS", "0"),
        ("STACK_THREADS", "65"),
        ("STACK_THREADS", "two"),
        ("STACK_THREADS", "1_0"),
        ("STACK_THREADS", "-1"),
        ("STACK_THREADS", "٤"),  # int() reads this digit, uWSGI's atoi() does not
        ("STACK_THREADS", "2\n"),
        ("STACK_PROCESSES", "129"),
        ("STACK_LISTEN", "4097"),
        ("STACK_HARAKIRI", "61"),
        ("STACK_BUFFER_SIZE", "65536"),
        ("STACK_MAX_FD", "1048577"),
        ("STACK_PORT", "65536"),
        ("STACK_PORT", "0"),
        ("STACK_MAX_WORKER_LIFETIME", "1"),
        ("STACK_MAX_WORKER_LIFETIME", "10"),  # uWSGI's min-worker-lifetime
        ("STACK_BIND", "localhost"),
        ("STACK_BIND", "127.0.0.1:80"),
        ("STACK_BIND", "fe80::1%eth0"),
        ("STACK_NAME", "Upper"),
        ("STACK_NAME", "a/b"),
        ("STACK_NAME", "a-"),
        ("STACK_NAME", "a___b"),
        ("STACK_NAME", "a" * 42),
        ("STACK_BEFORE_START", "flask db upgrade\nflask seed"),
        ("STACK_APP", "app"),
        ("STACK_APP", "app:create_app('x')"),
        ("STACK_APP", "app:application;import os"),
        ("STACK_HOSTS", "https://example.org"),
        ("STACK_HOSTS", "example.org:8080"),
        ("STACK_HOSTS", "a,,b"),
        ("STACK_HOSTS", "a;b"),
        ("STACK_HOSTS", "*"),
        ("STACK_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("STACK_TRUSTED_PROXIES", "::/0"),
        ("STACK_TRUSTED_PROXIES", "10.0.0.0/8,128.0.0.0/1"),
        ("STACK_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("STACK_TRUSTED_PROXIES", "proxy.example.org"),
    ],
)
def test_a_bad_value_is_quoted_with_the_allowed_values(name: str, value: str) -> None:
    assert fault(**{name: value}) == f"{name}={value!r}: must be {TOGGLES[name].kind.allowed}"


@pytest.mark.parametrize("name", [name for name in TOGGLES if TOGGLES[name].default])
def test_an_empty_value_is_a_fault(name: str) -> None:
    message = fault(**{name: ""})
    assert message.startswith(f"{name} is empty: must be ")
    assert message.endswith(f"unset it for the default, {TOGGLES[name].default}")


@pytest.mark.parametrize("name", [name for name in TOGGLES if not TOGGLES[name].default])
def test_empty_is_allowed_where_it_is_the_default(name: str) -> None:
    assert read({name: ""})[name] == ""


def test_networks_are_written_in_one_way() -> None:
    networks = read({"STACK_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1,2001:DB8::/32"})
    assert networks["STACK_TRUSTED_PROXIES"] == "10.0.0.0/8,192.0.2.1/32,2001:db8::/32"


def test_the_proxy_protocol_needs_trusted_proxies() -> None:
    assert "needs STACK_TRUSTED_PROXIES" in fault(STACK_PROXY_PROTOCOL="on")


def test_hosts_lose_spaces_capitals_and_repetitions() -> None:
    hosts = read({"STACK_HOSTS": "Example.org, .example.net,example.org,127.0.0.1"})["STACK_HOSTS"]
    assert hosts == "example.org,.example.net,127.0.0.1"


def test_zero_lies_outside_of_the_range_where_it_means_never() -> None:
    for text in ("0", "11"):
        assert read({"STACK_MAX_WORKER_LIFETIME": text})["STACK_MAX_WORKER_LIFETIME"] == text


def test_numbers_lose_leading_zeros() -> None:
    assert read({"STACK_THREADS": "08"})["STACK_THREADS"] == "8"


@pytest.mark.parametrize("app", ["app.wsgi:application", "foreign:make_app()", "a_b.c:d.wsgi_app"])
def test_apps(app: str) -> None:
    assert read({"STACK_APP": app})["STACK_APP"] == app


def test_a_misspelt_name_gets_a_suggestion() -> None:
    assert fault(STACK_THREDS="2") == "STACK_THREDS: no such setting; did you mean STACK_THREADS?"


def test_an_unknown_name_gets_the_list() -> None:
    assert all(name in fault(STACK_ZZZZZZZZ="1") for name in TOGGLES)


def test_all_faults_are_reported_at_once() -> None:
    message = fault(STACK_THREADS="0", STACK_LAZY_APPS="", STACK_FOO="1")
    assert sorted(line.split()[0].split("=")[0].rstrip(":") for line in message.splitlines()) == [
        "STACK_FOO",
        "STACK_LAZY_APPS",
        "STACK_THREADS",
    ]


def test_the_idle_timeout_must_not_exceed_the_absolute_timeout() -> None:
    message = fault(STACK_SESSION_IDLE="100", STACK_SESSION_ABSOLUTE="99")
    assert message == (
        "STACK_SESSION_ABSOLUTE='99': must be at least STACK_SESSION_IDLE, which is 100"
    )


def test_a_process_needs_descriptors_for_its_workers_and_threads() -> None:
    message = fault(STACK_PROCESSES="128", STACK_THREADS="1", STACK_MAX_FD="256")
    assert message == (
        "STACK_MAX_FD=256: must be at least 324 with STACK_PROCESSES=128 and STACK_THREADS=1"
    )
    assert read({"STACK_PROCESSES": "128", "STACK_THREADS": "1", "STACK_MAX_FD": "324"})


def test_there_are_at_most_1000_threads() -> None:
    message = fault(STACK_PROCESSES="64", STACK_THREADS="16")
    assert message.startswith("STACK_THREADS=16: must be at most 15 with STACK_PROCESSES=64")


@pytest.mark.parametrize(
    ("environ", "demo"),
    [
        ({}, "off"),
        ({"STACK_BIND": "127.0.0.1"}, "on"),
        ({"STACK_BIND": "0.0.0.0"}, "off"),
        ({"STACK_BIND": "127.0.0.1", "STACK_HOSTS": "shop.example.org"}, "off"),
        ({"STACK_BIND": "127.0.0.1", "STACK_TLS": "on"}, "off"),
        ({"STACK_BIND": "127.0.0.1", "STACK_DEMO": "off"}, "off"),
        ({"STACK_BIND": "0.0.0.0", "STACK_DEMO": "on"}, "on"),
    ],
)
def test_the_demo_account_is_for_a_stack_that_only_this_machine_reaches(
    environ: dict[str, str], demo: str
) -> None:
    assert read(environ)["STACK_DEMO"] == demo


def test_http_and_https_need_different_ports() -> None:
    assert "STACK_TLS_PORT" in fault(STACK_TLS="on", STACK_TLS_PORT="8080")
    assert read({"STACK_TLS_PORT": "8080"})["STACK_TLS"] == "off"
