"""Files of chains: they come back, go on, and survive what happens to a program."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from sampling_fixtures import Gauss, quickly

import rvsemu
from rvsemu import Posterior
from rvsemu.errors import PosteriorFileError
from rvsemu.fitting.chain_file import ChainFile


def test_a_posterior_comes_back(tmp_path):
    file = ChainFile(tmp_path / "p.h5")
    info = {"medium": "air", "flags": ["poor-fit"], "ra": 12.5, "source_id": 2**62}
    made = quickly(Gauss(), file=file, info=info, arrays=lambda v: {"a": v[:3]})
    read = Posterior.load(tmp_path / "p.h5")
    assert read == made
    np.testing.assert_array_equal(read.chain, made.chain)
    np.testing.assert_array_equal(read.spectrum["a"], made.values[:3])
    assert read.meta == info
    assert made.flags == ("poor-fit",)
    assert repr(read) == repr(made)
    assert [p.name for p in tmp_path.iterdir()] == ["p.h5"]


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "p.h5"
    quickly(Gauss(), file=ChainFile(path), arrays=lambda v: {"a": v[:3]})
    with h5py.File(path) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        places = [file[name].id.get_chunk_info(0).byte_offset for name in names]
    whole = path.read_bytes()
    assert len(places) == 4
    for place in places:
        path.write_bytes(whole[: place + 2] + bytes([whole[place + 2] ^ 1]) + whole[place + 3 :])
        with pytest.raises(PosteriorFileError, match="damaged"):
            Posterior.load(path)


def test_emcee_reads_the_file(tmp_path):
    import emcee

    made = quickly(Gauss(), steps=250, file=ChainFile(tmp_path / "p.h5"))
    backend = emcee.backends.HDFBackend(tmp_path / "p.h5", read_only=True)
    assert backend.iteration == 250
    assert backend.shape == (8, 3)
    assert not backend.has_blobs()
    np.testing.assert_array_equal(backend.get_chain(), made.chain)
    np.testing.assert_array_equal(backend.get_log_prob(), made.log_probability)
    assert np.mean(backend.accepted) / 250 == made.acceptance
    assert backend.random_state[0] == "MT19937"
    np.testing.assert_array_equal(backend.get_last_sample().coords, made.chain[-1])


def test_what_emcee_accepts_is_what_moved():
    """Counted from the coordinates; emcee's own count of the same proposals is the reference."""
    import emcee
    from sampling_fixtures import BEGIN

    from rvsemu.fitting.importance import weighted_draws
    from rvsemu.fitting.proposals import moves

    made = quickly(Gauss(), steps=100)
    start = weighted_draws(Gauss(), BEGIN)
    rng = np.random.default_rng(3)
    first = start.x[rng.choice(len(start.x), size=8, replace=False, p=start.weights)]
    sampler = emcee.EnsembleSampler(8, 3, Gauss().log_probability, moves=moves(start.proposal), vectorize=True)
    seed = rng.integers(2**32, size=8, dtype=np.uint32)
    sampler.run_mcmc(emcee.State(first, random_state=np.random.RandomState(seed).get_state()), 100)
    np.testing.assert_array_equal(sampler.get_chain(), made.chain)
    assert made.acceptance == pytest.approx(np.mean(sampler.acceptance_fraction), abs=1e-12)


@pytest.mark.parametrize("first", [1, 130, 300])
def test_resuming_is_going_on(tmp_path, first):
    whole = quickly(Gauss(), steps=420)
    file = ChainFile(tmp_path / "p.h5")
    quickly(Gauss(), steps=first, file=file)
    np.testing.assert_array_equal(Posterior.load(file.path).chain, whole.chain[:first])
    resumed = quickly(Gauss(), steps=420, file=file, seed=99)
    np.testing.assert_array_equal(resumed.chain, whole.chain)
    assert Posterior.load(file.path) == whole


def test_what_is_done_is_not_done_again(tmp_path):
    file = ChainFile(tmp_path / "p.h5")
    predictions = []

    def arrays(values):
        predictions.append(values)
        return {"a": values[:3]}

    done = quickly(Gauss(), file=file, arrays=arrays)
    again = quickly(Gauss(stop_after=2), file=file, arrays=arrays)  # one call to compare, none to sample
    assert again == done
    assert again.converged
    assert len(predictions) == 1


