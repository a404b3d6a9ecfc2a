"""Emulators corrected with observed spectra of stars whose labels are known.

Synthetic spectra differ from real ones line by line, in the same way in all stars of a kind: line data are wrong, lines
are missing, the cores of strong lines are not in LTE. `calibrate` learns that difference from stars with labels from
elsewhere, and gives an emulator of the same form, in a file of the same form, whose last layer has it.

The decoder's last layer is linear, flux = W h(labels) + b. The correction adds ``g(labels) D`` to the flux, with a few
coordinates g that are linear in the activations h, so that it only changes W and b. The first coordinate is 1 at the
stars of the calibration, the others are the leading principal components of the emulator's flux over them, and all fall
to nearly 0 where there are no stars (`rvsemu.calibration.coordinates`). The rows of D have a Gaussian prior: as smooth
in wavelength as what the instrument has seen, and as large as the model error of fits (`rvsemu.observing.ModelError`)
times a strength. The most probable D is the solution of a linear problem (`rvsemu.calibration.correction`).

Errors of the given labels, priors of the others, radial velocities and the polynomial that is the continuum are
marginalised: to first order about where the stars are, they are part of the covariance of each spectrum. The other way,
fitting labels and correction in turns, needs many turns, as all labels move together to what the correction should
explain. The stars are located twice, with the synthetic emulator and with the first correction.

The number of coordinates and the strength are those with the lowest misfit of held-out stars in tenfold
cross-validation, all spectra of a star in the same fold. Whether anything is corrected is decided by the likelihood of
fits: each held-out star is located with the emulator that the others correct, and the gain must be more than chance
(Student's test, 1 %). Else the emulator stays as it is. The noise enters the linear problem as white noise with the
variance that correlated noise gives a mean over many pixels; the likelihood that decides has the covariance of the
pixels.

What is left of held-out stars beyond their noise becomes the error of the emulator: a new
`rvsemu.observing.ModelError`, which fits take for ``model_error="gaia-rvs"``, and variances and principal components of
what pixels have besides, in `rvsemu.emulator.ErrorModel`. ``info["calibration"]`` has ``stars``, ``spectra``, the
``table`` and its ``labels``; the ``ranges`` of all labels; ``coordinates`` and ``strength``; under ``held_out`` the RMS
of the residuals ``before`` and ``after``, and the same less the noise, the ``median_gain`` of a star in -2 log
likelihood and the number of ``improved_stars``; the ``model_error``; and recipe and version of the emulator that it is
a correction ``of``.

With ``from_scratch`` an emulator is learned from at least 60 observed stars alone, by the same linear problem: what is
corrected is their mean spectrum, which then is ``before``. Labels are held as they are given. Coordinates are
polynomials of the labels, and their rows have a prior as large as the residuals about the mean, times a strength that
cross-validation chooses (`rvsemu.calibration.scratch`). Held-out stars are fitted, and what their labels differ by from
the given ones, beyond the errors of both, is the ``label_covariance`` of the `rvsemu.emulator.ErrorModel`, which fits
add to their errors; ``held_out`` has median and scatter of the differences, and what is ``added``, under ``labels``.
"""

from .result import Calibration
from .scratch import LEAST_FROM_SCRATCH
from .verb import LEAST_STARS, calibrate

__all__ = ["LEAST_FROM_SCRATCH", "LEAST_STARS", "Calibration", "calibrate"]
