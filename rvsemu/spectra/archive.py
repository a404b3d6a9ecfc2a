"""RVS spectra from the Gaia archive's DataLink service, through astroquery, one cached file a source."""

from __future__ import annotations

import contextlib
import io
import numbers
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from astropy.config import get_cache_dir
from astropy.io import fits
from astropy.table import Table

from .._compat import Spectrum
from .._storage import replacing
from ..errors import SpectrumError, SpectrumWarning
from .records import Record, read_records
from .tables import NotRVSError
from .unpacking import Skipped, load

__all__ = ["CHUNK", "SERVER", "cached_in", "connect", "fetch_rvs", "one_line", "requests_error"]

SERVER = "https://gea.esac.esa.int/"
"""The Gaia archive."""
CHUNK = 5000
"""Sources a request: the archive's limit."""

_STRUCTURES = ("INDIVIDUAL", "DATAMODEL_STANDARD")  # one thing: the service has been renaming it
_RETRIEVAL_TYPE = {"Gaia DR3": "RVS"}
_LATER_RETRIEVAL_TYPE = "MEAN_SPECTRUM_RVS"
_FORMATS = ("csv", "ecsv", "fits", "votable")
_EMPTY_ZIP = b"PK\x05\x06"
_TIMEOUT = 300.0  # s without a byte; the archive takes its time to begin
_AGAIN = "try again later; with a cache, the default, what has arrived is not fetched again"


def fetch_rvs(
    source_ids: int | str | Sequence[int | str],
    *,
    data_release: str = "Gaia DR3",
    cache: bool | str | os.PathLike = True,
    format: str = "csv",
    progress: bool = True,
    server: str = SERVER,
) -> list[Spectrum]:
    """Fetch RVS mean spectra from the Gaia archive, or from the cache where they are there already.

    Needs astroquery, ``pip install "rvsemu[gaia]"``, unless everything is in the cache.

    Parameters
    ----------
    source_ids : int, str of digits, or sequence of these
        Gaia source identifiers of that release; a column of a table is fine if it holds integers. Repeated ones
        are fetched and returned once.
    data_release : str
        As the archive spells it.
    cache : bool or path
        True: astropy's cache folder of rvsemu, ``~/.rvsemu/cache``. A path: that folder, made if need be. False:
        keep nothing. Each source is a FITS file of its own, e.g. ``RVS-Gaia DR3 2052747119115620352.fits``, that
        `read_rvs` reads; a file appears only when it is complete, so an interrupted call can be repeated and
        goes on where it stopped.
    format : {'csv', 'ecsv', 'fits', 'votable'}
        What to ask the archive for. It makes no difference to the result.
    progress : bool
        Show a progress bar if there is more than one request.
    server : str
        Address of the archive, or of a mirror.

    Returns
    -------
    list of `~specutils.Spectrum`
        Those found, in the order asked for, as `read_rvs` describes them; ``meta["source_id"]`` tells which is
        which, ``meta["file"]`` is the file in the cache. For the others there is a `~rvsemu.errors.SpectrumWarning`
        that names them: of the sources of Gaia DR3, 1 in 1800 has a published spectrum (column ``has_rvs`` of
        ``gaia_source``). A spectrum that arrives damaged is left out with a warning too, and is not kept.

    Raises
    ------
    SpectrumError
        A source_id is not a whole number, astroquery is missing, the archive cannot be reached, answers with an
        error, or its answer is damaged.

    Notes
    -----
    Requests hold at most 5000 sources. The archive's parameter DATA_STRUCTURE is called INDIVIDUAL by some of its
    versions and DATAMODEL_STANDARD by others; a server error to the one is followed by the other.

    Examples
    --------
    >>> from rvsemu.spectra import fetch_rvs
    >>> (star,) = fetch_rvs(2052747119115620352)  # doctest: +SKIP
    """
    wanted = _checked(source_ids)
    if format not in _FORMATS:
        raise SpectrumError(f"format={format!r} is unknown: use one of {', '.join(_FORMATS)}.")
    skipped = Skipped()
    with cached_in(cache) as folder:
        found = {i: record for i in wanted if (record := _stored(_path(folder, data_release, i))) is not None}
        rest = [i for i in wanted if i not in found]
        if rest:
            found |= _fetched(rest, folder, _Archive(server, data_release, format, skipped), progress)
    missing = [i for i in wanted if i not in found or found[i].bad.all()]
    skipped.warn(f"the answer of {server}", _AGAIN)
    if len(missing) > len(skipped):
        _warn(missing, data_release)
    return [found[i].spectrum() for i in wanted if i not in missing]


