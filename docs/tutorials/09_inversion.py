"""
Inversion: labels from principal components
===========================================

Can labels be read off a spectrum without a fit? Principal components describe a
spectrum by a few dozen numbers, and a network turns these into labels. This tutorial
shows what the components look like, inverts 2000 generated spectra and four real
ones, and says when to use which method.
"""

# %%
# What principal components see
# -----------------------------
#
# An `rvsemu.Inversion` holds the mean of the training spectra and the directions in
# which they differ most. The first component is smooth and changes the level of the
# spectrum, as the molecular bands of cool stars do. The second sets the Paschen lines
# of hydrogen against calcium and other metals. The third makes all lines deeper
# together.

import time

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

import rvsemu
from rvsemu.inversion import shipped_inversion
from rvsemu.observing.flags import FLAGS

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
# Generated spectra
# -----------------
#
# Given an array, `rvsemu.invert` takes normalised fluxes on the inversion's own
# wavelengths. Here it gets 2000 spectra from the emulator. Emulator and inversion share
# no network, so the figure shows how well two independent trainings agree.

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

fig, axes = plt.subplots(1, 3, figsize=(7.5, 3))
names = {"teff": "Teff (K)", "logg": "log g", "mh": "[M/H]"}
for ax, (name, text) in zip(axes, names.items(), strict=True):
    difference = result.labels[name].value - truth[name]
    limit = np.percentile(abs(difference), 98)
    image = ax.hexbin(
        truth[name], difference, gridsize=28, cmap="cividis", mincnt=1, norm=LogNorm(1, 30)
    )
    ax.set_ylim(-1.5 * limit, 1.5 * limit)
    ax.set_xlabel(text)
    unit = "K" if name == "teff" else "dex"
    ax.set_title(f"median |error| {np.median(abs(difference)):.2g} {unit}", fontsize=10)
    ax.locator_params(axis="x", nbins=4)
    ax.tick_params(labelsize=9)
axes[0].set_ylabel("inverted - put in")
fig.colorbar(image, ax=axes, label="spectra in a cell")
plt.show()

# %%
# Real spectra
# ------------
#
# An observed spectrum has noise, gaps, another range and its own continuum. Given a
# `~specutils.Spectrum`, `rvsemu.invert` fits coefficients, continuum and radial
# velocity to its pixels. A network that was trained on noisy spectra then gives labels
# with errors.

names = ("kepler-93", "hd176650", "gaia-1535964555128078720", "gaia-3174658066485297152")
stars = [rvsemu.read_rvs(rvsemu.example_path(name))[0] for name in names]
inverted = [rvsemu.invert(star) for star in stars]
fitted = [rvsemu.fit(star) for star in stars]
print(inverted[0])

# %%
# Fit and inversion share neither networks nor method, but both have learnt from the
# same synthetic spectra. Where they agree, a mistake in either is unlikely. Errors of
# the synthetic spectra remain.

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
    ax.locator_params(axis="x", nbins=4)
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
# An inversion needs no start and no iteration. On its own wavelengths it is the
# quickest look at many spectra. A fit weights each pixel by its information, gives
# covariances, takes priors and can hold labels. Publish fits, and use inversions as a
# check. Read the flags of an inversion as those of a fit:

for name, one in zip(names, inverted, strict=True):
    print(f"{name:26} {', '.join(one.flags) or 'no flag'}")
for flag in inverted[1].flags:
    print(f"{flag}: {FLAGS[flag]}")

# %%
# :doc:`../inversion` describes the networks, their errors and their training.
