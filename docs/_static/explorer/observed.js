/* The observed spectrum: a file of the user or a star that comes with the page, and the controls for it. */
(function (explorer) {
  "use strict";

  const { element } = explorer.controls;
  const byId = (id) => document.getElementById(`rvse-${id}`);

  /* host: network, state(), change(part of the state). Returns {spectrum(), medium(), read(files), show()}. */
  function connect(host) {
    const held = { spectra: [], index: 0, medium: "vacuum", name: "", star: "" };
    const controls = {
      ...{ file: byId("file"), star: byId("star"), which: byId("which"), message: byId("file-message") },
      ...{ medium: byId("file-medium"), continuum: byId("continuum"), remove: byId("remove") },
      ...{ velocity: byId("velocity"), velocityField: byId("velocity-field"), options: byId("file-options") },
    };
    const shown = { host, held, controls };
    for (const [key, { name }] of Object.entries(host.network.examples)) controls.star.append(new Option(name, key));
    connectChoices(shown);
    connectFiles(shown);
    return {
      spectrum: () => held.spectra[held.index] ?? null,
      medium: () => held.medium,
      show: () => show(shown),
    };
  }

  function connectChoices({ host, held, controls }) {
    controls.star.addEventListener("change", () => host.change({ star: controls.star.value, velocity: 0, continuum: "none" }));
    controls.continuum.addEventListener("change", () => host.change({ continuum: controls.continuum.value }));
    controls.which.addEventListener("change", () => {
      held.index = Number(controls.which.value);
      host.change({});
    });
    controls.medium.addEventListener("change", () => {
      held.medium = controls.medium.value;
      host.change({});
    });
    controls.velocity.addEventListener("input", () => host.change({ velocity: Number(controls.velocity.value) }));
    controls.velocityField.addEventListener("input", () => {
      const value = controls.velocityField.value === "" ? NaN : Number(controls.velocityField.value);
      if (Math.abs(value) <= explorer.state.LARGEST_VELOCITY) host.change({ velocity: value });
    });
    controls.remove.addEventListener("click", () => {
      Object.assign(held, { spectra: [], index: 0, star: "" });
      controls.file.value = "";
      controls.message.textContent = "";
      host.change({ star: "", velocity: 0, continuum: "none" });
      controls.file.focus();
    });
  }

  function connectFiles(shown) {
    const { controls, host } = shown;
    controls.file.addEventListener("change", () => controls.file.files.length && readFile(shown, controls.file.files[0]));
    const root = byId("plot");
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) readFile(shown, event.dataTransfer.files[0]);
    });
  }

  /* Both media, with room for velocities. */
  function rangeOf({ start, step, n }) {
    return [Math.round(start - 30), Math.round(start + step * n + 30)];
  }

  async function readFile(shown, file) {
    const { host, held, controls } = shown;
    try {
      const spectra = explorer.reading.read(await explorer.reading.textOf(file), rangeOf(host.network.grid));
      Object.assign(held, { spectra, index: 0, name: file.name, star: "", medium: spectra[0].medium ?? "vacuum" });
      controls.message.classList.remove("rvse-error");
      const flux = spectra[0].flux.filter(Number.isFinite).sort();
      const median = flux[flux.length >> 1];
      const normalised = median > 0.3 && median < 1.5;
      controls.message.textContent = messageOf(held, spectra[0], normalised);
      host.change({ star: "", velocity: 0, continuum: normalised ? "none" : "cubic" });
    } catch (error) {
      if (!(error instanceof explorer.tables.FileError)) console.error(error);
      const reason = error instanceof explorer.tables.FileError ? error.message : `cannot be read (${error.message}).`;
      controls.message.classList.add("rvse-error");
      controls.message.textContent = `${file.name} ${reason}`;
    }
  }

  function messageOf(held, spectrum, normalised) {
    const notes = [...spectrum.notes];
    if (!spectrum.medium) notes.push("the file does not say whether wavelengths are in air or vacuum: choose below");
    if (!normalised) notes.push("not normalised, so it is divided by a cubic");
    const count = held.spectra.length > 1 ? `${held.spectra.length} spectra, ` : "";
    const said = `${held.name}: ${count}${spectrum.wavelength.length} pixels`;
    return notes.length ? `${said}; ${notes.join("; ")}.` : `${said}.`;
  }

  /* The star that the state names, if it is not there yet. */
  async function bring(shown, key) {
    const { host, held, controls } = shown;
    held.star = key;
    const packed = host.network.examples[key];
    const [flux, error] = [await explorer.codes.floats(packed.flux), await explorer.codes.floats(packed.error)];
    if (held.star !== key) return;
    const wavelength = Float64Array.from(flux, (_, i) => packed.start + packed.step * i);
    controls.file.value = "";
    const spectrum = { title: packed.name, wavelength, flux: Float64Array.from(flux), error, medium: packed.medium, notes: [] };
    Object.assign(held, { spectra: [spectrum], index: 0, name: packed.name, medium: packed.medium });
    controls.message.classList.remove("rvse-error");
    controls.message.textContent = `${packed.name}: mean spectrum of Gaia DR3, in the rest frame of the star.`;
    host.change({});
  }

  function show(shown) {
    const { host, held, controls } = shown;
    const state = host.state();
    if (state.star && state.star !== held.star) bring(shown, state.star);
    if (!state.star && held.star) Object.assign(held, { spectra: [], index: 0, star: "" });
    controls.star.value = state.star;
    controls.options.hidden = !held.spectra.length;
    controls.continuum.value = state.continuum;
    controls.medium.value = held.medium;
    controls.velocity.value = state.velocity;
    controls.velocity.setAttribute("aria-valuetext", `${state.velocity} km/s`);
    if (Number(controls.velocityField.value) !== state.velocity || controls.velocityField.value === "") {
      controls.velocityField.value = state.velocity;
    }
    showTitles(held, controls);
  }

  function showTitles({ spectra, index }, { which }) {
    which.parentElement.hidden = spectra.length < 2;
    const titles = spectra.map((spectrum, i) => spectrum.title || `spectrum ${i + 1}`);
    if (titles.join("\n") !== [...which.options].map((option) => option.text).join("\n")) {
      which.replaceChildren(...titles.map((title, i) => element("option", { value: i }, title)));
    }
    which.value = index;
  }

  explorer.observed = { connect };
})((window.RvsExplorer = window.RvsExplorer || {}));
