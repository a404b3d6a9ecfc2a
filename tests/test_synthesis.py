"""Making spectra: settings, one spectrum from input to fluxes (SYNSPEC's output is recorded), the sources."""

import hashlib
import io
import math
import sys
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from synthesis_fixtures import RECORDED, SETTINGS, structures, workspace

from rvsemu.errors import SynthesisError
from rvsemu.library.synthesis import BOXES, Settings, Workspace, sources, synthesize
from rvsemu.library.synthesis.engine import Failure, compile_synspec, step
from rvsemu.library.synthesis.lines import write_atoms
from rvsemu.library.synthesis.repairs import _REPAIRS
from rvsemu.library.synthesis.spectrum import mean_in_bins


# ---------------------------------------------------------------------- settings
def test_draws_fill_the_box_and_grow():
    settings = Settings(seed=5, teff=(4000, 9000), mh=(-1, 0.5))
    draws = settings.draws(4096)
    for column, (low, high) in zip(draws.T, ((4000, 9000), (2, 5), (-1, 0.5), (0, 4)), strict=True):
        assert low <= column.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < column.max() <= high
    np.testing.assert_array_equal(settings.draws(100), draws[:100])
    assert not np.array_equal(replace(settings, seed=6).draws(100), draws[:100])
    np.testing.assert_allclose(draws[:, 1:].mean(axis=0), [3.5, -0.25, 2], atol=0.01)


def test_draws_of_the_wide_box():
    """The first spectra of the parts in library/: Sobol numbers in five dimensions, 70 % cool, from the nodes on."""
    settings = BOXES["wide"]
    assert settings.names == ("teff", "logg", "mh", "alpha", "vmic")
    draws = settings.draws(4000, structures())
    np.testing.assert_allclose(draws[0, [0, 2, 3, 4]], [6152.790797, -1.717444139, 0.145312046, 0.680952769], rtol=1e-8)
    np.testing.assert_allclose(draws[3653, [0, 2]], [4418.4611, -0.534541], rtol=1e-6)
    lowest = np.where(draws[:, 0] > 8000, 2.5, 1.0)
    assert np.all(draws[:, 1] >= lowest)
    assert [draws[draws[:, 0] > 8000, 1].min(), draws[draws[:, 0] < 8000, 1].min()] == pytest.approx([2.5, 1], abs=0.01)
    with pytest.raises(SynthesisError, match="above_nodes=True: draws need the structures"):
        settings.draws(4)


def test_cool_stars_weigh_more():
    share = [np.mean(Settings(cool_fraction=c).draws(4096)[:, 0] < 5200) for c in (0.0, 0.4, 1.0)]
    even = 1600 / 11400
    cool = np.log(5200 / 3600) / np.log(8500 / 3600)
    np.testing.assert_allclose(share, [even, 0.6 * even + 0.4 * cool, cool], atol=0.003)


def test_settings_as_text():
    settings = Settings(seed=9, teff=(4000.0, 5000.0), alpha=(0.0, 0.4), helium=False)
    assert Settings.from_json(settings.to_json()) == settings
    assert Settings.from_json('{"seed": 7}') == Settings(seed=7)  # of a library made before there was alpha
    assert settings.differences(settings) == ""
    assert "seed 1 instead of 9" in settings.differences(Settings())
    with pytest.raises(SynthesisError, match="newer"):
        Settings.from_json('{"oxygen": 1}')


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teff": (3000.0, 5000.0)}, "teff=3000,5000.*3500"),
        ({"logg": (4.0, 3.0)}, "logg=4,3"),
        ({"cool_fraction": 1.5}, "cool_fraction=1.5"),
        ({"teff": (9000.0, 12000.0)}, "--cool-fraction 0"),
        ({"seed": -1}, "seed=-1"),
        ({"alpha": (-0.2, 1.4)}, "alpha=-0.2,1.4: .* within -1 to 1"),
        ({"seed": 1.5}, "seed=1.5: give a whole number"),
        ({"teff": 5000}, "teff=5000: give two numbers"),
        ({"teff": (4, 5) * u.km}, "teff=<Quantity 4. km>: give a number in K"),
        ({"low": "8380"}, "low='8380': give a number in Angstrom"),
    ],
)
def test_bad_settings(changes, words):
    with pytest.raises(SynthesisError, match=words):
        Settings(**changes)


