"""He I lines of the RVS range, which the Gaia-ESO line list does not have, from quantum-defect theory.

All of them end on Rydberg levels (n = 8 to 15), where one electron moves in the Coulomb field of a small core:
term energies follow from quantum defects, oscillator strengths from Coulomb wave functions to one per cent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...physics.wavelengths import vacuum_to_air

__all__ = ["HeliumLine", "coulomb_gf", "helium_lines", "term_energy"]

IONISATION = 198310.6663
"""cm-1, of He I from its ground state (NIST Atomic Spectra Database)."""

RYDBERG = 109722.2736
"""cm-1, for the mass of 4He."""

QUANTUM_DEFECTS = {  # (multiplicity, l): delta_0, delta_2
    (1, 0): (0.1397181, 0.0278357),
    (3, 0): (0.2966565, 0.0382967),
    (1, 1): (-0.0121418, 0.0075191),
    (3, 1): (0.0683536, -0.0186338),
    (1, 2): (0.0021134, -0.0030901),
    (3, 2): (0.0028907, -0.0063576),
    (1, 3): (0.0004403, -0.0016894),
    (3, 3): (0.0004449, -0.0016927),
}
"""Drake (2006, Springer Handbook of Atomic, Molecular, and Optical Physics, ch. 11); triplets averaged over J."""

LOWER = {  # (multiplicity, l): cm-1
    (1, 0): 184864.829,
    (3, 0): 183236.792,
    (1, 1): 186209.365,
    (3, 1): 185564.60,
    (1, 2): 186104.967,
    (3, 2): 186101.556,
}
"""Terms of n = 3 (NIST Atomic Spectra Database, triplets averaged over J): for these, two terms of the quantum
defect are off by up to 2 cm-1, for the Rydberg levels by less than 0.02."""

LOWER_N = 3
HIGHEST_N = 15  # at 10^14.5 electrons per cm3 the levels above have merged (Inglis & Teller 1939)

_HOLTSMARK = 1.25e-9  # normal field strength / electrons^(2/3), cgs
_DIPOLE = 2.5417e-18  # e a_0, cgs
_WAVENUMBER = 1.986446e-16  # h c, erg cm
_DENSITY = 1e14  # electrons per cm3 at which the Lorentz width is that of the linear Stark effect
_SPEED = 2.99792458e10


@dataclass(frozen=True)
class HeliumLine:
    """One multiplet: air wavelength in Angstrom, energies in cm-1, log10 of the Stark width (rad/s per electron)."""

    name: str
    wavelength: float
    log_gf: float
    lower: float
    lower_weight: int
    upper: float
    upper_weight: int
    log_stark: float


def helium_lines(low: float, high: float) -> list[HeliumLine]:
    """The allowed multiplets from n = 3 between `low` and `high` (Angstrom, air), by wavelength.

    Examples
    --------
    >>> from rvsemu.library.synthesis.helium import helium_lines
    >>> for line in helium_lines(8580, 8583):
    ...     print(line.name, round(line.wavelength, 1))
    3d 3D - 14f 3F 8581.9
    3p 3P - 10d 3D 8582.6
    """
    candidates = (
        _line(multiplicity, l, n, m)
        for multiplicity in (1, 3)
        for l in range(LOWER_N)  # noqa: E741 (the field's name)
        for m in (l - 1, l + 1)
        if m >= 0
        for n in range(LOWER_N + 1, HIGHEST_N + 1)
    )
    return sorted((x for x in candidates if low < x.wavelength < high), key=lambda x: x.wavelength)


def term_energy(multiplicity: int, n: int, l: int) -> float:  # noqa: E741
    """Energy of the term 1s nl above the ground state, cm-1: Ritz formula with two terms of the defect.

    Examples
    --------
    >>> from rvsemu.library.synthesis.helium import term_energy
    >>> round(term_energy(3, 10, 2))             # 1s 10d 3D, cm-1
    197213
    """
    return IONISATION - RYDBERG / _effective(multiplicity, n, l) ** 2


def coulomb_gf(multiplicity: int, n: int, l: int, upper_n: int, upper_l: int) -> float:  # noqa: E741
    """gf of the multiplet 1s nl - 1s n'l' in the Coulomb approximation (Bates & Damgaard 1949).

    ``gf = (2S + 1) max(l, l') (dE / 3 Ry) R^2`` with the radial integral R of two Coulomb functions that
    decay at infinity, at the effective quantum numbers of the levels (Cowan 1981, sect. 14-10).

    Examples
    --------
    >>> from rvsemu.library.synthesis.helium import coulomb_gf
    >>> print(coulomb_gf(3, 3, 1, 10, 2).round(3))  # 3p 3P - 10d 3D
    0.069
    """
    a, b = _effective(multiplicity, n, l), _effective(multiplicity, upper_n, upper_l)
    energy = term_energy(multiplicity, upper_n, upper_l) - term_energy(multiplicity, n, l)
    return multiplicity * max(l, upper_l) * energy / RYDBERG / 3 * _radial_integral(a, l, b, upper_l) ** 2


def _effective(multiplicity, n, l):  # noqa: E741
    first, second = QUANTUM_DEFECTS[multiplicity, l] if l <= 3 else (0.0, 0.0)
    defect = first
    for _ in range(5):
        defect = first + second / (n - defect) ** 2
    return n - defect


def _radial_integral(a, l, b, m) -> float:  # noqa: E741
    """Integral of P_a r P_b dr in Bohr radii."""
    x = np.linspace(np.sqrt(0.05), np.sqrt(4 * max(a, b) ** 2 + 60 * max(a, b)), 20001)
    r = x**2
    p, q = _coulomb(x, a, l), _coulomb(x, b, m)

    def integral(f):  # dr = 2 x dx
        return np.sum(f * 2 * x) * (x[1] - x[0])

    return integral(p * q * r) / np.sqrt(integral(p**2) * integral(q**2))


def _coulomb(x, nu, l):  # noqa: E741
    """P(r) of an electron of energy -1 / (2 nu^2) around a unit charge, r = x^2, not normalised.

    With P = sqrt(x) y the equation becomes y'' = k y without a first derivative; Numerov's method from outside
    inwards keeps to the solution that decays. Inside the classically forbidden core it would blow up for a
    non-integer nu, so it is cut off at the inner minimum of its size.
    """
    r = x**2
    k = 4 * r * (l * (l + 1) / r**2 - 2 / r + 1 / nu**2) + 0.75 / r
    f = 1 - k * (x[1] - x[0]) ** 2 / 12
    y = np.zeros(len(x))
    begin = np.searchsorted(x, np.sqrt(2 * nu**2 + 15 * nu) * 1.15)
    begin = min(begin, len(x) - 2)
    y[begin], y[begin - 1] = 1e-30, 1.1e-30
    for i in range(begin - 1, 0, -1):
        y[i - 1] = ((12 - 10 * f[i]) * y[i] - f[i + 1] * y[i + 1]) / f[i - 1]
    p = np.sqrt(x) * y
    if l:
        turning = nu**2 * (1 - np.sqrt(max(0.0, 1 - l * (l + 1) / nu**2)))
        inside = r < turning
        if inside.any():
            p[: np.argmin(np.abs(p[inside])) + 1] = 0.0
    return p


def _line(multiplicity, l, n, m) -> HeliumLine:  # noqa: E741
    lower, upper = LOWER[multiplicity, l], term_energy(multiplicity, n, m)
    letters = "SPDFG"
    return HeliumLine(
        name=f"3{letters[l].lower()} {multiplicity}{letters[l]} - {n}{letters[m].lower()} {multiplicity}{letters[m]}",
        wavelength=float(vacuum_to_air(1e8 / (upper - lower))),
        log_gf=float(np.log10(coulomb_gf(multiplicity, LOWER_N, l, n, m))),
        lower=lower,
        lower_weight=multiplicity * (2 * l + 1),
        upper=upper,
        upper_weight=multiplicity * (2 * m + 1),
        log_stark=_log_stark(n) if m >= 2 else 0.0,
    )


def _log_stark(n) -> float:
    """Lorentz width per electron of a level whose sublevels are nearly degenerate (l >= 2), log10 rad/s cm3.

    The full width is twice the linear Stark displacement 3/2 n (n - 1) e a_0 F of the outermost component in
    the normal field F of Holtsmark (1919) at 10^14 electrons per cm3. A Lorentz profile grows with the density,
    not with its power 2/3, and has no structure: an approximation, good to a factor of two.
    """
    displacement = 1.5 * n * (n - 1) * _DIPOLE * _HOLTSMARK * _DENSITY ** (2 / 3) / _WAVENUMBER
    return float(np.log10(2 * np.pi * _SPEED * 2 * displacement / _DENSITY))
