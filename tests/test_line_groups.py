"""Flags of lines of one element that want another strength than labels give them."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.observing.line_groups import GROUPS, scores
from rvsemu.physics.lines import CALCIUM_TRIPLET, NITROGEN, PASCHEN

A_STAR = {"teff": 9000, "logg": 4.0, "vsini": 60, "mh": 0.0, "vmic": 2.7, "resolution": 11900}
G_STAR = {"teff": 5700, "logg": 4.4, "vsini": 4, "mh": 0.0, "vmic": 1.0, "resolution": 11900}
NEW = {"emission", *(group.flag for group in GROUPS)}


def gaussians(wavelength, lines, width):
    return sum(np.exp(-0.5 * ((wavelength - line) / width) ** 2) for line in lines)


def spectra(labels, change, seeds=3, signal_to_noise=150):
    """Observed ones of a star; `change` is added to its flux over the continuum."""
    star = rvsemu.generate(**labels)
    wavelength = star.spectral_axis.to_value(u.AA)
    flux = (star.flux.value + change(wavelength, star.flux.value)) * u.one
    changed = Spectrum(spectral_axis=star.spectral_axis, flux=flux, meta={"medium": "air"})
    return [rvsemu.simulate(changed, signal_to_noise=signal_to_noise, ccds=40, seed=seed) for seed in range(seeds)]


def flags(*arguments, **options):
    """What each of some spectra has of these flags."""
    return [NEW & set(result.flags) for result in fit_many(spectra(*arguments, **options))]


@pytest.mark.parametrize(
    ("lines", "width", "size", "flag"),
    [
        (PASCHEN, 2.0, 0.04, "lines-disagree:hydrogen"),
        (PASCHEN, 1.5, -0.05, "lines-disagree:hydrogen"),
        (NITROGEN, 1.5, -0.03, "lines-disagree:nitrogen"),
        (CALCIUM_TRIPLET, 2.0, 0.1, "emission"),
    ],
)
def test_lines_of_hot_stars_that_labels_do_not_give(lines, width, size, flag):
    found = flags(A_STAR, lambda wavelength, _: size * gaussians(wavelength, lines, width))
    assert sum(flag in one for one in found) >= 2


@pytest.mark.parametrize("velocity", [None, 0.0])
def test_inversions_have_the_same_flags(velocity):
    def nitrogen(wavelength, _):
        return -0.04 * gaussians(wavelength, NITROGEN, 1.5)

    (rich,), (clean,) = (spectra(A_STAR, change, seeds=1) for change in (nitrogen, lambda *_: 0.0))
    assert "lines-disagree:nitrogen" in rvsemu.invert(rich, radial_velocity=velocity).flags
    assert not NEW & set(rvsemu.invert(clean, radial_velocity=velocity).flags)


def test_weak_calcium_of_metal_rich_stars():
    """As in Am stars: the triplet of [M/H] = -0.6 in a star of +0.4."""
    labels = A_STAR | {"teff": 7800, "mh": 0.4}
    poor = rvsemu.generate(**labels | {"mh": -0.6}).flux.value
    found = flags(labels, lambda w, flux: (poor - flux) * np.minimum(gaussians(w, CALCIUM_TRIPLET, 8.0), 1.0))
    assert sum("lines-disagree:calcium" in one for one in found) >= 2


@pytest.mark.parametrize("labels", [A_STAR, A_STAR | {"teff": 12000, "vsini": 150}, G_STAR])
@pytest.mark.parametrize("signal_to_noise", [40, 150])
def test_stars_like_the_models(labels, signal_to_noise):
    assert flags(labels, lambda *_: 0.0, signal_to_noise=signal_to_noise) == [set()] * 3


def test_errors_that_are_too_small():
    """They are flagged as such, and not as lines of some element."""
    observed = spectra(A_STAR, lambda *_: 0.0)
    for spectrum in observed:
        spectrum.uncertainty = StdDevUncertainty(spectrum.uncertainty.array / 3)
    found = fit_many(observed)
    assert all("poor-fit" in one.flags for one in found)
    assert not any(NEW & set(one.flags) for one in found)


def test_active_dwarfs():
    """Their cores are filled by a tenth of the continuum, which the masks of fits and errors of models allow for."""
    assert flags(G_STAR, lambda wavelength, _: 0.1 * gaussians(wavelength, CALCIUM_TRIPLET, 0.4)) == [set()] * 3


def test_scores_are_those_of_least_squares():
    """A template's coefficient over its error, from a fit of everything at once."""
    rng = np.random.default_rng(1)
    templates, other, residual = (rng.normal(size=(count, 50)) for count in (len(GROUPS), 4, 1))
    rows = np.concatenate([templates, other, residual])
    found = scores((rows @ rows.T)[None])[0]
    for template, score in zip(templates, found, strict=True):
        design = np.concatenate([template[None], other])
        covariance = np.linalg.inv(design @ design.T)
        assert score == pytest.approx((covariance @ design @ residual[0])[0] / np.sqrt(covariance[0, 0]), rel=1e-6)


def test_templates_within_what_labels_change_say_nothing():
    rng = np.random.default_rng(2)
    other, residual = rng.normal(size=(len(GROUPS), 50)), rng.normal(size=(1, 50))
    rows = np.concatenate([other[::-1], other, residual])
    assert np.all(scores((rows @ rows.T)[None]) == 0.0)
