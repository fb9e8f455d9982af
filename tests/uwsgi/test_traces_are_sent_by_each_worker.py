"""docs/examples/tracing.py starts a sender in each worker, and in no process that forks.

The packages of OpenTelemetry are stand-ins: as with the real ones, a sender is a thread.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from tests.servers.uwsgi import APP, Uwsgi, serving
from tests.waiting import wait_until

TRACED = f"""
import threading, types

class Anything:
    def __init__(self, *args, **options): pass
    def instrument_app(self, app, tracer_provider): pass
    def add_span_processor(self, processor): pass

class Sender(Anything):
    def __init__(self, exporter):
        threading.Thread(target=threading.Event().wait, name="sender", daemon=True).start()
        print("sender of", os.getpid(), file=sys.stderr, flush=True)

for name, class_name, content in (
    ("exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter", Anything),
    ("instrumentation.flask", "FlaskInstrumentor", Anything),
    ("sdk.trace", "TracerProvider", Anything),
    ("sdk.trace.export", "BatchSpanProcessor", Sender),
):
    sys.modules[f"opentelemetry.{{name}}"] = types.SimpleNamespace(**{{class_name: content}})

sys.path.append({str(CHECKOUT / "docs/examples")!r})
from tracing import trace
assert trace(application)
"""


def senders(server: Uwsgi) -> list[int]:
    return [int(pid) for pid in re.findall(r"^sender of (\d+)$", server.log, re.MULTILINE)]


@pytest.mark.parametrize("lazy", ["off", "on"])
def test_after_the_fork_and_after_a_reload(tmp_path: Path, lazy: str) -> None:
    with serving(
        tmp_path,
        app=APP + TRACED,
        STACK_LAZY_APPS=lazy,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    ) as server:
        first = server.workers()
        assert sorted(senders(server)) == sorted(first.values())
        reloaded = server.reload()
        assert reloaded.returncode == 0, reloaded.stderr
        wait_until(lambda: not {*server.workers().values()} & {*first.values()}, 20)
        assert sorted(senders(server)) == sorted([*first.values(), *server.workers().values()])
