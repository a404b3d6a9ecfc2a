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

from rvsemu.errors import LibraryFileError
from rvsemu.library import Library
from rvsemu.library.parts import write_parts

STEP = 1 / 60000  # of the integers that hold fluxes
DATA = Path(__file__).parent / "data"


def gaussian_library(n=4, step=0.04, seed=1):
    """Narrow lines on a fine grid: sharper than any star's."""
    rng = np.random.default_rng(seed)
    wave = 8480.0 + step * np.arange(int(140 / step))
    flux = np.ones((n, len(wave)))
    for row in flux:
        for _ in range(60):
            centre, depth, sigma = rng.uniform(8480, 8620), rng.uniform(0.05, 0.7), rng.uniform(0.05, 0.4)
            row *= 1 - depth * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)
    labels = rng.uniform([3600, 2, -1.5, 0], [15000, 5, 1.5, 4], (n, 4))
    return Library(
        labels=labels,
        names=("teff", "logg", "mh", "vmic"),
        wavelength=wave,
        flux=flux.astype("f4"),
        medium="air",
        extrapolated=rng.random(n) < 0.5,
        index=np.arange(n) + 10,
        info={"code": "none: Gaussian lines", "lines": "random"},
    )


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


def test_fluxes_that_do_not_fit_the_integers_are_clipped(library, file):
    """Not wrapped around: artefacts far above 1 stay above 1, what is below 0 becomes 0."""
    flux = library.flux.copy()
    flux[0, :3] = 5.0, -0.3, 1.09
    replace(library, flux=flux).save(file, overwrite=True)
    np.testing.assert_allclose(Library.load(file).flux[0, :3], [65535 * STEP, 0, 1.09], rtol=0, atol=STEP)


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
    flux[0, 0], flux[1, 1] = 1.5, -0.1
    changed = replace(library, flux=flux)
    changed.save(file, overwrite=True)
    assert Library.load(file).fingerprint() == changed.fingerprint()


@pytest.mark.parametrize("name", ["labels", "wavelength", "flux"])
def test_fingerprint_changes_with_the_content(library, name):
    array = getattr(library, name).copy()
    array[(-1,) * array.ndim] += 2 * STEP
    assert replace(library, **{name: array}).fingerprint() != library.fingerprint()


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
    with pytest.raises(LibraryFileError):
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
    ],
)
def test_damaged_content(file, change):
    with h5py.File(file, "a") as opened:
        change(opened)
    with pytest.raises(LibraryFileError, match=r"library\.h5 is not a library of spectra or is damaged") as e:
        Library.load(file)
    assert "\n" not in str(e.value)


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


# ---------------------------------------------------------------- stars and merging
def shifted(library, *shifts):
    """The same spectra under labels that differ by these amounts in teff, logg, mh and vmic."""
    return replace(library, labels=library.labels + np.array(shifts))


def test_merged(library):
    other = replace(shifted(library, 30, 0, 0, 0).subset([0, 2]), index=np.array([91, 92]), failures=[{"index": 3}])
    both = library.merged(other)
    assert len(both) == len(library) + 2
    np.testing.assert_array_equal(both.flux[-1], library.flux[2])
    np.testing.assert_array_equal(both.labels[:-2], library.labels)
    assert both.index.tolist() == [*library.index.tolist(), 91, 92]
    assert both.extrapolated.tolist() == [*library.extrapolated.tolist(), *library.extrapolated[[0, 2]].tolist()]
    assert both.failures == other.failures
    assert [said["fingerprint"] for said in json.loads(both.info["merged"])] == [other.fingerprint()]
    third = replace(shifted(library, 60, 0, 0, 0), info={"code": "another"})
    assert [(said.get("code"), said["left_out"]) for said in json.loads(both.merged(third).info["merged"])] == [
        (None, 0),
        ("another", 0),
    ]
    assert library.merged(shifted(library, 30, 0, 0, 0)).index is None  # the same positions twice mean nothing


