/* Draws spectra on a canvas: flux against wavelength, names of lines above, residuals below. */
(function (explorer) {
  "use strict";

  const LEFT = 58;
  const RIGHT = 14;
  const BOTTOM = 44;
  const NAMES_ABOVE = 46; // room for names of lines
  const APART = 13; // least distance of two names
  const SHARE_OF_RESIDUALS = 0.27;
  const BETWEEN = 12;

  /* Boxes of the panels in a canvas of so many CSS pixels. */
  function layout(width, height, scene) {
    const top = scene.lines ? NAMES_ABOVE : 12;
    const room = height - top - BOTTOM;
    const below = scene.observed ? room * SHARE_OF_RESIDUALS : 0;
    const box = { left: LEFT, right: width - RIGHT };
    return {
      flux: { ...box, top, bottom: height - BOTTOM - below - (below ? BETWEEN : 0) },
      residual: below ? { ...box, top: height - BOTTOM - below, bottom: height - BOTTOM } : null,
    };
  }

  /* The smallest of 1, 2 and 5 times a power of ten that is not below `least`, but for rounding. */
  function niceStep(least) {
    const power = 10 ** Math.floor(Math.log10(least));
    return power * [1, 2, 5, 10].find((m) => m * power >= least * (1 - 1e-9));
  }

  /* Numbers for an axis, at most about `count`. */
  function ticks(low, high, count) {
    const step = niceStep((high - low) / count);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) out.push(i * step);
    return { at: out, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  function scale(low, high, from, to) {
    return (x) => from + ((x - low) / (high - low)) * (to - from);
  }

  /* Indices (first, after) of the points of increasing x within a range, and one more on either side. */
  function within(x, [low, high]) {
    const search = (value) => {
      let [a, b] = [0, x.length];
      while (a < b) {
        const middle = (a + b) >> 1;
        if (x[middle] < value) a = middle + 1;
        else b = middle;
      }
      return a;
    };
    return [Math.max(search(low) - 1, 0), Math.min(search(high) + 1, x.length)];
  }

  function extremes(curves, view) {
    let [low, high] = [Infinity, -Infinity];
    for (const { x, y } of curves) {
      const [first, after] = within(x, view);
      for (let i = first; i < after; i++) {
        if (y[i] < low) low = y[i];
        if (y[i] > high) high = y[i];
      }
    }
    return low <= high ? [low, high] : [0, 1];
  }

  /* Ends of sorted values, but for single ones that are far from all others. */
  function withoutSpikes(sorted) {
    const n = sorted.length;
    const [low, high] = [sorted[Math.floor(0.005 * n)], sorted[Math.ceil(0.995 * n) - 1]];
    const reach = 0.8 * (high - low);
    return [sorted[0] > low - reach ? sorted[0] : low, sorted[n - 1] < high + reach ? sorted[n - 1] : high];
  }

  /* Limits of the flux axis. Single bad pixels of an observed spectrum do not count above. */
  function fluxLimits(scene) {
    const curves = scene.curves.filter((curve) => curve.kind !== "observed");
    let [low, high] = extremes(curves, scene.view);
    const seen = scene.observed;
    if (seen) {
      const [first, after] = within(seen.x, scene.view);
      const some = Array.from(seen.y.subarray(first, after)).filter(Number.isFinite).sort((a, b) => a - b);
      if (some.length) {
        const [least, most] = withoutSpikes(some);
        low = Math.min(low, least);
        high = Math.max(high, most);
      }
    }
    const margin = Math.max(0.06 * (high - low), 0.002);
    return scene.zero ? [Math.min(0, low), Math.max(high + 0.05, 1.08)] : [low - margin, high + margin];
  }

  /* Symmetric, with room around the outermost of two or four numbers besides 0. */
  function residualLimits(scene) {
    const [first, after] = within(scene.observed.x, scene.view);
    const some = Array.from(scene.observed.residual.subarray(first, after)).filter(Number.isFinite).sort((a, b) => a - b);
    const size = some.length ? Math.max(...withoutSpikes(some).map(Math.abs), 0.004) * 1.15 : 0.05;
    const step = niceStep(size / 2.2);
    const limit = Math.max(size, 1.3 * step);
    return { limits: [-limit, limit], count: (2 * limit) / step };
  }

  function path(ctx, curve, view, x, y) {
    const [first, after] = within(curve.x, view);
    let pen = false;
    ctx.beginPath();
    for (let i = first; i < after; i++) {
      if (Number.isFinite(curve.y[i])) {
        if (pen) ctx.lineTo(x(curve.x[i]), y(curve.y[i]));
        else ctx.moveTo(x(curve.x[i]), y(curve.y[i]));
      }
      pen = Number.isFinite(curve.y[i]);
    }
    ctx.stroke();
  }

  function clipped(ctx, box, draw) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    ctx.clip();
    draw();
    ctx.restore();
  }

  /* Frame and vertical axis with about `count` numbers; `close`: others are close above and below. */
  function axes(ctx, box, limits, { label, count, close }, theme) {
    const y = scale(...limits, box.bottom, box.top);
    const { at, digits } = ticks(...limits, count);
    ctx.strokeStyle = theme.grid;
    ctx.fillStyle = theme.text;
    ctx.lineWidth = 1;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    for (const value of at) {
      if (close && Math.min(y(value) - box.top, box.bottom - y(value)) < 7) continue;
      ctx.beginPath();
      ctx.moveTo(box.left, y(value));
      ctx.lineTo(box.right, y(value));
      ctx.stroke();
      ctx.fillText(value.toFixed(digits).replace("-", "−"), box.left - 6, y(value));
    }
    ctx.save();
    ctx.translate(13, (box.top + box.bottom) / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.textAlign = "center";
    ctx.fillText(label, 0, 0);
    ctx.restore();
    ctx.strokeStyle = theme.muted;
    ctx.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    return y;
  }

  function wavelengthAxis(ctx, boxes, scene, x, theme) {
    const { left, right } = boxes.flux;
    const bottom = (boxes.residual ?? boxes.flux).bottom;
    const { at, digits } = ticks(...scene.view, Math.max(2, (right - left) / 64));
    ctx.textAlign = "center";
    ctx.textBaseline = "top";
    ctx.fillStyle = theme.text;
    ctx.strokeStyle = theme.muted;
    for (const value of at) {
      ctx.beginPath();
      ctx.moveTo(x(value), bottom);
      ctx.lineTo(x(value), bottom + 5);
      ctx.stroke();
      ctx.fillText(value.toFixed(digits), x(value), bottom + 8);
    }
    ctx.fillText(`Wavelength in ${scene.medium} (Å)`, (left + right) / 2, bottom + 26);
  }

  /* Those that come first have their names; others only where there is room. */
  function lineNames(ctx, box, scene, x, theme) {
    const placed = [];
    ctx.fillStyle = theme.text;
    ctx.strokeStyle = theme.muted;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    for (const line of scene.lines) {
      const at = x(line.wavelength);
      if (at < box.left || at > box.right) continue;
      ctx.beginPath();
      ctx.moveTo(at, box.top);
      ctx.lineTo(at, box.top + 8);
      ctx.stroke();
      if (placed.some((other) => Math.abs(other - at) < APART)) continue;
      placed.push(at);
      ctx.save();
      ctx.translate(at, box.top - 4);
      ctx.rotate(-Math.PI / 2);
      ctx.fillText(line.name, 0, 0);
      ctx.restore();
    }
  }

  function cursor(ctx, boxes, scene, x, theme) {
    if (scene.cursor === null) return;
    const at = x(scene.cursor);
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(at, boxes.flux.top);
    ctx.lineTo(at, (boxes.residual ?? boxes.flux).bottom);
    ctx.stroke();
  }

  /* What lies within the error of the observed flux on either side of 0. */
  function errorBand(ctx, { x, error }, view, toX, toY) {
    const [first, after] = within(x, view);
    let run = [];
    const fill = () => {
      ctx.beginPath();
      run.forEach((i) => ctx.lineTo(toX(x[i]), toY(error[i])));
      run.reverse().forEach((i) => ctx.lineTo(toX(x[i]), toY(-error[i])));
      ctx.fill();
      run = [];
    };
    for (let i = first; i < after; i++) {
      if (Number.isFinite(error[i])) run.push(i);
      else fill();
    }
    fill();
  }

  function residuals(ctx, box, scene, x, theme) {
    const { limits, count } = residualLimits(scene);
    const y = axes(ctx, box, limits, { label: "residual", count, close: true }, theme);
    clipped(ctx, box, () => {
      ctx.fillStyle = theme.band;
      if (scene.observed.error) errorBand(ctx, scene.observed, scene.view, x, y);
      ctx.strokeStyle = theme.observed;
      ctx.lineWidth = 1.1;
      path(ctx, { x: scene.observed.x, y: scene.observed.residual }, scene.view, x, y);
    });
  }

  /* scene: view (low, high), curves [{kind, x, y, dashed}] from back to front, observed {x, y, residual, error or null} or null,
     lines [{name, wavelength}] or null, zero, cursor or null, medium. */
  function draw(ctx, width, height, scene, theme) {
    const boxes = layout(width, height, scene);
    const x = scale(...scene.view, boxes.flux.left, boxes.flux.right);
    ctx.fillStyle = theme.background;
    ctx.fillRect(0, 0, width, height);
    ctx.font = theme.font;
    ctx.lineJoin = "round";
    const count = Math.max(3, (boxes.flux.bottom - boxes.flux.top) / 45);
    const y = axes(ctx, boxes.flux, fluxLimits(scene), { label: "normalised flux", count }, theme);
    wavelengthAxis(ctx, boxes, scene, x, theme);
    if (scene.lines) lineNames(ctx, boxes.flux, scene, x, theme);
    clipped(ctx, boxes.flux, () => {
      for (const curve of scene.curves) {
        ctx.strokeStyle = theme[curve.kind];
        ctx.lineWidth = curve.kind === "model" ? 1.7 : 1.2;
        ctx.setLineDash(curve.dashed ? [7, 3] : []);
        path(ctx, curve, scene.view, x, y);
      }
    });
    ctx.setLineDash([]);
    if (boxes.residual) residuals(ctx, boxes.residual, scene, x, theme);
    cursor(ctx, boxes, scene, x, theme);
  }

  /* Wavelength at a place of the canvas. */
  function wavelengthAt(place, width, view) {
    return view[0] + ((place - LEFT) / (width - LEFT - RIGHT)) * (view[1] - view[0]);
  }

  explorer.chart = { draw, wavelengthAt };
})((window.RvsExplorer = window.RvsExplorer || {}));
