"""From files to a `Library`: every spectrum the same way, what is left out with its reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...errors import LibraryFileError
from ..model import Library
from . import preparing
from .formats import Format, format_named
from .labels import LabelTable
from .lines import shift, verdict
from .reading import Files
from .settings import Settings
from .spectrum import LABELS, RawSpectrum, Source, Unusable, merged

__all__ = ["Report", "import_library"]

_TRIALS = 30  # spectra asked for their medium


@dataclass
class Report:
    """What became of the spectra of an import.

    Parameters
    ----------
    used : list of str
        Names of the spectra in the library, in its order.
    left_out : dict
        Name to reason.

    Examples
    --------
    >>> from rvsemu.library.importing import Report
    >>> report = Report(used=["a.spec"], left_out={"b.spec": "no flux", "c.spec": "no flux", "d.spec": "empty"})
    >>> report.reasons()
    ['2 x no flux (e.g. b.spec)', 'd.spec: empty']
    """

    used: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def reasons(self) -> list[str]:
        """One line for each reason: how many, the reason, an example; the most frequent first."""
        example = {reason: name for name, reason in reversed(self.left_out.items())}
        counts = Counter(self.left_out.values()).most_common()
        return [f"{n} x {r} (e.g. {example[r]})" if n > 1 else f"{example[r]}: {r}" for r, n in counts]


@dataclass(frozen=True)
class _Import:
    """One import: the format, the user's settings, the table of labels, and the medium with its origin."""

    format: Format
    settings: Settings
    table: LabelTable | None
    medium: str | None = None
    origin: str = ""


def import_library(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    format: str,
    settings: Settings | None = None,
    progress: bool = True,
) -> tuple[Library, Report]:
    """Read spectra of other origin into a library of rvsemu: normalised, in air, on a uniform grid.

    Parameters
    ----------
    paths : path or sequence of path
        Files, or folders that are searched through.
    format : str
        One of `FORMATS`.
    settings : Settings, optional
    progress : bool
        Show a progress bar.

    Returns
    -------
    library : Library
        ``info`` says where it is from and what was assumed.
    report : Report
        What was left out, and why.

    Raises
    ------
    LibraryFileError
        A path does not exist, nothing can be used, a setting does not fit the format, or, with
        ``settings.strict``, the first spectrum that cannot be used.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.library.importing import Settings, import_library
    >>> stars = rvsemu.generate(teff=[5000, 6000], logg=4.4, resolution=14500)
    >>> arrays = {"wavelength": stars.spectral_axis.value, "flux": stars.flux.value}
    >>> arrays |= {"teff": [5000, 6000], "logg": [4.4, 4.4], "mh": [0, 0], "vmic": [1, 1]}
    >>> settings = Settings(medium="air", resolution=14500, limits=(8405, 8795), step=0.1)
    >>> with TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/stars.npz", **arrays)
    ...     library, report = import_library(f"{folder}/stars.npz", "table", settings, progress=False)
    >>> len(library), report.left_out
    (2, {})
    """
    settings, chosen, paths = settings or Settings(), format_named(format), _listed(paths)
    _check_flux(chosen, settings)
    table = LabelTable(settings.labels) if settings.labels is not None else None
    sources = list(chosen.reader(Files(paths), table))
    if not sources:
        raise LibraryFileError(f"format {format}: no files of it in {', '.join(map(str, paths))} ({chosen.title}).")
    job = _with_medium(_Import(chosen, settings, table), sources)
    labels, flux, resolutions, report = _all(job, sources, progress)
    if len(set(resolutions)) > 1:
        raise LibraryFileError(
            f"the spectra have resolutions from {min(resolutions):g} to {max(resolutions):g}: import one at a time."
        )
    alpha = settings.wanted("alpha")
    library = Library(
        labels=np.insert(np.array(labels), [3] * bool(alpha), alpha, axis=1),
        names=(*LABELS[:3], "alpha", *LABELS[3:]) if alpha else LABELS,
        wavelength=settings.wavelength(),
        flux=np.array(flux),
        medium="air",
        bin_width=settings.step,
        resolution=resolutions[0],
        info=_info(job, report, resolutions[0]),
    )
    return library, report


