"""uwsgi/secret_key.py creates the key complete, private and once, even if several start at once."""

import os
import subprocess
import sys
from pathlib import Path

from stack.checkout import CHECKOUT

SCRIPT = CHECKOUT / "uwsgi" / "secret_key.py"
# Each copy reads the file at once: a file that is created before it is written would be empty.
RUN_AND_READ = f"import os, runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__'); " + (
    "print(open(os.environ['SECRET_KEY_FILE']).read())"
)


def test_several_at_once_get_the_same_key(tmp_path: Path) -> None:
    for number in range(5):
        key = tmp_path / str(number) / "key"
        key.parent.mkdir()
        copies = [
            subprocess.Popen(
                [sys.executable, "-c", RUN_AND_READ],
                env={**os.environ, "SECRET_KEY_FILE": str(key)},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        read = {copy.communicate(timeout=30)[0].strip() for copy in copies}
        assert read == {key.read_text()}
        assert len(bytes.fromhex(key.read_text())) == 32
        assert key.stat().st_mode & 0o777 == 0o600
        assert list(key.parent.iterdir()) == [key], "a temporary file was left behind"


def test_a_directory_that_is_missing_is_reported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT],
        env={**os.environ, "SECRET_KEY_FILE": str(tmp_path / "missing" / "key")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"No such file or directory: '{tmp_path}/missing/key" in done.stderr
