/* Spectra out of files: those of the Gaia archive (one row for each pixel, or arrays in cells), those that rvsemu
   writes, and simple tables of wavelength, flux and perhaps error. */
(function (explorer) {
  "use strict";

  const { FileError, number, parse } = explorer.tables;

  const NAMES = {
    wavelength: /^(wavelengths?|wave?|wvl|wl|lambda|lam|λ|spectral_axis)([ _-]?(air|vac|vacuum))?$/,
    flux: /^(flux|normali[sz]ed_flux|norm_flux|flux_norm(ali[sz]ed)?|intensity|spectrum|f)$/,
    error: /^(flux[_ ]?(error|err|sigma|unc|uncertainty|std)|e_flux|error|err|sigma|uncertainty|std|noise)$/,
    mask: /^mask$/, // in files of rvsemu, true where a pixel is bad
  };
  const TRUE = /^(true|1)$/i;
  const ERRORS = { std: (x) => x, var: Math.sqrt, ivar: (x) => 1 / Math.sqrt(x) }; // of what rvsemu calls uncertainty
  const ANGSTROM = { nm: 10, nanometer: 10, angstrom: 1, angstroms: 1, aa: 1, a: 1, å: 1, "0.1nm": 1, um: 1e4, "µm": 1e4, micron: 1e4, m: 1e10 };
  const GAIA = ["combined_transits", "combined_ccds", "deblended_ccds", "solution_id"];
  const GRID_STEPS = { 2401: 0.1, 961: 0.25 }; // of Gaia's spectra, which begin at 8460 A in vacuum
  const GRID_START = 8460;
  const FEWEST = 50; // pixels
  const LARGEST = 40e6; // bytes

  /* Name and unit of a column "wavelength [nm]", "wave (A)" or "lambda_nm". */
  function split(heading) {
    const match = /^(.*?)\s*[[(]([^\])]*)[\])]$/.exec(heading) ?? /^(.*?)_(nm|angstrom|aa|a|um|micron)$/i.exec(heading);
    return { name: (match ? match[1] : heading).trim().toLowerCase(), unit: match ? match[2].trim() : "" };
  }

  /* Where wavelength, flux and error are: {wavelength: {index, unit, name}, ...}. */
  function columnsOf(table, stated, notes) {
    const order = ["wavelength", "flux", "error"];
    const headings = table.headings.map(split);
    const found = {};
    for (const kind of stated ? [...order, "mask"] : order) {
      const index = headings.findIndex((heading) => NAMES[kind].test(heading.name));
      if (index >= 0) found[kind] = { index, ...headings[index] };
    }
    if (!Object.keys(found).length && table.width <= 3) {
      if (table.width < 2) throw new FileError("has one column: give wavelength and flux, and if you have it the error.");
      notes.push(`columns taken as ${order.slice(0, table.width).join(", ")}`);
      order.slice(0, table.width).forEach((kind, index) => (found[kind] = { index, name: "", unit: "" }));
    }
    if (!found.flux) {
      const names = table.names ? `its columns are ${table.headings.slice(0, 12).join(", ")}` : `it has ${table.width} columns without names`;
      throw new FileError(`has no column that is called flux: ${names}. Name them wavelength, flux, flux_error.`);
    }
    return found;
  }

  function numbers(cells, what) {
    return Float64Array.from(cells, (cell, i) => {
      const value = number(cell);
      if (value === undefined) throw new FileError(`has '${String(cell).slice(0, 20)}' in place of a number (${what}, row ${i + 1}).`);
      return value;
    });
  }

  const isArray = (cell) => /^[[({]/.test(cell ?? "");
  const inside = (cell) => cell.replace(/^[[({]|[\])}]$/g, "").trim().split(/\s*,\s*|\s+/);

  /* One set of texts for each spectrum: a row with arrays, or the rows of one source and transit. */
  function groups(table, columns) {
    const kinds = Object.entries(columns);
    const at = (name) => (table.names ?? []).indexOf(name);
    const title = (row) => ["source_id", "transit_id"].filter((name) => at(name) >= 0).map((name) => row[at(name)]).join(" ");
    if (isArray(table.rows[0][columns.flux.index]))
      return table.rows.map((row) => ({ title: title(row), ...Object.fromEntries(kinds.map(([kind, { index }]) => [kind, inside(row[index])])) }));
    const byTitle = new Map();
    for (const row of table.rows) {
      const name = title(row);
      if (!byTitle.has(name)) byTitle.set(name, []);
      byTitle.get(name).push(row);
    }
    return [...byTitle].map(([name, rows]) => ({ title: name, ...Object.fromEntries(kinds.map(([kind, { index }]) => [kind, rows.map((row) => row[index])])) }));
  }

  /* Angstrom for one unit of the file's wavelengths. */
  function scaleOf(unit, wavelength, gaia, notes) {
    if (unit) {
      const scale = ANGSTROM[unit.toLowerCase()];
      if (!scale) throw new FileError(`has wavelengths in '${unit}': give nm or Angstrom.`);
      return scale;
    }
    if (gaia) return 10;
    const middle = wavelength[wavelength.length >> 1];
    const [name, scale] = [["nm", 10], ["Angstrom", 1], ["µm", 1e4]].find(([, s]) => middle * s > 8000 && middle * s < 9200) ?? [];
    if (!scale) throw new FileError(`has no unit for its wavelengths, and ${middle} is in the RVS range neither as nm nor as Angstrom. Name the column wavelength [nm] or wavelength [Angstrom].`);
    notes.push(`no unit given, wavelengths taken as ${name}`);
    return scale;
  }

  /* "air", "vacuum", or null where the file does not say. */
  function mediumOf(table, columns, stated, gaia) {
    const said = stated?.meta?.medium ?? table.meta.medium;
    if (said === "air" || said === "vacuum") return said;
    if (gaia) return "vacuum";
    const text = `${columns.wavelength?.name ?? ""} ${table.text}`.replace(/_/g, " ");
    const [air, vacuum] = [/\bair\b/i.test(text), /\bvac(uum)?\b/i.test(text)];
    return air === vacuum ? null : air ? "air" : "vacuum";
  }

  /* What rvsemu writes beside the columns, if it wrote the table: in a column of CSV, in the header of ECSV. */
  function statedBy(table) {
    const index = (table.names ?? []).indexOf("rvsemu");
    const text = index < 0 ? /^# - \{rvsemu: '(.*)'\}$/m.exec(table.text)?.[1] : table.rows[0][index];
    if (text === undefined) return null;
    try {
      return JSON.parse(text);
    } catch {
      throw new FileError("is one of rvsemu whose entry rvsemu cannot be read: is it complete?");
    }
  }

  /* Points with a wavelength, by increasing wavelength. */
  function sorted(spectrum) {
    const order = [...spectrum.wavelength.keys()].filter((i) => Number.isFinite(spectrum.wavelength[i]));
    order.sort((i, j) => spectrum.wavelength[i] - spectrum.wavelength[j]);
    const take = (values) => values && Float64Array.from(order, (i) => values[i]);
    return { ...spectrum, wavelength: take(spectrum.wavelength), flux: take(spectrum.flux), error: take(spectrum.error) };
  }

  function wavelengthsOf(group, n) {
    if (group.wavelength) return numbers(group.wavelength, "wavelength");
    const step = GRID_STEPS[n];
    if (!step) throw new FileError("has no column that is called wavelength, and not the number of pixels of Gaia's spectra.");
    return Float64Array.from({ length: n }, (_, i) => (GRID_START + step * i) / 10);
  }

  /* Errors of the fluxes, of whatever kind the file has them; null where it has none, or says not which. */
  function errorsOf(group, kind) {
    return group.error && kind in ERRORS ? numbers(group.error, "error").map(ERRORS[kind]) : null;
  }

  /* Fluxes, NaN where the pixel is masked or its error is no error, as rvsemu.read_rvs takes them. */
  function fluxesOf(group, error) {
    const bad = (i) => TRUE.test(group.mask?.[i] ?? "") || (error && !(error[i] > 0 && error[i] < Infinity));
    return numbers(group.flux, "flux").map((y, i) => (bad(i) ? NaN : y));
  }

  function spectrumOf(group, context, range) {
    const { notes, unit, gaia } = context;
    const own = [...notes];
    const error = errorsOf(group, context.kind);
    const flux = fluxesOf(group, error);
    const wavelength = wavelengthsOf(group, flux.length);
    if (wavelength.length !== flux.length) throw new FileError(`has ${wavelength.length} wavelengths and ${flux.length} fluxes.`);
    const scale = scaleOf(group.wavelength ? unit : "nm", wavelength, gaia, own);
    const spectrum = { title: group.title, medium: context.medium, notes: own, ...sorted({ wavelength: wavelength.map((x) => x * scale), flux, error }) };
    const good = spectrum.wavelength.filter((x, i) => x >= range[0] && x <= range[1] && Number.isFinite(spectrum.flux[i]));
    if (good.length < FEWEST) {
      const span = spectrum.wavelength.length ? `${spectrum.wavelength[0].toFixed(1)} to ${spectrum.wavelength.at(-1).toFixed(1)} Å` : "none";
      throw new FileError(`has ${good.length} pixels with a flux between ${range[0]} and ${range[1]} Å (its wavelengths: ${span}); ${FEWEST} are needed, whose errors, if any, are above 0.`);
    }
    return spectrum;
  }

  /* Spectra of a text, {title, wavelength (A), flux, error or null, medium or null, notes}; range: (low, high) in A. */
  function read(text, range) {
    const table = parse(text);
    const stated = statedBy(table);
    const notes = [];
    const columns = columnsOf(table, stated, notes);
    const gaia = !stated && GAIA.some((name) => (table.names ?? []).includes(name) || name in table.meta);
    const name = columns.wavelength?.name;
    const unit = columns.wavelength?.unit || table.units[name] || stated?.units?.wavelength || "";
    const medium = mediumOf(table, columns, stated, gaia || !columns.wavelength);
    const context = { notes, unit, gaia, medium, kind: stated?.uncertainty ?? "std" };
    return groups(table, columns).map((group) => spectrumOf(group, context, range));
  }

  const BINARY = [
    ["SIMPLE", "a FITS file"],
    ["PK", "a zip archive"],
    ["\u0089HDF", "an HDF5 file"],
    ["<?xml", "a VOTable, or other XML"],
    ["<VOTABLE", "a VOTable"],
    ["%PDF", "a PDF file"],
  ];

  /* The text of a File, uncompressed if it is gzip. */
  async function textOf(file) {
    if (file.size > LARGEST) throw new FileError(`has ${Math.round(file.size / 1e6)} MB; up to ${LARGEST / 1e6} MB are read.`);
    let bytes = new Uint8Array(await file.arrayBuffer());
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
      try {
        bytes = await explorer.codes.inflate(bytes, "gzip");
      } catch {
        throw new FileError("is a damaged gzip file.");
      }
    }
    const start = String.fromCharCode(...bytes.subarray(0, 12));
    const kind = BINARY.find(([mark]) => start.startsWith(mark));
    if (kind) throw new FileError(`is ${kind[1]}: this page reads text, CSV or ECSV (rvsemu itself reads VOTable, FITS and zip).`);
    const utf16 = bytes[0] === 0xff && bytes[1] === 0xfe;
    if (!utf16 && bytes.subarray(0, 1000).includes(0)) throw new FileError("is not text: give CSV, ECSV, or columns of numbers.");
    return new TextDecoder(utf16 ? "utf-16le" : "utf-8").decode(bytes);
  }

  explorer.reading = { read, textOf };
})((window.RvsExplorer = window.RvsExplorer || {}));
