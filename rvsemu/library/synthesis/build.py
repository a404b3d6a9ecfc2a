"""The resumable build of a library: draws, a pool of workers, a journal of parts, one HDF5 file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from ..._workers import check_one_way, cores, dask_executor
from ...emulator.regions import Region, to_json
from ...errors import SynthesisError
from ..cyanogen import RIGHT_CYANOGEN, weak_spectra
from ..model import Library
from ..titanium import RIGHT_TITANIUM
from .engine import Failure
from .journal import Journal
from .settings import Settings
from .spectrum import synthesize
from .workspace import Workspace

__all__ = ["build", "status"]

_MERGE_EVERY = 500  # spectra; rewriting a library of 5000 takes half a minute
_MOST_IN_A_ROW = 20  # failures; where spectra fail at all, it is a few in a hundred
_SAME = 1e-5  # of the range of each label


@dataclass(frozen=True)
class Result:
    """One spectrum, or the reason why there is none."""

    index: int
    labels: np.ndarray
    flux: np.ndarray | None
    extrapolated: bool
    error: str | None
    seconds: float


def build(
    path: str | Path,
    n: int,
    settings: Settings | None = None,
    *,
    workspace: Workspace | None = None,
    jobs: int | None = None,
    dask: str | None = None,
    within: dict[str, tuple[float, float]] | None = None,
    without: Sequence[str | Path] = (),
    choose: Callable[[tuple[str, ...], np.ndarray], np.ndarray] | None = None,
    retry: bool = False,
    progress: bool = True,
) -> Library:
    """Compute the first `n` spectra of the sequence that `path` does not have yet.

    Each spectrum is written, under its final name at once, to the folder ``path + ".work"`` as soon as it is
    there, and merged into `path` from time to time and at the end. Killed at any moment, the run loses the
    spectra in flight and no others; the next call goes on.

    Parameters
    ----------
    path : path
        Library file to make or to grow.
    n : int
        Length of the sequence of labels; a larger `n` later continues it.
    settings : Settings, optional
        Default: those of the file, or the standard ones for a new file.
    workspace : Workspace, optional
        Default: the one in the user's cache.
    jobs : int, optional
        Spectra computed at the same time; default one for each core.
    dask : str, optional
        Address of a Dask scheduler, instead of this machine's cores. Its workers need the workspace in the same
        folder.
    within : dict, optional
        Only the labels of the sequence inside these limits: ``{"teff": (3600, 5000)}``.
    without : sequence of path
        Library files: leave out the labels of the sequence that have a spectrum there, unless its lines of CN are too
        weak (see `Library.weak_cyanogen`).
    choose : callable, optional
        Called with the names of the labels and those (k, n_labels) that are left, gives the rows of those to compute,
        the same each time: see `rvsemu.training.acquisition.neediest`.
    retry : bool
        Try the spectra again that failed.
    progress : bool
        Show a bar with rate and time left.

    Returns
    -------
    Library

    Raises
    ------
    SynthesisError
        `path` was made with other settings, is no library of this kind, or another run is writing to it; the disk is
        full; or the first 20 spectra, or 20 in a row later, fail (not with `retry`).

    Examples
    --------
    >>> from rvsemu.library.synthesis import Settings, Workspace, build
    >>> workspace = Workspace.prepare()  # doctest: +SKIP
    >>> library = build("cool.h5", 1000, Settings(teff=(3600, 8000)), workspace=workspace)  # doctest: +SKIP
    """
    check_one_way(jobs, dask, SynthesisError)
    workspace = workspace or Workspace.open()
    journal = Journal(path)
    with journal.lock():
        journal.check_grows()
        journal.merge()
        settings = _agreed(journal, settings)
        workspace = workspace.covering(settings)
        region = _part(settings.region(workspace.structures), within or {})
        journal.begin({**provenance(settings, workspace), "regions": to_json([region])})
        draws = settings.draws(_checked(n), workspace.structures)
        chosen = _inside(settings.names, draws, within or {}) & ~_had(settings, draws, without)
        rows = np.flatnonzero(chosen)
        rows = rows if choose is None else rows[choose(settings.names, draws[rows])]
        if not (len(rows) or Path(path).exists()):
            raise SynthesisError(
                f"none of the first {n} labels of the sequence is left to compute: raise n (--n), or change what is "
                "left out (within, without)."
            )
        wanted = [(i, draws[i]) for i in rows.tolist()]
        done = journal.done(including_failures=not retry)
        todo = [(i, labels) for i, labels in wanted if i not in done]
        try:
            with _executor(jobs, dask) as (executor, width):
                scratch = None if dask else journal.scratch()
                kept = _Kept(journal, None if retry else _MOST_IN_A_ROW)
                _compute(todo, executor, width, (settings, workspace, scratch), kept, progress)
        finally:
            journal.merge()
    return Library.load(path)


def provenance(settings: Settings, workspace: Workspace) -> dict:
    """What goes into a library's attributes."""
    manifest = workspace.manifest
    lines = "Gaia-ESO (Heiter et al. 2021) with ABO damping" + ("; He I (Coulomb approximation)" * settings.helium)
    tio = f"{settings.tio_below:g} K"
    if settings.tio_below_poor != settings.tio_below:
        tio += f", {settings.tio_below_poor:g} K where [M/H] + [alpha/M] is not above -0.5"
    enhanced = "" if settings.alpha is None else ", plain and [alpha/Fe] = +0.4"
    structures = f"ATLAS9 ODFNEW (Castelli & Kurucz 2003), vturb 2 km/s{enhanced}"
    return {
        "generator": f"rvsemu {version('rvsemu')} synthesize",
        "code": manifest["engine"],
        "structures": f"{structures}; the nearest edge beyond the grid",
        "lines": f"{lines}; CN (below {settings.cn_below:g} K) and TiO (below {tio}) of linemake",
        "cyanogen": RIGHT_CYANOGEN,
        "isotopes": "gf times the terrestrial fraction of each isotope",
        "titanium": RIGHT_TITANIUM,
        "abundances": "Grevesse & Sauval (1998), Z >= 3 times 10^[M/H]" + (", alpha 10^[alpha/M]" if enhanced else ""),
        "broadening": "none: no rotation, no instrument",
        "settings": settings.to_json(),
        "manifest": json.dumps(manifest),
    }


