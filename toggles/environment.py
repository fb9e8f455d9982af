"""Reads the toggles from an environment."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from toggles.checks import ToggleError
from toggles.demo import by_default
from toggles.table import PREFIX, TOGGLES


def read(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every toggle, defaults included, in the table's order.

    Raises ToggleError with one line per fault. A ``STACK_`` name that is not in the table is a
    fault too: it is usually a typo, and the setting would be ignored.
    """
    faults = [_unknown(name) for name in environ if name.startswith(PREFIX) and name not in TOGGLES]
    values: dict[str, str] = {}
    for name, toggle in TOGGLES.items():
        try:
            values[name] = toggle.parse(name, environ.get(name, toggle.default))
        except ToggleError as error:
            faults.append(str(error))
    if not faults:
        if "STACK_DEMO" not in environ:
            values["STACK_DEMO"] = by_default(environ, values)
            if "STACK_INSIDE" not in environ and values["STACK_DEMO"] == "on":
                values["STACK_INSIDE"] = "users"
        faults = _conflicts(values)
    if faults:
        raise ToggleError("\n".join(faults))
    return values


def of_service(service: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return those of *values* that *service* (one of SERVICES) reads."""
    read_by = {name for name, toggle in TOGGLES.items() if service in toggle.readers}
    return {name: value for name, value in values.items() if name in read_by}


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, TOGGLES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(TOGGLES)}"
    return f"{name}: no such setting; {hint}"


def _conflicts(values: Mapping[str, str]) -> list[str]:
    faults = []
    # `auto` is at most 8 (uwsgi/cores.py): what is allowed here is allowed on every machine.
    processes = int(values["STACK_PROCESSES"].replace("auto", "8"))
    threads = int(values["STACK_THREADS"])
    # The container's pids_limit is 1024.
    if processes * threads > 1000:
        faults.append(
            f"STACK_THREADS={threads}: must be at most {1000 // processes} with STACK_PROCESSES="
            f"{processes}, so that there are at most 1000 threads"
        )
    # uWSGI's master opens a pair of sockets for each worker. Each thread of a worker needs some for
    # its request and for Redis.
    least = 2 * processes + 4 * threads + 64
    if int(values["STACK_MAX_FD"]) < least:
        faults.append(
            f"STACK_MAX_FD={values['STACK_MAX_FD']}: must be at least {least} with "
            f"STACK_PROCESSES={processes} and STACK_THREADS={threads}"
        )
    if int(values["STACK_SESSION_ABSOLUTE"]) < int(values["STACK_SESSION_IDLE"]):
        faults.append(
            f"STACK_SESSION_ABSOLUTE={values['STACK_SESSION_ABSOLUTE']!r}: must be at least "
            f"STACK_SESSION_IDLE, which is {values['STACK_SESSION_IDLE']}"
        )
    if values["STACK_PROXY_PROTOCOL"] == "on" and not values["STACK_TRUSTED_PROXIES"]:
        faults.append(
            "STACK_PROXY_PROTOCOL='on': needs STACK_TRUSTED_PROXIES, the addresses of the proxies"
        )
    if values["STACK_TLS"] == "on" and values["STACK_TLS_PORT"] == values["STACK_PORT"]:
        faults.append(f"STACK_TLS_PORT={values['STACK_TLS_PORT']!r}: must differ from STACK_PORT")
    if values["STACK_ACME"]:
        if values["STACK_TLS"] == "off":
            faults.append(f"STACK_ACME={values['STACK_ACME']!r}: needs STACK_TLS=on")
        for name in values["STACK_HOSTS"].split(","):
            # Over http, an ACME server certifies neither wildcards nor addresses nor local names.
            if not re.fullmatch(r"[^.].*\.[^.]*[a-z][^.]*", name):
                faults.append(
                    f"STACK_HOSTS={values['STACK_HOSTS']!r}: must be exact names such as "
                    f"www.example.org with STACK_ACME, and {name!r} is not"
                )
    return faults
