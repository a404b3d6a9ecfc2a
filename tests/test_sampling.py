"""Sampling: known posteriors are recovered, chains survive, and what comes out says what it is."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable, vstack
from scipy import stats

import rvsemu
from rvsemu import Posterior, sample
from rvsemu.emulator.labels import Label, LabelSpace
from rvsemu.errors import PosteriorFileError, SpectrumError
from rvsemu.fitting.chain_file import ChainFile
from rvsemu.fitting.convergence import Convergence, autocorrelation_times
from rvsemu.fitting.importance import Draws, weighted_draws
from rvsemu.fitting.mcmc import name_of, run
from rvsemu.fitting.proposals import Mixture, Student, first_ensemble

NAMES = ("teff", "logg", "mh")
MEAN = np.array([5600.0, 4.3, -0.2])
ROOT = np.array([[80.0, 0, 0], [0.08, 0.05, 0], [0.02, -0.01, 0.03]])
COVARIANCE = ROOT @ ROOT.T
BEGIN = Mixture([1], [MEAN + [20, 0.05, 0]], [1.5 * COVARIANCE])


class Gauss:
    """A Gaussian posterior of three labels, cut off at bounds."""

    def __init__(self, lower=(3000, 0, -3), upper=(9000, 9, 3), slow=0.0, shift=0.0, stop_after=None):
        units = ("K", "dex", "dex")
        labels = [Label(n, unit, a, b) for n, unit, a, b in zip(NAMES, units, lower, upper, strict=True)]
        space = LabelSpace(labels)
        self.parameters = SimpleNamespace(
            space=space, free_names=NAMES, free=np.arange(3), lower=space.lower, upper=space.upper
        )
        self._density = stats.multivariate_normal(MEAN, COVARIANCE)
        self._slow, self._shift, self._left = slow, shift, stop_after

    def log_probability(self, x):
        time.sleep(self._slow)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
        return self.log_prior(x) + self.log_likelihood(x)

    def log_prior(self, x):
        inside = np.all((x >= self.parameters.lower) & (x <= self.parameters.upper), axis=1)
        return np.where(inside, 0.0, -np.inf)

    def log_likelihood(self, x):
        return self._density.logpdf(x) + self._shift


def quickly(likelihood, steps=None, **options):
    """Sample without a progress bar; with `steps`, exactly so many."""
    options = {"seed": 3, "walkers": 8, "progress": False} | options
    start = weighted_draws(likelihood, BEGIN)
    return run(likelihood, start, **(options if steps is None else options | {"steps": steps, "stop": None}))


@pytest.fixture(scope="module")
def gauss():
    return quickly(Gauss(), walkers=32)


# ---------------------------------------------------------------------- what is sampled
def test_a_gaussian_is_recovered(gauss):
    assert gauss.converged
    assert gauss.flags == ()
    error = np.sqrt(np.diag(COVARIANCE) / gauss.ess)
    assert np.all(np.abs(gauss.values.mean(axis=0) - MEAN) < 4 * error)
    scale = np.sqrt(np.outer(np.diag(COVARIANCE), np.diag(COVARIANCE)))
    np.testing.assert_allclose(gauss.covariance / scale, COVARIANCE / scale, atol=5 / np.sqrt(gauss.ess.min()))
    apart = gauss.chain[gauss.burn_in :: int(4 * gauss.tau.max())].reshape(-1, 3)
    z = (apart - MEAN) / np.sqrt(np.diag(COVARIANCE))
    assert min(stats.kstest(column, "norm").pvalue for column in z.T) > 1e-3


def test_bounds_cut_the_posterior_off():
    posterior = quickly(Gauss(lower=(5600, 0, -3)), walkers=32)
    teff = posterior["teff"].value
    half = MEAN[0] + np.sqrt(COVARIANCE[0, 0]) * stats.halfnorm().ppf([0.16, 0.5, 0.84])
    error = np.sqrt(COVARIANCE[0, 0] / posterior.ess[0])
    np.testing.assert_allclose(np.quantile(teff, [0.16, 0.5, 0.84]), half, atol=6 * error)
    assert teff.min() >= 5600


def test_independent_proposals_beat_the_default_of_emcee(gauss):
    import emcee

    sampler = emcee.EnsembleSampler(32, 3, Gauss().log_probability, vectorize=True)
    sampler.random_state = np.random.RandomState(1).get_state()
    ensemble = first_ensemble(weighted_draws(Gauss(), BEGIN), 32, np.random.default_rng(0))
    sampler.run_mcmc(ensemble, 1500)
    assert gauss.tau.max() < 0.3 * autocorrelation_times(sampler.get_chain(discard=300)).max()


def test_the_seed_decides(gauss):
    first, again = (quickly(Gauss(), steps=150, seed=5) for _ in range(2))
    other = quickly(Gauss(), steps=150, seed=6)
    np.testing.assert_array_equal(first.chain, again.chain)
    assert not np.array_equal(first.chain, other.chain)
    generator = quickly(Gauss(), steps=150, seed=np.random.default_rng(5))
    np.testing.assert_array_equal(first.chain, generator.chain)


def test_proposals_have_the_density_they_claim():
    student = Student(MEAN, COVARIANCE)
    known = stats.multivariate_t(MEAN, COVARIANCE, df=5)
    x = known.rvs(50, random_state=1)
    difference = student.log_density(x) - known.logpdf(x)
    np.testing.assert_allclose(difference, difference[0], atol=1e-9)
    drawn = student.draw(20000, np.random.default_rng(2))
    np.testing.assert_allclose(drawn.mean(axis=0), MEAN, atol=0.05 * np.sqrt(np.diag(COVARIANCE)).max())
    distance = np.sum(np.linalg.solve(np.linalg.cholesky(COVARIANCE), (drawn - MEAN).T) ** 2, axis=0)
    assert stats.kstest(distance / 3, stats.f(3, 5).cdf).pvalue > 1e-3


def test_draws_are_more_even_than_random_ones():
    """Medians of 192 draws scatter by half of what those of random draws would."""
    student, known = Student(np.zeros(3), np.eye(3)), stats.t(5)
    medians = [np.median(student.draw(192, np.random.default_rng(i)), axis=0) for i in range(60)]
    random = 0.5 / known.pdf(0) / np.sqrt(192)
    assert np.sqrt(np.mean(np.square(medians))) < 0.6 * random


def test_a_mixture_has_the_density_it_claims():
    other, narrow = MEAN + [2000.0, 0.0, 0.5], 0.3 * COVARIANCE
    mixture = Mixture([3, 1], [MEAN, other], [COVARIANCE, narrow])
    np.testing.assert_allclose(mixture.shares, [0.75, 0.25])
    known = [stats.multivariate_t(m, c, df=5) for m, c in ((MEAN, COVARIANCE), (other, narrow))]
    x = np.concatenate([one.rvs(50, random_state=1) for one in known])
    density = 0.75 * known[0].pdf(x) + 0.25 * known[1].pdf(x)
    difference = mixture.log_density(x) - np.log(density)
    np.testing.assert_allclose(difference, difference[0], atol=1e-9)
    drawn = mixture.draw(4000, np.random.default_rng(2))
    assert np.mean(drawn[:, 0] > MEAN[0] + 1000) == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
    new, ratio = mixture.propose(x, np.random.default_rng(3))
    np.testing.assert_allclose(ratio, mixture.log_density(x) - mixture.log_density(new))
    np.testing.assert_allclose(mixture.wider(2).covariances, 4 * mixture.covariances)


def test_a_mixture_is_fitted_to_what_belongs_to_it():
    """Rows of two clouds, with weights; a third component, where nothing is, stays."""
    rng = np.random.default_rng(1)
    clouds = [rng.multivariate_normal(m, COVARIANCE, 3000) for m in (MEAN, MEAN + [2000, 0, 0])]
    x, weights = np.concatenate(clouds), np.repeat([3.0, 1.0], 3000) / 12000
    far = MEAN - [2000, 0, 0]
    begun = Mixture([1, 1, 1], [MEAN + [50, 0, 0], MEAN + [1900, 0, 0], far], 2 * np.array([COVARIANCE] * 3))
    fitted = begun.fitted(x, weights)
    np.testing.assert_allclose(fitted.shares, np.array([0.75, 0.25, 0.02]) / 1.02, atol=1e-3)
    for mean, covariance, cloud in zip(fitted.means, fitted.covariances, clouds, strict=False):
        np.testing.assert_allclose(mean, cloud.mean(axis=0), rtol=1e-3)
        np.testing.assert_allclose(covariance, np.cov(cloud.T), rtol=0.02, atol=1e-4)
    np.testing.assert_array_equal(fitted.means[2], far)
    np.testing.assert_array_equal(fitted.covariances[2], 2 * COVARIANCE)


class TwoModes(Gauss):
    """The Gaussian, and another with a third of its probability at a Teff so far away that no step reaches it."""

    AWAY = np.array([1500.0, 0.0, 0.0])

    def log_likelihood(self, x):
        return np.logaddexp(super().log_likelihood(x), super().log_likelihood(x - self.AWAY) - np.log(3))


def test_all_modes_are_sampled():
    """Begun in both, in equal shares; the walkers come and go between them."""
    likelihood = TwoModes()
    start = weighted_draws(likelihood, Mixture([1, 1], [MEAN, MEAN + TwoModes.AWAY], [COVARIANCE] * 2))
    far = start.x[:, 0] > MEAN[0] + 750
    assert start.weights[far].sum() == pytest.approx(0.25, abs=4 * np.sqrt(0.19 / start.effective))
    posterior = run(likelihood, start, seed=1, walkers=32, progress=False)
    assert posterior.converged
    share = np.mean(posterior.values[:, 0] > MEAN[0] + 750)
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.19 / posterior.ess[0]))


def test_walkers_begin_inside():
    likelihood = Gauss(lower=(5650, 4.3, -3), upper=(5700, 4.35, 3))
    x = first_ensemble(weighted_draws(likelihood, BEGIN), 32, np.random.default_rng(1))
    assert np.all((x >= likelihood.parameters.lower) & (x <= likelihood.parameters.upper))
    assert len(np.unique(x, axis=0)) == 32 and np.linalg.matrix_rank(x - x.mean(axis=0)) == 3
    few = Draws(x, np.where(np.arange(32) < 5, 0.2, 0.0))
    with pytest.raises(SpectrumError, match="only 5 of 32 places"):
        first_ensemble(few, 8, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"walkers": 4}, "walkers=4: give an even number of at least 6"),
        ({"walkers": 9}, "even"),
        ({"steps": 0, "stop": None}, "steps=0"),
        ({"stop": -1}, "stop=-1"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises(SpectrumError, match=words):
        quickly(Gauss(), **options)


# ---------------------------------------------------------------------- when to stop
def autoregressive(rho, steps, walkers=16, seed=0):
    rng = np.random.default_rng(seed)
    out = np.empty((steps, walkers, len(rho)))
    out[0] = rng.normal(size=out.shape[1:])
    for i in range(1, steps):
        out[i] = rho * out[i - 1] + np.sqrt(1 - rho**2) * rng.normal(size=out.shape[1:])
    return out


def test_autocorrelation_times_of_known_chains():
    rho = np.array([0.0, 0.5, 0.9])
    tau = autocorrelation_times(autoregressive(rho, 6000))
    np.testing.assert_allclose(tau, (1 + rho) / (1 - rho), rtol=0.08)
    still = np.zeros((100, 4, 1))
    assert autocorrelation_times(still) == 100


def test_convergence_needs_length_and_rest():
    rho = np.array([0.8])  # 9 steps
    coords = autoregressive(rho, 3000)
    lengths = [n for n in range(100, 3001, 100) if Convergence(50.0).reached(coords[:n])]
    assert lengths
    assert lengths[0] >= 300 + 50 * 8
    together = Convergence(50.0)
    assert [n for n in range(100, 3001, 100) if together.reached(coords[:n])] == lengths
    assert not Convergence(500.0).reached(coords)
    assert not Convergence(None).reached(coords)


# ---------------------------------------------------------------------- the file
def test_a_posterior_comes_back(gauss, tmp_path):
    file = ChainFile(tmp_path / "p.h5", "star")
    made = quickly(Gauss(), file=file, info={"medium": "air", "flags": ["poor-fit"]}, arrays=lambda v: {"a": v[:3]})
    read = Posterior.load(tmp_path / "p.h5")
    for name in ("names", "units", "burn_in", "converged", "acceptance", "flags", "meta"):
        assert getattr(read, name) == getattr(made, name), name
    for name in ("chain", "log_probability", "tau", "values"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    np.testing.assert_array_equal(read.spectrum["a"], made.values[:3])
    assert made.flags == ("poor-fit",)
    assert repr(read) == repr(made)


def test_emcee_reads_the_file(tmp_path):
    import emcee

    made = quickly(Gauss(), steps=250, file=ChainFile(tmp_path / "p.h5", "star"))
    backend = emcee.backends.HDFBackend(tmp_path / "p.h5", name="star", read_only=True)
    assert backend.iteration == 250
    np.testing.assert_array_equal(backend.get_chain(), made.chain)
    np.testing.assert_array_equal(backend.get_log_prob(), made.log_probability)
    assert np.mean(backend.accepted) / 250 == made.acceptance
    assert backend.random_state[0] == "MT19937"


@pytest.mark.parametrize("first", [130, 300])
def test_resuming_is_going_on(tmp_path, first):
    whole = quickly(Gauss(), steps=420)
    file = ChainFile(tmp_path / "p.h5", "star")
    quickly(Gauss(), steps=first, file=file)
    np.testing.assert_array_equal(Posterior.load(file.path).chain, whole.chain[:first])
    resumed = quickly(Gauss(), steps=420, file=file, seed=99)
    np.testing.assert_array_equal(resumed.chain, whole.chain)
    np.testing.assert_array_equal(Posterior.load(file.path).chain, whole.chain)


def test_what_is_done_is_not_done_again(tmp_path):
    file = ChainFile(tmp_path / "p.h5", "star")
    done = quickly(Gauss(), file=file)
    again = quickly(Gauss(stop_after=2), file=file)  # one call to compare, none to sample
    np.testing.assert_array_equal(again.chain, done.chain)
    assert again.converged


def test_an_interrupt_keeps_every_step(tmp_path):
    whole = quickly(Gauss(), steps=420)
    file = ChainFile(tmp_path / "p.h5", "star")
    with pytest.raises(KeyboardInterrupt):
        quickly(Gauss(stop_after=330), steps=420, file=file)
    kept = Posterior.load(file.path)
    assert 150 < len(kept.chain) < 330
    assert kept.flags == ("not-converged",)
    assert kept.spectrum == {}
    np.testing.assert_array_equal(quickly(Gauss(), steps=420, file=file).chain, whole.chain)


def test_sigkill_leaves_a_file_to_resume(tmp_path):
    path = tmp_path / "p.h5"
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_sampling import ChainFile, Gauss, quickly\n"
        "quickly(Gauss(slow=0.002), steps=100000, file=ChainFile(sys.argv[1], 'star'))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path), os.path.dirname(__file__)]) as running:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not path.exists() or len_of(path) < 200):
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    steps = len_of(path)
    assert steps >= 200
    assert steps % 100 == 0
    resumed = quickly(Gauss(), steps=steps + 50, file=ChainFile(path, "star"))
    np.testing.assert_array_equal(resumed.chain, quickly(Gauss(), steps=steps + 50).chain)


def len_of(path) -> int:
    chain = ChainFile(path, "star").read_chain()
    return 0 if chain is None else len(chain)


@pytest.mark.parametrize(
    ("likelihood", "options", "words"),
    [
        (Gauss(shift=0.5), {}, "other data or settings .a log probability was"),
        (Gauss(lower=(5600, 0, -3)), {}, "other data or settings"),
        (Gauss(), {"walkers": 16}, "8 walkers for teff, logg, mh, now they are 16"),
    ],
)
def test_another_chain_is_not_continued(tmp_path, likelihood, options, words):
    file = ChainFile(tmp_path / "p.h5", "star")
    quickly(Gauss(), steps=50, file=file)
    with pytest.raises(PosteriorFileError, match=f"{words}.*--restart"):
        quickly(likelihood, steps=100, file=file, **options)
    anew = quickly(likelihood, steps=60, file=file, resume=False, **options)
    np.testing.assert_array_equal(Posterior.load(file.path).chain, anew.chain)


def test_many_stars_in_a_file(tmp_path):
    path = tmp_path / "p.h5"
    made = {name: quickly(Gauss(), steps=40 + i, file=ChainFile(path, name)) for i, name in enumerate("abc")}
    quickly(Gauss(), steps=90, file=ChainFile(path, "b"), resume=False)
    assert Posterior.names_in(path) == ("a", "b", "c")
    assert [len(Posterior.load(path, name).chain) for name in "abc"] == [40, 90, 42]
    np.testing.assert_array_equal(Posterior.load(path, "c").chain, made["c"].chain)
    with pytest.raises(PosteriorFileError, match="has 3 posteriors: choose one by name=, of a, b, c"):
        Posterior.load(path)
    with pytest.raises(PosteriorFileError, match="no posterior 'd': choose one it has, a, b, c"):
        Posterior.load(path, "d")


def test_bad_files(tmp_path):
    with pytest.raises(PosteriorFileError, match=r"no\.h5 does not exist"):
        Posterior.load(tmp_path / "no.h5")
    with pytest.raises(PosteriorFileError, match="make it first"):
        ChainFile(tmp_path / "no" / "p.h5", "star")
    with pytest.raises(PosteriorFileError, match="leave out '/'"):
        ChainFile(tmp_path / "p.h5", "a/b")
    (tmp_path / "text.h5").write_text("not HDF5" * 1000)
    with pytest.raises(PosteriorFileError, match="cannot be used as a file of posteriors"):
        Posterior.load(tmp_path / "text.h5")
    with pytest.raises(PosteriorFileError, match="cannot be used as a file of posteriors"):
        quickly(Gauss(), steps=10, file=ChainFile(tmp_path / "text.h5", "a"))
    rvsemu.shipped().save(tmp_path / "emulator.h5")
    with pytest.raises(PosteriorFileError, match=r"is not a posterior of rvsemu\.sample"):
        Posterior.load(tmp_path / "emulator.h5", "labels")


# ---------------------------------------------------------------------- what a Posterior says
def test_summary_and_samples(gauss):
    kept = gauss.chain[gauss.burn_in :: gauss.thin].reshape(-1, 3)
    np.testing.assert_array_equal(gauss.values, kept)
    summary = gauss.summary()
    assert list(summary["name"]) == list(NAMES)
    assert list(summary["unit"]) == ["K", "dex", "dex"]
    for row, column in zip(summary, kept.T, strict=True):
        low, median, high = np.percentile(column, [16, 50, 84])
        assert (row["median"], row["p16"], row["p84"]) == pytest.approx((median, low, high))
        assert (row["minus"], row["plus"]) == pytest.approx((median - low, high - median))
        assert (row["mean"], row["std"]) == pytest.approx((column.mean(), column.std(ddof=1)))
    table = gauss.samples
    assert isinstance(table, QTable)
    assert table.colnames == [*NAMES, "log_probability"]
    assert table["teff"].unit == u.K
    np.testing.assert_array_equal(table["logg"].value, kept[:, 1])
    best = np.argmax(table["log_probability"])
    likely = stats.multivariate_normal(MEAN, COVARIANCE).logpdf(kept[best])
    assert table["log_probability"][best] == pytest.approx(likely)
    with pytest.raises(KeyError, match="teff, logg, mh"):
        gauss["vsini"]


def test_one_row_tables_stack(gauss, tmp_path):
    table = vstack([gauss.to_table(), gauss.to_table()])
    assert table["teff"].unit == u.K
    assert table["source_id"].tolist() == [-1, -1]
    assert table["teff_plus"][0].value == pytest.approx(gauss.summary()["plus"][0])
    assert table["flags"].tolist() == ["none", "none"]
    table.write(tmp_path / "t.ecsv")
    assert QTable.read(tmp_path / "t.ecsv")["mh_minus"].unit == u.dex


def test_repr(gauss):
    text = repr(gauss)
    assert f"teff            {np.median(gauss.values[:, 0]):.0f} +" in text
    assert "K\n" in text
    assert "flags: none>" in text
    assert "not-converged" in repr(quickly(Gauss(), steps=20))


def test_to_arviz(gauss):
    pytest.importorskip("arviz")
    data = gauss.to_arviz()
    assert data.posterior["teff"].shape == (32, len(gauss.chain) - gauss.burn_in)
    np.testing.assert_array_equal(data.posterior["mh"].values[5], gauss.chain[gauss.burn_in :, 5, 2])
    np.testing.assert_array_equal(data.sample_stats["lp"].values[0], gauss.log_probability[gauss.burn_in :, 0])


def test_to_arviz_without_it(gauss, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r'pip install "rvsemu\[arviz\]"'):
        gauss.to_arviz()


# ---------------------------------------------------------------------- spectra
STAR = {"teff": 5900.0, "logg": 4.3, "vsini": 8.0, "mh": -0.2, "vmic": 1.2, "resolution": 11900.0}
SETTINGS = {"fixed": {"vmic": 1.2}, "model_error": None, "noise_correlation": (), "progress": False}


@pytest.fixture(scope="module")
def spectrum():
    wave = 8460.0 + 0.1 * np.arange(2401)
    star = rvsemu.generate(**STAR, wavelength=wave * u.AA, medium="vacuum")
    noise = np.random.default_rng(11).normal(size=len(wave)) / 100
    star = type(star)(
        spectral_axis=wave * u.AA,
        flux=star.flux * (1 + 0.02 * (wave - 8580) / 120) + noise,
        uncertainty=StdDevUncertainty(np.full(len(wave), 0.01)),
        meta={"medium": "vacuum", "source_id": 42, "transit_id": 7},
    )
    return star


@pytest.fixture(scope="module")
def posterior(spectrum, tmp_path_factory):
    return sample(spectrum, seed=1, walkers=16, steps=600, file=tmp_path_factory.mktemp("p") / "p.h5", **SETTINGS)


def test_labels_of_a_spectrum_are_recovered(posterior, spectrum):
    for row in posterior.summary():
        wanted = (STAR | {"radial_velocity": 0.0})[row["name"]]
        assert abs(row["mean"] - wanted) < 4 * row["std"], row["name"]
    fit = rvsemu.fit(spectrum, **{k: v for k, v in SETTINGS.items() if k != "progress"})
    assert posterior.names == fit.free_names
    ratio = posterior.summary()["std"] / np.sqrt(np.diag(fit.covariance))
    assert np.all((ratio > 0.7) & (ratio < 1.4))
    assert posterior.meta["name"] == "42-7"
    assert posterior.meta["fixed"] == {"vmic": 1.2}
    assert posterior.meta["medium"] == "vacuum"
    assert posterior.to_table()["source_id"][0] == 42


def test_prediction_of_a_spectrum(posterior, spectrum):
    arrays = posterior.spectrum
    low, high = arrays["predicted"][[0, 4]]
    assert np.all(low <= high)
    good = arrays["used"]
    residual = (arrays["flux"] - arrays["predicted"][2])[good]
    assert np.std(residual) == pytest.approx(0.01, rel=0.06)
    assert np.median((high - low)[good]) < 0.01
    assert 8460 <= arrays["wavelength"].min() < 8462


def test_names():
    star = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))[0]
    assert name_of(star) == "2052747119115620352"
    assert name_of(SimpleNamespace(meta={})) == "spectrum"


def test_other_settings_are_noticed(spectrum, tmp_path):
    options = SETTINGS | {"file": tmp_path / "p.h5", "steps": 4, "walkers": 14}
    sample(spectrum, **options)
    with pytest.raises(PosteriorFileError, match="other data or settings"):
        sample(spectrum, **options | {"continuum_degree": 2})
    with pytest.raises(
        PosteriorFileError, match="14 walkers for teff, logg, vsini, mh, resolution, radial_velocity, now"
    ):
        sample(spectrum, **options | {"fixed": {"vmic": 1.2, "resolution": 11900}})
    assert len(sample(spectrum, **options | {"steps": 6}).chain) == 6


def test_leaving_the_domain_is_flagged(posterior, spectrum):
    posterior = replace(posterior, converged=True)
    assert posterior.flags == ()
    options = SETTINGS | {"fixed": {"vmic": 4.2, "resolution": 11900}, "extrapolate": True}
    assert "outside-domain" in sample(spectrum, steps=2, walkers=10, **options).flags
    low = posterior.meta | {"domain": posterior.meta["domain"] | {"teff": [3600, 5900]}}
    assert replace(posterior, meta=low).flags == ("outside-domain",)


def test_free_jitter_is_a_label(spectrum):
    posterior = sample(spectrum, steps=3, walkers=16, jitter="free", **SETTINGS)
    assert posterior.names[-1] == "log_jitter"
    assert np.all((posterior["log_jitter"] >= -14) & (posterior["log_jitter"] <= -2))


# ---------------------------------------------------------------------- figures
@pytest.fixture
def plt():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_corner_plot(posterior, plt):
    figure = posterior.plot_corner(truths={"teff": 5.9 * u.kK, "logg": 4.3})
    m = len(posterior.names)
    assert len(figure.axes) == m * m
    bottom = [figure.axes[(m - 1) * m + i].get_xlabel() for i in range(m)]
    assert bottom[0] == "$T_{\\rm eff}$ (K)"
    assert bottom[1:4] == ["log g", "v sin i (km/s)", "[M/H]"]
    first = posterior.summary()[0]
    assert f"{first['median']:.0f}" in figure.axes[0].get_title()
    marked = [line.get_xdata()[0] for line in figure.axes[0].lines]
    assert 5900 in marked
    np.testing.assert_allclose(sorted(set(marked) - {5900}), [first["p16"], first["median"], first["p84"]])


def test_corner_plot_of_some(posterior, plt):
    figure = posterior.plot_corner(names=("mh", "teff"), figure=plt.figure())
    assert [figure.axes[i].get_xlabel() for i in (2, 3)] == ["[M/H]", "$T_{\\rm eff}$ (K)"]


def test_predictive_plot(posterior, plt):
    ax = posterior.plot_predictive()
    below = ax.figure.axes[-1]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), posterior.spectrum["flux"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), posterior.spectrum["predicted"][2])
    assert [text.get_text() for text in below.get_legend().get_texts()] == [
        "noise, 1 sigma",
        "model, 95 %",
        "model, 68 %",
    ]
    assert below.get_xlabel() == "wavelength in vacuum (Å)"
    assert "Gaia 42" in ax.get_legend().get_texts()[0].get_text()
    _, other = plt.subplots()
    assert posterior.plot_predictive(ax=other) is other


@pytest.mark.parametrize(("found", "remedy"), [(1, "sample anew"), (3, "update it")])
def test_files_of_another_format_are_refused(tmp_path, found, remedy):
    path = tmp_path / "posterior.h5"
    quickly(Gauss(), steps=20, file=ChainFile(path, "star"))
    with h5py.File(path, "a") as file:
        file["star"].attrs["format_version"] = found
    with pytest.raises(PosteriorFileError, match=f"'star' has format {found}, and this rvsemu reads 2: {remedy}"):
        Posterior.load(path)
