"""What `import rvsemu` and the command line bring along, and what they leave out."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "tensorflow",
    "keras",
    "dask",
    "distributed",
    "sklearn",
    "emcee",
    "corner",
    "arviz",
    "astroquery",
    "matplotlib",
    "bokeh",
    "tornado",
)
SLOW = ("astropy", "specutils", "scipy")

EVERYTHING = """
import json, sys
import specutils
before = set(sys.modules)
import rvsemu
missing = [name for name in rvsemu.__all__ if getattr(rvsemu, name, None) is None]
print(json.dumps({
    "loaded": sorted(set(sys.modules) - before),
    "missing": missing,
    "not listed": sorted(set(rvsemu.__all__) - set(dir(rvsemu))),
    "version": rvsemu.__version__,
}))
"""


def python(*arguments) -> subprocess.CompletedProcess:
    """A Python process of its own."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def everything():
    """What all public names add to the modules of specutils, in a process of its own."""
    return json.loads(python("-c", EVERYTHING).stdout.splitlines()[-1])


def test_the_comparison_means_something(everything):
    assert {"rvsemu", "rvsemu.emulator", "rvsemu.spectra"} <= set(everything["loaded"])


@pytest.mark.parametrize("package", HEAVY)
def test_public_names_are_light(everything, package):
    assert [m for m in everything["loaded"] if m.split(".")[0] == package] == []


def test_training_is_not_imported(everything):
    assert [m for m in everything["loaded"] if m.startswith("rvsemu.training")] == []


def test_public_names_exist_and_are_listed(everything):
    assert everything["missing"] == everything["not listed"] == []
    assert everything["version"]


IMPORTS = {
    "rvsemu first": "import rvsemu, specutils",
    "specutils first": "import specutils, rvsemu",
    "specutils later, by another module": "import rvsemu; from specutils.io import registers",
    "one of the subpackages": "import rvsemu.fitting",
    "another": "import rvsemu.emulator",
    "the reader itself": "import rvsemu.spectra",
    "a public name": "from rvsemu import generate",
    "the command line": "import rvsemu.cli",
}


@pytest.mark.parametrize("imports", IMPORTS.values(), ids=IMPORTS)
def test_specutils_reads_rvs_files_whichever_is_imported_first(imports):
    read = """
from importlib import resources
from specutils import Spectrum, SpectrumList
path = str(resources.files("rvsemu") / "data" / "rvs" / "kepler-93.csv")
print(Spectrum.read(path).meta["source_id"], len(SpectrumList.read(path)))
"""
    assert python("-c", f"{imports}\n{read}").stdout.split() == ["2052747119115620352", "1"]


PLAIN = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "specutils":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import rvsemu
print(rvsemu.shipped().jacobian([[5777, 4.44, 2, 0, 1, 11500, 0]])[1].shape)
"""


def test_plain_fluxes_need_no_specutils():
    assert python("-c", PLAIN).stdout.split() == ["(1,", "7,", "4000)"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_help_needs_no_slow_library(arguments):
    """Nothing slow is imported, so that help is there in a fraction of a second."""
    run = python("-X", "importtime", "-m", "rvsemu", *arguments)
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in run.stderr.splitlines()}
    assert "rvsemu" in loaded
    assert sorted(loaded & {*SLOW, *HEAVY}) == []


def test_subpackages_are_imported_by_their_names():
    code = "import rvsemu; print(*(getattr(rvsemu, name).__name__ for name in ('catalog', 'calibration', 'comparison', "
    code += "'emulator', 'fitting', 'inversion', 'library', 'observing', 'physics', 'plotting', 'spectra')))"
    assert python("-c", code).stdout.split()[:2] == ["rvsemu.catalog", "rvsemu.calibration"]
    import rvsemu

    assert {"catalog", "calibration", "comparison", "library"} <= set(dir(rvsemu))


def test_unknown_names_are_attribute_errors():
    import rvsemu

    with pytest.raises(AttributeError, match=r"module 'rvsemu' has no attribute 'fits'"):
        _ = rvsemu.fits


def test_the_package_runs_as_a_module():
    import rvsemu

    assert python("-m", "rvsemu", "--version").stdout == f"rvsemu {rvsemu.__version__}\n"
