/* Colours of the chart, in light and in dark: those of Okabe & Ito (2008), which people with any kind of colour vision
   can tell apart. Those of the controls are in explorer.css. */
(function (explorer) {
  "use strict";

  const FONT = '13px -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const LIGHT = {
    font: FONT,
    background: "#ffffff",
    text: "#1c1c1c",
    muted: "#8a8a8a",
    grid: "#e6e6e6",
    band: "#56b4e966",
    model: "#0072B2",
    observed: "#D55E00",
    pinned: "#CC79A7",
  };
  const DARK = {
    font: FONT,
    background: "#14181e",
    text: "#e4e4e4",
    muted: "#7c848e",
    grid: "#2b313a",
    band: "#56b4e955",
    model: "#56B4E9",
    observed: "#E69F00",
    pinned: "#CC79A7",
  };

  const system = window.matchMedia("(prefers-color-scheme: dark)");

  /* The page may say it (attribute data-theme); otherwise it is as the system has it. */
  function current() {
    const said = document.documentElement.dataset.theme;
    return (said === "dark" || said === "light" ? said === "dark" : system.matches) ? DARK : LIGHT;
  }

  function watch(onChange) {
    system.addEventListener("change", onChange);
    new MutationObserver(onChange).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  explorer.theme = { LIGHT, current, watch };
})((window.RvsExplorer = window.RvsExplorer || {}));
