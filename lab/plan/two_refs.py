"""The experiment of ``make compare A=main B=my-branch``: is the second commit slower?

It is the text of a file, so that it is stored, judged and reported as any other. Its exit codes are
those that ``git bisect run`` understands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

# git bisect: 0 is good, 1 is bad, 125 skips the commit, and from 128 on it stops.
NOT_SLOWER, SLOWER, CANNOT_TELL, USAGE = 0, 1, 125, 128


def name(a: str, b: str) -> str:
    """The name of its folder under results/."""
    return "-to-".join(re.sub(r"[^\w.-]", "-", ref).strip(".") or "tree" for ref in (a, b))


def text(
    a: str, b: str, *, app: str = "", path: str | None = None, login: str | None = None
) -> str:
    """The TOML of the experiment. *app*: STACK_APP; "" for the stack's own."""
    quote = json.dumps
    first, second = (quote(one) for one in (a, b if b != a else f"{b} again"))
    top = [f"question = {quote(f'Is {b} slower than {a}?')}"]
    top += ['primary  = { metric = "cpu_us", load = "one client" }']
    top += [f"baseline = {first}", f"answer = [{second}, {first}]", 'canary = "burn_5%"']
    top += [f"{key} = {quote(value)}" for key, value in (("app", app), ("path", path)) if value]
    top += [f"login = {quote(login)}"] if login else []
    loads = ["[loads]", '"one client" = { kind = "rotation", rounds = 30, slice = 60 }']
    arms = ["[arms]"]
    arms += [f"{arm} = {{ ref = {quote(ref)} }}" for arm, ref in ((first, a), (second, b))]
    return "\n".join([*top, *loads, *arms, ""])


def exit_code(*, trustworthy: bool, verdicts: Sequence[str]) -> int:
    """From the verdicts of the primary comparison."""
    if not trustworthy or not verdicts:
        return CANNOT_TELL
    if "slower" in verdicts:
        return SLOWER
    return NOT_SLOWER if set(verdicts) <= {"faster", "equivalent"} else CANNOT_TELL
