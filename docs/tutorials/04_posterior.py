"""
A posterior by MCMC
===================

What does the Gaia DR3 spectrum of Kepler-93 say about the star, and what does it leave
open? The posterior of all labels is sampled with `emcee`, drawn as a corner plot, and
checked against the data.
"""

# %%
# Why sample
# ----------
#
# The Gaussian of `rvsemu.fit` is enough for most stars. Sample where a label is near a
# limit, where the posterior is curved, or where what you want is a function of labels.
# `rvsemu.sample` has the same likelihood and priors as the fit.
#
# Walkers begin at weighted draws from the posterior, so that there is next to no
# burn-in. By default sampling ends when the chain has converged. To keep this page
# quick, the number of steps is limited here, and the result says honestly that it has
# not converged: leave ``steps`` out in your own work.

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

import rvsemu

(star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
folder = TemporaryDirectory()
file = Path(folder.name) / "kepler-93.h5"
posterior = rvsemu.sample(star, seed=1, steps=300, file=file, progress=False)
print(posterior)

# %%
# A chain that goes on
# --------------------
#
# ``file=`` keeps every step. The same call goes on where the last one ended, whatever
# ended it, and gives the chain that would have come without a stop. A longer chain is
# one call away:

posterior = rvsemu.sample(star, seed=1, steps=420, file=file, progress=False)
print(posterior.chain.shape, "steps, walkers, labels")

# %%
# Look at the chain before you look at anything else. Each curve is a walker. A chain
# that has found its place looks the same at every time; the part before the dashed line
# is left out of the samples.

fig, axes = plt.subplots(3, 1, figsize=(7, 5.5), sharex=True)
units = {"teff": "Teff (K)", "logg": "log g", "vmic": "vmic (km/s)"}
for ax, (name, text) in zip(axes, units.items(), strict=True):
    values = posterior.chain[:, :, list(posterior.names).index(name)]
    ax.plot(values[:, ::4], color="C0", lw=0.4, alpha=0.7)
    ax.axvline(posterior.burn_in, color="k", ls="--", lw=1)
    ax.set_ylabel(text)
axes[-1].set(xlabel="step", xlim=(0, len(posterior.chain)))
plt.show()

# %%
# The labels
# ----------
#
# Medians and intervals are read from the samples. No interval reaches beyond the range
# of a label.

posterior.summary()

# %%
# The corner plot shows each label on the diagonal and each pair below it. Contours hold
# 39 and 86 % of the samples, as one and two standard deviations of a Gaussian in two
# dimensions do.

# sphinx_gallery_thumbnail_number = 2
posterior.plot_corner(names=("teff", "logg", "mh", "vmic"))
plt.show()

# %%
# A label near its limit
# ----------------------
#
# The rotation of the star is slower than the instrument can resolve. The best value of
# a fit is at or near zero, and its Gaussian error says little. The posterior gives the shape
# of what is known, an upper limit.

fit = rvsemu.fit(star)
vsini = posterior["vsini"].to_value(u.km / u.s)
limit = posterior.upper_limits()["vsini"]
fig, ax = plt.subplots()
ax.hist(vsini, 40, density=True, color="C5")
ax.axvline(limit.value, color="k", ls="--")
ax.text(limit.value, ax.get_ylim()[1], " 95 % are below", va="top")
ax.set(xlabel="v sin i (km/s)", ylabel="posterior density", xlim=(0, None))
plt.show()
print(f"fit: {fit.text('vsini')}; posterior: below {limit:.1f} (95 %)")

# %%
# A function of labels
# --------------------
#
# Samples make errors of anything. With the radius of the star, gravity becomes mass.
# Ballard et al. (2014, ApJ 790, 12) found 0.919 ± 0.011 solar radii by
# asteroseismology, and a mass of 0.911 ± 0.033 solar masses. Every sample of log g is
# combined with a random radius; no formula for the propagation of errors is
# needed.

samples = posterior.samples
radius = np.random.default_rng(2).normal(0.919, 0.011, len(samples))
mass = 10 ** (samples["logg"].value - 4.438) * radius**2
low, median, high = np.percentile(mass, (16, 50, 84))
print(f"mass {median:.2f} +{high - median:.2f} -{median - low:.2f} solar masses")

# %%
# The spectrum alone is a poor scale: an error of log g of a few tenths of a dex is a
# large factor in mass. The distribution is skewed besides, which symmetric errors would
# not have shown.

fig, ax = plt.subplots()
ax.hist(
    mass, np.linspace(0, 4, 60), density=True, color="C5", label="from this spectrum and the radius"
)
ax.axvspan(0.911 - 0.033, 0.911 + 0.033, color="C1", label="Ballard et al. (2014)")
ax.set(xlabel="mass (solar masses)", ylabel="posterior density", xlim=(0, 4))
fig.legend(loc="outside upper center", ncols=2)
plt.show()

# %%
# Predictive check
# ----------------
#
# Would such labels make such data? ``plot_predictive`` draws the spectrum that the
# posterior predicts over the data. The bands of the model in the lower panel are
# narrow, yet many pixels share them.

posterior.plot_predictive()
plt.show()

# %%
# A number says more than an impression: of all pixels used, how many are within what
# noise alone allows?

spectrum = posterior.spectrum
used = spectrum["used"]
ratio = (spectrum["flux"] - spectrum["predicted"][2])[used] / spectrum["sigma"][used]
for limit, expected in ((1, 68.3), (2, 95.4)):
    share = 100 * np.mean(abs(ratio) < limit)
    print(f"within {limit} standard deviations: {share:.0f} %, expected {expected} %")

# %%
# Shares near the expected ones say that noise is what limits this spectrum. For bright
# stars they are far lower: the noise is then below the errors of line data and
# atmospheres. That is why the likelihood has a model error in its covariance
# (:doc:`../inference`).

folder.cleanup()

# %%
# From a shell, for any number of stars:
#
# .. code-block:: sh
#
#    rvsemu sample spectra/*.fits -o posteriors/ --plot plots/ --table labels.ecsv
#
# :doc:`../sampling` says how sampling ends, what is in the files, and how the
# posteriors were tested.
