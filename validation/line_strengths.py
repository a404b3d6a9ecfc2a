"""Can log gf of lines be corrected from real spectra?

    python validation/line_strengths.py --runs FOLDER

fits the four shipped spectra of real stars, computes each star anew with SYNSPEC at the labels of its fit, and again
with other log gf: 0.1 dex more for the strongest lines, and 1 dex more for lines that are hardly seen, many at a time
that are far enough from each other. What then explains the residuals are corrections that are the same in all stars,
changes of the labels of each star, and its continuum: generalised least squares, with the noise of the spectra, a small
error of models that remains, and a prior of each correction. The corrections are judged by the star that they were not
made from: its spectrum is computed once more with them, and labels and continuum are fitted again. Microturbulence is
held where others find it in such stars. Then lines of CN, damping and abundances are changed, to see what that does to
the residuals of strong and of weak lines.

Writes ``docs/_generated/line_strengths.rst``. Spectra that are in FOLDER are not computed again, so the command can be
stopped and repeated. Takes a quarter of an hour of one core. Needs ``rvsemu synthesize setup``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
STARS = {  # name, and microturbulence (km/s) that is expected
    "kepler-93": ("Kepler-93", 1.0),
    "gaia-3174658066485297152": ("G dwarf", 1.0),
    "gaia-1535964555128078720": ("K dwarf", 1.0),
    "hd176650": ("HD 176650", 1.4),
}
GIANT = "HD 176650"
EXPERIMENTS_ON = ("Kepler-93", GIANT)
FREEDOM = {  # standard deviations by which labels may go from the fit
    "teff": 200.0,
    "logg": 0.3,
    "vsini": 2.0,
    "mh": 0.2,
    "vmic": 0.2,
    "resolution": 500.0,
    "radial_velocity": 1.0,
}
CONTINUUM = 0.05  # standard deviation of each coefficient
DEGREE = 3
REMAINS = ModelError(base=0.003, depth=0.04, reach=1.75)
PRIOR = 0.15  # dex
CHANGE = 0.1  # dex
SHALLOWEST = 0.08  # of the continuum
WINDOW = 2.0  # Angstrom around a line: further away, a change of the spectrum is another line's
WEAK_PRIOR = 0.3  # in units of ten times the gf
WEAK_CHANGE = 1.0  # dex
WEAK_APART = 3.0  # Angstrom
SIGNIFICANT = 2.5  # standard deviations, of a weak line
SHOWN = 3.0  # standard deviations
KNOWN = 0.8  # of the prior's standard deviation: corrections with larger errors are not known
DEPTHS = (0.0, 0.02, 0.05, 0.1, 0.2)
NEXT_TO_CALCIUM = 8.0  # Angstrom: not counted among the other lines
GREVESSE_TO_ASPLUND = (  # Asplund et al. (2009) - Grevesse & Sauval (1998), dex
    *((6, -0.09), (7, -0.09), (8, -0.14), (11, -0.09), (12, 0.02), (13, -0.02), (14, -0.04), (16, -0.21)),
    *((20, -0.02), (22, -0.07), (23, -0.07), (24, -0.03), (25, 0.04), (27, 0.07), (28, -0.03)),
)
DREDGED_UP = ((6, -0.2), (7, 0.3))
THIRD = -0.4771  # dex


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
    held : tuple of str
        Labels that are not refitted.
    """

    name: str
    fit: FitResult
    pixels: np.ndarray
    rest: np.ndarray
    held: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: str, held: bool) -> Star:
        """One of `STARS`; `held` says whether its microturbulence is the expected one."""
        name, vmic = STARS[key]
        spectrum = rvsemu.read_rvs(rvsemu.example_path(key))[0]
        fit = rvsemu.fit(spectrum, fixed={"vmic": vmic} if held else None)
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
        emulator = rvsemu.shipped().astype("f8")
        names = (*emulator.labels.names, "radial_velocity")
        free = [i for i, name in enumerate(names) if name not in self.held]
        forward = ForwardModel(emulator, vacuum_to_air(self.fit.spectral_axis.to_value("AA")))
        slopes = forward.jacobian(np.array([self.fit.labels[name].value for name in names]))[1][0]
        spread = np.array([FREEDOM[name] for name in names])
        labels = (slopes[:, self.pixels] * spread[:, None])[free]
        return np.vstack([labels, CONTINUUM * chebyshev_basis(self.rest, DEGREE).T * model])

    def covariance(self, model: np.ndarray) -> np.ndarray:
        """Of noise and what remains of the error of models, (n, n)."""
        all_pixels, wavelength = np.ones(len(self.rest), dtype=bool), self.rest
        noise = correlation_band(self.fit.meta["noise_correlation"], wavelength)
        error = correlation_band(REMAINS.correlation, wavelength)
        return dense(banded(noise, self.noise(), all_pixels)) + dense(banded(error, REMAINS.sigma(model), all_pixels))


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

    def pulled(self, residual: np.ndarray) -> np.ndarray:
        """How far a residual (n,) pulls labels and continuum, in units of their freedom."""
        factor, freedom, normal = self._parts
        return np.linalg.solve(normal, freedom @ cho_solve(factor, residual))

    def labels_changed(self, residual: np.ndarray) -> np.ndarray:
        """What labels and continuum explain of a residual (n,)."""
        return self.pulled(residual) @ self._parts[1]

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


