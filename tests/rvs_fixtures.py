"""RVS files in every format and structure, written with astropy from the real CSV files of the package."""

import csv
import gzip
import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Param
from astropy.table import MaskedColumn, Table

from rvsemu.spectra import example_path

PIXEL_COLUMNS = ("wavelength", "flux", "flux_error")


@dataclass(frozen=True)
class Star:
    """The content of an RVS file, read without any code of the package's readers."""

    scalars: dict
    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray

    def but(self, **changes) -> "Star":
        """The same star with other pixels or, for names that are no arrays, other scalars."""
        arrays = {name: changes.pop(name) for name in ("wavelength", "flux", "error") if name in changes}
        return replace(self, scalars=self.scalars | changes, **arrays)


def example_star(name: str) -> Star:
    with open(example_path(name), newline="") as opened:
        rows = list(csv.DictReader(opened))
    pixels = {key: np.array([float(row[key] or "nan") for row in rows]) for key in PIXEL_COLUMNS}
    scalars = {key: rows[0][key] for key in rows[0] if key not in PIXEL_COLUMNS}
    scalars = {key: float(text) if "." in text else int(text) for key, text in scalars.items()}
    return Star(scalars, pixels["wavelength"], pixels["flux"], pixels["flux_error"])


def epoch_star(n_pixels: int = 961) -> Star:
    """A DR4-like epoch spectrum on its own grid, with bad pixels."""
    wavelength = 846.0 + 0.025 * np.arange(n_pixels)
    flux = 1 - 0.5 * np.exp(-(((wavelength - 854.4) / 0.2) ** 2))
    error = np.full(n_pixels, 0.02)
    flux[[0, 5]], error[[0, 7]] = np.nan, np.nan
    scalars = {"source_id": 2052747119115620352, "transit_id": 17091923342681275, "obs_time_rv": 1717.25}
    return Star(scalars | {"combined_ccds": 3, "normalisation_method": 0}, wavelength, flux, error)


def masked(values: np.ndarray, dtype=np.float32) -> MaskedColumn:
    return MaskedColumn(values.astype(dtype), mask=np.isnan(values))


def individual(*stars: Star, scalars: bool = True, wavelength: bool = True) -> Table:
    """One row a pixel, the scalars repeated on each."""
    blocks: dict[str, list] = {}
    for star in stars:
        n_pixels = star.flux.size
        columns = {key: np.full(n_pixels, value) for key, value in star.scalars.items()} if scalars else {}
        columns |= {"wavelength": star.wavelength} if wavelength else {}
        columns |= {"flux": star.flux, "flux_error": star.error}
        for key, values in columns.items():
            blocks.setdefault(key, []).append(values)
    table = Table({key: np.concatenate(values) for key, values in blocks.items()})
    for name in ("flux", "flux_error"):
        table[name] = masked(np.asarray(table[name]))
    if wavelength:
        table["wavelength"].unit = u.nm
    return table


def raw(*stars: Star, wavelength: bool = False) -> Table:
    """One row a source, array cells."""
    table = Table({key: [star.scalars[key] for star in stars] for key in stars[0].scalars})
    if wavelength:
        table["wavelength"] = np.array([star.wavelength for star in stars]) * u.nm
    table["flux"] = np.array([star.flux for star in stars], dtype=np.float32)
    table["flux_error"] = np.array([star.error for star in stars], dtype=np.float32)
    return table


def cell_text(values: np.ndarray, missing: str = "null") -> str:
    return "[" + ", ".join(missing if np.isnan(value) else str(np.float32(value)) for value in values) + "]"


def text_cells(*stars: Star, missing: str = "null") -> Table:
    """One row a source, the arrays as texts."""
    table = Table({key: [star.scalars[key] for star in stars] for key in stars[0].scalars})
    table["flux"] = [cell_text(star.flux, missing) for star in stars]
    table["flux_error"] = [cell_text(star.error, missing) for star in stars]
    return table


