"""RVSModel: the emulator among the models of astropy.modeling."""

import copy
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.modeling import fitting
from astropy.modeling.models import Chebyshev1D, Const1D, Gaussian1D
from astropy.utils import minversion
from astropy.utils.exceptions import AstropyUserWarning

import rvsemu
from rvsemu import RVSModel
from rvsemu.errors import LabelError, SpectrumError
from rvsemu.physics.wavelengths import air_to_vacuum, doppler

WAVE = 8460.0 + 0.1 * np.arange(2401)
STAR = {"teff": 6000.0, "logg": 4.2, "vsini": 15.0, "mh": -0.3, "vmic": 1.3, "resolution": 11500.0}
START = {"teff": 5700.0, "logg": 4.4, "vsini": 10.0, "mh": 0.0, "vmic": 1.3, "resolution": 11500.0}
FIXED = {"vmic": True, "resolution": True}
FITTERS = [fitting.LevMarLSQFitter, fitting.TRFLSQFitter, fitting.DogBoxLSQFitter]


def noisy(flux, seed=1):
    return flux + 0.005 * np.random.default_rng(seed).normal(size=flux.size)


def assert_recovered(model, sigma):
    for name, wanted in (STAR | {"radial_velocity": 12.0}).items():
        assert abs(getattr(model, name).value - wanted) < 4 * sigma.get(name, 0) + 1e-9, name


SIGMA = {"teff": 16, "logg": 0.03, "vsini": 0.4, "mh": 0.01, "radial_velocity": 0.1}


@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_it_is_what_generate_makes(medium):
    spectrum = rvsemu.generate(**STAR, wavelength=WAVE * u.AA, medium=medium)
    np.testing.assert_allclose(RVSModel(**STAR, medium=medium)(WAVE), spectrum.flux.value, atol=2e-6)


def test_radial_velocity_and_medium_move_it():
    rest = RVSModel(**STAR, medium="air")(WAVE)
    moved = RVSModel(**STAR, radial_velocity=30.0, medium="air")(doppler(WAVE, 30.0))
    np.testing.assert_allclose(moved, rest, atol=1e-9)
    np.testing.assert_allclose(RVSModel(**STAR, medium="vacuum")(air_to_vacuum(WAVE)), rest, atol=1e-9)


@pytest.mark.parametrize("unit", [u.AA, u.nm, u.um])
def test_wavelengths_with_units(unit):
    model = RVSModel(**STAR, medium="vacuum")
    np.testing.assert_allclose(model((WAVE * u.AA).to(unit)), model(WAVE), atol=1e-10)
    with pytest.raises(u.UnitsError):
        model(WAVE * u.K)


def test_shapes():
    model = RVSModel(**STAR, medium="vacuum")
    assert np.shape(model(8500.0)) == ()
    grid = WAVE[:100].reshape(4, 25)
    np.testing.assert_array_equal(model(grid), model(WAVE[:100]).reshape(4, 25))


@pytest.mark.parametrize("apart", [0.05, 0.1, 0.25, 0.33, 7.77, 100.0])
def test_a_handful_of_wavelengths(apart):
    """However far apart they are."""
    model = RVSModel(**STAR, medium="vacuum")
    for number in range(4):
        few = 8500.0 + apart * np.arange(number)
        np.testing.assert_allclose(model(few), [model(one) for one in few], atol=1e-5)
        assert np.shape(model(few)) == (number,)


def test_labels_with_units():
    model = RVSModel(6.0 * u.kK, 4.2, vsini=15000 * u.m / u.s, radial_velocity=1 * u.m / u.s, medium="air")
    assert model.teff.value == pytest.approx(6000)
    assert model.vsini.value == pytest.approx(15)
    assert model.labels["radial_velocity"].to_value("m/s") == pytest.approx(1)
    assert model.labels["teff"].unit == u.K
    assert list(model.labels) == list(model.param_names)


QUANTITIES = {
    "teff": 5.0 * u.kK,
    "logg": 4.0 * u.dex(u.cm / u.s**2),
    "vsini": 20000 * u.m / u.s,
    "mh": -0.3 * u.dex,
    "vmic": 1500 * u.m / u.s,
    "resolution": 10.0 * u.Unit("1000"),
    "radial_velocity": 20 * u.m / u.s,
}


@pytest.mark.parametrize("name", RVSModel.param_names)
def test_parameters_set_to_quantities(name):
    """They are converted as when the model is made; in a compound model, where they are not, the model says so."""
    model, made = RVSModel(medium="vacuum"), RVSModel(medium="vacuum", **{name: QUANTITIES[name]})
    setattr(model, name, QUANTITIES[name])
    assert getattr(model, name).value == pytest.approx(getattr(made, name).value)
    assert getattr(model, name).unit is None
    np.testing.assert_allclose(model(WAVE), made(WAVE))
    with pytest.raises(LabelError, match=f"{name}=3.0 has the unit 'kg'"):
        setattr(model, name, 3 * u.kg)
    compound = RVSModel(medium="vacuum") * Const1D(1.0)
    setattr(compound, f"{name}_0", getattr(made, name).value * u.K)
    with pytest.raises(LabelError, match=f"{name} was set to .* parameters are plain"):
        compound(WAVE)