def test_a_longer_chain_has_no_prediction_of_the_shorter_one(tmp_path):
    """Also where what made it longer was interrupted before it came to a new one."""
    file = ChainFile(tmp_path / "p.h5")

    def arrays(values):
        return {"mean": values.mean(axis=0)}

    quickly(Gauss(), steps=100, file=file, arrays=arrays)
    assert set(file.read().arrays) == {"mean"}
    with pytest.raises(KeyboardInterrupt):
        quickly(Gauss(stop_after=250), steps=400, file=file, arrays=arrays)
    chain = file.read()
    assert 100 < len(chain) < 400 and chain.arrays == {}
    again = quickly(Gauss(), steps=len(chain), file=file, arrays=arrays)
    np.testing.assert_array_equal(again.spectrum["mean"], again.visited.mean(axis=0))


def test_fewer_steps_than_there_are_take_none_away(tmp_path):
    file = ChainFile(tmp_path / "p.h5")
    done = quickly(Gauss(), steps=300, file=file)
    assert quickly(Gauss(), steps=100, file=file) == done


@pytest.mark.parametrize(
    ("likelihood", "options", "words"),
    [
        (Gauss(shift=0.5), {}, "other data or settings .a log probability was"),
        (Gauss(lower=(5600, 0, -3)), {}, "other data or settings"),
        (Gauss(), {"walkers": 16}, "8 walkers for teff, logg, mh, now they are 16"),
    ],
)
def test_another_chain_is_not_continued(tmp_path, likelihood, options, words):
    file = ChainFile(tmp_path / "p.h5")
    quickly(Gauss(), steps=50, file=file)
    with pytest.raises(PosteriorFileError, match=f"{words}.*--restart"):
        quickly(likelihood, steps=100, file=file, **options)
    anew = quickly(likelihood, steps=60, file=file, resume=False, **options)
    np.testing.assert_array_equal(Posterior.load(file.path).chain, anew.chain)


