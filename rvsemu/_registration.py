"""The formats of `rvsemu.spectra`, registered with specutils as soon as specutils is there, and not before.

specutils knows no entry points for formats, and importing it takes seconds, which ``rvsemu --help`` should not. So
where it has not been imported yet, its import goes on to that of `rvsemu.spectra`, whose readers register themselves.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

__all__ = ["register_formats"]

_FORMATS = "rvsemu.spectra"


class _AfterSpecutils:
    """Finder of specutils where it is, once, that has the formats registered when it has been imported.

    It has no base class, as that of finders, in ``importlib.abc``, takes as long to import as all else here.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "specutils":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                import_module(_FORMATS)

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]  # of this loader alone
        return spec


def register_formats() -> None:
    """Register the formats: now if specutils has been imported, else when it is."""
    if "specutils" in sys.modules:
        import_module(_FORMATS)
    else:
        sys.meta_path.insert(0, _AfterSpecutils())
