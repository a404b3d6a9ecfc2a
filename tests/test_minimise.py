"""The minimiser on functions whose minima are known."""

import numpy as np
from scipy.optimize import minimize

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.fitting.levenberg_marquardt import Box, minimise

RANGES = {
    "teff": (4300.0, 6500.0),
    "logg": (2.5, 4.8),
    "mh": (-0.3, 0.4),
    "vsini": (0.0, 4.0),
    "vmic": (1.2, 1.2),
    "resolution": (11700.0, 11700.0),
}


def curved(which, x):
    """Half the squared residuals of Rosenbrock's function, its gradient and Gauss-Newton Hessian."""
    residual = np.stack([10 * (x[:, 1] - x[:, 0] ** 2), 1 - x[:, 0]], axis=1)
    slopes = np.zeros((len(x), 2, 2))
    slopes[:, 0, 0], slopes[:, 0, 1], slopes[:, 1, 0] = -20 * x[:, 0], 10.0, -1.0
    gradient = np.einsum("kri,kr->ki", slopes, residual)
    return 0.5 * np.sum(residual**2, axis=1), gradient, np.einsum("kri,krj->kij", slopes, slopes)


class Boundless(Box):
    """Bounds, but steps of any length."""

    def reach(self, x):
        return np.full(x.shape, np.inf), np.full(x.shape, np.inf)


class ShortSteps(Box):
    """Bounds, and steps that are shorter up than down."""

    def reach(self, x):
        return np.full(x.shape, 0.7), np.full(x.shape, 0.4)


def test_costs_are_those_where_it_ended():
    """Also of the last step, which was expected to gain little."""
    start = np.random.default_rng(0).uniform(-2, 2, (50, 2))
    box = Boundless(np.full(2, -5.0), np.full(2, 5.0))
    for tolerance in (1e-8, 0.1, 10.0):
        found = minimise(curved, start.copy(), box, tolerance, 200)
        cost, _, hessian = curved(None, found.x)
        np.testing.assert_allclose(found.cost, cost, rtol=1e-12)
        np.testing.assert_allclose(found.hessian, hessian)
        assert np.all(cost <= curved(None, start)[0])
        assert found.converged.all()
    found = minimise(curved, start.copy(), box, 1e-8, 200)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)


def test_correlated_variables_in_bounds_and_steps_that_may_not_be_long():
    """Cutting steps at bounds can turn them uphill; that is no convergence."""
    rng, m = np.random.default_rng(1), 7
    roots = rng.normal(size=(200, m, 2)) @ rng.normal(size=(200, 2, m)) + 0.1 * np.eye(m)
    matrices, targets = roots.swapaxes(1, 2) @ roots, rng.uniform(-2, 2, (200, m))

    def evaluate(which, x):
        away = x - targets[which]
        gradient = np.einsum("kij,kj->ki", matrices[which], away)
        return 0.5 * np.sum(gradient * away, axis=1), gradient, matrices[which]

    lower, upper = np.full(m, -1.0), np.full(m, 1.0)
    found = minimise(evaluate, rng.uniform(-1, 1, (200, m)), ShortSteps(lower, upper), 1e-6, 400)
    assert np.all((found.x >= lower) & (found.x <= upper))
    for i in range(len(targets)):

        def cost(x, i=i):
            value, gradient, _ = evaluate(np.array([i]), x[None])
            return value[0], gradient[0]

        best = minimize(cost, np.zeros(m), jac=True, bounds=[(-1, 1)] * m, method="L-BFGS-B", tol=1e-12)
        assert found.cost[i] < best.fun + 0.02, i


def test_fits_of_slow_rotators_converge():
    """The slope of v sin i vanishes at 0, and with it the Gauss-Newton Hessian: other labels must not wait for it."""
    rng, stars = np.random.default_rng(11), []
    for seed in range(30):
        labels = {name: rng.uniform(*r) for name, r in RANGES.items()}
        noise = float(np.exp(rng.uniform(np.log(50), np.log(300))))
        stars.append(rvsemu.simulate(rvsemu.generate(**labels), signal_to_noise=noise, seed=seed))
    assert [i for i, found in enumerate(fit_many(stars)) if "not-converged" in found.flags] == []
    assert "not-converged" not in rvsemu.fit(rvsemu.read_rvs(rvsemu.example_path("kepler-93"))[0]).flags
