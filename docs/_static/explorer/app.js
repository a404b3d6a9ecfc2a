/* Puts the parts together: what is shown is a function of the state, and drawn anew when that changes. */
(function (explorer) {
  "use strict";

  const byId = (id) => document.getElementById(`rvse-${id}`);
  const { convert } = explorer.wavelengths;
  const AROUND_LINE = 12; // A on either side
  const HASH_AFTER = 250; // ms; browsers allow few changes of an address

  let network = null;
  let state = null;
  let parts = null; // {canvas, rows, observed}
  let cursor = null;
  let scheduled = false;
  let hashTimer = 0;
  let shown = null; // what the last drawing was made of

  /* ---- from the state to what is drawn ---- */

  const toMedium = (x) => convert(x, network.grid.medium, state.medium);

  function limits() {
    const { start, step, n } = network.grid;
    return [toMedium(start), toMedium(start + step * (n - 1))];
  }

  const view = () => (state.view ? explorer.view.fitted(state.view, limits()) : limits());

  const outside = (values) => explorer.labels.outside(network, values);

  function compute() {
    const x = explorer.network.wavelengths(network).map(toMedium);
    const flux = explorer.network.flux(network, state.values);
    const curves = [];
    const spectrum = parts.observed.spectrum();
    let comparison = null;
    if (spectrum) {
      const options = { medium: parts.observed.medium(), velocity: state.velocity, continuum: state.continuum };
      comparison = explorer.overlay.compare(spectrum, options, network.grid, flux);
      curves.push({ kind: "observed", x: comparison.wavelength.map(toMedium), y: comparison.flux });
    }
    if (state.pinned) {
      const pinned = explorer.network.flux(network, state.pinned);
      curves.push({ kind: "pinned", x, y: pinned, dashed: outside(state.pinned) });
    }
    curves.push({ kind: "model", x, y: flux, dashed: outside(state.values) });
    return { x, flux, comparison, curves };
  }

  function sceneOf({ curves, comparison }) {
    const observed = curves.find((curve) => curve.kind === "observed");
    return {
      view: view(),
      curves,
      observed: observed ? { x: observed.x, y: observed.y, residual: comparison.residual, error: comparison.error } : null,
      lines: state.lines ? network.lines.map((line) => ({ name: line.name, wavelength: convert(line.wavelength, "air", state.medium) })) : null,
      zero: state.zero,
      cursor,
      medium: state.medium,
    };
  }

  function draw(scene) {
    const { canvas } = parts;
    const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    explorer.chart.draw(ctx, width, height, scene, explorer.theme.current());
  }

  /* ---- words ---- */

  function nearest(x, value) {
    const i = Math.round(((value - x[0]) / (x.at(-1) - x[0])) * (x.length - 1));
    return Math.min(Math.max(i, 0), x.length - 1);
  }

  function readout() {
    const { x, flux, curves, sigma } = shown;
    if (cursor === null || cursor < x[0] || cursor > x.at(-1)) return "";
    const i = nearest(x, cursor);
    const words = [`${x[i].toFixed(1)} Å`, `computed ${flux[i].toFixed(4)} ± ${sigma()[i].toFixed(4)}`];
    const pinned = curves.find((curve) => curve.kind === "pinned");
    if (pinned) words.push(`kept ${pinned.y[i].toFixed(4)}`);
    const seen = curves.find((curve) => curve.kind === "observed");
    const j = seen ? seen.x.findIndex((wavelength) => wavelength >= cursor) : -1;
    if (j >= 0 && Number.isFinite(seen.y[j])) words.push(`observed ${seen.y[j].toFixed(4)}`);
    return words.join(" · ");
  }

  function summary() {
    const [low, high] = view();
    let least = -1;
    shown.x.forEach((x, i) => {
      if (x >= low && x <= high && (least < 0 || shown.flux[i] < shown.flux[least])) least = i;
    });
    const said = `Computed spectrum from ${low.toFixed(0)} to ${high.toFixed(0)} Å in ${state.medium}: lowest flux ${shown.flux[least].toFixed(4)} at ${shown.x[least].toFixed(1)} Å`;
    return shown.comparison ? `${said}; residuals of the observed spectrum ${shown.comparison.rms.toFixed(4)} (rms)` : said;
  }

  function words() {
    parts.canvas.setAttribute("aria-label", `${summary()}. Arrow keys move along, plus and minus stretch, Home shows all.`);
    const beyond = network.labels
      .map((label) => [label.title, explorer.labels.beyond(network, label, state.values)])
      .filter(([, limit]) => limit)
      .map(([title, limit]) => `${title} is ${limit}`);
    if (!beyond.length && !explorer.labels.inRegions(network, state.values)) {
      const regions = network.regions.map((region) => Object.entries(region.limits)
        .map(([name, [low, high]]) => `${name} ${low} to ${high}`).join(", "));
      beyond.push(`the labels are in none of its regions (${regions.join("; or ")})`);
    }
    say(byId("outside"), beyond.length ? `Outside of what the emulator was trained on: ${beyond.join("; ")}. Do not trust this spectrum.` : "");
    say(byId("residual"), shown.comparison ? `Residuals: ${shown.comparison.rms.toFixed(4)} (rms)` : "");
    byId("legend-observed").hidden = !shown.comparison;
    byId("legend-pinned").hidden = !state.pinned;
    byId("unpin").hidden = !state.pinned;
  }

  /* A status that is said again only when it changes. */
  function say(target, text) {
    if (target.textContent !== text) target.textContent = text;
    target.hidden = !text;
  }

  /* ---- changes ---- */

  function change(part) {
    state = { ...state, ...part };
    schedule();
  }

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(render);
  }

  function render() {
    scheduled = false;
    const began = performance.now();
    parts.observed.show();
    parts.rows.show(state.values);
    const values = state.values;
    let sigma = null;
    shown = { ...compute(), values, sigma: () => (sigma ??= explorer.network.sigma(network, values)) };
    draw(sceneOf(shown));
    words();
    showSwitches();
    byId("readout").textContent = readout();
    shown.milliseconds = performance.now() - began;
    clearTimeout(hashTimer);
    hashTimer = setTimeout(writeHash, HASH_AFTER);
  }

  function showSwitches() {
    for (const radio of document.querySelectorAll('input[name="rvse-medium"]')) radio.checked = radio.value === state.medium;
    byId("lines").checked = state.lines;
    byId("zero").checked = state.zero;
    view().forEach((x, i) => {
      const field = byId(["from", "to"][i]);
      if (document.activeElement !== field) field.value = x.toFixed(1);
    });
  }

  function writeHash() {
    history.replaceState(null, "", `#${explorer.state.encode(state, network)}`);
  }

  function setMedium(medium) {
    if (medium === state.medium) return;
    change({ view: state.view && state.view.map((x) => convert(x, state.medium, medium)), medium });
  }

  function setView(range) {
    const all = limits();
    const whole = range[0] <= all[0] + 1e-6 && range[1] >= all[1] - 1e-6;
    change({ view: whole ? null : range });
  }

  function setCursor(wavelength) {
    cursor = wavelength;
    if (!shown) return;
    draw(sceneOf(shown));
    byId("readout").textContent = readout();
  }

  /* ---- controls ---- */

  function connectPlot() {
    const host = { view, limits, setView, setCursor };
    explorer.view.connect(parts.canvas, document.querySelectorAll("#rvse [data-view]"), host);
    const goTo = byId("go-to");
    const byWavelength = [...network.lines].sort((a, b) => a.wavelength - b.wavelength);
    byWavelength.forEach((line) => goTo.append(new Option(`${line.name} ${line.wavelength.toFixed(0)}`, line.wavelength)));
    goTo.addEventListener("change", () => {
      const at = convert(Number(goTo.value), "air", state.medium);
      if (goTo.value) setView(explorer.view.fitted([at - AROUND_LINE, at + AROUND_LINE], limits()));
      goTo.value = "";
    });
    for (const [i, id] of ["from", "to"].entries()) {
      byId(id).addEventListener("change", (event) => {
        const range = view();
        range[i] = Number(event.target.value);
        if (event.target.value !== "" && range[0] < range[1]) setView(explorer.view.fitted(range, limits()));
        else schedule();
        event.target.value = view()[i].toFixed(1);
      });
    }
    for (const radio of document.querySelectorAll('input[name="rvse-medium"]')) radio.addEventListener("change", () => setMedium(radio.value));
    for (const name of ["lines", "zero"]) byId(name).addEventListener("change", (event) => change({ [name]: event.target.checked }));
    new ResizeObserver(schedule).observe(parts.canvas);
    explorer.theme.watch(schedule);
  }

  function connectButtons() {
    byId("sun").addEventListener("click", () => change({ values: explorer.state.startOf(network) }));
    byId("pin").addEventListener("click", () => change({ pinned: { ...state.values } }));
    byId("unpin").addEventListener("click", () => change({ pinned: null }));
    byId("csv").addEventListener("click", () => {
      const spectrum = { wavelength: shown.x, flux: shown.flux, sigma: shown.sigma(), medium: state.medium };
      const text = explorer.exporting.csv(spectrum, shown.values, network);
      explorer.exporting.save(explorer.exporting.fileName(shown.values, network, "csv"), new Blob([text], { type: "text/csv" }));
    });
    byId("png").addEventListener("click", async () => {
      const title = network.labels.map((label) => `${label.name} ${explorer.labels.number(state.values[label.name])} ${label.unit}`.trim()).join(", ");
      const blob = await explorer.exporting.png({ ...sceneOf(shown), cursor: null }, explorer.theme.LIGHT, title);
      explorer.exporting.save(explorer.exporting.fileName(shown.values, network, "png"), blob);
    });
    byId("link").addEventListener("click", async () => {
      writeHash();
      const copied = await explorer.exporting.copy(location.href);
      say(byId("link-message"), copied ? "Link copied." : "The link is in the address bar.");
    });
  }

  function describe() {
    const { rounding, version, recipe } = network;
    const size = (x) => x.toExponential(0).replace("e-", " × 10⁻").replace(/\d+$/, (n) => n.replace(/\d/g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]));
    byId("about").textContent =
      `Emulator ${recipe}, version ${version}. Its weights are rounded for this page, which changes the flux by at most ` +
      `${size(rounding.largest)} (rms ${size(rounding.rms)}; ${rounding.spectra} random spectra).`;
  }

  async function start() {
    const message = byId("message");
    try {
      if (typeof DecompressionStream === "undefined") throw new Error("it needs a browser of 2023 or later");
      network = await explorer.network.load(explorer.model);
    } catch (error) {
      message.textContent = `The Explorer cannot start: ${error.message}.`;
      return;
    }
    state = explorer.state.decode(location.hash, network);
    parts = {
      canvas: byId("canvas"),
      rows: explorer.controls.labels(byId("labels"), network, (name, value) => change({ values: { ...state.values, [name]: value } })),
      observed: explorer.observed.connect({ network, state: () => state, change }),
    };
    message.hidden = true;
    byId("body").hidden = false;
    describe();
    connectPlot();
    connectButtons();
    window.addEventListener("hashchange", () => change(explorer.state.decode(location.hash, network)));
    render();
  }

  explorer.app = {
    ready: document.getElementById("rvse") ? start() : Promise.resolve(),
    network: () => network,
    state: () => state,
    shown: () => shown,
  };
})((window.RvsExplorer = window.RvsExplorer || {}));
