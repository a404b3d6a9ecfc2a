"""Can log gf of the strongest lines be corrected from real spectra?

    python validation/line_strengths.py --runs FOLDER

fits the four shipped spectra of real stars, computes each star anew with SYNSPEC at the labels of its fit, and again
with log gf of the strongest lines changed by 0.1 dex, many lines at a time that are far enough from each other. What
then explains the residuals are corrections that are the same in all stars, changes of the labels of each star, and its
continuum: generalised least squares, with the noise of the spectra, a small error of models that remains, and a prior
of each correction. The corrections are judged by the star that they were not made from: its spectrum is computed once
more with them, and labels and continuum are fitted again. Then damping and abundances are changed, to see what that
does to the residuals of strong and of weak lines.

Writes ``docs/_generated/line_strengths.rst``. Spectra that are in FOLDER are not computed again, so the command can be
stopped and repeated. Takes a quarter of an hour of one core. Needs ``rvsemu synthesize setup``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from varied_lines import CENTRES, Lines, Runs, groups, hidden, seen, sets

import rvsemu
from rvsemu.fitting import FitResult
from rvsemu.library.synthesis import Workspace
from rvsemu.observing import ModelError
from rvsemu.observing.correlation import correlation_band
from rvsemu.observing.covariance import banded, dense
from rvsemu.observing.forward import ForwardModel
from rvsemu.physics.continuum import chebyshev_basis
from rvsemu.physics.lines import CALCIUM_TRIPLET
from rvsemu.physics.wavelengths import doppler, vacuum_to_air
from rvsemu.reproduction.report import rst_table

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "line_strengths.rst"
STARS = {  # name, microturbulence (km/s) that is held
    "kepler-93": ("Kepler-93", 1.0),
    "gaia-3174658066485297152": ("G dwarf", 1.0),
    "gaia-1535964555128078720": ("K dwarf", 1.0),
    "hd176650": ("HD 176650", 1.4),
}
FREEDOM = {  # how far labels may go from the fit, standard deviations
    **{"teff": 200.0, "logg": 0.3, "vsini": 2.0, "mh": 0.2, "vmic": 0.2, "resolution": 500.0, "radial_velocity": 1.0},
}
CONTINUUM = 0.05  # standard deviation of each coefficient
DEGREE = 3
REMAINS = ModelError(base=0.003, depth=0.04, reach=1.75)
PRIOR = 0.15  # dex
CHANGE = 0.1  # dex
WEAK_PRIOR = 0.3  # in units of gf times 10
WEAK_CHANGE = 1.0  # dex
WEAK_APART = 3.0  # Angstrom
SIGNIFICANT = 2.5  # standard deviations
SHALLOWEST = 0.08  # of the continuum
WINDOW = 2.0  # Angstrom around a line: further away, a change of the spectrum is another line's
DEPTHS = (0.0, 0.02, 0.05, 0.1, 0.2)
NEXT_TO_CALCIUM = 8.0  # Angstrom: not counted among the other lines
GREVESSE_TO_ASPLUND = (  # Asplund et al. (2009) - Grevesse & Sauval (1998), dex
    *((6, -0.09), (7, -0.09), (8, -0.14), (11, -0.09), (12, 0.02), (13, -0.02), (14, -0.04), (16, -0.21)),
    *((20, -0.02), (22, -0.07), (23, -0.07), (24, -0.03), (25, 0.04), (27, 0.07), (28, -0.03)),
)


@dataclass(frozen=True)
class Star:
    """A fit, what SYNSPEC makes of its labels, and what may explain the difference; arrays of the pixels used.

    Parameters
    ----------
    name : str
    fit : FitResult
    pixels : ndarray of bool
        Those used, of the fit's.
    rest : ndarray
        Wavelength of the star at rest, Angstrom, air.
    """

    name: str
    fit: FitResult
    pixels: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, key: str) -> Star:
        """One of `STARS`."""
        name, vmic = STARS[key]
        spectrum = rvsemu.read_rvs(rvsemu.example_path(key))[0]
        fit = rvsemu.fit(spectrum, fixed={"vmic": vmic})
        pixels = fit.used & ~fit.doubted
        velocity = fit.labels["radial_velocity"].value
        return cls(name, fit, pixels, doppler(vacuum_to_air(fit.spectral_axis.to_value("AA")[pixels]), -velocity))

    @property
    def labels(self) -> tuple:
        """For SYNSPEC."""
        digits = {"teff": 0, "logg": 2, "mh": 2, "vmic": 2}
        return tuple(round(float(self.fit.labels[name].value), n) for name, n in digits.items())

    def observed(self) -> np.ndarray:
        """Normalised flux."""
        return (self.fit.flux / self.fit.continuum)[self.pixels]

    def noise(self) -> np.ndarray:
        """Its standard deviation."""
        return (self.fit.flux_sigma / self.fit.continuum)[self.pixels]

    def seen(self, fluxes: np.ndarray) -> np.ndarray:
        """SYNSPEC's fluxes as the instrument sees this star."""
        values = (max(0.0, float(self.fit.labels[name].value)) for name in ("vsini", "resolution"))
        return seen(fluxes, *values, self.rest)

    def freedom(self, model: np.ndarray) -> np.ndarray:
        """Changes of the spectrum (p, n) by one standard deviation of each label, and of the continuum."""
        wavelength = vacuum_to_air(self.fit.spectral_axis.to_value("AA"))
        forward = ForwardModel(rvsemu.shipped().astype("f8"), wavelength)
        theta = np.array([self.fit.labels[name].value for name in FREEDOM_ORDER])
        slopes = forward.jacobian(theta)[1][0][:, self.pixels]
        labels = slopes * np.array([FREEDOM[name] for name in FREEDOM_ORDER])[:, None]
        basis = chebyshev_basis(self.rest, DEGREE).T
        return np.vstack([labels, CONTINUUM * basis * model])

    def covariance(self, model: np.ndarray) -> np.ndarray:
        """Of noise and what remains of the error of models, (n, n)."""
        all_pixels, wavelength = np.ones(len(self.rest), dtype=bool), self.rest
        noise = correlation_band(self.fit.meta["noise_correlation"], wavelength)
        error = correlation_band(REMAINS.correlation, wavelength)
        return dense(banded(noise, self.noise(), all_pixels)) + dense(
            banded(error, REMAINS.sigma(model), all_pixels)
        )


