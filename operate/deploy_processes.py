"""A deploy of local processes."""

from stack.local.runtime import LocalRuntime
from stack.progress import Progress


def deploy(stack: LocalRuntime, progress: Progress) -> None:
    raise NotImplementedError
