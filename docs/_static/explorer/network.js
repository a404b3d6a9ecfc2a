/* The emulator: dense layers one after the other, and the error that the package expects of it. */
(function (explorer) {
  "use strict";

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const ACTIVATIONS = {
    linear: (x) => x,
    relu: (x) => Math.max(x, 0),
    silu: (x) => x * sigmoid(x),
    tanh: Math.tanh,
  };

  /* The model of weights.js with arrays in place of text. */
  async function load(model) {
    if (!model) throw new Error("the file weights.js is missing");
    const { floats, matrix } = explorer.codes;
    const layers = [];
    for (const layer of model.layers) {
      const activation = ACTIVATIONS[layer.activation];
      if (!activation) throw new Error(`the activation '${layer.activation}' is unknown to this page`);
      layers.push({ activation, weights: await matrix(layer.weights), bias: await floats(layer.bias) });
    }
    return { ...model, layers, error: { ...model.error, sigma: await matrix(model.error.sigma) } };
  }

  /* activation(x W + b), W row after row. */
  function dense(layer, x) {
    const { activation, bias, weights } = layer;
    const n = bias.length;
    const out = Float64Array.from(bias);
    for (let i = 0, k = 0; i < x.length; i++, k += n) {
      const factor = x[i];
      for (let j = 0; j < n; j++) out[j] += factor * weights[k + j];
    }
    for (let j = 0; j < n; j++) out[j] = activation(out[j]);
    return out;
  }

  /* Normalised flux on the emulator's grid, for labels by name. */
  function flux(network, values) {
    let x = Float64Array.from(network.labels, (label) => explorer.labels.scaled(label, values[label.name]));
    for (const layer of network.layers) x = dense(layer, x);
    return x;
  }

  /* RMS error expected of the flux: interpolated in teff, and times factors for other labels. */
  function sigma(network, values) {
    const { teff, factors, sigma: table } = network.error;
    const n = network.grid.n;
    const at = Math.min(Math.max(values.teff, teff[0]), teff[teff.length - 1]);
    let i = 0;
    while (i < teff.length - 2 && teff[i + 1] < at) i++;
    const share = (at - teff[i]) / (teff[i + 1] - teff[i]);
    let factor = 1;
    for (const [name, [nodes, scale]] of Object.entries(factors)) {
      if (name in values) factor *= explorer.labels.interpolate(values[name], nodes, scale);
    }
    const mix = (_, j) => factor * ((1 - share) * table[i * n + j] + share * table[(i + 1) * n + j]);
    return Float64Array.from({ length: n }, mix);
  }

  /* Wavelengths of the grid, in the medium of the emulator. */
  function wavelengths(network) {
    const { start, step, n } = network.grid;
    return Float64Array.from({ length: n }, (_, i) => start + step * i);
  }

  explorer.network = { flux, load, sigma, wavelengths };
})((window.RvsExplorer = window.RvsExplorer || {}));
