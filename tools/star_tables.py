"""Tables of the documentation about the shipped stars: what is found, beside the literature."""

from __future__ import annotations

import numpy as np

import rvsemu
from rvsemu.emulator import DEFAULT
from rvsemu.reproduction.report import rst_table

SAMPLING_SEED = 1
STARS = {
    "kepler-93": "Kepler-93",
    "hd176650": "HD 176650",
    "gaia-1535964555128078720": "K dwarf",
    "gaia-3174658066485297152": "G dwarf",
}
UNDONE = {
    "defaults": {},
    "microturbulence 1.5 ± 0.8 km/s": {"priors": {"vmic": "wide", "resolution": "gaia-rvs"}},
    "and the band at 862 nm not masked": {"mask": ("calcium-cores", "edges")},
    "and outliers as good as others": {"robust": False},
    "and errors as given": {"smooth_sigma": False},
}
WITH_ERROR = "{}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{}"  # stays on one line
LITERATURE = {"kepler-93": {"teff": (5669, 75), "logg": (4.468, 0.032), "mh": (-0.18, "0.10")}}  # Huber et al. 2013


def stars_tables(results) -> str:
    """Fitted labels beside those of the literature."""
    names = next(iter(results.values())).labels
    head = (
        "",
        *(f"{STARS[key]}{x}" for key in results for x in ("", *[": literature"] * (key in LITERATURE))),
    )
    rows = []
    for name in names:
        row = [
            f"``{name}``"
            + (f" ({u})" if (u := results["kepler-93"].labels[name].unit.to_string().replace(" ", "")) else "")
        ]
        for key, result in results.items():
            row.append(_with_error(result.labels[name].value, result.errors[name].value))
            if key in LITERATURE:
                row.append(WITH_ERROR.format(*LITERATURE[key][name]) if name in LITERATURE[key] else "")
        rows.append(row)
    quality = {
        "reduced chi2": lambda r: f"{r.reduced_chi2:.2f}",
        "reduced chi2, noise alone": lambda r: f"{r.noise_chi2:.2f}",
        "v sin i below (95 %, km/s)": lambda r: f"{r.upper_limits()['vsini'].value:.1f}",
        "residual rms": lambda r: f"{r.residual_rms:.4f}",
        "median sigma / flux of the data": lambda r: f"{_noise(r):.4f}",
        "pixels used": lambda r: f"{r.n_pixels:,}",
        "flags": lambda r: ", ".join(f"``{f}``" for f in r.flags) or "none",
    }
    for text, of in quality.items():
        row = [text]
        for key, result in results.items():
            row += [of(result), *[""] * (key in LITERATURE)]
        rows.append(row)
    return f"Emulator ``{DEFAULT}``, version {rvsemu.shipped().info['version']}.\n\n" + rst_table(head, rows)


def settings_table() -> str:
    """What the defaults have changed: labels of each star as one of them after the other is undone."""
    undone, rows = {}, []
    for text, settings in UNDONE.items():
        undone |= settings
        for i, key in enumerate(STARS):
            fit = rvsemu.fit(rvsemu.read_rvs(rvsemu.example_path(key))[0], **undone)
            labels = (_with_error(fit.labels[n].value, fit.errors[n].value) for n in ("teff", "logg", "mh", "vmic"))
            quality = f"{fit.resolution.value:.0f}", f"{fit.reduced_chi2:.2f}", f"{fit.noise_chi2:.2f}"
            rows.append(("" if i else text, STARS[key], *labels, *quality))
    head = ("", "", "Teff (K)", "log g", "[M/H]", "vmic (km/s)", "R", "reduced chi2", "noise alone")
    return rst_table(head, rows)


def posterior_table(posterior, result) -> str:
    """The posterior of Kepler-93 beside its least-squares fit."""
    rows = []
    for row in posterior.summary():
        name, unit = row["name"], f" ({row['unit']})" if row["unit"] else ""
        digits = max(0, 1 - int(np.floor(np.log10(min(row["minus"], row["plus"])))))
        median, plus, minus = (f"{row[key]:.{digits}f}" for key in ("median", "plus", "minus"))
        literature = WITH_ERROR.format(*LITERATURE["kepler-93"][name]) if name in LITERATURE["kepler-93"] else ""
        fitted = _with_error(result.labels[name].value, result.errors[name].value)
        rows.append((f"``{name}``{unit}", f"{median} +{plus} -{minus}", fitted, literature))
    steps, walkers, _ = posterior.chain.shape
    text = (
        f"Emulator ``{DEFAULT}``, version {rvsemu.shipped().info['version']}, seed {SAMPLING_SEED}: {steps} steps of "
        f"{walkers} walkers, of which {posterior.burn_in} were left out; the longest autocorrelation time was "
        f"{posterior.tau.max():.1f} steps, so there are {posterior.ess.min():,.0f} independent samples.\n\n"
    )
    return text + rst_table(("", "posterior: median, 16 and 84 %", "least squares", "literature"), rows)


def _with_error(value, error) -> str:
    if not error > 0:
        return f"{value:g} (fixed)"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return WITH_ERROR.format(f"{value:.{digits}f}", f"{error:.{digits}f}")


def _noise(result) -> float:
    good = ~result.observed.mask
    return float(np.median((result.observed.uncertainty.array / result.observed.flux.value)[good]))
