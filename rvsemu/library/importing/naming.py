"""What file names of published libraries say of their stars: one grammar per library."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .spectrum import Unusable

__all__ = ["BOSZ2017", "BOSZ2024", "COELHO", "MARCS", "MUNARI", "PHOENIX", "POLLUX", "TLUSTY", "Grammar"]

_N = r"[+-]?\d+(?:\.\d*)?"  # a number as names write it: signs and decimals vary


@dataclass(frozen=True)
class Grammar:
    """A pattern whose groups are labels, and how their text becomes numbers.

    Parameters
    ----------
    pattern : str
        Regular expression for the beginning of a file's name.
    convert : dict
        By name of the group; those not named are plain numbers. Text that has no number raises `Unusable`.
    example : str
        For messages.
    """

    pattern: str
    example: str
    convert: dict[str, Callable[[str], float]] = field(default_factory=dict)

    def matches(self, name: str) -> bool:
        return re.match(self.pattern, name) is not None

    def text(self, name: str, group: str) -> str | None:
        """What `name` has for one group; None if it is no name of this library."""
        found = re.match(self.pattern, name)
        return found[group] if found else None

    def labels(self, name: str) -> dict[str, float]:
        """Labels in `name`; empty if it is no name of this library.

        Raises
        ------
        Unusable
            The name is of this library, but the model is of a kind rvsemu has no label for.
        """
        found = re.match(self.pattern, name)
        groups = found.groupdict() if found else {}
        return {k: self.convert.get(k, float)(text) for k, text in groups.items() if text is not None}


def _refuse(reason):
    def convert(text):
        raise Unusable(f"{reason} ('{text}' in its name)")

    return convert


def _signed_code(unit):
    """``m05`` and ``p05`` as -0.5 and 0.5, for codes of tenths rounded to a multiple of `unit`."""

    def convert(text):
        tenths = int(text[1:]) / 10
        whole = round(np.floor(tenths / unit + 0.5) * unit, 2)
        return -whole if text[0] in "mM" else whole

    return convert


def _tlusty_metals(text) -> float:
    """[M/H] of Lanz & Hubeny's letter for the metallicity: Z / Z_sun is 2, 1, 1/2, 1/5, 1/10, 1/30 ..."""
    shares = {"C": 2, "G": 1, "L": 1 / 2, "S": 1 / 5, "T": 1 / 10, "V": 1 / 30, "W": 1 / 50, "X": 1 / 100, "Y": 1e-3}
    if text not in shares:
        raise Unusable(f"composition '{text}' in its name has no finite [M/H]")
    return float(np.log10(shares[text]))


MARCS = Grammar(
    rf"[ps](?P<teff>\d+)[_:]g(?P<logg>{_N})[_:]m{_N}[_:]t(?P<vmic>{_N})[_:](?:[a-z]\w[_:])?z(?P<mh>{_N})"
    rf"[_:]a(?P<alpha>{_N})(?:[_:]c(?P<carbon>{_N}))?(?:[_:]n(?P<nitrogen>{_N}))?(?:[_:]o(?P<oxygen>{_N}))?"
    rf"(?:[_:]r(?P<r>{_N}))?(?:[_:]s(?P<s>{_N}))?",
    "p4500_g+2.5_m0.0_t01_st_z+0.00_a+0.00_c+0.00_n+0.00_o+0.00_r+0.00_s+0.00.spec",
)

POLLUX = Grammar(
    rf"[A-Z]+_[ps]?(?P<teff>\d+)_?g(?P<logg>{_N})_?z(?P<mh>{_N})_?t(?P<vmic>{_N})(?:_?a(?P<alpha>{_N}))?"
    rf"(?:_?c(?P<carbon>{_N}))?(?:_?n(?P<nitrogen>{_N}))?(?:_?o(?P<oxygen>{_N}))?(?:_?r(?P<r>{_N}))?"
    rf"(?:_?s(?P<s>{_N}))?(?P<wind>_Mdot[^_]*)?",
    "M_p5500g4.0z0.00t1.0_a0.00c0.00n0.00o0.00r0.00s0.00_VIS.spec",
    {"wind": _refuse("a model with mass loss")},
)

BOSZ2024 = Grammar(
    rf"bosz2024_(?:ms|mp|ap)_t(?P<teff>\d+)_g(?P<logg>{_N})_m(?P<mh>{_N})_a(?P<alpha>{_N})_c(?P<carbon>{_N})"
    r"_v(?P<vmic>\d+)_r(?P<resolution>\d+)_resam\.txt",
    "bosz2024_mp_t5000_g+4.5_m+0.00_a+0.00_c+0.00_v1_r50000_resam.txt.gz",
)

_QUARTER = _signed_code(0.25)  # of a dex: m03 is -0.25

BOSZ2017 = Grammar(
    r"am(?P<mh>[mp]\d\d)c(?P<carbon>[mp]\d\d)o(?P<alpha>[mp]\d\d)t(?P<teff>\d+)g(?P<logg>\d\d)v(?P<vmic>\d\d)"
    r"mod(?P<rotation>rt\d+)b(?P<resolution>\d+)",
    "amm03cp00op00t6000g40v20modrt0b300000rs.fits",
    {
        **dict.fromkeys(("mh", "carbon", "alpha"), _QUARTER),
        **dict.fromkeys(("logg", "vmic"), lambda text: int(text) / 10),
        "rotation": lambda text: float(text[2:]),
    },
)

TLUSTY = Grammar(
    r"B?(?P<mh>[A-Z])(?P<mixed>CN)?(?P<teff>\d{5})g(?P<logg>\d{3})v(?P<vmic>\d+)\.vis\.7",
    "BG25000g275v10.vis.7.gz",
    {"mh": _tlusty_metals, "logg": lambda text: int(text) / 100, "mixed": _refuse("CN-processed composition")},
)

MUNARI = Grammar(
    r"T(?P<teff>\d{5})G(?P<logg>\d\d)(?P<mh>[MP]\d\d)V(?P<rotation>\d{3})K(?P<vmic>\d)(?P<alpha>[AS])\w{4}"
    r"(?P<sampling>R20|RVS|RAV|[A-Z]\w\w)(?P<fluxed>[FN])\.ASC",
    "T05500G40M05V000K2SNWNVR20N.ASC",
    {
        "logg": lambda text: int(text) / 10,
        "mh": _signed_code(0.1),
        "alpha": lambda text: 0.4 if text == "A" else 0.0,
        "sampling": lambda text: {"R20": 20000.0, "RVS": 11500.0, "RAV": 7500.0}.get(text, np.nan),
        "fluxed": lambda text: float(text == "F"),
    },
)

PHOENIX = Grammar(
    # the sign before log g separates: "-4.50" is log g = 4.5
    r"lte(?P<teff>\d{5})(?P<logg>[+-]\d\.\d\d)(?P<mh>[+-]\d\.\d)(?:\.Alpha=(?P<alpha>[+-]\d\.\d\d))?"
    r"\.PHOENIX-ACES-AGSS-COND-2011-HiRes\.fits",
    "lte05800-4.50-0.0.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits",
    {"logg": lambda text: 0.0 - float(text)},
)

COELHO = Grammar(
    rf"t(?P<teff>\d{{5}})_g(?P<logg>{_N})_(?P<mh>[mp]\d\d)(?P<alpha>[mp]\d\d)_hr\w*\.fits",
    "t06000_g+5.0_m05p00_hrplc.fits",
    {"mh": _signed_code(0.1), "alpha": _signed_code(0.1)},
)
