"""Recipes: what is trained and how, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ..emulator.labels import ALPHA, PAPER_LABELS, LabelSpace
from ..errors import TrainingError

__all__ = ["INVERSIONS", "RECIPES", "InversionRecipe", "NetworkPlan", "Recipe", "Schedule", "Work", "recipe"]


@dataclass(frozen=True)
class NetworkPlan:
    """Hidden layer widths, their activation, dropout after the first ones, and the output's activation.

    Examples
    --------
    >>> from rvsemu.training.recipes import NetworkPlan
    >>> NetworkPlan((256, 256), "silu")
    NetworkPlan(hidden=(256, 256), activation='silu', output_activation='linear', dropout=0.0, dropout_layers=0)
    """

    hidden: tuple[int, ...]
    activation: str
    output_activation: str = "linear"
    dropout: float = 0.0
    dropout_layers: int = 0


@dataclass(frozen=True)
class Schedule:
    """How one stage is trained: Keras optimiser, batch, largest number of epochs, patience, learning rate.

    The optimiser is ``"adam"``, ``"adamax"`` or ``"muon"`` (Liu et al. 2025, :arxiv:`2502.16982`), which makes the
    momentum of each matrix orthogonal before it is added; biases and the last layer are Adam's.
    With `cosine` the rate falls to zero over `epochs`, and the stage runs to its end unless
    `patience` epochs pass without improvement. `epsilon` is the optimiser's; Keras' 1e-7 stalls Adam
    where gradients are as small as those of a flux error of 1e-3.

    Examples
    --------
    >>> from rvsemu.training.recipes import Schedule
    >>> schedule = Schedule("adam", batch=512, epochs=80, patience=80, learning_rate=4e-3, cosine=True)
    >>> schedule.epochs
    80
    """

    optimizer: str
    batch: int
    epochs: int
    patience: int
    learning_rate: float = 1e-3
    cosine: bool = False
    epsilon: float = 1e-7


@dataclass(frozen=True)
class Work:
    """One training of a recipe: folder of its draws and checkpoints, seed of everything random, and progress bars.

    Examples
    --------
    >>> from pathlib import Path
    >>> from rvsemu.training.recipes import Work
    >>> Work(Path("emulator.h5.work"), seed=1).progress
    False
    """

    folder: Path
    seed: int
    progress: bool = False


class _Common:
    """What recipes of emulators and of inversions share."""

    makes: ClassVar[str]  # what comes of it
    alpha = False
    log_labels: tuple[str, ...]
    even_labels: tuple[str, ...] = ()
    cool_share: float = 0.0
    vsini: tuple[float, float] | None
    resolution: tuple[float, float] | None

    @property
    def instrument(self) -> dict[str, list[float]]:
        """Lower and upper limit of v sin i and resolution, where they are not those of Gebran (2024)."""
        given = {"vsini": self.vsini, "resolution": self.resolution}
        return {name: list(limits) for name, limits in given.items() if limits is not None}

    def label_space(self) -> LabelSpace:
        """The labels of Gebran (2024), Table 1, with this recipe's scaling, and [alpha/M] if it takes that."""
        transforms = dict.fromkeys(self.log_labels, "log") | dict.fromkeys(self.even_labels, "even")
        labels = [replace(x, transform=transforms.get(x.name, x.transform)) for x in PAPER_LABELS]
        labels += [ALPHA] if self.alpha else []
        limits = {x.name: [x.lower, x.upper] for x in labels} | self.instrument
        return LabelSpace(tuple(replace(x, lower=limits[x.name][0], upper=limits[x.name][1]) for x in labels))

    def asdict(self) -> dict[str, Any]:
        """Plain dictionary, for the file of what comes of it."""
        assert is_dataclass(self)  # as all recipes are
        return {k: v for k, v in asdict(self).items() if k not in ("vsini", "resolution") or v is not None}