@pytest.mark.parametrize("argument", ["fixed", "tied", "bounds"])
@pytest.mark.parametrize(("name", "words"), [("alpha", "held, at alpha="), ("feh", "RVSModel are teff, ")])
def test_constraints_of_what_is_no_parameter(argument, name, words):
    with pytest.raises(LabelError, match=f"{argument} names '{name}'.*{words}"):
        RVSModel(medium="air", **{argument: {name: (0, 1) if argument == "bounds" else True}})


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"teff": 500}, LabelError, "teff=500 K is outside 3500 to 15000"),
        ({"teff": 5 * u.m}, LabelError, "teff=5.0 has the unit 'm'"),
        ({"teff": [5000, 6000]}, LabelError, "one star"),
        ({"medium": "water"}, SpectrumError, "medium='water'"),
    ],
)
def test_bad_arguments(options, error, words):
    with pytest.raises(error, match=words):
        RVSModel(**({"medium": "air"} | options))


def test_the_medium_must_be_given():
    with pytest.raises(TypeError, match="medium"):
        RVSModel()


def test_evaluation_outside():
    model = RVSModel(medium="air")
    with pytest.raises(SpectrumError, match=r"8000\.00 to 8000\.00 A in air leave the emulator's 8400\.00 to 8799\.90"):
        model(8000.0)
    with pytest.raises(SpectrumError, match="leave"):
        model(np.nan)
    model.teff = 20000.0
    with pytest.raises(LabelError, match="teff=20000 K is outside"):
        model(WAVE)
    assert np.all(np.isfinite(RVSModel(teff=15500, medium="air", extrapolate=True)(WAVE)))


def test_labels_between_the_regions_of_training_are_refused():
    """Each of them alone is in its range: as `rvsemu.generate` has it."""
    metal_rich = STAR | {"teff": 9400.0, "mh": 1.3, "alpha": 0.45}
    options = {"medium": "vacuum"}
    for refused in (lambda: rvsemu.generate(**metal_rich), lambda: RVSModel(**metal_rich, **options)):
        with pytest.raises(LabelError, match="in none of the regions"):
            refused()
    assert np.isfinite(RVSModel(**metal_rich, **options, extrapolate=True)(8500.0))
    model = RVSModel(**metal_rich | {"mh": 0.7}, **options)
    assert np.isfinite(model(8500.0))
    model.mh = 1.3
    with pytest.raises(LabelError, match="in none of the regions"):
        model(8500.0)


compounds_evaluate = pytest.mark.skipif(not minversion("astropy", "7.0"), reason="compound models call their parts")
GAPS = {
    "between the regions": ({"teff": 5550.0, "logg": 4.2, "mh": 0.81}, {"mh": 0.7}, 0.3, "in none of the regions"),
    "below the lowest logg": ({"teff": 6100.0, "logg": 0.42, "mh": -1.0}, {"logg": 0.9}, 0.0, "below 0.5 dex"),
}


@pytest.mark.parametrize("fitter", FITTERS)
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("compound", [False, pytest.param(True, marks=compounds_evaluate)])
def test_fits_go_through_gaps_of_the_domain_with_one_warning(fitter, gap, compound):
    """They find what is there; a model of what they found is refused as ever."""
    changed, other, alpha, words = GAPS[gap]
    labels, options = STAR | changed, {"medium": "vacuum", "alpha": alpha}
    few, fixed = WAVE[::5], {name: name not in changed for name in RVSModel.param_names}
    observed = RVSModel(**labels, **options, extrapolate=True)(few)
    start = RVSModel(**labels | other, **options, fixed=fixed)
    if compound:
        start = start + Const1D(0.0, fixed={"amplitude": True})
    with pytest.warns(AstropyUserWarning, match=words) as warned:
        found = fitter()(start, few, observed)
    assert len(warned) == 1
    star = found[0] if compound else found
    np.testing.assert_allclose([star.teff.value, star.logg.value, star.mh.value], [*changed.values()], rtol=1e-3)
    with pytest.raises(LabelError, match=words):
        found(few)


@pytest.mark.parametrize("labels", [STAR, STAR | {"teff": 9500.0, "vsini": 80.0, "vmic": 2.0}])
def test_derivatives_are_those_of_differences(labels):
    model = RVSModel(**labels, radial_velocity=20.0, medium="vacuum")
    theta = model.parameters
    for i, (name, slope) in enumerate(zip(model.param_names, model.fit_deriv(WAVE, *theta), strict=True)):
        step = np.zeros(len(theta))
        step[i] = 1e-5 * (100.0 if name in ("teff", "resolution") else 1.0)
        difference = (model.evaluate(WAVE, *(theta + step)) - model.evaluate(WAVE, *(theta - step))) / (2 * step[i])
        # by velocity it jumps by 3e-6 where the interpolating polynomial changes, from one grid cell to the next
        np.testing.assert_allclose(slope, difference, atol=1e-5 * np.abs(slope).max(), err_msg=name)


