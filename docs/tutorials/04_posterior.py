"""
A posterior by MCMC
===================

What does the Gaia DR3 spectrum of Kepler-93 say about the star, and what does it
leave open? This tutorial samples the posterior of all labels with `emcee`, draws a
corner plot, derives the mass of the star, and checks the result against the data.
"""

# %%
# Why sample
# ----------
#
# The Gaussian of `rvsemu.fit` is enough for most stars. Sample if a label is near a
# limit, if the posterior is skewed, or if you want a function of labels.
# `rvsemu.sample` uses the same likelihood and priors as the fit.
#
# The walkers start at weighted draws from the posterior. Sampling ends when the chain
# has converged, unless ``steps`` ends it earlier, as here. The result then has the flag
# ``not-converged``.

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
# With ``file=`` every step is kept. The same call continues where the last one ended,
# and gives the chain that would have come without a stop. Without ``steps``, it now
# goes on until the chain has converged:

posterior = rvsemu.sample(star, seed=1, file=file, progress=False)
print("steps, walkers, labels:", posterior.chain.shape)
print("flags:", ", ".join(posterior.flags) or "none")

# %%
# Look at the chain before anything else. Each curve is a walker. A converged chain
# looks the same everywhere. The steps to the left of the dashed line are not used.

fig, axes = plt.subplots(3, 1, figsize=(7, 5.5), sharex=True)
fig.align_ylabels()
units = {"teff": "Teff (K)", "logg": "log g", "vmic": "vmic (km/s)"}
for ax, (name, text) in zip(axes, units.items(), strict=True):
    values = posterior.chain[:, :, list(posterior.names).index(name)]
    ax.plot(values[:, ::8], color="C0", lw=0.4, alpha=0.7)
    ax.axvline(posterior.burn_in, color="k", ls="--", lw=1)
    ax.set_ylabel(text)
axes[-1].set(xlabel="step", xlim=(0, len(posterior.chain)))
plt.show()

# %%
# The labels
# ----------
#
# Medians and intervals are those of the samples. No interval reaches beyond the range
# of a label.

posterior.summary()

# %%
# The corner plot shows each label on the diagonal and each pair below it. The contours
# hold 39 and 86 % of the samples, as one and two standard deviations of a Gaussian in
# two dimensions do. Gravity is cut off at 5, where the range of the emulator ends.

# sphinx_gallery_thumbnail_number = 2
posterior.plot_corner(names=("teff", "logg", "mh", "vmic"))
plt.show()

# %%
# A label at its limit
# --------------------
#
# The star rotates more slowly than the instrument can resolve. The best fit has no
# rotation at all, and a Gaussian around it does not mean much. The posterior shows what
# is known: it is nearly flat at small v sin i, and falls where rotation would broaden
# the lines too much. Its limit is below that of the fit, which is a cautious
# approximation.

fit = rvsemu.fit(star)
vsini = posterior["vsini"].to_value(u.km / u.s)
limit = posterior.upper_limits()["vsini"]
fig, ax = plt.subplots()
ax.hist(vsini, 40, density=True, color="C5")
ax.axvline(limit.value, color="k", ls="--")
ax.text(limit.value, ax.get_ylim()[1], " 95 % are below", va="top")
ax.set(xlabel="v sin i (km/s)", ylabel="posterior density", xlim=(0, None))
plt.show()
print(f"95 %: fit below {fit.upper_limits()['vsini']:.1f}, posterior below {limit:.1f}")

# %%
# A function of labels
# --------------------
#
# Samples give the error of any function of labels. With the radius of the star, gravity
# gives the mass. Ballard et al. (2014, ApJ 790, 12) found 0.919 ± 0.011 solar radii by
# asteroseismology, and a mass of 0.911 ± 0.033 solar masses. Each sample of log g is
# combined with a random radius, so that no formula for the propagation of errors is
# needed.

samples = posterior.samples
radius = np.random.default_rng(2).normal(0.919, 0.011, len(samples))
mass = 10 ** (samples["logg"].value - 4.438) * radius**2
low, median, high = np.percentile(mass, (16, 50, 84))
print(f"mass {median:.2f} +{high - median:.2f} -{median - low:.2f} solar masses")

# %%
# The spectrum alone measures mass poorly: an error of 0.2 dex in log g is a factor of
# 1.6. The distribution is skewed, and it ends near 3 solar masses because log g ends at
# 5. The mass from asteroseismology lies on its lower flank.

fig, ax = plt.subplots()
ax.hist(
    mass, np.linspace(0, 4, 60), density=True, color="C5", label="from this spectrum and the radius"
)
ax.axvspan(0.911 - 0.033, 0.911 + 0.033, color="C1", alpha=0.7, lw=0, label="Ballard et al. (2014)")
ax.set(xlabel="mass (solar masses)", ylabel="posterior density", xlim=(0, 4))
fig.legend(loc="outside upper center", ncols=2)
plt.show()

# %%
# Predictive check
# ----------------
#
# Would such labels give such data? ``plot_predictive`` draws the spectrum that the
# posterior predicts, together with the data. The bands of the model in the lower panel
# are narrower than the noise, because many pixels determine them.

posterior.plot_predictive()
plt.show()

# %%
# Numbers say more than an impression: how many of the pixels used are within what noise
# alone allows?

spectrum = posterior.spectrum
used = spectrum["used"]
ratio = (spectrum["flux"] - spectrum["predicted"][2])[used] / spectrum["sigma"][used]
for limit, expected in ((1, 68.3), (2, 95.4)):
    share = 100 * np.mean(abs(ratio) < limit)
    print(f"within {limit} standard deviations: {share:.0f} %, expected {expected} %")

# %%
# Fewer pixels than expected are within the noise. The noise of this spectrum has become
# about as small as the errors of line data and atmospheres, and for brighter stars the
# shares are lower still. That is why the covariance of the likelihood contains a model
# error (:doc:`../inference`).

folder.cleanup()

# %%
# From a shell, for any number of stars:
#
# .. code-block:: sh
#
#    rvsemu sample spectra/*.fits -o posteriors/ --plot plots/ --table labels.ecsv
#
# :doc:`../sampling` explains how sampling ends, what is in the files, and how the
# posteriors were tested.