def _agreed(journal, settings) -> Settings:
    """The settings of the file, which those asked for must not contradict."""
    found = journal.settings
    if found is None:
        return settings or Settings()
    if settings is not None and (differences := found.differences(settings)):
        raise SynthesisError(
            f"{journal.path} was made with other settings ({differences}): give the same ones, or another --out."
        )
    return found


def _checked(n) -> int:
    """`n`, if it is one."""
    if n < 1:
        raise SynthesisError(f"n={n}: give the number of spectra, at least 1.")
    return n


def _part(region: Region, within: Mapping[str, tuple[float, float]]) -> Region:
    """The part of the box in which spectra are computed."""
    for name in within:
        if name not in region.limits:
            raise SynthesisError(f"within: '{name}' is unknown; use {', '.join(region.limits)}.")
    part = region.cut(within)
    for name, (low, high) in part.limits.items():
        if low > high:
            (lowest, highest), (low, high) = region.limits[name], within[name]
            raise SynthesisError(
                f"within: {name}={low:g},{high:g} is outside the box: give limits in {lowest:g} to {highest:g}."
            )
    return part


def _inside(names, draws, within) -> np.ndarray:
    """Which of the draws are inside the limits of some labels."""
    inside = np.ones(len(draws), dtype=bool)
    for name, (low, high) in within.items():
        values = draws[:, names.index(name)]
        inside &= (low <= values) & (values <= high)
    return inside


def _had(settings, draws, files) -> np.ndarray:
    """Which of the draws have a spectrum in one of some library files."""
    had, names = np.zeros(len(draws), dtype=bool), settings.names
    ranges = np.array([np.ptp(getattr(settings, name)) for name in names])
    for file in files:
        found = Library.peek(file)
        if found["names"] != names:
            raise SynthesisError(f"without: {file} has the labels {', '.join(found['names'])}, not {', '.join(names)}.")
        right = found["labels"][~weak_spectra(found["info"], names, found["labels"])]
        if len(right):
            had |= cKDTree(right / ranges).query(draws / ranges)[0] < _SAME
    return had


