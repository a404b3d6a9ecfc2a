"""Training on an imported library: its domain, draws, and an emulator."""

from dataclasses import replace

import importer_fixtures as fx
import numpy as np
import pytest
from emulator_fixtures import small_emulator
from training_fixtures import LIBRARY as SMALL

import rvsemu
from rvsemu.cli import main
from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import LabelError, TrainingError
from rvsemu.fitting.parameters import Parameters
from rvsemu.library import Library
from rvsemu.library.importing.spectrum import LABELS
from rvsemu.training.domain import constant_labels, label_space_of, without_constants
from rvsemu.training.draws import PAPER_WAVELENGTH, make_training_set
from rvsemu.training.recipes import NetworkPlan, Recipe, Schedule, Work, recipe

# ---------------------------------------------------------------- training on an imported library
TINY = Recipe(
    name="tiny",
    encoder=NetworkPlan((16,), "silu"),
    decoder=NetworkPlan((16,), "silu"),
    label_network=NetworkPlan((16,), "silu"),
    latent=6,
    autoencoder_schedule=Schedule("adam", 32, 2, 2, 1e-2),
    label_schedule=Schedule("adam", 32, 2, 2, 1e-2),
    finetune_schedule=None,
    draws=120,
    validation=0.2,
    interpolate=True,
    log_labels=("teff",),
    components=20,
    weights="float32",
)


@pytest.fixture(scope="module")
def trainable(tmp_path_factory):
    """Real spectra of R = 30000 as arrays in vacuum with one vmic for all, imported for what training needs."""
    folder = tmp_path_factory.mktemp("trainable")
    source = Library.load(SMALL).subset(slice(0, 60))
    np.savez(
        folder / "grid.npz",
        wavelength=fx.vacuum(source.wavelength),
        flux=source.flux,
        **dict(zip(("teff", "logg", "mh"), source.labels.T, strict=False)),
        vmic=np.full(60, 2.0),
    )
    limits = ["--range", "8387.5,8812.5", "--resolution", "30000", "--medium", "vacuum"]
    command = ["library", "import", "--format", "table", *limits, "-o", str(folder / "x.h5"), str(folder / "grid.npz")]
    assert main(command) == 0
    return source, Library.load(folder / "x.h5")


def test_imported_library_broadens_as_the_original(trainable):
    """To what an RVS spectrum shows: the import changes it by less than 2e-3."""
    source, library = trainable
    assert library.resolution == 30000
    spectra = []
    for each in (source, library):
        broadener = each.broadener(PAPER_WAVELENGTH)
        spectra.append(broadener.apply(broadener.transform(each.flux[:10]), 5.0, 11500.0))
    np.testing.assert_allclose(spectra[1], spectra[0], rtol=0, atol=2e-3)


def test_draws_of_an_imported_library(trainable, tmp_path):
    """vmic does not vary: it is no label of the draws, and the spectra do not depend on it."""
    _, library = trainable
    sets = make_training_set(library, TINY, Work(tmp_path, 5))
    space = label_space_of(library, TINY.label_space())
    assert space.names == ("teff", "logg", "vsini", "mh", "resolution") and sets.labels.shape == (120, 5)
    assert space.inside(sets.labels).all()
    assert 0 <= sets.flux.min() and 0.9 < np.median(sets.flux) < 1.02
    validation = {tuple(row) for row in sets.part(True)[0][:, [0, 1, 3]]}
    assert validation <= {tuple(row) for row in library.labels[:, :3]}


def test_training_on_an_imported_library(keras, trainable, tmp_path, capsys):
    from rvsemu.training.fit import train

    emulator = train(
        trainable[1], replace(TINY, interpolate=False), tmp_path / "e.h5", seed=3, least_r2=None, progress=False
    )
    assert emulator.labels.names == ("teff", "logg", "vsini", "mh", "resolution")
    assert emulator.info["constant_labels"] == {"vmic": 2.0}
    assert emulator.info["library"]["format"] == "table"
    spectrum = emulator.spectrum(teff=5777, logg=4.4, vsini=2, mh=0, resolution=11500)
    assert spectrum.flux.shape == (4000,) and spectrum.meta["medium"] == "air"
    result = rvsemu.fit(rvsemu.read_rvs(rvsemu.example_path("kepler-93"))[0], emulator=emulator)
    assert "vmic" not in result.labels and set(emulator.labels.names) <= set(result.labels)
    command = ["generate", "--emulator", str(tmp_path / "e.h5"), "--teff", "5777", "--logg", "4.4"]
    assert main([*command, "-o", str(tmp_path / "sun.fits")]) == 0
    assert main([*command, "--vmic", "1", "-o", str(tmp_path / "x.fits")]) == 2
    assert "--vmic: this emulator has no such label, it takes teff, logg, vsini, mh" in capsys.readouterr().err


