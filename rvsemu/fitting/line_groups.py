"""Fits in whose residuals lines of one element want another strength: see `rvsemu.observing.line_groups`."""

from __future__ import annotations

import numpy as np

from ..observing.line_groups import disagreeing, scores, templates
from ..physics.wavelengths import doppler

__all__ = ["line_groups"]


def line_groups(problem, found) -> list[list[str]]:
    """Flags of each of k spectra for groups of lines that want another strength.

    All free labels, the velocity and the continuum follow, with the errors of noise, emulator and models, on the pixels
    of the fit; where these are too small for the fit as a whole, they are widened.

    Parameters
    ----------
    problem : Problem
    found
        The best minima of the spectra, with `theta` (k, n_parameters), `residual` (k, n) and `weighted`.
    """
    stack, parameters, weighted = problem.stack, problem.parameters, found.weighted
    free, names = parameters.free[parameters.free <= parameters.velocity], parameters.space.names
    metals = [i for i, name in enumerate(names) if name == "mh"]
    columns = np.union1d(free, metals).astype(int)
    flux, slopes = stack.model.jacobian(found.theta, columns)
    by_metals = slopes[:, np.searchsorted(columns, metals)].sum(axis=1)  # 0 of an emulator without [M/H]
    rest = doppler(stack.wavelength, -found.theta[:, [parameters.velocity]])
    rows = [templates(rest, by_metals, stack.model.emulator.medium), slopes[:, np.searchsorted(columns, free)]]
    rows += [stack.basis * flux[:, None], found.residual[:, None]]
    used = weighted.used & np.isfinite(found.residual)
    weighed = np.where(used[:, None], np.concatenate(rows, axis=1) * weighted.level[:, None], 0.0)
    scale = np.sqrt(np.maximum(1.0, found.chi2 / found.freedom))
    return disagreeing(scores(weighted.covariance.solve_pairs(weighed)) / scale[:, None], names, found.theta)
