"""Shows how the certificate is, as Prometheus text, on a port that nginx does not pass on."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from certificates.certbot import not_after


@dataclass
class Figures:
    """What is counted since the start of the service."""

    certificate: Path
    renewed: int = 0
    failed: int = 0
    failing: bool = False

    def text(self) -> str:
        end = not_after(self.certificate)
        lines = [
            "# HELP stack_acme_renewals_total Certificates that nginx got.",
            "# TYPE stack_acme_renewals_total counter",
            f"stack_acme_renewals_total {self.renewed}",
            "# HELP stack_acme_failures_total Attempts that brought no certificate.",
            "# TYPE stack_acme_failures_total counter",
            f"stack_acme_failures_total {self.failed}",
            "# HELP stack_acme_failing 1 if the last attempt failed; the old certificate stays.",
            "# TYPE stack_acme_failing gauge",
            f"stack_acme_failing {int(self.failing)}",
        ]
        if end is not None:
            lines += [
                "# HELP stack_certificate_not_after_seconds When nginx's certificate expires.",
                "# TYPE stack_certificate_not_after_seconds gauge",
                f"stack_certificate_not_after_seconds {end:.0f}",
            ]
        return "\n".join(lines) + "\n"


def serve(figures: Figures, address: tuple[str, int]) -> None:
    """Answer every GET with *figures*, in a thread. Raises OSError if *address* is taken."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = figures.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing: Prometheus asks every few seconds."""

    server = ThreadingHTTPServer(address, Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
