"""What the tests of this unit need of the machine."""

from deploy.observe.local import PACKAGES, missing
from deploy.tests.pods import missing_podman
from tests.needs import MISSING


def missing_prometheus() -> str | None:
    """Return why Prometheus cannot run here; None if it can."""
    if absent := missing():
        packages = " ".join(PACKAGES[program] for program in absent)
        return f"{', '.join(absent)}: not installed (Debian: apt-get install {packages})"
    return None


MISSING["prometheus"] = missing_prometheus
MISSING["pods"] = missing_podman