@contextmanager
def _executor(jobs, dask):
    """An executor of `concurrent.futures`, and how many spectra it computes at a time.

    Threads are enough on one machine: each waits for a SYNSPEC process of its own.
    """
    if dask is None:
        jobs = jobs or cores()
        with ThreadPoolExecutor(jobs) as executor:
            try:
                yield executor, jobs
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise
        return
    with dask_executor(dask, SynthesisError) as found:
        yield found


class _Kept:
    """Results on their way into a journal: failures only once a spectrum has come, or the run ends.

    Many failures in a row are no fault of these stars: the run stops, and none of them is noted.
    """

    def __init__(self, journal: Journal, most: int | None) -> None:
        self._journal, self._most = journal, most
        self._held: list[Result] = []
        self.failures = 0

    def write(self, result: Result) -> None:
        self._held.append(result)
        if result.error is None:
            self.flush()
            return
        self.failures += 1
        if self._most is not None and len(self._held) >= self._most:
            raise SynthesisError(
                f"the last {len(self._held)} spectra all failed ({result.error}): nothing is noted of them; if that is "
                "mended, give the same command again; if it cannot be, note them with --retry (retry=True)."
            )

    def flush(self) -> None:
        """Note all."""
        for result in self._held:
            self._journal.write(result)
        self._held = []
        if self._journal.pending >= _MERGE_EVERY:
            self._journal.merge()


def _compute(todo, executor, width, arguments, kept, progress):
    """Keep the workers busy; keep each result as it comes."""
    from tqdm import tqdm

    remaining, running = iter(todo), set()
    with tqdm(total=len(todo), unit=" spectra", disable=not progress, smoothing=0.05, dynamic_ncols=True) as bar:
        while True:
            for job in remaining:
                running.add(executor.submit(_one, job, *arguments))
                if len(running) >= 2 * width:
                    break
            if not running:
                return kept.flush()
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                kept.write(future.result())
                bar.update()
                if kept.failures:
                    bar.set_postfix_str(f"{kept.failures} failed")


def _one(job, settings, workspace, scratch) -> Result:
    """What a worker does."""
    index, labels = job
    start = time.monotonic()
    try:
        made = synthesize(labels, settings, workspace, scratch)
        flux, extrapolated, error = made.flux, made.extrapolated, None
    except Failure as e:
        flux, extrapolated, error = None, False, str(e)
    return Result(index, np.asarray(labels), flux, extrapolated, error, time.monotonic() - start)


def status(path: str | Path) -> dict:
    """What a library holds, finished or not.

    Returns
    -------
    dict
        ``library`` (Library or None), ``pending`` (spectra not merged yet), ``failures`` (list of dict),
        ``settings`` (Settings or None), ``running`` (bool).

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from rvsemu.library import Library
    >>> from rvsemu.library.synthesis import Settings, status
    >>> settings = Settings()
    >>> centres = (settings.edges[1:] + settings.edges[:-1]) / 2
    >>> one = np.array([[5777.0, 4.44, 0.0, 1.0]]), settings.names, centres, np.ones((1, len(centres)), "f4")
    >>> with TemporaryDirectory() as folder:
    ...     Library(*one, "air", info={"settings": settings.to_json()}).save(f"{folder}/library.h5")
    ...     found = status(f"{folder}/library.h5")
    >>> len(found["library"]), found["pending"], found["running"]
    (1, 0, False)
    """
    journal = Journal(path)
    library = Library.load(path) if Path(path).exists() else None
    if library is None and not journal.folder.exists():
        raise SynthesisError(f"{path} does not exist, nor has a run begun to make it: give the --out of a run.")
    return {
        "library": library,
        "pending": journal.pending,
        "failures": journal.failures(),
        "settings": journal.settings,
        "running": journal.locked(),
    }