@pytest.mark.parametrize("shifts", [(0, 0, 0, 0), (0.9, 0, 0, 0), (-0.5, 0.004, -0.004, 0.004), (1e-4, 1e-9, 0, 0)])
def test_nothing_to_merge(library, shifts):
    """A library merged with itself, or with labels of the same stars written otherwise."""
    assert library.merged(shifted(library, *shifts)).fingerprint() == library.fingerprint()


@pytest.mark.parametrize("shifts", [(1.1, 0, 0, 0), (0, 0.006, 0, 0), (0, 0, -0.006, 0), (0, 0, 0, 0.006)])
def test_labels_that_differ_are_other_stars(library, shifts):
    assert len(library.merged(shifted(library, *shifts))) == 8


def test_spectra_of_the_same_stars_are_left_out_and_counted(library):
    """Two of three: what is new is kept in its order, the first library's spectra stay as they are."""
    new = shifted(library, 500, 0, 0, 0)
    other = replace(
        library, labels=np.concatenate([library.labels[[3]], new.labels[[1]], library.labels[[0]]]), flux=new.flux[:3]
    )
    both = library.merged(replace(other, extrapolated=None, index=None))
    assert len(both) == 5 and both.extrapolated is None
    np.testing.assert_array_equal(both.labels, np.concatenate([library.labels, new.labels[[1]]]))
    np.testing.assert_array_equal(both.flux[:4], library.flux)
    np.testing.assert_array_equal(both.flux[4], new.flux[1])
    assert json.loads(both.info["merged"])[0]["left_out"] == 2


def test_numbers_of_stars(library):
    """In the order in which they appear, also where one lies on a boundary of any rounding."""
    labels = np.array([[5000.5, 4, 0, 1], [6000, 4, 0, 1], [5000.49, 4, 0, 1], [6000, 4.4, 0, 1], [6000.9, 4, 0, 1.0]])
    some = replace(library.subset([0, 0, 0, 0, 0]), labels=labels)
    assert some.stars.tolist() == [0, 1, 0, 2, 1]
    assert library.stars.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"medium": "vacuum"}, "medium air and vacuum"),
        ({"resolution": 3e4}, "resolution inf and 30000"),
        ({"names": ("teff", "logg", "mh", "alpha")}, "names"),
        ({"wavelength": np.linspace(8480, 8620, 3500)}, "different wavelengths"),
    ],
)
def test_libraries_that_do_not_fit_are_not_merged(library, change, words):
    with pytest.raises(LibraryFileError, match=words):
        library.merged(replace(library, **change))


# ---------------------------------------------------------------- alpha, CN, parts
@pytest.fixture
def wide(library):
    """Other stars with alpha, and two as in `library`."""
    labels = np.insert(library.labels + [500, 0, 0, 0], 3, [0.3, 0.0, -0.1, 0.2], axis=1)
    labels[:2, [0, 1, 2, 4]] = library.labels[:2]
    names = ("teff", "logg", "mh", "alpha", "vmic")
    return replace(library, labels=labels, names=names, flux=library.flux[::-1], index=None)


def test_a_library_without_alpha_has_alpha_0(library, wide):
    for both, flux in ((library.merged(wide), library.flux), (wide.merged(library), wide.flux)):
        assert both.names == wide.names
        assert len(both) == 7  # the second star is the same, the first differs in alpha
        np.testing.assert_array_equal(both.flux[:4], flux)
    np.testing.assert_array_equal(library.merged(wide).labels[:4, 3], 0)
    np.testing.assert_array_equal(wide.merged(library).labels[4:], np.insert(library.labels[[0, 2, 3]], 3, 0, axis=1))


def as_from(library, cyanogen):
    """Two stars in which CN plays no part, and two in which it does; provenance as older files have it."""
    labels = [[8600, 4, 1.3, 1], [4500, 1, -2.8, 2], [8400, 4, 1.3, 1], [4500, 1, 0.0, 2]]
    made_by = {"weak": "SYNSPEC", "right": "SYNSPEC, log gf of CN raised by 0.4771"}
    return replace(library, labels=np.array(labels, dtype=float), info={"made_by": made_by[cyanogen]})