class Study:
    """Stars, groups of lines, and runs of SYNSPEC."""

    def __init__(self, runs: Runs, held: bool = True):
        self.runs, workspace = runs, runs.workspace
        self.lines = Lines(workspace.atoms())
        self.plain = self.lines.strengthened({})
        self.stars = [Star.of(key, held) for key in STARS]
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

    def solved(self, slopes, some) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and their standard deviations, from some of the stars."""
        matrix, right = np.diag(self.prior**-2.0), np.zeros(len(self.groups))
        for i in some:
            more = self.before[i].normal_equations(slopes[i])
            matrix, right = matrix + more[0], right + more[1]
        inverse = np.linalg.inv(matrix)
        return inverse @ right, np.sqrt(np.diag(inverse))

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


def rms(x: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(x**2)))


def beyond(comparison: Comparison) -> float:
    """Variance of the residual that is not noise."""
    return rms(comparison.left()) ** 2 - rms(comparison.star.noise()) ** 2


def judgement(study: Study, slopes) -> Iterator[tuple]:
    """How well the corrections of the other stars, and of all, do in each star."""
    for i, before in enumerate(study.before):
        others = [k for k in range(len(slopes)) if k != i]
        later = [study.corrected(study.dex(*study.solved(slopes, some)), i) for some in (others, range(len(slopes)))]
        first = rms(before.left())
        yield (
            before.star.name,
            f"{100 * rms(before.star.noise()):.2f}",
            f"{100 * first:.2f}",
            *(f"{100 * rms(c.left()):.2f} ({100 * (rms(c.left()) / first - 1):+.0f} %)" for c in later),
            *(f"{100 * (beyond(c) / beyond(before) - 1):+.0f} %" for c in later),
        )


def by_star(study: Study, slopes) -> list[tuple]:
    """Coefficients and errors from the dwarfs, from the giant, and from all."""
    giant = [i for i, star in enumerate(study.stars) if star.name == GIANT]
    dwarfs = [i for i in range(len(slopes)) if i not in giant]
    return [study.solved(slopes, some) for some in (dwarfs, giant, range(len(slopes)))]


def species_rows(study: Study, slopes) -> Iterator[tuple]:
    """Weighted mean of the corrections from each star alone, by species, and of iron by the lower level's energy."""
    alone = [study.solved(slopes, [i]) for i in range(len(slopes))]
    first = [group[0] for group in study.groups]
    kinds = {name: [a.species == name for a in first] for name in ("Si I", "Ti I", "Cr I", "Ni I", "Fe I")}
    for low, high in ((0, 3.5), (3.5, 4.7), (4.7, 9)):
        kinds[f"Fe I, {low:g} to {high:g} eV"] = [a.species == "Fe I" and low <= a.lower < high for a in first]
    for name, those in kinds.items():
        cells = []
        for dex, errors in alone:
            some = np.array(those) & study.strong & (errors < KNOWN * PRIOR)
            cells.append(_mean(dex[some], errors[some] ** -2.0) if some.any() else "")
        yield name, *cells


def _mean(values, weight) -> str:
    return f"{np.sum(weight * values) / weight.sum():+.2f} ± {weight.sum() ** -0.5:.2f} ({len(values)})"


def line_rows(study: Study, slopes) -> Iterator[tuple]:
    """Strong lines whose corrections are significant, and what dwarfs and giant alone say."""
    *parts, (dex, errors) = by_star(study, slopes)
    for i in np.flatnonzero(study.strong & (np.abs(dex) > SHOWN * errors)):
        yield *_described(study.groups[i]), *(f"{x[i]:+.2f} ± {e[i]:.2f}" for x, e in (*parts, (dex, errors)))


def weak_rows(study: Study, slopes) -> Iterator[tuple]:
    """Weak lines that are significantly stronger than in the list, by how many dex."""
    *parts, (coefficients, errors) = by_star(study, slopes)
    dex = study.dex(coefficients, errors)
    for i in np.flatnonzero(~study.strong & (coefficients > SHOWN * errors)):
        yield *_described(study.groups[i]), *(f"{x[i]:.2f} ± {e[i]:.2f}" for x, e in parts), f"{dex[i]:+.1f}"


def _described(group) -> tuple[str, str, str]:
    names = ", ".join(dict.fromkeys(f"{a.species} {a.wavelength:.2f}" for a in group))
    return names, f"{group[0].lower:.2f}", f"{group[0].log_gf:.2f}"


