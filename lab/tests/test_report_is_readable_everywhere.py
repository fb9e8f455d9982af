"""The report opens from a file without a network, in both colour schemes, on a phone and a desk."""

import pytest

from lab import report
from lab.tests import invented_runs as runs
from tests.people.in_chromium import DESKTOP, OVERFLOWING, PHONE, SCREENSHOTS

pytestmark = pytest.mark.browser

# The texts of a picture that reach beyond it: they would be cut off.
CUT_OFF = """() => { const whole = document.documentElement.getBoundingClientRect();
  return [...document.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < whole.left - 1 || box.right > whole.right + 1
      || box.top < whole.top - 1 || box.bottom > whole.bottom + 1;
  }).map(text => text.textContent); }"""

# How much each picture is scaled. Its letters are at least 11 pt (14.7 px) high before that.
SCALES = """() => [...document.querySelectorAll('figure img')].filter(one => one.width)
  .map(one => (one.clientWidth - 2 * parseFloat(getComputedStyle(one).paddingLeft))
    / one.naturalWidth)"""


@pytest.fixture(scope="module")
def page_of_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    long = "4 processes, on"
    toml = runs.LOCK.replace(
        f'"{long}"', '"4 processes with four threads each, thunder-lock on and lazy apps besides"'
    )
    runs.write_run(folder, toml)
    return report.write(folder)


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
    # The same holds for what is folded.
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == window["width"]
    assert page.evaluate(OVERFLOWING) == []
    assert 14.7 * min(page.evaluate(SCALES)) >= 8.5
    context.close()


# Whether each verdict of the first table is in its part of the window without scrolling.
VERDICTS_SEEN = """() => [...document.querySelectorAll('#answer tbody tr')].map(row => {
    const cell = row.cells[1].getBoundingClientRect();
    const part = row.closest('.scroll').getBoundingClientRect();
    return cell.right <= part.right + 1 && cell.right <= window.innerWidth; })"""


@pytest.mark.parametrize("window", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_verdicts_are_seen_without_scrolling(browser, page_of_run, window):
    context = browser.new_context(viewport=window, offline=True)
    page = context.new_page()
    page.goto(page_of_run.as_uri())
    seen = page.evaluate(VERDICTS_SEEN)
    assert len(seen) > 5
    assert all(seen)
    context.close()


def test_no_text_of_a_picture_is_cut_off(browser, page_of_run):
    context = browser.new_context(viewport=DESKTOP, offline=True)
    page = context.new_page()
    files = sorted((page_of_run.parent / "pictures").glob("*.svg"))
    assert len(files) >= 5
    for file in files:
        page.goto(file.as_uri())
        assert page.evaluate(CUT_OFF) == [], file.name
    context.close()


def test_print_shows_what_is_folded(browser, page_of_run):
    context = browser.new_context(viewport=DESKTOP, offline=True)
    page = context.new_page()
    page.goto(page_of_run.as_uri())
    page.emulate_media(media="print")
    hidden = page.evaluate(
        "() => [...document.querySelectorAll('details img')]"
        ".filter(one => !one.getBoundingClientRect().height).length"
    )
    assert hidden == 0
    assert page.locator("nav").is_hidden()
    assert len(page.pdf(format="A4")) > 50_000
    context.close()
