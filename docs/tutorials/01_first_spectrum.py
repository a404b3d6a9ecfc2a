"""
A first spectrum, and a grid of them
====================================

What does a star of given temperature, gravity and metallicity look like in the range
of the Gaia RVS? This tutorial generates the spectrum of the Sun, shows what each
label does to the lines, and ends with a thousand spectra at once.
"""

# %%
# The Sun
# -------
#
# `rvsemu.generate` takes the labels of a star and returns a `specutils.Spectrum`.
# Effective temperature and surface gravity must be given. The other labels have
# defaults.

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

import rvsemu

sun = rvsemu.generate(teff=5777, logg=4.44, vsini=2, mh=0, vmic=1, resolution=11500)
print(sun.flux.shape, sun.spectral_axis[[0, -1]])

# %%
# ``meta`` says what the spectrum is: its labels, the medium and frame of its
# wavelengths, and the emulator that made it. The wavelengths are those in air, where
# the three strong lines of Ca II lie at 8498, 8542 and 8662 Å (grey).

for key, value in sun.meta.items():
    if key != "labels":
        print(f"{key:17} {value}")
for name, value in sun.meta["labels"].items():
    print(f"{name:17} {value}")

fig, ax = plt.subplots()
ax.plot(sun.spectral_axis, sun.flux)
for line in (8498.02, 8542.09, 8662.14):
    ax.axvline(line, color="0.8", zorder=0)
ax.set(
    xlabel="wavelength in air (Å)",
    ylabel="normalised flux",
    xlim=(8400, 8800),
    title="The Sun at R = 11,500",
)
plt.show()

# %%
# How accurate is this spectrum? Its uncertainty is the RMS error of the emulator for
# stars of such labels, pixel by pixel, measured on SYNSPEC spectra that were not used
# in the training. It is the error with respect to synthetic spectra, not to real stars.

sigma = sun.uncertainty.array
print(
    f"median error of a pixel: {np.median(sigma):.5f} of the continuum; largest: {sigma.max():.5f}"
)

# %%
# Units are checked
# -----------------
#
# Plain numbers are in K, dex and km/s. A `~astropy.units.Quantity` is converted. If its
# unit is of the wrong kind, or if a label is outside the range that the emulator was
# trained for, the error message names the label and the remedy.

star = rvsemu.generate(teff=5.777 * u.kK, logg=4.44, vsini=2000 * u.m / u.s)
print(star.meta["labels"]["teff"], star.meta["labels"]["vsini"])

for wrong in ({"teff": 5777 * u.m}, {"teff": 20000}):
    try:
        rvsemu.generate(**wrong, logg=4.44)
    except rvsemu.RvsemuError as error:
        print(error)

# %%
# A sequence of temperatures
# --------------------------
#
# Arrays broadcast against each other, so five temperatures give one spectrum with five
# rows. The hottest star, at the top, has the broad Paschen lines of hydrogen. They fade
# towards cooler stars, while the calcium lines grow. In the coolest stars the lines of
# neutral metals are as strong as in no other, such as that of titanium near 8435 Å.

teff = np.array([12000, 9000, 6500, 5000, 3800])
sequence = rvsemu.generate(teff=teff, logg=4.3, vsini=10, resolution=11500)

# sphinx_gallery_thumbnail_number = 2
fig, ax = plt.subplots(figsize=(7, 5.4))
for i, (flux, temperature) in enumerate(zip(sequence.flux, teff, strict=True)):
    offset = 0.75 * (len(teff) - 1 - i)
    ax.plot(sequence.spectral_axis, flux + offset, color=f"C{i}")
    ax.text(8804, 1 + offset, f"{temperature} K", color=f"C{i}", va="center")
ax.set(xlabel="wavelength in air (Å)", ylabel="flux + offset", xlim=(8400, 8800), yticks=[])
plt.show()

# %%
# What each label does
# --------------------
#
# Here one label is changed at a time, and one calcium line with its neighbours is
# shown. Gravity changes the wings of the calcium line, which are broadest in giants,
# and metallicity changes all lines. Rotation makes lines broader and shallower, but
# does not change their area. Microturbulence acts only on lines that are saturated,
# like those of iron at 8675 and 8689 Å: weak lines and the wings of calcium stay as
# they are. A higher metallicity deepens these lines, too, which is why noisy spectra do
# not tell the two labels apart well.

