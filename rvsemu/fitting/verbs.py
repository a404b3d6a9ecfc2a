"""Least squares: the labels of observed spectra, one or many at a time."""

from __future__ import annotations

from ..errors import RvsemuError, SpectrumError
from ..observing.observation import DEFAULT_MASK
from .likelihood import Likelihood
from .problem import Setup
from .result import FitResult

__all__ = ["fit", "fit_many", "prepare"]

_AT_ONCE = 16  # spectra in the same matrix products


def fit(
    spectrum,
    *,
    emulator=None,
    fixed=None,
    priors=None,
    radial_velocity=(-100.0, 100.0),
    continuum_degree=3,
    mask=DEFAULT_MASK,
    medium=None,
    sigma=None,
    noise_correlation="gaia-rvs",
    model_error="gaia-rvs",
    jitter=0.0,
    scale_errors=True,
    errors="gaussian",
    extrapolate=False,
) -> FitResult:
    """Fit stellar labels to an observed spectrum by least squares.

    Radial velocity is fitted along, and the continuum is a polynomial that multiplies the model and is
    solved for at each step. The defaults are those for Gaia RVS mean spectra.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        One-dimensional, any flux unit, with a wavelength axis, ``meta["medium"]`` and an uncertainty
        (standard deviation, variance or inverse variance). For many spectra see `fit_many`.
    emulator : Emulator, str or path, optional
        Another emulator than the default one.
    fixed : dict, optional
        Labels held at a value, e.g. ``{"vmic": 1.0}``; floats or Quantities. Also ``radial_velocity``.
    priors : dict, optional
        Priors by name: ``(mean, sigma)`` of a Gaussian, a `rvsemu.fitting.Uniform`, `Normal`,
        `TruncatedNormal` or `Function`, or any function from values to log densities. Default:
        `DEFAULT_PRIORS` for those of its labels that are neither absent nor fixed. What is given
        replaces all of them: ``{}`` is none. Labels without one are uniform in their domain.
    radial_velocity : (float, float) or float or Quantity
        Bounds in km/s, or the value to fix it at.
    continuum_degree : int
        Of the polynomial, 0-20.
    mask : str, (low, high), sequence of these, or None
        What to leave out besides bad pixels: names (``"calcium-cores"``, ``"edges"``, see
        `rvsemu.observing.MASKS`) and wavelength ranges in the spectrum's own wavelengths (Quantity,
        or floats in Angstrom).
    medium : {'air', 'vacuum'}, optional
        Of the spectral axis, where ``meta["medium"]`` does not say it.
    sigma : float, array or Quantity, optional
        Noise of each pixel, instead of the spectrum's uncertainty.
    noise_correlation : 'gaia-rvs' or sequence of float
        Correlation of the noise at lags 0, 1, 2, ... pixels; ``()`` is white noise. The default is
        `rvsemu.observing.RVS_NOISE_CORRELATION` for pixels of 0.1 A, and white noise for others.
    model_error : 'gaia-rvs', ModelError or None
        What synthetic spectra do not know about real ones, as measured on real RVS spectra. None is for
        spectra that come from the same models, or to see how far the noise alone would go.
    jitter : float
        Extra white noise, in units of the continuum.
    scale_errors : bool
        Multiply the noise by sqrt(reduced chi2) in the errors where that is above 1, as then there is
        more misfit than noise and `model_error` allow for.
    errors : {'gaussian', 'sampled'}
        ``'gaussian'``: labels of the best fit, and errors as if the posterior were Gaussian there. ``'sampled'``:
        medians and central intervals of the posterior from weighted draws around all minima that the starts lead
        to, which takes ten times as long. It is for spectra of low signal to noise, whose posteriors often have two
        maxima, and labels near the limits of their range.
    extrapolate : bool
        Allow fixed labels outside the training domain, and free ones to leave it by 10 % of its width
        (never below zero, where it starts there).

    Returns
    -------
    FitResult

    Raises
    ------
    SpectrumError
        The spectrum cannot be used: 2-D, no uncertainty, no medium, too few good pixels ...
    LabelError
        `fixed`, `priors` or `radial_velocity` name an unknown label or have a bad value.

    Notes
    -----
    chi2 = (y - model)^T C^-1 (y - model) with the covariance C of noise, emulator and models
    (`rvsemu.fitting.Likelihood`) is minimised by Levenberg-Marquardt with the analytic Jacobian. Starts
    are six of a fixed grid of 2048 emulator spectra, the best that differ from each other. They are followed
    for two steps, and the best of them further, with white noise in every third pixel. C, and the mask of the
    calcium cores, which moves with the star, are taken where that ends, and held.

    Examples
    --------
    >>> import rvsemu
    >>> from astropy.nddata import StdDevUncertainty
    >>> star = rvsemu.generate(teff=6000, logg=4.2, vsini=12, mh=-0.3, vmic=1.3, resolution=11900)
    >>> star.uncertainty = StdDevUncertainty(0.01 + 0 * star.flux.value)
    >>> result = rvsemu.fit(star, noise_correlation=(), model_error=None)
    >>> bool(abs(result.teff.value - 6000) < 20)
    True
    """
    settings = {k: v for k, v in locals().items() if k not in ("spectrum", "medium", "sigma", "mask")}
    setup = Setup(**settings)
    return setup.fit([setup.observe(spectrum, medium, sigma, mask)])[0]


