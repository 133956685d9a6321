/** Verdicts in words. The service has the words (`/console/words.json`), the same as `mxcheck check` says. */

/** @type {Words} */
let words = { version: "", verdicts: {} };
let ready = Promise.resolve();

/**
 * Take the words once they are there. Without them a verdict is told by its code.
 * @param {Promise<Words>} asked
 */
export function use(asked) {
  ready = asked.then(
    (given) => {
      words = given;
    },
    () => {},
  );
}

/**
 * Something that is to be told in words, once they are there.
 * @template T
 * @param {Promise<T>} other
 */
export async function withWords(other) {
  const [value] = await Promise.all([other, ready]);
  return value;
}

/**
 * Whether this is a verdict; a value of the cache may be anything.
 * @param {string} text
 */
export function isVerdict(text) {
  return text === "l" || Object.hasOwn(words.verdicts, text.split(":")[0]);
}

/**
 * What speaks for or against a domain with this verdict.
 * @param {string} verdict such as `gd` or `err:550`
 */
export function kindOf(verdict) {
  return told(verdict).kind;
}

/**
 * One sentence about a domain.
 * @param {DomainReply} reply
 */
export function sentence(reply) {
  const { domain, host, verdict } = reply;
  const { sentence: template } = told(verdict);
  const key = keyOf(reply);
  const filled = key === undefined ? template.replace(": {key}", "") : template;
  // All at once: what is put in may have braces of its own.
  /** @type {Record<string, string | undefined>} */
  const values = { host, code: codeOf(verdict), key };
  const meaning = filled.replace(/\{(host|code|key)\}/g, (_, name) => values[name] ?? "");
  if (template.startsWith("{host}")) return host === domain ? meaning : `${domain}: ${meaning}`;
  return /^[A-Z]/.test(template) ? `${domain}: ${meaning}` : `${domain} ${meaning}`;
}

/**
 * A verdict, in few words.
 * @param {string} verdict
 */
export function short(verdict) {
  if (verdict === "l") return "a probe is under way";
  const code = codeOf(verdict);
  const words = told(verdict).sentence.replace(/^.*\{host\} /, "").replace(/: \{key\}$/, "");
  return code ? words.replace("{code}", () => code) : words.replace(" ({code})", "");
}

/**
 * Where a domain was found.
 * @param {string} source
 */
export function sourceName(source) {
  return { from: "envelope", reply_to: "Reply-To", mime_from: "From" }[source] ?? source;
}

/** @param {string} verdict */
function told(verdict) {
  const base = verdict.split(":")[0];
  // Not what objects have of their own, such as a verdict `constructor`.
  return Object.hasOwn(words.verdicts, base)
    ? words.verdicts[base]
    : { sentence: `ended with ${verdict}`, kind: /** @type {Kind} */ ("unknown") };
}

/** @param {string} verdict */
function codeOf(verdict) {
  return verdict.split(":")[1] ?? "";
}

/**
 * The key of the map that hit.
 * @param {DomainReply} reply
 */
function keyOf(reply) {
  const setting = { bad_mx: "bad_mxs", bad_ip: "bad_ips" }[reply.verdict];
  return reply.trace?.find((step) => step.step === "map" && step.setting === setting)?.key;
}