def _listed(paths) -> list[Path]:
    try:
        return [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    except TypeError:
        raise LibraryFileError(f"paths={paths!r}: give a path or a sequence of paths.") from None


def _check_flux(chosen: Format, settings: Settings):
    if chosen.flux == "absolute" and settings.pseudo_continuum is None:
        raise LibraryFileError(
            f"format {chosen.name} holds flux without a continuum: ask for a pseudo-continuum (--pseudo-continuum 2); "
            "what it gives is not what a continuum would give."
        )
    if chosen.flux in ("normalised", "continuum") and settings.pseudo_continuum is not None:
        raise LibraryFileError(f"format {chosen.name} needs no pseudo-continuum: leave it out.")


def _all(job, sources, progress):
    labels, flux, resolutions, report = [], [], [], Report()
    seen: dict[tuple, str] = {}
    for source in tqdm(sources, desc="spectra", disable=not progress, unit="", mininterval=0.5):
        try:
            stars, values, resolution = _one(job, source, seen)
        except Unusable as reason:
            if job.settings.strict:
                raise LibraryFileError(f"{source.name}: {reason}.") from None
            report.left_out[source.name] = str(reason)
            continue
        seen[tuple(stars)] = source.name
        report.used.append(source.name)
        labels.append(stars)
        flux.append(values.astype("f4"))
        resolutions.append(resolution)
    if job.table is not None:
        unused = job.table.unused(s.path for s in sources if s.path)
        report.left_out |= dict.fromkeys((f"row {name}" for name in unused), "in the table, but there is no file of it")
    if not labels:
        raise LibraryFileError(f"none of {len(sources)} spectra can be used: {'; '.join(report.reasons()[:3])}.")
    return labels, flux, resolutions, report


def _one(job: _Import, source: Source, seen: dict):
    """Labels, flux on the library's grid, and resolution of one spectrum."""
    raw, labels = _read(job, source)
    stars = preparing.check_labels(labels, job.settings)
    if tuple(stars) in seen:
        raise Unusable(f"the same teff, logg, mh and vmic as {seen[tuple(stars)]}")
    medium = job.medium or raw.medium
    if medium is None:
        raise Unusable("it does not say whether its wavelengths are in air or vacuum, as others do")
    raw = preparing.angstrom(raw, job.settings, job.format.unit)
    flux = preparing.normalised(raw, job.settings)
    wavelength = preparing.in_air(raw.wavelength, medium)
    wrong = preparing.wrong_medium(wavelength, flux, labels["teff"], medium)
    if wrong:
        raise Unusable(wrong)
    values = preparing.rebinned(wavelength, flux, job.settings.wavelength(), job.settings.step)
    return stars, values, job.settings.resolution or raw.resolution or np.inf


def _read(job: _Import, source: Source) -> tuple[RawSpectrum, dict]:
    """The spectrum as it is, and its labels from wherever they come."""
    preparing.check_wanted(_labels(job, source, {}), job.settings)  # before a large file is read
    try:
        raw = source.load()
    except (TypeError, ValueError, IndexError, KeyError) as e:
        if isinstance(e, Unusable):
            raise
        raise Unusable(f"it cannot be read ({str(e).splitlines()[0] if str(e) else type(e).__name__})") from e
    return raw, _labels(job, source, raw.labels)


def _labels(job, source, header):
    table = job.table.labels(source.path) if job.table is not None and source.path is not None else {}
    return merged(header=header, name=source.labels, table=table, setting=job.settings.given)


# ---------------------------------------------------------------------- air or vacuum
def _with_medium(job: _Import, sources) -> _Import:
    """The job with the medium of its spectra: the user's word, the format's, the file's, or the Ca II lines'."""
    if job.settings.medium:
        return _medium(job, job.settings.medium, "stated by the user")
    if job.format.medium:
        return _medium(job, job.format.medium, f"assumed of the format {job.format.name}")
    reasons = Report()
    for source in sorted(sources, key=_far_from_the_sun)[:_TRIALS]:
        try:
            raw, labels = _read(job, source)
            if raw.medium:
                return _medium(job, None, "as each file says")
            raw = preparing.angstrom(raw, job.settings, job.format.unit)
            found = shift(raw.wavelength, preparing.normalised(raw, job.settings), labels.get("teff", np.inf))
        except Unusable as reason:
            reasons.left_out[source.name] = str(reason)
            continue
        if found is not None and verdict(found, "air"):
            return _medium(job, verdict(found, "air"), f"measured from the Ca II lines of {source.name}")
    why = f" ({'; '.join(reasons.reasons()[:2])})" if reasons.left_out else ""
    raise LibraryFileError(
        f"format {job.format.name}: whether the wavelengths are in air or vacuum is not stated, and no spectrum's "
        f"Ca II lines can tell{why}: give --medium air or --medium vacuum."
    )


def _far_from_the_sun(source: Source) -> float:
    """Order in which spectra are asked for their medium: Ca II is deep and alone in stars like the Sun."""
    return abs(source.labels.get("teff", 5777.0) - 5777.0)


def _medium(job: _Import, medium: str | None, origin: str) -> _Import:
    return _Import(job.format, job.settings, job.table, medium, origin)


# ---------------------------------------------------------------------- provenance
def _info(job: _Import, report: Report, resolution: float) -> dict[str, str]:
    settings, chosen = job.settings, job.format
    unit = settings.unit or f"{chosen.unit} unless the file states another"
    first, last = (Path(report.used[i]).name for i in (0, -1))
    info = {
        "code": f"imported: {chosen.title}",
        "format": chosen.name,
        "files": f"{len(report.used)} spectra, {first} to {last}; {len(report.left_out)} left out",
        "source_medium": f"{job.medium or 'air or vacuum'}, {job.origin}; vacuum is converted after Morton (2000)",
        "source_unit": unit,
        "assumptions": chosen.assumes,
        "labels_from": chosen.labels,
        "normalisation": _normalisation(chosen, settings),
        "abundances": _abundances(settings),
        "broadening": "no rotation; "
        + (f"Gaussian LSF of R = {resolution:g}" if resolution < np.inf else "no instrument"),
        "sampling": f"means over bins of {settings.step:g} A of a spline through the samples",
        "reference": chosen.reference,
        "licence": chosen.licence,
    }
    if settings.given:
        info["labels_given"] = ", ".join(f"{k} = {v:g}" for k, v in settings.given.items())
    return info


def _normalisation(chosen: Format, settings: Settings) -> str:
    if settings.pseudo_continuum is not None:
        return (
            f"pseudo-continuum: polynomial of degree {settings.pseudo_continuum} through the 98th percentiles of "
            "pieces of 10 A; not a continuum"
        )
    return {"normalised": "that of the files", "continuum": "flux over the files' continuum"}.get(
        chosen.flux, "that of the files, or flux over their continuum"
    )


def _abundances(settings: Settings) -> str:
    changed = {n: settings.wanted(n) for n in ("alpha", "carbon", "nitrogen", "oxygen", "r", "s") if settings.wanted(n)}
    return ", ".join(f"{n} {v:+g}" for n, v in changed.items()) or "scaled solar, as far as the files say"
