"""`fit_catalog`: the labels of any number of stars, by many workers, whatever interrupts them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._storage import check_folder, is_path, made_folder, replacing, shipped_file
from .._workers import check_one_way, cores, dask_executor, processes
from ..emulator.choosing import DEFAULT, resolve
from ..emulator.model import Emulator
from ..errors import EmulatorFileError, RvsemuError, SettingsError, SpectrumError, check_whole
from ..fitting import Settings
from ..fitting.lock import exclusive
from ..fitting.settings import takes_settings
from ..spectra.stream import files_in
from ..spectra.write import TABLE_ENDINGS, check_writable, write_table
from .dataset import Part, arrow, parts_of, read_catalog, rectangular, repeated_sources, unfinished, write_rejects
from .plan import PLAN, agreed, check_unchanged, described, fingerprint, groups, stamps_of
from .work import EMULATOR, Task, work

__all__ = ["Summary", "fit_catalog"]

__doctest_requires__ = {"fit_catalog": ["pyarrow"]}

_TABLES = tuple(ending for ending in TABLE_ENDINGS if ending != ".parquet")  # of which there are folders
_NO_FOLDERS = frozenset(
    ".fit .fts .hdf .hdf5 .h5 .he5 .xls .xlsx .ods .txt .dat .tsv .tab .asc .ascii .votable .feather .arrow .orc "
    ".npy .npz .pkl .pickle .db .sqlite .tex .htm .html .md .yaml .yml .gz .bz2 .xz .zst .zip .tar .tgz .7z".split()
)
"""Endings of files that no folder is meant by."""
_WITHOUT_ARRAYS = (".csv", ".json")
_MOST_ROWS = 100_000
_WITHOUT = {
    "source_id": "without source_id: file and order say which they are",
    "combined_ccds": "without combined_ccds: whether errors come from few CCD spectra is not known",
    "frame": "of unknown frame: taken for barycentric; a column frame in the file (rest or barycentric) says it",
    "release": "of unknown release: unless noise_correlation says it, only the wavelengths tell how the noise is",
}
_TASKS_EACH = 4  # at least, of each worker, so that all end at about the same time
_PAUSE = 1.0  # seconds between two looks at what is done


@dataclass(frozen=True)
class Summary:
    """What a run has done, earlier runs that it went on with included.

    Parameters
    ----------
    path : Path
        Folder, or table.
    spectra : int
        Rows of the table.
    rejected : int
        Files and spectra that could not be used.
    expected : int
        Epoch spectra that were empty or that the Gaia archive did not normalise, which every set of them has.
    rejects : Path or None
        Table (CSV) of both, with the reasons; None if there are none.
    stars : bool
        Whether rows are stars, of all transits of which a fit was made.
    repeated : int
        Stars that have more than one row, as their transits do not follow one another in the input, or as it has their
        mean spectra, too; where rows are spectra, stars and transits that are in the input more than once, as if a file
        is given twice.
    missing : mapping of str to int
        Number of rows without a ``source_id`` or ``combined_ccds``, or whose ``frame`` or ``release`` is ``unknown``,
        if any: the files do not say it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from rvsemu.catalog import Summary
    >>> print(Summary(Path("labels"), spectra=998, rejected=2, expected=0, rejects=Path("labels/rejects.csv")))
    labels: 998 spectra fitted, 2 rejected; the reasons are in labels/rejects.csv
    """

    path: Path
    spectra: int
    rejected: int
    expected: int
    rejects: Path | None
    stars: bool = False
    repeated: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{self.path}: {self.spectra} {'stars' if self.stars else 'spectra'} fitted"]
        if self.repeated:
            joint = "of them in several rows, as mean spectra or other stars are among their transits"
            alone = "stars or transits in several rows, as they are in the input more than once"
            parts.append(f"{self.repeated} {joint if self.stars else alone}")
        parts += [f"{number} {_WITHOUT[name]}" for name, number in self.missing.items()]
        if self.expected:
            parts.append(f"{self.expected} transits that are empty or not normalised passed over")
        if self.rejected:
            parts.append(f"{self.rejected} rejected")
        return ", ".join(parts) + (f"; the reasons are in {self.rejects}" if self.rejects else "")


@takes_settings()
def fit_catalog(
    inputs: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    jobs: int | None = None,
    dask: str | None = None,
    resume: bool = False,
    rows: int = 1000,
    transits: str = "alone",
    progress: bool = True,
    **settings: Any,
) -> Summary:
    """Fit the labels of all spectra of any number of files.

    The result is the same to the last digit whatever the number of workers, and whether it was interrupted.

    Parameters
    ----------
    inputs : path, or iterable of paths
        Files and folders that `rvsemu.iter_rvs` reads.
    out : path
        Folder to make, of Parquet files of `rows` spectra each, or a table: .fits, .ecsv, .csv, .vot, .xml or .json.
    jobs : int, optional
        Processes on this machine, 1 to 1024, each with one thread for linear algebra. Default: one for each core. A
        script that calls this needs ``if __name__ == "__main__":``, as the processes import it.
    dask : str, optional
        Address of a Dask scheduler, e.g. ``"tcp://10.0.0.1:8786"``, instead of `jobs`. Its workers need inputs and
        `out` under the same names, and one thread each, for linear algebra, too: so they are if Dask starts them as
        processes. With more, the last digits of labels differ.
    resume : bool
        Go on with a run of the same inputs, settings and emulator that was interrupted.
    rows : int
        Spectra in a Parquet file, 10 to 100,000; as many at most are lost when a worker is killed.
    transits : {'alone', 'joint'}
        Fit each epoch spectrum alone, one row each, or all of a star together, one row a star: `rvsemu.fit_transits`.
        Together are those that follow one another in the input, from file to file, too; of a star whose transits do
        not, there are several rows, and `Summary.repeated` counts such stars. `rows` are still those of the input.
    progress : bool
        Show a progress bar.
    **settings

    Returns
    -------
    Summary

    Raises
    ------
    SpectrumError
        There is no input, or one does not exist, or changes while it is read, `out` has a run that is not to be resumed
        or is another one, or ends in what is neither a folder nor a table that is written, a worker was killed, or
        pyarrow is not installed. Spectra that cannot be used raise nothing: see `Summary.rejects`.
    LabelError, SettingsError
        As `rvsemu.fit`, or `jobs`, `rows` or `dask` make no sense.
    OSError
        `out` cannot be written, as on a full disk. What is there stays, and `resume` goes on with it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> from rvsemu.catalog import fit_catalog, read_catalog
    >>> with TemporaryDirectory() as folder:
    ...     summary = fit_catalog(rvsemu.example_path("kepler-93"), f"{folder}/labels", jobs=1, progress=False)
    ...     table = read_catalog(f"{folder}/labels")
    >>> summary.spectra, summary.rejected
    (1, 0)
    >>> table["teff"].round(-2)
    <Quantity [5700.] K>
    """
    arrow()
    checked, emulator = Settings(**settings), resolve(settings.get("emulator"))
    if checked.free_jitter:
        raise SettingsError("jitter='free': least squares cannot find it; give a number.")
    _check_transits(transits, checked)
    check_one_way(jobs, dask, SettingsError)
    width = cores() if jobs is None else check_whole(SettingsError, "jobs", jobs, 1, 1024)
    out, folder = _places(out)
    as_table = folder != out
    rejects = out.with_name(f"{out.name}-rejects.csv") if as_table else folder / "_rejects.csv"
    files = files_in(inputs, without=(out, folder, rejects))
    if not files:
        raise SpectrumError("inputs is empty, perhaps as no file has the name of a pattern: give at least one file.")
    stamps = stamps_of(files)
    given = {name: value for name, value in settings.items() if name != "emulator"}
    run = described(files, given, emulator, check_whole(SettingsError, "rows", rows, 10, _MOST_ROWS), transits)
    if as_table:
        _check_table(out)
        if not (resume and folder.exists()):
            _check_absent(rejects)
    with _executor(width, dask) as (executor, workers), made_folder(folder), _alone(folder):
        agreed(folder, run, resume)
        _clean(folder)
        if not _is_there(folder / EMULATOR, run["emulator"]["fingerprint"]):
            _keep(settings.get("emulator"), folder / EMULATOR)
        parts = _done(_tasks(folder, groups(files), workers, run, given), executor, folder, progress)
        check_unchanged(run["inputs"], stamps)
        write_rejects(parts, rejects)
        if as_table:
            text = out.suffix.lower() in _WITHOUT_ARRAYS
            write_table(rectangular(read_catalog(folder), text), out)
        repeated = repeated_sources(parts, ["source_id"] if transits == "joint" else ["source_id", "transit_id"])
    if as_table:
        shutil.rmtree(folder)
    expected = sum(part.expected for part in parts)
    rejected = sum(part.rejected for part in parts)
    spectra = sum(part.spectra for part in parts)
    listed = rejects if rejected else None
    missing = {name: sum(part.missing.get(name, 0) for part in parts) for name in _WITHOUT}
    missing = {name: number for name, number in missing.items() if number}
    return Summary(out, spectra, rejected - expected, expected, listed, transits == "joint", repeated, missing)


def _places(given: str | os.PathLike) -> tuple[Path, Path]:
    """Path of the output, and of the folder of its partitions, which is another one if the output is a table.

    Raises
    ------
    SpectrumError
        The ending is that of tables or packed files that are not written, or a file is where the folder is to be.
    """
    out = check_folder(given, SpectrumError)
    kind = out.suffix.lower()
    if kind in _NO_FOLDERS:
        raise SpectrumError(
            f"{out}: no catalogue is written as {kind}: give the name of a table that ends in {', '.join(_TABLES)}, or "
            "of a folder, which Parquet files will be in."
        )
    folder = out.with_name(f"{out.name}.parts") if kind in _TABLES else out
    if folder.exists() and not folder.is_dir():
        raise SpectrumError(
            f"{folder} is a file, and partitions need a folder of this name: give another name, or move the file away."
        )
    return out, folder


def _check_table(out: Path) -> None:
    """Refuse a table that is there, or cannot be written; there is no way to replace it, as it took long to make."""
    _check_absent(out)
    check_writable(out, endings=_TABLES)


def _check_absent(path: Path) -> None:
    if path.is_file():
        raise SpectrumError(f"{path} exists, as a run has ended there: give another name, or delete it first.")


def _alone(folder: Path) -> AbstractContextManager[None]:
    """Keep other runs away from a folder."""
    return exclusive(folder / PLAN, 0.0, folder)


def _is_there(path: Path, expected: str) -> bool:
    """Whether a file has the emulator of a fingerprint: it may be damaged, or of another run."""
    try:
        return path.exists() and fingerprint(Emulator.load(path)) == expected
    except RvsemuError:
        return False


def _check_transits(transits: str, settings: Settings) -> None:
    if transits not in ("alone", "joint"):
        raise SettingsError(f"transits={transits!r}: use 'alone' or 'joint'.")
    if transits == "joint" and settings.errors != "gaussian":
        raise SettingsError(
            f"errors={settings.errors!r}: transits are fitted together with errors='gaussian'; use that, or "
            "transits='alone'."
        )


def _keep(emulator: Emulator | str | os.PathLike | None, path: Path) -> None:
    """Copy an emulator to a file, from which all workers read it."""
    if isinstance(emulator, Emulator):
        emulator.save(path, dtype="float32")
        return
    name = emulator or DEFAULT
    source = Path(name) if is_path(name) else shipped_file(str(name), "emulator", EmulatorFileError)
    with replacing(path) as temporary:
        temporary.write_bytes(source.read_bytes())


def _clean(folder: Path) -> None:
    """Remove what processes that were killed have left half-written."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextmanager
