"""
Read and fit a Gaia star
========================

This tutorial goes from a file of the Gaia archive to labels with errors. The star is
Kepler-93, which is similar to the Sun and has a transiting planet. Its spectrum comes with
the package. At the end the result is compared with the literature.
"""

# %%
# Read
# ----
#
# Importing rvsemu teaches `specutils` to read the RVS spectra of the Gaia archive.
# `rvsemu.read_rvs` returns all spectra of a file; this one has a single star.
# `rvsemu.example_path` is the path of a file that comes with the package, as it was
# delivered by the archive's DataLink service. :doc:`../gaia` says how to fetch others.

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

import rvsemu

(star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
for key in ("source_id", "release", "medium", "frame", "combined_ccds"):
    print(f"{key:14} {star.meta.get(key)}")

# %%
# ``medium`` is vacuum and ``frame`` is rest: the Gaia consortium has shifted the mean
# spectrum by the radial velocity it measured. Look at the data before you fit them.

wave = star.spectral_axis.to(u.AA)
fig, (ax, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=[3, 1])
ax.plot(wave, star.flux, color="k", lw=0.8)
ax.set(
    ylabel="normalised flux",
    xlim=(8460, 8700),
    title=f"Kepler-93, Gaia DR3 {star.meta['source_id']}",
)
below.plot(wave, star.flux.value / star.uncertainty.array, color="C0", lw=0.8)
below.set(xlabel="wavelength in vacuum (Å)", ylabel="signal / noise", ylim=(0, None))
plt.show()

# %%
# Fit
# ---
#
# One call. `rvsemu.fit` searches the whole range of the labels, so that it needs no
# first guess, and finds the radial velocity and a smooth continuum besides.

result = rvsemu.fit(star)
print(result)

# %%
# Every label is an attribute with a unit, and has an error of one standard deviation:

print(f"Teff = {result.teff:.0f}, error {result.errors['teff']:.0f}")
print(f"log g = {result.logg:.2f}, error {result.errors['logg']:.2f}")
for name, (low, high) in result.interval(0.95).items():
    print(f"{name:16} 95 %: {low.value:8.2f} to {high:.2f}")

# %%
# Rotation that is slower than the instrument can resolve cannot be measured, only
# limited from above:

print(f"v sin i below {result.upper_limits()['vsini']:.1f} (95 %)")

# %%
# Look at the fit
# ---------------
#
# The upper panel shows the data and the model, the lower one their difference. The dark
# band is the noise, and the light one includes the errors of the emulator and of the
# models. Shaded pixels were not used. They are the cores of the calcium lines, which a
# chromosphere can fill and which the models do not describe, the interstellar band at
# 862 nm, and the ends of the spectrum.

# sphinx_gallery_thumbnail_number = 2
result.plot()
plt.show()

# %%
# Residuals are best looked at in units of what the fit expects. If the model and its
# errors were perfect, they would follow a normal distribution. Near strong
# lines the expected error is larger than the noise, because synthetic spectra err
# there.

used = result.used
ratio = (result.flux - result.model_flux)[used] / result.flux_sigma[used]
fig, ax = plt.subplots()
bins = np.linspace(-5, 5, 51)
ax.hist(ratio, bins, density=True, color="C5", label="pixels of Kepler-93")
x = np.linspace(-5, 5, 200)
ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="k", label="noise alone")
ax.set(xlabel="residual / stated noise", ylabel="density", xlim=(-5, 5))
fig.legend(loc="outside upper center", ncols=2)
plt.show()
print(f"standard deviation {ratio.std():.2f}")
print(f"reduced chi2 with all errors {result.reduced_chi2:.2f}")

# %%
# Compare it with the literature
# ------------------------------
#
# Huber et al. (2013, ApJ 767, 127) have the labels of Kepler-93 from asteroseismology
# and spectroscopy. Differences are in units of both errors together.

literature = {"teff": (5669, 75), "logg": (4.468, 0.032), "mh": (-0.18, 0.10)}
fig, ax = plt.subplots(figsize=(7, 2.8))
for i, (name, (value, error)) in enumerate(literature.items()):
    found, sigma = result.labels[name].value, result.errors[name].value
    difference = (found - value) / np.hypot(sigma, error)
    ax.errorbar(difference, i, xerr=1, fmt="o", capsize=4)
    ours, theirs = f"{found:.2f} ± {sigma:.2f}", f"{value:.2f} ± {error:.2f}"
    print(f"{name:5} rvsemu {ours:18} literature {theirs:18} {difference:+.1f} sigma")
ax.axvline(0, color="0.7", zorder=0)
ax.set(yticks=range(3), yticklabels=["Teff", "log g", "[M/H]"], ylim=(-0.6, 2.6), xlim=(-4, 4))
ax.set_xlabel("rvsemu - literature, in units of the combined error")
plt.show()

# %%
# Use what you know already
# -------------------------
#
# Asteroseismology knows the gravity ten times better than an RVS spectrum of this
# quality does. ``fixed=`` holds a label at a value; ``priors=`` gives a Gaussian prior,
# which is what a value with an error is. A dictionary of priors replaces the default
# ones, so start from those.

from rvsemu.fitting import DEFAULT_PRIORS

informed = rvsemu.fit(star, priors=DEFAULT_PRIORS | {"logg": (4.468, 0.032)})
for name in ("teff", "logg", "mh"):
    alone, together = result.errors[name], informed.errors[name]
    print(f"{name:5} {alone:8.3f} without, {together:8.3f} with the prior on log g")

# %%
# Keep it
# -------
#
# ``to_table()`` is one row; rows of several stars stack with `astropy.table.vstack`.

table = result.to_table()
shown = table["source_id", "teff", "teff_error", "logg", "logg_error", "mh", "mh_error", "flags"]
for name in shown.colnames:
    if shown[name].dtype.kind == "f":
        shown[name].info.format = ".3f"
shown

# %%
# The same from a shell:
#
# .. code-block:: sh
#
#    rvsemu fit "RVS-Gaia DR3 2052747119115620352.csv" -o labels.ecsv --plot fits/
#
# Next: :doc:`03_errors_and_flags` on when to believe the numbers.
