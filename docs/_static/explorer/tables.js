/* From the text of a file to a table: CSV, ECSV, or columns between blanks, tabs or semicolons. */
(function (explorer) {
  "use strict";

  const MISSING = /^(nan|null|none|--|na|n\/a|)$/i;

  /* What is wrong with a file, for its reader. */
  class FileError extends Error {}

  /* Cells of a line; those in double quotes may hold the delimiter, and "" for a quote. */
  function cells(line, delimiter) {
    if (!line.includes('"')) return delimiter === " " ? line.trim().split(/\s+/) : line.split(delimiter).map(trim);
    const out = [];
    let cell = "";
    let quoted = false;
    for (let i = 0; i < line.length; i++) {
      const c = line[i];
      if (c === '"' && quoted && line[i + 1] === '"') cell += line[++i];
      else if (c === '"') quoted = !quoted;
      else if (!quoted && c === delimiter) {
        out.push(cell.trim());
        cell = "";
      } else cell += c;
    }
    return [...out, cell.trim()];
  }

  const trim = (text) => text.trim();

  function delimiterOf(line) {
    const plain = line.replace(/"[^"]*"/g, "");
    return [",", "\t", ";"].find((delimiter) => plain.includes(delimiter)) ?? " ";
  }

  /* NaN where there is no value, undefined where there is something else than a number. */
  function number(cell) {
    if (cell === undefined || MISSING.test(cell)) return NaN;
    const value = Number(cell.replace(/[dD](?=[+-]?\d+$)/, "e"));
    return Number.isNaN(value) ? undefined : value;
  }

  /* Units and plain values in the comments of an ECSV header, or of any "# name: value". */
  function header(comments) {
    const out = { units: {}, meta: {}, text: comments.join("\n") };
    for (const line of comments) {
      const column = /\{\s*name:\s*['"]?([^,'"}]+)['"]?\s*,(.*)\}/.exec(line);
      const unit = column && /\bunit:\s*['"]?([^,'"}]+)/.exec(column[2]);
      const value = /^#\s*(?:-\s*\{)?\s*(\w+)\s*[:=]\s*['"]?([^'"}]*)/.exec(line);
      if (unit) out.units[column[1].trim().toLowerCase()] = unit[1].trim();
      else if (value && !column) out.meta[value[1].toLowerCase()] = value[2].trim();
    }
    return out;
  }

  /* Names in lower case, the same as they are, rows of cells as text, and what comments say. */
  function parse(text) {
    const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/);
    const comments = lines.filter((line) => line.startsWith("#"));
    const rest = lines.filter((line) => line.trim() && !line.startsWith("#"));
    if (!rest.length) throw new FileError("has no rows.");
    const delimiter = delimiterOf(rest[0]);
    const first = cells(rest[0], delimiter);
    const named = first.some((cell) => number(cell) === undefined);
    const names = named ? first.map((name) => name.toLowerCase()) : null;
    const rows = rest.slice(named ? 1 : 0).map((line) => cells(line, delimiter));
    if (!rows.length) throw new FileError("has a line of names and no rows.");
    const short = rows.findIndex((row) => row.length < Math.min(2, first.length) || (names && row.length < names.length));
    if (short >= 0) throw new FileError(`has ${rows[short].length} cells in row ${short + 1} instead of ${first.length}: is it complete?`);
    return { names, headings: named ? first : [], width: first.length, rows, ...header(comments) };
  }

  explorer.tables = { FileError, number, parse };
})((window.RvsExplorer = window.RvsExplorer || {}));
