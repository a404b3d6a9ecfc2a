"""Writing files: complete under their final name, or not at all; the cache folder."""

import os
import threading
from pathlib import Path

import pytest

from rvsemu._storage import cache_folder, check_folder, replacing
from rvsemu.errors import SpectrumError


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_what_ends_early_leaves_nothing(tmp_path, kind):
    path = tmp_path / "table.fits"
    path.write_text("old")
    with pytest.raises(kind), replacing(path) as temporary:
        temporary.write_text("half")
        raise kind
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["table.fits"]


def test_what_is_written_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path, done = tmp_path / "table.fits", []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("sync"), sync(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("rename"), rename(*names)))
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert done == ["sync", "rename"] and path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["table.fits"]


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path):
    for path in (tmp_path / "nowhere" / "table.fits", tmp_path):
        with pytest.raises(OSError) as e, replacing(path) as temporary:
            temporary.write_text("new")
        assert e.value.filename == str(path) and "tmp," not in str(e.value) and ".tmp" not in str(e.value)
        assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))


def test_threads_do_not_share_a_temporary_file(tmp_path):
    names, together = [], threading.Barrier(4)

    def write(i):
        with replacing(tmp_path / "table.fits") as temporary:
            names.append(temporary)
            together.wait(10)
            temporary.write_text(str(i))
            together.wait(10)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 4 and (tmp_path / "table.fits").read_text() in "0123"
    assert [p.name for p in tmp_path.iterdir()] == ["table.fits"]


def test_folders_that_are_there(tmp_path):
    assert check_folder(str(tmp_path / "a"), SpectrumError) == tmp_path / "a"
    assert check_folder("a", SpectrumError) == Path("a")
    with pytest.raises(SpectrumError, match=r"b/a: the folder .*b does not exist; make it first"):
        check_folder(tmp_path / "b" / "a", SpectrumError)


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("RVSEMU_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "rvsemu"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "rvsemu"