def _executor(jobs: int, dask: str | None) -> Iterator[tuple[Executor, int]]:
    if dask is not None:
        with dask_executor(dask, SettingsError) as found:
            yield found
        return
    with processes(jobs) as executor:
        yield executor, jobs


def _tasks(
    folder: Path, units: list[tuple[str, ...]], workers: int, run: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[Task]:
    """What is to be done; where there are few groups of files, each is read by as many workers as have work then.

    A worker has to read what the others of its group fit, too.
    """
    todo = unfinished(parts_of(folder), len(units))
    stride = min(workers, -(-_TASKS_EACH * workers // max(1, len(todo))))
    about = {name: value for name, value in run.items() if name != "inputs"}
    rows, joint = run["rows"], run["transits"] == "joint"
    return [
        Task(str(folder), units[unit], unit, first, stride, rows, about, settings, joint)
        for unit in todo
        for first in range(stride)
    ]


def _done(tasks: list[Task], executor: Executor, folder: Path, progress: bool) -> list[Part]:
    """The partitions, when all tasks have ended."""
    from tqdm.auto import tqdm

    running: set[Future] = {executor.submit(work, task) for task in tasks}
    parts = parts_of(folder)
    with tqdm(unit=" spectra", initial=_count(parts), disable=not progress, dynamic_ncols=True) as bar:
        while running:
            finished, running = wait(running, timeout=_PAUSE, return_when=FIRST_COMPLETED)
            for future in finished:
                _result(future)
            if progress:
                parts = parts_of(folder, {part.path: part for part in parts})
                bar.update(_count(parts) - bar.n)
    return parts_of(folder, {part.path: part for part in parts})


def _count(parts: list[Part]) -> int:
    return sum(part.spectra + part.rejected for part in parts)


def _result(future: Future) -> None:
    try:
        future.result()
    except Exception as error:
        if not (isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"):  # the latter is Dask's
            raise
        raise SpectrumError(
            "a worker was killed, perhaps as memory ran out: give fewer jobs; what is done stays, and resume=True "
            '(--resume) goes on with it. (A script needs if __name__ == "__main__": around its call, too.)'
        ) from None
