"""
What errors and flags mean
==========================

When can you believe a label and its error? This tutorial shows how errors depend on
the noise, tests them on stars whose labels are known, and looks at spectra that
should make you suspicious, with the flags that warn of them.
"""

# %%
# A star whose labels are known
# -----------------------------
#
# `rvsemu.simulate` observes a noiseless spectrum as Gaia would: on the pixels of the
# release, with noise that is correlated from pixel to pixel, and with errors that are
# estimated as the release estimates them. Here is one giant at three signal-to-noise
# ratios.

import matplotlib.pyplot as plt
import numpy as np

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.observing.flags import describe, from_bits, to_bits

truth = {"teff": 4900, "logg": 2.8, "vsini": 8, "mh": -0.3, "vmic": 1.4, "resolution": 11900}
giant = rvsemu.generate(**truth)

ratios = (20, 60, 200)
fig, axes = plt.subplots(3, 1, figsize=(7, 5.5), sharex=True, sharey=True)
for ax, ratio in zip(axes, ratios, strict=True):
    spectrum = rvsemu.simulate(giant, signal_to_noise=ratio, seed=1)
    ax.plot(spectrum.spectral_axis.to("AA"), spectrum.flux, color="k", lw=0.7)
    ax.set_title(f"signal to noise {ratio}", fontsize=12)
    ax.set(xlim=(8480, 8560), ylim=(0.2, 1.2))
axes[1].set_ylabel("normalised flux")
axes[2].set_xlabel("wavelength in vacuum (Å)")
plt.show()

# %%
# How errors depend on the noise
# ------------------------------
#
# `rvsemu.fitting.fit_many` fits a list of spectra faster than calls of `rvsemu.fit` one
# by one. Four spectra of the giant are simulated at each of five signal-to-noise
# ratios. With noise and emulator alone (orange), the error of the temperature keeps
# falling. With all errors (blue) it levels off beyond a signal to noise of about 100,
# where synthetic spectra are no longer exact enough. ``model_error`` is that part of
# the covariance. It was measured on real stars, and ``model_error=None`` leaves it out.

levels = np.array([15, 30, 60, 120, 300])
spectra = [
    rvsemu.simulate(giant, signal_to_noise=level, seed=10 + k) for level in levels for k in range(4)
]
with_model = fit_many(spectra)
without = fit_many(spectra, model_error=None)

fig, ax = plt.subplots()
for results, label, color in (
    (with_model, "all errors (default)", "C0"),
    (without, "noise and emulator alone", "C1"),
):
    errors = np.array([r.errors["teff"].value for r in results]).reshape(len(levels), -1)
    ax.semilogx(levels, np.median(errors, axis=1), "o-", color=color, label=label)
ax.set(xlabel="signal to noise of a pixel", ylabel="error of Teff (K)", ylim=(0, None))
ax.set_xticks(levels, [str(level) for level in levels])
ax.minorticks_off()
fig.legend(loc="outside upper center", ncols=2)
plt.show()

# %%
# Are they true?
# --------------
#
# About 68 % of the true values must lie within one standard deviation. These spectra
# come from the models themselves, so the fit to test is that with ``model_error=None``.
# It is tested twice, on 96 spectra each: with pixel errors estimated from the scatter
# of 30 CCD spectra, as in Gaia DR3, and of 1000, which are practically exact. Chance
# alone changes a percentage by 5.

names = ("teff", "logg", "mh")
pulls = {}
for ccds in (30, 1000):
    observed = [
        rvsemu.simulate(giant, signal_to_noise=80, seed=100 + k, ccds=ccds) for k in range(96)
    ]
    results = fit_many(observed, model_error=None)
    pulls[ccds] = np.array(
        [[(r.labels[n].value - truth[n]) / r.errors[n].value for n in names] for r in results]
    )
    shares = ", ".join(
        f"{n} {s:.0f} %"
        for n, s in zip(names, 100 * np.mean(abs(pulls[ccds]) < 1, axis=0), strict=True)
    )
    print(f"{ccds:4} CCD spectra, within one standard deviation: {shares}")

fig, axes = plt.subplots(1, 3, figsize=(7, 3.2), sharey=True)
x = np.linspace(-4, 4, 200)
for i, (ax, name) in enumerate(zip(axes, ("Teff", "log g", "[M/H]"), strict=True)):
    for (ccds, pull), style in zip(
        pulls.items(),
        ({"color": "C5"}, {"color": "C1", "histtype": "step", "lw": 1.6}),
        strict=True,
    ):
        ax.hist(pull[:, i], np.arange(-4.5, 5), density=True, label=f"{ccds} CCD spectra", **style)
    ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="k", label="normal")
    ax.set_title(name, fontsize=11)
    ax.set_xticks([-3, 0, 3])
fig.supxlabel("(fit - truth) / error", fontsize=12)
axes[0].set_ylabel("density")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=10)
plt.show()

# %%
# With exact pixel errors the deviations follow the normal distribution (black). With
# those estimated from 30 CCD spectra they are somewhat wider: pixels whose error
# happens to be too small get too much weight, which the fit cannot know. The model
# error, which is on by default, is larger than this effect. :doc:`../inference` has the
# same test for hundreds of stars over the whole range of labels.

# %%
# Errors are not independent
# --------------------------
#
# A spectrum changes little if temperature, gravity and metallicity rise together, so
# their errors are strongly correlated. Rotation and resolution are correlated, too,
# because both set the width of lines. Whoever combines labels, for an age for example,
# needs ``covariance``, which holds all of this.

