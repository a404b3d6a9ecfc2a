"""GSP-Spec of Gaia DR3 from the archive, through astroquery, one cached file per request."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import warnings
from collections.abc import Iterable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table, vstack

from .._storage import replacing
from ..errors import ComparisonError
from ..spectra.archive import SERVER, connect, one_line, requests_error
from ..spectra.archive_cache import folder_of
from .tables import floats_of, identifiers_of, texts_of

__all__ = ["CHUNK", "SERVER", "TABLE", "fetch_gspspec"]

TABLE = "gaiadr3.astrophysical_parameters"
"""The archive's table that has GSP-Spec."""
CHUNK = 2000
"""Sources in a request: the archive answers at once with so many rows."""

_UNITS = {"teff": "K", "logg": "dex", "mh": "dex", "alphafe": "dex"}
_NUMBERS = {f"{label}_gspspec{end}": unit for label, unit in _UNITS.items() for end in ("", "_lower", "_upper")}
_FLAGS = "flags_gspspec"
_LENGTH = 41  # characters of these
_COLUMNS = ("source_id", *_NUMBERS, _FLAGS)


def fetch_gspspec(
    source_ids: Iterable[int],
    *,
    cache: bool | str | os.PathLike = True,
    progress: bool = True,
    server: str = SERVER,
) -> Table:
    """Fetch the labels of GSP-Spec from the Gaia archive, or from the cache where they are there already.

    Needs astroquery, ``pip install "rvsemu[gaia]"``, unless everything is in the cache.

    Parameters
    ----------
    source_ids : iterable of int
        Of Gaia DR3.
    cache : bool or path
        True: astropy's cache folder of rvsemu, ``~/.rvsemu/cache``. A path: that folder, made if need be. False: keep
        nothing. There is a file for each 2000 sources, in ascending order, named after their source_ids; a file
        appears only when it is complete, so an interrupted call can be repeated and goes on where it stopped.
    progress : bool
        Show a progress bar if there is more than one request.
    server : str
        Address of the archive, or of a mirror.

    Returns
    -------
    astropy.table.Table
        ``source_id``, ``teff_gspspec`` with ``_lower`` and ``_upper`` in K, the same of ``logg``, ``mh`` and
        ``alphafe`` in dex, masked where there is no value, and ``flags_gspspec``; as published, not calibrated. Sources
        without labels of GSP-Spec are left out.

    Raises
    ------
    ComparisonError
        There are no source_ids, or such that are none; or the archive's answer cannot be read.
    SpectrumError
        astroquery is missing, the address is none, or the cache cannot be made.

    Examples
    --------
    >>> from rvsemu.comparison import fetch_gspspec
    >>> table = fetch_gspspec([2052747119115620352])  # doctest: +SKIP
    """
    from tqdm.auto import tqdm

    wanted = _asked(source_ids)
    if not wanted:
        raise ComparisonError("source_ids is empty: there is nothing to fetch; the fits have no source_id.")
    chunks = [wanted[first : first + CHUNK] for first in range(0, len(wanted), CHUNK)]
    client = None
    found = []
    with folder_of(cache) as folder, tqdm(total=len(wanted), disable=not progress or len(chunks) < 2) as bar:
        for chunk in chunks:
            path = _path(folder, chunk)
            if not path.exists():
                client = client or connect(server, "tap-server")
                _store(_answer(client, chunk, server), path)
            found.append(Table.read(path, format="ascii.ecsv"))
            bar.update(len(chunk))
    return vstack(found, metadata_conflicts="silent")


def _asked(source_ids: Iterable[int]) -> list[int]:
    """Source_ids in ascending order, each once."""
    if isinstance(source_ids, str) or not isinstance(source_ids, Iterable):
        raise ComparisonError(f"source_ids={source_ids!r}: give a list of whole numbers.")
    given: Any = source_ids if hasattr(source_ids, "dtype") else list(source_ids)
    found = identifiers_of(given, "source_ids") if len(given) else np.array([], dtype=int)
    if np.any(found == 0):
        bad = given[int(np.argmin(found != 0))]
        raise ComparisonError(f"source_ids has {bad!r}, which is no Gaia identifier: leave it out.")
    return np.unique(found).tolist()


def _path(folder: Path, source_ids: Sequence[int]) -> Path:
    digest = hashlib.sha256(",".join(map(str, source_ids)).encode()).hexdigest()
    return folder / f"GSP-Spec-Gaia DR3 {digest[:16]}.ecsv"


def _answer(client: Any, source_ids: Sequence[int], server: str) -> Table:
    """Rows of the archive."""
    query = (
        f"SELECT {', '.join(_COLUMNS)} FROM {TABLE} WHERE teff_gspspec IS NOT NULL "
        f"AND source_id IN ({', '.join(map(str, source_ids))})"
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # it prints errors
            warnings.simplefilter("ignore")  # VOTable knows no dex
            answer = client.launch_job(query, output_format="votable").get_results()
    except requests_error() as error:
        raise ComparisonError(f"{server} answered with an error ({one_line(error)}); try again later.") from None
    except (OSError, HTTPException) as error:
        reason = one_line(error) or type(error).__name__
        raise ComparisonError(
            f"cannot reach {server} ({reason}): check the network and try again, or give a file (--with FILE)."
        ) from None
    except (ValueError, LookupError, TypeError) as error:  # of the readers of VOTables
        raise ComparisonError(f"the answer of {server} is damaged ({one_line(error)}); try again later.") from None
    return _checked(answer, server)


def _checked(answer: Table, server: str) -> Table:
    """The answer with the same names and types of columns whatever is in it."""
    names = {name.lower(): name for name in answer.colnames}  # the archive writes some of them in capitals
    if missing := [name for name in _COLUMNS if name not in names]:
        raise ComparisonError(f"the answer of {server} has no column {missing[0]}; try again later.")
    out = Table({"source_id": identifiers_of(answer[names["source_id"]], "source_id")})
    for name, unit in _NUMBERS.items():
        values = floats_of(answer[names[name]], name)
        out[name] = MaskedColumn(values, mask=~np.isfinite(values), unit=unit)
    out[_FLAGS] = np.array(texts_of(answer[names[_FLAGS]]), dtype=f"U{_LENGTH}")
    return out


def _store(table: Table, path: Path) -> None:
    try:
        with replacing(path) as temporary:
            table.write(temporary, format="ascii.ecsv")
    except OSError as error:
        raise ComparisonError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose another folder, cache=."
        ) from error
