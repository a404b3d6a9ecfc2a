"""Tables of the documentation about the library, the formats that can be imported, and the command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from pathlib import Path

import numpy as np

from rvsemu.cli import main as rvsemu_command
from rvsemu.library import Library
from rvsemu.library.importing.formats import FORMATS, REFUSED
from rvsemu.library.mending import is_piece
from rvsemu.library.merging import listed_files, merge_files
from rvsemu.reproduction.report import rst_table

LIBRARY = Path(__file__).resolve().parents[1] / "library" / "default.txt"
COMMANDS = (
    "demo",
    "generate",
    "fetch",
    "fit",
    "catalog fit",
    "catalog report",
    "compare",
    "sample",
    "invert",
    "explore",
    "info",
    "train",
    "calibrate",
    "reproduce",
    "library info",
    "library compact",
    "library merge",
    "library split",
    "library import",
    "synthesize setup",
    "synthesize run",
    "synthesize status",
)


def library_table() -> str:
    """What the libraries in the repository are, in their own words: that of the paper's box, and the wide one.

    Without the pixels that were computed again.
    """
    paper, *parts = (file for file in listed_files(LIBRARY) if not is_piece(Library.peek(file)["info"]))
    wide, _ = merge_files(parts, replace=True, drop_weak_cn=True)
    titles = "``library/rvs_library.h5``", f"``library/parts``, those in ``library/{LIBRARY.name}``"
    return "\n".join(map(_library_table, titles, (Library.load(paper), wide)))


def _library_table(title, library) -> str:
    held = "not stated by all parts"
    if library.extrapolated is not None:
        count = int(np.count_nonzero(library.extrapolated))
        held = f"{count:,} spectra ({100 * count / len(library):.0f} %)"
    low, high = library.wavelength[[0, -1]]
    rows = [
        ("spectra", f"{len(library):,}"),
        ("fingerprint", f"``{library.fingerprint()}``"),
        (
            "wavelengths",
            f"{low:.1f}-{high:.1f} Å in {library.medium}, step {library.wavelength[1] - low:.2f} Å",
        ),
        ("smoothed to", f"R = {library.resolution:g}" if np.isfinite(library.resolution) else "not at all"),
        ("structure held at the edge of its grid", held),
        *((key, library.info[key]) for key in sorted(library.info) if key not in ("manifest", "merged")),
        *_hashes(library.info),
    ]
    return rst_table(("", title), rows, widths="25 75")


def _hashes(info):
    """The sources and line lists of a library, from its manifest."""
    manifest = json.loads(info.get("manifest", "{}"))
    for name, digest in manifest.get("sources", {}).items():
        yield name, f"SHA-256 ``{digest[:12]}...``"
    for name, made in manifest.get("lines", {}).items():
        yield f"lines: {name}", f"{made['lines']:,}, SHA-256 ``{made['sha256'][:12]}...``"


def formats_table() -> str:
    """The formats that can be imported and what each assumes; then those that are refused."""
    head = ("``--format``", "of", "wavelengths", "flux", "labels", "assumed besides", "reference, licence")
    rows = [
        (f"``{f.name}``", f.title, f"{f.unit}, {f.medium or 'medium measured'}", f.flux, f.labels, f.assumes)
        + (f"{_linked(f.reference)}; {f.licence}",)
        for f in FORMATS.values()
    ]
    refused = [(f"``{name}``", reason) for name, reason in REFUSED.items()]
    text = (
        "Flux is *normalised*, comes with its *continuum*, *either* of the two, or is *absolute* and needs a "
        "pseudo-continuum. *Medium measured*: from the Ca II triplet, unless ``--medium`` or the file states it.\n\n"
    )
    return text + rst_table(head, rows) + "\n" + rst_table(("refused", "because"), refused, widths="20 80")


def _linked(reference: str) -> str:
    """A reference whose records of ASCL and arXiv are links."""
    return re.sub(r"\b(ascl|arXiv):([-\w./]*\d)", lambda m: f":{m[1].lower()}:`{m[2]}`", reference)


def command_help() -> str:
    """The help of each command."""
    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "88", "1"
    out = []
    for command in ("", *COMMANDS):
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            rvsemu_command([*command.split(), "--help"])
        title = f"rvsemu {command}".strip()
        indented = "\n".join(f"   {line}".rstrip() for line in text.getvalue().rstrip().splitlines())
        out.append(f"{title}\n{'-' * len(title)}\n\n.. code-block:: none\n\n{indented}\n")
    return "\n".join(out)
