"""
Read and fit a Gaia star
========================

Which temperature, gravity and metallicity does a Gaia spectrum give, and how well do
they agree with the literature? The star is Kepler-93, which is similar to the Sun and
has a transiting planet. This tutorial goes from the file of the Gaia archive to
labels with errors, and compares them with asteroseismology.
"""

# %%
# Read
# ----
#
# `rvsemu.read_rvs` returns all spectra in a file of the Gaia archive. This file has one
# star, and comes with the package as the archive's DataLink service delivered it;
# `rvsemu.example_path` says where it is. :doc:`../gaia` explains how to fetch others.

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

import rvsemu

(star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
for key in ("source_id", "release", "medium", "frame", "combined_ccds"):
    print(f"{key:14} {star.meta.get(key)}")

# %%
# ``medium`` is vacuum. ``frame`` is rest, because the Gaia consortium has shifted the
# mean spectrum by the radial velocity that it measured. Before fitting, look at the
# data: at most pixels the signal to noise is above 100, and it falls in the deep lines.

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
# `rvsemu.fit` needs no first guess: it searches the whole range of the labels. It also
# fits the radial velocity and a smooth continuum.

result = rvsemu.fit(star)
print(result)

# %%
# Each label is an attribute with a unit, and has an error of one standard deviation:

print(f"Teff = {result.teff:.0f}, error {result.errors['teff']:.0f}")
print(f"log g = {result.logg:.2f}, error {result.errors['logg']:.2f}")
for name, (low, high) in result.interval(0.95).items():
    print(f"{name:16} 95 %: {low.value:8.2f} to {high:.2f}")

# %%
# Slow rotation cannot be measured: the instrument broadens the lines by far more. There
# is only an upper limit. It is higher than the end of the interval above, because a
# spectrum changes with the square of v sin i, and the limit is that of the square:

print(f"v sin i below {result.upper_limits()['vsini']:.1f} (95 %)")

# %%
# Look at the fit
# ---------------
#
# The upper panel shows the data (black) and the model (orange), the lower one their
# difference. The dark band is the noise. The light band includes the errors of the
# emulator and of the models as well. Shaded pixels were not used: the cores of the
# calcium lines, which a chromosphere can fill in, the region of the interstellar band
# at 862 nm, and the ends of the spectrum.

# sphinx_gallery_thumbnail_number = 2
result.plot()
plt.show()

# %%
# Does noise alone explain the residuals? If it did, the residuals divided by the stated
# noise would follow a normal distribution.

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
# They are too wide by a fifth. The model is not perfect: synthetic spectra have errors
# of their own, which at this signal to noise can no longer be neglected. The fit allows
# for them, and with all errors the reduced chi2 is close to 1.

# %%
# Compare it with the literature
# ------------------------------
#
# Huber et al. (2013, ApJ 767, 127) derived the labels of Kepler-93 from
# asteroseismology and spectroscopy. The figure shows the differences, divided by the
# combined error of both values.

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
# All three labels agree to within 1.5 standard deviations.
#
# Use what you know already
# -------------------------
#
# The gravity from asteroseismology is far more precise than that from this spectrum.
# ``priors=`` takes it, with its error, as a Gaussian prior; ``fixed=`` would hold the
# label at a value. A dictionary of priors replaces the default ones, so start from
# those.

from rvsemu.fitting import DEFAULT_PRIORS

informed = rvsemu.fit(star, priors=DEFAULT_PRIORS | {"logg": (4.468, 0.032)})
for name in ("teff", "logg", "mh"):
    alone, together = result.errors[name], informed.errors[name]
    print(f"{name:5} {alone:8.3f} without, {together:8.3f} with the prior on log g")

# %%
# The temperature gains as well, because Teff and log g are correlated. The metallicity
# does not.
#
# Keep it
# -------
#
# ``to_table()`` gives one row. Stack the rows of several stars with
# `astropy.table.vstack`.

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
# Next: :doc:`03_errors_and_flags` explains when to believe the numbers.
