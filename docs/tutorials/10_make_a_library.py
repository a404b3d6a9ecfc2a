"""
Make a library with SYNSPEC
===========================

Where do the synthetic spectra come from, and how can you make more? **This tutorial is not
executed** when these pages are built: SYNSPEC needs a Fortran compiler and its data, and
each spectrum takes some seconds. The library of the shipped emulators was made with
commands like these, and the tests run them for two spectra.
"""

# sphinx_gallery_thumbnail_path = '_static/validation-default.png'

# %%
# Set up
# ------
#
# Install a Fortran compiler. Then one command downloads SYNSPEC, structures and line lists,
# checks them, compiles, and computes the solar Ca II line at 8542 Å as a trial.
#
# .. code-block:: sh
#
#    apt-get install gfortran     # elsewhere: brew install gcc, conda install gfortran
#    rvsemu synthesize setup
#
# :doc:`../synthesis` lists what is downloaded and its licences, and says how to do without
# a network.

# %%
# One star
# --------
#
# Look at one spectrum before you compute a thousand.
# `rvsemu.library.synthesis.synthesize` computes that of one star, without rotation and
# instrument.

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
# Labels come from a sequence that fills the box evenly. Each spectrum is written as soon as
# it is finished, so the command can be killed at any time and started again.
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
# `rvsemu.library.Library` reads the file. A library has labels, fluxes, wavelengths, and
# all settings that are needed to repeat it.

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
# Make it smaller
# ---------------
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