@dataclass(frozen=True)
class Recipe(_Common):
    """An emulator in the making.

    Parameters
    ----------
    name : str
    encoder, decoder, label_network : NetworkPlan
    latent : int
        Size of the latent space; its activation is the encoder's output activation.
    autoencoder_schedule, label_schedule : Schedule
    finetune_schedule : Schedule or None
        Train label network and decoder together on flux afterwards; None leaves them as linked.
    draws : int
        Broadened spectra to train and validate on.
    validation : float
        Share of LIBRARY spectra kept for validation.
    interpolate : bool
        Draw intrinsic labels anywhere in the library's box, from a Gaussian process through the
        training part of the library, instead of only at its nodes. Validation is on the library's own
        spectra either way.
    slow_share : float
        Share of training draws with vsini = 300 u^3 km/s (u uniform) rather than uniform to 300 km/s:
        most stars rotate slowly, and there the spectrum has most detail. Validation is uniform.
    cool_share : float
        Share of training draws whose labels are chosen out of many with a probability proportional to Teff^-3: spectra
        of cool stars change fastest with the labels. Used only with `interpolate`; validation is as without it.
    log_labels : tuple of str
        Labels of which the network sees the logarithm.
    even_labels : tuple of str
        Labels that act by their square: see `rvsemu.emulator.Label`.
    components : int
        Number of principal components of the training spectra that the autoencoder works on, each scaled to unit
        variance, with the loss weighted back to flux; 0 for the fluxes themselves. This linear map is merged into
        the decoder's last layer afterwards: the emulator is labels -> latent -> flux all the same.
    center : bool
        Let the autoencoder see deviations from the mean training spectrum, which is added to the
        decoder's last bias afterwards. (Fed with fluxes as they are, all near 1, most of its rectified units were
        dead and the loss stood still after ten epochs, in the run that was tried.) `components` centers anyway.
    weights : {'float16', 'float32'}
        How the emulator file holds them.
    alpha : bool
        Take libraries with the label [alpha/M], as well as such without.
    vsini, resolution : (float, float), optional
        Limits of these labels, km/s and 1; default: 0-300 and 5000-14500.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from rvsemu.training.recipes import recipe
    >>> small = replace(recipe("default"), name="small", draws=20_000, latent=24)
    >>> small.label_space().names[:2], small.decoder.activation
    (('teff', 'logg'), 'silu')
    """

    name: str
    encoder: NetworkPlan
    decoder: NetworkPlan
    label_network: NetworkPlan
    latent: int
    autoencoder_schedule: Schedule
    label_schedule: Schedule
    finetune_schedule: Schedule | None
    draws: int
    validation: float
    interpolate: bool = False
    slow_share: float = 0.0
    cool_share: float = 0.0
    log_labels: tuple[str, ...] = ()
    even_labels: tuple[str, ...] = ()
    components: int = 0
    center: bool = False
    weights: str = "float16"
    alpha: bool = False
    vsini: tuple[float, float] | None = None
    resolution: tuple[float, float] | None = None

    makes: ClassVar[str] = "emulator"


GEBRAN2024 = Recipe(
    name="gebran2024",
    encoder=NetworkPlan((1024, 512, 256, 64, 32), "relu", "relu"),
    decoder=NetworkPlan((32, 64, 256, 512, 1024), "relu"),
    label_network=NetworkPlan((5000, 2000, 512, 32), "relu", dropout=0.3, dropout_layers=3),
    latent=10,
    autoencoder_schedule=Schedule("adam", batch=512, epochs=500, patience=15),
    label_schedule=Schedule("adamax", batch=512, epochs=500, patience=15),
    finetune_schedule=None,
    draws=205_000,
    validation=0.2,
    interpolate=True,
    center=True,
)
"""Gebran (2024), Tables 2 and 3 and sections 2.2-2.3: networks, optimisers, losses, patience, batches and
split are the paper's to the letter. So is the number of spectra; but the paper's were all computed, and here their
random labels are reached by interpolating the library (`interpolate`). The paper does not say how fluxes and
labels are scaled: here fluxes are centred and labels mapped to [-1, 1]."""


def _cosine(epochs: int, learning_rate: float, optimizer: str = "adam", batch: int = 512) -> Schedule:
    return Schedule(optimizer, batch, epochs, epochs, learning_rate, cosine=True, epsilon=1e-12)


DEFAULT = Recipe(
    name="default",
    encoder=NetworkPlan((256, 256), "silu"),
    decoder=NetworkPlan((256, 256), "silu"),
    label_network=NetworkPlan((384, 384, 384), "silu"),
    latent=48,
    autoencoder_schedule=_cosine(8, 5e-3),
    label_schedule=_cosine(10, 3e-3),
    finetune_schedule=_cosine(120, 6e-3, "muon", 1024),
    draws=720_000,
    validation=0.1,
    interpolate=True,
    slow_share=0.5,
    cool_share=0.5,
    log_labels=("teff", "resolution"),
    even_labels=("vsini", "vmic"),
    components=400,
    weights="float32",
    alpha=True,
)
"""Smaller, smooth networks, fine-tuned end to end on flux."""

RECIPES = {r.name: r for r in (DEFAULT, GEBRAN2024)}


