"""Spectra in blocks: every format, value by value, whatever is wrong with some of them, in little memory."""

import gzip
import io
import re
import tracemalloc
from decimal import Decimal

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from astropy.table import Table
from rvs_fixtures import (
    HD,
    KEPLER,
    WRITERS,
    cell_text,
    epoch_star,
    individual,
    raw,
    text_cells,
    write_bulk,
    write_csv,
    write_ecsv,
    write_fits,
    write_votable,
    zip_of_two,
)
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SpectrumError, SpectrumWarning
from rvsemu.spectra import Rejected, example_path, write_spectrum
from rvsemu.spectra.cells import as_floats

TRANSIT = epoch_star()


def blocks(paths, **options):
    rejects: list[Rejected] = []
    return list(rvsemu.iter_rvs(paths, rejects=rejects, **options)), rejects


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_values_of_the_csv(tmp_path, name):
    (block,), rejects = blocks(WRITERS[name](tmp_path))
    assert not rejects
    np.testing.assert_allclose(block.flux[0], KEPLER.flux, rtol=1e-7)
    np.testing.assert_allclose(block.error[0], KEPLER.error, rtol=1e-7)
    np.testing.assert_allclose(block.wavelength, KEPLER.wavelength, rtol=1e-13)
    assert (block.medium, block.frame, block.release) == ("vacuum", "rest", "Gaia DR3")
    assert block.source_id.dtype == np.int64
    assert {key: values[0] for key, values in block.columns.items() if key in KEPLER.scalars} == KEPLER.scalars


HOLES = [np.array([1.5, np.nan, -3e-5, 0.25, np.nan]), np.full(5, np.nan), np.array([1, 1e-30, 1e30, -1.0, 0.1])]


@pytest.mark.parametrize("missing", ["NaN", "null", "nan", "", " "])
@pytest.mark.parametrize("values", HOLES)
def test_arrays_in_text(values, missing):
    """With what stands for no value in all places, and blanks or none after commas."""
    text = "[" + ", ".join(missing if np.isnan(x) else repr(float(x)) for x in values) + "]"
    for one in (text, text.replace(", ", ",")):
        np.testing.assert_array_equal(as_floats(one, "flux", "file"), values)


@pytest.mark.parametrize("star", [KEPLER, TRANSIT], ids=["2401", "961"])
def test_bulk_files_as_astropy_reads_them(tmp_path, star):
    rng = np.random.default_rng(1)
    n = star.flux.size
    flux, error = (rng.lognormal(0, 3, n).astype("f4").astype(float) for _ in range(2))
    flux[rng.random(n) < 0.2], error[rng.random(n) < 0.2] = np.nan, np.nan
    other = star.but(flux=flux, error=error)
    path = write_bulk(tmp_path / "RvsMeanSpectrum_000000-003111.csv.gz", star, other)
    table = Table.read(path, format="ascii.ecsv")
    (block,), _ = blocks(path)
    for name, ours in (("flux", block.flux), ("flux_error", block.error)):
        for row, theirs in zip(ours, table[name], strict=True):
            expected = np.ma.filled(np.ma.asarray(theirs).astype(float), np.nan)
            if name == "flux":
                expected[np.isnan(row)] = np.nan  # of pixels without an error, too
            np.testing.assert_array_equal(row.astype("f4"), expected.astype("f4"))
    for name in ("source_id", "combined_ccds"):
        np.testing.assert_array_equal(block.columns[name], table[name])


def test_blocks_have_the_size_asked_for_and_one_grid(tmp_path):
    path = write_bulk(tmp_path / "a.csv.gz", *[KEPLER] * 5)
    write_bulk(tmp_path / "b.csv.gz", *[TRANSIT] * 3)
    (tmp_path / "readme.txt").write_text("not a spectrum")
    found, rejects = blocks(tmp_path, block=2)
    assert not rejects
    assert [block.flux.shape for block in found] == [(2, 2401), (2, 2401), (1, 2401), (2, 961), (1, 961)]
    assert found[0].columns["file"][0] == str(path)
    last = found[-1]
    assert last.columns["transit_id"][0] == TRANSIT.scalars["transit_id"]
    assert (last.columns["obs_time_rv"][0], last.frame, last.release) == (1717.25, "barycentric", "Gaia DR4")


