"""The study of Gebran (2024) on a library of spectra: train, measure, compare, report.

`rvsemu.reproduction.study` runs it, ``rvsemu reproduce`` from the command line; docs/reproduction.rst explains it.
"""

from .study import FULL, QUICK, Plan, reproduce

__all__ = ["FULL", "QUICK", "Plan", "reproduce"]
