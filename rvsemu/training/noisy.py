"""Train an inversion's networks for noise: on coefficients that scatter as those of observed spectra do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from astropy import units as u
from scipy.spatial import cKDTree
from specutils import Spectrum
from tqdm import tqdm

from .._storage import arrays_of, replacing
from ..errors import SpectrumError, TrainingError
from ..inversion import Inversion, fit_coefficients
from ..inversion.noisy import NoiseNetworks, network_inputs
from ..observing.masks import DEFAULT_MASK
from ..observing.noise import MODEL_ERRORS, NoiseModel
from ..observing.observation import Observation
from ..observing.simulate import RELEASES, simulate
from .export import rounded
from .recipes import InversionRecipe, NetworkPlan, Schedule, Work

__all__ = ["Conditions", "check_observable", "make_conditions", "train_noisy"]

_SIGNAL_TO_NOISE = (8.0, 1000.0)
_CCDS = (7, 100)
_VELOCITY, _CONTINUUM = 5.0, 0.02  # largest of the first, km/s, and scatter of the second's coefficients
_MARGIN = 15.0  # km/s
_USUAL = 0.8  # of the observations: in the pixels of DR3, or with the default mask, model error or continuum
_DEGREES = (0, 7)
_LEADING = 8  # components that tell which spectra are alike
_NEAR = 32  # conditions of a spectrum
_RESOLUTION = (11900.0, 450.0)  # of the RVS
_OTHERS = 0.1  # of the spectra: any resolution
_TRIES = 1000  # for one observation; the usual number is 1
_TO_SIGMA = 1.4826  # of a normal distribution, from the median of absolute deviations


@dataclass(frozen=True)
class Conditions:
    """Under what conditions spectra were observed, and what it does to their coefficients.

    True coefficients c are found as ``(1 - S) c`` on average, with the covariance ``S - S^2``: S is the covariance of a
    least-squares fit with the prior N(0, 1), so that data of the information S^-1 - 1 made it.

    Parameters
    ----------
    coefficients : ndarray, shape (m, k)
        True ones of the spectra that were observed.
    covariance : ndarray, shape (m, k, k)
        The S of each.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.training.noisy import Conditions
    >>> conditions = Conditions(np.zeros((5, 2)), np.tile(np.diag([0.01, 0.5]), (5, 1, 1)))
    >>> bool(conditions.weights[0] > conditions.weights[1])                    # the first is known better
    True
    >>> observe = conditions.noise(np.zeros((3, 2)))
    >>> observe(np.random.default_rng(1), np.zeros((3, 2), "f4"), np.arange(3)).shape
    (3, 4)
    """

    coefficients: np.ndarray
    covariance: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """How much an error of each coefficient (k,) matters: the better it is known, the more; 1 on average."""
        known = 1.0 / np.median(np.diagonal(self.covariance, axis1=1, axis2=2), axis=0)
        return known / known.mean()

    def noise(self, coefficients: np.ndarray) -> Observed:
        """What observes spectra with true `coefficients` (n, k), each under conditions of spectra like it."""
        near = min(_NEAR, len(self.coefficients))
        tree = cKDTree(self.coefficients[:, :_LEADING])
        alike = np.reshape(tree.query(coefficients[:, :_LEADING], near)[1], (len(coefficients), near))
        s, vectors = np.linalg.eigh(self.covariance)
        s = np.clip(s, 0.0, 1.0)[:, None, :]
        transposed = np.swapaxes(vectors, 1, 2)
        kept = (vectors * (1.0 - s)) @ transposed
        root = (vectors * np.sqrt(s * (1.0 - s))) @ transposed
        variance = np.diagonal(self.covariance, axis1=1, axis2=2)
        return Observed(alike, kept.astype("f4"), root.astype("f4"), variance.astype("f4"))


@dataclass(frozen=True)
class Observed:
    """Inputs of the network for noise, made of true coefficients; called anew for each batch.

    Parameters
    ----------
    alike : ndarray of int, shape (n, near)
        Conditions for each of n spectra.
    kept, root : ndarray, shape (m, k, k)
        What becomes of true coefficients, and of white noise.
    variance : ndarray, shape (m, k)
    """

    alike: np.ndarray
    kept: np.ndarray
    root: np.ndarray
    variance: np.ndarray

    def __call__(self, rng: np.random.Generator, coefficients: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Inputs (r, 2 k) for the true coefficients (r, k) of the spectra with the numbers `rows` (r,)."""
        chosen = self.alike[rows, rng.integers(self.alike.shape[1], size=len(rows))]
        white = rng.standard_normal(coefficients.shape, dtype="f4")
        found = (self.kept[chosen] @ coefficients[:, :, None] + self.root[chosen] @ white[:, :, None])[:, :, 0]
        return network_inputs(found, self.variance[chosen])


