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


def read_all(folder: Path = STATIC) -> dict[str, tuple[str, bytes]]:
    """Name → (hashed name, content) of each file: `style.css` → `style.0123456789ab.css`."""
    found = {}
    for file in sorted(filter(Path.is_file, folder.iterdir())):
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:12]
        found[file.name] = f"{file.stem}.{digest}{file.suffix}", content
    return found


def write_all(out: Path, folder: Path = STATIC) -> None:
    """Write hashed copies and gzip variants into *out*. The output is reproducible.

    Files of earlier releases stay, because pages that were sent before a deploy refer to them.
    """
    out.mkdir(parents=True, exist_ok=True)
    for hashed, content in read_all(folder).values():
        target = out / hashed
        target.write_bytes(content)
        if target.suffix in COMPRESSIBLE:
            packed = gzip.compress(content, compresslevel=9, mtime=0)
            # nginx sends the variant whenever it exists (gzip_static), even if it is larger.
            if len(packed) < len(content):
                target.with_name(f"{hashed}.gz").write_bytes(packed)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python app/assets.py OUT_DIR")
    write_all(Path(sys.argv[1]))