def test_settings_with_units():
    found = Settings(teff=(4, 6) * u.kK, vmic=(0 * u.m / u.s, 2000 * u.m / u.s), low=840 * u.nm, bin_width=0.01 * u.nm)
    plain = Settings(teff=(4000.0, 6000.0), vmic=(0.0, 2.0), low=8400.0, bin_width=0.1)
    assert found == plain and found.to_json() == plain.to_json()


def test_molecules_by_temperature():
    settings = Settings()
    assert settings.molecules(5999) == ("CN", "TiO")
    assert settings.molecules(6000) == ("CN",)
    assert settings.molecules(8500) == ()
    wide = BOXES["wide"]
    assert [wide.molecules(5000, -0.9, alpha) for alpha in (0.39, 0.41)] == [("CN",), ("CN", "TiO")]
    assert wide.molecules(4799, -2.5) == ("CN", "TiO")


# ---------------------------------------------------------------------- one spectrum
def test_mean_in_bins_is_the_integral():
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(0, 10, 80))
    x[[0, -1]] = 0.0, 10.0
    y = rng.random(80)
    edges = np.linspace(0.3, 9.7, 41)
    fine = np.linspace(edges[:-1], edges[1:], 20001)
    np.testing.assert_allclose(mean_in_bins(x, y, edges), np.interp(fine, x, y).mean(axis=0), atol=2e-5)


@pytest.mark.parametrize("k", range(3))
def test_recorded_runs(k, tmp_path):
    """From SYNSPEC's own files to the fluxes that were made of them."""
    with np.load(RECORDED) as runs:
        labels, flux = runs[f"labels_{k}"], runs[f"flux_{k}"]
    made = synthesize(labels, SETTINGS, workspace(tmp_path))
    np.testing.assert_allclose(made.flux, flux, atol=2e-6)
    core = 8542.09
    assert made.flux[round((core - 8530) / 0.04)] == pytest.approx(made.flux.min(), abs=0.03)


IRON = """'  26.000            '    1         1
'Fe I    LTE'
  8688.624  2.176 -1.211  253.245    7.0  2.14E+07  0.000  's' 'p'   0.0    1.0 'Fe I a5P - z5P*'
"""