def make_conditions(inversion: Inversion, flux: np.ndarray, count: int, work: Work) -> Conditions:
    """Observe some of the spectra `flux` (n, n_pixels) with `rvsemu.simulate`; kept in the folder of the work.

    Signal to noise is log-uniform from 8 to 1000, the spectra are of 7 to 100 CCD spectra, in the pixels of Gaia DR3 or
    DR4, with the masks, model error and continuum that `rvsemu.invert` takes by default, or others.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> from rvsemu.inversion import shipped_inversion
    >>> from rvsemu.training.noisy import make_conditions
    >>> from rvsemu.training.recipes import Work
    >>> flux = rvsemu.generate(teff=[4500, 5500, 6500], logg=4.4, resolution=11900).flux.value
    >>> with TemporaryDirectory() as folder:
    ...     conditions = make_conditions(shipped_inversion(), flux, 2, Work(Path(folder), seed=1))
    >>> conditions.covariance.shape[:1], conditions.coefficients.shape[:1]
    ((2,), (2,))
    """
    file = work.folder / "conditions.npz"
    if not file.exists():
        check_observable(inversion.wavelength, inversion.medium)
        rng = np.random.default_rng([work.seed, count])
        bar = tqdm(range(count), desc="conditions", disable=not work.progress, mininterval=1.0)
        found = [_observable(inversion, flux, rng) for _ in bar]
        true, covariance = (np.array(part) for part in zip(*found, strict=True))
        with replacing(file) as temporary, open(temporary, "wb") as opened:
            np.savez(opened, coefficients=true, covariance=covariance)
    saved = arrays_of(file, TrainingError, "delete it, and it is made again")
    return Conditions(saved["coefficients"], saved["covariance"])


def _observable(inversion, flux, rng) -> tuple[np.ndarray, np.ndarray]:
    """What `_observed` gives of the first of random spectra for which it gives something."""
    reason = None
    for _ in range(_TRIES):
        try:
            return _observed(inversion, flux[rng.integers(len(flux))], rng)
        except SpectrumError as e:  # too noisy for a continuum
            reason = e
    raise TrainingError(
        f"none of {_TRIES} spectra in a row could be observed ({reason}): check the library, whose spectra must have "
        "continua."
    )


def check_observable(wavelength: np.ndarray, medium: str) -> None:
    """Refuse wavelengths (n_pixels,), Angstrom, at which stars cannot be observed as `make_conditions` does.

    Raises
    ------
    TrainingError
        They do not cover what the RVS observes, or too coarsely.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.training.noisy import check_observable
    >>> check_observable(np.arange(8400.0, 8800.0, 0.1), "air")
    """
    flat = _star(wavelength, medium, np.ones(len(wavelength)))
    for release in RELEASES:
        for velocity in (-_VELOCITY, _VELOCITY):
            try:
                simulate(flat, signal_to_noise=_SIGNAL_TO_NOISE[1], release=release, radial_velocity=velocity, seed=1)
            except SpectrumError as e:
                raise TrainingError(
                    f"the spectra to train on cannot be observed, as a recipe with conditions needs ({e}): such an "
                    "inversion is trained for the range of the RVS alone; give a library of it, or a recipe without "
                    "conditions, e.g. gebran2024-inversion."
                ) from None


def _star(wavelength, medium, flux) -> Spectrum:
    return Spectrum(
        spectral_axis=wavelength * u.AA,
        flux=np.asarray(flux, dtype=float) * u.dimensionless_unscaled,
        meta={"medium": medium},
    )


def _observed(inversion, flux, rng) -> tuple[np.ndarray, np.ndarray]:
    """True coefficients (k,) and covariance (k, k) of one observation."""
    usual = rng.random(4) < _USUAL
    star = _star(inversion.wavelength, inversion.medium, flux)
    velocity = rng.uniform(-_VELOCITY, _VELOCITY)
    spectrum = simulate(
        star,
        signal_to_noise=float(np.exp(rng.uniform(*np.log(_SIGNAL_TO_NOISE)))),
        seed=rng,
        ccds=int(rng.integers(*_CCDS)),
        release=list(RELEASES)[0 if usual[0] else 1],
        radial_velocity=velocity,
        continuum=_CONTINUUM * rng.normal(size=3),
    )
    observation = Observation.from_spectrum(
        spectrum, inversion, mask=DEFAULT_MASK if usual[1] else None, velocities=(-_MARGIN, _MARGIN)
    )
    noise = NoiseModel(observation.noise.correlation, MODEL_ERRORS["gaia-rvs"] if usual[2] else None)
    degree = 3 if usual[3] else int(rng.integers(*_DEGREES))
    found = fit_coefficients(inversion, observation, velocity, degree, noise, move=True)
    return inversion.coefficients(flux)[0], found.covariance


