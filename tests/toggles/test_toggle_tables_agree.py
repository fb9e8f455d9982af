"""README.md, .env.example and docker-compose.yml show every toggle with its default."""

import re
from pathlib import Path

import pytest

from toggles import TOGGLES, Address, Hosts, Switch, Toggle

ROOT = Path(__file__).resolve().parents[2]


def values_column(toggle: Toggle) -> str:
    if isinstance(toggle.kind, Switch):
        return "on, off"
    if isinstance(toggle.kind, Hosts):
        return "host names, comma-separated; `.example.org` means all below it too"
    if isinstance(toggle.kind, Address):
        return "an IP address; `0.0.0.0` for all of this machine's"
    return toggle.kind.allowed.removeprefix("a whole number from ")


def table() -> str:
    rows = ["| variable | default | values | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{t.name}` | {f'`{t.default}`' if t.default else '(empty)'} | {values_column(t)} "
        f"| {t.meaning} |"
        for t in TOGGLES.values()
    ]
    return "\n".join(rows)


def test_readme_shows_the_table() -> None:
    readme = (ROOT / "README.md").read_text()
    shown = readme.partition("<!-- toggles -->\n")[2].partition("\n<!-- /toggles -->")[0]
    assert shown == table(), f"README.md's table should read:\n{table()}"


@pytest.mark.parametrize("toggle", TOGGLES.values(), ids=lambda t: t.name)
def test_env_example_explains_it_and_shows_the_default(toggle: Toggle) -> None:
    text = (ROOT / ".env.example").read_text()
    assert re.search(rf"^#?\s*{toggle.name}=", text, re.M), f"{toggle.name} is not in .env.example"
    shown = re.findall(rf"^#?\s*{toggle.name}=(\S*)", text, re.M)
    assert toggle.default in shown, f"{toggle.name}: {toggle.default!r} is not among {shown}"


def test_compose_passes_every_toggle_with_its_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    passed = dict(re.findall(r"\$\{(STACK_[A-Z_]+):?-([^}]*)\}", text))
    passed.pop("STACK_VERSION", None)
    assert passed == {name: toggle.default for name, toggle in TOGGLES.items()}
