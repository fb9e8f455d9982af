"""From a matplotlib figure to an SVG that belongs into a page.

Matplotlib writes a document of its own: ids that repeat from one picture to the next, colours as
style attributes, a date, a font family. Inline in a page the ids must be unique, a strict content
security policy forbids style attributes, and text has to follow the reader's colour scheme. So
styles become presentation attributes, and three colours stand for roles: INK is the text colour of
the surroundings, PAPER the background, SHADE a light wash between them.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Colours that nothing else in a picture has, so that they can be found again in what is written.
INK = "#010203"
PAPER = "#fdfcfb"
SHADE = "#e1e2e3"

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
# In a page they follow its style sheet (classes); on its own a picture brings its background along.
_ALONE = {INK: "#23272b", PAPER: "#ffffff", SHADE: "#e3e6ea"}
TITLE_LINE = 19
_FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"

_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_INHERITED = ("fill", "fill-opacity", "stroke", "stroke-width", "stroke-linejoin", "stroke-opacity")
_GEOMETRY = ("d", "x", "y", "transform", "width", "height", "points", "cx", "cy", "r")

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "svg.hashsalt": "lab report",  # the same figure gives the same ids
    "text.parse_math": False,  # an arm's name may hold a dollar sign
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same widths everywhere
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "figure.dpi": 72,  # a point is a CSS pixel
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.16,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


def write(figure: Figure) -> str:
    """What matplotlib makes of it, without a date."""
    buffer = io.StringIO()
    with mpl.rc_context(SETTINGS):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    return buffer.getvalue()


def inline(raw: str, name: str, label: str) -> str:
    """An <svg> element for a page; *name* makes its ids unique, *label* is read aloud."""
    root = _clean(raw, name)
    for element in root.iter():
        classes = []
        for attribute in ("fill", "stroke"):
            value = element.get(attribute, "")
            if value == INK:
                element.set(attribute, "currentColor")
            elif value in (PAPER, SHADE):
                del element.attrib[attribute]
                role = "paper" if value == PAPER else "shade"
                classes.append(f"{attribute}-{role}")
        if classes:
            element.set("class", " ".join(classes))
    root.set("class", "picture")
    root.set("role", "img")
    root.set("aria-label", label)
    return _text(root)


def alone(raw: str, name: str, label: str, title: Sequence[str]) -> str:
    """A file of its own, on a light background, so that it can be read on any page. The lines of
    *title* stand above it: in a page, a heading says that."""
    root = _clean(raw, name)
    for element in root.iter():
        for attribute in ("fill", "stroke"):
            value = element.get(attribute, "")
            if value in _ALONE:
                element.set(attribute, _ALONE[value])
    width, height = (float(number) for number in root.get("viewBox", "0 0 1 1").split()[2:])
    top = TITLE_LINE * len(title) + 10
    box = {"width": f"{width:g}", "height": f"{height + top:g}"}
    content = [ET.Element("title"), ET.Element("rect", box | {"y": f"{-top}", "fill": "#ffffff"})]
    content[0].text = label
    for number, line in enumerate(title):
        place = {"x": "12", "y": f"{TITLE_LINE * (number + 1) - top}", "fill": _ALONE[INK]}
        content.append(ET.Element("text", place | {"font-size": "14", "font-weight": "bold"}))
        content[-1].text = line
    root[:0] = content
    root.attrib.update(box)
    root.set("viewBox", f"0 {-top} {width:g} {height + top:g}")
    root.set("xmlns", _SVG)
    root.set("font-family", _FONT)
    root.set("role", "img")
    return _text(root) + "\n"


def _clean(raw: str, name: str) -> ET.Element:
    """The tree without name spaces, styles, metadata and ids that nobody refers to."""
    root = ET.fromstring(raw)  # noqa: S314 - written by matplotlib a moment ago
    used = set(_references(root))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        _flatten(element)
        _rename(element, name, used)
        for attribute in _GEOMETRY:
            if attribute in element.attrib:
                element.set(attribute, _rounded(element.attrib[attribute]))
        if element.tag not in ("text", "tspan"):
            element.text = None
        element.tail = None
    for group in root.iter("g"):
        _hoist(group)
    _collapse(root)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    # What the dropped style element said of everything.
    root.set("stroke-linejoin", "round")
    return root


def _references(root: ET.Element) -> Iterator[str]:
    for element in root.iter():
        for key, value in element.attrib.items():
            yield from _REFERENCE.findall(value)
            if key == _XLINK:
                yield value.removeprefix("#")


def _flatten(element: ET.Element) -> None:
    """Its style attribute as presentation attributes; fonts come from the page."""
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = declaration.partition(":")
        key, value = key.strip(), value.strip()
        if key == "font-size":
            value = value.removesuffix("px")
        if key and key != "font-family":
            element.set(key, value)


def _rename(element: ET.Element, name: str, used: set[str]) -> None:
    identity = element.attrib.pop("id", None)
    if identity in used:
        element.set("id", f"{name}-{identity}")
    for key, value in list(element.attrib.items()):
        if key == _XLINK:
            del element.attrib[key]
            element.set("href", f"#{name}-{value.removeprefix('#')}")
        elif "url(#" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))


def _hoist(group: ET.Element) -> None:
    """Say once for all marks of a line what each of them says."""
    marks = list(group)
    if len(marks) < 2 or any(mark.tag != "use" for mark in marks):
        return
    for key, value in list(marks[0].attrib.items()):
        if key in _INHERITED and all(mark.get(key) == value for mark in marks):
            group.set(key, value)
            for mark in marks:
                del mark.attrib[key]


def _collapse(element: ET.Element) -> None:
    """Take out groups that carry nothing and say nothing."""
    children: list[ET.Element] = []
    for child in list(element):
        _collapse(child)
        if child.tag == "g" and not child.attrib:
            children.extend(child)
        elif child.tag != "defs" or len(child):
            children.append(child)
    element[:] = children


def _rounded(value: str) -> str:
    """A hundredth of a pixel is finer than any screen."""
    value = _NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
    return " ".join(value.split())


def _text(root: ET.Element) -> str:
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)
