"""
Import somebody else's library
==============================

An emulator can be trained on any synthetic spectra with labels. This tutorial imports a
small library of text files, and shows what the importer checks. Most mistakes with other
people's spectra raise no error, and make all labels wrong.
"""

# %%
# A library of somebody else
# --------------------------
#
# As an example, 12 spectra are written to text files with a table of labels, as many codes
# do. They come from the emulator here; yours would come from Korg, PySME, Turbospectrum or
# a published grid. rvsemu imports more than ten formats (:doc:`../libraries`).

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

import rvsemu
from rvsemu.library.importing import Settings, import_library

folder = TemporaryDirectory()
theirs = Path(folder.name) / "theirs"
theirs.mkdir()

rng = np.random.default_rng(2)
n = 12
labels = Table(
    {
        "file": [f"star{i:02}.txt" for i in range(n)],
        "teff": rng.uniform(4800, 6800, n).round(),
        "logg": rng.uniform(3.8, 4.7, n).round(2),
        "mh": rng.uniform(-0.8, 0.3, n).round(2),
        "vmic": rng.uniform(0.8, 1.6, n).round(2),
    }
)
spectra = rvsemu.generate(
    labels["teff"], labels["logg"], mh=labels["mh"], vmic=labels["vmic"], resolution=14500
)
wave = spectra.spectral_axis.value
for name, flux in zip(labels["file"], spectra.flux.value, strict=True):
    np.savetxt(theirs / name, np.column_stack([wave, flux]), fmt="%.4f %.6f")
labels.write(theirs / "labels.ecsv")

# %%
# Import
# ------
#
# ``rvsemu library import``, or `rvsemu.library.importing.import_library` from Python.
# The format ``table`` is for text files with a table of labels. State the medium, or let
# it be measured from the calcium triplet. The range is limited here because the example
# covers no more.

settings = Settings(
    labels=theirs / "labels.ecsv", medium="air", resolution=14500, limits=(8402.0, 8798.0)
)
library, report = import_library(theirs, "table", settings, progress=False)
print(library.names, library.flux.shape, library.medium)
print(len(report.used), "used,", len(report.left_out), "left out")

# %%
# The result is a library like rvsemu's own: normalised fluxes in air, averaged over bins,
# so that equivalent widths are conserved.

order = np.argsort(library.labels[:, list(library.names).index("teff")])
fig, ax = plt.subplots()
for k, i in enumerate(order[[0, n // 2, -1]]):
    teff = library.labels[i, list(library.names).index("teff")]
    ax.plot(library.wavelength, library.flux[i] + 0.5 * k, label=f"{teff:.0f} K")
ax.set(xlabel="wavelength in air (Å)", ylabel="flux + offset", xlim=(8480, 8700))
fig.legend(loc="outside upper center", ncols=3)
plt.show()

# %%
# Three silent mistakes
# ---------------------
#
# **The medium.** If the same files are said to be in vacuum, their calcium lines are not
# where they should be:

for medium in ("air", "vacuum"):
    wrong = Settings(
        labels=theirs / "labels.ecsv", medium=medium, resolution=14500, limits=(8402.0, 8798.0)
    )
    try:
        found, report = import_library(theirs, "table", wrong, progress=False)
        print(medium, "->", len(found.flux), "spectra imported")
    except rvsemu.RvsemuError as error:
        print(medium, "->", str(error).replace(folder.name, "...")[:300])

# %%
# **Labels that contradict each other.** If the header of a file and the table disagree, the
# spectrum is left out, with the reason in the report.
#
# **Flux that is not normalised.** A library without a continuum needs a pseudo-continuum,
# which has to be asked for (``pseudo_continuum=``), because below 4200 K no polynomial finds
# one. Here the first spectrum has been multiplied by 3:

np.savetxt(
    theirs / "star00.txt", np.column_stack([wave, 3 * spectra.flux.value[0]]), fmt="%.4f %.6f"
)
found, report = import_library(theirs, "table", settings, progress=False)
print(len(found.flux), "spectra imported")
for name, reason in report.left_out.items():
    print(f"{name}: {reason}")
folder.cleanup()

# %%
# From a shell, with one of the formats that have a name:
#
# .. code-block:: sh
#
#    rvsemu library import --format bosz2024 --within logg=2,5 -o bosz.h5 bosz2024/
#    rvsemu library info bosz.h5
#    rvsemu train --library bosz.h5 -o emulator.h5
#
# Training needs at least 50 spectra, from 8388 to 8812 Å, at a resolution above 14,500:
# :doc:`12_train_an_emulator`.
