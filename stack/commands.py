"""Runs one command of a command line: settings, signals, errors and exit codes in one place.

`python -m stack` uses it, and so may the command line of any other unit.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from stack import dotenv
from stack.checkout import CHECKOUT
from stack.errors import StackError
from toggles.closed_pipe import quiet_exit

# Takes the settings (the environment over .env) and returns an exit code.
Command = Callable[[Mapping[str, str]], int]


def run(
    program: str, commands: Mapping[str, Command], arguments: Sequence[str] | None = None
) -> int:
    """Run the one of *commands* that *arguments* name; return its exit code.

    A StackError is printed, and the code is 1; after Ctrl-C, SIGTERM or SIGHUP it is 130.
    Raises SystemExit(141) if the reader of stdout has gone.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("command", choices=commands, metavar="COMMAND", help=", ".join(commands))
    command = parser.parse_args(arguments).command
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Raises KeyboardInterrupt, so that every `finally` runs and no process is left behind.
        signal.signal(number, signal.default_int_handler)
    name = f"make {command}" if "MAKELEVEL" in os.environ else f"{program} {command}"

    def show(error: StackError) -> None:
        for line in error.log.splitlines():
            print(f"    {line}", file=sys.stderr)
        for line in str(error).splitlines():
            print(f"{name}: {line}", file=sys.stderr)

    try:
        # A stack that runs can always be stopped, whatever .env has become.
        refuse = show if command == "down" else None
        environ = {**dotenv.read(CHECKOUT / ".env", os.environ, refuse), **os.environ}
        with quiet_exit():
            return commands[command](environ)
    except StackError as error:
        show(error)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return 130
