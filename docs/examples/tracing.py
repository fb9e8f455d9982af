"""OpenTelemetry traces of a Flask app, if OTEL_EXPORTER_OTLP_ENDPOINT is set in `project/app.env`.

    pip install opentelemetry-instrumentation-flask opentelemetry-exporter-otlp-proto-http

Put these two into `project/requirements.txt`, this file beside the app, and call `trace(app)` in
the factory. nginx passes a valid `traceparent` on, so a trace goes on from the proxy in front.
"""

# ruff: noqa: PLC0415 - imports nothing unless it is switched on
import os
import sys
from typing import Any


def trace(app: Any) -> bool:
    """Trace the requests of *app*. Without the variable nothing is imported, and it returns False.

    The sender has a thread. A thread that is started while the app loads does not exist in forked
    workers, so each worker starts one of its own after the fork.
    """
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return False
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()  # OTEL_SERVICE_NAME names the service
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider)

    def start_sender() -> None:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    server = sys.modules.get("uwsgi")
    if server is None or server.worker_id():  # not in uWSGI, or in a worker that loads the app
        start_sender()
    else:
        from uwsgidecorators import postfork

        postfork(lambda: start_sender() if server.worker_id() else None)
    return True
