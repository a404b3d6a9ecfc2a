/* Files and links to take away: CSV as rvsemu.spectra.write_spectrum writes it, PNG, and the address of the page. */
(function (explorer) {
  "use strict";

  const quoted = (text) => `"${text.replace(/"/g, '""')}"`;

  /* Spectrum and all that is known of it. sigma is the emulator's own error. */
  function csv({ wavelength, flux, sigma, medium }, values, network) {
    const quantity = (label) => ({ value: values[label.name], unit: label.unit });
    const stated = {
      units: { wavelength: "Angstrom", flux: "", uncertainty: "" },
      pixels: wavelength.length,
      masked: false,
      uncertainty: "std",
      radial_velocity: null,
      meta: {
        labels: Object.fromEntries(network.labels.map((label) => [label.name, quantity(label)])),
        medium,
        frame: "rest",
        recipe: network.recipe,
        emulator_version: network.version,
        extrapolated: explorer.labels.outside(network, values),
      },
    };
    const rows = Array.from(wavelength, (x, i) => `${x.toFixed(4)},${flux[i].toFixed(7)},${sigma[i].toExponential(4)},`);
    rows[0] += quoted(JSON.stringify(stated));
    return `wavelength,flux,uncertainty,rvsemu\n${rows.join("\n")}\n`;
  }

  function save(name, blob) {
    const link = explorer.controls.element("a", { download: name, href: URL.createObjectURL(blob) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  /* "rvsemu-5777-4.44-..." */
  function fileName(values, network, ending) {
    return `rvsemu-${network.labels.map((label) => explorer.labels.number(values[label.name])).join("_")}.${ending}`;
  }

  const WIDTH = 1200;
  const HEIGHT = 560;
  const RATIO = 2;

  const KINDS = { observed: "observed", pinned: "kept", model: "computed" };

  /* Names of the curves in their colours, up to the right end. */
  function legend(ctx, scene, theme, right) {
    let end = right;
    for (const { kind } of scene.curves) {
      ctx.fillStyle = theme[kind];
      end -= ctx.measureText(KINDS[kind]).width;
      ctx.fillText(KINDS[kind], end, 22);
      end -= 16;
    }
  }

  /* The chart in the light colours, with a title, as a Blob. */
  function png(scene, theme, title) {
    const canvas = document.createElement("canvas");
    const above = 34;
    [canvas.width, canvas.height] = [WIDTH * RATIO, (HEIGHT + above) * RATIO];
    const ctx = canvas.getContext("2d");
    ctx.scale(RATIO, RATIO);
    ctx.fillStyle = theme.background;
    ctx.fillRect(0, 0, WIDTH, HEIGHT + above);
    ctx.fillStyle = theme.text;
    ctx.font = theme.font;
    ctx.fillText(title, 58, 22);
    legend(ctx, scene, theme, WIDTH - 14);
    ctx.translate(0, above);
    explorer.chart.draw(ctx, WIDTH, HEIGHT, scene, theme);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  /* Puts a text on the clipboard; false where the browser does not let it (pages from a disk, for example). */
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false;
    }
  }

  explorer.exporting = { copy, csv, fileName, png, save };
})((window.RvsExplorer = window.RvsExplorer || {}));
