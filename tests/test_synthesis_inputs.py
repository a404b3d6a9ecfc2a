"""What spectra are made of: He I, line lists, model atmospheres."""

import gzip
import math
from fractions import Fraction

import numpy as np
import pytest
from astropy.table import Table
from synthesis_fixtures import structures

from rvsemu.errors import SynthesisError
from rvsemu.library.synthesis.helium import LOWER, QUANTUM_DEFECTS, coulomb_gf, helium_lines, term_energy
from rvsemu.library.synthesis.lines import ISOTOPES, abo_width, write_atoms, write_molecules
from rvsemu.library.synthesis.structures import read_grid
from rvsemu.library.synthesis.titanium import titanium_oxide


# ---------------------------------------------------------------------- He I
@pytest.mark.parametrize(
    ("multiplicity", "lower", "upper", "probability", "accuracy"),
    [  # 1/s: Drake (1996, Atomic, Molecular, and Optical Physics Handbook, ch. 11), as in Cloudy's he_transprob.dat
        (3, (3, 1), (9, 2), 5.7759e5, 0.01),  # four lines of the RVS range
        (3, (3, 1), (10, 2), 4.1928e5, 0.01),
        (3, (3, 1), (10, 0), 2.7471e5, 0.01),
        (1, (3, 0), (8, 1), 2.62525e5, 0.01),
        (3, (3, 2), (10, 3), 3.6015e5, 0.01),  # lower members of the other series there
        (1, (3, 2), (10, 3), 3.59221e5, 0.01),
        (3, (3, 2), (10, 1), 2.6571e4, 0.01),
        (1, (3, 2), (10, 1), 1.23885e4, 0.01),
        (1, (3, 1), (10, 2), 3.68097e5, 0.01),
        (1, (3, 1), (10, 0), 2.19998e5, 0.01),
        (3, (2, 1), (3, 2), 7.0708e7, 0.035),  # lines from n = 2, with more of the core
        (3, (2, 1), (4, 2), 2.4579e7, 0.035),
        (3, (2, 1), (5, 2), 1.1601e7, 0.035),
        (3, (2, 1), (3, 0), 2.7853e7, 0.035),
    ],
)
def test_helium_strengths_are_those_of_the_tables(multiplicity, lower, upper, probability, accuracy):
    wavelength = 1e8 / (term_energy(multiplicity, *upper) - term_energy(multiplicity, *lower))  # Angstrom, vacuum
    gf = 1.49919e-16 * wavelength**2 * multiplicity * (2 * upper[1] + 1) * probability
    assert coulomb_gf(multiplicity, *lower, *upper) == pytest.approx(gf, rel=accuracy)


def hydrogen_f(n, l, upper_n, upper_l):  # noqa: E741
    """Absorption oscillator strength of hydrogen in whole numbers, from r^(l+1) exp(-r/n) L^(2l+1)_(n-l-1)(2r/n)."""

    def radial(n, l):  # noqa: E741
        return {
            l + 1 + k: Fraction((-1) ** k * math.comb(n + l, n - l - 1 - k), math.factorial(k)) * Fraction(2, n) ** k
            for k in range(n - l)
        }

    def integral(p, q, decay, power=0):
        return sum(
            a * b * math.factorial(i + j + power) / decay ** (i + j + power + 1)
            for i, a in p.items()
            for j, b in q.items()
        )

    p, q = radial(n, l), radial(upper_n, upper_l)
    norm = integral(p, p, Fraction(2, n)) * integral(q, q, Fraction(2, upper_n))
    squared = integral(p, q, Fraction(1, n) + Fraction(1, upper_n), 1) ** 2 / norm
    energy = Fraction(1, n**2) - Fraction(1, upper_n**2)
    return float(Fraction(max(l, upper_l), 3 * (2 * l + 1)) * energy * squared)


@pytest.mark.parametrize("n", [4, 9, 15])
def test_without_quantum_defects_helium_is_hydrogen(n, monkeypatch):
    monkeypatch.setattr("rvsemu.library.synthesis.helium.QUANTUM_DEFECTS", dict.fromkeys(QUANTUM_DEFECTS, (0.0, 0.0)))
    assert hydrogen_f(1, 0, 2, 1) == pytest.approx(2**13 / 3**9)  # 0.4162, Lyman alpha
    for l, m in ((0, 1), (1, 0), (1, 2), (2, 1), (2, 3)):  # noqa: E741
        assert coulomb_gf(1, 3, l, n, m) / (2 * l + 1) == pytest.approx(hydrogen_f(3, l, n, m), rel=2e-5)


