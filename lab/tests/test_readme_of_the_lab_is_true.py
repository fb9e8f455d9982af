"""The example of lab/README.md can be run, and its lists are complete."""

from __future__ import annotations

import re
from pathlib import Path

from lab.plan import schedule
from lab.plan.canary import is_dose
from lab.plan.experiment import FIGURES
from lab.plan.experiment_file import known, parse
from lab.plan.servers import SERVERS
from lab.trial import METRICS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "lab" / "README.md").read_text(encoding="utf-8")


def example() -> str:
    return toml_blocks()[0]


def toml_blocks() -> list[str]:
    """The file of the example, and the traffic to add to it."""
    found = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(found) == 2
    return found


def test_the_example_is_right_and_short() -> None:
    text = example()
    assert len(text.splitlines()) <= 25
    experiment = parse(text, "shop.toml")
    apps = [arm.settings["STACK_APP"] for arm in experiment.arms if arm.role != "canary"]
    assert apps == ["shop:app"] * 3
    assert {arm.login for arm in experiment.arms} == {"none"}
    # A first run of ten blocks should end while its user waits.
    assert schedule.seconds_left(experiment, schedule.DEFAULT_BLOCKS, []) < 20 * 60


def test_the_traffic_fits_into_the_example() -> None:
    experiment = parse("\n".join(toml_blocks()), "shop.toml")
    added = [load.name for load in experiment.loads if load.name.startswith("visits")]
    assert added == [
        "visits",
        "visits: GET /products",
        "visits: GET /products/{id}",
        "visits: POST /cart",
    ]


def test_every_experiment_is_listed_and_every_published_result_is_linked() -> None:
    table = PAGE[PAGE.index("| experiment |") :].partition("\n\n")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert sorted(listed) == known()
    linked = set(re.findall(r"\]\(results/([a-z-]+)\.md\)", PAGE))
    assert linked == {page.stem for page in (ROOT / "lab" / "results").glob("*.md")}


def test_published_pages_and_pictures_belong_together() -> None:
    """No page shows a picture that is missing, and no picture is left without a page."""
    results = ROOT / "lab" / "results"
    shown = {
        name
        for page in results.glob("*.md")
        for name in re.findall(r"\]\(([\w.-]+\.svg)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == {file.name for file in results.glob("*.svg")}


def test_the_names_are_those_of_the_lab() -> None:
    servers = re.search(r"a `server` \((.*?)\)", PAGE)
    assert servers is not None
    assert re.findall(r"`([a-z-]+)`", servers[1]) == list(SERVERS)
    loads = re.search(r"\*\*Loads\.\*\*.*", PAGE)
    assert loads is not None
    assert re.findall(r"`([a-z]+)`:", loads[0]) == list(FIGURES)
    metrics = re.search(r"\*\*Metrics\*\*.*", PAGE)
    assert metrics is not None
    for name in re.findall(r"`([a-z]\w*)`", metrics[0]):
        assert name in METRICS
    canaries = re.search(r"\*\*Canaries\*\*.*", PAGE)
    assert canaries is not None
    for name in re.findall(r"`([a-z]+_)<", canaries[0]):
        assert is_dose(f"{name}40")
