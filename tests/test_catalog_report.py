"""The page about a catalogue: complete in itself, with the numbers of the catalogue."""

import base64
import itertools
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from catalog_fixtures import SETTINGS, write_stars
from matplotlib.backends.backend_agg import FigureCanvasAgg

import rvsemu
from rvsemu.cli import main
from rvsemu.errors import SpectrumError
from rvsemu.fitting import FitResult
from rvsemu.spectra import write_bulk, write_spectrum

pytest.importorskip("pyarrow.parquet")
catalog = pytest.importorskip("rvsemu.catalog")
report = pytest.importorskip("rvsemu.catalog.report")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_stars(folder / "a.csv.gz", 7)
    (folder / "b.csv").write_text("words")
    catalog.fit_catalog(
        [folder / "a.csv.gz", folder / "b.csv"], folder / "out", jobs=1, rows=10, progress=False, **SETTINGS
    )
    return folder


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_a_page_of_its_own(made, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["catalog", "report", str(made / "out"), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    page = out.read_text(encoding="utf-8")
    table = catalog.read_catalog(made / "out")
    text = text_of(page)
    release, frame = (str(table[name][0]) for name in ("release", "frame"))
    kinds = f"of release, in frame 7 {release}, {frame}"
    assert f"spectra fitted 7 rejected, or transits passed over 1 {kinds} emulator" in text
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(images) == 2 + 4
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    assert f"{np.sum(np.asarray(table['flag_bits']) == 0)} spectra (" in text
    worst = table[int(np.argmax(table["reduced_chi2"]))]
    assert f"source {worst['source_id']}, reduced chi2 {worst['reduced_chi2']:.2f}" in text
    assert len(page) < 2e6
    assert main(["catalog", "report", str(made / "out"), "-o", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_without_the_spectra(made, tmp_path):
    hidden = made / "a.csv.gz"
    hidden.rename(made / "hidden")
    try:
        catalog.write_report(made / "out", tmp_path / "page.html")
    finally:
        (made / "hidden").rename(hidden)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 and page.count("reduced chi2 ") >= 4


def transits(*, source=5, faulty=()):
    """Three epoch spectra of a star; those that are faulty have a ripple."""
    star = rvsemu.generate(teff=5600, logg=4.3, mh=0, vsini=8, vmic=1.2, resolution=11700)
    for number in range(3):
        given = {"signal_to_noise": 60, "release": "Gaia DR4", "frame": "barycentric"}
        one = rvsemu.simulate(star, seed=number + source, source_id=source, **given)
        one.meta |= {"transit_id": 100 * source + number, "obs_time_rv": 1000.0 + number, "normalisation_method": 0}
        if number in faulty:
            one.flux[::7] += 0.4 * np.sin(np.arange(len(one.flux[::7]))) * one.flux.unit
        yield one


@pytest.fixture
def drawn(monkeypatch):
    """Transits and reduced chi2 of the fits that are drawn."""
    seen = []
    plot = FitResult.plot
    monkeypatch.setattr(FitResult, "plot", lambda self: seen.append(self) or plot(self))
    return seen


def test_the_transit_that_fits_worst_is_drawn(tmp_path, drawn, kept_workers):
    """And not the first one of the source."""
    before = set(plt.get_fignums())
    write_bulk(transits(faulty=[1]), tmp_path / "a.csv.gz")
    catalog.fit_catalog(tmp_path / "a.csv.gz", tmp_path / "out", progress=False, **SETTINGS)
    catalog.write_report(tmp_path / "out", tmp_path / "page.html")
    table = catalog.read_catalog(tmp_path / "out")
    expected = sorted(zip(table["reduced_chi2"], table["transit_id"], strict=True), reverse=True)
    assert [(one.reduced_chi2, one.meta["transit_id"]) for one in drawn] == [pytest.approx(pair) for pair in expected]
    assert expected[0][1] == 501
    assert not set(plt.get_fignums()) - before
    assert "source 5, transit 501, reduced chi2 " in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("there", [3, 2])
def test_transits_of_a_joint_fit_are_found_in_all_of_their_files(tmp_path, drawn, there, kept_workers):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, one in enumerate(transits(faulty=[1])):
        write_bulk([one], folder / f"{number}.csv.gz")
    write_bulk(transits(source=6), folder / "3.csv.gz")
    catalog.fit_catalog(folder, tmp_path / "out", progress=False, transits="joint", **SETTINGS)
    if there < 3:
        (folder / "2.csv.gz").unlink()
    catalog.write_report(tmp_path / "out", tmp_path / "page.html")
    assert drawn[0].meta["transit_id"] == 501
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ("2 of 3 transits were found" in page) == (there < 3) and "3 of 3" not in page
    assert "stars fitted 2 " in text_of(page) and "stars (" in page and "spectra fitted" not in page


@pytest.mark.parametrize("low, high", [(60, 60.4), (57, 64), (55, 95), (20, 80), (9, 190), (3, 3000), (59.3, 59.3)])
def test_labels_of_ticks_do_not_overlap(low, high):
    """And there are some, whatever the range of signal to noise, and so of errors."""
    some = {"signal_to_noise": np.geomspace(low, high, 20), "reduced_chi2": np.linspace(0.9, 1.05, 20)}
    errors = {"teff": 3000, "logg": 8, "mh": 5, "vsini": 60, "radial_velocity": 30}
    some |= {f"{name}_error": value / some["signal_to_noise"] for name, value in errors.items()}
    figure = report._errors(some)
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        for axis, side in ((ax.xaxis, 0), (ax.yaxis, 1)):
            (first, last), ticks = sorted(axis.get_view_interval()), axis.get_major_ticks()
            shown = [tick.label1 for tick in ticks if first <= tick.get_loc() <= last and tick.label1.get_text()]
            ends = sorted(text.get_window_extent().get_points()[:, side].tolist() for text in shown)
            assert len(ends) >= 2
            assert all(one[1] < other[0] for one, other in itertools.pairwise(ends)), [t.get_text() for t in shown]


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_no_signal_to_noise_above_zero(value):
    """As of spectra without errors, or of fluxes below zero."""
    some = {"signal_to_noise": np.full(3, value), "reduced_chi2": np.ones(3), "teff_error": np.full(3, 50.0)}
    with np.errstate(all="raise"):
        figure = report._errors(some)
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 2


def test_spectra_without_a_source(tmp_path, drawn, kept_workers):
    """Drawn is the one with the misfit of the row, as nothing else tells them apart."""
    for number, one in enumerate(transits(faulty=[2])):
        for name in ("source_id", "transit_id"):
            del one.meta[name]
        write_spectrum(one, tmp_path / f"{number}.fits")
    files = sorted(tmp_path.glob("*.fits"))
    catalog.fit_catalog(files, tmp_path / "out", progress=False, **SETTINGS)
    catalog.write_report(tmp_path / "out", tmp_path / "page.html")
    assert Path(drawn[0].meta["file"]).name == "2.fits" and len(drawn) == 3
    assert "source unknown, reduced chi2 " in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("names", [("teff", "logg"), ("teff", "mh"), ("teff",)])
def test_emulators_without_some_labels(names, made, tmp_path, monkeypatch):
    """The page has what there is."""
    lacking = {"teff", "logg", "mh"} - set(names)
    read = report.read_catalog

    def without(path, columns=None):
        table = read(path, columns)
        table.remove_columns([n for n in table.colnames if n.removesuffix("_error") in lacking])
        return table

    monkeypatch.setattr(report, "read_catalog", without)
    monkeypatch.setattr(report, "_WORST", 0)
    catalog.write_report(made / "out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img") == (2 if "logg" in names else 1)


def test_what_is_no_catalogue(tmp_path):
    with pytest.raises(SpectrumError, match="no catalogue is there"):
        catalog.write_report(tmp_path, tmp_path / "page.html")
