"""Library: file, fingerprint, subset, compact, stars, merging."""

import json
import pickle
import re
import tracemalloc
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy import units as u
from library_fixtures import gaussian_library

from rvsemu.cli import main
from rvsemu.emulator.regions import WIDE, to_json
from rvsemu.errors import LibraryFileError
from rvsemu.library import Library

STEP = 1 / 60000  # of the integers that hold fluxes
DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def library():
    return gaussian_library()


@pytest.fixture
def file(library, tmp_path):
    path = tmp_path / "library.h5"
    library.save(path)
    return path


def test_round_trip(library, file):
    """Everything as it was, fluxes to half a step of their integers; a second time exactly."""
    again = Library.load(file)
    np.testing.assert_array_equal(again.labels, library.labels)
    np.testing.assert_array_equal(again.wavelength, library.wavelength)
    np.testing.assert_allclose(again.flux, library.flux, rtol=0, atol=0.51 * STEP)
    np.testing.assert_array_equal(again.extrapolated, library.extrapolated)
    np.testing.assert_array_equal(again.index, library.index)
    assert again.flux.dtype == "f4"
    assert (again.names, again.medium, again.info) == (library.names, "air", library.info)
    assert (again.bin_width, again.resolution) == (0.0, np.inf)
    again.save(file, overwrite=True)
    np.testing.assert_array_equal(Library.load(file).flux, again.flux)


def test_round_trip_of_bins_resolution_and_medium(library, file):
    changed = replace(library, bin_width=0.04, resolution=30000.0, medium="vacuum", extrapolated=None, index=None)
    changed.save(file, overwrite=True)
    again = Library.load(file)
    assert (again.bin_width, again.resolution, again.medium) == (0.04, 30000.0, "vacuum")
    assert again.extrapolated is None and again.index is None


def test_fluxes_at_the_ends_of_the_integers(library, file):
    """Not wrapped around: what is just below 0 becomes 0."""
    flux = library.flux.copy()
    flux[0, :4] = 65535 * STEP, -0.009, 1.09, 0.0
    replace(library, flux=flux).save(file, overwrite=True)
    np.testing.assert_allclose(Library.load(file).flux[0, :4], [65535 * STEP, 0, 1.09, 0], rtol=0, atol=STEP)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, -0.3])
def test_fluxes_that_a_file_cannot_hold_are_refused(library, file, value):
    """They would be another value, silently; what was there stays."""
    before, flux = file.read_bytes(), library.flux.copy()
    flux[2, 5] = value
    with pytest.raises(
        LibraryFileError, match=rf"spectrum 2 has the flux {value:g} at 8480\.20 A, .* -0\.01 to 1\.092;"
    ):
        replace(library, flux=flux).save(file, overwrite=True)
    assert file.read_bytes() == before


def test_what_cannot_be_made_compact(library):
    for other, words in (
        (replace(library, resolution=20000.0), "has R = 20000, below 30000: .* use it as it is"),
        (library.compact(), "has R = 30000, at 30000: .* use it as it is"),
        (library.subset([]), "has no spectra"),
        (replace(library, wavelength=library.wavelength**1.01), "cannot be made compact: wavelength must be a uniform"),
    ):
        with pytest.raises(LibraryFileError, match=words):
            other.compact()


def test_library_without_spectra(library, tmp_path, capsys):
    library.subset([]).save(tmp_path / "empty.h5")
    assert Library.load(tmp_path / "empty.h5").stars.tolist() == []
    assert main(["library", "info", str(tmp_path / "empty.h5")]) == 0
    assert "Library of 0 spectra" in capsys.readouterr().out


def test_repr_and_length(library):
    assert len(library) == 4
    assert repr(library) == "<Library of 4 spectra, 8480.0-8620.0 A in air, no instrument>"
    assert "R = 30000" in repr(replace(library, resolution=30000.0))