result = results[0]
sigma = np.sqrt(np.diag(result.covariance))
correlation = result.covariance / np.outer(sigma, sigma)
fig, ax = plt.subplots(figsize=(6, 4.8))
image = ax.imshow(correlation, vmin=-1, vmax=1, cmap="PuOr")
short = {
    "teff": "Teff",
    "logg": "log g",
    "vsini": "v sin i",
    "mh": "[M/H]",
    "resolution": "R",
    "radial_velocity": "RV",
}
free = [short.get(name, name) for name in result.free_names]
ax.set_xticks(range(len(free)), free, rotation=45, ha="right")
ax.set_yticks(range(len(free)), free)
fig.colorbar(image, label="correlation")
plt.show()

# %%
# When a Gaussian is not enough
# -----------------------------
#
# The posteriors of noisy spectra can be skewed, or end at a limit. ``errors="sampled"``
# describes them by weighted draws, in about three times the time of a fit. Its intervals
# need not be symmetric. Without it, errors are widened where the curvature at the best
# fit would make them far too small, and the flag ``not-gaussian`` says so.

faint = rvsemu.simulate(giant, signal_to_noise=20, seed=5)
for errors in ("gaussian", "sampled"):
    found = rvsemu.fit(faint, errors=errors)
    low, high = found.interval(0.95)["vsini"]
    text = found.text("teff")
    print(f"{errors:9} Teff {text} K, v sin i {low.value:.1f} to {high.value:.1f} km/s (95 %)")

# %%
# Flags
# -----
#
# Errors are right if the model is. Flags warn where it is not. Of the following spectra
# all but that of the Sun have something that the emulator does not know.

sun = rvsemu.generate(5777, 4.44, vsini=3, resolution=11900)
wave = sun.spectral_axis.value


def changed(flux):
    """The Sun's spectrum with another flux."""
    from specutils import Spectrum

    return Spectrum(
        flux=flux * sun.flux.unit, spectral_axis=sun.spectral_axis, meta={"medium": "air"}
    )


flux = sun.flux.value
second = np.interp(wave, wave * (1 + 90 / 299792.458), flux)
emission = sum(
    0.5 * np.exp(-0.5 * ((wave - line) / 0.6) ** 2) for line in (8498.02, 8542.09, 8662.14)
)
band = 1 - 0.06 * np.exp(-0.5 * ((wave - 8620.8) / 2.0) ** 2)
common = {"signal_to_noise": 100, "seed": 4}
strange = {
    "two stars": rvsemu.simulate(changed(0.55 * flux + 0.45 * second), **common),
    "chromosphere": rvsemu.simulate(changed(flux + emission), **common),
    "interstellar band": rvsemu.simulate(changed(flux * band), **common),
    "spikes": rvsemu.simulate(sun, spikes=0.03, **common),
    "4 CCD spectra": rvsemu.simulate(sun, ccds=4, **common),
    "pure noise": rvsemu.simulate(sun, signal_to_noise=0.5, seed=4),
    "the Sun": rvsemu.simulate(sun, **common),
}
fits = dict(zip(strange, fit_many(list(strange.values())), strict=True))
not_masked = ("calcium-cores", "edges")
fits["band, not masked"] = rvsemu.fit(strange["interstellar band"], mask=not_masked)
for name, found in fits.items():
    print(f"{name:18} Teff {found.text('teff'):20} {', '.join(found.flags) or 'no flag'}")

# %%
# The default mask leaves out the pixels of the interstellar band, so that the band has
# no flag and does no harm. A fit that uses these pixels notices it.
#
# The figure shows why three of these spectra are flagged. The data are black, and the
# best model, which cannot follow them, is orange. Two stars make a line with two cores,
# a chromosphere fills in the core, and the interstellar band is a broad dip that no
# model has.

# sphinx_gallery_thumbnail_number = 5
windows = {
    "two stars": (8535, 8556),
    "chromosphere": (8535, 8556),
    "band, not masked": (8605, 8645),
}
fig, axes = plt.subplots(1, 3, figsize=(7, 3.6))
for ax, (name, window) in zip(axes, windows.items(), strict=True):
    found = fits[name]
    angstrom = found.spectral_axis.to("AA").value
    inside = (angstrom > window[0]) & (angstrom < window[1])
    ax.plot(angstrom[inside], found.model_flux[inside], color="C1", lw=2, label="model")
    ax.plot(angstrom[inside], found.flux[inside], color="k", lw=1, label="data")
    ax.set_title(name, fontsize=11)
    ax.tick_params(labelsize=9)
axes[0].set_ylabel("normalised flux")
fig.supxlabel("wavelength in vacuum (Å)", fontsize=12)
handles, labels = axes[0].get_legend_handles_labels()
fig.legend(handles, labels, loc="outside upper center", ncols=2)
plt.show()

# %%
# Each flag has a sentence:

for line in describe(fits["two stars"].flags + fits["chromosphere"].flags):
    print(line)

# %%
# In tables, flags are text and also the bits of an integer, for quick selections.

bits = to_bits(fits["two stars"].flags)
print(bits, from_bits(bits))

# %%
# A spectrum without flags need not be that of a single, ordinary star, and one with
# flags is not worthless. For a catalogue, use the labels of stars without flags, look
# at stars with ``at-bound`` or ``second-minimum`` one by one, and do not use labels
# with ``double-lined``, ``poor-fit`` or ``unlike-training``: these spectra are
# discoveries or mistakes. ``prior-disputed`` and ``held-disputed`` question what you
# have assumed. :doc:`../accuracy` lists what can go wrong, and what to do.
#
# Next: :doc:`04_posterior` replaces the Gaussian by the posterior itself.
