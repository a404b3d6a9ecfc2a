"""
Air, vacuum and radial velocity
===============================

Each line has two wavelengths, one in air and one in vacuum. In the range of the RVS
the difference looks like a velocity of 82 km/s. This tutorial shows how rvsemu keeps
the two apart, what happens if the wrong one is stated, and how a fit finds the
velocity of a star.
"""

# %%
# Two wavelengths for one line
# ----------------------------
#
# Light is slower in air, where wavelengths are shorter by the index of refraction. By
# custom, line lists and the emulator are in air. Gaia's spectra are in vacuum.
# `rvsemu.physics.wavelengths` converts with the formula of Morton (2000).

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SpectrumError
from rvsemu.physics.wavelengths import air_to_vacuum, convert_medium, doppler

calcium = np.array([8498.02, 8542.09, 8662.14])
vacuum = air_to_vacuum(calcium)
for air, other in zip(calcium, vacuum, strict=True):
    print(
        f"Ca II {air} Å in air = {other:.2f} Å in vacuum: {299792.458 * (other / air - 1):.1f} km/s"
    )

# %%
# Over the whole range the shift is nearly a constant velocity. Only the positions of
# the lines can give it away.

wave = np.linspace(8400, 8800, 200)
shift = air_to_vacuum(wave) - wave
fig, (ax, below) = plt.subplots(2, 1, figsize=(7, 4.6), sharex=True)
ax.plot(wave, shift)
ax.set(ylabel="vacuum - air (Å)")
below.plot(wave, shift / wave * 299792.458, color="C1")
below.set(xlabel="wavelength in air (Å)", ylabel="as a velocity (km/s)", ylim=(80, 85))
fig.align_ylabels()
plt.show()

# %%
# rvsemu never guesses
# --------------------
#
# Every spectrum says its medium in ``meta["medium"]``. Without it a fit is refused, as
# the numbers alone cannot tell.

(star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
print("Gaia's spectrum is in", star.meta["medium"])

unknown = Spectrum(
    flux=star.flux, spectral_axis=star.spectral_axis, uncertainty=star.uncertainty, mask=star.mask
)
try:
    rvsemu.fit(unknown)
except SpectrumError as error:
    print(error)

# %%
# What a wrong medium does
# ------------------------
#
# If the spectrum of Kepler-93 is said to be in air, it is fitted as well as before,
# with the same labels. The radial velocity takes up the whole error of 82 km/s. The
# flag ``not-at-rest`` warns of it, because Gaia's mean spectra should be at rest. In any
# other frame nothing would look wrong.

right = rvsemu.fit(star)
said = Spectrum(
    flux=star.flux,
    spectral_axis=star.spectral_axis,
    uncertainty=star.uncertainty,
    mask=star.mask,
    meta=star.meta | {"medium": "air"},
)
wrong = rvsemu.fit(said)
for name, result in (("in vacuum", right), ("said to be in air", wrong)):
    text = f"Teff {result.teff:.0f}, reduced chi2 {result.reduced_chi2:.2f}"
    print(f"{name:18} RV {result.radial_velocity:5.1f}, {text}")

# sphinx_gallery_thumbnail_number = 2
fig, ax = plt.subplots()
ax.plot(star.spectral_axis.to("AA"), star.flux, color="k", lw=1, label="Kepler-93, in vacuum")
for medium, color in (("vacuum", "C0"), ("air", "C1")):
    model = rvsemu.generate(
        right.teff,
        right.logg,
        mh=right.mh,
        wavelength=star.spectral_axis,
        medium=medium,
        resolution=11900,
    )
    ax.plot(
        star.spectral_axis.to("AA"),
        model.flux,
        color=color,
        lw=1.4,
        zorder=0,
        label=f"model in {medium}",
    )
ax.set(xlim=(8535, 8555), xlabel="wavelength of the pixels (Å)", ylabel="normalised flux")
ax.set_xticks(np.arange(8535, 8556, 5))
fig.legend(loc="outside upper center", ncols=3, fontsize=10)
plt.show()

# %%
# Frames
# ------
#
# Gaia's mean spectra are in the rest frame of the star, as far as its velocity was
# known. Their ``meta["frame"]`` is ``"rest"``, and the velocity is searched within 100
# km/s of zero. Spectra in the barycentric frame are searched within 1000 km/s. A
# positive velocity moves away from us, towards red wavelengths.

sun = rvsemu.generate(5777, 4.44, vsini=2, resolution=11900)
fast = rvsemu.simulate(
    sun, signal_to_noise=50, seed=2, radial_velocity=-310 * u.km / u.s, frame="barycentric"
)
result = rvsemu.fit(fast)
print(f"put in -310 km/s, found {result.text('radial_velocity')} km/s")
print(f"the line at 8542.09 Å is at {doppler(air_to_vacuum(8542.09), -310):.2f} Å in vacuum")

# %%
# Why are all velocities searched? The figure shows the mean squared residual at each
# velocity, with the labels of the best fit. The deep minimum is a few hundred km/s
# wide, because the calcium lines have broad wings. Outside it the curve is nearly flat,
# with shallow minima of its own. A fit that starts there would end in one of them.
# `rvsemu.fit` therefore looks at all velocities first. `rvsemu.RVSModel` leaves the
# search to you, and needs a start near the truth.

velocities = np.arange(-1000, 1001, 5.0)
pixels = fast.spectral_axis.to_value(u.AA)
emulator = rvsemu.shipped()
template = rvsemu.generate(**{name: result.labels[name] for name in emulator.labels.names})
rest = convert_medium(template.spectral_axis.value, "air", "vacuum")
squares = []
for v in velocities:
    shifted = doppler(pixels, -v)
    inside = (shifted > rest[0]) & (shifted < rest[-1])
    model = np.interp(shifted[inside], rest, template.flux.value)
    squares.append(np.mean((fast.flux.value[inside] - model) ** 2))

fig, ax = plt.subplots()
ax.plot(velocities, squares)
ax.axvline(-310, color="C1", ls="--", label="put in")
ax.set(xlabel="radial velocity (km/s)", ylabel="mean squared residual")
fig.legend(loc="outside upper center")
plt.show()

# %%
# Barycentric or heliocentric? rvsemu changes no frame, and does not correct for the
# motion of the Earth or the spacecraft, or for gravitational redshift. Gaia's spectra are
# barycentric or at rest.