def test_fingerprint_survives_the_file(library, file):
    assert Library.load(file).fingerprint() == library.fingerprint()
    assert len(library.fingerprint()) == 12
    int(library.fingerprint(), 16)


def test_fingerprint_of_clipped_fluxes_survives_the_file(library, file):
    flux = library.flux.copy()
    flux[0, 0], flux[1, 1] = 65535.4 * STEP, -0.009
    changed = replace(library, flux=flux)
    changed.save(file, overwrite=True)
    assert Library.load(file).fingerprint() == changed.fingerprint()


@pytest.mark.parametrize("name", ["labels", "wavelength", "flux"])
def test_fingerprint_changes_with_the_content(library, name):
    array = getattr(library, name).copy()
    array[(-1,) * array.ndim] += 2 * STEP
    assert replace(library, **{name: array}).fingerprint() != library.fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        {"names": ("teff", "logg", "mh", "alpha")},
        {"medium": "vacuum"},
        {"bin_width": 0.04},
        {"resolution": 30000.0},
        {"info": {"regions": to_json([WIDE])}},
    ],
    ids=lambda x: next(iter(x)),
)
def test_identity_changes_with_what_fluxes_mean(library, other):
    """The fingerprint does not: it is that of the numbers."""
    changed = replace(library, **other)
    assert changed.fingerprint() == library.fingerprint() and changed.identity() != library.identity()


def test_identity_changes_with_the_content_only(library, file):
    assert library.subset([0, 1]).identity() != library.subset([1, 0]).identity()
    assert Library.load(file).identity() == replace(library, info={**library.info, "code": "x"}).identity()


def test_fingerprint_changes_with_the_spectra_chosen(library):
    assert library.subset([0, 1]).fingerprint() != library.subset([1, 0]).fingerprint()


@pytest.mark.parametrize("chosen", [[2, 0], np.array([False, True, False, True]), slice(1, 3)])
def test_subset(library, chosen):
    part = library.subset(chosen)
    rows = np.arange(4)[chosen]
    for name in ("labels", "flux", "extrapolated", "index"):
        np.testing.assert_array_equal(getattr(part, name), getattr(library, name)[rows])
    assert len(part) == 2
    assert (part.names, part.medium, part.info) == (library.names, library.medium, library.info)
    np.testing.assert_array_equal(part.wavelength, library.wavelength)


def test_subset_without_extras(library):
    part = replace(library, extrapolated=None, index=None).subset([1])
    assert part.extrapolated is None and part.index is None


