"""Real SYNSPEC spectra written the way other codes and libraries write theirs, one function for each format.

Each writer takes a folder and stars, and returns what goes after ``--format NAME`` besides the folder. Vacuum
wavelengths are made with the formula of the IAU (Morton 1991), another one than rvsemu converts them back with.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.interpolate import make_interp_spline

from rvsemu.cli import main
from rvsemu.library import Library
from rvsemu.library.importing import Settings, import_library

LIMITS = (8490.0, 8610.0)
_FINE = Library.load(Path(__file__).parent / "data" / "spectra_fine.h5")
_SPLINES = [make_interp_spline(_FINE.wavelength, flux.astype(float), k=5) for flux in _FINE.flux]
AIR = np.round(np.arange(8482.0, 8618.0, 0.01), 2)


@dataclass
class Star:
    """A spectrum of ``spectra_fine.h5`` under the labels that a name of a published library can hold."""

    row: int = 0
    teff: int = 5750
    logg: float = 4.5
    mh: float = 0.0
    vmic: float = 1.0
    more: dict = field(default_factory=dict)  # alpha, carbon

    def flux(self, air=AIR):
        return _SPLINES[self.row](air)

    @property
    def alpha(self):
        return self.more.get("alpha", 0.0)

    @property
    def labels(self):
        return [self.teff, self.logg, self.mh, self.vmic]


SUN = Star()
DWARF = Star(1, 4250, 4.5, 0.0, 2.0)
HOT = Star(2, 11000, 3.5, 0.0, 2.0)
STARS = (SUN, DWARF, HOT)


def expected(star, limits=LIMITS, step=0.04):
    """Mean of the known spectrum over the bins of the library."""
    edges = limits[0] + step * np.arange(round((limits[1] - limits[0]) / step) + 1)
    return np.diff(_SPLINES[star.row].antiderivative()(edges)) / step


def vacuum(air):
    """Vacuum wavelengths: IAU standard air (Morton 1991, ApJS 77, 119), iterated."""
    out = np.array(air, dtype=float)
    for _ in range(4):
        s2 = (1e4 / out) ** 2
        out = air * (1.0 + 6.4328e-5 + 2.94981e-2 / (146.0 - s2) + 2.5540e-4 / (41.0 - s2))
    return out


def continuum(air):
    """Erg/s/cm2/A, falling to the red and curved."""
    return 3.1e6 * (air / 8500.0) ** -3.3


def marcs_name(star, end=".spec"):
    a = star.alpha
    return (
        f"p{star.teff:d}_g{star.logg:+.1f}_m0.0_t{star.vmic:02.0f}_st_z{star.mh:+.2f}_a{a:+.2f}"
        f"_c+0.00_n+0.00_o{a:+.2f}_r+0.00_s+0.00{end}"
    )


def text(path, *columns, formats, header="", footer=""):
    lines = [" ".join(f % v for f, v in zip(formats, row, strict=True)) for row in zip(*columns, strict=True)]
    data = (header + "\n".join(lines) + "\n" + footer).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def synspec(folder, stars):
    coarse = np.linspace(8300, 8800, 21)
    for star in stars:
        own = folder / marcs_name(star, "")
        own.mkdir()
        air = np.sort(np.concatenate([AIR, AIR[5000:5100]]))  # SYNSPEC repeats wavelengths where its sets meet
        text(own / "fort.7", air, star.flux(air) * continuum(air), formats=("%10.3f", "%14.5E"))
        text(own / "fort.17", coarse, continuum(coarse), formats=("%10.3f", "%14.5E"))
    rows = [(marcs_name(s, ""), *s.labels) for s in stars]
    table(folder / "labels.csv", rows)
    return ["--labels", str(folder / "labels.csv")]


def table(path, rows, names=("file", "teff", "logg", "mh", "vmic")):
    Table(rows=rows, names=names).write(path, overwrite=True)


def turbospectrum(folder, stars):
    """The newer layout: intensities after a header, and a NaN at the end."""
    for star in stars:
        flux = star.flux()
        absolute = flux * continuum(AIR)
        absolute[-1] = flux[-1] = np.nan
        columns = (AIR, flux, absolute, absolute / 3, flux)
        formats = ("%12.3f", "%10.5f", "%12.5E", "%12.5E", "%9.5f")
        text(folder / marcs_name(star), *columns, formats=formats, header="# mu-points   0.2 0.8\n")
    return []


def tsfitpy(folder, stars):
    """Indices with a gap: the second model failed."""
    rows = []
    for i, star in enumerate(stars):
        index = i + (i > 0)
        columns = (AIR, star.flux(), star.flux() * continuum(AIR))
        text(folder / f"{index}.spec", *columns, formats=("%.3f", "%.5f", "%.5E"))
        rows.append((index, *star.labels))
    rows.insert(1, (1, 5000, 4.0, 0.0, 1.0))
    table(folder / "labels.csv", rows, ("index", "teff", "logg", "feh", "vmic"))
    return ["--labels", str(folder / "labels.csv")]


def _moog_labels(folder, stars):
    table(folder / "labels.csv", [(f"star{i}", *s.labels) for i, s in enumerate(stars)])
    return ["--labels", str(folder / "labels.csv")]


def moog_smoothed(folder, stars):
    for i, star in enumerate(stars):
        (folder / f"star{i}").mkdir()
        header = (
            f" the number of points per synthesis = {len(AIR):6d}\n start = {AIR[0]:10.3f}     stop = {AIR[-1]:10.3f}"
        )
        path = folder / f"star{i}" / "smoothed_out"
        text(path, AIR, star.flux(), formats=("%12.3f", "%12.5f"), header=header + "     step =      0.010\n")
    return _moog_labels(folder, stars)


def moog_summary(folder, stars):
    for i, star in enumerate(stars):
        (folder / f"star{i}").mkdir()
        depths = [f"{1 - f:7.4f}" for f in star.flux()]
        lines = [
            "ALL abundances NOT listed below differ from solar by    0.00 dex",
            f"MODEL: {marcs_name(star)}",
            f"{AIR[0]:11.3f}{AIR[-1]:11.3f}{0.01:11.3f}{1.0:11.3f}",
            *("".join(depths[k : k + 10]) for k in range(0, len(depths), 10)),
        ]
        (folder / f"star{i}" / "summary_out").write_text("\n".join(lines) + "\n")
    return _moog_labels(folder, stars)


def ispec(folder, stars):
    for star in stars:
        name = folder / marcs_name(star, ".txt.gz")
        columns = (AIR / 10, star.flux(), 0 * AIR)
        text(name, *columns, formats=("%.6f\t", "%.6f\t", "%.1f"), header="waveobs\tflux\terr\n")
    return []


def pollux_name(star, end):
    a = star.alpha
    return f"M_p{star.teff}g{star.logg:.1f}z{star.mh:.2f}t{star.vmic:.1f}_a{a:.2f}c0.00n0.00o{a:.2f}r0.00s0.00_VIS{end}"


def pollux(folder, stars):
    for star in stars:
        columns = (AIR, star.flux() * continuum(AIR), star.flux())
        text(folder / pollux_name(star, ".spec"), *columns, formats=("%.3f", "%.6E", "%.6f"))
        (folder / pollux_name(star, ".spec.txt")).write_text("metadata only\n")
    return []


def pollux_fits(folder, stars):
    for star in stars:
        columns = {"wavelength": AIR, "flux": star.flux() * continuum(AIR), "normalized flux": star.flux()}
        Table(columns).write(folder / pollux_name(star, ".fits"))
    return []


def ambre(folder, stars):
    for star in stars:
        name = marcs_name(star, ".AMBRE.fits").replace("_st_", "_").replace("_", ":")
        columns = {"wavelength": AIR, "flux": star.flux() * continuum(AIR), "normalized flux": star.flux()}
        Table(columns).write(folder / name)
    return []


def bosz2024(folder, stars):
    for star in stars:
        a, c = star.alpha, star.more.get("carbon", 0.0)
        name = f"bosz2024_{'ap' if star.teff > 8000 else 'mp'}_t{star.teff}_g{star.logg:+.1f}_m{star.mh:+.2f}_a{a:+.2f}"
        path = folder / "spectra" / f"{name}_c{c:+.2f}_v{star.vmic:.0f}_r300000_resam.txt.gz"
        path.parent.mkdir(exist_ok=True)
        text(path, star.flux() * continuum(AIR), continuum(AIR), formats=("%.6E", "%.6E"))
    text(folder / "bosz2024_wave_r300000.txt", AIR, formats=("%.4f",))
    return []


def bosz2017(folder, stars):
    for star in stars:
        mh = f"{'m' if star.mh < 0 else 'p'}{abs(star.mh) * 10 + 1e-6:02.0f}"
        name = f"am{mh}cp00op{star.alpha * 10:02.0f}t{star.teff}g{star.logg * 10:02.0f}v{star.vmic * 10:02.0f}"
        c = continuum(AIR)
        columns = {"Wavelength": vacuum(AIR), "SpecificIntensity": star.flux() * c, "Continuum": c}
        Table(columns).write(folder / f"{name}modrt0b300000rs.fits")
    return []


def tlusty(folder, stars):
    """Fortran's exponents without their letter far in the ultraviolet, continuum every 20 A, gzipped."""
    coarse = np.arange(8000.0, 9000.0, 20.0)
    for star in stars:
        path = folder / f"BG{star.teff:05d}g{star.logg * 100:03.0f}v{star.vmic:.0f}.vis.7.gz"
        text(path, AIR, star.flux() * continuum(AIR), formats=("%.3f", "%.5E"), header=" 3200.000   1.0000-100\n")
        path = path.with_name(path.name.replace(".7.gz", ".17.gz"))
        text(path, coarse, continuum(coarse), formats=("%.3f", "%.5E"), header=" 3200.000   1.2000-100\n")
    return []