def test_a_spectrum_of_a_block_is_that_of_read_rvs(tmp_path):
    path = write_fits(tmp_path / "a.fits", raw(HD, KEPLER))
    (block,), _ = blocks(path)
    for row, expected in enumerate(rvsemu.read_rvs(path)):
        spectrum = block.spectrum(row)
        assert spectrum.meta == expected.meta
        np.testing.assert_array_equal(spectrum.flux.value, expected.flux.value)
        np.testing.assert_array_equal(spectrum.uncertainty.array, expected.uncertainty.array)
        np.testing.assert_array_equal(spectrum.mask, expected.mask)


def test_parquet_row_by_row(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {name: [star.scalars[name] for star in (KEPLER, HD)] for name in KEPLER.scalars}
    nulls = [[None if np.isnan(x) else x for x in star.flux] for star in (KEPLER, HD)]
    errors = pa.array([star.error for star in (KEPLER, HD)], type=pa.list_(pa.float32()))
    pq.write_table(pa.table(columns | {"flux": nulls, "flux_error": errors}), tmp_path / "a.parquet")
    (block,), rejects = blocks(tmp_path / "a.parquet")
    assert not rejects
    for row, star in enumerate((KEPLER, HD)):
        np.testing.assert_array_equal(block.flux[row], star.flux)
        np.testing.assert_array_equal(block.error[row], star.error.astype("f4"))
        assert block.source_id[row] == star.scalars["source_id"]
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    found, (reject,) = blocks(tmp_path / "b.parquet")
    assert not found and "not a complete Parquet file" in reject.reason


def test_structures_beside_the_spectra_do_no_harm(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    nulls = [[None if np.isnan(x) else x for x in star.flux] for star in (KEPLER, HD)]
    columns = {"source_id": [1, 2], "flux": nulls, "flux_error": [star.error.tolist() for star in (KEPLER, HD)]}
    more = {
        "struct": pa.array([{"x": 1}, {"x": 2}]),
        "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    }
    pq.write_table(pa.table(columns | more), tmp_path / "a.parquet")
    pq.write_table(pa.table(columns).slice(0, 0), tmp_path / "b.parquet")
    (block,), (reject,) = blocks(tmp_path)
    assert block.source_id.tolist() == [1, 2] and "the table has no rows" in reject.reason


@pytest.mark.parametrize(
    "names", ["source_id,flux,flux_error,ra", "ra,flux,flux_error,source_id", "ra,dec,flux,flux_error"]
)
def test_empty_cells_beside_arrays(tmp_path, names):
    """As the first or the last of a row, or between the arrays."""
    cells = {"flux": f'"{cell_text(HD.flux)}"', "flux_error": f'"{cell_text(HD.error)}"', "source_id": "12"}
    row = ",".join(cells.get(name, "") for name in names.split(","))
    (tmp_path / "a.csv").write_text(f"{names}\n{row}\n")
    (block,), rejects = blocks(tmp_path / "a.csv")
    assert not rejects and "ra" not in block.columns
    assert block.source_id.tolist() == ([12] if "source_id" in names else [None])
    np.testing.assert_allclose(block.flux[0], HD.flux, rtol=1e-6)


def test_identifiers_as_decimals_of_parquet(tmp_path):
    """Databases write them; what has digits behind the point is no identifier."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"flux": [HD.flux], "flux_error": [HD.error], "ra": [Decimal("17.5")], "combined_ccds": [Decimal("3.0")]}
    source = HD.scalars["source_id"]
    pq.write_table(pa.table(columns | {"source_id": [Decimal(source)]}), tmp_path / "a.parquet")
    (block,), rejects = blocks(tmp_path / "a.parquet")
    assert not rejects and block.source_id.tolist() == [source]
    assert block.columns["ra"].tolist() == [17.5] and block.columns["combined_ccds"].tolist() == [3]
    pq.write_table(pa.table(columns | {"source_id": [Decimal("12.5")]}), tmp_path / "b.parquet")
    found, (reject,) = blocks(tmp_path / "b.parquet")
    assert not found and "source_id 12.5 is not stored as an integer" in reject.reason


def bulk_text(path) -> bytes:
    return gzip.decompress(path.read_bytes())


def spoilt(path, change) -> None:
    lines = bulk_text(path).split(b"\n")
    path.write_bytes(gzip.compress(change(lines)))


BAD_ROWS = {
    "no good pixel": (lambda t: t.replace(cell_text(HD.error).encode(), b"[" + b"NaN, " * 2400 + b"NaN]"), "no good"),
    "a field is missing": (lambda t: t.replace(b"4268620287278693120,", b""), "fields instead of"),
    "an array is short": (lambda t: t.replace(b"[", b"[1.0, ", 1) if b"426862" in t else t, "2402 fluxes but 2401"),
    "no number": (lambda t: t.replace(b"[0.", b"[x0.", 1), "could not convert|damaged"),
    "open quote": (lambda t: t + b'"', "row 2"),
    "not text": (lambda t: t.replace(b"[0.", b"[\xff0.", 1), "could not convert|damaged"),
}


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_a_bad_row_does_not_take_the_others_along(tmp_path, bad):
    change, words = BAD_ROWS[bad]
    path = write_bulk(tmp_path / "a.csv.gz", KEPLER, HD, KEPLER)
    spoilt(path, lambda lines: b"\n".join([*lines[:-3], change(lines[-3]), *lines[-2:]]))
    found, (reject,) = blocks(path)
    assert sum(map(len, found)) == 2
    assert reject.file == str(path)
    assert re.search(words, reject.reason), reject.reason
    assert not reject.expected
    if bad in ("no good pixel", "an array is short"):
        assert reject.source_id == HD.scalars["source_id"]


def test_a_damaged_byte_of_the_first_row(tmp_path):
    """Whatever it is and wherever: the others are read."""
    path = write_bulk(tmp_path / "a.csv.gz", KEPLER, HD)
    lines = bulk_text(path).split(b"\n")
    for place in (1, len(lines[-3]) // 3, len(lines[-3]) - 1):
        row = bytearray(lines[-3])
        row[place] = 0xE9
        path.write_bytes(gzip.compress(b"\n".join([*lines[:-3], bytes(row), *lines[-2:]])))
        (block,), (reject,) = blocks(path)
        assert block.source_id.tolist() == [HD.scalars["source_id"]]
        assert re.search("integer|could not convert|damaged", reject.reason), reject.reason


def test_what_comes_before_the_end_of_a_truncated_file_is_read(tmp_path):
    path = write_bulk(tmp_path / "a.csv.gz", *[KEPLER] * 8)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found, (reject,) = blocks(path)
    assert 0 < sum(map(len, found)) < 8
    assert "ended before the end-of-stream marker" in reject.reason
    path.write_bytes(gzip.compress(bulk_text(write_bulk(tmp_path / "b.csv.gz", KEPLER, HD))[:-2]))
    found, (reject,) = blocks(path)
    assert sum(map(len, found)) == 1 and "no line end" in reject.reason


@pytest.mark.parametrize(
    "content", [b"", b"words", b"\x1f\x8b and nothing else", gzip.compress(b"1,2\n3,4\n", mtime=0), b"PAR1"]
)
def test_a_file_without_spectra_is_rejected_and_the_next_is_read(tmp_path, content):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.csv").write_bytes(content)
    found, (reject,) = blocks([tmp_path / "a.csv", example_path("kepler-93")])
    assert len(found) == 1 and reject.file == str(tmp_path / "a.csv") and reject.reason


def test_what_is_wrong_is_a_warning_without_a_list(tmp_path):
    path = write_bulk(tmp_path / "a.csv.gz", KEPLER, HD.but(flux=np.full(2401, np.nan)))
    with pytest.warns(SpectrumWarning, match=f"{path}: 1 that cannot be used is left out: .*has no good pixel"):
        assert len(list(rvsemu.iter_rvs(path))) == 1


def test_transits_that_are_empty_or_not_normalised_are_expected(tmp_path):
    empty = TRANSIT.but(flux=np.full(961, np.nan), transit_id=5)
    negative = TRANSIT.but(normalisation_method=4, transit_id=6)
    for path in (
        write_bulk(tmp_path / "a.csv.gz", TRANSIT, empty, negative),
        write_csv(tmp_path / "b.csv", individual(TRANSIT, empty, negative)),
        write_csv(tmp_path / "c.csv", text_cells(TRANSIT, empty, negative)),
    ):
        found, rejects = blocks(path)
        assert [len(block) for block in found] == [1], path
        assert [(one.transit_id, one.expected) for one in rejects] == [(5, True), (6, True)]
        assert "method 4" in rejects[1].reason


def test_cells_without_arrays_are_spectra_without_a_good_pixel(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = text_cells(TRANSIT, TRANSIT.but(transit_id=5))
    for name in ("flux", "flux_error"):
        table[name][1] = "null"
    arrays = {
        name: [getattr(TRANSIT, kind).tolist(), None] for name, kind in (("flux", "flux"), ("flux_error", "error"))
    }
    pq.write_table(pa.table({"source_id": [1, 1], "transit_id": [4, 5], **arrays}), tmp_path / "b.parquet")
    for path in (write_csv(tmp_path / "a.csv", table), tmp_path / "b.parquet"):
        (block,), (reject,) = blocks(path)
        assert len(block) == 1 and (reject.transit_id, reject.expected) == (5, True)
        assert "no good pixel" in reject.reason


@pytest.mark.parametrize("first", ["null", "", '"null"', '"[0.9, 0.8', '"[0.9, ""x""y, 0.8]" "'])
def test_a_bulk_file_is_read_row_by_row_whatever_its_first_row_is(tmp_path, monkeypatch, first):
    lines = bulk_text(write_bulk(tmp_path / "a.csv.gz", *[TRANSIT] * 3)).decode().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if not line.startswith("#")) + 1
    scalars = lines[number].partition('"')[0]
    lines[number] = f"{scalars}{first},{first}\n"
    path = tmp_path / "b.csv.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    monkeypatch.setattr("rvsemu.spectra.unpacking.MAX_FILE_BYTES", 1000)  # of files that are read as a whole
    (block,), (reject,) = blocks(path)
    assert len(block) == 2
    assert reject.expected == ("no good pixel" in reject.reason) == ("[" not in first)


def test_files_that_were_joined_to_one(tmp_path):
    """As by cat; columns of the second may be in another order, and its header states other units."""
    first, second = text_cells(KEPLER), text_cells(HD)[["flux_error", "flux", "ra", "source_id"]]
    first["ra"].unit, second["ra"].unit = "deg", "arcmin"
    for write in (write_csv, write_ecsv):
        parts = [write(tmp_path / f"{i}.csv", table).read_bytes() for i, table in enumerate((first, second))]
        (tmp_path / "all.csv.gz").write_bytes(b"".join(map(gzip.compress, parts)))
        (block,), rejects = blocks(tmp_path / "all.csv.gz")
        assert not rejects
        assert block.source_id.tolist() == [KEPLER.scalars["source_id"], HD.scalars["source_id"]]
        np.testing.assert_allclose(block.flux, [KEPLER.flux, HD.flux], rtol=1e-7)
        np.testing.assert_allclose(block.error, [KEPLER.error, HD.error], rtol=1e-7)
        factor = 60 if write is write_ecsv else 1
        assert block.columns["ra"][1] * factor == pytest.approx(HD.scalars["ra"])


def test_columns_of_the_same_name_are_refused(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    twice = individual(KEPLER)
    twice["FLUX"] = twice["flux"] + 1
    rows = raw(KEPLER)
    columns = {name: list(np.asarray(rows[name])) for name in rows.colnames}
    pq.write_table(pa.table({**columns, "Flux": columns["flux"]}), tmp_path / "b.parquet")
    upper = text_cells(KEPLER)
    upper["SOURCE_ID"] = 1
    for path, name in (
        (write_csv(tmp_path / "a.csv", twice), "flux"),
        (tmp_path / "b.parquet", "flux"),
        (write_votable(tmp_path / "c.vot", twice), "flux"),
        (write_ecsv(tmp_path / "d.csv.gz", upper), "source_id"),
    ):
        found, (reject,) = blocks(path)
        assert not found and f"2 columns are called {name}" in reject.reason


def test_parquet_with_a_row_for_each_pixel_is_refused_once(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"source_id": np.full(2401, 1), "flux": KEPLER.flux, "flux_error": KEPLER.error}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found, (reject,) = blocks(tmp_path / "a.parquet")
    assert not found and "column flux has one number a row (double)" in reject.reason


def test_a_cell_that_is_no_array_makes_no_long_reason(tmp_path):
    table = text_cells(KEPLER)
    for name in ("flux", "flux_error"):
        table[name] = [table[name][0].strip("[]")]
    _, (reject,) = blocks(write_csv(tmp_path / "a.csv", table))
    assert "could not convert string to float" in reject.reason and len(reject.reason) < 300


def test_units_of_scalars_and_errors_that_a_header_states(tmp_path):
    table = raw(TRANSIT)
    table["obs_time_rv"] = table["obs_time_rv"] * 86400 * u.s
    table["flux_error"] = table["flux_error"] * 100 * u.percent
    (block,), rejects = blocks(write_fits(tmp_path / "a.fits", table))
    assert not rejects and block.columns["obs_time_rv"][0] == pytest.approx(TRANSIT.scalars["obs_time_rv"], abs=1e-9)
    np.testing.assert_allclose(block.error[0], TRANSIT.error, rtol=1e-6)


def test_archives_and_folders(tmp_path):
    found, rejects = blocks(zip_of_two(tmp_path))
    assert [len(block) for block in found] == [2] and not rejects
    with pytest.raises(SpectrumError, match=r"nowhere: there is no such file"):
        blocks(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpectrumError, match=r"no file in this folder has one of the endings \.csv"):
        blocks(tmp_path / "empty")


@pytest.mark.parametrize("size", [0, 1.5, "2", 100_001])
def test_the_size_of_a_block_is_checked(size):
    with pytest.raises(SpectrumError, match=f"block={size!r}: give a whole number from 1 to 100000"):
        rvsemu.iter_rvs(example_path(), block=size)


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(n):
        path = write_bulk(tmp_path / f"{n}.csv.gz", *[TRANSIT] * n)
        tracemalloc.start()
        assert sum(len(block) for block in rvsemu.iter_rvs(path, block=16)) == n
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(20)
    assert peak(600) < 1.5 * peak(100) < 20e6


def test_a_line_without_end_does_not_fill_the_memory(tmp_path):
    text = io.BytesIO()
    with gzip.GzipFile(fileobj=text, mode="wb") as packed:
        packed.write(bulk_text(write_bulk(tmp_path / "a.csv.gz", KEPLER)))
        for _ in range(64):
            packed.write(b"1" * 2**20)
    (tmp_path / "b.csv.gz").write_bytes(text.getvalue())
    tracemalloc.start()
    found, (reject,) = blocks(tmp_path / "b.csv.gz")
    assert tracemalloc.get_traced_memory()[1] < 40e6
    tracemalloc.stop()
    assert len(found) == 1 and "a line has more than" in reject.reason


def test_spectra_instead_of_files():
    """Neither pickled nor gone through pixel by pixel: what to give is said."""
    (star,) = rvsemu.read_rvs(example_path("kepler-93"))
    for given in (star, [star], None, 5):
        with pytest.raises(SpectrumError, match="give paths; spectra that are in memory are fitted by"):
            next(rvsemu.iter_rvs(given))


def own_spectrum(uncertainty, unit=u.one, **meta):
    """The G dwarf as a user's own spectrum."""
    mask = ~(np.isfinite(KEPLER.flux) & (KEPLER.error > 0))
    about = {"medium": "vacuum", "frame": "rest", "source_id": 7} | meta
    return Spectrum(
        spectral_axis=KEPLER.wavelength * u.nm, flux=KEPLER.flux * unit, uncertainty=uncertainty, mask=mask, meta=about
    )


@pytest.mark.parametrize("ending", ["fits", "ecsv", "csv", "vot"])
@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_errors_are_standard_deviations_whatever_was_written(kind, ending, tmp_path):
    power = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}[kind]
    uncertainty = kind((1e3 * KEPLER.error) ** power, unit=u.mJy**power)
    write_spectrum(own_spectrum(uncertainty, u.Jy), tmp_path / f"star.{ending}")
    (block,), rejects = blocks(tmp_path / f"star.{ending}")
    good = np.isfinite(block.flux[0])
    assert not rejects and good.sum() > 2000
    np.testing.assert_allclose(block.error[0][good], KEPLER.error[good], rtol=1e-6)


@pytest.mark.parametrize(
    ("uncertainty", "words"), [(None, "no uncertainty"), (UnknownUncertainty(KEPLER.error), "a UnknownUncertainty")]
)
def test_spectra_without_errors_are_rejected(uncertainty, words, tmp_path):
    write_spectrum(own_spectrum(uncertainty), tmp_path / "star.fits")
    found, rejects = blocks(tmp_path / "star.fits")
    assert not found and words in rejects[0].reason and rejects[0].source_id == 7


@pytest.mark.parametrize(
    ("unit", "axis", "words"), [(u.mag, u.nm, "the flux is in 'mag', a logarithm"), (u.one, u.km / u.s, "'km / s'")]
)
def test_spectra_of_other_kinds_are_rejected(unit, axis, words, tmp_path):
    spectrum = own_spectrum(StdDevUncertainty(KEPLER.error), unit)
    spectrum = Spectrum(
        spectral_axis=spectrum.spectral_axis.value * axis,
        flux=spectrum.flux,
        uncertainty=spectrum.uncertainty,
        meta=spectrum.meta,
    )
    write_spectrum(spectrum, tmp_path / "star.fits")
    found, rejects = blocks(tmp_path / "star.fits")
    assert not found and words in rejects[0].reason


def test_what_a_spectrum_does_not_say_is_not_made_up(tmp_path):
    spectrum = own_spectrum(StdDevUncertainty(KEPLER.error))
    spectrum.meta = {"frame": "rest"}
    write_spectrum(spectrum, tmp_path / "star.fits")
    ((block,), _) = blocks(tmp_path / "star.fits")
    assert block.medium == "unknown" and block.source_id.tolist() == [None]
    assert rvsemu.fit(block.spectrum(0), medium="vacuum").teff.round(-3) == 6000 * u.K


def test_what_a_spectrum_says_comes_back(tmp_path):
    """Also where it is no number or text, as the correlation of its pixels, on which errors of labels depend."""
    meta = {"pixel_correlation": [1.0, 0.3], "labels": {"teff": 5700 * u.K}, "ra": 10.0 * u.deg, "combined_transits": 4}
    for name, more in (("a", meta), ("b", {"combined_transits": 9})):
        write_spectrum(own_spectrum(StdDevUncertainty(KEPLER.error), **more), tmp_path / f"{name}.fits")
    for name, more in (("a", meta), ("b", {"combined_transits": 9})):
        (block,), _ = blocks(tmp_path / f"{name}.fits")
        star = block.spectrum(0)
        assert {key: star.meta.get(key) for key in meta} == dict.fromkeys(meta) | more
    lags = rvsemu.fit(blocks(tmp_path / "a.fits")[0][0].spectrum(0)).meta["noise_correlation"].values
    assert lags == (1.0, 0.3)