def by_depth(comparison: Comparison) -> list[str]:
    """Mean of observed - synthetic by depth of the synthetic spectrum, per cent of the continuum, away from calcium,
    and how much light the star would have to have added to it."""
    rest, residual, depth = comparison.star.rest, comparison.left(), 1 - comparison.model
    away = np.min(np.abs(rest[:, None] - CALCIUM_TRIPLET), axis=1) > NEXT_TO_CALCIUM
    cells = [f"{100 * rms(residual):.2f}"]
    for low, high in zip(DEPTHS, (*DEPTHS[1:], 1.0), strict=True):
        some = away & (depth >= low) & (depth < high)
        cells.append(f"{100 * residual[some].mean():+.2f}" if some.sum() > 4 else "")
    matrix, right = comparison.normal_equations(depth[None])
    return [*cells, f"{100 * right[0] / matrix[0, 0]:+.1f} ± {100 * matrix[0, 0] ** -0.5:.1f} %"]


def experiments(study: Study) -> Iterator[tuple]:
    """Rows of `by_depth` with damping and abundances changed, microturbulence held."""
    variants = {
        "as it is": (study.plain,),
        "CN a third as strong": (study.plain, (), THIRD),
        "C - 0.2, N + 0.3 dex": (study.plain, DREDGED_UP),
        "Asplund et al. (2009)": (study.plain, GREVESSE_TO_ASPLUND),
        "van der Waals widths + 0.2 dex": (study.lines.damped(0.2),),
        "van der Waals widths - 0.2 dex": (study.lines.damped(-0.2),),
    }
    for star in study.stars:
        if star.name in EXPERIMENTS_ON:
            for name, changes in variants.items():
                flux = study.runs([(star.labels, *changes)])[0]
                yield f"{star.name}, {name}", *by_depth(compared(replace(star, held=("vmic",)), flux))


def cyanogen_rows(study: Study, settings: str) -> Iterator[tuple]:
    """Residuals with CN a third as strong and as it is, and where the residuals pull microturbulence from the fit."""
    vmic = list(rvsemu.shipped().labels.names).index("vmic")
    for star, now in zip(study.stars, study.before, strict=True):
        weak = compared(star, study.runs([(star.labels, study.plain, (), THIRD)])[0])
        yield (
            f"{star.name}, {settings}",
            *(f"{100 * rms(c.left()):.2f}" for c in (weak, now)),
            f"{100 * (beyond(now) / beyond(weak) - 1):+.0f} %",
            f"{star.labels[3]:.2f}",
            *(f"{FREEDOM['vmic'] * c.pulled(c.residual)[vmic]:+.2f}" for c in (weak, now)),
        )


def report(runs: Runs) -> str:
    """All tables."""
    held, free = (Study(runs, held) for held in (True, False))
    slopes = held.slopes()
    head = ("", "noise", "before", "with the others' corrections", "with all stars'")
    head += ("beyond noise: the others'", "all stars'")
    of_cyanogen = (
        "microturbulence",
        "rms, CN a third",
        "rms",
        "beyond noise",
        "vmic (km/s)",
        "pull, CN a third",
        "pull",
    )
    of_lines = ("lines", "lower level (eV)", "log gf")
    depths = [f"from {low:g}" for low in DEPTHS]
    tables = (
        rst_table(
            head,
            judgement(held, slopes),
            "Residual rms in per cent of the continuum, and change of the variance beyond noise",
        ),
        rst_table(
            of_cyanogen,
            [*cyanogen_rows(held, "held"), *cyanogen_rows(free, "fitted")],
            "Lines of CN: residual rms in per cent of the continuum, and where it pulls microturbulence",
        ),
        rst_table(
            ("", *(star.name for star in held.stars)),
            species_rows(held, slopes),
            "Corrections of log gf from each star alone: mean (dex), and number of groups of lines",
        ),
        rst_table(
            ("", "rms", *depths, "added light"),
            experiments(held),
            "Observed - synthetic in per cent of the continuum, by depth of the synthetic spectrum",
        ),
        rst_table(
            (*of_lines, "dwarfs (dex)", "giant (dex)", "all (dex)"),
            line_rows(held, slopes),
            "Strong lines: corrections of log gf",
        ),
        rst_table(
            (*of_lines, "dwarfs", "giant", "all (dex)"),
            weak_rows(held, slopes),
            "Weak lines: excess in units of a tenfold gf, and correction of log gf",
        ),
    )
    return "\n".join(tables)


def main(arguments=None):
    """Compute, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, metavar="FOLDER", help="where spectra are kept")
    parser.add_argument("--jobs", type=int, default=1, help="spectra computed at the same time (default: 1)")
    parser.add_argument("--cache", metavar="DIR", help="of 'rvsemu synthesize setup'")
    parser.add_argument("--table", type=Path, default=TABLE, help="where to write the tables")
    options = parser.parse_args(arguments)
    text = report(Runs(options.runs, Workspace.open(options.cache), options.jobs))
    options.table.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