@pytest.fixture
def strengths(library, tmp_path):
    """A library with weak lines of CN, and one of other stars with right ones."""
    as_from(library, "weak").save(tmp_path / "weak.h5")
    shifted(as_from(library, "right"), 20, 0, 0, 0).save(tmp_path / "right.h5")
    return Library.load(tmp_path / "weak.h5"), Library.load(tmp_path / "right.h5")


def test_strength_of_cn_is_known_from_provenance(library, strengths, tmp_path):
    weak, right = strengths
    assert weak.weak_cyanogen.tolist() == [False, False, True, True]
    assert not right.weak_cyanogen.any() and not library.weak_cyanogen.any()
    weak_list = "851cec76e6a6748de9a8ec88fae4fa0a6dd24a924cf9c3680bc643e6d3a3488d"
    for digest, count in ((weak_list, 2), ("b5f724df", 0)):
        info = {"manifest": json.dumps({"lines": {"CN": {"sha256": digest}}})}
        replace(as_from(library, "weak"), info=info).save(tmp_path / "l.h5", overwrite=True)
        assert Library.load(tmp_path / "l.h5").weak_cyanogen.sum() == count


def test_weak_and_right_cn_are_not_mixed(strengths):
    weak, right = strengths
    for pair in ((weak, right), (right, weak)):
        with pytest.raises(LibraryFileError, match="too weak in 2 spectra of one, and right in .*--drop-weak-cn"):
            pair[0].merged(pair[1])
    without = weak.subset(~weak.weak_cyanogen)
    both = without.merged(right)
    assert len(both) == 6 and not both.weak_cyanogen.any()
    with pytest.raises(LibraryFileError, match="too weak in 2 spectra"):
        both.merged(weak)
    twice = weak.merged(replace(shifted(weak, 20, 0, 0, 0), info={}))  # of another code: nothing is known of its CN
    assert twice.weak_cyanogen.sum() == 4


def test_files_with_the_edges_of_bins(library, tmp_path):
    """As the first parts of the wide library have them."""
    edges = 8480 + 0.04 * np.arange(library.flux.shape[1] + 1)
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["edges"], file["labels"], file["index"] = edges, library.labels, library.index
        file["edges"].attrs["medium"] = "air"
        file["labels"].attrs["names"] = list(library.names)
        file["flux"] = np.round(library.flux * 60000).astype("u2")
        file["flux"].attrs["scale"] = 60000.0
    found = Library.load(tmp_path / "part.h5")
    assert (found.medium, found.bin_width, found.resolution) == ("air", 0.04, np.inf)
    np.testing.assert_allclose(found.wavelength, edges[:-1] + 0.02, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.flux, library.flux, rtol=0, atol=0.51 * STEP)
    assert Library.peek(tmp_path / "part.h5")["resolution"] == np.inf


def test_parts_are_written_once(library, strengths, tmp_path, monkeypatch):
    monkeypatch.setattr("rvsemu.library.parts._MOST_BYTES", 2 * 3500 * 3)
    folder = tmp_path / "parts"
    with pytest.raises(LibraryFileError, match="parts is no folder: make it first"):
        write_parts(library, folder)
    folder.mkdir()
    failed = replace(library, failures=[{"index": 7, "labels": [5000.0], "error": "/a/path: no output"}])
    assert [p.name for p in write_parts(failed, folder)] == ["000.h5", "001.h5"]
    assert Library.load(folder / "000.h5").failures == []
    before = (folder / "001.h5").read_bytes()
    assert write_parts(library.subset([2, 0]), folder) == []
    strengths[0].save(folder / "002.h5")
    more = replace(library, labels=np.concatenate([library.labels[:1], strengths[0].labels[1:]]))
    assert [p.name for p in write_parts(more, folder)] == ["003.h5"]  # weak lines of CN do not count
    np.testing.assert_array_equal(Library.load(folder / "003.h5").labels, more.labels[2:])
    assert write_parts(strengths[0], folder) == []  # nor are they written
    assert (folder / "001.h5").read_bytes() == before


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
