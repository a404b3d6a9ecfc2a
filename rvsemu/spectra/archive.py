"""RVS mean and epoch spectra from the Gaia archive's DataLink service, through astroquery, one cached file a source."""

from __future__ import annotations

import contextlib
import io
import numbers
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from specutils import Spectrum

from ..errors import SpectrumError, SpectrumWarning
from .archive_cache import folder_of, store, stored
from .reading import read_records
from .records import Record
from .tables import NotRVSError
from .unpacking import Skipped

__all__ = ["CHUNK", "EPOCH_CHUNK", "SERVER", "connect", "fetch_rvs", "one_line", "requests_error"]

SERVER = "https://gea.esac.esa.int/"
"""The Gaia archive."""
CHUNK = 5000
"""Sources a request: the archive's limit."""
EPOCH_CHUNK = 50
"""Sources a request for epoch spectra: some thousand transits, 100 MB of CSV."""

_STRUCTURES = ("INDIVIDUAL", "DATAMODEL_STANDARD")  # one thing: the service has been renaming it
_NO_EPOCHS = ("Gaia DR1", "Gaia DR2", "Gaia EDR3", "Gaia DR3")
_FORMATS = ("csv", "ecsv", "fits", "votable")
_EMPTY_ZIP = b"PK\x05\x06"
_TIMEOUT = 300.0  # s without a byte; the archive takes its time to begin
_AGAIN = "try again later; with a cache, the default, what has arrived is not fetched again"


def fetch_rvs(
    source_ids: int | str | Sequence[int | str],
    *,
    product: str = "mean",
    data_release: str | None = None,
    cache: bool | str | os.PathLike = True,
    format: str = "csv",
    progress: bool = True,
    server: str = SERVER,
) -> list[Spectrum]:
    """Fetch RVS mean or epoch spectra from the Gaia archive, or from the cache where they are there already.

    Needs astroquery, ``pip install "rvsemu[gaia]"``, unless everything is in the cache.

    Parameters
    ----------
    source_ids : int, str of digits, or sequence of these
        Gaia source identifiers of that release; a column of a table is fine if it holds integers. Repeated ones
        are fetched and returned once.
    product : {'mean', 'epoch'}
        The mean spectrum of each source, or all its epoch spectra, one a transit, which come with Gaia DR4.
    data_release : str, optional
        As the archive spells it. Default: "Gaia DR3", and "Gaia DR4" for epoch spectra.
    cache : bool or path
        True: astropy's cache folder of rvsemu, ``~/.rvsemu/cache``. A path: that folder, made if need be. False:
        keep nothing. Each source is a FITS file of its own, e.g. ``RVS-Gaia DR3 2052747119115620352.fits``, that
        `read_rvs` reads; of epoch spectra a zip archive of these. A file appears only when it is complete, so an
        interrupted call can be repeated and goes on where it stopped.
    format : {'csv', 'ecsv', 'fits', 'votable'}
        What to ask the archive for. It makes no difference to the result; epoch spectra come as CSV whatever it is.
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
        ``gaia_source``). A spectrum that arrives damaged is left out with a warning too, and is not kept. The
        transits of a source follow each other in the order of ``meta["obs_time_rv"]``; those without a good pixel are
        left out, and a warning counts them. If one of them arrives damaged, none of its source is kept.

    Raises
    ------
    SpectrumError
        A source_id is not a whole number, the release has no such product, astroquery is missing, the archive cannot be
        reached, answers with an error, or its answer is damaged.

    Notes
    -----
    Requests hold at most 5000 sources, 50 for epoch spectra. The archive's parameter DATA_STRUCTURE is called
    INDIVIDUAL by some of its versions and DATAMODEL_STANDARD by others; a server error to the one is followed by the
    other.

    Examples
    --------
    >>> from rvsemu.spectra import fetch_rvs
    >>> (star,) = fetch_rvs(2052747119115620352)  # doctest: +SKIP
    >>> transits = fetch_rvs(2052747119115620352, product="epoch")  # doctest: +SKIP
    """
    wanted, asked = _checked(source_ids), _Product.of(product, data_release)
    if format not in _FORMATS:
        raise SpectrumError(f"format={format!r} is unknown: use one of {', '.join(_FORMATS)}.")
    skipped = Skipped()
    with folder_of(cache) as folder:
        found = {i: records for i in wanted if (records := stored(asked.path(folder, i)))}
        rest = [i for i in wanted if i not in found]
        if rest:
            found |= _fetched(rest, folder, _Archive(server, asked, format, skipped), progress)
    good = {i: [one for one in found.get(i, []) if not one.bad.all()] for i in wanted}
    damaged = [error.about.get("source_id") for error in skipped]
    skipped.warn(f"the answer of {server}", _AGAIN)
    missing = [i for i in wanted if not good[i] and i not in damaged]
    if len(missing) > damaged.count(None):  # else all may be damaged ones, which do not say of which source they are
        _warn(missing, asked, None in damaged)
    _warn_of_empty([len(found[i]) - len(good[i]) for i in wanted if good[i]], asked)
    return [record.spectrum() for i in wanted for record in good[i]]


