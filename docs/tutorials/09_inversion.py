"""
Inversion: labels from principal components
===========================================

A fit compares spectra; an inversion reads labels off them. Principal components squeeze
a spectrum into a few dozen numbers, and a network maps these to labels. This tutorial
shows what the components see, inverts thousands of spectra in a second, and says when
to trust which.
"""

# %%
# What principal components see
# -----------------------------
#
# An `rvsemu.Inversion` holds the mean of the training spectra and the directions in
# which they differ most. The first few are what all astronomers would name: hydrogen
# against metals, calcium, molecular bands.

import time

import matplotlib.pyplot as plt
import numpy as np

import rvsemu
from rvsemu.inversion import shipped_inversion

inversion = shipped_inversion("default")
components = inversion.principal
print(len(components.basis), "components of", len(inversion.wavelength), "pixels")

fig, axes = plt.subplots(4, 1, figsize=(7, 6), sharex=True)
axes[0].plot(inversion.wavelength, components.mean, color="k")
axes[0].set_ylabel("mean")
for i, ax in enumerate(axes[1:]):
    ax.plot(inversion.wavelength, components.spread[i] * components.basis[i], color=f"C{i}")
    ax.set_ylabel(f"no. {i + 1}")
axes[-1].set(xlabel="wavelength in air (Å)", xlim=(8400, 8800))
plt.show()

# %%
# Perfect spectra
# ---------------
#
# `rvsemu.invert` of an array takes normalised fluxes on the inversion's own
# wavelengths. Here it gets 2000 spectra that the emulator generates, a check that the
# two trainings, which share no network, agree with each other.

emulator = rvsemu.shipped()
rng = np.random.default_rng(1)
n = 2000
truth = {
    "teff": rng.uniform(4200, 8500, n),
    "logg": rng.uniform(2.5, 4.8, n),
    "vsini": rng.uniform(0, 60, n),
    "mh": rng.uniform(-1.5, 0.4, n),
    "vmic": rng.uniform(0.5, 2.5, n),
    "resolution": rng.uniform(10000, 14000, n),
}
flux = rvsemu.generate(**truth).flux.value
started = time.perf_counter()
result = rvsemu.invert(flux)
print(f"{n / (time.perf_counter() - started):.0f} spectra per second")

fig, axes = plt.subplots(1, 3, figsize=(7, 3))
names = {"teff": "Teff (K)", "logg": "log g", "mh": "[M/H]"}
for ax, (name, text) in zip(axes, names.items(), strict=True):
    difference = result.labels[name].value - truth[name]
    limit = np.percentile(abs(difference), 98)
    image = ax.hexbin(truth[name], difference, gridsize=28, bins="log", cmap="cividis", mincnt=1)
    ax.set_ylim(-1.5 * limit, 1.5 * limit)
    ax.set_xlabel(text)
    ax.set_title(f"median |error| {np.median(abs(difference)):.2g}", fontsize=10)
    ax.tick_params(labelsize=9)
axes[0].set_ylabel("inverted - put in")
plt.show()

# %%
# A real spectrum
# ---------------
#
# An observed spectrum has noise, gaps, another range and a continuum of its own.
# `rvsemu.invert` of a `~specutils.Spectrum` fits coefficients, continuum and radial
# velocity to its pixels, and a network that has learnt from noisy spectra gives labels
# with errors.

names = ("kepler-93", "hd176650", "gaia-1535964555128078720", "gaia-3174658066485297152")
stars = [rvsemu.read_rvs(rvsemu.example_path(name))[0] for name in names]
inverted = [rvsemu.invert(star) for star in stars]
fitted = [rvsemu.fit(star) for star in stars]
print(inverted[0])

# %%
# Fit and inversion share neither networks nor method. Where they agree, a mistake in
# one of them is unlikely; what is wrong with the synthetic spectra, both have learnt.

fig, axes = plt.subplots(1, 3, figsize=(7, 3.6), sharey=True)
y = np.arange(len(stars))
for ax, (name, text) in zip(
    axes, {"teff": "Teff (K)", "logg": "log g", "mh": "[M/H]"}.items(), strict=True
):
    for results, label, shift, color in (
        (fitted, "fit", -0.12, "C0"),
        (inverted, "inversion", 0.12, "C1"),
    ):
        values = [np.ravel(r.labels[name].value)[0] for r in results]
        errors = [np.ravel(r.errors[name].value)[0] for r in results]
        ax.errorbar(values, y + shift, xerr=errors, fmt="o", color=color, capsize=3, label=label)
    ax.set_xlabel(text)
    ax.tick_params(labelsize=9)
axes[0].set_yticks(y, ["Kepler-93", "HD 176650", "K dwarf", "G dwarf"])
axes[0].invert_yaxis()
handles, labels = axes[0].get_legend_handles_labels()
fig.legend(handles, labels, loc="outside upper center", ncols=2)
plt.show()

# %%
# Which one?
# ----------
#
# An inversion needs no start and no iteration; on its own wavelengths it is the
# quickest look at many spectra. A fit weighs each pixel by what it tells, gives
# covariances, takes priors and holds labels. For whatever is to be published, fit, and
# invert as a check. Flags of an inversion are to be read as those of a fit are:

for name, one in zip(names, inverted, strict=True):
    print(f"{name:26} {', '.join(one.flags) or 'no flag'}")

# %%
# :doc:`../inversion` describes the networks, their errors and their training.
