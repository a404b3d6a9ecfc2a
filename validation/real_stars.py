"""Labels of real stars beside those of the literature, and by how much more than their errors they differ.

    python validation/real_stars.py --write

fits the spectra of ``validation/stars``, which the error of the models was not made with, and Kepler-93 with the
default settings. Two of them have no errors: there the residual rms of a first fit is the error of each pixel. The
external error of a label is the standard deviation, besides the errors of both, that makes the differences from the
literature most likely. The same is done with a wider prior on the resolution. With ``--write``, the tables go to
``docs/_generated/real_stars.rst``. Takes ten seconds of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from results import rst
from scipy.optimize import minimize_scalar
from specutils import Spectrum

import rvsemu
from rvsemu.fitting import DEFAULT_PRIORS, FitResult

HERE = Path(__file__).resolve().parent
TABLE = HERE.parent / "docs" / "_generated" / "real_stars.rst"
SHOWN = {"teff": ("Teff (K)", 0), "logg": ("log g", 2), "mh": ("[M/H]", 2)}  # decimals
FIRST_SIGMA = 0.01  # of the continuum
PUBLISHED = np.linspace(8460.0, 8700.0, 2401) * u.AA  # pixels of Gaia DR3, vacuum
PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"  # stays on one line
WIDE = 11_900, 450  # prior of the resolution: all that was measured with single CCDs


@dataclass(frozen=True)
class Star:
    """A star, the file of its spectrum, and values and errors of the literature."""

    name: str
    file: Path
    source: str
    labels: dict[str, tuple[float, float]]

    def spectrum(self) -> Spectrum:
        """As in the archive; text files have no errors, and wavelengths with one refractive index for all."""
        if self.file.suffix == ".csv":
            return rvsemu.read_rvs(self.file)[0]
        flux = np.genfromtxt(self.file, delimiter=",", skip_header=1)[:, 1] * u.dimensionless_unscaled
        meta = {"medium": "vacuum", "frame": "rest", "release": "Gaia DR3"}
        return Spectrum(spectral_axis=PUBLISHED, flux=flux, mask=np.isnan(flux), meta=meta)

    def fitted(self, **priors: Any) -> FitResult:
        """With the defaults, and `priors` instead of theirs."""
        spectrum, priors = self.spectrum(), DEFAULT_PRIORS | priors
        if spectrum.uncertainty is not None:
            return rvsemu.fit(spectrum, priors=priors)
        sigma = rvsemu.fit(spectrum, sigma=FIRST_SIGMA).residual_rms
        return rvsemu.fit(spectrum, sigma=sigma, priors=priors)


def _star(name: str, file: str, source: str, *labels: tuple[float, float]) -> Star:
    path = HERE / "stars" / file if file else rvsemu.example_path("kepler-93")
    return Star(name, path, source, dict(zip(SHOWN, labels, strict=True)))


SEISMIC = "Silva Aguirre et al. 2015, MNRAS 452, 2127"
CASAGRANDE = "Casagrande et al. 2011, A&A 530, A138"
STARS = (  # errors of 0.1 dex where Casagrande et al. give none for a star
    _star("Kepler-93", "", SEISMIC, (5669, 75), (4.468, 0.003), (-0.18, 0.10)),
    _star("Kepler-409", "kepler-409.csv", SEISMIC, (5460, 75), (4.495, 0.002), (0.08, 0.10)),
    _star("TrES-2", "tres-2.csv", "Sozzetti et al. 2007, ApJ 664, 1190", (5850, 50), (4.4, 0.1), (-0.15, 0.10)),
    _star("HD 2615", "hd-2615.txt", CASAGRANDE, (6366, 74), (4.05, 0.10), (-0.52, 0.10)),
    _star("HD 5133", "hd-5133.txt", CASAGRANDE, (4980, 103), (4.62, 0.10), (-0.08, 0.10)),
)


def external_error(differences: np.ndarray, errors: np.ndarray) -> float:
    """Most likely standard deviation of differences (n,) besides their errors (n,), their mean included."""

    def unlikely(extra: float) -> float:
        variance = errors**2 + extra**2
        return float(np.sum(differences**2 / variance + np.log(variance)))

    most = 3 * float(np.abs(differences).max())
    return float(minimize_scalar(unlikely, bounds=(0.0, most), method="bounded").x)


def compared(results: list[FitResult], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Fit less literature, and the errors of both together, of each star."""
    known = np.array([star.labels[name] for star in STARS])
    found = np.array([[r.labels[name].value, r.errors[name].value] for r in results])
    return found[:, 0] - known[:, 0], np.hypot(found[:, 1], known[:, 1])


def rows(results: list[FitResult], wide: list[FitResult]) -> Iterator[list[str]]:
    """Of the table of stars."""
    for star, result, other in zip(STARS, results, wide, strict=True):
        for i, (name, (text, decimals)) in enumerate(SHOWN.items()):
            fits = [(one.labels[name].value, one.errors[name].value) for one in (result, other)]
            digits = decimals + (name == "logg" and star.labels[name][1] < 0.01)
            numbers = [f"{x:.{decimals}f}{PLUS_MINUS}{dx:.{decimals}f}" for x, dx in fits]
            numbers.append(PLUS_MINUS.join(f"{x:.{digits}f}" for x in star.labels[name]))
            flags = ", ".join(f"``{flag}``" for flag in result.flags) or "none"
            yield ["" if i else star.name, text, *numbers, *(["", ""] if i else [star.source, flags])]


def common(results: list[FitResult], name: str, decimals: int) -> tuple[str, str]:
    """Weighted mean of fit - literature, and the external error."""
    difference, error = compared(results, name)
    weights = 1 / error**2
    mean, sigma = np.sum(weights * difference) / weights.sum(), weights.sum() ** -0.5
    return f"{mean:+.{decimals}f}{PLUS_MINUS}{sigma:.{decimals}f}", f"{external_error(difference, error):.{decimals}f}"


def tables(results: list[FitResult], wide: list[FitResult]) -> str:
    """Stars, and what they have in common."""
    prior = "R = {:,} ± {}".format(*WIDE)
    stars = rst(["", "", "fit", f"fit with {prior}", "literature", "literature is", "flags"], list(rows(results, wide)))
    head = ["", "mean of fit - literature", "external error", f"mean with {prior}", f"external error with {prior}"]
    both = [
        [text, *common(results, name, decimals), *common(wide, name, decimals)]
        for name, (text, decimals) in SHOWN.items()
    ]
    return f"{stars}\n.. external-errors:\n\n{rst(head, both)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.relative_to(HERE.parent)}")
    options = parser.parse_args()
    text = tables([star.fitted() for star in STARS], [star.fitted(resolution=WIDE) for star in STARS])
    print(text)
    if options.write:
        TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
