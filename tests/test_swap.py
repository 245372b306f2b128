"""A folder is replaced in one step, or so that a kill between two steps loses nothing."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.context import open_layout
from pipeline.storage import files
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout

Refuse = Callable[[int], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Let the system refuse to exchange two names, with an error of its own."""

    def with_error(code: int) -> None:
        class System:
            @staticmethod
            def renameat2(*_: object) -> int:
                return -1

        monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: System)
        monkeypatch.setattr(files.ctypes, "get_errno", lambda: code)

    return with_error


def filled(folder: Path, text: str) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text(text)
    return folder


def build(target: Path, work: Path, text: str) -> None:
    with atomic_build(target, work, durable=True) as beside:
        filled(beside, text)


def contents(folder: Path) -> str:
    return (folder / "deep" / "file").read_text()


@pytest.mark.parametrize("code", [None, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM])
def test_a_folder_is_replaced_whole_and_nothing_stays_behind(
    tmp_path: Path, refuse: Refuse, code: int | None
) -> None:
    """Whether or not the file system can exchange two names."""
    if code is not None:
        refuse(code)
    target, work = filled(tmp_path / "store" / "rows", "old"), tmp_path / "work"
    build(target, work, "new")
    assert contents(target) == "new"
    assert not list(work.iterdir())


def test_an_error_that_is_no_refusal_is_one(tmp_path: Path, refuse: Refuse) -> None:
    refuse(errno.EIO)
    target = filled(tmp_path / "rows", "old")
    with pytest.raises(OSError, match="rows"):
        build(target, tmp_path / "work", "new")
    assert contents(target) == "old"


def test_a_kill_between_two_renames_loses_nothing(
    tmp_path: Path, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever folder it is, also one inside another; the next who opens the data folder finds
    the old one in its place."""
    refuse(errno.EINVAL)
    layout = Layout(tmp_path)
    with layout.locked():
        pass  # a new data folder
    kinds = [layout.canonical / "2026-11-08", layout.canonical, layout.publication_history]
    for target in kinds:
        (target / "deep").mkdir(parents=True)
        (target / "deep" / "file").write_text(f"old {target.name}")
    honest = Path.rename

    def killed(self: Path, to: Path) -> Path:
        if files.REPLACED not in to.name:
            raise KeyboardInterrupt  # nothing after it is done
        return honest(self, to)

    for target in kinds:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", killed)
            patch.setattr(files, "_remove", lambda _: None)
            with pytest.raises(KeyboardInterrupt):
                build(target, layout.work, "new")
        assert not target.exists()
        open_layout(tmp_path)
        assert contents(target) == f"old {target.name}"
        assert not files.away(layout.work)
        layout.clear_unfinished()
        assert not list(layout.work.iterdir())


def test_a_kill_after_two_renames_keeps_the_new_folder(tmp_path: Path) -> None:
    """The old one, or what is left of it, is removed and never put back."""
    layout = Layout(tmp_path)
    filled(layout.canonical, "new")
    filled(layout.work / f"store%2Fcanonical{files.REPLACED}", "old")
    with layout.locked("coaching"):
        assert contents(layout.canonical) == "new"
        assert not files.away(layout.work)