@dataclass(frozen=True)
class InversionRecipe(_Common):
    """An inversion in the making: spectra to labels.

    Parameters
    ----------
    name : str
    components : int
        Principal components of the training spectra, which the networks see.
    network : NetworkPlan
        Components to labels, each label mapped to [-1, 1].
    shared : bool
        One network for all labels, instead of one for each.
    schedule : Schedule
        Of each network.
    draws : int
        Broadened spectra to train and validate on; those to test on are ``draws * test`` more.
    test : float
        Share of the LIBRARY spectra kept for the test: they are never looked at before the end.
    validation : float
        Share of the other library spectra kept for validation, which decides when training stops and gives the
        errors of the labels.
    interpolate, slow_share, log_labels
        As in `Recipe`.
    whitened : bool
        Scale the coefficients to unit variance. (The scale goes into the network's first layer afterwards.)
    noise : float
        Each training spectrum is seen with white noise, anew in every epoch, of a standard deviation per pixel that is
        uniform between 0 and this.
    initializer : str
        Keras' name for how first weights are drawn.
    weights : {'float16', 'float32'}
        How the inversion file holds them.
    conditions : int
        Observations of validation spectra with noise, which say how observed coefficients scatter (see
        `rvsemu.training.noisy`); 0 for an inversion that has no networks for noise.
    noisy_network, forward_network : NetworkPlan or None
        Observed coefficients and their errors to labels and theirs, and labels to coefficients.
    noisy_schedule, forward_schedule : Schedule or None
    vsini, resolution : (float, float), optional
        As in `Recipe`.

    Examples
    --------
    >>> from rvsemu.training.recipes import recipe
    >>> paper = recipe("gebran2024-inversion")
    >>> paper.components, paper.shared, paper.network.hidden
    (15, False, (5000, 2000, 1000, 512, 64))
    """

    name: str
    components: int
    network: NetworkPlan
    shared: bool
    schedule: Schedule
    draws: int
    test: float
    validation: float
    interpolate: bool = True
    slow_share: float = 0.0
    log_labels: tuple[str, ...] = ()
    whitened: bool = True
    noise: float = 0.0
    initializer: str = "glorot_uniform"
    weights: str = "float32"
    conditions: int = 0
    noisy_network: NetworkPlan | None = None
    noisy_schedule: Schedule | None = None
    forward_network: NetworkPlan | None = None
    forward_schedule: Schedule | None = None
    vsini: tuple[float, float] | None = None
    resolution: tuple[float, float] | None = None

    makes: ClassVar[str] = "inversion"


GEBRAN2024_INVERSION = InversionRecipe(
    name="gebran2024-inversion",
    components=15,
    network=NetworkPlan((5000, 2000, 1000, 512, 64), "relu"),
    shared=False,
    schedule=Schedule("adamax", batch=512, epochs=200, patience=15),
    draws=40_000,
    test=0.1,
    validation=0.2,
    whitened=False,
    initializer="random_normal",
    weights="float16",
)
"""Gebran (2024), Table 4 and section 3.2: components, a network for each label, initialiser, optimiser, loss, batch and
split are the paper's to the letter, and 200 epochs are the most it needed. It does not say what stopped them, nor how
labels are scaled: here the patience is that of its other networks, and labels are mapped to [-1, 1]. Spectra come from
where those of `GEBRAN2024` come from."""


INVERSION = InversionRecipe(
    name="inversion",
    components=60,
    network=NetworkPlan((512, 512, 256), "silu"),
    shared=True,
    schedule=_cosine(60, 3e-3),
    draws=200_000,
    test=0.1,
    validation=0.1,
    slow_share=0.5,
    log_labels=("teff", "resolution"),
    noise=0.002,
    conditions=800,
    noisy_network=NetworkPlan((256, 256, 256), "silu"),
    noisy_schedule=_cosine(40, 2e-3),
    forward_network=NetworkPlan((256, 256, 256), "silu"),
    forward_schedule=_cosine(40, 4e-3),
)
"""One smaller, smooth network for all labels, which sees more components: what distinguishes slow rotators,
resolutions and microturbulences is in line profiles, whose share of the variance of the flux is below that of the
first fifteen."""

INVERSIONS = {r.name: r for r in (INVERSION, GEBRAN2024_INVERSION)}


def recipe(name: str) -> Recipe | InversionRecipe:
    """The recipe of that name; `TrainingError` if there is none.

    Examples
    --------
    >>> from rvsemu.training.recipes import recipe
    >>> recipe("gebran2024").decoder.hidden
    (32, 64, 256, 512, 1024)
    """
    known = RECIPES | INVERSIONS
    if name not in known:
        raise TrainingError(f"recipe '{name}' is unknown: use one of {', '.join(known)}.")
    return known[name]
