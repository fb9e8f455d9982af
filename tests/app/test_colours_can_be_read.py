"""Every pair of text and background colours meets WCAG 2.2 AA in both colour schemes."""

import re
from pathlib import Path

import pytest

from app.assets import STATIC

SHEET = (STATIC / "style.css").read_text()
TEXT, EDGE = 4.5, 3.0  # WCAG 1.4.3 and 1.4.11

PAIRS = [
    *[("ink", ground, TEXT) for ground in ("page", "surface", "sunken")],
    *[("muted", ground, TEXT) for ground in ("page", "surface")],
    *[("accent", ground, TEXT) for ground in ("page", "surface")],
    ("accent-strong", "page", TEXT),
    ("accent-strong", "accent-tint", TEXT),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-strong", TEXT),
    ("good", "good-tint", TEXT),
    ("bad", "bad-tint", TEXT),
    ("bad", "page", TEXT),
    ("bad", "surface", TEXT),
    *[("edge", ground, EDGE) for ground in ("page", "surface")],
    *[("accent", ground, EDGE) for ground in ("page", "surface", "sunken")],  # the focus ring
]


def colours(scheme):
    light, dark = re.findall(r":root \{\n\s+(?:color-scheme.*?|)(--page:.*?)\n\s*\}", SHEET, re.S)
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light))
    if scheme == "dark":
        found |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", dark))
    return found


def luminance(colour):
    def linear(part):
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[i : i + 2]) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "ground", "least"), PAIRS)
def test_contrast(scheme, front, ground, least):
    found = colours(scheme)
    assert contrast(found[front], found[ground]) >= least


def test_both_schemes_set_the_same_colours():
    light = set(colours("light"))
    dark_only = re.search(r"prefers-color-scheme: dark\) \{\n\s+:root \{(.*?)\}", SHEET, re.S)
    assert set(re.findall(r"--([a-z-]+): #", dark_only.group(1))) == light


def test_nginxs_error_page_has_the_same_colours():
    """It works without the app, so it has a style sheet of its own."""
    sheet = (Path(__file__).parents[2] / "nginx/pages/nginx-error.css").read_text()
    for scheme, root in zip(
        ("light", "dark"), re.findall(r":root \{(.*?)\}", sheet, re.S), strict=True
    ):
        own = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", root))
        assert len(own) > 5
        assert own.items() <= colours(scheme).items()
