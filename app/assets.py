"""Static files under names that contain a hash of their content, so browsers may cache them.

`python app/assets.py OUT` writes them for nginx, each with a gzip variant. The app computes the
same names for its pages (static_files.py). This module uses only the standard library, because the
stage that builds nginx's image has no Flask.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

STATIC = Path(__file__).parent / "static"
COMPRESSIBLE = frozenset({".css", ".svg", ".txt", ".js", ".json", ".webmanifest"})
DIGITS = 12


def hashed_name(name: str, content: bytes) -> str:
    """`style.css` → `style.0123456789ab.css`."""
    stem, dot, extension = name.rpartition(".")
    if not stem:
        raise ValueError(f"{name}: the name of a static file must have an extension")
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:DIGITS]}{dot}{extension}"


def read_all(folder: Path = STATIC) -> dict[str, bytes]:
    """Name → content of every file in *folder*, sorted by name."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def write_all(out: Path, folder: Path = STATIC) -> list[Path]:
    """Write hashed copies and gzip variants into *out* and return their paths.

    The output is reproducible. Files of earlier releases stay, because pages that were sent before
    a deploy still refer to them.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in read_all(folder).items():
        target = out / hashed_name(name, content)
        target.write_bytes(content)
        written.append(target)
        if target.suffix in COMPRESSIBLE:
            packed = gzip.compress(content, compresslevel=9, mtime=0)
            # nginx sends the variant whenever it exists (gzip_static), even if it is larger.
            if len(packed) < len(content):
                variant = target.with_name(f"{target.name}.gz")
                variant.write_bytes(packed)
                written.append(variant)
    return written


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python app/assets.py OUT_DIR", file=sys.stderr)
        return 2
    try:
        written = write_all(Path(arguments[0]))
    except OSError as error:
        print(f"app.assets: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
