"""Labels of fits beside those of another catalogue: GSP-Spec, APOGEE, GALAH, LAMOST, or any table with source_ids.

`compare` joins the two by Gaia source_id, and its result, a `Comparison`, has the statistics of the differences, the
stars in both, and what was left out and why; it prints as text, and `Comparison.write_report` makes a page of it.
`calibrate` applies the published corrections of GSP-Spec, and `fetch_gspspec` gets its labels from the Gaia archive.
"""

from .archive import fetch_gspspec
from .gspspec import CHARACTERS, COEFFICIENTS, calibrate, worst_flag
from .result import Comparison
from .verb import compare

__all__ = ["CHARACTERS", "COEFFICIENTS", "Comparison", "calibrate", "compare", "fetch_gspspec", "worst_flag"]
