"""The lab's report opens from a disk without a network, in both schemes, on a phone and a desk."""

import pytest

from lab import report
from lab.tests import invented_runs as runs
from tests.people.in_chromium import DESKTOP, OVERFLOWING, PHONE, SCREENSHOTS

pytestmark = pytest.mark.browser

# Texts of pictures that reach beyond their picture: they would be cut off.
CUT_OFF = """() => [...document.querySelectorAll('svg.picture')].flatMap(svg => {
  const whole = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < whole.left - 1 || box.right > whole.right + 1
      || box.top < whole.top - 1 || box.bottom > whole.bottom + 1;
  }).map(text => `${svg.parentElement.ariaLabel}: ${text.textContent}`);
})"""

# How tall letters of the pictures are on the screen, in CSS pixels.
SMALLEST = """() => Math.min(...[...document.querySelectorAll('svg.picture text')]
  .filter(text => text.textContent.trim() && text.getBoundingClientRect().width)
  .map(text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a
    / Math.cos(Math.atan2(text.getScreenCTM().b, text.getScreenCTM().a)))
  .filter(size => Number.isFinite(size) && size > 0.5))"""

# Contrast of what is written in pictures with currentColor against the figure that holds it.
INK = """() => { const text = [...document.querySelectorAll('svg.picture text')]
    .find(one => one.getAttribute('fill') === 'currentColor');
  const paper = text.closest('figure');
  return [getComputedStyle(text).fill, getComputedStyle(paper).backgroundColor]; }"""


@pytest.fixture(scope="module")
def page_of_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    long = "4 processes, on"
    toml = runs.LOCK.replace(
        f'"{long}"', '"4 processes with four threads each, thunder-lock on and lazy apps besides"'
    )
    runs.write_run(folder, toml)
    return report.write(folder)


def luminance(colour):
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_overflows_or_is_cut_off(browser, page_of_run, scheme, window):
    context = browser.new_context(viewport=window, color_scheme=scheme, offline=True)
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto(page_of_run.as_uri())
    size = "phone" if window is PHONE else "desktop"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report-{size}-{scheme}.png", full_page=True)
    # What is folded away is held to the same.
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == window["width"]
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate(SMALLEST) >= 8.5
    light, dark = sorted(map(luminance, page.evaluate(INK)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 7
    context.close()


def test_paper_shows_what_is_folded_away(browser, page_of_run):
    context = browser.new_context(viewport=DESKTOP, offline=True)
    page = context.new_page()
    page.goto(page_of_run.as_uri())
    page.emulate_media(media="print")
    hidden = page.evaluate(
        "() => [...document.querySelectorAll('details svg.picture')]"
        ".filter(svg => !svg.getBoundingClientRect().height).length"
    )
    assert hidden == 0
    assert page.locator("nav").is_hidden()
    assert len(page.pdf(format="A4")) > 50_000
    context.close()
