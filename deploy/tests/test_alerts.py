"""Each alert fires in one case and does not in another, as promtool evaluates it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from deploy.observe import local
from stack.checkout import CHECKOUT

pytestmark = pytest.mark.prometheus

ALERTS = Path(local.__file__).with_name("alerts.yml")
DAY = 86400

Series = dict[str, str]


def deaths(respawns: str, harakiri: str) -> Series:
    """The two counters of one worker."""
    worker = '{instance="a",worker="1"}'
    return {f"uwsgi_respawns_total{worker}": respawns, f"uwsgi_harakiri_total{worker}": harakiri}


# By alert: series in promtool's notation, one sample every 15 s, with which it fires after 20
# minutes, and such with which it does not.
BUSY = {
    'uwsgi_option{instance="a",name="processes"}': "2x200",
    'uwsgi_option{instance="a",name="threads"}': "2x200",
}
UNPLANNED = {'uwsgi_option{instance="a",name="max_requests"}': "0x200"}
TRAFFIC = {'uwsgi_requests_total{instance="a",worker="1"}': "0+150x200"}  # 10 a second
NGINX = {'nginx_requests_total{status="200"}': "0+150x200"}
# Refused logins are requests too.
GUESSES = {f'nginx_{what}_total{{status="429"}}': "0+88x200" for what in ("requests", "logins")}
CASES: dict[str, list[tuple[Series, Series]]] = {
    "QueueGrows": [
        (
            {"uwsgi_listen_queue": "0x60 10+40x200", "uwsgi_listen_queue_max": "1024x200"},
            {"uwsgi_listen_queue": "200x200", "uwsgi_listen_queue_max": "1024x200"},
        ),
        (
            # It has been nearly full for long, so it grows no more.
            {
                "uwsgi_listen_queue": "1020 1005 1024 990 " * 50,
                "uwsgi_listen_queue_max": "1024x200",
            },
            {"uwsgi_listen_queue": "820 805 824 790 " * 50, "uwsgi_listen_queue_max": "1024x200"},
        ),
        (
            {"uwsgi_listen_queue": "1+4x200", "uwsgi_listen_queue_max": "360x200"},
            # It is empty at some scrapes.
            {
                "uwsgi_listen_queue": "0 300 0 600 " * 25 + "0 900",
                "uwsgi_listen_queue_max": "90x200",
            },
        ),
    ],
    "AllWorkersBusy": [
        (
            {**BUSY, 'uwsgi_worker_busy_threads{instance="a",worker="1"}': "4x200"},
            {**BUSY, 'uwsgi_worker_busy_threads{instance="a",worker="1"}': "3x200"},
        )
    ],
    "Harakiri": [
        (
            {'uwsgi_harakiri_total{instance="a",worker="1"}': "0x60 1x200"},
            # It was an hour ago, as far as the counter knows.
            {'uwsgi_harakiri_total{instance="a",worker="1"}': "7x200"},
        )
    ],
    "WorkersDie": [
        (
            {**UNPLANNED, **deaths("0x60 1x200", "0x200")},
            {**UNPLANNED, **deaths("0x60 1x200", "0x60 1x200")},
        ),
        (
            {**UNPLANNED, **deaths("0x60 2x200", "0x60 1x200")},
            # STACK_MAX_REQUESTS replaces them.
            {
                'uwsgi_option{instance="a",name="max_requests"}': "1000x200",
                **deaths("0+1x200", "0x200"),
            },
        ),
    ],
    "WakeUpsPerRequest": [
        (
            {**TRAFFIC, 'uwsgi_worker_voluntary_switches_total{instance="a"}': "0+9000x200"},
            {**TRAFFIC, 'uwsgi_worker_voluntary_switches_total{instance="a"}': "0+300x200"},
        ),
        (
            {**TRAFFIC, 'uwsgi_worker_voluntary_switches_total{instance="a"}': "0+7600x200"},
            # Hardly a request: what wakes the workers up is not one.
            {
                'uwsgi_requests_total{instance="a"}': "0+1x200",
                'uwsgi_worker_voluntary_switches_total{instance="a"}': "0+9000x200",
            },
        ),
    ],
    "AppDown": [
        (
            {'up{job="uwsgi"}': "1x70 0x200"},
            # One of two serves.
            {'up{job="uwsgi",instance="a"}': "1x200", 'up{job="uwsgi",instance="b"}': "0x200"},
        ),
        # In containers, the address of one that is away is unknown. It was away for 30 s.
        ({'up{job="redis"}': "1x200"}, {'up{job="uwsgi"}': "1x76 0 0 1x200"}),
    ],
    "ReloadFailed": [({"uwsgi_reload_failed": "1x200"}, {"uwsgi_reload_failed": "1x60 0x200"})],
    "ServerErrors": [
        (
            {**NGINX, 'nginx_requests_total{status="503"}': "0+5x200"},
            {**NGINX, 'nginx_requests_total{status="503"}': "0+2x200"},
        ),
        (
            {'nginx_requests_total{status="500"}': "0+5x200"},
            # One of few requests.
            {
                'nginx_requests_total{status="200"}': "0x70 1x200",
                'nginx_requests_total{status="500"}': "0x70 1x200",
            },
        ),
    ],
    "SlowRequests": [
        (
            {
                'nginx_request_seconds_bucket{le="1"}': "0+98x200",
                'nginx_request_seconds_bucket{le="2.5"}': "0+100x200",
                'nginx_request_seconds_bucket{le="+Inf"}': "0+100x200",
                "nginx_request_seconds_count": "0+100x200",
            },
            {
                'nginx_request_seconds_bucket{le="1"}': "0+100x200",
                'nginx_request_seconds_bucket{le="+Inf"}': "0+100x200",
                "nginx_request_seconds_count": "0+100x200",
            },
        )
    ],
    "RequestsRefused": [
        (
            {**NGINX, 'nginx_requests_total{status="429"}': "0+6x200"},
            # Less than 2 %.
            {
                'nginx_requests_total{status="200"}': "0+600x200",
                'nginx_requests_total{status="429"}': "0+9x200",
            },
        ),
        (
            {**NGINX, 'nginx_requests_total{status="431"}': "0+9x200"},
            # It was over after two minutes.
            {**NGINX, 'nginx_requests_total{status="429"}': "0x50 0+99x8 800x200"},
        ),
        (
            {**NGINX, **GUESSES, 'nginx_requests_total{status="413"}': "0+9x200"},
            {**NGINX, **GUESSES, 'nginx_requests_total{status="413"}': "0+4x200"},
        ),
        (
            {'nginx_requests_total{status="414"}': "0+9x200"},
            # Strangers look for gaps, and some are slow.
            {
                f'nginx_requests_total{{status="{status}"}}': "0+90x200"
                for status in (400, 404, 405, 408, 421)
            },
        ),
    ],
    "LoginsRefused": [
        (
            {'nginx_logins_total{status="429"}': "0+8x200"},
            {
                'nginx_logins_total{status="401"}': "0+3x200",
                'nginx_logins_total{status="302"}': "0+90x200",
            },
        )
    ],
    "NginxDown": [
        (
            {'probe_success{job="http"}': "0x200"},
            # Slow clients come again after a pause. Most probes and most users have luck.
            {'probe_success{job="http"}': "1x40 " + "0 1 1 1 " * 40},
        ),
        (
            # All connections are taken, and one probe in four has luck.
            {'probe_success{job="http"}': "1x40 " + "0 0 0 1 " * 40},
            {'probe_success{job="http"}': "1x76 0 0 0 1x200"},
        ),
        # Without STACK_TLS nothing listens there.
        ({'probe_success{job="http"}': "1x60 0x200"}, {'probe_success{job="tls"}': "0x200"}),
    ],
    "ConnectionsDropped": [
        (
            {
                "nginx_connections_accepted": "0+400x200",
                "nginx_connections_handled": "0+390x200",
            },
            {
                "nginx_connections_accepted": "0+400x200",
                "nginx_connections_handled": "0+396x200",
            },
        ),
        (
            # Some scrapes find no connection either.
            {
                "nginx_connections_accepted": "0x60 800 _ 2400 _ _ 4800+800x200",
                "nginx_connections_handled": "0x60 500 _ 1500 _ _ 3000+500x200",
            },
            # nginx was started again.
            {
                "nginx_connections_accepted": "9000x60 5+9x200",
                "nginx_connections_handled": "7000x60 5+9x200",
            },
        ),
        (
            # A crowd holds them and comes again. The clients that nginx closes it has handled.
            {
                "nginx_connections_accepted": "0+20000x200",
                "nginx_connections_handled": "0+20000x200",
                "nginx_connections_active": "1x70 3482 _ 3721 3835 3754 3833 3733 _ 3834 3834x90",
                "nginx_connections_waiting": "0x70 0 _ 11 0 0 0 0 _ 2 0x90",
            },
            # Browsers wait with open connections, which nginx closes when it needs them.
            {"nginx_connections_active": "4000x200", "nginx_connections_waiting": "2900x200"},
        ),
    ],
    "CertificateExpires": [
        (
            {'probe_ssl_earliest_cert_expiry{job="tls"}': f"{13 * DAY}x200"},
            {'probe_ssl_earliest_cert_expiry{job="tls"}': f"{15 * DAY}x200"},
        )
    ],
    "CertificateNotRenewed": [
        # One attempt failed, and the one 15 minutes later brought a certificate.
        ({"stack_acme_failing": "1x400"}, {"stack_acme_failing": "1x60 0x200"}),
    ],
    "RedisMemory": [
        (
            {"redis_memory_used_bytes": "81x200", "redis_memory_max_bytes": "100x200"},
            {"redis_memory_used_bytes": "79x200", "redis_memory_max_bytes": "100x200"},
        ),
        (
            {"redis_memory_used_bytes": "0x20 99x200", "redis_memory_max_bytes": "100x200"},
            # No limit.
            {"redis_memory_used_bytes": "99x200", "redis_memory_max_bytes": "0x200"},
        ),
    ],
    "RedisAofError": [
        ({f"redis_aof_last_{what}_status": "0x200"}, {f"redis_aof_last_{what}_status": "1x200"})
        for what in ("write", "bgrewrite")
    ],
    "RedisDown": [({"redis_up": "0x200"}, {"redis_up": "1x200"})],
    "NoMetrics": [({'up{job="nginx"}': "0x200"}, {'up{job="nginx"}': "0 0 0 1x200"})],
}


def complaints(file: Path, cases: Iterable[tuple[str, Series, bool]]) -> str:
    """Return what promtool says of alerts that do not do what they should 20 minutes later.

    Each case is an alert's name, its series, and whether it should fire.
    """
    tests = [
        {
            "interval": "15s",
            "input_series": [{"series": key, "values": values} for key, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": "20m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                }
            ],
        }
        for name, series, fires in cases
    ]
    document = {"rule_files": [str(ALERTS)], "evaluation_interval": "30s", "tests": tests}
    file.write_text(json.dumps(document), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_each_alert_fires_in_its_cases_only(tmp_path: Path) -> None:
    cases = [
        (name, series, fires)
        for name, pairs in CASES.items()
        for pair in pairs
        for series, fires in zip(pair, (True, False), strict=True)
    ]
    assert complaints(tmp_path / "test.yml", cases) == ""


def test_a_wrong_expectation_is_noticed(tmp_path: Path) -> None:
    wrong = [("RedisDown", {"redis_up": "1x200"}, True), ("NoMetrics", {"up": "0x200"}, False)]
    said = complaints(tmp_path / "test.yml", wrong)
    assert re.findall(r'alertname=\\"(\w+)', said) == ["RedisDown", "NoMetrics"], said


def test_every_alert_has_cases_and_says_what_to_do() -> None:
    text = ALERTS.read_text(encoding="utf-8")
    alerts = re.split(r"^      - alert: ", text, flags=re.MULTILINE)[1:]
    assert {alert.split("\n")[0] for alert in alerts} == CASES.keys()
    for alert in alerts:
        assert re.search(r"severity: (critical|warning)\b", alert)
        assert "summary: " in alert and "remedy: " in alert


def test_the_page_of_operations_has_every_alert() -> None:
    page = (CHECKOUT / "docs/operations.md").read_text(encoding="utf-8")
    table = page.partition("| alert | fires if |\n")[2].partition("\n\n")[0]
    named = re.findall(r"`([A-Z]\w+)`", "".join(re.findall(r"^\|[^|]*\|", table, re.MULTILINE)))
    assert sorted(named) == sorted(CASES)


def test_connections_run_out_at_three_quarters_of_what_nginx_has() -> None:
    text = (CHECKOUT / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    directives = (r"^worker_processes (\d+);", r"^ +worker_connections (\d+);")
    workers, each = (int(n) for one in directives for n in re.findall(one, text, re.MULTILINE))
    alert = ALERTS.read_text(encoding="utf-8").partition("- alert: ConnectionsDropped")[2]
    assert f"[2m]) > {workers * each * 3 // 4}\n" in alert.partition("- alert:")[0]
