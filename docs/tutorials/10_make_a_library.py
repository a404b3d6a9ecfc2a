"""
Make a library with SYNSPEC
===========================

Where do the synthetic spectra come from, and how would you make others? **This tutorial
is not executed** when these pages are built: SYNSPEC needs a Fortran compiler and its
data, and every spectrum some seconds. Commands like these made the library of the
shipped emulators, and the tests run them, for two spectra.
"""

# sphinx_gallery_thumbnail_path = '_static/validation-default.png'

# %%
# Set up
# ------
#
# A Fortran compiler, then one command that fetches SYNSPEC, structures and line lists,
# checks them, compiles, and computes the solar Ca II line at 8542 Å as a trial.
#
# .. code-block:: sh
#
#    apt-get install gfortran     # elsewhere: brew install gcc, conda install gfortran
#    rvsemu synthesize setup
#
# What is fetched, its licences, and how to do it without a network:
# :doc:`../synthesis`.

# %%
# One star
# --------
#
# Before a thousand, look at one. `rvsemu.library.synthesis.synthesize` computes the
# spectrum of one star, without rotation and instrument.

import matplotlib.pyplot as plt

from rvsemu.library import Library
from rvsemu.library.synthesis import Settings, Workspace, synthesize

settings = Settings()
print(settings.names)
spectrum = synthesize([5777, 4.44, 0.0, 1.0], settings, Workspace.open())

wavelength = (settings.edges[1:] + settings.edges[:-1]) / 2
fig, ax = plt.subplots()
ax.plot(wavelength, spectrum.flux, lw=0.6)
ax.set(xlabel="wavelength in air (Å)", ylabel="flux / continuum", title="The Sun, unbroadened")
plt.show()

# %%
# A library
# ---------
#
# Labels are drawn from a sequence that covers the box evenly. Each spectrum is on the
# disk as soon as it is finished: kill the command whenever you like, and start it
# again.
#
# .. code-block:: sh
#
#    rvsemu synthesize run --n 2000 --seed 1 --out library.h5
#    rvsemu synthesize status library.h5
#
# Only F, G and K dwarfs? Limit the box; the library is then denser where you need it.
#
# .. code-block:: sh
#
#    rvsemu synthesize run --n 500 --teff 4500,7000 --logg 4,5 --out dwarfs.h5

# %%
# Look at it
# ----------
#
# `rvsemu.library.Library` reads the file. A library has labels, fluxes, wavelengths,
# and all that is needed to make it again.

library = Library.load("library.h5")
print(library.names, library.flux.shape, library.medium)

teff = library.labels[:, library.names.index("teff")]
fig, ax = plt.subplots()
for i in teff.argsort()[:: len(teff) // 4]:
    ax.plot(library.wavelength, library.flux[i], lw=0.6, label=f"{teff[i]:.0f} K")
ax.set(xlabel="wavelength in air (Å)", ylabel="flux / continuum")
fig.legend(loc="outside upper center", ncols=5)
plt.show()

# %%
# Compact it
# ----------
#
# At full resolution a spectrum has 11,000 pixels. Smoothed to R = 30,000, which is far
# above the instrument, it takes four tenths of the space, and emulators cannot tell the
# difference.
#
# .. code-block:: sh
#
#    rvsemu library compact library.h5 -o compact.h5
#
# The next step is :doc:`12_train_an_emulator`.