def test_what_lies_beside_a_new_file_does_not_matter(tmp_path):
    """Journals of older versions, locks and halves of files of programs that were killed, all of other chains."""
    for name in ("p.h5.journal", ".p.h5.lock", ".p.h5.123.0.tmp"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n" * 5000)
    made = quickly(Gauss(), steps=120, file=ChainFile(tmp_path / "p.h5"))
    assert Posterior.load(tmp_path / "p.h5") == made


# ---------------------------------------------------------------------- what is no file of a chain
def test_files_that_are_not_there(tmp_path):
    with pytest.raises(PosteriorFileError, match=r"no\.h5 does not exist: give the path of a posterior file"):
        Posterior.load(tmp_path / "no.h5")
    with pytest.raises(PosteriorFileError, match="make it first"):
        ChainFile(tmp_path / "no" / "p.h5")


@pytest.mark.parametrize("path", [3, None, b"p.h5", ["p.h5"], ""])
@pytest.mark.parametrize("use", [Posterior.load, ChainFile])
def test_what_is_no_name_of_a_file(use, path):
    with pytest.raises(PosteriorFileError, match="file=.*: give the name of a file of rvsemu.sample"):
        use(path)


def test_files_of_something_else_are_neither_read_nor_replaced(tmp_path):
    (tmp_path / "text.h5").write_text("not HDF5" * 1000)
    rvsemu.shipped().save(tmp_path / "emulator.h5")
    with pytest.raises(PosteriorFileError, match=r"text\.h5 is damaged or not a posterior file"):
        Posterior.load(tmp_path / "text.h5")
    with pytest.raises(PosteriorFileError, match="is not an rvsemu posterior but an rvsemu emulator"):
        Posterior.load(tmp_path / "emulator.h5")
    for name in ("text.h5", "emulator.h5"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(PosteriorFileError, match="exists and is not a file of rvsemu.sample: give another"):
            ChainFile(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


def grown(file):
    del file["mcmc/chain"]
    file["mcmc"].create_dataset("chain", (10**11, 8, 3), "f8", chunks=(100, 8, 3))


def packed(file):
    del file["mcmc/log_prob"]
    file["mcmc"].create_dataset("log_prob", (10**8, 8), "u1", chunks=(10**6, 8), compression="gzip", fillvalue=0)


def elsewhere(file):
    del file["mcmc/chain"]
    file["mcmc/chain"] = h5py.ExternalLink("/dev/zero", "chain")


def without_proposals(file):
    del file["mcmc"].attrs["proposal_means"]


def shorter(file):
    log_probability = file["mcmc/log_prob"][:-1]
    del file["mcmc/log_prob"]
    file["mcmc/log_prob"] = log_probability


def not_finite(file):
    file["mcmc/chain"][3, 2, 1] = np.nan


def promised(file):
    file["mcmc"].attrs["iteration"] = 10**11


def no_json(file):
    file["mcmc"].attrs["info"] = "{"


def other_state(file):
    file["mcmc"].attrs["random_state_1"] = np.arange(5)


def other_labels(file):
    file["mcmc"].attrs["proposal_means"] = np.zeros((1, 2))
    file["mcmc"].attrs["proposal_covariances"] = np.eye(2)[None]


def empty(file):
    for key in ("chain", "log_prob"):
        values = file[f"mcmc/{key}"][:0]
        del file[f"mcmc/{key}"]
        file[f"mcmc/{key}"] = values


INFO = {
    "name": "star",
    "medium": "air",
    "source_id": 5,
    "units": {"teff": "K", "logg": "dex", "mh": "dex", "vmic": "km / s"},
    "fixed": {"vmic": 1.0},
    "ranges": {"teff": [3000, 9000], "logg": [0, 9], "mh": [-3, 3]},
    "label_errors": np.diag([1e3, 1e-3, 1e-3]).tolist(),
    "domain": {"teff": [3000, 9000]},
    "lowest_logg": [[3000, 0.0], [9000, 1.0]],
    "regions": '[{"limits": {"teff": [3000, 9000]}, "lowest_logg": []}]',
    "flags": ["at-bound:mh"],
    "recipe": "default",
    "emulator_version": None,
}


def predicted(_):
    """Of three pixels, as of a spectrum."""
    numbers = {"wavelength": [8500.0, 8501.0, 8502.0], "flux": [1.0, np.nan, 0.9], "sigma": [0.1, np.inf, 0.1]}
    arrays = {name: np.array(values) for name, values in numbers.items()}
    return arrays | {"used": np.array([True, False, True]), "predicted": np.ones((5, 3), dtype="f4")}


def set_to(key, value):
    """A change of one property among those of the posterior."""

    def change(file):
        info = json.loads(file["mcmc"].attrs["info"])
        file["mcmc"].attrs["info"] = json.dumps({**info, key: value})

    return change


def attribute(key, value):
    return lambda file: file["mcmc"].attrs.__setitem__(key, value)


def of_spectrum(key, value=None):
    def change(file):
        del file[f"spectrum/{key}"]
        if value is not None:
            file[f"spectrum/{key}"] = value

    return change


EDITS = (
    *(
        (attribute("names", value), "names|shape")
        for value in ("x", 5, ["teff", "logg"], ["teff", "teff", "mh"], [1, 2, 3])
    ),
    (attribute("names", ["teff", "logg", "x"]), "ranges of teff, logg, mh, but samples of teff, logg, x"),
    *((attribute("units", value), "unit") for value in (["K", "dex", "nonsense"], ["km/s", "dex", "dex"], [1, 2, 3])),
    (attribute("target", np.nan), "target is not finite"),
    (attribute("target", -1.0), "target is -1"),
    (attribute("proposal_shares", [0.0]), "shares of the proposals are not positive"),
    (attribute("proposal_covariances", -np.eye(3)[None]), "not positive definite"),
    (attribute("random_state_2", 10**9), "state of random numbers is at 1000000000 of 624"),
    (attribute("random_state_3", 1j), "state of random numbers is .* instead of real numbers"),
    (attribute("info", "[[1, 2]]"), "instead of values by name"),
    (set_to("medium", "water"), "water"),
    (set_to("medium", 5), "medium is 5 instead of a text"),
    (set_to("recipe", ["default"]), "recipe is .* instead of a text"),
    (set_to("release", {"a": 1}), "release is .* instead of a text"),
    (set_to("frame", []), "frame is .* instead of a text"),
    (set_to("priors", [[1]]), "priors is .* instead of a number or a text"),
    (set_to("source_id", [1, 2]), "source_id is .* instead of a number or a text"),
    (set_to("flags", ["nonsense"]), "nonsense"),
    (set_to("flags", "poor-fit"), "flags is 'poor-fit' instead of a list"),
    (set_to("flags", [5]), "flags is 5 instead of a text"),
    (set_to("units", "K"), "units is 'K' instead of values by name"),
    (set_to("units", {"teff": 5}), "unit of teff is 5 instead of a text"),
    (set_to("units", {"vmic": "nonsense"}), "'nonsense' is no unit"),
    (set_to("units", {}), "the fixed vmic has no unit"),
    (set_to("fixed", [1]), "fixed is .* instead of values by name"),
    (set_to("fixed", {"vmic": "x"}), "fixed vmic is 'x' instead of real numbers"),
    (set_to("fixed", {"vmic": float("nan")}), "fixed vmic is not finite"),
    (set_to("ranges", {"teff": [3000, 9000]}), "ranges of teff, but samples of teff, logg, mh"),
    (set_to("ranges", {**INFO["ranges"], "teff": [3000, 3001]}), "samples of teff are outside its range"),
    (set_to("ranges", {**INFO["ranges"], "teff": None}), "ranges of teff"),
    (set_to("ranges", 5), "ranges is 5 instead of limits by name"),
    (set_to("ranges", {}), "label_errors without ranges"),
    (set_to("label_errors", [1.0]), "label_errors of the shape .* is not square"),
    (set_to("label_errors", [[1.0]]), "label_errors has the shape"),
    (set_to("label_errors", (-np.eye(3)).tolist()), "label_errors is no covariance matrix"),
    (set_to("label_errors", "x"), "label_errors is 'x'"),
    (set_to("domain", {"teff": [9000, 3000]}), "domain of teff runs from 9000 to 3000"),
    (set_to("domain", [1]), "domain is"),
    (set_to("lowest_logg", [[9000, 0.0], [3000, 1.0]]), "lowest_logg has no pairs"),
    (set_to("lowest_logg", "x"), "lowest_logg is 'x'"),
    (set_to("regions", "nonsense"), "the regions .* cannot be read"),
    (set_to("regions", 5), "the regions 5 cannot be read"),
    *((of_spectrum(key), key) for key in predicted(None)),
    (of_spectrum("used", np.zeros(3, dtype=bool)), "used does not say"),
    (of_spectrum("used", np.ones(3)), "used does not say"),
    (of_spectrum("wavelength", np.ones(3)), "wavelengths are not above 0 and increasing"),
    (of_spectrum("wavelength", np.array([b"a", b"b", b"c"])), "wavelength is"),
    (of_spectrum("flux", np.ones(2)), "flux and sigma have the shapes"),
    (of_spectrum("flux", np.full(3, np.nan)), "flux is not finite"),
    (of_spectrum("sigma", np.ones((3, 1))), "flux and sigma have the shapes"),
    (of_spectrum("predicted", np.ones((3, 5))), "predicted has the shape"),
    (of_spectrum("predicted", np.full((5, 3), np.nan)), "predicted is not finite"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("posterior") / "p.h5"
    quickly(Gauss(), steps=20, file=ChainFile(path), info=INFO, arrays=predicted)
    return path


def test_a_posterior_with_all_properties_comes_back(whole):
    posterior = Posterior.load(whole)
    assert posterior.to_table()["vmic"].unit == "km/s" and "at-bound:mh" in posterior.flags
    assert set(posterior.spectrum) == set(predicted(None))


@pytest.mark.parametrize(("change", "reason"), EDITS)
def test_edited_properties(whole, tmp_path, change, reason):
    """What would fail in tables and figures, or be wrong there."""
    shutil.copy(whole, tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        change(file)
    with pytest.raises(PosteriorFileError, match=rf"p\.h5 is damaged .*{reason}.*'rvsemu sample'") as e:
        Posterior.load(tmp_path / "p.h5")
    assert "\n" not in str(e.value)


DAMAGE = (
    *(grown, packed, elsewhere, without_proposals, shorter, not_finite, promised, no_json, other_state),
    *(other_labels, empty),
)


@pytest.mark.parametrize("damage", DAMAGE)
def test_files_that_contradict_themselves(tmp_path, damage):
    path = tmp_path / "p.h5"
    quickly(Gauss(), steps=20, file=ChainFile(path))
    with h5py.File(path, "r+") as file:
        damage(file)
    for read in (lambda: Posterior.load(path), lambda: quickly(Gauss(), steps=30, file=ChainFile(path))):
        with pytest.raises(PosteriorFileError, match=r"p\.h5 is damaged or not a posterior file \(.*'rvsemu sample'"):
            read()
    assert len(quickly(Gauss(), steps=5, file=ChainFile(path), resume=False).chain) == 5


def test_files_of_a_newer_format_are_refused(tmp_path):
    path = tmp_path / "p.h5"
    quickly(Gauss(), steps=20, file=ChainFile(path))
    with h5py.File(path, "r+") as file:
        newest = file.attrs["format_version"]
        file.attrs["format_version"] = newest + 1
    words = f"posterior format {newest + 1}, this rvsemu reads up to {newest}: update it"
    with pytest.raises(PosteriorFileError, match=words):
        Posterior.load(path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a folder that cannot be written")
def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(PosteriorFileError, match="cannot be written .*another folder"):
        quickly(Gauss(), steps=20, file=ChainFile("/proc/p.h5"))