def test_helium_lines_are_where_they_are_observed():
    lines = helium_lines(8380, 8820)
    found = {line.name: line.wavelength for line in lines}
    expected = {  # Angstrom, air
        "3s 1S - 8p 1P": 8518.037,  # from levels of the NIST Atomic Spectra Database, averaged over J
        "3p 3P - 10d 3D": 8582.645,
        "3p 3P - 10s 3S": 8632.737,
        "3p 3P - 9d 3D": 8776.735,
        "3d 3D - 14f 3F": 8581.87,  # identified in nebulae: the list of NEAT (Wesson, Stock & Scicluna 2012)
        "3p 1P - 15d 1D": 8608.31,
        "3d 3D - 13f 3F": 8648.25,
        "3d 3D - 12f 3F": 8733.43,
        "3p 1P - 12d 1D": 8816.64,
    }
    for name, wavelength in expected.items():
        assert found[name] == pytest.approx(wavelength, abs=0.03), name
    assert [x.wavelength for x in lines] == sorted(x.wavelength for x in lines)
    assert max(lines, key=lambda x: x.log_gf).name == "3p 3P - 9d 3D"
    assert all(8380 < x.wavelength < 8820 for x in lines)


def test_helium_terms():
    """NIST Atomic Spectra Database, cm-1, averaged over J and rounded."""
    rydberg = {  # (multiplicity, l): n = 8, 9, 10
        (1, 0): (196534.56, 196912.90, 197182.06),
        (3, 0): (196461.36, 196861.99, 197145.23),
        (1, 1): (196601.40, 196959.69, 197216.09),
        (3, 1): (196566.71, 196935.33, 197198.33),
        (1, 2): (196595.37, 196955.45, 197212.99),
        (3, 2): (196595.06, 196955.23, 197212.82),
        (1, 3): (196596.08, 196955.95, 197213.35),
        (3, 3): (196596.08, 196955.94, 197213.35),
    }
    for (multiplicity, l), energies in rydberg.items():  # noqa: E741
        found = [term_energy(multiplicity, n, l) for n in (8, 9, 10)]
        assert found == pytest.approx(energies, abs=0.015)
    lower = {(1, 0): 184864.83, (3, 0): 183236.79, (1, 1): 186209.36, (3, 1): 185564.60, (1, 2): 186104.97}
    lower[3, 2] = 186101.55
    assert lower == pytest.approx(LOWER, abs=0.01)


# ---------------------------------------------------------------------- line lists
@pytest.mark.parametrize(("sigma", "alpha", "z", "mass"), [(291, 0.275, 20, 40.08), (407, 0.273, 11, 22.99)])
def test_abo_width_is_the_mean_over_the_velocities(sigma, alpha, z, mass):
    """Twice the mean of v sigma(v) over a Maxwell distribution at 10^4 K, sigma(v) = sigma (v / 10 km/s)^-alpha."""
    reduced = mass * 1.008 / (mass + 1.008) * 1.66054e-24  # g
    thermal = np.sqrt(1.380649e-16 * 1e4 / reduced)  # cm/s
    v = np.linspace(0, 12, 200001)[1:] * thermal
    density = np.sqrt(2 / np.pi) * v**2 / thermal**3 * np.exp(-0.5 * (v / thermal) ** 2)
    rate = density * v * sigma * 5.29177e-9**2 * (v / 1e6) ** -alpha
    assert abo_width(sigma, alpha, z) == pytest.approx(np.log10(2 * np.sum(rate) * (v[1] - v[0])), abs=1e-3)


