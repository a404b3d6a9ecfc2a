"""An inversion whose answer is known, and spectra for it."""

from dataclasses import replace

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from rvsemu.emulator import DenseNetwork, Layer
from rvsemu.emulator.pca import PrincipalComponents
from rvsemu.inversion import Inversion, LabelErrors, Limits
from rvsemu.physics.wavelengths import air_to_vacuum, doppler
from rvsemu.training.recipes import recipe

WAVELENGTH = 8400.0 + 0.1 * np.arange(4000)
K = 6
SPACE = recipe("inversion").label_space()  # teff and resolution enter as logarithms


def exact_inversion(seed=1):
    """An inversion whose answer is known: labels are linear in the coefficients, one label a component.

    Component i is a smooth pattern; c_i = 2 z_i, z the scaled labels: a star with labels z has the spectrum
    mean + sum 2 z_i spread_i basis_i.
    """
    rng = np.random.default_rng(seed)
    centres = rng.uniform(8440, 8760, (60, 1))
    lines = np.exp(-0.5 * ((WAVELENGTH - centres) / rng.uniform(0.8, 4.0, (60, 1))) ** 2)
    basis = np.linalg.qr((rng.normal(size=(K, 60)) @ lines).T)[0].T
    spread = np.array([3.0, 2.0, 1.2, 0.9, 0.7, 0.5])
    mean = 0.8 - 0.3 * rng.random(60) @ lines / 3
    network = DenseNetwork([Layer(0.5 * np.eye(K, dtype="f4"), np.zeros(K, "f4"))])
    error = LabelErrors(
        np.array([4000.0, 8000.0]), np.array([0.0, 300.0]), np.tile(0.01 * (SPACE.upper - SPACE.lower), (2, 2, 1))
    )
    principal = PrincipalComponents(mean, basis, spread)
    residual, limits = np.full(4000, 1e-3), Limits(4.0, 2e-3)
    info = {"recipe": "exact", "version": "1"}
    return Inversion(SPACE, principal, (network,), WAVELENGTH, "air", error, residual, limits, info=info)


def fluxes(inversion, z):
    return inversion.principal.mean + (2 * z * inversion.principal.spread) @ inversion.principal.basis


def observed(inversion, z, sigma=1e-4, velocity=0.0, continuum=(1.0, 0.0), rng=None):
    """A spectrum of one star as the RVS has it: vacuum, 8460-8700 A, a continuum of this level and tilt."""
    vacuum = np.linspace(8460.0, 8700.0, 2401)
    rest = doppler(WAVELENGTH, velocity)
    axis = air_to_vacuum(rest)
    flux = np.interp(vacuum, axis, fluxes(inversion, z))
    level = continuum[0] * (1 + continuum[1] * np.linspace(-1, 1, 2401))
    noise = 0.0 if rng is None else sigma * rng.normal(size=2401)
    return Spectrum(
        spectral_axis=vacuum * u.AA,
        flux=level * (flux + noise) * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(level * sigma),
        meta={"medium": "vacuum", "frame": "rest", "source_id": 7},
    )


PLAIN = {"mask": None, "noise_correlation": (), "model_error": None}


def star_labels():
    """Scaled labels (n, 6), well inside of the box."""
    return np.random.default_rng(2).uniform(-0.8, 0.8, (12, K))


def meant(result):
    """Flags of each star by its labels alone: a cool star that rotates fast, and one that is poor in metals."""
    columns = [np.atleast_1d(result.labels[name].value) for name in ("teff", "vsini", "mh")]
    columns.append(np.atleast_1d(result.errors["vsini"].value))
    rows = zip(*columns, strict=True)
    found = [((teff < 6250 and vsini - 2 * error > 10), mh < -0.3) for teff, vsini, mh, error in rows]
    return [("broad-lines",) * bool(fast) + ("alpha-assumed",) * bool(poor) for fast, poor in found]


def meant_without_noise(result):
    """The same of a spectrum that has errors but no noise, which is smoother than any noise."""
    return [(*flags, "smooth-noise") for flags in meant(result)]


def scaled(result):
    return SPACE.scaled(np.array([result.labels[name].value for name in SPACE.names]).T)


def curved(exact, seed=3):
    """The same with a network that is not linear."""
    rng = np.random.default_rng(seed)
    layers = [
        Layer((0.4 * rng.normal(size=(K, 20))).astype("f4"), rng.normal(size=20).astype("f4"), "silu"),
        Layer((0.2 * rng.normal(size=(20, K))).astype("f4"), np.zeros(K, "f4")),
    ]
    return replace(exact, networks=(DenseNetwork(layers),))
