"""docs/examples/tracing.py imports nothing of OpenTelemetry without the address of a collector."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
# A package of that name that nobody may import.
CODE = """
import sys
sys.modules["opentelemetry"] = None
from tracing import trace
print(trace(object()))
"""


def run(**environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    command = [sys.executable, "-c", CODE]
    return subprocess.run(
        command,
        cwd=EXAMPLES,
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_off_without_an_address() -> None:
    assert run().stdout == "False\n"
    assert run(OTEL_EXPORTER_OTLP_ENDPOINT="").stdout == "False\n"


def test_with_one_it_needs_the_packages() -> None:
    failed = run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert failed.returncode != 0 and "opentelemetry" in failed.stderr
