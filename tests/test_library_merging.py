"""Libraries put together and taken apart: stars, labels, CN, parts, files."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from library_fixtures import gaussian_library

from rvsemu.cli import main
from rvsemu.errors import LibraryFileError
from rvsemu.library import Library
from rvsemu.library.mending import MENDS, mended
from rvsemu.library.merging import listed_files, merge_files, open_library
from rvsemu.library.parts import write_parts

STEP = 1 / 60000  # of the integers that hold fluxes


@pytest.fixture(scope="module")
def library():
    return gaussian_library()


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


def test_parts_have_one_grid(library, tmp_path):
    write_parts(library, tmp_path)
    for other, words in (
        ({"wavelength": library.wavelength - 3300}, "different wavelengths"),
        ({"resolution": 30000.0}, "resolution 30000.0 and inf"),
        ({"names": ("teff", "logg", "mh", "alpha")}, "names"),
    ):
        with pytest.raises(LibraryFileError, match=f"do not go together: .*{words}"):
            write_parts(replace(library, labels=library.labels + 1.0, **other), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["000.h5"]


# ---------------------------------------------------------------- files
def test_files_are_merged_as_asked(library, tmp_path):
    """The first file's or the last file's spectra of the same stars; a compact one makes all of them compact."""
    darker = replace(library, flux=library.flux * np.float32(0.9), info={"code": "another"})
    library.save(tmp_path / "a.h5")
    darker.subset([0, 1]).save(tmp_path / "b.h5")
    files = [tmp_path / "a.h5", tmp_path / "b.h5"]
    with pytest.raises(LibraryFileError, match="nothing to merge: all 2 spectra of the others .* of the first"):
        merge_files(files)
    merged, left_out = merge_files(files, replace=True)
    assert left_out == ["2 spectra with the labels of others (to 1 K and 0.005)"]
    np.testing.assert_array_equal(merged.labels, library.labels)
    np.testing.assert_allclose(merged.flux[:2], darker.flux[:2], atol=STEP)
    np.testing.assert_allclose(merged.flux[2:], library.flux[2:], atol=STEP)
    library.compact().save(tmp_path / "compact.h5")
    shifted(library, 100, 0, 0, 0).save(tmp_path / "c.h5")
    both, left_out = merge_files([tmp_path / "compact.h5", tmp_path / "c.h5"])
    assert len(both) == 8 and both.resolution == 30000 and not left_out


def test_files_that_a_list_names(library, tmp_path, capsys):
    library.subset([0, 1]).save(tmp_path / "a.h5")
    np.testing.assert_array_equal(open_library(tmp_path / "a.h5").labels, library.labels[:2])
    (tmp_path / "parts").mkdir()
    library.subset([2]).save(tmp_path / "parts" / "000.h5")
    (tmp_path / "list.txt").write_text("a.h5\n\nparts/000.h5\n")
    assert [file.name for file in listed_files(tmp_path / "list.txt")] == ["a.h5", "000.h5"]
    np.testing.assert_array_equal(open_library(tmp_path / "list.txt").labels, library.labels[[2, 0, 1]])
    assert main(["library", "info", str(tmp_path / "list.txt")]) == 0
    assert capsys.readouterr().out.startswith(str(open_library(tmp_path / "list.txt")))
    with pytest.raises(LibraryFileError, match=r"no\.txt cannot be read as a list of library files"):
        listed_files(tmp_path / "no.txt")
    (tmp_path / "list.txt").write_text("missing.h5\na.h5\n")
    with pytest.raises(LibraryFileError, match=r"list\.txt names .*missing\.h5, which does not exist"):
        open_library(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(LibraryFileError, match=r"list\.txt names no library"):
        open_library(tmp_path / "list.txt")


# ---------------------------------------------------------------- pixels computed again
def piece_of(library, rows, pixels, value):
    """Other fluxes at some pixels of some spectra."""
    fluxes = np.full((len(rows), len(library.wavelength[pixels])), value, dtype="f4")
    info = {MENDS: "lines of something"}
    some = library.subset(rows)
    return replace(some, wavelength=library.wavelength[pixels], flux=fluxes, info=info, failures=[])


def test_mended(library):
    pixels = np.r_[3:6, 100]
    found = mended(library, piece_of(library, [2, 0], pixels, 0.25))
    assert np.all(found.flux[np.ix_([0, 2], pixels)] == 0.25)
    expected = library.flux.copy()
    expected[np.ix_([0, 2], pixels)] = 0.25
    np.testing.assert_array_equal(found.flux, expected)
    assert found.info["mended"] == "lines of something"
    assert found.identity() != library.identity()


def test_what_is_mended_is_said_once(library):
    for row, what in enumerate(("lines, of one", "others", "lines, of one")):
        piece = piece_of(library, [row], slice(3, 6), 0.25)
        library = mended(library, replace(piece, info={MENDS: what}))
    assert library.info["mended"] == "lines, of one; others"


def test_pixels_of_other_stars_are_passed_over(library):
    other = piece_of(library, [1], slice(3, 6), 0.25)
    np.testing.assert_array_equal(mended(library, replace(other, labels=other.labels + 1e-3)).flux, library.flux)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"medium": "vacuum"}, "its medium is air, that of the pixels vacuum"),
        ({"resolution": 20000.0}, "its resolution is"),
        ({"names": ("teff", "logg", "vmic", "mh")}, "its names is"),
    ],
)
def test_pixels_that_do_not_fit(library, change, reason):
    with pytest.raises(LibraryFileError, match=reason):
        mended(library, replace(piece_of(library, [1], slice(3, 6), 0.25), **change))


def test_pixels_of_stars_with_alpha_mend_a_library_without_it(library):
    """Those of [alpha/M] = 0 alone."""
    piece = piece_of(library, [1, 2], slice(3, 6), 0.25)
    labels = np.insert(piece.labels, 3, [0.0, 0.2], axis=1)
    piece = replace(piece, labels=labels, names=(*library.names[:3], "alpha", *library.names[3:]))
    assert piece.names[3] == "alpha" and library.without_alpha() is library
    expected = library.flux.copy()
    expected[1, 3:6] = 0.25
    np.testing.assert_array_equal(mended(library, piece).flux, expected)


def test_pixels_at_other_wavelengths(library):
    other = piece_of(library, [1], slice(3, 6), 0.25)
    with pytest.raises(LibraryFileError, match="at other wavelengths"):
        mended(library, replace(other, wavelength=other.wavelength + 0.01))


def test_listed_pixels_mend_the_listed_spectra(library, tmp_path):
    """Wherever they are in the list."""
    piece_of(library, [0], slice(3, 6), 0.25).save(tmp_path / "pixels.h5")
    library.subset([0, 1]).save(tmp_path / "first.h5")
    library.subset(slice(2, None)).save(tmp_path / "second.h5")
    (tmp_path / "all.txt").write_text("pixels.h5\nfirst.h5\nsecond.h5\n")
    found = open_library(tmp_path / "all.txt")
    assert len(found) == len(library)
    row = int(np.flatnonzero(np.all(np.isclose(found.labels, library.labels[0]), axis=1))[0])
    np.testing.assert_allclose(found.flux[row, 3:6], 0.25, atol=STEP)
    (tmp_path / "one.txt").write_text("first.h5\npixels.h5\n")
    np.testing.assert_allclose(open_library(tmp_path / "one.txt").flux[0, 3:6], 0.25, atol=STEP)
    np.testing.assert_allclose(found.flux[row, 6:], library.flux[0, 6:], atol=STEP)