@pytest.mark.parametrize(
    ("sigma", "alpha", "z", "width"),
    [  # Barklem, Piskunov & O'Mara (2000, A&AS 142, 467), as in MOOG's Barklem.dat
        (407, 0.273, 11, -7.526),  # Na I 5889.95
        (480, 0.231, 7, -7.442),  # N I 8683.40
        (291, 0.275, 20, -7.675),  # Ca II 8542.09
        (253, 0.245, 26, -7.731),  # Fe I 8688.62
        (158, 0.202, 26, -7.927),  # Fe II 8465.97
    ],
)
def test_abo_widths_are_those_of_the_tables(sigma, alpha, z, width):
    assert abo_width(sigma, alpha, z) == pytest.approx(width, abs=0.002)


GAIA_ESO = """'  26.000            '    1         4
'Fe I    LTE'
  8379.500  4.000 -1.000 0.000    5.0  1.00E+08 'x' 'x'   0.0    1.0 'outside'
  8400.000  2.000 -1.250 0.000    5.0  1.00E+08 'x' 'x'   0.0    1.0 'classical'
  8500.000  3.000 -2.500 -7.550   7.0  0.00E+00 'x' 'x'   0.0    1.0 'given'
  8600.000  3.500 -0.500 734.243  9.0  2.00E+08 'x' 'x'   0.0    1.0 'ABO'
'  20.000            '    2         1
'Ca II   LTE'
  8542.091  1.700 -0.463 291.275  4.0  1.50E+08 'x' 'x'   0.0    1.0 'ABO'
"""


def test_atoms_from_the_gaia_eso_list(tmp_path):
    (tmp_path / "list").write_text(GAIA_ESO)
    assert write_atoms(tmp_path / "list", tmp_path / "atoms", 8380, 8820, helium=False) == 4
    rows = [line.split() for line in (tmp_path / "atoms").read_text().splitlines()]
    assert [r[1] for r in rows] == ["26.00", "26.00", "20.01", "26.00"]
    assert [float(r[0]) for r in rows] == [840.0, 850.0, 854.2091, 860.0]
    calcium = [float(x) for x in rows[2]]
    assert calcium[2:5] == [-0.463, pytest.approx(1.7 * 8065.544, abs=1e-3), 0.0]
    assert calcium[5] - calcium[3] == pytest.approx(1e8 / 8544.438, abs=0.01)  # vacuum
    assert calcium[6:] == [1.5, 8.18, 0.0, pytest.approx(abo_width(291, 0.275, 20), abs=0.005), 0]
    assert [float(r[9]) for r in rows] == [0.0, -7.55, -7.68, pytest.approx(abo_width(734, 0.243, 26), abs=0.005)]
    assert [float(r[7]) for r in rows] == [8.0, 0.0, 8.18, 8.30]


ISOTOPIC = """'  60.142            '    2         1
'Nd II   LTE'
  8643.731  1.200 -1.290 0.000    5.0  1.00E+08 'x' 'x'   0.0    1.0 'x'
'  60.145            '    2         1
'Nd II   LTE'
  8643.731  1.200 -1.290 0.000    5.0  1.00E+08 'x' 'x'   0.0    1.0 'x'
'  22.000            '    1         1
'Ti I    LTE'
  8682.980  1.053 -1.941 0.000    5.0  1.00E+08 'x' 'x'   0.0    1.0 'x'
"""


def test_isotopes_share_the_strength_of_a_line(tmp_path):
    # the list repeats a line with the gf of the whole element for each isotope
    (tmp_path / "list").write_text(ISOTOPIC)
    write_atoms(tmp_path / "list", tmp_path / "atoms", 8380, 8820, helium=False)
    rows = [line.split() for line in (tmp_path / "atoms").read_text().splitlines()]
    gf = {"60.01": [], "22.00": []}
    for row in rows:
        gf[row[1]].append(float(row[2]))
    shares = -1.290 + np.log10([0.0829, 0.272])  # 145Nd, 142Nd
    assert sorted(gf["60.01"]) == pytest.approx(shares, abs=2e-3)
    assert gf["22.00"] == [-1.941]


@pytest.mark.parametrize("element", ISOTOPES)
def test_shares_of_isotopes_add_up(element):
    assert sum(ISOTOPES[element].values()) == pytest.approx(1.0, abs=2e-4)


def test_isotope_of_unknown_share(tmp_path):
    (tmp_path / "list").write_text(ISOTOPIC.replace("60.145", "64.158"))
    with pytest.raises(SynthesisError, match="isotope 158 of the element 64, whose share is not known"):
        write_atoms(tmp_path / "list", tmp_path / "atoms", 8380, 8820, helium=False)


