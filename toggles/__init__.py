"""The ``STACK_*`` settings of both runtimes, uWSGI's entrypoint and the app, checked in one place.

uWSGI does not check them: it reads ``thunder-lock =`` and ``thunder-lock = flase`` as *enabled*.
This package needs only the standard library, because `make up` imports it before anything is
installed. `python3 -m toggles` prints the table.
"""

from toggles.checks import Switch, ToggleError, Whole
from toggles.environment import of_service, read
from toggles.table import PREFIX, SERVICES, TOGGLES

__all__ = ["PREFIX", "SERVICES", "TOGGLES", "Switch", "ToggleError", "Whole", "of_service", "read"]
