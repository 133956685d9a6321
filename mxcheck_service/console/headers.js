/** Message headers, as a person copies them out of a mail program, to what a check asks for. */

import { nothing } from "./question.js";

const FIELD = /^([!-9;-~]+)[ \t]*:(.*)$/;
// In brackets what the server saw comes before what the client said, which may be an address, too.
const SEEN = /\([^()]*\[(?:IPv6:)?([0-9a-f.:]{2,45})\]/i;
const ADDRESS = /\[(?:IPv6:)?([0-9a-f.:]{2,45})\]/i;
const BARE_V4 = /\((?:[^()]*[\s@])?(\d{1,3}(?:\.\d{1,3}){3})\)/;
const LOOPBACK = /^(127\.|::1$)/;

/**
 * The header fields of a message, in order: names in lower case, values unfolded. Reading ends with the body.
 * @param {string} text
 */
export function fields(text) {
  /** @type {{name: string, value: string}[]} */
  const found = [];
  for (const line of text.replace(/^\s*\n/, "").split(/\r\n|\r|\n/)) {
    if (!line.trim()) break;
    const last = found[found.length - 1];
    if (/^[ \t]/.test(line) && last) {
      last.value = `${last.value} ${line.trim()}`.trim();
      continue;
    }
    const match = FIELD.exec(line.trimStart());
    if (match) found.push({ name: match[1].toLowerCase(), value: match[2].trim() });
  }
  return found;
}

/**
 * What the headers tell of sender and client.
 * @param {string} text
 */
export function fromHeaders(text) {
  const found = fields(text);
  /** @param {string} name */
  const all = (name) => found.filter((field) => field.name === name && field.value).map((field) => field.value);
  const question = { ...nothing(), ...client(all("received")) };
  const [envelope] = [...all("return-path"), ...all("x-envelope-from")];
  if (envelope !== undefined) question.sender = bare(envelope);
  question.mime_from = all("from").join("\n");
  question.reply_to = all("reply-to").slice(0, 1).join("");
  return question.sender || question.mime_from || question.reply_to || question.helo || question.client_ip ? question : null;
}

/**
 * HELO and address of the client, from the topmost Received that names the address of another host. Above it may
 * stand how the message was handed on inside the host.
 * @param {string[]} received
 */
function client(received) {
  for (const value of received) {
    const origin = /^from (.*?)(?: by |;|$)/i.exec(value.replace(/\s+/g, " "))?.[1];
    if (origin === undefined) continue;
    const address = (SEEN.exec(origin) ?? BARE_V4.exec(origin) ?? ADDRESS.exec(origin))?.[1];
    if (address && !LOOPBACK.test(address)) return { helo: helo(origin), client_ip: address };
  }
  return {};
}

/**
 * The name that was given in HELO: sendmail and Postfix have it first, exim and qmail tell it by name.
 * @param {string} origin
 */
function helo(origin) {
  const told = /\bhelo[= ]([^\s()]+)/i.exec(origin)?.[1];
  if (told) return told;
  const first = origin.split(" ")[0];
  return first.startsWith("[") ? "" : first;
}

/**
 * The address of a Return-Path; the null sender stays `<>`.
 * @param {string} value
 */
function bare(value) {
  const inside = /<([^<>]*)>/.exec(value);
  return inside ? inside[1].trim() || "<>" : value;
}