@pytest.mark.parametrize(("vsini", "resolution"), [(0, 14500), (0, 5000), (3, 14500), (50, 11500), (300, 14500)])
def test_compact_keeps_broadened_fluxes(library, file, vsini, resolution):
    """Smoothed to R = 30,000, every 0.1 A, as 16-bit integers: below 1e-4 once broadened for an RVS spectrum."""
    out = np.round(np.arange(8495.0, 8605.0, 0.1), 1)
    library.compact().save(file, overwrite=True)
    compact = Library.load(file)
    assert compact.resolution == 30000 and compact.bin_width == 0
    assert len(compact.wavelength) < len(library.wavelength) / 2
    spectra = []
    for source in (library, compact):
        broadener = source.broadener(out)
        spectra.append(broadener.apply(broadener.transform(source.flux), vsini, resolution))
    np.testing.assert_allclose(spectra[1], spectra[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("n", [1, 19, 21])
def test_compact_of_any_number_of_spectra(n):
    """It works in parts: also when there are more parts than spectra."""
    library = gaussian_library(n, step=0.05)
    compact = library.compact()
    assert compact.flux.shape == (n, len(compact.wavelength)) and compact.flux.dtype == "f4"
    alone = library.subset([n - 1]).compact()
    np.testing.assert_allclose(compact.flux[n - 1], alone.flux[0], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(compact.labels, library.labels)


def test_compact_grid_is_uniform_wherever_it_starts():
    library = gaussian_library(1)
    compact = replace(library, wavelength=library.wavelength + 1 / 3).compact()
    compact.broadener(np.arange(8510.0, 8590.0))
    np.testing.assert_allclose(np.diff(compact.wavelength), 0.1, rtol=0, atol=1e-7)


def test_broadener_knows_bins_and_resolution(library):
    """The broadener of a library is made from what the library says of itself."""
    out = np.arange(8500.0, 8600.0)
    plain, binned, smoothed = (
        replace(library, **change).broadener(out).transfer(0, 11500)
        for change in ({}, {"bin_width": 0.2}, {"resolution": 30000.0})
    )
    assert np.all(binned[1:200] > plain[1:200])  # undoing the bins sharpens
    n = min(len(smoothed), len(plain))
    assert np.all(smoothed[1:n] > plain[1:n])


def test_missing_file(tmp_path):
    with pytest.raises(LibraryFileError, match=r"none\.h5 does not exist"):
        Library.load(tmp_path / "none.h5")


@pytest.mark.parametrize("content", [b"", b"teff logg\n5777 4.44\n" * 100], ids=["empty", "text"])
def test_file_that_is_not_hdf5(tmp_path, content):
    path = tmp_path / "library.h5"
    path.write_bytes(content)
    with pytest.raises(LibraryFileError, match=r"library\.h5 is not a library of spectra or is damaged"):
        Library.load(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_truncated_file(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(LibraryFileError, match="is damaged"):
        Library.load(file)


def test_folder_instead_of_file(tmp_path):
    with pytest.raises(LibraryFileError, match="is a folder: give the path of a library"):
        Library.load(tmp_path)


def replaced(name, value):
    def change(opened):
        attributes = dict(opened[name].attrs)
        del opened[name]
        opened[name] = value
        opened[name].attrs.update(attributes)

    return change


def deleted(name):
    return lambda opened: opened.__delitem__(name)


def without(name, key):
    return lambda opened: opened[name].attrs.__delitem__(key)


def stated(name, key, value):
    return lambda opened: opened[name].attrs.__setitem__(key, value)


def region(limits, nodes=()):
    return stated("/", "regions", json.dumps([{"limits": limits, "lowest_logg": nodes}]))


def failed(text):
    return lambda opened: opened.__setitem__("failures", [text])


@pytest.mark.parametrize(
    "change",
    [
        deleted("flux"),
        deleted("labels"),
        deleted("wavelength"),
        without("flux", "scale"),
        without("wavelength", "medium"),
        without("labels", "names"),
        stated("wavelength", "medium", "water"),
        stated("labels", "names", ["teff", "logg", "mh"]),
        stated("flux", "scale", np.nan),
        replaced("labels", np.ones((3, 4))),
        replaced("labels", np.ones(4)),
        replaced("labels", np.full((4, 4), np.nan)),
        replaced("wavelength", np.arange(10.0)),
        replaced("flux", np.ones(4)),
        replaced("flux", 1.0),
        replaced("flux", np.full((4, 3500), b"deep")),
        replaced("flux", np.ones((4, 3500), complex)),
        replaced("labels", np.full((4, 4), b"hot")),
        replaced("wavelength", np.full(3500, b"red")),
        replaced("wavelength", np.zeros(3500)),
        replaced("wavelength", np.full(3500, np.nan)),
        replaced("index", np.arange(3)),
        replaced("index", np.linspace(0, 1, 4)),
        replaced("extrapolated", np.array([b"no"] * 4)),
        without("wavelength", "bin_width"),
        stated("wavelength", "bin_width", -0.04),
        stated("wavelength", "bin_width", "wide"),
        stated("wavelength", "resolution", np.nan),
        stated("wavelength", "resolution", 0.0),
        stated("wavelength", "resolution", "high"),
        stated("wavelength", "unit", "nm"),
        stated("wavelength", "medium", 5),
        replaced("wavelength", np.linspace(-140, -1, 3500)),
        stated("flux", "scale", 0.0),
        stated("flux", "scale", 5.0),
        stated("flux", "scale", -1.0),
        stated("flux", "scale", np.ones(2)),
        stated("labels", "names", ["teff", "logg", "mh", "size"]),
        stated("labels", "names", ["teff", "logg", "mh", "mh"]),
        stated("labels", "names", [1, 2, 3, 4]),
        stated("labels", "names", "abcd"),
        replaced("labels", np.zeros((4, 4))),
        replaced("labels", np.full((4, 4), 1e300)),
        *(stated("/", "regions", text) for text in ("nonsense", "[1]", "5", '{"teff": [1, 2]}', "null", '["teff"]')),
        stated("/", "regions", np.ones(2)),
        region({}),
        region({"teff": []}),
        region({"teff": [15000, 3600]}),
        region({"logg": [0, 5]}),
        region({"teff": [3000, 20000], "size": [0, 1]}),
        region({"teff": [3000, 20000], "logg": [0, 5]}, [[5000, 0], [4000, 0]]),
        region({"teff": [3000, 20000], "logg": [0, 5]}, [5000]),
        stated("/", "cyanogen", "weak"),
        stated("/", "merged", "{"),
        stated("/", "merged", "{}"),
        stated("/", "manifest", "[]"),
        stated("/", "settings", "teff"),
        failed("nonsense"),
        failed("[1]"),
        failed('{"index": "first"}'),
    ],
)
def test_damaged_content(file, change):
    with h5py.File(file, "a") as opened:
        change(opened)
    with pytest.raises(LibraryFileError, match=r"library\.h5 is not a library of spectra or is damaged") as e:
        Library.load(file)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: {"labels": one.labels[:3]}, "flux has the shape .* for 3 labels"),
        (lambda one: {"flux": one.flux[:, :5]}, r"flux has the shape \(4, 5\) for 4 labels"),
        (lambda one: {"wavelength": one.wavelength[::-1]}, "wavelengths are not above 0, finite and increasing"),
        (lambda one: {"medium": "Air"}, "medium='Air' is unknown: use 'air' or 'vacuum'"),
        (lambda one: {"resolution": -3.0}, "resolution is -3"),
        (lambda one: {"labels": one.labels * np.nan}, "is not finite"),
    ],
)
def test_what_could_not_be_read_is_not_written(library, file, change, words):
    before = file.read_bytes()
    with pytest.raises(LibraryFileError, match=f"the library cannot be written: .*{words}"):
        replace(library, **change(library)).save(file, overwrite=True)
    assert file.read_bytes() == before


def test_units_and_masks_of_arrays(library):
    converted = replace(library, wavelength=(library.wavelength * u.AA).to(u.nm))
    np.testing.assert_allclose(converted.wavelength, library.wavelength, rtol=1e-14)
    with pytest.raises(LibraryFileError, match="flux has masked values: leave these rows out"):
        replace(library, flux=np.ma.masked_less(library.flux, 0.5))


def test_labels_that_no_file_can_have_are_refused(library, file):
    before = file.read_bytes()
    other = replace(library, names=("teff", "logg", "mh", "size"))
    with pytest.raises(LibraryFileError, match="cannot be written: the label 'size' is unknown, .* some of teff, logg"):
        other.save(file, overwrite=True)
    assert file.read_bytes() == before


def test_emulator_is_not_a_library(tmp_path):
    path = tmp_path / "emulator.h5"
    with h5py.File(path, "w") as opened:
        opened.attrs["format"] = "rvsemu emulator"
        opened["wavelength"] = np.arange(10.0)
    with pytest.raises(LibraryFileError, match="needs the datasets wavelength, flux and labels"):
        Library.load(path)


def test_saving_replaces_only_when_complete(library, file):
    before = file.read_bytes()
    with pytest.raises(TypeError):
        replace(library, info={"unwritable": object()}).save(file, overwrite=True)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_library_of_the_tests():
    """Real spectra, as the README in tests/data says."""
    library = Library.load(DATA / "library_small.h5")
    assert len(library) == 80 and library.resolution == 30000 and library.medium == "air"
    assert library.names == ("teff", "logg", "mh", "vmic")
    assert 0 <= library.flux.min() and 0.95 < np.median(library.flux) < 1.02
    assert "SYNSPEC" in library.info["code"]


# ---------------------------------------------------------------- frozen
def test_a_library_does_not_change(library):
    with pytest.raises(FrozenInstanceError):
        library.medium = "vacuum"
    for name in ("labels", "wavelength", "flux", "extrapolated", "index"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(library, name)[0] = 0
    part = library.subset([0, 1])
    part.info["code"] = "changed"
    part.failures.append({})
    assert library.info["code"] == "none: Gaussian lines" and library.failures == []


def test_a_library_can_be_pickled(library):
    again = pickle.loads(pickle.dumps(library))
    assert again.fingerprint() == library.fingerprint() and again.info == library.info


# ---------------------------------------------------------------- files that are in the way, or promise too much
def test_a_file_is_not_overwritten_unasked(library, file):
    before = file.read_bytes()
    with pytest.raises(LibraryFileError, match=r"library\.h5 exists: give another name, or .*overwrite=True, --over"):
        library.subset([0]).save(file)
    assert file.read_bytes() == before
    library.subset([0]).save(file, overwrite=True)
    assert len(Library.load(file)) == 1


@pytest.mark.parametrize(("path", "message"), [("no/l.h5", "does not exist; make it first"), (".", "is a folder")])
def test_a_place_where_no_file_can_be(library, tmp_path, path, message):
    with pytest.raises(LibraryFileError, match=message):
        library.save(tmp_path / path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [None, 5, b"library.h5", ["library.h5"]])
def test_a_path_of_the_wrong_type(given):
    for read in (Library.load, Library.peek):
        with pytest.raises(LibraryFileError, match=re.escape(f"library={given!r}: give the path of a library")):
            read(given)


PROMISES = {
    "wavelength": (("wavelength", (100_000_000_000,)), r"wavelength has 1e\+11 values, at most 1e\+06 are read"),
    "flux": (("flux", (4, 100_000_000_000)), r"flux has 4e\+11 values, at most 1e\+10 are read"),
    "labels": (("labels", (10_000_000_000, 4)), r"labels has 4e\+10 values, at most 1e\+10 are read"),
    "sparse flux": (
        ("flux", (4, 1_000_000_000)),
        "flux promises 4e.09 values, but the file has only 0 bytes",
    ),
    "sparse index": (("index", (1_000_000_000,)), "index promises 1e.09 values, but the file has only 0 bytes"),
}


@pytest.mark.parametrize("case", PROMISES)
def test_a_file_that_promises_more_than_it_holds(file, case):
    """Refused before anything is read: at once, and in little memory."""
    (name, shape), message = PROMISES[case]
    with h5py.File(file, "a") as opened:
        attributes = dict(opened[name].attrs)
        del opened[name]
        opened.create_dataset(name, shape, "u2", chunks=tuple(min(n, 1000) for n in shape))
        opened[name].attrs.update(attributes)
    tracemalloc.start()
    with pytest.raises(LibraryFileError, match=message):
        Library.load(file)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_failures_and_peek(library, tmp_path):
    failures = [{"index": 7, "labels": [4000.0, 4.0, 0.0, 1.0], "error": "a log's end"}]
    replace(library, failures=failures).save(tmp_path / "l.h5")
    assert Library.load(tmp_path / "l.h5").failures == failures
    found = Library.peek(tmp_path / "l.h5")
    assert (found["failures"], found["index"].tolist()) == (failures, library.index.tolist())
    assert "flux" not in found
    with pytest.raises(LibraryFileError, match="does not exist"):
        Library.peek(tmp_path / "no.h5")
