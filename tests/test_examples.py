"""Every documented function, class and constant says how it is used, of which types it is, and what it means."""

import ast
import builtins
import doctest
import importlib
import inspect

import pytest
from documented_constants import text_of
from test_docs import documented
from test_types import UNITS, methods, unannotated

NAMES = documented()
THINGS = {f"{module}.{name}": getattr(importlib.import_module(module), name) for module, name in NAMES}
CODE = {name: thing for name, thing in THINGS.items() if inspect.isclass(thing) or inspect.isfunction(thing)}
CONSTANTS = sorted(set(THINGS) - set(CODE))
SYNSPEC = (
    "rvsemu.library.synthesis.build",
    "rvsemu.library.synthesis.synthesize",
    "rvsemu.library.synthesis.Workspace",
)
TRAINING = ("rvsemu.training.fit.train", "rvsemu.training.inversion.train_inversion", "rvsemu.reproduction.reproduce")
NETWORK = ("rvsemu.fetch_rvs", "rvsemu.comparison.fetch_gspspec")
NOT_RUN = {
    *(*SYNSPEC, *TRAINING, *NETWORK),
    *("rvsemu.training.noisy.train_noisy", "rvsemu.training.autoencoder.load_autoencoder"),  # part of a training
    *("rvsemu.catalog.fit_catalog", "rvsemu.catalog.read_catalog", "rvsemu.catalog.write_report"),  # start processes
}
"""Of these the examples cannot run in a test: they need SYNSPEC, a network or hours, or start processes."""


def examples(thing) -> list[doctest.Example]:
    """Examples in the docstring of a class or function."""
    return doctest.DocTestParser().get_examples(inspect.cleandoc(thing.__doc__ or ""))


def undefined(source: str) -> set[str]:
    """Names that code takes from elsewhere."""
    tree = ast.parse(source)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    made |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    made |= {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return {node.id for node in names if isinstance(node.ctx, ast.Load)} - made - set(dir(builtins))


def test_functions_classes_and_constants_are_found():
    assert {"rvsemu.fit", "rvsemu.Emulator", "rvsemu.physics.wavelengths.doppler"} <= set(CODE)
    assert {"rvsemu.observing.MASKS", "rvsemu.emulator.labels.ALPHA", "rvsemu.fitting.DEFAULT_PRIORS"} <= {*CONSTANTS}
    assert NOT_RUN <= set(CODE)


@pytest.mark.parametrize("name", CODE)
def test_documented_code_has_an_example_that_runs(name):
    found = examples(CODE[name])
    assert found, f"{name}: give it a section Examples"
    run = [one for one in found if doctest.SKIP not in one.options]
    assert any(one.want for one in run) or name in NOT_RUN, f"{name}: its example shows no result"


@pytest.mark.parametrize("name", sorted(set(CODE) - NOT_RUN))
def test_examples_can_be_copied(name):
    """They import what they use; doctest would give them the names of the module."""
    assert undefined("".join(one.source for one in examples(CODE[name]))) == set()


@pytest.mark.parametrize("name", CODE)
def test_documented_code_has_types(name):
    thing = CODE[name]
    functions = dict(methods(thing)) if inspect.isclass(thing) else {name: thing}
    missing = {one: unannotated(function) for one, function in functions.items() if one not in UNITS}
    assert {one: names for one, names in missing.items() if names} == {}


@pytest.mark.parametrize("name", CONSTANTS)
def test_documented_constants_say_what_they_are(name):
    assert text_of(*name.rsplit(".", 1)), f"{name}: write a string below it"


def test_faults_are_noticed():
    def nothing():
        """Half a docstring."""

    assert examples(nothing) == []
    assert undefined("import numpy as np\nx = [np.sin(y) for y in z]") == {"z"}
    assert undefined("from a import b\nwith b() as c:\n    print(c, d)") == {"d"}
    assert text_of("rvsemu.observing", "MASKS").startswith("Masks that go by a name")
    assert text_of("rvsemu.observing.observation", "_VELOCITY_STEP") is None
