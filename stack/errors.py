"""The one error that a user of the stack is meant to read."""

from __future__ import annotations


class StackError(Exception):
    """What went wrong, and what to do about it, in one line.

    *remedy* is something to type or to change; it is empty only where nothing is known to help.
    *log* is what the failed program said last, shown above the line.
    """

    def __init__(self, message: str, remedy: str = "", *, log: str = "") -> None:
        super().__init__(f"{message}: {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
        self.log = log
