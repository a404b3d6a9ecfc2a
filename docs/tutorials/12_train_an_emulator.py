"""
Train an emulator
=================

How is an emulator made? This tutorial trains a small one, from the library to the finished
file. It shows what draws, autoencoder and label network are for, and how to tell whether
an emulator is good enough. It needs TensorFlow (``python -m pip install ".[train]"``) and
the library in a clone of the repository. If these pages were built without TensorFlow,
only the code is shown.
"""

# sphinx_gallery_thumbnail_path = '_static/history-default.png'

# %%
# A library
# ---------
#
# ``library/rvs_library.h5`` holds thousands of SYNSPEC spectra of four labels, without
# rotation and instrument. The toy takes those of F, G and K dwarfs, so that it is
# trained in seconds.

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

import rvsemu
from rvsemu.library import Library
from rvsemu.training.fit import r2_of, train
from rvsemu.training.recipes import NetworkPlan, Schedule, recipe

library = Library.load(Path("../../library/rvs_library.h5"))
teff, logg, mh = (library.labels[:, library.names.index(name)] for name in ("teff", "logg", "mh"))
dwarfs = library.subset((teff > 5000) & (teff < 7000) & (logg > 3.5) & (mh < 0.5))
print(len(library.labels), "spectra, of which", len(dwarfs.labels), "dwarfs")

# %%
# A recipe
# --------
#
# A recipe is data: widths of networks, numbers of components and of latent values,
# optimisers and epochs. The toy changes the default one until it is small. ``draws``
# are spectra at random rotation and resolution, made from those of the library.

toy = replace(
    recipe("default"),
    name="toy",
    encoder=NetworkPlan((48,), "silu"),
    decoder=NetworkPlan((48,), "silu"),
    label_network=NetworkPlan((64, 64), "silu"),
    latent=12,
    components=40,
    draws=800,
    interpolate=False,
    autoencoder_schedule=Schedule("adam", 64, 6, 6, 5e-3, cosine=True, epsilon=1e-12),
    label_schedule=Schedule("adam", 64, 8, 8, 5e-3, cosine=True, epsilon=1e-12),
    finetune_schedule=Schedule("adam", 64, 10, 10, 5e-3, cosine=True, epsilon=1e-12),
)

# %%
# Train
# -----
#
# First the autoencoder learns to describe spectra by latent values. Then the label
# network learns to predict these from labels. At last both are trained together,
# from labels to flux. Draws and checkpoints are in a folder beside the file; a training
# that was killed goes on where it was. ``least_r2=None`` accepts what is as poor as a
# toy must be.

folder = TemporaryDirectory()
emulator = train(dwarfs, toy, Path(folder.name) / "toy.h5", least_r2=None, progress=False)
print(emulator)

# %%
# The figure shows the loss of each epoch, for training and validation spectra. No training
# draw is of a *star* that is used for validation. If the validation loss rose while the
# training loss falls, the network would be overfitting.

stages = {
    "autoencoder": "autoencoder",
    "label_network": "label network",
    "finetune": "both together",
}
fig, axes = plt.subplots(1, 3, figsize=(7, 3.4), sharey=True)
for ax, (stage, title) in zip(axes, stages.items(), strict=True):
    losses = emulator.history[stage]
    for name, color in (("loss", "C0"), ("val_loss", "C1")):
        values = np.array(losses[name])
        ax.plot(np.arange(1, len(values) + 1), values / values[0], "o-", ms=4, color=color)
    ax.set_title(title, fontsize=11)
    ax.set(xlabel="epoch", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
axes[0].set_ylabel("loss / that of the first epoch")
fig.legend(axes[0].lines, ["training", "validation"], loc="outside upper center", ncols=2)
plt.show()

# %%
# Is it good enough?
# ------------------
#
# The file states the errors of generated spectra, measured on validation spectra with the
# weights as they were written. Here they are beside those of the shipped emulator:

for name, model in (("toy", emulator), ("default", rvsemu.shipped("default"))):
    rms = model.info["metrics"]["linked"]["rms"]
    print(f"{name:8} R2 of the flux {r2_of(model.info):.4f}, RMS error {rms:.4f}")

# %%
# The toy errs most in the strong lines of calcium and hydrogen. The error of the default
# emulator is much smaller, and nearly the same everywhere. Each file holds its errors as
# an error model, and every fit with the emulator has them in its covariance.

fig, ax = plt.subplots()
for label, model in (("toy", emulator), ("default", rvsemu.shipped("default"))):
    ax.semilogy(
        model.wavelength, np.sqrt(np.mean(model.error.sigma**2, axis=0)), lw=0.8, label=label
    )
ax.set(xlabel="wavelength in air (Å)", ylabel="RMS error of the flux", xlim=(8400, 8800))
fig.legend(loc="outside upper center", ncols=2)
plt.show()

# %%
# The same star from both, and what the toy adds to the default:

labels = {"teff": 5900, "logg": 4.3, "vsini": 20, "mh": -0.2, "vmic": 1.2, "resolution": 11500}
default = rvsemu.generate(**labels)
spectrum = rvsemu.generate(**labels, emulator=emulator)
fig, (ax, below) = plt.subplots(2, 1, figsize=(7, 4.6), sharex=True, height_ratios=[3, 1])
ax.plot(spectrum.spectral_axis, spectrum.flux, label="toy")
ax.plot(default.spectral_axis, default.flux, label="default")
below.plot(spectrum.spectral_axis, spectrum.flux - default.flux, lw=0.8)
ax.set(ylabel="normalised flux", xlim=(8480, 8700))
below.set(xlabel="wavelength in air (Å)", ylabel="difference")
fig.align_ylabels()
fig.legend(loc="outside upper center", ncols=2)
plt.show()
folder.cleanup()

# %%
# An emulator for use needs a larger library, some hundred thousand draws and the default
# recipe.
#
# .. code-block:: sh
#
#    rvsemu train --library library/default.txt --recipe default -o emulator.h5
#    rvsemu info emulator.h5
#
# :doc:`../training` describes the stages in detail, and :doc:`../model` the accuracy of the
# shipped networks.