def _fetched(source_ids, folder, archive, progress) -> dict[int, Record]:
    """The records that the archive has; each is stored before the next is looked at."""
    from tqdm import tqdm

    asked, found = set(source_ids), {}
    with tqdm(total=len(source_ids), desc="fetch", unit="star", disable=not progress or len(asked) <= CHUNK) as bar:
        for first in range(0, len(source_ids), CHUNK):
            chunk = source_ids[first : first + CHUNK]
            for record in archive.records(chunk):
                if record.source_id in asked:
                    path = _path(folder, archive.data_release, record.source_id)
                    _store(record, path)
                    found[record.source_id] = _stored(path)
            bar.update(len(chunk))
    return found


class _Archive:
    """Requests to the DataLink service of one server.

    `astroquery.gaia.Gaia.load_data` unpacks into the working folder and makes tables that lose the header of some
    formats; the `TapPlus.load_data` below it hands over the answer as it comes.
    """

    def __init__(self, server, data_release, format, skipped):
        self._load_data, self._skipped = connect(server, "data-server").load_data, skipped
        self.server, self.data_release, self._format = server, data_release, format
        self._structures = list(_STRUCTURES)

    def records(self, source_ids) -> Iterator[Record]:
        """The spectra of up to 5000 sources, those there are."""
        data = self._answer(source_ids)
        if not data or data.startswith(_EMPTY_ZIP):
            return
        try:
            yield from read_records(data, self.data_release, self._skipped)
        except NotRVSError as error:
            if not data.startswith(b"PK"):
                raise SpectrumError(f"{self.server} answered with something else than spectra: {error}") from None
        except SpectrumError as error:
            raise SpectrumError(f"the answer of {self.server} cannot be used: {error}; {_AGAIN}.") from None

    def _answer(self, source_ids) -> bytes:
        for structure in list(self._structures):
            try:
                data = self._request(source_ids, structure)
            except requests_error() as error:
                refusal = one_line(error)
                continue
            except (OSError, HTTPException) as error:
                reason = one_line(error) or type(error).__name__
                raise SpectrumError(
                    f"cannot reach {self.server} ({reason}): check the network and try again."
                ) from None
            self._structures = [structure]  # the one it understands
            return data
        raise SpectrumError(f"{self.server} answered with an error ({refusal}); {_AGAIN}.")

    def _request(self, source_ids, structure) -> bytes:
        parameters = {
            "VALID_DATA": "false",
            "ID": ",".join(map(str, source_ids)),
            "RELEASE": self.data_release,
            "DATA_STRUCTURE": structure,
            "FORMAT": self._format,
            "RETRIEVAL_TYPE": _retrieval_type(self.data_release),
            "USE_ZIP_ALWAYS": "true",
        }
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # it prints errors
            path = Path(folder) / "answer"
            self._load_data(params_dict=parameters, output_file=str(path))
            return path.read_bytes()