def test_helium_joins_the_atoms(tmp_path):
    (tmp_path / "list").write_text(GAIA_ESO)
    n = write_atoms(tmp_path / "list", tmp_path / "atoms", 8380, 8820)
    rows = [line.split() for line in (tmp_path / "atoms").read_text().splitlines()]
    assert len(rows) == n == 4 + len(helium_lines(8380, 8820))
    wavelengths = [float(r[0]) for r in rows]
    assert wavelengths == sorted(wavelengths)
    assert all(len(r) == 11 for r in rows)


def test_molecules_from_moog(tmp_path):
    with gzip.open(tmp_path / "cn.gz", "wt") as file:
        file.write("a title\n  8370.0 607.01214 0.5 -2.0 7.7\n  8400.037 607.01314  0.585 -2.767 7.724 0402Rc0195\n")
        file.write("  8399.000 607.01214  1.000 -1.000 7.724\n  8500.000 607.01215  1.000 -1.000 7.724\n")
    assert write_molecules("CN", tmp_path / "cn.gz", tmp_path / "cn", 8380, 8820) == 3
    rows = [[float(x) for x in line.split()] for line in (tmp_path / "cn").read_text().splitlines()]
    assert all(len(r) == 4 for r in rows)  # a fifth column would be read as a width
    assert [r[0] for r in rows] == [839.9, 840.0037, 850.0]
    weighted = np.array([-1.0, -2.767 + np.log10(0.0108), -1 + np.log10(0.0037)]) + np.log10(3)  # states of spin of 14N
    assert [r[2] for r in rows] == pytest.approx(weighted, abs=6e-4)
    assert rows[0][3] == pytest.approx(8065.544, abs=1e-3)


def band_of_titanium_oxide(mass, vibration, more, shift):
    """Wavelength (Angstrom), log gf and lower energy (eV) of lines of a made-up band of an isotopologue, (n, 3)."""
    atomic = {46: 45.952628, 47: 46.951759, 48: 47.947942, 49: 48.947866, 50: 49.944787}[mass]
    scale = 12.0 * (atomic + 15.994915) / (atomic * 15.994915)  # of 1 / reduced mass
    j = np.arange(5, 90.0)

    def level(origin, stretch, v, turn):  # cm-1: harmonic and anharmonic vibration, rotation, centrifugal distortion
        v += 0.5
        terms = stretch * v * np.sqrt(scale) - 4.5 * v**2 * scale, turn * j * (j + 1) * scale
        return origin + sum(terms) - 6e-7 * (j * (j + 1) * scale) ** 2

    lower, upper = (
        level(0.0, 1009.0, vibration, 0.535),
        level(12000.0 - 850.0 * more + shift, 867.0, vibration + more, 0.507),
    )
    return np.stack([1e8 / (upper - lower), np.log10(j / 40) - 0.3 * vibration, lower / 8065.544], axis=1).round(3)


BANDS = [(v, more, 31.0 * k + 70.0 * v) for v in range(4) for more in (0, 1, 3) for k in range(3)]


@pytest.fixture(scope="module")
def isotopologues():
    """All of made-up bands, by mass number."""
    masses = (46, 47, 48, 49, 50)
    return {mass: np.concatenate([band_of_titanium_oxide(mass, *band) for band in BANDS]) for mass in masses}


def test_the_missing_isotopologue_is_between_the_others(isotopologues):
    missing = isotopologues[48]
    found = titanium_oxide({mass: rows for mass, rows in isotopologues.items() if mass != 48})
    moved = np.abs(isotopologues[49] - isotopologues[47])[:, 0]
    assert moved.max() > 7 and moved.min() < 1  # far more than lines are apart
    assert len(found[48]) > 0.98 * len(missing)
    got, expected = (rows[np.lexsort(rows[:, [0, 2]].round(2).T)] for rows in (found[48], missing))
    near = np.abs(got[:, None, 0] - expected[:, 0]).argmin(axis=1)
    difference = np.abs(got - expected[near])
    assert np.median(difference[:, 0]) < 0.003 and np.quantile(difference[:, 0], 0.98) < 0.02  # Angstrom
    assert np.quantile(difference[:, 2], 0.98) < 0.002  # eV
    shares = got[:, 1] - expected[near, 1]
    assert np.median(shares) == pytest.approx(np.log10(0.7372), abs=2e-3)
    total = sum(np.sum(10 ** rows[:, 1]) for rows in found.values())
    assert total == pytest.approx(np.sum(10 ** missing[:, 1]), rel=0.01)  # every titanium atom counts once