@pytest.mark.parametrize("fitter", FITTERS)
def test_fitters_recover_a_star(fitter):
    observed = noisy(RVSModel(**STAR, radial_velocity=12.0, medium="vacuum")(WAVE))
    fit = fitter(calc_uncertainties=True)
    model = fit(RVSModel(**START, medium="vacuum", fixed=FIXED), WAVE, observed, weights=np.full(WAVE.size, 200.0))
    assert_recovered(model, SIGMA)
    assert 8 < model.stds["teff"] < 32
    chi2 = np.sum((200 * (observed - model(WAVE))) ** 2)
    assert abs(chi2 - WAVE.size) < 5 * np.sqrt(2 * WAVE.size)


def test_quantities_go_through_a_fitter():
    observed = noisy(RVSModel(**STAR, radial_velocity=12.0, medium="vacuum")(WAVE))
    model = fitting.TRFLSQFitter()(
        RVSModel(**START, medium="vacuum", fixed=FIXED), (WAVE / 10) * u.nm, observed * u.dimensionless_unscaled
    )
    assert_recovered(model, SIGMA)


@pytest.mark.parametrize("fitter", FITTERS)
def test_with_a_continuum(fitter):
    continuum = Chebyshev1D(3, c0=0.98, c1=0.02, c2=-0.01, domain=(8460, 8700))
    observed = noisy(RVSModel(**STAR, radial_velocity=12.0, medium="vacuum")(WAVE) * continuum(WAVE))
    start = RVSModel(**START, medium="vacuum", fixed=FIXED) * Chebyshev1D(3, c0=1.0, domain=(8460, 8700))
    found = fitter()(start, WAVE, observed, estimate_jacobian=True)
    assert_recovered(found[0], {name: 1.5 * s for name, s in SIGMA.items()})
    np.testing.assert_allclose(found[1].parameters, continuum.parameters, atol=2e-3)


def test_with_emission_by_analytic_derivatives():
    line = Gaussian1D(0.15, 8544.44, 0.8)
    observed = noisy(RVSModel(**STAR, radial_velocity=12.0, medium="vacuum")(WAVE) + line(WAVE))
    start = RVSModel(**START, medium="vacuum", fixed=FIXED) + Gaussian1D(0.1, 8544.0, 1.0)
    found = fitting.TRFLSQFitter()(start, WAVE, observed)
    assert_recovered(found[0], SIGMA)
    np.testing.assert_allclose(found[1].parameters, line.parameters, rtol=0.05)


def test_tied_parameters():
    observed = noisy(RVSModel(**STAR, medium="vacuum")(WAVE))
    start = RVSModel(**START, medium="vacuum", fixed=FIXED, tied={"vmic": lambda model: 0.3 + model.teff / 6000})
    found = fitting.TRFLSQFitter()(start, WAVE, observed)
    assert found.vmic.value == pytest.approx(0.3 + found.teff.value / 6000)
    assert abs(found.teff.value - 6000) < 60


def test_fits_stay_in_the_domain():
    star = RVSModel(teff=3650, logg=4.9, mh=0.3, medium="vacuum")
    found = fitting.LevMarLSQFitter()(RVSModel(teff=3900, logg=4.5, medium="vacuum"), WAVE, noisy(star(WAVE), seed=2))
    for label in rvsemu.shipped().labels.labels[:6]:
        assert label.lower <= getattr(found, label.name).value <= label.upper
    assert abs(found.teff.value - 3650) < 60


def test_bounds_can_be_given():
    model = RVSModel(medium="air", bounds={"teff": (5000, 6000)})
    assert model.teff.bounds == (5000, 6000)
    assert model.logg.bounds == (0, 5)
    assert RVSModel(medium="air", extrapolate=True).logg.bounds == pytest.approx((-0.5, 5.5))


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda m: m.copy(), lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies(clone):
    model = RVSModel(**STAR, medium="vacuum", name="star", fixed={"vmic": True})
    twin = clone(model)
    np.testing.assert_array_equal(twin(WAVE), model(WAVE))
    assert (twin.name, twin.medium, twin.vmic.fixed, twin.teff.bounds) == ("star", "vacuum", True, (3500, 15000))
    assert "teff=6000" in repr(twin)


def test_other_labels_are_refused():
    emulator = rvsemu.shipped()
    space = rvsemu.emulator.labels.LabelSpace(emulator.labels.labels[::-1])
    other = rvsemu.Emulator(
        space, *(getattr(emulator, n) for n in ("label_network", "decoder", "wavelength", "medium", "error"))
    )
    with pytest.raises(LabelError, match="RVSModel needs one of teff, logg"):
        RVSModel(medium="air", emulator=other)
