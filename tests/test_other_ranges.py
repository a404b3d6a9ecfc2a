"""Another range and resolution than the RVS's, from a library to a fit, without SYNSPEC (with it: test_engine.py)."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum
from training_fixtures import TINY

import rvsemu
from rvsemu.cli import main
from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import SynthesisError, TrainingError
from rvsemu.fitting.bins import WIDTH, Bins
from rvsemu.fitting.parameters import Parameters
from rvsemu.library.synthesis import Settings
from rvsemu.library.synthesis.settings import BOXES
from rvsemu.observing.noise import EMULATOR_ERROR, emulator_error
from rvsemu.training.draws import PAPER_WAVELENGTH, training_wavelength
from rvsemu.training.fit import train

RANGE = (8690.0, 8800.0)  # Angstrom, air: without the calcium triplet and the diffuse band
INSTRUMENT = {"vsini": (0.0, 50.0), "resolution": (15_000, 25_000)}
LABELS = {"teff": 6200.0, "logg": 4.2, "vsini": 8.0, "mh": -0.1, "vmic": 1.4, "resolution": 20_000.0}


@pytest.fixture(scope="module")
def part(small_library):
    """A library that covers a part of the range only."""
    some = (small_library.wavelength > RANGE[0]) & (small_library.wavelength < RANGE[1])
    return replace(small_library, wavelength=small_library.wavelength[some], flux=small_library.flux[:, some])


@pytest.fixture(scope="module")
def emulator(keras, part, tmp_path_factory):
    out = tmp_path_factory.mktemp("other") / "emulator.h5"
    return train(part, TINY, out, **INSTRUMENT, seed=3, least_r2=None, progress=False)


def observed(emulator, labels, signal_to_noise=200.0, seed=1):
    """What `rvsemu.generate` gives, with noise and its error."""
    star = rvsemu.generate(**labels, emulator=emulator)
    sigma = np.full(star.shape, 1.0 / signal_to_noise)
    flux = star.flux.value + sigma * np.random.default_rng(seed).normal(size=star.shape)
    axis = star.spectral_axis * (1 + 25.0 / 299792.458)  # it recedes by 25 km/s
    return Spectrum(spectral_axis=axis, flux=flux * u.one, uncertainty=StdDevUncertainty(sigma), meta={"medium": "air"})


def test_range_and_instrument_are_those_of_the_library_and_of_the_training(emulator, part):
    space = emulator.labels
    assert (space["resolution"].lower, space["resolution"].upper) == (15_000, 25_000)
    assert (space["vsini"].lower, space["vsini"].upper) == (0, 50)
    # 50 km/s and five sigma of the lowest resolution, 42.4 km/s: 2.7 A at either end; a fifth of 0.35 A, one digit
    assert part.wavelength[0] + 2.6 < emulator.wavelength[0] < part.wavelength[0] + 2.8
    assert part.wavelength[-1] - 2.8 < emulator.wavelength[-1] < part.wavelength[-1] - 2.6
    np.testing.assert_allclose(np.diff(emulator.wavelength), 0.06, atol=1e-5)
    assert emulator.info["recipe"] == "tiny"


def test_a_fit_finds_the_labels_of_a_simulated_spectrum(emulator):
    """Velocity too, which is searched for; no flag of features that are outside of the range."""
    free = {"fixed": {"vmic": 1.4}, "priors": {}, "model_error": None}
    result = rvsemu.fit(observed(emulator, LABELS), emulator=emulator, **free)
    for name in ("teff", "logg", "mh", "resolution"):
        wanted, found, error = LABELS[name], float(result.labels[name].value), float(result.errors[name].value)
        assert abs(found - wanted) < 4 * error, name
    assert float(result.errors["teff"].value) < 500  # of a range of 11,400
    assert abs(result.radial_velocity.to_value("km/s") - 25.0) < 1.0
    assert not {"emission", "diffuse-band", "few-good-pixels", "double-lined"} & set(result.flags)


def test_the_prior_of_the_rvs_is_for_resolutions_of_the_rvs(emulator):
    assert "resolution" not in Parameters.make(emulator.labels).informative
    assert Parameters.make(LabelSpace()).informative["resolution"] == (11900.0, 150.0)


def test_what_is_as_wide_as_lines_is_narrower_at_a_higher_resolution(emulator):
    shipped = rvsemu.shipped()
    assert emulator_error(shipped).reach == pytest.approx(EMULATOR_ERROR.reach, rel=1e-4)
    expected = EMULATOR_ERROR.reach * 14_500 / 25_000 * np.mean(emulator.wavelength[[0, -1]]) / 8599.95
    assert emulator_error(emulator).reach == pytest.approx(expected)
    assert Bins(shipped).width_in_km_s == pytest.approx(WIDTH)
    assert Bins(emulator).width_in_km_s == pytest.approx(299792.458 / 25_000 / 2)


def test_a_library_of_the_whole_range_is_trained_on_the_papers_grid(small_library):
    assert training_wavelength(small_library, LabelSpace()) is PAPER_WAVELENGTH


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vsini": (50, 0)}, "vsini=50,0: give two limits in 0 to 500, lower first"),
        ({"resolution": (500, 20_000)}, r"resolution=500,20000: give two limits in 1000 to 1e\+06"),
        ({"vsini": 50}, "vsini=50: give two numbers, the lower first"),
        ({"vsini": (0, 600_000) * u.m / u.s}, "vsini=0,600: give two limits in 0 to 500"),
        ({"resolution": (20_000, 50_000)}, "resolution=50000 is above that of the input"),
    ],
)
def test_impossible_instruments(keras, part, tmp_path, given, message):
    with pytest.raises(TrainingError, match=message):
        train(part, TINY, tmp_path / "e.h5", **given, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 3000.0}, "range 3000,8818: .* within 4200 to 9200"),
        ({"low": 8500.0, "high": 8400.0}, "range 8500,8400: .*the lower and the upper end"),
        ({"bin_width": 0.0}, "bin_width=0: give Angstrom, above 0"),
    ],
)
def test_impossible_ranges(given, message):
    with pytest.raises(SynthesisError, match=message):
        Settings(**given)


def test_the_command_takes_range_and_bins(monkeypatch, tmp_path):
    from rvsemu.library import synthesis

    asked = []
    monkeypatch.setattr(synthesis.Workspace, "open", lambda *_: None)
    monkeypatch.setattr(synthesis, "build", lambda out, n, settings, **_: asked.append(settings) or _Stop.now())
    with pytest.raises(_Stop):
        main(f"synthesize run --n 3 --out {tmp_path}/l.h5 --range 5140,5210 --bin 0.02".split())
    assert asked == [replace(BOXES["paper"], low=5140.0, high=5210.0, bin_width=0.02)]


class _Stop(Exception):
    """The command has asked for a library."""

    @classmethod
    def now(cls):
        raise cls