@dataclass(frozen=True)
class _Product:
    """What is asked for.

    Parameters
    ----------
    release : str
    retrieval_type : str
        The archive's name of it.
    epoch : bool
        Whether sources have several spectra.
    """

    release: str
    retrieval_type: str
    epoch: bool

    @classmethod
    def of(cls, product: str, release: str | None) -> _Product:
        """From the arguments of `fetch_rvs`."""
        if product not in ("mean", "epoch"):
            raise SpectrumError(f"product={product!r} is unknown: use 'mean' or 'epoch'.")
        if product == "epoch":
            if release in _NO_EPOCHS:
                raise SpectrumError(
                    f"data_release={release!r} has no epoch spectra, they come with Gaia DR4: leave data_release away, "
                    "or use product='mean'."
                )
            return cls(release or "Gaia DR4", "EPOCH_SPECTRUM_RVS", True)
        release = release or "Gaia DR3"
        return cls(release, "RVS" if release == "Gaia DR3" else "MEAN_SPECTRUM_RVS", False)

    @property
    def chunk(self) -> int:
        """Sources a request."""
        return EPOCH_CHUNK if self.epoch else CHUNK

    def path(self, folder: Path, source_id: int) -> Path:
        """Where the spectra of a source are kept."""
        ending = "zip" if self.epoch else "fits"
        return folder / f"{self.retrieval_type}-{self.release} {source_id}.{ending}"


def _fetched(source_ids: Sequence[int], folder: Path, archive: _Archive, progress: bool) -> dict[int, list[Record]]:
    """The records that the archive has; those of a source are stored when all of them are there."""
    from tqdm import tqdm

    product = archive.product
    found: dict[int, list[Record]] = {}
    quiet = not progress or len(source_ids) <= product.chunk
    with tqdm(total=len(source_ids), desc="fetch", unit=" stars", disable=quiet) as bar:
        for first in range(0, len(source_ids), product.chunk):
            chunk = source_ids[first : first + product.chunk]
            for source_id, records, complete in archive.sources(chunk):
                if complete:
                    path = product.path(folder, source_id)
                    store(records, path)
                    records = stored(path)
                found[source_id] = records
            bar.update(len(chunk))
    return found


