/* The visible range of wavelengths: by pointer, wheel, fingers, keys and buttons. */
(function (explorer) {
  "use strict";

  const NARROWEST = 4; // A
  const ZOOM = 1.5;
  const PAN = 0.2; // of the range

  /* A range within the limits, not narrower than NARROWEST. */
  function fitted([low, high], [least, most]) {
    const width = Math.min(Math.max(high - low, NARROWEST), most - least);
    const start = Math.min(Math.max((low + high - width) / 2, least), most - width);
    return [start, start + width];
  }

  function zoomed([low, high], factor, about = (low + high) / 2) {
    return [about - (about - low) / factor, about + (high - about) / factor];
  }

  const shifted = ([low, high], share) => [low + share * (high - low), high + share * (high - low)];

  const ACTIONS = {
    in: (view) => zoomed(view, ZOOM),
    out: (view) => zoomed(view, 1 / ZOOM),
    left: (view) => shifted(view, -PAN),
    right: (view) => shifted(view, PAN),
    all: (view, limits) => limits,
  };
  const KEYS = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", Home: "all", 0: "all" };

  /* Connects a canvas and buttons with data-view. host: view(), limits(), setView(view), setCursor(wavelength or null). */
  function connect(canvas, buttons, host) {
    const act = (name) => host.setView(fitted(ACTIONS[name](host.view(), host.limits()), host.limits()));
    for (const button of buttons) button.addEventListener("click", () => act(button.dataset.view));
    canvas.addEventListener("keydown", (event) => {
      const name = KEYS[event.key];
      if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act(name);
    });
    canvas.addEventListener("dblclick", () => act("all"));
    connectWheel(canvas, host);
    connectPointers(canvas, host);
  }

  const wavelengthOf = (canvas, host, clientX) => {
    const box = canvas.getBoundingClientRect();
    return explorer.chart.wavelengthAt(clientX - box.left, box.width, host.view());
  };

  /* The wheel belongs to the page, unless Ctrl is held (as when fingers pinch a touchpad) or it turns sideways. */
  function connectWheel(canvas, host) {
    const turn = (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (!event.ctrlKey && !sideways) return;
      event.preventDefault();
      const about = wavelengthOf(canvas, host, event.clientX);
      const view = sideways
        ? shifted(host.view(), event.deltaX / canvas.clientWidth)
        : zoomed(host.view(), Math.exp(-event.deltaY / 150), about);
      host.setView(fitted(view, host.limits()));
    };
    canvas.addEventListener("wheel", turn, { passive: false });
  }

  /* One pointer moves the spectrum along, two stretch it. */
  function connectPointers(canvas, host) {
    const held = new Map(); // pointer -> the wavelength that it holds
    const forget = (event) => held.delete(event.pointerId);
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, { wavelength: wavelengthOf(canvas, host, event.clientX), x: event.clientX });
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held.has(event.pointerId)) return host.setCursor(wavelengthOf(canvas, host, event.clientX));
      held.get(event.pointerId).x = event.clientX;
      host.setView(fitted(dragged(canvas, host, [...held.values()]), host.limits()));
    });
    canvas.addEventListener("pointerup", forget);
    canvas.addEventListener("pointercancel", forget);
    canvas.addEventListener("pointerleave", () => host.setCursor(null));
  }

  /* The range in which the held wavelengths are where the pointers are. */
  function dragged(canvas, host, [a, b]) {
    const view = host.view();
    const at = (pointer) => wavelengthOf(canvas, host, pointer.x);
    if (!b) return view.map((edge) => edge + a.wavelength - at(a));
    const factor = (at(b) - at(a)) / (b.wavelength - a.wavelength);
    if (!(factor > 0.1 && factor < 10)) return view;
    return view.map((edge) => a.wavelength + (edge - at(a)) / factor);
  }

  explorer.view = { connect, fitted };
})((window.RvsExplorer = window.RvsExplorer || {}));
