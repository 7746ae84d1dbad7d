"""What has its name is on the disk: files first, then the name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from edit_rrm_client.durable import settle


def folder_with_files(path: Path) -> Path:
    (path / "within").mkdir(parents=True)
    (path / "a.txt").write_text("a")
    (path / "within" / "b.txt").write_text("b")
    return path


def test_all_is_flushed_before_the_rename_and_the_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished, final = folder_with_files(tmp_path / "run.partial"), tmp_path / "run"
    paths = {path.stat().st_ino: path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    flushed: list[tuple[str, bool]] = []

    def note(descriptor: int) -> None:
        flushed.append((paths.get(os.fstat(descriptor).st_ino, "."), final.exists()))

    monkeypatch.setattr(os, "fsync", note)
    settle(unfinished, final)
    names = ["run.partial", "run.partial/a.txt", "run.partial/within", "run.partial/within/b.txt"]
    assert sorted(flushed[:-1]) == [(name, False) for name in names]
    assert flushed[-1] == (".", True)
    assert (final / "within" / "b.txt").read_text() == "b"
    assert not unfinished.exists()


def test_a_file_replaces_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("old")
    (tmp_path / "run.partial").write_text("new")
    settle(tmp_path / "run.partial", tmp_path / "run.json")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "new")]


def test_what_could_not_be_flushed_does_not_get_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        settle(folder_with_files(tmp_path / "run.partial"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("of", ["folders", "files"])
def test_a_file_system_need_not_know_fsync_of_folders(of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is (of == "folders"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", unknown)
    unfinished, final = folder_with_files(tmp_path / "run.partial"), tmp_path / "run"
    if of == "files":
        with pytest.raises(OSError, match="Invalid argument"):
            settle(unfinished, final)
    else:
        settle(unfinished, final)
    assert final.exists() is (of == "folders")
