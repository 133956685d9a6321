/** How things are written for a person: text from the wire, times, numbers. */

// Python's str.isprintable, as mxcheck_service/log.py has it: what controls, hides or turns text, and blanks but the space.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

/**
 * Text with whatever cannot be seen, or changes how the rest is seen, written as an escape.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(UNPRINTABLE, (char) => {
    const code = /** @type {number} */ (char.codePointAt(0));
    return code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`;
  });
}

/**
 * JSON in ASCII, so that a terminal shows what is sent and obeys none of it.
 * @param {unknown} value
 */
export function asciiJson(value) {
  // What JSON.stringify escapes of its own accord (controls, lone surrogates) is ASCII already.
  return JSON.stringify(value).replace(/[\x7f-\uffff]/g, (char) => `\\u${hex(char.charCodeAt(0), 4)}`);
}

/** @param {number} ms */
export function milliseconds(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 100) return `${ms.toFixed(0)} ms`;
  if (ms === 0) return "0 ms";
  return ms >= 1 ? `${ms.toFixed(1)} ms` : `${ms.toFixed(2)} ms`;
}

/**
 * A time that people count in seconds, minutes, hours or days.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 1) return "under 1 s";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 2 * 86_400 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** @param {number} unix seconds */
export function clock(unix) {
  const date = new Date(unix * 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** @param {number} value */
export function count(value) {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** @param {number} value @param {string} one such as "time" @param {string} [many] */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** @param {number | null | undefined} ratio */
export function percent(ratio) {
  if (ratio === null || ratio === undefined) return "–";
  const value = ratio * 100;
  return `${value > 99 && value < 100 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** @param {number} score */
export function signed(score) {
  const text = (Math.round(score * 100) / 100).toFixed(Number.isInteger(score * 10) ? 1 : 2);
  return score > 0 ? `+${text}` : text.replace("-", "−");
}

/** @param {number} code @param {number} digits */
function hex(code, digits) {
  return code.toString(16).padStart(digits, "0");
}
