"""Files to take away from the page, as addresses that hold their data."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ..emulator import Emulator
from ..fitting import FitResult, Posterior
from ..spectra import write_spectrum, write_table

__all__ = ["corner_png", "data_url", "labels_ecsv", "spectrum_csv"]


def spectrum_csv(emulator: Emulator, values: Mapping[str, float], medium: str) -> bytes:
    """A computed spectrum as `rvsemu.spectra.write_spectrum` writes it; `values` may have more than the labels."""
    labels = {name: values[name] for name in emulator.labels.names}
    spectrum = emulator.spectrum(medium=medium, extrapolate=True, **labels)
    return _written("spectrum.csv", lambda path: write_spectrum(spectrum, path))


def labels_ecsv(result: FitResult | Posterior) -> bytes:
    """The table of a result."""
    return _written("labels.ecsv", lambda path: write_table(result.to_table(), path))


def corner_png(posterior: Posterior) -> bytes:
    """Corner plot; drawn without pyplot, which threads must not share."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = 1.6 * len(posterior.names) + 0.6
    figure = Figure(figsize=(size, size))
    FigureCanvasAgg(figure)
    posterior.plot_corner(figure=figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
    return buffer.getvalue()


def data_url(data: bytes, kind: str) -> str:
    """Address that holds `data` of the media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _written(name: str, write: Callable[[Path], object]) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()
