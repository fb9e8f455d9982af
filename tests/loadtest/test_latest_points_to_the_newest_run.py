"""Each run gets a folder of its own, and a reader of `latest` always finds one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loadtest import latest


def test_runs_of_one_second_get_different_folders(tmp_path: Path) -> None:
    folders = [latest.new_folder(tmp_path / "smoke") for _ in range(5)]
    assert len(set(folders)) == 5
    assert all(folder.is_dir() for folder in folders)


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "smoke").write_text("")
    with pytest.raises(OSError, match="smoke"):
        latest.new_folder(tmp_path / "smoke")


def test_the_link_is_never_missing_while_it_moves(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(100)]
    for folder in folders:
        folder.mkdir()
    latest.point_to(folders[0])
    with ThreadPoolExecutor(2) as threads:
        moving = threads.map(latest.point_to, folders)
        seen = {(tmp_path / "latest").readlink().name for _ in range(1000)}
        list(moving)
    assert seen <= {folder.name for folder in folders}
    latest.point_to(folders[7])
    assert (tmp_path / "latest").readlink() == Path("7")
    assert not list(tmp_path.glob(".latest-*"))
