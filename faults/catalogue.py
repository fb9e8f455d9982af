"""Every fault, in the order of the table."""

from __future__ import annotations

from faults import crowds, machine, stores, workers
from faults.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (*workers.FAULTS, *stores.FAULTS, *machine.FAULTS, *crowds.FAULTS)
}