def munari_name(star, rotation=0, sampling="R20", kind="N"):
    sign, letter = "M" if star.mh < 0 else "P", "A" if star.alpha else "S"
    return (
        f"T{star.teff:05d}G{star.logg * 10:02.0f}{sign}{abs(star.mh) * 10:02.0f}V{rotation:03d}"
        f"K{star.vmic:.0f}{letter}NWNV{sampling}{kind}.ASC"
    )


def munari(folder, stars):
    """Sampled at R = 20000 as the library is: two pixels a FWHM."""
    air = R20
    text(folder / "LAMBDA_R20.DAT", air, formats=("%.3f",))
    for star in stars:
        text(folder / munari_name(star), smoothed(star, 20000.0, air), formats=("%.5f",))
    return []


R20 = np.round(np.arange(8484.0, 8616.0, 0.2), 3)


def smoothed(star, resolution, air):
    """Gaussian LSF by direct summation."""
    fine = np.arange(8480.1, 8619.9, 0.01)
    flux, sigma = star.flux(fine), air / resolution / 2.354820045
    kernel = np.exp(-0.5 * ((fine - air[:, None]) / sigma[:, None]) ** 2)
    return (kernel @ flux) / kernel.sum(axis=1)


PHOENIX_END = "PHOENIX-ACES-AGSS-COND-2011-HiRes.fits"


