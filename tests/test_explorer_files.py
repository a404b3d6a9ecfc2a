"""The Explorer reads the files that people have, and says what is wrong with others."""

import base64
import json

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from browser_fixtures import needs_browser
from rvs_fixtures import KEPLER, WRITERS, bp_rp_csv
from specutils import Spectrum

import rvsemu
from rvsemu.spectra import write_spectrum


def read(browser, text):
    """Spectra that the page reads in a text, or its complaint."""
    return browser.js(f"""(() => {{
        try {{
            const finite = (values) => [...values].map((y) => Number.isFinite(y) ? y : null);
            return RvsExplorer.reading.read({json.dumps(text)}, [8370, 8830]).map((x) => ({{...x,
                wavelength: [...x.wavelength], flux: finite(x.flux), error: x.error && finite(x.error)}}));
        }} catch (error) {{ if (error instanceof RvsExplorer.tables.FileError) return error.message; throw error; }}
    }})()""")


WAVELENGTH = 8450.0 + 2.0 * np.arange(100)
FLUX = np.round(1.0 - 0.3 * np.exp(-(((WAVELENGTH - 8542.0) / 5) ** 2)), 6)


def table(head, delimiter=",", scale=1.0, error=True):
    rows = [
        [f"{x * scale:.8g}", f"{y:.6f}", *(["0.01"] if error else [])] for x, y in zip(WAVELENGTH, FLUX, strict=True)
    ]
    return "\n".join([*([head] if head else []), *(delimiter.join(row) for row in rows)]) + "\n"


ECSV = """# %ECSV 1.0
# ---
# datatype:
# - {name: wavelength, unit: nm, datatype: float64}
# - {name: flux, datatype: float64}
# - {name: flux_error, datatype: float64}
# meta: !!omap
# - {medium: air}
# schema: astropy-2.0
wavelength flux flux_error"""

TEXTS = {
    "gaia": (table("wavelength,flux,flux_error,combined_transits", scale=0.1).replace("0.01\n", "0.01,7\n"), "vacuum"),
    "nm in brackets": (table("Wavelength [nm],Flux,Error", scale=0.1), None),
    "nm in the name": (table("lambda_nm;flux", ";", 0.1, False), None),
    "Angstrom": (table("wavelength (Angstrom),flux,sigma"), None),
    "air in the name": (table("wave_air\tflux\terr", "\t"), "air"),
    "medium in a comment": (table("# wavelengths in vacuum\nwavelength flux", " ", 1, False), "vacuum"),
    "ECSV": (table(ECSV, " ", 0.1), "air"),
    "no names": (table("", "   ", 0.1), None),
    "unknown names": (table("x,y", error=False), None),
    "quoted, DOS lines": (table('"wavelength","flux","error"').replace("\n", "\r\n"), None),
    "backwards": ("wave,flux\n" + "\n".join(table("", error=False).split()[::-1]), None),
}


