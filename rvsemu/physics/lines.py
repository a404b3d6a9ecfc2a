"""The strongest and best known lines of RVS spectra."""

__all__ = ["CALCIUM_TRIPLET", "DIFFUSE_BAND_AT", "MAIN_LINES", "NITROGEN", "PASCHEN"]

MAIN_LINES = (
    ("Ca II", 8498.02),
    ("Ca II", 8542.09),
    ("Ca II", 8662.14),
    ("P17", 8467.25),
    ("P16", 8502.48),
    ("P15", 8545.38),
    ("P14", 8598.39),
    ("P13", 8665.02),
    ("P12", 8750.47),
    ("O I", 8446.36),
    ("Fe I", 8514.07),
    ("Fe I", 8621.60),
    ("Fe I", 8688.62),
    ("Ti I", 8434.97),
    ("Si I", 8556.78),
    ("Si I", 8648.46),
    ("Mg I", 8736.02),
    ("N I", 8680.28),
    ("S I", 8694.63),
    ("Al I", 8772.87),
)
"""(species, wavelength in Angstrom in air), NIST Atomic Spectra Database; P is the hydrogen Paschen series."""

CALCIUM_TRIPLET = tuple(wavelength for name, wavelength in MAIN_LINES if name == "Ca II")
"""Angstrom, in air."""

PASCHEN = tuple(wavelength for name, wavelength in MAIN_LINES if name.startswith("P"))
"""Angstrom, in air: of hydrogen, P17 to P12."""

NITROGEN = 8567.7, 8594.0, 8629.2, 8655.9, 8680.3, 8683.4, 8686.1, 8703.2, 8711.7, 8718.8
"""Angstrom, in air: N I in A and B stars."""

DIFFUSE_BAND_AT = 8620.4
"""Angstrom, in air: the interstellar band at 862 nm (Munari et al. 2008, A&A 488, 969)."""
