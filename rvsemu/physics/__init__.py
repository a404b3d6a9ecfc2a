"""Pure functions of floats: wavelengths, broadening, resampling, continuum, line names.

Wavelengths are in Angstrom and velocities in km/s throughout; units are taken off before and put
back after, in `rvsemu.emulator.labels` and `rvsemu.observing.arrays`.
"""