def test_lines_without_counterparts_stand_in():
    found = titanium_oxide({mass: np.array([[8400.0 + 60 * i, 0.0, 1.0]]) for i, mass in enumerate((46, 47, 49, 50))})
    assert len(found[48]) == 0
    gf = {mass: 10 ** rows[0, 1] for mass, rows in found.items() if mass != 48}
    assert gf == pytest.approx({46: 0.0825, 47: 0.0744 + 0.3686, 49: 0.0541 + 0.3686, 50: 0.0518})


def test_titanium_oxide_from_moog(tmp_path, isotopologues):
    rows = [(x, f"822.016{mass} {e:9.3f} {gf:9.3f} 7.0") for mass, of in isotopologues.items() for x, gf, e in of]
    with gzip.open(tmp_path / "tio.gz", "wt") as file:
        file.writelines(f"  {x:.3f} {text}\n" for x, text in sorted(rows) if "82201648" not in text.replace(".", ""))
    low, high = 8500.0, 8560.0
    count = write_molecules("TiO", tmp_path / "tio.gz", tmp_path / "tio", low, high)
    written = np.array([line.split() for line in (tmp_path / "tio").read_text().splitlines()], dtype=float)
    assert len(written) == count and written[:, 0].min() > low / 10 and written[:, 0].max() < high / 10
    assert (np.diff(written[:, 0]) >= 0).all()
    inside = isotopologues[48][(isotopologues[48][:, 0] > low + 0.1) & (isotopologues[48][:, 0] < high - 0.1)]
    nearest = np.abs(10 * written[:, 0] - inside[:, :1]).min(axis=1)
    assert np.quantile(nearest, 0.95) < 0.01  # partners beyond the range are known, too


# ---------------------------------------------------------------------- structures
def test_structures_interpolate_between_nodes():
    grid = structures()
    node = grid.at(8000, 3, 0)
    np.testing.assert_allclose(node.temperature, 8000 * np.arange(1, 5) ** 0.3)
    middle = grid.at(8000, 4.0, -1.25)
    np.testing.assert_allclose(middle.pressure, node.column_mass * 1e4)
    np.testing.assert_allclose(middle.electrons, 1e12 * np.arange(1, 5) * 10**-0.625)
    cooler = grid.at(5750, 3, 0)
    np.testing.assert_allclose(cooler.temperature, np.sqrt(3500 * 8000) * np.arange(1, 5) ** 0.3)


def test_beyond_the_grid_the_nearest_edge_is_used_and_said():
    grid = structures()
    np.testing.assert_array_equal(grid.at(8000, 3, 1.2).electrons, grid.at(8000, 3, 0.5).electrons)
    assert [grid.extrapolated(8000, 3, mh) for mh in (-2.5, 0.5, 0.51)] == [False, False, True]
    assert [grid.extrapolated(t, 2.2, 0) for t in (3600, 8000, 8001, 14000)] == [False, False, True, True]
    assert [grid.extrapolated(t, 3, 0) for t in (3499, 3500, 15000, 15001)] == [True, False, False, True]
    assert [grid.extrapolated(8000, logg, 0) for logg in (5.0, 5.01)] == [False, True]
    assert grid.composition(1.2)[25] == pytest.approx(3.2e-5 * 10**1.2)
    np.testing.assert_array_equal(grid.composition(1.2)[:2], grid.abundances[:2])
    for name in ("temperature", "pressure"):
        np.testing.assert_array_equal(getattr(grid.at(20000, 2.2, 0), name), getattr(grid.at(15000, 2.5, 0), name))


