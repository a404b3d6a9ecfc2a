"""
Gaia DR4 on its release day
===========================

Gaia DR4 will publish hundreds of millions of RVS spectra on new pixels and, for the first
time, spectra of single transits. Only a draft of the file format is known. This tutorial
rehearses the release with simulated spectra in that format: what to try first, what may
go wrong, and how good the labels will be.
"""

# %%
# What changes
# ------------
#
# ==============  ==============================  ===============================
# .               Gaia DR3                        Gaia DR4, as drafted
# ==============  ==============================  ===============================
# pixels          2401, every 0.01 nm             961, every 0.025 nm
# noise           correlated over several pixels  correlated between neighbours
# stated errors   from the scatter of CCD         propagated from the variances
#                 spectra                         of CCD spectra
# epoch spectra   none                            one per transit, barycentric
# ==============  ==============================  ===============================
#
# `rvsemu.observing.simulate.RELEASES` describes these pixels and errors. With it,
# `rvsemu.simulate` observes the same star as either release would.

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

import rvsemu
from rvsemu.catalog import read_catalog
from rvsemu.fitting import fit_many
from rvsemu.observing.simulate import RELEASES
from rvsemu.spectra import write_bulk

sun = rvsemu.generate(5777, 4.44, vsini=2, resolution=11900)
spectra = {
    name: rvsemu.simulate(sun, signal_to_noise=60, release=name, seed=1) for name in RELEASES
}

fig, ax = plt.subplots()
for i, (name, spectrum) in enumerate(spectra.items()):
    ax.plot(
        spectrum.spectral_axis.to("AA"), spectrum.flux - 0.35 * i, ".-", ms=5, lw=0.8, label=name
    )
ax.set(
    xlim=(8680, 8700),
    ylim=(0.2, 1.1),
    xlabel="wavelength in vacuum (Å)",
    ylabel="normalised flux - offset",
)
ax.set_xticks(np.arange(8680, 8701, 5))
fig.legend(loc="outside upper center", ncols=2)
plt.show()

# %%
# The same call fits both. `rvsemu.fit` chooses the noise correlation by ``meta["release"]``
# and by the distance between pixels. At the same signal to noise per pixel, the errors of
# the labels are nearly the same: the noise of the many pixels of Gaia DR3 is correlated, so
# that they hold no more information than the fewer pixels of Gaia DR4.

for name, spectrum in spectra.items():
    result = rvsemu.fit(spectrum)
    print(
        f"{name}: {result.n_pixels} pixels, Teff {result.text('teff')} K, [M/H] {result.text('mh')}"
    )

# %%
# One file first
# --------------
#
# Before anything else, try one bulk file. In this rehearsal the file has 40 simulated stars,
# and one of them has no good pixel, as happens in real files.

folder = TemporaryDirectory()
here = Path(folder.name)
rng = np.random.default_rng(4)


def stars(n):
    """Simulated stars of Gaia DR4; the last has no good pixel."""
    for i in range(n):
        star = rvsemu.generate(
            rng.uniform(4500, 6800), 4.3, mh=rng.uniform(-1, 0.3), vmic=1.1, resolution=11900
        )
        spectrum = rvsemu.simulate(
            star, signal_to_noise=60, release="Gaia DR4", seed=rng, source_id=i + 1
        )
        if i == n - 1:
            spectrum.flux[:] = np.nan
        yield spectrum


bulk = here / "RvsMeanSpectrum_000000-003111.csv.gz"
write_bulk(stars(40), bulk)


def rvsemu_(*arguments):
    """Run a command of rvsemu as a shell would, in the folder of this rehearsal."""
    print("$ rvsemu", *arguments)
    done = subprocess.run(
        [sys.executable, "-m", "rvsemu", *arguments], cwd=here, capture_output=True, text=True
    )
    print(done.stdout + done.stderr)


rvsemu_("catalog", "fit", bulk.name, "-o", "trial", "--jobs", "1", "--quiet")

# %%
# A table beside the results lists what was rejected, and why. If *every* spectrum is in it
# on the release day, its first lines say what the reader does not understand.

print((here / "trial" / "_rejects.csv").read_text())

# %%
# Look at the columns before the labels: do identifiers, release, frame and numbers of CCD
# spectra say what the documentation of the release says? The release decides which noise
# the fits assume.

table = read_catalog(here / "trial")
shown = table[
    "source_id",
    "release",
    "medium",
    "frame",
    "combined_ccds",
    "signal_to_noise",
    "teff",
    "teff_error",
    "reduced_chi2",
    "flags",
][:5]
for name in shown.colnames:
    if shown[name].dtype.kind == "f":
        shown[name].info.format = ".3f"
shown

# %%
# The distribution of reduced chi2 is the first test of the noise model. Simulated stars
# are a little below 1, because the likelihood allows for errors of the models, which they
# do not have. Real stars are near 1 if their errors, correlation and models are as the
# likelihood assumes. Values near 2 mean that the stated errors are too small, values far
# below 1 that they are too large, or that the correlation is different.

fig, ax = plt.subplots()
ax.hist(table["reduced_chi2"].value, np.linspace(0.5, 1.5, 21), color="C5")
ax.axvline(1, color="k", lw=1)
ax.set(xlabel="reduced chi2", ylabel="number of stars")
plt.show()
print(f"median {np.median(table['reduced_chi2']):.2f}")

# %%
# Single transits
# ---------------
#
# Epoch spectra are in the barycentric frame, so a fit searches radial velocities up to
# 1000 km/s. `rvsemu.fit_transits` fits all transits of a star together, with one set of
# labels and a velocity for each. The example is a spectroscopic binary, seen twelve times.
# Its labels are known from the mean spectrum, and each transit is fitted alone.

phase = np.sort(rng.random(12))
velocity = 24 + 18 * np.sin(2 * np.pi * phase)
transits = [
    rvsemu.simulate(
        sun,
        signal_to_noise=25,
        release="Gaia DR4",
        seed=rng,
        radial_velocity=v,
        frame="barycentric",
        ccds=3,
    )
    for v in velocity
]

# The labels are those of the mean spectrum; from transit to transit the velocity alone changes.
mean = {"teff": 5777, "logg": 4.44, "vsini": 2, "mh": 0.0, "vmic": 1.0, "resolution": 11900}
found = fit_many(transits, fixed=mean)
measured = u.Quantity([r.radial_velocity for r in found])
error = u.Quantity([r.errors["radial_velocity"] for r in found])

# sphinx_gallery_thumbnail_number = 3
fig, ax = plt.subplots()
curve = np.linspace(0, 1, 200)
ax.plot(curve, 24 + 18 * np.sin(2 * np.pi * curve), color="0.7", label="orbit put in")
ax.errorbar(phase, measured.value, error.value, fmt="o", capsize=3, label="single transits")
ax.set(xlabel="orbital phase", ylabel="radial velocity (km/s)")
fig.legend(loc="outside upper center", ncols=2)
plt.show()
folder.cleanup()

# %%
# Then everything
# ---------------
#
# .. code-block:: sh
#
#    rvsemu catalog fit bulk/ -o labels --rows 20000 --quiet
#    rvsemu catalog fit bulk/ -o labels --rows 20000 --quiet --resume    # after an interruption
#    rvsemu catalog report labels -o labels.html
#
# :doc:`../catalog` says how long it takes on a laptop, a node and a cluster.