def phoenix(folder, stars, **header):
    """Big-endian images in their own unit, vacuum, with the wavelengths in a file of their own."""
    fits.writeto(folder / "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits", vacuum(AIR).astype(">f8"), overwrite=True)
    for star in stars:
        alpha = f".Alpha={star.alpha:+.2f}" if star.alpha else ""
        mh = f"{star.mh:+.1f}" if star.mh else "-0.0"
        name = f"lte{star.teff:05d}{-star.logg:+.2f}{mh}{alpha}.{PHOENIX_END}"
        cards = {"PHXTEFF": star.teff, "PHXLOGG": star.logg, "PHXM_H": star.mh, "PHXALPHA": star.alpha}
        image = fits.PrimaryHDU((1e8 * star.flux() * continuum(AIR)).astype(">f4"))
        image.header.update({**cards, "PHXXI_L": star.vmic, **header})
        image.writeto(folder / name, overwrite=True)
    return ["--pseudo-continuum", "1"]


def coelho(folder, stars):
    for star in stars:
        sign = "m" if star.mh < 0 else "p"
        name = f"t{star.teff:05d}_g{star.logg:+.1f}_{sign}{abs(star.mh) * 10:02.0f}p{star.alpha * 10:02.0f}_hrplc.fits"
        image = fits.PrimaryHDU((star.flux() * continuum(AIR)).astype(">f4"))
        image.header.update({"CRVAL1": AIR[0], "CDELT1": 0.01, "TEFF": star.teff, "LOG_G": star.logg, "FEH": star.mh})
        image.header["AFE"] = star.alpha
        image.writeto(folder / name)
    return ["--pseudo-continuum", "1", "--set", "vmic=2"]