def test_structures_between_solar_and_enhanced_alpha_elements():
    """Linear in [alpha/M] in the logarithms, the nearest ones beyond; abundances as they are asked for."""
    grid = structures()
    for alpha, power in ((-0.2, 0.0), (0.0, 0.0), (0.1, 0.03), (0.4, 0.12), (0.6, 0.12)):
        np.testing.assert_allclose(grid.at(6000, 3, 0, alpha).electrons, 1e12 * np.arange(1, 5) * 10**power)
        assert grid.extrapolated(6000, 3, 0, alpha) == (alpha in (-0.2, 0.6))
    abundances = grid.composition(-1.0, 0.3)
    np.testing.assert_allclose(abundances[[1, 19, 25]], [0.085, 2.3e-6 * 10**-0.7, 3.2e-6])


def test_lowest_gravity_is_that_of_both_neighbours():
    assert [structures().lowest(t) for t in (3500, 7999, 8000, 8001, 15000, 20000)] == [1.0, 1.0, 1.0, 2.5, 2.5, 2.5]


def test_structures_file(tmp_path):
    grid = structures()
    grid.save(tmp_path / "s.npz")
    again = type(grid).load(tmp_path / "s.npz")
    np.testing.assert_array_equal(again.at(5000, 2, 0.3).pressure, grid.at(5000, 2, 0.3).pressure)
    np.testing.assert_array_equal(again.abundances, grid.abundances)


def kurucz(teff, logg, touching=False):
    row = " 7.88814072E-03{:9.1f} 7.860E-03 1.564E+05 1.691E-05 3.560E-03 2.000E+05 0.000E+00 0.000E+00 2.666E+06\n"
    rows = [row.format(teff * 0.6), row.format(teff * 0.8)]
    if touching:
        rows[1] = " 7.88814072E-03 123456.7 7.860E-03 1.564E+05" + "-1.691E-05" * 6 + "\n"
        rows[1] = rows[1].replace("03 123", "03+123")
    return [
        f"TEFF {teff:6.0f}.  GRAVITY {logg:.5f} LTE\n",
        "ABUNDANCE SCALE   1.00000 ABUNDANCE CHANGE 1 0.92040 2 0.07834\n",
        " ABUNDANCE CHANGE  3 -10.94 26  -4.54 41 -10.62 43 -20.00\n",
        "READ DECK6  2 RHOX,T,P,XNE,ABROSS,ACCRAD,VTURB, FLXCNV,VCONV,VELSND\n",
        *rows,
        "PRADK 1.0E-04\n",
    ]


def read_models(folder, models):
    """What `read_grid` makes of files with structures of these names, Teff and logg."""
    texts = [kurucz(t, g, touching=name.startswith("am05k")) for name, t, g in models]
    with gzip.open(folder / "data.gz", "wt") as file:
        file.writelines("".join(t) for t in texts)
    index = Table(
        {
            "filename": [m[0] for m in models],
            "nlines": [len(t) for t in texts],
            "teff": [float(m[1]) for m in models],
            "logg": [m[2] for m in models],
        }
    )
    index.write(folder / "index.fits")
    return read_grid(folder / "data.gz", folder / "index.fits")


def test_structures_without_solar_ones_are_refused(tmp_path):
    with pytest.raises(SynthesisError, match="no structures of solar composition"):
        read_models(tmp_path, [("am05k2odfnew.dat", 4000, 4.0)])


def test_reading_kuruczs_format(tmp_path):
    models = [("ap00k2odfnew.dat", 4000, 4.0), ("am05k2odfnew.dat", 4000, 4.0), ("am05ak2odfnew.dat", 4000, 4.0)]
    grid = read_models(tmp_path, models)
    assert sorted(grid.labels) == [(4000.0, 4.0, -0.5, 0.0), (4000.0, 4.0, -0.5, 0.4), (4000.0, 4.0, 0.0, 0.0)]
    solar = grid.at(4000, 4, 0)
    np.testing.assert_allclose(solar.temperature, [2400, 3200])
    np.testing.assert_allclose(solar.electrons, 1.564e5)
    np.testing.assert_allclose(grid.at(4000, 4, -0.5).temperature[1], 123456.7)
    assert grid.abundances[1] == pytest.approx(0.07834 / 0.9204)
    assert grid.abundances[25] == pytest.approx(10**-4.54 / 0.9204)
    assert grid.abundances[42] == pytest.approx(1e-20, rel=0.1)
