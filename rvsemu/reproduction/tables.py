"""reStructuredText tables and the numbers in them."""

from __future__ import annotations

__all__ = ["METRICS", "number", "percent", "rst_table", "significant", "with_unit"]


METRICS = {
    "mse": "MSE",
    "rms": "RMS error",
    "mae": "MAE",
    "r2": "R\\ :sup:`2`",
    "explained_variance": "explained variance",
    "mean_relative_error": "mean relative error",
    "p99_max_error": "99 % of spectra: largest error below",
}
"""What `rvsemu.training.metrics.metrics` measures."""


def rst_table(head, rows, title="", widths="auto") -> str:
    """A list-table."""
    lines = [f".. list-table:: {title}".rstrip(), "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [head, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def number(x) -> str:
    """A measure of errors: two digits, or four decimals of what is near 1.

    Examples
    --------
    >>> from rvsemu.reproduction.tables import number
    >>> number(0.00123), number(0.9987)
    ('1.2e-03', '0.9987')
    """
    return "0" if x == 0 else f"{x:.4f}" if 0.5 <= abs(x) <= 1 else f"{x:.2g}" if abs(x) > 1 else f"{x:.1e}"


def significant(x) -> str:
    """Three significant digits, without an exponent.

    Examples
    --------
    >>> from rvsemu.reproduction.tables import significant
    >>> significant(0.03127), significant(6.5), significant(1234.5)
    ('0.0313', '6.5', '1,234')
    """
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def percent(share) -> str:
    """With its sign: ``+3.1 %``."""
    return f"{100 * share:+.1f} %"


def with_unit(label) -> str:
    """Name and unit of a label: ``teff (K)``."""
    return f"``{label['name']}``" + (f" ({label['unit']})" if label["unit"] else "")
