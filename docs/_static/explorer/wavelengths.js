/* Air and vacuum, Doppler shifts, and values between the points of a grid. Wavelengths in Angstrom. */
(function (explorer) {
  "use strict";

  const SPEED_OF_LIGHT = 299792.458; // km/s

  /* Index of standard air at a vacuum wavelength: Morton (2000, ApJS 130, 403), equation 8. */
  function refractiveIndex(vacuum) {
    const s2 = (1e4 / vacuum) ** 2;
    return 1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2);
  }

  function airToVacuum(air) {
    let vacuum = air;
    for (let i = 0; i < 4; i++) vacuum = air * refractiveIndex(vacuum); // a contraction by 1e-6 a step
    return vacuum;
  }

  function convert(wavelength, from, to) {
    if (from === to) return wavelength;
    return to === "air" ? wavelength / refractiveIndex(wavelength) : airToVacuum(wavelength);
  }

  /* What a wavelength is multiplied by when its source recedes at a velocity in km/s. */
  function doppler(velocity) {
    const beta = velocity / SPEED_OF_LIGHT;
    return Math.sqrt((1 + beta) / (1 - beta));
  }

  /* Lagrange's polynomial through the 8 points of a uniform grid around x; NaN outside of the grid. */
  function interpolate(values, start, step, x) {
    const ORDER = 8;
    const position = (x - start) / step;
    if (!(position >= -1e-6 && position <= values.length - 1 + 1e-6)) return NaN;
    const first = Math.min(Math.max(Math.floor(position) - ORDER / 2 + 1, 0), values.length - ORDER);
    const at = position - first;
    let sum = 0;
    for (let j = 0; j < ORDER; j++) {
      let weight = 1;
      for (let i = 0; i < ORDER; i++) if (i !== j) weight *= (at - i) / (j - i);
      sum += weight * values[first + j];
    }
    return sum;
  }

  explorer.wavelengths = { convert, doppler, interpolate };
})((window.RvsExplorer = window.RvsExplorer || {}));
