/* From the text of weights.js to arrays of numbers: base 85, zlib, whole numbers with a scale for each row. */
(function (explorer) {
  "use strict";

  const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
  const DIGITS = new Uint8Array(128);
  for (let i = 0; i < 85; i++) DIGITS[ALPHABET.charCodeAt(i)] = i;

  /* Bytes of a text in base 85 (RFC 1924's alphabet, groups of 5 characters for 4 bytes, the last one shortened). */
  function fromBase85(text) {
    const missing = (5 - (text.length % 5)) % 5;
    const out = new Uint8Array(((text.length + missing) / 5) * 4);
    for (let i = 0, k = 0; i < text.length; i += 5, k += 4) {
      let value = 0;
      for (let j = 0; j < 5; j++) value = value * 85 + (i + j < text.length ? DIGITS[text.charCodeAt(i + j)] : 84);
      out[k] = value / 16777216;
      out[k + 1] = value >>> 16;
      out[k + 2] = value >>> 8;
      out[k + 3] = value;
    }
    return out.subarray(0, out.length - missing);
  }

  async function inflate(bytes, format) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function floats(packed) {
    const bytes = await inflate(fromBase85(packed.data), "deflate");
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: packed.columns }, (_, i) => view.getFloat32(4 * i, true));
  }

  /* Row after row. The bytes are the scales of the rows (float32), all low bytes, all high bytes. */
  async function matrix(packed) {
    const { rows, columns } = packed;
    const bytes = await inflate(fromBase85(packed.data), "deflate");
    const scales = new DataView(bytes.buffer);
    const out = new Float32Array(rows * columns);
    const low = 4 * rows;
    const high = low + rows * columns;
    for (let i = 0, k = 0; i < rows; i++) {
      const scale = scales.getFloat32(4 * i, true);
      for (let j = 0; j < columns; j++, k++) out[k] = scale * (((bytes[high + k] << 24) >> 16) | bytes[low + k]);
    }
    return out;
  }

  explorer.codes = { floats, fromBase85, inflate, matrix };
})((window.RvsExplorer = window.RvsExplorer || {}));