def connect(server: str, service: str) -> Any:
    """astroquery's `TapPlus` for a service of an archive, with a time limit, which its own connections lack.

    Parameters
    ----------
    server : str
        Address of the archive.
    service : {'data-server', 'tap-server'}
        DataLink's, or that of queries.

    Raises
    ------
    SpectrumError
        astroquery is not installed, or the address is none.
    """
    try:
        from astroquery.utils.tap import TapPlus
        from astroquery.utils.tap.conn.tapconn import ConnectionHandler, TapConn
    except ImportError:
        raise SpectrumError('fetching from the archive needs astroquery: pip install "rvsemu[gaia]".') from None

    class Limited(ConnectionHandler):
        def get_connection(self, **options):
            return _limited(super().get_connection(**options))

    url = urlsplit(server)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise SpectrumError(f"server={server!r} is not an address: give one like {SERVER}.")
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    connection = TapConn(
        secure,
        url.hostname,
        server_context=f"{url.path.rstrip('/')}/{service}",
        tap_context="tap",
        data_context="data",
        port=port,
        sslport=port,
        connhandler=Limited(url.hostname, port, port),
    )
    return TapPlus(url=server, connhandler=connection)


def _limited(connection):
    connection.timeout = _TIMEOUT
    return connection


def requests_error() -> Any:
    """What astroquery raises when an archive answers with an error."""
    from requests import HTTPError

    return HTTPError


def _retrieval_type(data_release) -> str:
    return _RETRIEVAL_TYPE.get(data_release, _LATER_RETRIEVAL_TYPE)


# ---------------------------------------------------------------------- the cache
@contextlib.contextmanager
def cached_in(cache: bool | str | os.PathLike | None) -> Iterator[Path]:
    """The folder of the cache, see `fetch_rvs`; a temporary one for none."""
    if cache is None or cache is False:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    folder = Path(get_cache_dir("rvsemu")) if cache is True else Path(cache).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpectrumError(
            f"cache={str(cache)!r}: no such folder can be made ({error.strerror}); choose another."
        ) from None
    yield folder


def _path(folder, data_release, source_id) -> Path:
    return folder / f"{_retrieval_type(data_release)}-{data_release} {source_id}.fits"


def _store(record, path) -> None:
    columns = {"wavelength": record.wavelength, "flux": record.flux, "flux_error": record.error}
    table = Table({name: np.asarray(values, dtype=float) for name, values in columns.items()})
    table["wavelength"].unit = "nm"
    hdu = fits.BinTableHDU(table)
    for name, value in record.scalars.items():
        if isinstance(value, int | str) or np.isfinite(value):
            hdu.header[f"HIERARCH {name}" if len(name) > 8 else name] = value
    try:
        with replacing(path) as temporary:
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(temporary)
    except OSError as error:
        raise SpectrumError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose another folder, cache=."
        ) from error


def _stored(path) -> Record | None:
    """What `_store` wrote; None if it is not there, or damaged, which makes it be fetched again."""
    try:
        data, label = load(path)
        return next(read_records(data, label))
    except SpectrumError:
        return None


# ---------------------------------------------------------------------- arguments and messages
def _checked(source_ids) -> list[int]:
    """Distinct source_ids in the order given."""
    if isinstance(source_ids, str) or np.ndim(source_ids) == 0:
        source_ids = [source_ids]
    return list(dict.fromkeys(_source_id(given) for given in source_ids))


def _source_id(given) -> int:
    if isinstance(given, float | np.floating):
        raise SpectrumError(f"source_id={given!r} is a float, which loses its last digits: read them as int64 or text.")
    digits = isinstance(given, str) and re.fullmatch(r"\s*[0-9]+\s*", given)
    whole = isinstance(given, numbers.Integral) and not isinstance(given, bool)
    if not (digits or whole) or not 0 < int(given) < 2**63:
        raise SpectrumError(f"source_id={given!r} is not a Gaia identifier: give whole numbers from 1 to 2^63 - 1.")
    return int(given)


def _warn(missing, data_release) -> None:
    some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
    warnings.warn(
        f"{data_release} has no RVS spectrum of {len(missing)} of the sources asked for: {some}",
        SpectrumWarning,
        stacklevel=3,
    )


def one_line(error: Exception) -> str:
    """Text of an error in one line of at most 200 characters."""
    line = " ".join(str(error).split())
    return line if len(line) <= 200 else line[:197] + "..."
