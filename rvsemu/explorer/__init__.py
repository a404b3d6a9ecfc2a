"""A page with sliders for labels, in the browser of this machine: spectra, fits and posteriors.

`explore` serves it. Bokeh makes the page, and is imported by ``rvsemu.explorer.app`` alone:
``pip install "rvsemu[explore]"``.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..emulator.choosing import resolve
from ..emulator.model import Emulator
from ..errors import SettingsError, check_whole
from .observed import given

if TYPE_CHECKING:
    from specutils import Spectrum

    from .app.server import Explorer

__all__ = ["explore"]

__doctest_requires__ = {"explore": ["bokeh"]}


def explore(
    spectrum: Spectrum | Iterable[Spectrum] | str | os.PathLike | None = None,
    emulator: Emulator | str | os.PathLike | None = None,
    *,
    port: int = 0,
    browser: bool | None = None,
) -> Explorer:
    """Open a page with sliders for all labels, beside an observed spectrum, which it can fit.

    Needs Bokeh: ``pip install "rvsemu[explore]"``. The server is part of this process, and ends with it; only browsers
    of this machine can reach it.

    Parameters
    ----------
    spectrum : specutils.Spectrum, several, or path, optional
        Observed spectra as for `fit`, or a file for `read_rvs`. The page opens files, too.
    emulator : Emulator, str or path, optional
        A shipped one by name, or a file; default: the default one.
    port : int
        0: any that is free.
    browser : bool, optional
        Open the page in the browser. Default: yes, except in notebooks, which show the page themselves.

    Returns
    -------
    Explorer
        With ``url``; ``stop()`` ends the server, ``wait()`` waits for that or for Ctrl-C. In a notebook it shows the
        page.

    Raises
    ------
    SettingsError
        Bokeh is missing, or the port is in use.
    SpectrumError
        The file cannot be read, or there is no spectrum that can be fitted.
    EmulatorFileError
        There is no such emulator.

    Examples
    --------
    >>> import rvsemu
    >>> page = rvsemu.explore(rvsemu.example_path("kepler-93"), browser=False)
    >>> page.url
    'http://localhost:.../'
    >>> page.stop()
    """
    check_whole(SettingsError, "port", port, 0, 65535)
    loaded = resolve(emulator)
    stars = given(spectrum, loaded)
    try:
        from .app.server import Explorer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("bokeh", "tornado"):
            raise
        raise SettingsError('the explorer needs Bokeh: pip install "rvsemu[explore]".') from None
    page = Explorer(loaded, stars, port)
    if browser or (browser is None and not _in_notebook()):
        webbrowser.open(page.url)
    return page


def _in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
