"""What `import rvsemu` brings along."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    *("tensorflow", "keras", "dask", "distributed", "sklearn"),
    *("emcee", "corner", "arviz", "astroquery", "matplotlib"),
)

SCRIPT = """
import json, sys
import specutils
before = set(sys.modules)
import rvsemu
after = set(sys.modules)
public = [name for name in rvsemu.__all__ if not hasattr(rvsemu, name)]
print(json.dumps([sorted(after - before), public, rvsemu.__version__]))
"""


@pytest.fixture(scope="module")
def imported():
    """Modules that rvsemu adds to those of specutils, in a process of its own."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def test_the_comparison_means_something(imported):
    assert {"rvsemu", "rvsemu.emulator", "rvsemu.spectra"} <= set(imported[0])


@pytest.mark.parametrize("package", HEAVY)
def test_import_is_light(imported, package):
    assert [m for m in imported[0] if m.split(".")[0] == package] == []


def test_training_is_not_imported(imported):
    assert [m for m in imported[0] if m.startswith("rvsemu.training")] == []


def test_public_names_exist(imported):
    assert imported[1] == []
    assert imported[2]
