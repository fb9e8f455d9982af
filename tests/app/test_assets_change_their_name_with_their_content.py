"""The names of static files change with their content, so browsers may cache them."""

import gzip
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from app import assets, static_files

ROOT = Path(__file__).parents[2]


def snapshot(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_names_carry_the_hash_of_the_content(tmp_path):
    assets.write_all(tmp_path)
    names = {file.name for file in tmp_path.iterdir() if file.suffix != ".gz"}
    assert {re.sub(r"\.[0-9a-f]{12}\.", ".", name) for name in names} == set(assets.read_all())
    for name in names:
        content = (tmp_path / name).read_bytes()
        assert hashlib.sha256(content).hexdigest()[:12] in name


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for out in ("one", "two"):
        assets.write_all(tmp_path / out)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_gzip_variants_hold_the_same_and_are_smaller(tmp_path):
    assets.write_all(tmp_path)
    variants = list(tmp_path.glob("*.gz"))
    assert any(variant.name.startswith("style.") for variant in variants)
    for variant in variants:
        plain = variant.with_suffix("").read_bytes()
        assert gzip.decompress(variant.read_bytes()) == plain
        assert variant.stat().st_size < len(plain)


def test_a_changed_file_gets_another_name_and_the_old_one_stays(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for content in ("a {}", "b {}"):
        (source / "style.css").write_text(content)
        assets.write_all(out, source)
    assert sorted(file.read_text() for file in out.glob("*.css")) == ["a {}", "b {}"]


def test_it_runs_with_the_standard_library_alone(tmp_path):
    """As in the build of nginx's image, where Flask is missing."""
    command = [sys.executable, "-I", "-S", str(ROOT / "app/assets.py"), str(tmp_path / "out")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(assets.read_all()) <= {
        re.sub(r"\.[0-9a-f]{12}\.", ".", file.name) for file in (tmp_path / "out").iterdir()
    }


def test_a_wrong_call_prints_the_usage():
    command = [sys.executable, str(ROOT / "app/assets.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "OUT_DIR" in done.stderr


@pytest.fixture
def app():
    app = Flask("app", static_folder=None)
    static_files.init_app(app)
    return app


def test_the_app_links_to_what_nginx_was_given(app, tmp_path):
    assets.write_all(tmp_path)
    asset = app.jinja_env.globals["asset"]
    for name in assets.read_all():
        assert asset(name).startswith("/static/")
        assert (tmp_path / asset(name).removeprefix("/static/")).is_file()
    with pytest.raises(KeyError):
        asset("not-there.css")


def test_without_nginx_the_app_serves_them_itself(app):
    client = app.test_client()
    answer = client.get(app.jinja_env.globals["asset"]("style.css"))
    assert answer.status_code == 200
    assert answer.data == (assets.STATIC / "style.css").read_bytes()
    assert answer.mimetype == "text/css"
    assert "immutable" in answer.headers["Cache-Control"]
    for wrong in ("style.css", "style.000000000000.css", "..%2fsettings.py", "%00"):
        assert client.get(f"/static/{wrong}").status_code == 404


def test_while_developing_an_edit_shows_on_reload(tmp_path):
    (tmp_path / "style.css").write_text("a {}")
    app = Flask("app", static_folder=None)
    app.debug = True
    static_files.init_app(app, tmp_path)
    asset = app.jinja_env.globals["asset"]
    before = asset("style.css")
    (tmp_path / "style.css").write_text("b {}")
    after = asset("style.css")
    assert after != before
    assert app.test_client().get(after).data == b"b {}"
