"""HDF5 files survive whatever ends the process."""

import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from rvsemu import _journal
from rvsemu._journal import reading, transaction


def rows(path, name="a"):
    with reading(path) as file:
        return file[name][:].tolist()


def add(path, value, name="a"):
    with transaction(path) as file:
        if name not in file:
            file.create_dataset(name, (0,), maxshape=(None,), dtype="f8", chunks=(100,))
        data = file[name]
        data.resize(len(data) + 1, axis=0)
        data[-1] = value


def test_changes_add_up(tmp_path):
    path = tmp_path / "x.h5"
    for i in range(5):
        add(path, i)
        add(path, 10 * i, "b")
    assert rows(path) == [0, 1, 2, 3, 4]
    assert rows(path, "b") == [0, 10, 20, 30, 40]
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]


def test_large_arrays_and_many_groups(tmp_path):
    path = tmp_path / "x.h5"
    big = np.random.default_rng(0).normal(size=(3, 40000))
    for i in range(60):
        with transaction(path) as file:
            file.create_group(f"star {i}").create_dataset("chain", data=big[i % 3])
            file[f"star {i}"].attrs["text"] = "x" * 5000
    with transaction(path) as file:
        del file["star 3"]
    with h5py.File(path) as file:
        assert len(file) == 59
        for i in (0, 31, 59):
            np.testing.assert_array_equal(file[f"star {i}/chain"][:], big[i % 3])


def test_an_exception_changes_nothing(tmp_path):
    path = tmp_path / "x.h5"
    add(path, 1)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), transaction(path) as file:
        file["b"] = np.arange(1000)
        file.flush()
        raise ZeroDivisionError
    assert path.read_bytes() == before


def test_every_moment_of_death_is_survived(tmp_path, monkeypatch):
    """Die at each write to the file in turn, as SIGKILL would have it: nothing after it happens."""
    path = tmp_path / "x.h5"
    for i in range(300):
        add(path, i)
    before = path.read_bytes()

    class Dead(BaseException):
        pass

    real_open, deaths = open, 0
    for survive in range(1000):
        path.write_bytes(before)
        count = 0

        def counting(name, mode="r", survive=survive):
            file = real_open(name, mode)
            if mode != "r+b":
                return file
            write = file.write

            class Counted:
                def write(self, data):
                    nonlocal count
                    count += 1
                    if count > survive:
                        write(data[: len(data) // 2])
                        file.flush()
                        raise Dead
                    return write(data)

                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    file.close()

                def __getattr__(self, name):
                    return getattr(file, name)

            return Counted()

        monkeypatch.setattr(_journal, "open", counting, raising=False)
        try:
            add(path, 300)
            break
        except Dead:
            deaths += 1
        monkeypatch.setattr(_journal, "open", real_open, raising=False)
        assert rows(path) == list(range(301))
    assert deaths > 1
    assert rows(path) == list(range(301))


def test_a_journal_is_applied_by_the_next_who_comes(tmp_path, monkeypatch):
    path = tmp_path / "x.h5"
    add(path, 1)
    monkeypatch.setattr(_journal, "_recover", lambda path: None)
    add(path, 2)
    assert rows(path) == [1]
    monkeypatch.undo()
    assert rows(path) == [1, 2]
    monkeypatch.setattr(_journal, "_recover", lambda path: None)
    add(path, 3)
    monkeypatch.undo()
    add(path, 4)
    assert rows(path) == [1, 2, 3, 4]


def test_processes_take_turns(tmp_path):
    path, turns = tmp_path / "x.h5", 15
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_journal import add\n"
        f"for i in range({turns}): add(sys.argv[1], i, 'b')"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(path), os.path.dirname(__file__)])
    mine = 0
    while other.poll() is None:
        add(path, mine)
        mine += 1
        assert len(rows(path)) == mine
        time.sleep(0.01)
    assert other.returncode == 0
    assert rows(path) == list(range(mine))
    assert rows(path, "b") == list(range(turns))
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]