FREEDOM_ORDER = (*rvsemu.shipped().labels.names, "radial_velocity")


@dataclass(frozen=True)
class Comparison:
    """A star beside a synthetic spectrum of it.

    Parameters
    ----------
    star : Star
    residual : ndarray, shape (n,)
        Observed - synthetic.
    model : ndarray, shape (n,)
    """

    star: Star
    residual: np.ndarray
    model: np.ndarray

    def __post_init__(self):
        factor = cho_factor(self.star.covariance(self.model), lower=True)
        freedom = self.star.freedom(self.model)
        normal = freedom @ cho_solve(factor, freedom.T) + np.eye(len(freedom))
        object.__setattr__(self, "_parts", (factor, freedom, normal))

    def labels_changed(self, residual: np.ndarray) -> np.ndarray:
        """What labels and continuum explain of a residual (n,)."""
        factor, freedom, normal = self._parts
        return np.linalg.solve(normal, freedom @ cho_solve(factor, residual)) @ freedom

    def normal_equations(self, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrix (k, k) and right side (k,) of corrections with `slopes` (k, n), labels and continuum left free."""
        factor, freedom, normal = self._parts
        white = cho_solve(factor, slopes.T).T
        mixed = white @ freedom.T
        matrix = white @ slopes.T - mixed @ np.linalg.solve(normal, mixed.T)
        right = white @ self.residual - mixed @ np.linalg.solve(normal, freedom @ cho_solve(factor, self.residual))
        return matrix, right

    def left(self) -> np.ndarray:
        """Residual with labels and continuum fitted."""
        return self.residual - self.labels_changed(self.residual)


def compared(star: Star, flux: np.ndarray) -> Comparison:
    """A star beside fluxes in bins."""
    model = star.seen(flux)
    return Comparison(star, star.observed() - model, model)


def solved(comparisons, slopes, prior) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and their standard deviations, from some of the stars."""
    parts = [one.normal_equations(slope) for one, slope in zip(comparisons, slopes, strict=True)]
    matrix = sum(m for m, _ in parts) + np.diag(prior**-2.0)
    inverse = np.linalg.inv(matrix)
    return inverse @ sum(r for _, r in parts), np.sqrt(np.diag(inverse))


class Study:
    """Stars, groups of lines, and runs of SYNSPEC."""

    def __init__(self, runs: Runs):
        self.runs, workspace = runs, runs.workspace
        self.lines = Lines(workspace.atoms())
        self.plain = self.lines.strengthened({})
        self.stars = [Star.of(key) for key in STARS]
        self.base = runs([(star.labels, self.plain) for star in self.stars])
        structures = workspace.structures
        known = [
            {
                "teff": star.labels[0],
                "structure": structures.at(*star.labels[:3]),
                "abundances": structures.composition(star.labels[2]),
            }
            for star in self.stars
        ]
        strong = groups(self.lines, known, self.base, SHALLOWEST)
        weak = hidden(self.lines, known, strong)
        self.groups, self.strong = strong + weak, np.arange(len(strong) + len(weak)) < len(strong)
        self.before = [compared(star, flux) for star, flux in zip(self.stars, self.base, strict=True)]

    def changed(self, dex: np.ndarray) -> str:
        """The list of atoms with each group changed by so many dex."""
        return self.lines.strengthened({a.row: x for group, x in zip(self.groups, dex, strict=True) for a in group})

    @property
    def prior(self) -> np.ndarray:
        """Standard deviation of each coefficient."""
        return np.where(self.strong, PRIOR, WEAK_PRIOR)

    def dex(self, coefficients: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Corrections: of strong lines they are the coefficients; a weak line grows in proportion to gf, its
        coefficient is 1 where gf is ten times as large, and it counts where it is significant."""
        grown = np.where(coefficients > SIGNIFICANT * errors, coefficients, 0.0)
        return np.where(self.strong, coefficients, np.log10(1 + (10**WEAK_CHANGE - 1) * np.maximum(grown, 0.0)))

    def slopes(self) -> list[np.ndarray]:
        """Derivatives (groups, n) of the spectrum of each star by the coefficients."""
        n = self.strong.sum()
        together = sets(self.groups[:n]) + [[n + i for i in some] for some in sets(self.groups[n:], WEAK_APART)]
        step = np.where(self.strong, CHANGE, WEAK_CHANGE)
        lists = [self.changed(np.where(np.isin(np.arange(len(step)), some), step, 0.0)) for some in together]
        fluxes = self.runs([(star.labels, text) for star in self.stars for text in lists])
        fluxes = fluxes.reshape(len(self.stars), len(lists), -1)
        return [self._slopes(*parts, together) for parts in zip(self.stars, self.base, fluxes, strict=True)]

    def _slopes(self, star, base, fluxes, together):
        out = np.zeros((len(self.groups), len(CENTRES)))
        for flux, some in zip(fluxes, together, strict=True):
            for i in some:
                where = [a.wavelength for a in self.groups[i]]
                reach = WINDOW if self.strong[i] else WEAK_APART / 2
                near = (CENTRES > min(where) - reach) & (CENTRES < max(where) + reach)
                out[i, near] = (flux - base)[near] / (CHANGE if self.strong[i] else 1.0)
        return star.seen(out)

    def corrected(self, dex: np.ndarray, which: int) -> Comparison:
        """One of the stars computed with corrections."""
        star = self.stars[which]
        return compared(star, self.runs([(star.labels, self.changed(dex))])[0])


def rms(x):
    return float(np.sqrt(np.mean(x**2)))


def beyond(comparison: Comparison) -> float:
    """Variance of the residual that is not noise."""
    return rms(comparison.left()) ** 2 - rms(comparison.star.noise()) ** 2


def judgement(study: Study, slopes) -> tuple[list, np.ndarray, np.ndarray]:
    """A row for each star, and the corrections of all with their errors."""
    everything, errors = solved(study.before, slopes)
    rows = []
    for i, before in enumerate(study.before):
        others = [k for k in range(len(slopes)) if k != i]
        dex, _ = solved([study.before[k] for k in others], [slopes[k] for k in others])
        foreign, own = study.corrected(dex, i), study.corrected(everything, i)
        first, *later = (rms(c.left()) for c in (before, foreign, own))
        rows.append(
            (
                before.star.name,
                f"{100 * rms(before.star.noise()):.2f}",
                f"{100 * first:.2f}",
                *(f"{100 * x:.2f} ({100 * (x / first - 1):+.0f} %)" for x in later),
                *(f"{100 * (beyond(c) / beyond(before) - 1):+.0f} %" for c in (foreign, own)),
            )
        )
    return rows, everything, errors


def line_rows(study: Study, slopes, dex, errors):
    """A row for each group of lines that can be told: how deep it is, what it is, its correction."""
    for group, correction, error, *slope in zip(study.groups, dex, errors, *slopes, strict=True):
        if error < 0.6 * PRIOR:
            first = group[0]
            names = ", ".join(f"{a.species} {a.wavelength:.2f}" for a in group)
            yield names, f"{first.lower:.2f}", f"{first.log_gf:.2f}", f"{correction:+.2f} ± {error:.2f}"


def species_rows(study: Study, dex, errors):
    """Mean correction by species, and of iron by the energy of the lower level."""
    first = [group[0] for group in study.groups]
    known = errors < 0.6 * PRIOR
    kinds = {name: [a.species == name for a in first] for name in sorted({a.species for a in first})}
    for low, high in ((0, 3.5), (3.5, 4.7), (4.7, 9)):
        kinds[f"Fe I from {low:g} to {high:g} eV"] = [a.species == "Fe I" and low <= a.lower < high for a in first]
    for name, those in kinds.items():
        some = np.array(those) & known
        if some.sum() > 1:
            scatter = np.std(dex[some], ddof=1)
            yield name, str(some.sum()), f"{dex[some].mean():+.3f} ± {scatter / some.sum() ** 0.5:.3f}", f"{scatter:.2f}"


def by_depth(comparison: Comparison) -> list[str]:
    """Mean of observed - synthetic by depth of the synthetic spectrum, per cent of the continuum, away from calcium;
    only the continuum is fitted."""
    rest, model = comparison.star.rest, comparison.model
    away = np.min(np.abs(rest[:, None] - CALCIUM_TRIPLET), axis=1) > NEXT_TO_CALCIUM
    basis = chebyshev_basis(rest, DEGREE) * model[:, None]
    residual = comparison.residual
    residual = residual - basis @ np.linalg.lstsq(basis, residual, rcond=None)[0]
    depth, cells = 1 - model, [f"{100 * rms(residual):.2f}"]
    for low, high in zip(DEPTHS, (*DEPTHS[1:], 1.0), strict=True):
        some = away & (depth >= low) & (depth < high)
        cells.append(f"{100 * residual[some].mean():+.2f}" if some.sum() > 4 else "")
    some = away & (depth >= 0.05)
    cells.append(f"{100 * np.sum(residual[some] * depth[some]) / np.sum(depth[some] ** 2):+.1f} %")
    return cells


def experiments(study: Study):
    """Rows of `by_depth` with damping and abundances changed."""
    variants = {
        "as it is": (study.plain, ()),
        "van der Waals widths + 0.2 dex": (study.lines.damped(0.2), ()),
        "van der Waals widths - 0.2 dex": (study.lines.damped(-0.2), ()),
        "abundances of Asplund et al. (2009)": (study.plain, GREVESSE_TO_ASPLUND),
    }
    for star in study.stars:
        if star.name in ("Kepler-93", "HD 176650"):
            for name, (text, abundances) in variants.items():
                flux = study.runs([(star.labels, text, abundances)])[0]
                yield f"{star.name}, {name}", *by_depth(compared(star, flux))


def report(study: Study) -> str:
    """All tables."""
    slopes = study.slopes()
    rows, dex, errors = judgement(study, slopes)
    head = ("", "noise", "before", "others' corrections", "all stars' corrections")
    head += ("beyond noise: others'", "all stars'")
    from_ = [f"from {low:g}" for low in DEPTHS]
    return "\n".join(
        (
            rst_table(head, rows, "Residual rms, per cent of the continuum, labels and continuum refitted"),
            rst_table(
                ("", "groups of lines", "mean (dex)", "scatter (dex)"),
                species_rows(study, dex, errors),
                "Corrections of log gf",
            ),
            rst_table(
                ("", "rms", *from_, "of the depth"),
                experiments(study),
                "Observed - synthetic, per cent of the continuum, by depth of the synthetic spectrum",
            ),
            rst_table(
                ("lines", "lower level (eV)", "log gf", "correction (dex)"),
                line_rows(study, slopes, dex, errors),
                "Corrections of log gf by line",
            ),
        )
    )


def main(arguments=None):
    """Compute, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, metavar="FOLDER", help="where spectra are kept")
    parser.add_argument("--jobs", type=int, default=1, help="spectra computed at the same time (default: 1)")
    parser.add_argument("--cache", metavar="DIR", help="of 'rvsemu synthesize setup'")
    parser.add_argument("--table", type=Path, default=TABLE, help="where to write the tables")
    options = parser.parse_args(arguments)
    text = report(Study(Runs(options.runs, Workspace.open(options.cache), options.jobs)))
    options.table.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
