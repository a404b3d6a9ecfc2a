"""How strong TiO and CN are in the atmospheres of a library: where spectra of cool stars change all at once.

TiO is made of the oxygen that CO leaves over. Where there is hardly more oxygen than carbon, a few tenths of a dex in
[alpha/M] change it by orders of magnitude, as a few hundred kelvin do. `molecule_features` gives a smooth interpolator
what follows from the chemical equilibrium, so that it need not find this from spectra.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..library import Library
from .structures import atlas9_table, labels_by_name

__all__ = ["molecule_features"]

_CONSTANTS = {  # log10 of p(A) p(B) / p(AB), dyn/cm2, or of p(H)^2 p(O) / p(H2O): powers of 5040 K / T
    "H2": (12.7388, -5.12717, 0.125720, -0.0141494, 6.30214e-4),
    "H2O": (25.4204, -10.5223, 0.169394, -0.0183684, 8.17296e-4),
    "OH": (12.3710, -5.06783, 0.138217, -0.0165474, 7.72245e-4),
    "CO": (13.8200, -11.7953, 0.172167, -0.0228885, 1.13491e-3),
    "CN": (12.8051, -8.14934, 0.0641622, -7.36267e-3, 3.46663e-4),
    "N2": (13.5903, -10.5855, 0.220671, -0.0299975, 1.49927e-3),
    "SiO": (13.4132, -8.89098, 0.150424, -0.0195811, 9.48283e-4),
    "TiO": (13.3981, -8.17562, 0.408726, -0.0579369, 2.92873e-3),
    "TiO2": (27.9010, -14.0306, 0.421564, -0.0612710, 3.14765e-3),
}
"""Tsuji (1973, A&A 23, 411), as in the table ``tsuji.molec`` of SYNSPEC 54."""
_NUMBERS = {"He": 2, "C": 6, "N": 7, "O": 8, "Si": 14, "Ti": 22}
_ALPHA = ("O", "Si", "Ti")
_BOLTZMANN = 1.380649e-16  # erg/K
_IONISED = 6.82, 1.9  # eV, of Ti, and the ratio of the partition functions of Ti II and Ti I
_HYDRIDE = 0.754  # eV: electron affinity of hydrogen, whose negative ion is the continuous opacity
_WEAK = {"TiO": (-3.5, -4.7, -5.7), "CN": (-3.0, -3.0, -3.0)}
"""log10 of line over continuous opacity (as `_opacities` has it) in each layer, where lines appear."""
_HALVINGS = 50
_DECADES = 40.0


def molecule_features(library: Library, labels: np.ndarray) -> np.ndarray:
    """Logarithms of 1 + the strengths of TiO and CN.

    Parameters
    ----------
    library : Library
        Its provenance says which structures it has.
    labels : ndarray, shape (n, n_labels)
        In the library's order and units.

    Returns
    -------
    ndarray, shape (n, k)
        For the ATLAS9 structures of Castelli & Kurucz (2003): TiO at Rosseland optical depths of 0.001, 0.01 and 0.1,
        and CN at the same. For others k is 0.

    Notes
    -----
    Equilibrium of H, H2, H2O, OH, CO, SiO, TiO, TiO2, CN, N2 and ionised Ti, at the temperature, pressure and electron
    density of the structure. It is that of SYNSPEC but for the molecules that matter little for these two: the features
    say where spectra change, not by how much.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.library import Library
    >>> from rvsemu.training.molecules import molecule_features
    >>> labels = np.array([[3600.0, 1.0, -0.2], [3600.0, 1.0, 0.2], [6000.0, 1.0, 0.2]])
    >>> grid = np.arange(8400, 8800, 0.1), np.ones((3, 4000), "f4")
    >>> library = Library(labels, ("teff", "logg", "alpha"), *grid, "air", info={"structures": "ATLAS9 ODFNEW"})
    >>> molecule_features(library, labels)[:, 2].round(1)  # TiO: more oxygen is left, and none in hot stars
    array([2.6, 4.8, 0. ])
    """
    table = atlas9_table(library)
    if table is None:
        return np.empty((len(labels), 0))
    label = labels_by_name(library, labels)
    temperature, pressure, electrons = 10.0 ** np.moveaxis(table.layers(label), -1, 0)  # each (n, 3)
    metals, alpha = (10.0 ** label[name][:, None] for name in ("mh", "alpha"))
    solar = {name: table.abundances[number - 1] for name, number in _NUMBERS.items()}
    atoms = {name: x * metals * (alpha if name in _ALPHA else 1.0) for name, x in solar.items() if name != "He"}
    opacities = _opacities(temperature, pressure, electrons, solar["He"], atoms)
    ratios = [opacity - np.array(_WEAK[name]) for name, opacity in opacities.items()]
    return np.logaddexp(0.0, np.log(10.0) * np.concatenate(ratios, axis=1))


def _opacities(temperature, pressure, electrons, helium, atoms: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """log10 of number densities of TiO and CN over the continuous opacity, but for constant factors.

    The opacity is that of negative ions of hydrogen. All arrays have one shape; `atoms` are numbers per hydrogen atom.
    """
    constant = {name: _constant(name, temperature) for name in _CONSTANTS}
    of_electrons = electrons * _BOLTZMANN * temperature
    hydrogen, nuclei = _hydrogen(pressure - of_electrons, constant["H2"], helium)
    every = {name: x * nuclei for name, x in atoms.items()}  # partial pressures if nothing were bound
    oxygen = _oxygen(hydrogen, every, constant)
    carbon = every["C"] / (1.0 + oxygen / constant["CO"])
    nitrogen = 2.0 * every["N"] / (1.0 + np.sqrt(1.0 + 8.0 * every["N"] / constant["N2"]))
    energy, ratio = _IONISED
    ions = 2.0 * 0.6665 * ratio * temperature**2.5 * 10.0 ** (-5040.0 / temperature * energy) / of_electrons
    bound = oxygen / constant["TiO"] + oxygen**2 / constant["TiO2"]
    oxide = every["Ti"] / (1.0 + ions + bound) * oxygen / constant["TiO"]
    continuum = of_electrons * hydrogen * 10.0 ** (_HYDRIDE * 5040.0 / temperature) * temperature**-2.5
    return {
        "TiO": np.log10(oxide / temperature / continuum),
        "CN": np.log10(carbon * nitrogen / constant["CN"] / temperature / continuum),
    }


def _constant(name: str, temperature: np.ndarray) -> np.ndarray:
    """Dissociation constant, dyn/cm2 or, of three atoms, its square."""
    return 10.0 ** np.polynomial.polynomial.polyval(5040.0 / temperature, _CONSTANTS[name])


def _hydrogen(pressure, constant, helium) -> tuple[np.ndarray, np.ndarray]:
    """Partial pressures of atomic hydrogen, and of all its nuclei if they were free: the gas is H, H2 and helium."""
    linear, square = 1.0 + helium, (1.0 + 2.0 * helium) / constant
    atoms = 2.0 * pressure / (linear + np.sqrt(linear**2 + 4.0 * square * pressure))
    return atoms, atoms + 2.0 * atoms**2 / constant


def _oxygen(hydrogen, every, constant) -> np.ndarray:
    """Partial pressure of free oxygen, which hydrogen, carbon and silicon bind: by halving an interval."""
    alone = 1.0 + hydrogen / constant["OH"] + hydrogen**2 / constant["H2O"]
    high = np.log10(every["O"])
    low = high - _DECADES
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        free = 10.0**middle
        bound = (every[x] * free / (constant[x + "O"] + free) for x in ("C", "Si"))
        above = free * alone + sum(bound) > every["O"]
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 10.0 ** ((low + high) / 2.0)