base = {"teff": 5500, "logg": 4.4, "vsini": 3, "mh": 0.0, "vmic": 1.0, "resolution": 11500}
changes = {
    "logg": [2.0, 3.2, 4.4],
    "vsini": [3, 30, 80],
    "mh": [-1.5, -0.5, 0.4],
    "vmic": [0.5, 1.5, 3.0],
}
titles = {
    "logg": "log g",
    "vsini": "v sin i (km/s)",
    "mh": "[M/H]",
    "vmic": "microturbulence (km/s)",
}

fig, axes = plt.subplots(2, 2, figsize=(7, 6), sharex=True, sharey=True)
for ax, (name, values) in zip(axes.flat, changes.items(), strict=True):
    spectra = rvsemu.generate(**base | {name: values})
    for flux, value in zip(spectra.flux, values, strict=True):
        ax.plot(spectra.spectral_axis, flux, label=f"{value:g}")
    ax.set(xlim=(8645, 8695), ylim=(0.2, 1.05))
    ax.set_title(titles[name], fontsize=12)
    ax.legend(
        loc="upper center",
        ncols=3,
        bbox_to_anchor=(0.5, -0.02),
        handlelength=1,
        columnspacing=1,
        fontsize=10,
    )
    ax.tick_params(labelbottom=False)
for ax in axes[1]:
    ax.tick_params(labelbottom=True)
    ax.legend_.set_bbox_to_anchor((0.5, -0.12))
fig.supxlabel("wavelength in air (Å)", fontsize=12)
fig.supylabel("normalised flux", fontsize=12)
plt.show()

# %%
# The pixels of Gaia
# ------------------
#
# ``wavelength=`` takes other wavelengths, and ``medium=`` says whether they are in air
# or vacuum. Gaia's are in vacuum. In vacuum the same line of the same star lies about
# 2.35 Å further to the red, which is not a velocity.

gaia = np.linspace(846, 870, 2401) * u.nm
rvs = rvsemu.generate(5777, 4.44, resolution=11500, wavelength=gaia, medium="vacuum")
for name, spectrum in (("air", sun), ("vacuum", rvs)):
    print(
        f"deepest pixel in {name}: {spectrum.spectral_axis[np.argmin(spectrum.flux)].to(u.AA):.1f}"
    )

# %%
# A thousand spectra
# ------------------
#
# For large grids there is `Emulator.flux <rvsemu.Emulator.flux>`. It takes rows of
# plain numbers in the order of ``labels.names``, and returns an array of fluxes. It has
# no units, and does not check the range of the labels.

emulator = rvsemu.shipped("default")
print(emulator.labels.names)

random = np.random.default_rng(1)
columns = {
    "teff": random.uniform(4000, 9000, 1000),
    "logg": random.uniform(3.5, 4.8, 1000),
    "vsini": np.full(1000, 5.0),
    "mh": random.uniform(-1, 0.4, 1000),
    "vmic": np.full(1000, 1.5),
    "resolution": np.full(1000, 11500.0),
    "alpha": np.zeros(1000),  # for emulators that have it
}
grid = np.column_stack([columns[name] for name in emulator.labels.names])
flux = emulator.flux(grid)
print(flux.shape, flux.dtype)

# %%
# The depth of the strongest calcium line over this grid: it is smallest in hot stars,
# and above 5000 K it depends on metallicity at least as much as on temperature.

pixel = np.argmin(np.abs(emulator.wavelength - 8542.09))
fig, ax = plt.subplots()
points = ax.scatter(columns["teff"], 1 - flux[:, pixel], c=columns["mh"], s=12, cmap="viridis")
ax.set(xlabel="effective temperature (K)", ylabel="depth of Ca II 8542 Å")
fig.colorbar(points, label="[M/H]")
plt.show()

# %%
# Save it
# -------
#
# `rvsemu.spectra.write_spectrum` writes FITS, ECSV, CSV or VOTable, according to the
# ending of the file's name. Labels, units and medium are kept.

from tempfile import TemporaryDirectory

from specutils import Spectrum

from rvsemu.spectra import write_spectrum

with TemporaryDirectory() as folder:
    write_spectrum(sun, f"{folder}/sun.fits")
    again = Spectrum.read(f"{folder}/sun.fits")
print(again.meta["labels"]["teff"], again.meta["medium"])

# %%
# Next: :doc:`02_fit_a_star` goes the other way, from a spectrum to labels.
