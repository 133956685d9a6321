/** The same question as a line for a shell. */

import { asciiJson } from "./text.js";

/**
 * A word of a POSIX shell that stands for just this text.
 * @param {string} text
 */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * @param {string} url of the endpoint
 * @param {CheckRequest} body
 * @param {boolean} withToken a token is in use; its name is written, never the token
 */
export function curlLine(url, body, withToken) {
  return [
    "curl -sS",
    quoted(url),
    withToken ? '-H "Authorization: Bearer $MXCHECK_TOKEN"' : "",
    "-H 'Content-Type: application/json'",
    // ASCII: whoever pastes the line sees all of it, and no shell or terminal reads anything else out of it.
    `-d ${quoted(asciiJson(body))}`,
  ].filter(Boolean).join(" ");
}