def write_csv(path: Path, table: Table) -> Path:
    text = io.StringIO()
    table.write(text, format="ascii.csv")
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_ecsv(path: Path, table: Table, delimiter: str = ",") -> Path:
    text = io.StringIO()
    table.write(text, format="ascii.ecsv", delimiter=delimiter)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_bulk(path: Path, *stars: Star) -> Path:
    """A bulk file: ECSV with commas, arrays as texts, missing scalars as an unquoted null, gzip."""
    names = [*stars[0].scalars, "flux", "flux_error"]
    types = {int: "int64", float: "float64", type(None): "float64"}
    head = ["# %ECSV 1.0", "# ---", "# delimiter: ','", "# datatype:"]
    for name in names:
        if name in ("flux", "flux_error"):
            head.append(f"# - {{name: {name}, datatype: string, subtype: 'float32[null]'}}")
        else:
            head.append(f"# - {{name: {name}, datatype: {types[type(stars[0].scalars[name])]}}}")
    rows = []
    for star in stars:
        scalars = ["null" if value is None else str(value) for value in star.scalars.values()]
        rows.append(",".join([*scalars, f'"{cell_text(star.flux, "NaN")}"', f'"{cell_text(star.error)}"']))
    path.write_bytes(gzip.compress("\n".join([*head, ",".join(names), *rows, ""]).encode()))
    return path


def write_votable(path: Path, table: Table, params: dict | None = None, serialization: str = "tabledata") -> Path:
    document = from_table(table)
    for name, value in (params or {}).items():
        datatype = "long" if isinstance(value, int) else "double"
        document.get_first_table().params.append(
            Param(document, name=name, ID=name, datatype=datatype, value=str(value))
        )
    stream = io.BytesIO()
    document.to_xml(stream, tabledata_format=serialization)
    path.write_bytes(gzip.compress(stream.getvalue()) if path.suffix == ".gz" else stream.getvalue())
    return path


def write_fits(path: Path, table: Table | fits.BinTableHDU, keywords: dict | None = None) -> Path:
    hdu = table if isinstance(table, fits.BinTableHDU) else fits.BinTableHDU(table)
    for name, value in (keywords or {}).items():
        hdu.header[f"HIERARCH {name}" if len(name) > 8 else name] = value
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def variable_length_hdu(*stars: Star) -> fits.BinTableHDU:
    """RAW in FITS with variable-length arrays."""
    fluxes, errors = np.empty(len(stars), dtype=object), np.empty(len(stars), dtype=object)
    for row, star in enumerate(stars):
        fluxes[row], errors[row] = star.flux.astype("f4"), star.error.astype("f4")
    ids = np.array([star.scalars["source_id"] for star in stars])
    return fits.BinTableHDU.from_columns(
        [
            fits.Column("source_id", "K", array=ids),
            fits.Column("flux", "PE()", array=fluxes),
            fits.Column("flux_error", "PE()", array=errors),
        ]
    )