@pytest.mark.parametrize(
    ("teff", "helium", "units"),
    [
        (4300, True, ["fort.19", "fort.20", "fort.21", "fort.5", "fort.55", "fort.8"]),
        (9000, True, ["fort.19", "fort.5", "fort.55", "fort.8"]),
        (9000, False, ["fort.19", "fort.5", "fort.55", "fort.8"]),
    ],
)
def test_what_synspec_is_given(teff, helium, units, tmp_path):
    space = workspace(tmp_path)
    (tmp_path / "list").write_text(IRON)
    write_atoms(tmp_path / "list", space.atoms(False), 8680, 8700, helium=False)
    space.atoms(True).write_text(space.atoms(False).read_text() + "helium\n")
    for name in ("CN", "TiO"):
        space.molecule(name).write_text(name)
    settings = replace(SETTINGS, helium=helium)
    (tmp_path / "seen").mkdir()
    player = space.engine.executable  # keeps what it is given, and stops
    player.write_text(f"#!/bin/sh\ncp -L fort.* tas {tmp_path}/seen\necho stop\nexit 1\n")
    with pytest.raises(Failure, match="stop"):
        synthesize((teff, 4.5, 0.3, 1.5), settings, space)
    seen = {path.name: path.read_text().splitlines() for path in (tmp_path / "seen").iterdir()}
    assert sorted(name for name in seen if name.startswith("fort.")) == units

    # fort.5: three numbers an element: 2 for explicit ions, 1 for implicit ones; atoms per hydrogen atom; 0
    elements = [line.split() for line in seen["fort.5"][5 : 5 + 99]]
    assert [int(e[0]) for e in elements[:8]] == [2, 2, 1, 1, 1, 2, 2, 2]
    assert [float(elements[z - 1][1]) for z in (1, 2)] == [1.0, 0.085]  # not scaled with [M/H]
    assert elements[25] == ["2", f"{3.2e-5 * 10**0.3:e}", "0"]
    assert [line.split()[:3] for line in seen["fort.5"] if "'Fe" in line] == [
        ["26", "0", "49"],
        ["26", "1", "41"],
        ["26", "2", "1"],
    ]

    # fort.8
    layers = structures().at(teff, 4.5, 0.3)
    assert len(seen["fort.8"]) == 1 + 21 + 1 + 4
    assert seen["fort.8"][22].startswith("READ DECK6  4")
    given = np.array([line.split() for line in seen["fort.8"][23:]], dtype=float).T
    wanted = layers.column_mass, layers.temperature, layers.pressure, layers.electrons
    np.testing.assert_allclose(given, wanted, rtol=1e-6)

    # fort.19: the line as the Gaia-ESO list has it; upper level from the NIST Atomic Spectra Database
    assert seen["fort.19"][1:] == ["helium"] * helium
    iron = [float(x) for x in seen["fort.19"][0].split()]
    assert iron[:4] == [868.8624, 26.0, -1.211, pytest.approx(2.176 * 8065.544, abs=1e-3)]
    assert iron[5:7] == [pytest.approx(29056.32, abs=0.5), 3.0]
    assert iron[7:] == [pytest.approx(math.log10(2.14e7), abs=0.005), 0.0, pytest.approx(-7.731, abs=0.005), 0.0]

    # the rest
    assert seen["tas"][0] == "ND= 4 "
    assert ("IFMOL= 1 " in seen["tas"]) == (teff == 4300)
    assert seen["fort.55"][6] == ("2 20 21" if teff == 4300 else "0 0")
    if teff == 4300:
        assert (seen["fort.20"], seen["fort.21"]) == (["CN"], ["TiO"])
    assert [float(x) for x in seen["fort.55"][5].split()[:3]] == [8529.0, 8563.0, 250.0]
    assert float(seen["fort.55"][7]) == 1.5


def test_step_is_a_third_of_the_narrowest_width():
    sigma = np.sqrt(1.380649e-23 * 2 * 4000 / (100 * 1.66054e-27) / 1e6 + 2.0**2 / 2)  # km/s
    assert step(4000, 2.0, 8600, 3) == pytest.approx(8600 * sigma / 299792.458 * 2.3548 / 3, rel=2e-3)


def test_a_failed_run_tells_the_end_of_its_log(tmp_path):
    with pytest.raises(Failure, match="too many lines in a set"):
        synthesize((3650, 4.5, 0.0, 1.0), SETTINGS, workspace(tmp_path))


def test_a_late_beginning_is_continued(tmp_path, monkeypatch):
    def run(start, end):
        x = np.arange(start, end, 0.05)
        monkeypatch.setattr("rvsemu.library.synthesis.engine.Engine.run", lambda *_: (x, 0.9 + 0.001 * (x - 8530)))
        return synthesize((5000, 4.5, 0.0, 1.0), SETTINGS, workspace(tmp_path / f"{start}-{end}"))

    made = run(8532.5, 8563)
    centres = SETTINGS.edges[:-1] + 0.02
    np.testing.assert_allclose(made.flux, 0.9 + 0.001 * (centres - 8530), atol=1e-9)
    with pytest.raises(Failure, match="begin"):
        run(8535, 8563)
    with pytest.raises(Failure, match="ends at 8558"):
        run(8529, 8559)


def test_impossible_fluxes_are_failures(tmp_path, monkeypatch):
    x = np.arange(8529, 8563, 0.05)
    for value in (np.nan, -0.1, 1.3):
        monkeypatch.setattr("rvsemu.library.synthesis.engine.Engine.run", lambda *_, v=value: (x, np.full(len(x), v)))
        with pytest.raises(Failure, match="of the continuum"):
            synthesize((5000, 4.5, 0.0, 1.0), SETTINGS, workspace(tmp_path / str(value)))


