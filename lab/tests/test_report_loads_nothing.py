"""The page is one file that loads nothing, whatever the names of an experiment and its arms."""

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser

import pytest

from lab import report
from lab.tests import invented_runs as runs

NASTY = '<script>alert(1)</script> $x^2$ | "quoted" & `ticks`'


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    runs.write_run(folder, runs.SMALL)
    report.write(folder)
    return folder


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_nothing_is_loaded(html):
    elements = Elements(html).found
    tags = {tag for tag, _ in elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "image", "base"}
    for tag, attributes in elements:
        for name in ("srcset", "action", "xlink:href"):
            assert name not in attributes, (tag, attributes)
        assert attributes.get("src", "data:").startswith("data:"), (tag, attributes)
        if tag != "a":
            assert attributes.get("href", "#").startswith("#"), (tag, attributes)
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html


def test_the_policy_knows_the_only_sheet(html):
    sheet = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:" in html
    for tag, attributes in Elements(html).found:
        assert "style" not in attributes, (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    assert html.count("<style") == 1


def test_ids_are_unique_and_references_lead_somewhere(html):
    elements = Elements(html).found
    ids = Counter(attributes["id"] for _, attributes in elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    wanted = set(re.findall(r"url\(#([^)]+)\)", html))
    wanted |= {one["href"][1:] for _, one in elements if one.get("href", "").startswith("#")}
    assert wanted <= set(ids)


def test_every_picture_says_what_it_shows(html):
    pictures = [attributes for tag, attributes in Elements(html).found if tag == "img"]
    assert len(pictures) >= 3
    assert all(len(picture["alt"]) > 20 for picture in pictures)
    assert html.count("<figcaption>") == html.count("<figure ") == len(pictures) - 1  # the card


def test_names_from_the_file_are_shown_and_not_obeyed(html, folder):
    assert "<script" not in html
    assert "<b>bold</b>" not in html
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; brave" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x^2$ | &#34;quoted&#34; &amp; `ticks`" in html
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    assert "<b>" not in markdown
    assert r"&lt;script&gt;alert(1)&lt;/script&gt; $x^2$ \| " in markdown


def test_pictures_are_xml_that_shows_the_name_as_it_is(folder):
    for file in (folder / "pictures").glob("*.svg"):
        root = ET.fromstring(file.read_text(encoding="utf-8"))
        assert not [one for one in root.iter() if one.tag.endswith("script")]
    forest = ET.fromstring((folder / "pictures" / "forest.svg").read_text(encoding="utf-8"))
    words = "".join(forest.itertext())
    assert "<script>alert(1)</script>" in words
    assert "$x^2$" in words
