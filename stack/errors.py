"""The one exception whose text is meant for the user of the stack."""

from __future__ import annotations


class StackError(Exception):
    """What went wrong and what to do about it, in one line.

    *remedy* is something to type or to change; empty only where nothing is known to help. *log* is
    the failed program's last output, which is shown above the line.
    """

    def __init__(self, message: str, remedy: str = "", *, log: str = "") -> None:
        super().__init__(f"{message}: {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
        self.log = log
