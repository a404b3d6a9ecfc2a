"""The study of Gebran (2024) on a library of spectra: train, measure, compare, report.

`rvsemu.reproduction.study` runs it, ``rvsemu reproduce`` from the command line; docs/reproduction.rst explains it.
"""

from .plan import FULL, QUICK, Learning, Plan
from .report import summary
from .study import reproduce

__all__ = ["FULL", "QUICK", "Learning", "Plan", "reproduce", "summary"]