def variable_length_votable(path: Path, star: Star) -> Path:
    """RAW in a VOTable with arrays of any length, as text."""
    fields = "".join(
        f'<FIELD name="{name}" datatype="{kind}"/>'
        for name, kind in (
            ("source_id", "long"),
            ("flux", 'float" arraysize="*'),
            ("flux_error", 'float" arraysize="*'),
        )
    )
    cells = [" ".join(str(np.float32(value)) for value in values) for values in (star.flux, star.error)]
    row = "".join(f"<TD>{cell}</TD>" for cell in (star.scalars["source_id"], *cells)).replace("nan", "NaN")
    path.write_text(
        '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><TABLE name="rvs_mean_spectrum">{fields}'
        f"<DATA><TABLEDATA><TR>{row}</TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    return path


def zip_members(path: Path, members: dict[str, bytes]) -> Path:
    """A zip archive of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


KEPLER = example_star("kepler-93")
HD = example_star("hd176650")
SCALARS = KEPLER.scalars


def assert_is(spectrum, star, rtol=1e-7):
    """The spectrum has the pixels and the scalars of the star; float32 files round at 6e-8."""
    bad = np.isnan(star.flux) | np.isnan(star.error)
    assert spectrum.spectral_axis.unit == u.nm
    assert spectrum.flux.unit == u.dimensionless_unscaled
    np.testing.assert_allclose(spectrum.spectral_axis.value, star.wavelength, rtol=1e-13)
    np.testing.assert_array_equal(spectrum.mask, bad)
    assert spectrum.mask.dtype == bool
    np.testing.assert_allclose(spectrum.flux.value[~bad], star.flux[~bad], rtol=rtol)
    assert np.isnan(spectrum.flux.value[bad]).all()
    assert spectrum.uncertainty.uncertainty_type == "std"
    np.testing.assert_allclose(spectrum.uncertainty.array, star.error, rtol=rtol)
    meta = {name: spectrum.meta[name] for name in star.scalars}
    assert meta == star.scalars
    assert {name: type(value) for name, value in meta.items()} == {n: type(v) for n, v in star.scalars.items()}


def zip_of_two(folder: Path) -> Path:
    fits_file = write_fits(folder / "hd.fits", raw(HD))
    with zipfile.ZipFile(folder / "products.zip", "w") as archive:
        archive.writestr("readme.txt", "some words\n")
        archive.writestr("empty/", "")
        archive.writestr("XP_SAMPLED-Gaia DR3 1.csv", bp_rp_csv())
        archive.write(example_path("kepler-93"), "RVS-Gaia DR3 2052747119115620352.csv")
        archive.write(fits_file, "more/hd.fits")
    return folder / "products.zip"


def bp_rp_csv() -> str:
    rows = [f"1,2,3.0,4.0,{w},1e-16,1e-18" for w in np.arange(336, 1021, 2.0)]
    return "\n".join(["source_id,solution_id,ra,dec,wavelength,flux,flux_error", *rows, ""])


def check_message(caught, path: Path) -> None:
    """One line that begins with the file, says what is wrong and, after a semicolon, what to do."""
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 420
    assert ";" in message or "download it again" in message, message


WRITERS = {
    "csv": lambda d: write_csv(d / "a.csv", individual(KEPLER)),
    "csv.gz": lambda d: write_csv(d / "a.csv.gz", individual(KEPLER)),
    "ecsv, commas": lambda d: write_ecsv(d / "a.ecsv", individual(KEPLER)),
    "ecsv, spaces": lambda d: write_ecsv(d / "a.ecsv", individual(KEPLER), delimiter=" "),
    "votable, params": lambda d: write_votable(d / "a.xml", individual(KEPLER, scalars=False), SCALARS),
    "votable, columns": lambda d: write_votable(d / "a.vot", individual(KEPLER), serialization="binary"),
    "votable, gz": lambda d: write_votable(d / "a.vot.gz", individual(KEPLER, scalars=False), SCALARS, "binary2"),
    "fits, header": lambda d: write_fits(d / "a.fits", individual(KEPLER, scalars=False), SCALARS),
    "fits, columns": lambda d: write_fits(d / "a.fits", individual(KEPLER)),
    "raw csv, null": lambda d: write_csv(d / "a.csv", text_cells(KEPLER)),
    "raw csv, empty": lambda d: write_csv(d / "a.csv", text_cells(KEPLER, missing="")),
    "raw csv.gz, NaN": lambda d: write_csv(d / "a.csv.gz", text_cells(KEPLER, missing="NaN")),
    "raw ecsv": lambda d: write_ecsv(d / "a.ecsv", raw(KEPLER)),
    "raw bulk": lambda d: write_bulk(d / "RvsMeanSpectrum_000000-003111.csv.gz", KEPLER),
    "raw votable": lambda d: write_votable(d / "a.xml", raw(KEPLER), serialization="binary2"),
    "raw votable, wavelengths": lambda d: write_votable(d / "a.xml", raw(KEPLER, wavelength=True)),
    "raw votable, texts": lambda d: write_votable(d / "a.xml", text_cells(KEPLER)),
    "raw fits": lambda d: write_fits(d / "a.fits", raw(KEPLER)),
    "raw fits, texts": lambda d: write_fits(d / "a.fits", text_cells(KEPLER)),
}
