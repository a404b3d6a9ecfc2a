"""Writing files: complete under their final name, or not at all; the cache folder."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable, Table
from emulator_fixtures import small_emulator

from rvsemu.emulator import Emulator
from rvsemu.errors import EmulatorFileError, SpectrumError, SynthesisError
from rvsemu.library.synthesis import Workspace
from rvsemu.spectra import write_table


class Watched(QTable):
    """A table that calls a function with the file that it is to be written to."""

    def __init__(self, write):
        super().__init__({"teff": [5777.0]})
        self.meta["write"] = write

    def write(self, path, **options):
        self.meta["write"](path)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_what_ends_early_leaves_nothing(tmp_path, kind):
    path = tmp_path / "table.fits"
    path.write_text("old")

    def half(temporary):
        Path(temporary).write_text("half")
        raise kind

    with pytest.raises(kind):
        write_table(Watched(half), path, overwrite=True)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["table.fits"]


def test_what_is_written_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path, done = tmp_path / "table.fits", []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("sync"), sync(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("rename"), rename(*names)))

    def new(temporary):
        Path(temporary).write_text("new")
        assert not path.exists()

    write_table(Watched(new), path)
    assert done == ["sync", "rename"] and path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["table.fits"]


def test_the_target_of_a_link_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real/table.fits", tmp_path / "link.fits"
    link.symlink_to(target)
    for text in ("new", "newer"):  # the first one where the link leads to nothing yet
        write_table(Watched(lambda temporary, text=text: Path(temporary).write_text(text)), link, overwrite=True)
        assert link.is_symlink() and target.read_text() == text
    assert [p.name for p in target.parent.iterdir()] == ["table.fits"]


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path):
    """Also where the system's own error, of the file that is not there, names the temporary one."""
    path = tmp_path / "table.fits"
    for write in (lambda temporary: None, lambda temporary: open(temporary, "rb")):
        with pytest.raises(SpectrumError) as e:
            write_table(Watched(write), path)
        assert e.value.__cause__.filename == str(path)
        assert str(e.value).startswith(f"{path}: ") and ".tmp" not in str(e.value) + str(e.value.__cause__)
        assert not list(tmp_path.iterdir())


def test_a_full_disk_is_given_as_the_reason(tmp_path, limit_of_file_size):
    """Also by what astropy raises for FITS, which has no number of the system."""
    table = Table({"a": np.zeros(20_000)})
    for ending in ("fits", "ecsv", "vot"):
        with limit_of_file_size(20_000), pytest.raises(SpectrumError) as e:
            write_table(table, tmp_path / f"a.{ending}")
        assert "None" not in str(e.value) and ".tmp" not in str(e.value)
        assert "written" in str(e.value) and list(tmp_path.iterdir()) == []


def test_threads_do_not_share_a_temporary_file(tmp_path):
    names, together = [], threading.Barrier(4)

    def written(text):
        def write(temporary):
            names.append(temporary)
            together.wait(60)
            Path(temporary).write_text(text)
            together.wait(60)

        return write

    tables = [Watched(written(str(i))) for i in range(4)]
    given = {"overwrite": True}
    threads = [threading.Thread(target=write_table, args=(one, tmp_path / "a.fits"), kwargs=given) for one in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 4 and (tmp_path / "a.fits").read_text() in "0123"
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits"]


def test_folders_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    emulator = small_emulator()
    for path in (str(tmp_path / "a.h5"), "b.h5"):
        emulator.save(path, dtype="float32")
        assert Emulator.load(tmp_path / Path(path).name) == emulator
    with pytest.raises(EmulatorFileError, match=r"b/a.h5: the folder .*b does not exist; make it first"):
        emulator.save(tmp_path / "b" / "a.h5")


def test_cache_folder(monkeypatch, tmp_path):
    def folder():
        with pytest.raises(SynthesisError, match="is not set up: run 'rvsemu synthesize setup' first") as e:
            Workspace.open()
        return Path(str(e.value).partition(" is not set up")[0]).parent

    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path / "own"))
    assert folder() == tmp_path / "own"
    monkeypatch.delenv("RVSEMU_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder() == tmp_path / "rvsemu"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / ".cache" / "rvsemu"
