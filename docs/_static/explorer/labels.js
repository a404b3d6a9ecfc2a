/* Stellar labels: what the network sees of them, and where its training domain ends. The same as
   rvsemu/emulator/labels.py, for the labels that the emulator has. */
(function (explorer) {
  "use strict";

  const EVEN = 10; // where 'even' passes from the square of a label to its logarithm
  const TRANSFORMS = {
    linear: (x) => x,
    log: Math.log,
    even: (x) => Math.log1p((x / EVEN) ** 2),
  };

  /* The range of a label becomes -1 to 1, after its transform. */
  function scaled(label, value) {
    const transform = TRANSFORMS[label.transform];
    if (!transform) throw new Error(`label ${label.name}: the transform '${label.transform}' is unknown to this page`);
    const low = transform(label.lower);
    const high = transform(label.upper);
    return (2 * transform(value) - low - high) / (high - low);
  }

  /* Linear between nodes, constant beyond. */
  function interpolate(x, nodes, values) {
    let i = 0;
    while (i < nodes.length && nodes[i] < x) i++;
    if (i === 0) return values[0];
    if (i === nodes.length) return values[i - 1];
    const share = (x - nodes[i - 1]) / (nodes[i] - nodes[i - 1]);
    return (1 - share) * values[i - 1] + share * values[i];
  }

  /* Lowest value of a label where the others are as they are: that of logg may depend on teff. */
  function lowest(model, label, values) {
    return label.name === "logg" ? lowestOf(model.lowestLogg, label.lower, values.teff) : label.lower;
  }

  /* The larger of a limit of logg and that at nodes of teff, if there are any. */
  function lowestOf(nodes, lower, teff) {
    if (!nodes.length) return lower;
    return Math.max(lower, interpolate(teff, nodes.map((node) => node[0]), nodes.map((node) => node[1])));
  }

  /* Whether labels are in one of the regions that the domain is made of, if it is of several; a label without limits in a
     region that other regions have is 0 there. */
  function inRegions(model, values) {
    const limited = model.labels.map((label) => label.name).filter((name) => model.regions.some((region) => name in region.limits));
    return !model.regions.length || model.regions.some((region) => limited.every((name) => {
      const [lower, upper] = region.limits[name] || [0, 0];
      const least = name === "logg" ? lowestOf(region.lowestLogg, lower, values.teff) : lower;
      const near = 1e-9 * (upper - lower) + 1e-12;
      return values[name] >= least - near && values[name] <= upper + near;
    }));
  }

  /* The limit that a value is beyond, in words, or "". */
  function beyond(model, label, values) {
    const value = values[label.name];
    const unit = label.unit ? ` ${label.unit}` : "";
    if (value > label.upper) return `above ${number(label.upper)}${unit}`;
    if (value < label.lower) return `below ${number(label.lower)}${unit}`;
    const edge = lowest(model, label, values);
    return value < edge ? `below ${number(edge)}${unit}, the lowest at ${number(values.teff)} K` : "";
  }

  /* Whether labels are outside of the training domain: one beyond its limit, or all of them in none of the regions. */
  function outside(model, values) {
    return model.labels.some((label) => beyond(model, label, values)) || !inRegions(model, values);
  }

  /* Whether the network can take a value at all. */
  function possible(label, value) {
    return Number.isFinite(value) && (label.transform !== "log" || value > 0);
  }

  /* Without the digits that rounding adds. */
  function number(value) {
    return String(Number(value.toPrecision(10)));
  }

  explorer.labels = { beyond, inRegions, interpolate, lowest, number, outside, possible, scaled };
})((window.RvsExplorer = window.RvsExplorer || {}));