@needs_browser
def test_tables_that_can_be_read(page):
    browser = page()
    for name, (text, medium) in TEXTS.items():
        (spectrum,) = read(browser, text)
        np.testing.assert_allclose(spectrum["wavelength"], WAVELENGTH, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(spectrum["flux"], FLUX, err_msg=name)
        assert spectrum["medium"] == medium, name
        assert spectrum["error"] is None or set(spectrum["error"]) == {0.01}


@needs_browser
def test_arrays_in_cells_many_sources_and_gaps(page):
    browser = page()
    fluxes = [["NaN" if i == 3 else "null" if i == 5 else f"{1 - 1e-4 * i:.4f}" for i in range(961)] for _ in range(2)]
    rows = [f'{k + 7},"[{", ".join(flux)}]","[{", ".join(["0.01"] * 961)}]"' for k, flux in enumerate(fluxes)]
    first, second = read(browser, "\n".join(["source_id,flux,flux_error", *rows]))
    assert (first["title"], second["title"], first["medium"]) == ("7", "8", "vacuum")
    np.testing.assert_allclose(first["wavelength"], 8460 + 0.25 * np.arange(961))
    assert first["flux"][3] is None and first["flux"][5] is None and first["flux"][4] == 0.9996
    body = table("").splitlines()
    long = "\n".join(["source_id,wavelength,flux,error", *(f"{s},{row}" for s in (11, 12) for row in body)])
    assert [x["title"] for x in read(browser, long)] == ["11", "12"]


def read_file(browser, path):
    """What the page reads of the first spectrum of a file: medium, wavelength and flux, or its complaint."""
    data = base64.b64encode(path.read_bytes()).decode()
    return browser.js(f"""(async () => {{
        try {{
            const file = new File([Uint8Array.from(atob("{data}"), (c) => c.charCodeAt(0))], "{path.name}");
            const [x] = RvsExplorer.reading.read(await RvsExplorer.reading.textOf(file), [8370, 8830]);
            return [x.medium, [...x.wavelength], [...x.flux].map((y) => Number.isFinite(y) ? y : null)];
        }} catch (error) {{ if (error instanceof RvsExplorer.tables.FileError) return error.message; throw error; }}
    }})()""")


@needs_browser
def test_files_of_the_archive(page, tmp_path):
    browser = page()
    for name, write in WRITERS.items():
        (tmp_path / name).mkdir()
        path = write(tmp_path / name)
        found = read_file(browser, path)
        if "csv" not in path.name:
            assert "this page reads text" in found, name
            continue
        medium, wavelength, flux = found
        assert medium == "vacuum", name
        np.testing.assert_allclose(wavelength, 10 * KEPLER.wavelength, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(np.array(flux, dtype=float), KEPLER.flux, rtol=1e-6, err_msg=name)
    (tmp_path / "bp.csv").write_text(bp_rp_csv())
    assert "50 are needed" in read_file(browser, tmp_path / "bp.csv")


@needs_browser
@pytest.mark.parametrize("ending", ["csv", "ecsv"])
def test_files_that_the_package_wrote(page, tmp_path, ending):
    spectrum = rvsemu.generate(teff=6000, logg=4)
    write_spectrum(spectrum, tmp_path / f"star.{ending}")
    medium, wavelength, flux = read_file(page(), tmp_path / f"star.{ending}")
    assert medium == "air"
    np.testing.assert_allclose(wavelength, rvsemu.shipped().wavelength)
    np.testing.assert_allclose(flux, spectrum.flux.value)


KINDS = {
    "std": (StdDevUncertainty, lambda e: e),
    "var": (VarianceUncertainty, np.square),
    "ivar": (InverseVariance, lambda e: 1 / e**2),
}


@needs_browser
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["csv", "ecsv"])
def test_errors_and_masks_that_the_package_wrote(page, tmp_path, ending, kind):
    """Errors are standard deviations whatever was written; masked pixels and those of no error have no flux."""
    errors = 0.01 + 1e-4 * np.arange(100)
    uncertainty, of_errors = KINDS[kind]
    written = of_errors(errors)
    written[7] = 0.0
    star = Spectrum(
        spectral_axis=WAVELENGTH * u.AA,
        flux=FLUX * u.one,
        uncertainty=uncertainty(written),
        mask=np.isin(np.arange(100), [3, 50]),
        meta={"medium": "air", "remark": "it's a test"},
    )
    write_spectrum(star, tmp_path / f"star.{ending}")
    (found,) = read(page(), (tmp_path / f"star.{ending}").read_text())
    assert np.flatnonzero([y is None for y in found["flux"]]).tolist() == [3, 7, 50]
    good = np.delete(np.arange(100), [3, 7, 50])
    np.testing.assert_allclose(np.array(found["error"], dtype=float)[good], errors[good], rtol=1e-6)
    np.testing.assert_allclose(np.array(found["flux"], dtype=float)[good], FLUX[good], rtol=1e-6)


@needs_browser
def test_pixels_without_an_error_are_bad(page):
    """As in `rvsemu.read_rvs`; a column mask of someone else may mean anything, and is not looked at."""
    rows = [f"{x},{y},{e},1" for x, y, e in zip(WAVELENGTH, FLUX, ["0", "-1", "nan", "", *["0.01"] * 96], strict=True)]
    (found,) = read(page(), "\n".join(["wavelength,flux,error,mask", *rows]))
    assert [y is None for y in found["flux"]] == [True] * 4 + [False] * 96


COMPLAINTS = {
    "": "no rows",
    "wavelength,flux\n": "no rows",
    table("wavelength,counts,other"): "no column that is called flux: its columns are wavelength, counts, other",
    table("wavelength [Hz],flux,error"): "in 'Hz': give nm or Angstrom",
    table("wavelength,flux,error", scale=0.05): "no unit for its wavelengths",
    table("wavelength [nm],flux,error", scale=0.05): "0 pixels with a flux between 8370 and 8830",
    table("wavelength,flux,error").replace("0.01", "x"): "'x' in place of a number (error, row 1)",
    table("wavelength,flux,error")[:-9]: "is it complete?",
    "1\n2\n3\n": "one column",
    "\n".join(["8500 1"] * 20): "20 pixels with a flux",
}


@needs_browser
def test_tables_that_cannot_be_read(page):
    browser = page()
    for text, complaint in COMPLAINTS.items():
        assert complaint in read(browser, text)


@needs_browser
def test_files_that_are_no_text(page, tmp_path):
    browser = page()
    for name, data, complaint in (
        ("a.fits", b"SIMPLE  =                    T", "is a FITS file"),
        ("b.zip", b"PK\x03\x04", "is a zip archive"),
        ("c.csv.gz", b"\x1f\x8b\x08damaged", "is a damaged gzip file"),
        ("d.csv", b"\0\1\2" * 20, "is not text"),
    ):
        (tmp_path / name).write_bytes(data)
        browser.choose_file("#rvse-file", tmp_path / name)
        browser.wait(f"document.querySelector('#rvse-file-message').textContent.startsWith('{name} {complaint}')")
