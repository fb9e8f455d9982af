"""A flame graph of each arm, coloured by the difference from its baseline.

The width of a frame is its share of the arm's samples. Orange: a larger share than in the baseline;
blue: a smaller one. A frame that has gone appears in the baseline's own picture only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.report.data import RunData
from lab.report.pictures import style

WIDTH, ROW = 1100, 15
# Narrower frames are left out, and what is deeper.
LEAST, DEEPEST = 0.004, 40
_CHARACTER = 6.2
_CAPTION = "A frame's width is its share of the samples; callers are below it"
_COLOURS = ". Orange: a larger share than in {}; blue: a smaller one."
# A difference of this share has the full colour.
_FULL = 0.03


@dataclass
class Frame:
    """A function below its callers."""

    share: float = 0.0
    below: dict[str, Frame] = field(default_factory=dict)


def tree(stacks: Mapping[str, int]) -> Frame:
    """The frames of folded stacks, with their shares of all samples."""
    total = sum(stacks.values()) or 1
    root = Frame()
    for stack, count in stacks.items():
        frame = root
        frame.share += count / total
        for name in stack.split(";")[:DEEPEST]:
            frame = frame.below.setdefault(name, Frame())
            frame.share += count / total
    return root


def draw(run: RunData) -> list[style.Picture]:
    arms = {arm["name"]: arm["against"] for arm in run.plan.arms if arm["role"] == "arm"}
    found = []
    for number, (arm, against) in enumerate(arms.items()):
        stacks = run.why.get(arm, {}).get("stacks")
        if not stacks:
            continue
        other = run.why.get(against, {}).get("stacks") if against else None
        than = f", against {against}" if other else ""
        found.append(
            style.Picture(
                name=f"flame-{number}",
                title=f"Where CPU time goes: {arm}{than}",
                caption="A frame's width is its share of the samples; callers are below. "
                + (
                    f"Orange: a larger share than in {against}; blue: a smaller one."
                    if than
                    else ""
                ),
                alt=f"Flame graph of {arm}: "
                + ", ".join(f"{name} {share:.0%}" for name, share in _widest(tree(stacks))),
                figure=partial(_figure, tree(stacks), tree(other) if other else None),
                section="why",
                wide=True,
            )
        )
    return found


def _widest(root: Frame, count: int = 5) -> list[tuple[str, float]]:
    """The functions with the most time of their own."""
    own: dict[str, float] = {}

    def visit(name: str, frame: Frame) -> None:
        rest = frame.share - sum(one.share for one in frame.below.values())
        own[name] = own.get(name, 0.0) + rest
        for below, one in frame.below.items():
            visit(below, one)

    for name, frame in root.below.items():
        visit(name, frame)
    return sorted(own.items(), key=lambda pair: -pair[1])[:count]


def _figure(root: Frame, other: Frame | None) -> Figure:
    depth = min(DEEPEST, _depth(root))
    figure = style.new(WIDTH, ROW * depth + 20)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, depth)
    axes.axis("off")
    _draw(axes, root, other, 0.0, 0)
    return figure


def _depth(frame: Frame) -> int:
    wide = [one for one in frame.below.values() if one.share >= LEAST]
    return 1 + max(map(_depth, wide)) if wide else 0


def _draw(axes: Axes, frame: Frame, other: Frame | None, left: float, level: int) -> None:
    for name, one in sorted(frame.below.items()):
        if one.share < LEAST:
            continue
        same = other.below.get(name) if other else None
        change = 0.0 if other is None else one.share - (same.share if same else 0.0)
        axes.barh(
            level + 0.5, one.share, left=left, height=0.94,
            color=colour(change), edgecolor="white", linewidth=0.4,
        )  # fmt: skip
        room = int(one.share * WIDTH / _CHARACTER) - 1
        if room > 2:
            text = name if len(name) <= room else name[: room - 1] + "…"
            axes.text(left + 0.002, level + 0.5, text, va="center", fontsize=8, clip_on=True)
        # Without a baseline's frame everything below is new as well.
        _draw(axes, one, same if same or other is None else Frame(), left, level + 1)
        left += one.share


def colour(change: float) -> tuple[float, float, float]:
    """Grey for no change, towards orange for more, towards blue for less."""
    part = max(-1.0, min(1.0, change / _FULL))
    grey, end = (0.88, 0.89, 0.91), (0.90, 0.55, 0.30) if part > 0 else (0.45, 0.67, 0.86)
    mixed = [g + (e - g) * abs(part) for g, e in zip(grey, end, strict=True)]
    return mixed[0], mixed[1], mixed[2]
