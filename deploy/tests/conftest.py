"""What the tests of this unit need of the machine."""

from deploy.observe.local import PACKAGES, missing
from deploy.tests import three_engines
from deploy.tests.pods import missing_podman
from stack.checkout import CHECKOUT
from tests.needs import MISSING

# A copy without certificates/ is whole.
collect_ignore_glob = [] if (CHECKOUT / "certificates").is_dir() else ["test_a_failed_renewal_*"]


def missing_prometheus() -> str | None:
    """Return why Prometheus cannot run here; None if it can."""
    if absent := missing():
        packages = " ".join(PACKAGES[program] for program in absent)
        return f"{', '.join(absent)}: not installed (Debian: apt-get install {packages})"
    return None


MISSING["prometheus"] = missing_prometheus
MISSING["engines"] = three_engines.missing
MISSING["pods"] = missing_podman