def test_alpha_of_all_spectra_is_that_of_the_emulator(tmp_path):
    """It is no label, and spectra of another one are refused."""
    library = grid_library([4000, 5000], [4.0, 4.5], [0.0, 0.3], [1.0, 2.0])
    labels = np.insert(library.labels, 3, 0.4, axis=1)
    library = replace(library, labels=labels, names=("teff", "logg", "mh", "alpha", "vmic"))
    for name in ("default", "gebran2024"):
        space = label_space_of(library, recipe(name).label_space())
        assert (space.names, space.constant_alpha) == (LabelSpace().names, 0.4)
        assert constant_labels(library, recipe(name).label_space()) == {"alpha": 0.4}
        assert without_constants(library, recipe(name).label_space()).names == LABELS
    plain = small_emulator()
    emulator = replace(plain, labels=replace(plain.labels, constant_alpha=0.4))
    emulator.save(tmp_path / "e.h5")
    sun = {"teff": 5777, "logg": 4.4, "vsini": 2, "mh": 0, "vmic": 1, "resolution": 11500}
    rvsemu.generate(**sun, alpha=0.4, emulator=tmp_path / "e.h5")
    with pytest.raises(LabelError, match=r"alpha=0\.0: .* are those of \[alpha/M\] = 0\.4; give alpha=0\.4, or"):
        rvsemu.generate(**sun, emulator=tmp_path / "e.h5")
    command = ["generate", "--emulator", str(tmp_path / "e.h5"), "--teff", "5777", "--logg", "4.4"]
    assert main([*command, "-o", str(tmp_path / "sun.fits")]) == 0
    assert Parameters.make(emulator.labels).free_names == Parameters.make(plain.labels).free_names
    with pytest.raises(LabelError, match=r"alpha=0: .* \[alpha/M\] = 0\.4"):
        Parameters.make(emulator.labels, {"alpha": 0})


def grid_library(teff, logg, mh, vmic):
    labels = np.array(np.meshgrid(teff, logg, mh, vmic, indexing="ij")).reshape(4, -1).T
    wavelength = np.arange(8380.0, 8400.0, 0.1)
    return Library(labels, LABELS, wavelength, np.ones((len(labels), 200), "f4"), "air")


def test_domain_is_that_of_the_library():
    """Where a grid ends before the paper's range does, or goes beyond it, so does the emulator."""
    space = label_space_of(grid_library([15000, 30000], [1.75, 4.75], [-1.0, 0.3], [2.0, 10.0]), LabelSpace())
    bounds = {x.name: (x.lower, x.upper) for x in space.labels}
    assert bounds["teff"] == (15000, 30000) and bounds["logg"] == (1.75, 4.75) and bounds["mh"] == (-1.0, 0.3)
    assert bounds["vmic"] == (2.0, 10.0)
    assert bounds["vsini"] == (0, 300) and bounds["resolution"] == (5000, 14500)


def test_domain_of_the_projects_own_library_is_the_papers():
    space = label_space_of(Library.load(SMALL), LabelSpace())
    np.testing.assert_array_equal(space.lower, LabelSpace().lower)
    np.testing.assert_array_equal(space.upper, LabelSpace().upper)


def test_labels_that_do_not_vary():
    library = grid_library([4000, 5000], [4.5], [0.0], [1.0, 2.0])
    assert constant_labels(library, LabelSpace()) == {"logg": 4.5, "mh": 0.0}
    with pytest.raises(TrainingError, match="all spectra of the library have teff=5777: an emulator needs several"):
        label_space_of(grid_library([5777], [4.4, 4.5], [0.0], [1.0]), LabelSpace())
