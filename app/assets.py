"""Static files under names that change with their content, so that they can be cached for ever.

`python -m app.assets OUT` writes them for nginx, each beside its gzip variant; the app computes
the same names for its pages (static_files.py). Only the standard library is used here, because the
image of nginx has nothing else: where Flask is missing, run it as `python app/assets.py OUT`.
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
        raise ValueError(f"{name}: a static file needs a name and an extension")
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:DIGITS]}{dot}{extension}"


def read_all(folder: Path = STATIC) -> dict[str, bytes]:
    """Name → content of every file of *folder*, in the order of their names."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def write_all(out: Path, folder: Path = STATIC) -> list[Path]:
    """Write hashed copies and gzip variants into *out*; the same content gives the same bytes.

    Files of earlier releases are left alone: pages sent before a deploy still ask for them.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in read_all(folder).items():
        target = out / hashed_name(name, content)
        target.write_bytes(content)
        written.append(target)
        if target.suffix in COMPRESSIBLE:
            packed = gzip.compress(content, compresslevel=9, mtime=0)
            # nginx sends the variant whenever it is there: a larger one would be a loss.
            if len(packed) < len(content):
                variant = target.with_name(f"{target.name}.gz")
                variant.write_bytes(packed)
                written.append(variant)
    return written


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m app.assets OUT_DIR", file=sys.stderr)
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