# ---------------------------------------------------------------------- sources and workspace
@pytest.fixture
def small_sources(tmp_path, monkeypatch):
    """A tar archive and a wheel with one wanted and one unwanted file each."""
    folder = tmp_path / "archives"
    folder.mkdir()
    with tarfile.open(folder / "a-1.tar.gz", "w:gz") as archive:
        for name in ("a-1/src/wanted.f", "a-1/setup.py"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    with zipfile.ZipFile(folder / "b-2.whl", "w") as archive:
        archive.writestr("b/data.txt", "b")
        archive.writestr("b/code.py", "c")
    digest = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir()}
    monkeypatch.setattr(
        sources,
        "SOURCES",
        (
            sources.Source("a", "1", "a-1.tar.gz", digest["a-1.tar.gz"], "", ("a-1/src/",)),
            sources.Source("b", "2", "b-2.whl", digest["b-2.whl"], "", ("b/data.txt",)),
        ),
    )
    return folder


def test_sources_are_verified_and_unpacked(small_sources, tmp_path):
    target = tmp_path / "sources"
    sources.fetch(target, small_sources)
    sources.unpack(target)
    files = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
    assert files == {"a-1.tar.gz", "b-2.whl", "a-1/src/wanted.f", "b/data.txt"}
    assert (target / "a-1/src/wanted.f").read_text() == "a-1/src/wanted.f"


def test_a_wrong_archive_is_refused_and_removed(small_sources, tmp_path):
    (small_sources / "b-2.whl").write_bytes(b"something else")
    with pytest.raises(SynthesisError, match="SHA-256"):
        sources.fetch(tmp_path / "sources", small_sources)
    assert not (tmp_path / "sources/b-2.whl").exists()
    (small_sources / "b-2.whl").unlink()
    with pytest.raises(SynthesisError, match=r"b-2\.whl is missing"):
        sources.fetch(tmp_path / "sources", small_sources)


def test_a_failed_download_is_one_line(small_sources, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SynthesisError, match="pip could not download a 1") as caught:
        sources.fetch(tmp_path / "sources")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sources").exists()


def test_missing_prerequisites_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisError, match="apt-get install gfortran"):
        Workspace.prepare(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(SynthesisError, match="synthesize setup"):
        Workspace.open(tmp_path / "cache")
    with pytest.raises(SynthesisError, match="not an executable"):
        Workspace.open(tmp_path / "cache", engine=RECORDED)


COPIER = """#!{python}
import pathlib, sys
if "--version" in sys.argv:
    print("a compiler that copies")
else:
    pathlib.Path("synspec").write_text(pathlib.Path("synspec54.f").read_text() + pathlib.Path("P.FOR").read_text())
"""


def _source(change):
    """Routines with what is repaired, as `change` has it, and one that has the same and is not to be changed."""
    routines = {name: "".join(change(*pair) for other, *pair in _REPAIRS if other == name) for name, *_ in _REPAIRS}
    same = "".join(old for _, old, _ in _REPAIRS)
    texts = {"OTHER": same, **routines}
    return "".join(f"      SUBROUTINE {name}(ID)\n{text}\n      END\n" for name, text in texts.items())


def test_only_the_expected_synspec_is_repaired(tmp_path, monkeypatch):
    compiler = tmp_path / "bin/gfortran"
    compiler.parent.mkdir()
    compiler.write_text(COPIER.format(python=sys.executable))
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(compiler.parent))
    (tmp_path / "P.FOR").write_text("C     included\n")
    (tmp_path / "synspec54.f").write_text(_source(lambda old, new: old))
    assert compile_synspec(tmp_path, tmp_path / "synspec") == "a compiler that copies"
    written = (tmp_path / "synspec").read_text()
    assert written.startswith(_source(lambda old, new: new))
    assert written.endswith("C     included\n")
    assert "SUBROUTINE RVNEAR(" in written
    (tmp_path / "synspec54.f").write_text(_source(lambda old, new: old.replace("PJ(40)", "PJ(60)")))
    with pytest.raises(SynthesisError, match=r"no 'PJ\(40\)' in HYDLIN"):
        compile_synspec(tmp_path, tmp_path / "synspec")


def test_a_workspace_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path))
    made = workspace(tmp_path)
    assert Workspace.open().folder == made.folder
    assert "recorded" in made.manifest["engine"]
    own = Workspace.open(engine=made.folder / "engine/synspec54")
    assert "SHA-256" in own.manifest["engine"]
