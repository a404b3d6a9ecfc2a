/* What the page shows, as the part of its address after "#", and back. Files are not in it. */
(function (explorer) {
  "use strict";

  const LARGEST_VELOCITY = 1000; // km/s

  /* The state that the page begins with. */
  function initial(model) {
    return {
      values: startOf(model),
      pinned: null, // labels of a second spectrum, by name
      medium: "air",
      view: null, // (low, high) in A in the medium, or all
      lines: true,
      zero: true, // flux axis from 0
      star: "", // key of an example
      velocity: 0, // of the observed star, km/s
      continuum: "none",
    };
  }

  function startOf(model) {
    return Object.fromEntries(model.labels.map((label) => [label.name, label.start]));
  }

  const SWITCHES = {
    medium: ["air", "vacuum"],
    continuum: ["none", "cubic"],
  };

  function encode(state, model) {
    const out = new URLSearchParams();
    const names = model.labels.map((label) => label.name);
    for (const name of names) out.set(name, explorer.labels.number(state.values[name]));
    const start = initial(model);
    if (state.pinned) out.set("compare", names.map((name) => explorer.labels.number(state.pinned[name])).join(","));
    if (state.view) state.view.forEach((x, i) => out.set(["from", "to"][i], x.toFixed(2)));
    for (const name of ["medium", "continuum", "star"]) if (state[name] !== start[name]) out.set(name, state[name]);
    for (const name of ["lines", "zero"]) if (state[name] !== start[name]) out.set(name, state[name] ? "1" : "0");
    if (state.velocity) out.set("velocity", explorer.labels.number(state.velocity));
    return out.toString().replace(/%2C/g, ",");
  }

  /* What cannot be read is left as the page begins. */
  function decode(text, model) {
    const given = new URLSearchParams(text.replace(/^#/, ""));
    const state = initial(model);
    const number = (name) => (given.has(name) && given.get(name).trim() !== "" ? Number(given.get(name)) : NaN);
    for (const label of model.labels) {
      const value = number(label.name);
      if (explorer.labels.possible(label, value)) state.values[label.name] = value;
    }
    state.pinned = pinned(given.get("compare"), model);
    const [low, high] = [number("from"), number("to")];
    if (low < high) state.view = [low, high];
    for (const [name, choices] of Object.entries(SWITCHES)) if (choices.includes(given.get(name))) state[name] = given.get(name);
    for (const name of ["lines", "zero"]) if (["0", "1"].includes(given.get(name))) state[name] = given.get(name) === "1";
    if (Object.hasOwn(model.examples, given.get("star") ?? "")) state.star = given.get("star");
    if (Math.abs(number("velocity")) <= LARGEST_VELOCITY) state.velocity = number("velocity");
    return state;
  }

  function pinned(text, model) {
    const values = (text ?? "").split(",").map((x) => (x.trim() === "" ? NaN : Number(x)));
    const fits = values.length === model.labels.length && model.labels.every((label, i) => explorer.labels.possible(label, values[i]));
    return fits ? Object.fromEntries(model.labels.map((label, i) => [label.name, values[i]])) : null;
  }

  explorer.state = { LARGEST_VELOCITY, decode, encode, initial, startOf };
})((window.RvsExplorer = window.RvsExplorer || {}));