def ferre(folder, stars, logarithm=1):
    """Two temperatures by two gravities, all of the first star: the last label varies fastest."""
    (star,) = stars[:1]
    to_axis, step = {0: (lambda x: x, 0.01), 1: (np.log10, 5e-7), 2: (np.log, 1e-6)}[logarithm]
    axis = to_axis(AIR[0]) + step * np.arange(int((to_axis(AIR[-1]) - to_axis(AIR[0])) / step))
    header = [
        "&SYNTH",
        "N_OF_DIM = 4",
        "N_P = 1 1 2 2",
        "LABEL(1) = 'METALS'",
        "LABEL(2) = 'LOG10VDOP'",
        "LABEL(3) = 'TEFF'",
        "LABEL(4) = 'LOGG'",
        "LLIMITS = 0.0 0.30103 5000. 4.0",
        "STEPS = 0.5 0.3 250. 0.5",
        f"NPIX = {len(axis)}",
        f"WAVE = {axis[0]:.12f} {step:.1e}",
        f"LOGW = {logarithm}",
        "VACUUM = 0",
        "/",
    ]
    row = " ".join(
        f"{f:.5f}"
        for f in star.flux({0: axis, 1: 10.0 ** np.minimum(axis, 5), 2: np.exp(np.minimum(axis, 10))}[logarithm])
    )
    (folder / "grid.dat").write_text("\n".join([*header, *[row] * 4]) + "\n")
    return []


def files(folder, stars):
    """``table``: text, CSV, ECSV in nm and FITS side by side, with a table of labels."""
    names = ["a.txt", "b.csv", "c.fits", "d.ecsv"][: len(stars)]
    for star, name in zip(stars, names, strict=True):
        flux, c = star.flux(), continuum(AIR)
        if name.endswith(".txt"):
            text(folder / name, AIR, flux, formats=("%.3f", "%.6f"))
        elif name.endswith(".csv"):
            Table({"wave": AIR, "flux": flux * c, "continuum": c}).write(folder / name)
        else:
            Table({"wavelength": AIR / 10, "flux": flux}, units={"wavelength": "nm"}).write(folder / name)
    table(folder / "labels.ecsv", [(n, *s.labels) for n, s in zip(names, stars, strict=True)])
    return ["--labels", str(folder / "labels.ecsv")]


def arrays(stars):
    columns = np.array([s.labels for s in stars], float).T
    flux = np.array([s.flux() for s in stars])
    return {"wavelength": AIR, "flux": flux, **dict(zip(("teff", "logg", "mh", "vmic"), columns, strict=True))}


def npz(folder, stars):
    np.savez(folder / "grid.npz", **arrays(stars))
    return []


def fits_arrays(folder, stars):
    values = arrays(stars)
    wave = values.pop("wavelength")
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU(Table(values)), fits.ImageHDU(wave, name="WAVELENGTH")]
    fits.HDUList(hdus).writeto(folder / "grid.fits")
    return []


# ---------------------------------------------------------------- importing them
SHORT = Settings(limits=LIMITS)
RANGE = ["--range", "8490,8610"]
TEXT, MEDIUM, DEPTHS = 2e-5, 2e-3, 7e-5
"""Accuracies of the flux: text of 5 or 6 digits and a library's 16-bit integers; where the two formulas for air differ
by 1e-4 A; where a file has depths of 4 digits."""


def run(folder, name, *options, out=None):
    """The command on a folder; returns the exit status and the path of the library."""
    out = out or folder.parent / f"{folder.name}.h5"
    return main(["library", "import", "--format", name, *RANGE, "-o", str(out), *options, str(folder)]), out


def imported(folder, name, **settings):
    return import_library([folder], name, replace(SHORT, **settings), progress=False)


def by_teff(library):
    return {row[0]: flux for row, flux in zip(library.labels, library.flux, strict=True)}


def triplet_core(wavelength, flux):
    """Place of the Ca II 8542 line: middle of the chord at half its depth within 1.5 A."""
    near = np.abs(wavelength - 8542.09) < 1.5
    w, f = wavelength[near], flux[near]
    k = int(np.argmin(f))
    level = f[k] + 0.1
    left = np.interp(level, f[k::-1][: k + 1], w[k::-1][: k + 1])
    right = np.interp(level, f[k:], w[k:])
    return (left + right) / 2
