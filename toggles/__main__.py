"""`python3 -m toggles` prints the table; --write puts it into the files that show it; --check exits
with 1 if one of them is out of date."""

import sys
from pathlib import Path

from toggles.closed_pipe import quiet_exit
from toggles.documents import DocumentError, markdown, outdated

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    if not arguments:
        print(markdown(), end="")
        return 0
    if arguments not in (["--write"], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        files = outdated(ROOT)
    except DocumentError as error:
        print(f"toggles: {error}", file=sys.stderr)
        return 2
    for file, text in files.items():
        name = file.relative_to(ROOT)
        if arguments == ["--write"]:
            file.write_text(text, encoding="utf-8")
            print(f"toggles: wrote {name}")
        else:
            print(f"toggles: {name} is out of date: run `make docs`", file=sys.stderr)
    return 1 if files and arguments == ["--check"] else 0


if __name__ == "__main__":
    with quiet_exit():
        sys.exit(main(sys.argv[1:]))