class _Archive:
    """Requests to the DataLink service of one server.

    `astroquery.gaia.Gaia.load_data` unpacks into the working folder and makes tables that lose the header of some
    formats; the `TapPlus.load_data` below it hands over the answer as it comes.
    """

    def __init__(self, server: str, product: _Product, format: str, skipped: Skipped) -> None:
        self._load_data, self._skipped = connect(server, "data-server").load_data, skipped
        self.server, self.product, self._format = server, product, format
        self._structures = list(_STRUCTURES)

    def sources(self, source_ids: Sequence[int]) -> Iterator[tuple[int, list[Record], bool]]:
        """Those of the sources that have spectra, with them, and whether these are all; epoch spectra in order of time.

        Where a damaged spectrum does not say of which source it is, no source has all.
        """
        before = len(self._skipped)
        asked = frozenset(source_ids)
        found = ((one.source_id, one) for one in self._records(source_ids))
        records = ((source_id, one) for source_id, one in found if source_id is not None and source_id in asked)
        if not self.product.epoch:
            yield from ((source_id, [record], True) for source_id, record in records)
            return
        transits: dict[int, list[Record]] = {}
        for source_id, record in records:
            transits.setdefault(source_id, []).append(record)
        damaged = {error.about.get("source_id") for error in self._skipped[before:]}
        for source_id, some in transits.items():
            yield source_id, sorted(some, key=_when), damaged.isdisjoint({source_id, None})

    def _records(self, source_ids: Sequence[int]) -> Iterator[Record]:
        """The spectra of up to 5000 sources, those there are."""
        data = self._answer(source_ids)
        if not data or data.startswith(_EMPTY_ZIP):
            return
        try:
            found = read_records(data, self.product.release, self._skipped)
            yield from (one for one in found if isinstance(one, Record))
        except NotRVSError as error:
            if not data.startswith(b"PK"):
                raise SpectrumError(f"{self.server} answered with something else than spectra: {error}") from None
        except SpectrumError as error:
            raise SpectrumError(f"the answer of {self.server} cannot be used: {error}; {_AGAIN}.") from None

    def _answer(self, source_ids: Sequence[int]) -> bytes:
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

    def _request(self, source_ids: Sequence[int], structure: str) -> bytes:
        parameters = {
            "VALID_DATA": "false",
            "ID": ",".join(map(str, source_ids)),
            "RELEASE": self.product.release,
            "DATA_STRUCTURE": structure,
            "FORMAT": self._format,
            "RETRIEVAL_TYPE": self.product.retrieval_type,
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


def _limited(connection: Any) -> Any:
    connection.timeout = _TIMEOUT
    return connection


def requests_error() -> Any:
    """What astroquery raises when an archive answers with an error."""
    from requests import HTTPError

    return HTTPError


def _when(record: Record) -> tuple[float, int]:
    """By what transits are sorted."""
    return record.scalars.get("obs_time_rv", np.inf), record.scalars.get("transit_id", 0)


# ---------------------------------------------------------------------- arguments and messages
def _checked(source_ids: Any) -> list[int]:
    """Distinct source_ids in the order given."""
    if isinstance(source_ids, str) or np.ndim(source_ids) == 0:
        source_ids = [source_ids]
    return list(dict.fromkeys(_source_id(given) for given in source_ids))


def _source_id(given: Any) -> int:
    if isinstance(given, float | np.floating):
        raise SpectrumError(f"source_id={given!r} is a float, which loses its last digits: read them as int64 or text.")
    digits = isinstance(given, str) and re.fullmatch(r"\s*[0-9]+\s*", given)
    whole = isinstance(given, numbers.Integral) and not isinstance(given, bool)
    if not (digits or whole) or not 0 < int(given) < 2**63:
        raise SpectrumError(f"source_id={given!r} is not a Gaia identifier: give whole numbers from 1 to 2^63 - 1.")
    return int(given)


def _warn(missing: Sequence[int], product: _Product, perhaps: bool) -> None:
    """Warn of sources without spectra, which are `perhaps` those of damaged ones that do not name their source."""
    some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
    what = "RVS epoch spectrum" if product.epoch else "RVS spectrum"
    warnings.warn(
        f"{product.release} has no {what} of {len(missing)} of the sources asked for"
        f"{', or a damaged one' if perhaps else ''}: {some}",
        SpectrumWarning,
        stacklevel=3,
    )


def _warn_of_empty(counts: Sequence[int], product: _Product) -> None:
    """Warn of transits without a good pixel, given their number for each source."""
    if product.epoch and any(counts):
        text = f"{sum(counts)} transits of {np.count_nonzero(counts)} sources have no good pixel and are left out"
        warnings.warn(text, SpectrumWarning, stacklevel=3)


def one_line(error: Exception) -> str:
    """Text of an error in one line of at most 200 characters."""
    line = " ".join(str(error).split())
    return line if len(line) <= 200 else line[:197] + "..."