def fit_many(spectra, *, mask=DEFAULT_MASK, medium=None, sigma=None, skip_bad=False, **settings) -> list:
    """Fit stellar labels to many spectra, several at a time in the same matrix products.

    The results are those of `fit`, at a fraction of its time where the spectra have the same pixels.

    Parameters
    ----------
    spectra : iterable of specutils.Spectrum, or Spectrum of two dimensions
    mask, medium, sigma, **settings
        Those of `fit`, for all spectra alike.
    skip_bad : bool
        Where a spectrum cannot be used, have None in the list instead of raising `SpectrumError`.

    Returns
    -------
    list of FitResult
        In the order of `spectra`.

    Raises
    ------
    SpectrumError, LabelError
        As `fit`.
    """
    setup = Setup(**settings)
    flux = getattr(spectra, "flux", None)
    if flux is not None and flux.ndim == 2:
        spectra = (spectra[i] for i in range(len(flux)))
    elif flux is not None:
        spectra = (spectra,)
    observations = []
    for i, spectrum in enumerate(spectra):
        try:
            observations.append(setup.observe(spectrum, medium, sigma, mask))
        except RvsemuError as e:
            if not skip_bad:
                raise SpectrumError(f"spectrum {i}: {e}") from e
            observations.append(None)
    groups = {}
    for i, o in enumerate(observations):
        if o is not None:
            groups.setdefault((o.wavelength.tobytes(), o.covered.tobytes()), []).append(i)
    out = [None] * len(observations)
    for rows in groups.values():
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            for i, result in zip(some, setup.fit([observations[i] for i in some]), strict=True):
                out[i] = result
    return out


def prepare(spectrum, *, mask=DEFAULT_MASK, medium=None, sigma=None, **settings) -> Likelihood:
    """The `Likelihood` of a spectrum, with its covariance taken at a first solution (``.start``).

    Parameters
    ----------
    spectrum, mask, medium, sigma, **settings
        Those of `fit`. ``jitter`` may be ``'free'``: then its natural logarithm is the last of the free parameters,
        ``log_jitter``, uniform from -14 to -2 unless there is a prior.

    Returns
    -------
    Likelihood

    Raises
    ------
    SpectrumError, LabelError
        As `fit`.
    """
    setup = Setup(**settings)
    return setup.prepare(setup.observe(spectrum, medium, sigma, mask))
