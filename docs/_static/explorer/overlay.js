/* An observed spectrum beside a computed one: in the rest frame of the star, divided by a continuum, and what is left. */
(function (explorer) {
  "use strict";

  const { convert, doppler, interpolate } = explorer.wavelengths;
  const TERMS = 4; // a cubic
  const CLIPPED = 4; // times the rms
  const ROUNDS = 3;

  /* Observed pixels with the model there: wavelength in the medium of the grid and the rest frame of the star. */
  function compare(observed, options, grid, model) {
    const shift = doppler(options.velocity);
    const wavelength = observed.wavelength.map((x) => convert(x, options.medium, grid.medium) / shift);
    const expected = wavelength.map((x) => interpolate(model, grid.start, grid.step, x));
    const continuum = options.continuum === "cubic" ? cubic(wavelength, observed.flux, expected) : null;
    const divided = (values) => (continuum && values ? values.map((y, i) => y / continuum[i]) : values);
    const flux = divided(observed.flux);
    const residual = flux.map((y, i) => y - expected[i]);
    return { wavelength, flux, error: divided(observed.error), residual, rms: rms(residual) };
  }

  function rms(values) {
    const some = values.filter(Number.isFinite);
    return Math.sqrt(some.reduce((sum, x) => sum + x * x, 0) / some.length);
  }

  /* Cubic c such that flux = c model by least squares, without pixels that are far off. */
  function cubic(wavelength, flux, model) {
    const usable = [...flux.keys()].filter((i) => Number.isFinite(flux[i]) && Number.isFinite(model[i]));
    if (usable.length <= TERMS) return null;
    const low = wavelength[usable[0]];
    const high = wavelength[usable.at(-1)];
    const terms = (i) => legendre((2 * wavelength[i] - low - high) / (high - low));
    const at = (i, c) => terms(i).reduce((sum, term, k) => sum + term * c[k], 0);
    let used = usable;
    let c = null;
    for (let round = 0; round < ROUNDS; round++) {
      const rows = used.map((i) => terms(i).map((term) => term * model[i]));
      c = leastSquares(rows, used.map((i) => flux[i]));
      if (!c) return null;
      const left = (i) => flux[i] - model[i] * at(i, c);
      const limit = CLIPPED * rms(used.map(left));
      const next = usable.filter((i) => Math.abs(left(i)) <= limit);
      if (next.length <= TERMS) break;
      used = next;
    }
    return wavelength.map((_, i) => at(i, c));
  }

  const legendre = (x) => [1, x, (3 * x * x - 1) / 2, (5 * x ** 3 - 3 * x) / 2];

  /* Normal equations by Gauss-Jordan elimination; null if they are singular. */
  function leastSquares(rows, y) {
    const n = rows[0].length;
    const a = Array.from({ length: n }, (_, i) => [
      ...Array.from({ length: n }, (_, j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0)),
      rows.reduce((sum, row, k) => sum + row[i] * y[k], 0),
    ]);
    for (let i = 0; i < n; i++) {
      if (!(Math.abs(a[i][i]) > 0)) return null;
      for (let k = 0; k < n; k++) {
        if (k === i) continue;
        const factor = a[k][i] / a[i][i];
        for (let j = i; j <= n; j++) a[k][j] -= factor * a[i][j];
      }
    }
    return a.map((row, i) => row[n] / row[i]);
  }

  explorer.overlay = { compare };
})((window.RvsExplorer = window.RvsExplorer || {}));
