"""What the interpolation of cool spectra knows of TiO and CN."""

from dataclasses import replace

import numpy as np
import pytest

from rvsemu.library import Library
from rvsemu.training import molecules, structures
from rvsemu.training.interpolation import LibraryInterpolator
from rvsemu.training.molecules import molecule_features

NAMES = "teff", "logg", "mh", "alpha"
ATLAS9 = {"structures": "ATLAS9 ODFNEW (Castelli & Kurucz 2003)"}


def without_spectra(labels, names=NAMES, info=ATLAS9):
    return Library(np.array(labels), names, 8400 + np.arange(16.0), np.ones((len(labels), 16), "f4"), "air", info=info)


def features(labels):
    return molecule_features(without_spectra(labels), np.array(labels))


def test_only_atlas9_structures_are_known():
    library = without_spectra([[4000.0, 1, 0, 0]], info={"structures": "MARCS"})
    assert molecule_features(library, library.labels).shape == (1, 0)


def test_labels_that_a_library_does_not_have_are_solar():
    library = without_spectra([[3700.0, 1.5]], NAMES[:2])
    np.testing.assert_array_equal(molecule_features(library, library.labels), features([[3700.0, 1.5, 0, 0]]))


def test_molecules_vanish_in_hot_stars():
    strength = features([[3600.0, 1.0, 0, 0], [4700.0, 1.5, 0, 0], [9000.0, 4.0, 0.5, 0.4]])
    oxide, cyanogen = strength[:, :3], strength[:, 3:]
    assert (oxide[0] > 1).all() and (oxide[1] < 0.05).all() and (oxide[2] < 1e-3).all()
    assert (cyanogen[1] > 1).any() and (cyanogen[2] < 1e-3).all()


def test_oxide_needs_more_oxygen_than_carbon():
    """Solar C/O is 0.49 (Grevesse & Sauval 1998): with [alpha/M] = -0.35 there is as much carbon as oxygen."""
    labels = [[3600.0, 1.0, 0.0, alpha] for alpha in (-0.5, -0.3, 0.0, 0.4)]
    oxide, cyanogen = features(labels)[:, 1], features(labels)[:, 4]
    assert (np.diff(oxide) > 0).all() and (np.diff(cyanogen) < 0).all()
    assert oxide[0] < 0.1 < 3 < oxide[2]


@pytest.mark.parametrize("labels", [(3600, 0.5, 0.6, -0.1), (3500, 5.0, 0.5, 0.6), (4200, 2.0, -1.0, 0.4)])
def test_equilibrium_holds(labels):
    """All balances of the atoms solved at once, for the layer at optical depth 0.01."""
    library = without_spectra([labels])
    column = structures.labels_by_name(library, library.labels)
    table = structures.atlas9_table(library)
    temperature, pressure, electrons = 10 ** table.layers(column)[0, 1]
    constant = {name: molecules._constant(name, temperature) for name in molecules._CONSTANTS}
    free_electrons = electrons * 1.380649e-16 * temperature
    alpha = {"O": 8, "Si": 14, "Ti": 22}
    numbers = {"C": 6, "N": 7} | alpha
    shares = {k: table.abundances[z - 1] * 10 ** (labels[2] + labels[3] * (k in alpha)) for k, z in numbers.items()}
    ions = 1.333 * 1.9 * temperature**2.5 * 10 ** (-5040 * 6.82 / temperature) / free_electrons

    def bound(p):
        """Partial pressures of molecules."""
        out = {name: p[name[0]] ** 2 / constant[name] for name in ("H2", "N2")}
        pairs = {"OH": "OH", "CO": "CO", "CN": "CN", "SiO": ("Si", "O"), "TiO": ("Ti", "O")}
        out |= {name: p[a] * p[b] / constant[name] for name, (a, b) in pairs.items()}
        return out | {"H2O": p["H"] ** 2 * p["O"] / constant["H2O"], "TiO2": p["Ti"] * p["O"] ** 2 / constant["TiO2"]}

    content = {
        "H": {"H2": 2, "OH": 1, "H2O": 2},
        "C": {"CO": 1, "CN": 1},
        "N": {"N2": 2, "CN": 1},
        "O": {"OH": 1, "H2O": 1, "CO": 1, "SiO": 1, "TiO": 1, "TiO2": 2},
        "Si": {"SiO": 1},
        "Ti": {"TiO": 1, "TiO2": 1},
    }

    p = {"H": 0.1 * pressure} | {k: 1e-3 * x * pressure for k, x in shares.items()}
    for _ in range(2000):
        joined = bound(p)
        total = {k: p[k] * (1 + ions * (k == "Ti")) + sum(n * joined[m] for m, n in content[k].items()) for k in p}
        gas = p["H"] + joined["H2"] + table.abundances[1] * total["H"]
        wanted = {"H": (pressure - free_electrons) / gas} | {k: x * total["H"] / total[k] for k, x in shares.items()}
        p = {k: x * np.sqrt(wanted[k]) for k, x in p.items()}
    np.testing.assert_allclose(list(wanted.values()), 1, rtol=1e-9)
    continuum = free_electrons * p["H"] * 10 ** (0.754 * 5040 / temperature) * temperature**-2.5
    ratio = np.log10([bound(p)[name] / temperature / continuum for name in ("TiO", "CN")])
    expected = np.logaddexp(0, np.log(10) * (ratio - [molecules._WEAK[name][1] for name in ("TiO", "CN")]))
    np.testing.assert_allclose(features([labels])[0, [1, 4]], expected, rtol=0.03, atol=0.03)


def test_interpolator_follows_bands():
    """Spectra with bands as strong as TiO are met far better when the interpolator knows the equilibrium."""
    rng = np.random.default_rng(5)
    x = np.linspace(-1, 1, 60)

    def spectra(n):
        library = without_spectra(rng.uniform([3500, 0, 0, -0.2], [4200, 2, 0.8, 0.6], (n, 4)))
        oxide = molecule_features(library, library.labels)[:, 1:2]
        flux = np.exp(-0.3 * oxide * np.exp(-((x / 0.3) ** 2)))
        return replace(library, wavelength=8400 + np.arange(60.0), flux=flux.astype("f4"))

    library, others = spectra(250), spectra(200)
    rms = []
    for info in (ATLAS9, {}):
        interpolator = LibraryInterpolator(replace(library, info=info), evaluations=120)
        rms.append(np.sqrt(np.mean((interpolator(others.labels) - others.flux) ** 2)))
    assert rms[0] < 0.2 * rms[1]
