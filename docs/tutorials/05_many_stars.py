"""
Many stars, and a catalogue run
===============================

Dozens of spectra from a file of the kind that the Gaia archive offers in bulk, to a
table of labels that can be interrupted, resumed and trusted. The same commands fit a
million.
"""

# %%
# A rehearsal needs no data
# -------------------------
#
# `rvsemu.spectra.write_bulk` writes simulated stars in the format of the archive,
# ``RvsMeanSpectrum_*.csv.gz``. Here are 60 stars of a made-up cluster, dwarfs and
# giants of one metallicity, at signal-to-noise ratios from 30 to 200.

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

import rvsemu
from rvsemu.catalog import read_catalog, write_report
from rvsemu.observing.flags import FLAGS
from rvsemu.spectra import write_bulk

folder = TemporaryDirectory()
here = Path(folder.name)
METALLICITY = -0.2

rng = np.random.default_rng(5)
n = 60
giant = rng.random(n) < 0.35
teff = np.where(giant, rng.uniform(4300, 5100, n), rng.uniform(4600, 6600, n))
logg = np.where(giant, 2.2 + (teff - 4300) / 800, 4.6 - (teff - 4600) / 5000)
ratio = rng.uniform(30, 200, n)
stars = rvsemu.generate(
    teff, logg, vsini=5, mh=METALLICITY, vmic=np.where(giant, 1.4, 1.1), resolution=11900
)


def observed():
    """The spectra, one after the other."""
    from specutils import Spectrum

    for i in range(n):
        star = Spectrum(
            flux=stars.flux[i], spectral_axis=stars.spectral_axis, meta={"medium": "air"}
        )
        yield rvsemu.simulate(star, signal_to_noise=ratio[i], seed=rng, source_id=1000 + i)


bulk = here / "RvsMeanSpectrum_000000-000001.csv.gz"
print(write_bulk(observed(), bulk), "spectra,", bulk.stat().st_size // 1000, "kB")

# %%
# One command
# -----------
#
# ``rvsemu catalog fit``, or `rvsemu.catalog.fit_catalog` from Python, reads the file
# row by row, fits many spectra at a time in as many processes as ``--jobs`` says, and
# writes partitions of the result as Parquet. Settings are those of `rvsemu.fit`.
# Whatever the number of processes, the table is the same to the last digit.
#
# It is a command here because a *script* that starts processes must do so under ``if
# __name__ == "__main__":``; in a notebook call the function.


def rvsemu_(*arguments):
    """Run a command of rvsemu as a shell would, in the folder of this rehearsal."""
    print("$ rvsemu", *arguments)
    done = subprocess.run(
        [sys.executable, "-m", "rvsemu", *arguments], cwd=here, capture_output=True, text=True
    )
    print(done.stdout + done.stderr)


rvsemu_("catalog", "fit", bulk.name, "-o", "labels", "--jobs", "1", "--rows", "30", "--quiet")
for path in sorted((here / "labels").iterdir()):
    print(path.name)

# %%
# A partition appears only when it is complete. After an interruption the same command
# with ``--resume`` does what is missing. With other settings or inputs it refuses, so
# that no table is made of two kinds of rows.

rvsemu_(
    "catalog",
    "fit",
    bulk.name,
    "-o",
    "labels",
    "--rows",
    "30",
    "--continuum-degree",
    "2",
    "--resume",
)

# %%
# The table
# ---------
#
# `rvsemu.catalog.read_catalog` reads columns with their units. Pandas, Polars, DuckDB
# and pyarrow read the folder, too.

table = read_catalog(
    here / "labels",
    columns=[
        "source_id",
        "signal_to_noise",
        "teff",
        "teff_error",
        "logg",
        "logg_error",
        "mh",
        "mh_error",
        "flag_bits",
    ],
)
shown = table[:5]
for name in shown.colnames:
    if shown[name].dtype.kind == "f":
        shown[name].info.format = ".3f"
shown

# %%
# Look before you select. In the Kiel diagram bars are errors; open circles are stars
# with a flag.

good = table["flag_bits"] == 0
fig, ax = plt.subplots(figsize=(7, 5))
ax.errorbar(
    table["teff"].value,
    table["logg"].value,
    table["logg_error"].value,
    table["teff_error"].value,
    fmt="none",
    color="0.75",
    lw=0.8,
    zorder=0,
)
ax.plot(teff, logg, "x", color="C1", label="put in")
ax.plot(table["teff"][good].value, table["logg"][good].value, "o", color="C0", label="fitted")
ax.plot(
    table["teff"][~good].value,
    table["logg"][~good].value,
    "o",
    mfc="none",
    color="C0",
    label="fitted, flagged",
)
ax.set(xlabel="effective temperature (K)", ylabel="log g")
ax.invert_xaxis()
ax.invert_yaxis()
fig.legend(loc="outside upper center", ncols=3)
plt.show()

# %%
# Flags, counted:

for bit, name in enumerate(FLAGS):
    count = int(np.sum(table["flag_bits"] >> bit & 1))
    if count:
        print(f"{name:18} {count}")

# %%
# The metallicity of the cluster
# ------------------------------
#
# One number from many stars: the mean of stars without flags, weighted by their errors.
# Its own error is smaller than that of any star, and honest only as far as errors of
# different stars have nothing in common. Errors of line data are shared by all stars of
# a kind, so an error this small is not to be believed for real stars.

mh, error = table["mh"][good].value, table["mh_error"][good].value
weight = error**-2
mean = np.sum(weight * mh) / np.sum(weight)
print(f"[M/H] = {mean:.3f} ± {np.sum(weight) ** -0.5:.3f}; put in were {METALLICITY}")

fig, ax = plt.subplots()
ax.errorbar(table["signal_to_noise"][good], mh, error, fmt="o", ms=4, lw=0.8)
ax.axhline(METALLICITY, color="C1", zorder=3)
ax.set(xlabel="signal to noise", ylabel="[M/H]", xscale="log")
ax.set_xticks([30, 50, 100, 200], ["30", "50", "100", "200"])
ax.minorticks_off()
plt.show()

# %%
# A page about the run
# --------------------
#
# `rvsemu.catalog.write_report` makes one HTML file with the Kiel diagram, errors
# against signal to noise, flags, and the worst fits.

write_report(here / "labels", here / "labels.html")
print((here / "labels.html").stat().st_size // 1000, "kB")
folder.cleanup()

# %%
# From a shell, with all cores of the machine:
#
# .. code-block:: sh
#
#    rvsemu catalog fit bulk/ -o labels --rows 20000
#    rvsemu catalog report labels -o labels.html
#
# :doc:`../catalog` has the columns, what happens when something goes wrong, and how
# long a million spectra take.
