"""Every public function and method says of which types its parameters and its result are."""

import importlib
import inspect
import pkgutil
from importlib import resources

import pytest

import rvsemu

UNITS = {"rvsemu.fitting.astropy_model.RVSModel.evaluate"}  # astropy takes its annotations for units
AREAS = ("rvsemu", "rvsemu.physics", "rvsemu.plotting")


def modules(area):
    """A module, and the public modules directly inside it if it is no table of contents itself."""
    found = [importlib.import_module(area)]
    if area != "rvsemu":
        inside = pkgutil.iter_modules(found[0].__path__)
        found += [importlib.import_module(f"{area}.{m.name}") for m in inside if not m.name.startswith("_")]
    return found


def public_functions():
    """Public functions by name, methods of public classes among them, each once."""
    out = {}
    for module in (m for area in AREAS for m in modules(area)):
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if inspect.isclass(thing):
                out.update(methods(thing))
            elif inspect.isfunction(thing):
                out[f"{thing.__module__}.{name}"] = thing
    return {name: function for name, function in sorted(out.items()) if name not in UNITS}


def methods(kind):
    """Public methods of a class that are written there by hand, its constructor and call included."""
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        written = inspect.isfunction(function) and not function.__code__.co_filename.startswith("<")
        if written and (not name.startswith("_") or name in ("__init__", "__call__")):
            yield f"{kind.__module__}.{kind.__qualname__}.{name}", function


def unannotated(function):
    """Names of parameters without a type, and "return" where the result has none."""
    signature = inspect.signature(function)
    parameters = [p for i, p in enumerate(signature.parameters.values()) if not (i == 0 and p.name in ("self", "cls"))]
    missing = [p.name for p in parameters if p.annotation is p.empty]
    return missing + ["return"] * (signature.return_annotation is signature.empty)


FUNCTIONS = public_functions()


def test_functions_of_all_areas_are_found():
    expected = {
        "rvsemu.fitting.verbs.fit",
        "rvsemu.emulator.model.Emulator.spectrum",
        "rvsemu.plotting.spectra.plot_fit",
    }
    assert expected | {"rvsemu.physics.broadening.Broadener.transfer"} <= set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_are_annotated(name):
    assert unannotated(FUNCTIONS[name]) == [], f"parameters of {name} without types"


def test_a_missing_type_is_noticed():
    def half(x: int, y) -> int: ...

    def nothing(x): ...

    assert unannotated(half) == ["y"]
    assert unannotated(nothing) == ["x", "return"]


def test_types_are_shipped():
    assert (resources.files(rvsemu) / "py.typed").is_file()
