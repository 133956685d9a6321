/** What is asked about: as fields of the form, as the query of a link, and as the body of a check. */

export const FIELDS = /** @type {const} */ (["sender", "mime_from", "reply_to", "helo", "client_ip"]);

export function nothing() {
  return { sender: "", mime_from: "", reply_to: "", helo: "", client_ip: "", authenticated: false };
}

/** @param {Question} question */
export function isEmpty(question) {
  return FIELDS.every((name) => !question[name].trim());
}

/** @param {string} search such as `?sender=a%40b.example` */
export function fromQuery(search) {
  const query = new URLSearchParams(search);
  const question = nothing();
  for (const name of FIELDS) question[name] = query.getAll(name).join("\n");
  question.authenticated = /^(1|true|on|yes)$/i.test(query.get("authenticated") ?? "");
  return question;
}

/** @param {Question} question */
export function toQuery(question) {
  const query = new URLSearchParams();
  for (const name of FIELDS) for (const line of lines(question[name])) query.append(name, line);
  if (question.authenticated) query.set("authenticated", "1");
  return `?${query}`;
}

/**
 * The body of `POST /v1/check`. A domain is asked about as its postmaster would be, as `mxcheck check` does.
 * @param {Question} question
 */
export function toBody(question) {
  /** @type {CheckRequest} */
  const body = {};
  const sender = question.sender.trim();
  if (sender) body.sender = sender.includes("@") || sender === "<>" ? sender : `postmaster@${sender}`;
  for (const name of /** @type {const} */ (["mime_from", "reply_to"])) {
    const values = lines(question[name]);
    if (values.length) body[name] = values.length === 1 ? values[0] : values;
  }
  if (question.helo.trim()) body.helo = question.helo.trim();
  if (question.client_ip.trim()) body.client_ip = question.client_ip.trim();
  if (question.authenticated) body.authenticated = true;
  return body;
}

/**
 * The link that looks a domain up.
 * @param {string} domain
 */
export function linkTo(domain) {
  return toQuery({ ...nothing(), sender: `postmaster@${domain}` });
}

/** @param {string} text */
function lines(text) {
  return text.split(/[\r\n]+/).map((line) => line.trim()).filter(Boolean);
}