def train_noisy(
    recipe: InversionRecipe,
    inversion: Inversion,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    conditions: Conditions,
    work: Work,
) -> tuple[NoiseNetworks, dict[str, dict[str, np.ndarray]], dict[str, dict[str, float]]]:
    """Networks for noise, trained.

    Parameters
    ----------
    recipe : InversionRecipe
    inversion : Inversion
        Whose components they take.
    training, validation : tuple of ndarray
        Coefficients (n, k) and labels (n, n_labels).
    conditions : Conditions
    work : Work

    Notes
    -----
    What a noisy spectrum leaves open the network fills with what was likely in training. Nine of ten spectra are
    picked to have the resolution of the RVS, 11900 +- 450; the others have any.

    Returns
    -------
    NoiseNetworks
    dict of dict
        Loss curves.
    dict of dict
        How far off labels of validation spectra with noise are.

    Examples
    --------
    >>> from rvsemu.training.noisy import train_noisy
    >>> networks, history, metrics = train_noisy(
    ...     recipe, inversion, (c, labels), (c_val, labels_val), conditions, work
    ... )  # minutes; rvsemu.training.inversion.train_inversion calls it  # doctest: +SKIP
    """
    from .networks import build_noisy, compiled, compiled_gaussian, to_numpy
    from .stages import run_stage

    space, rng, history = inversion.labels, np.random.default_rng([work.seed, 1]), {}
    plans, schedules = _plans(recipe)
    noisy, forward = build_noisy(plans, training[0].shape[1], len(space), work.seed)
    sets = [(c.astype("f4"), space.scaled(x).astype("f4")) for c, x in (training, validation)]
    picked = []
    for (c, z), (_, x) in zip(sets, (training, validation), strict=True):
        rows = _likely(space, x, rng)
        picked.append((c[rows], z[rows]))
    observe, observe_validation = (conditions.noise(c) for c, _ in picked)
    c_val, z_val = picked[1]
    seen = observe_validation(rng, c_val, np.arange(len(c_val))), z_val
    compiled_gaussian(noisy, schedules[0])
    history["noisy"] = run_stage(noisy, schedules[0], picked[0], seen, work, "noisy", observe)
    compiled(forward, schedules[1], conditions.weights)
    (c, z), (c_val, z_val) = sets
    history["forward"] = run_stage(forward, schedules[1], (z, c), (z_val, c_val), work, "forward")
    first, second = (rounded(to_numpy(model), recipe.weights) for model in (noisy, forward))
    error = np.sqrt(np.mean((second(z_val) - c_val) ** 2, axis=0, dtype="f8"))
    middle = np.median(picked[0][1], axis=0)
    spread = _TO_SIGMA * np.median(np.abs(picked[0][1] - middle), axis=0)
    networks = NoiseNetworks(first, second, error, np.array([middle, spread], dtype=float))
    arrays = {name: {key: np.array(values) for key, values in curves.items()} for name, curves in history.items()}
    return networks, arrays, _measured(space, networks, *seen)


def _plans(recipe: InversionRecipe) -> tuple[tuple[NetworkPlan, NetworkPlan], tuple[Schedule, Schedule]]:
    """Networks and schedules, from coefficients and to them."""
    plans, schedules = (recipe.noisy_network, recipe.forward_network), (recipe.noisy_schedule, recipe.forward_schedule)
    if None in plans or None in schedules:
        raise TrainingError(f"recipe {recipe.name} has conditions, but not all networks and schedules for noise.")
    return cast(tuple[NetworkPlan, NetworkPlan], plans), cast(tuple[Schedule, Schedule], schedules)


def _measured(space, networks, inputs, scaled) -> dict[str, dict[str, float]]:
    """RMS errors of labels of observed validation spectra, and the same in stated errors."""
    found, error = networks.of_inputs(inputs)
    deviation = space.unscaled(found) - space.unscaled(scaled)
    parts = {"validation_observed": deviation, "validation_observed_over_stated": (found - scaled) / error}
    return {
        key: dict(zip(space.names, np.sqrt(np.mean(part**2, axis=0)).tolist(), strict=True))
        for key, part in parts.items()
    }


def _likely(space, labels, rng) -> np.ndarray:
    """As many rows of `labels` (n, n_labels) as there are, picked so that resolutions are mostly those of the RVS."""
    if "resolution" not in space.names:
        return np.arange(len(labels))
    resolution, label = labels[:, space.names.index("resolution")], space["resolution"]
    mean, sigma = _RESOLUTION
    density = np.exp(-0.5 * ((resolution - mean) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    weight = _OTHERS + (1.0 - _OTHERS) * (label.upper - label.lower) * density
    return np.sort(rng.choice(len(labels), len(labels), p=weight / weight.sum()))
