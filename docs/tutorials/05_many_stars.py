"""
Many stars, and a catalogue run
===============================

How do you fit thousands of spectra, and trust the table that comes out? This tutorial
makes a bulk file with a simulated cluster, fits it with one command, tries to continue
the run with other settings, and derives the metallicity of the cluster. The same
commands fit a million spectra.
"""

# %%
# A rehearsal needs no data
# -------------------------
#
# `rvsemu.spectra.write_bulk` writes spectra in the format of the archive,
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
# ``rvsemu catalog fit``, or `rvsemu.catalog.fit_catalog` in Python, reads the file row
# by row, fits many spectra at a time in as many processes as ``--jobs`` says, and
# writes the result as partitions in Parquet. The settings are those of `rvsemu.fit`.
# The table does not depend on the number of processes.
#
# The command is used here because a *script* that starts processes must do so under
# ``if __name__ == "__main__":``. In a notebook, call the function.


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
# A partition appears only when it is complete. After an interruption, the same command
# with ``--resume`` does what is missing. With other settings or inputs it refuses, so
# that no table mixes two kinds of rows:

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
# and pyarrow can read the folder as well.

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
# Look before you select. In the Kiel diagram, bars are errors and open circles are
# stars with a flag. The fits (blue) follow the labels that were put in (orange), within
# errors that are larger for noisy and hot stars.

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
# How often each flag occurs:

for bit, name in enumerate(FLAGS):
    count = int(np.sum(table["flag_bits"] >> bit & 1))
    if count:
        print(f"{name:18} {count}")

# %%
# The metallicity of the cluster
# ------------------------------
#
# The metallicity of the cluster is the mean of its stars, weighted by their errors.
# Which stars? The flag ``alpha-assumed`` is set below [M/H] = -0.3, so leaving these
# stars out would cut off one side of the distribution and raise the mean. They are open
# circles in the figure, and are kept.
#
# The error of the mean is smaller than that of any star, but it assumes that the errors
# of different stars are independent. For real stars they are not, because all stars of
# a kind share the errors of line data. Do not believe so small an error there.

usual = 1 << list(FLAGS).index("alpha-assumed")
kept = table["flag_bits"] & ~usual == 0
mh, error = table["mh"][kept].value, table["mh_error"][kept].value
weight = error**-2
mean = np.sum(weight * mh) / np.sum(weight)
print(f"[M/H] = {mean:.3f} ± {np.sum(weight) ** -0.5:.3f}; put in were {METALLICITY}")

fig, ax = plt.subplots()
ax.axhline(METALLICITY, color="C1", zorder=0, label="put in")
for which, face, label in ((good, "C0", "no flag"), (~good, "none", "alpha-assumed")):
    rows = kept & which
    ax.errorbar(
        table["signal_to_noise"][rows],
        table["mh"][rows].value,
        table["mh_error"][rows].value,
        fmt="o",
        ms=4,
        lw=0.8,
        color="C0",
        mfc=face,
        label=label,
    )
ax.set(xlabel="signal to noise", ylabel="[M/H]", xscale="log")
ax.set_xticks([30, 50, 100, 200], ["30", "50", "100", "200"])
ax.minorticks_off()
fig.legend(loc="outside upper center", ncols=3)
plt.show()

# %%
# A page about the run
# --------------------
#
# `rvsemu.catalog.write_report` makes an HTML file with the Kiel diagram, errors against
# signal to noise, flags, and the worst fits.

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
# :doc:`../catalog` describes the columns, what happens when something goes wrong, and
# how long a million spectra take.
