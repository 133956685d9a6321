/** The trace of a domain as a path: the domain, its hosts by preference, their addresses. */

/** @param {DomainReply} reply @returns {Path} */
export function pathOf(reply) {
  return new Reading(reply).path();
}

/**
 * The entries of the cache that a look-up read, each once.
 * @param {TraceStep[]} trace
 * @returns {{layer: string, key: string}[]}
 */
export function entriesOf(trace) {
  const found = new Map();
  for (const { step, layer = "", key = "" } of trace) if (step === "cache") found.set(`${layer}/${key}`, { layer, key });
  return [...found.values()];
}

/**
 * The addresses in a value of the cache, such as `v4:192.0.2.1` or `a:v64:…`; null when it is no list of them.
 * @param {string} value
 */
export function addressesIn(value) {
  const match = /^(?:a:)?v(?:4|6|64):(.*)$/s.exec(value);
  return match ? match[1].split(",").filter(Boolean) : null;
}

/**
 * The hosts in a value of the cache, such as `mx:mx.example:10,…`; null when it is no list of them.
 * @param {string} value
 * @returns {[string, number][] | null}
 */
export function hostsIn(value) {
  if (!value.startsWith("mx:")) return null;
  return value.slice(3).split(",").filter(Boolean).map((item) => {
    const colon = item.lastIndexOf(":");
    return [item.slice(0, colon), Number(item.slice(colon + 1))];
  });
}

class Reading {
  /** @param {DomainReply} reply */
  constructor(reply) {
    this.domain = reply.domain;
    this.trace = reply.trace ?? [];
    /** @type {Map<string, TraceStep>} */
    this.cached = new Map();
    for (const step of this.of("cache")) this.cached.set(`${step.layer}/${step.key}`, step);
  }

  /** @returns {Path} */
  path() {
    const { domain } = this;
    const asked = this.dns(domain);
    const entry = this.entry("d", domain, asked.some((step) => step.answer !== undefined));
    const hosts = this.hosts().map(([name, preference]) => this.host(name, preference));
    return { domain, entry, note: unanswered(asked), maps: this.maps(domain), hosts };
  }

  /** @returns {[string, number | null][]} */
  hosts() {
    const cached = this.cached.get(`d/${this.domain}`)?.value;
    const records = this.dns(this.domain).find((step) => step.type === "MX")?.answer;
    /** @type {[string, number][]} */
    let found = [];
    if (Array.isArray(records)) {
      found = records.map((record) => {
        const [, preference, name] = /** @type {RegExpExecArray} */ (/^(-?\d*) ?(.*?)\.?$/s.exec(record));
        return [name || ".", Number(preference)];
      });
    } else if (cached) {
      found = hostsIn(cached) ?? [];
    }
    if (found.length) return found.sort(([, one], [, other]) => one - other);
    const own = this.of("dns").some((step) => step.question === this.domain && step.type !== "MX");
    return own || addressesIn(cached ?? "") ? [[this.domain, null]] : [];
  }

  /** @param {string} name @param {number | null} preference @returns {Host} */
  host(name, preference) {
    const implicit = preference === null;
    const asked = this.of("dns").filter((step) => step.question === name && step.type !== "MX");
    // The addresses of a domain without MX records stand in the domain's own entry.
    const entry = implicit ? null : this.entry("m", name, asked.length > 0);
    const ips = this.addresses(name, implicit ? this.cached.get(`d/${name}`)?.value : entry?.value, asked);
    const reached = asked.length > 0 || ips.some((ip) => this.kind(ip) !== null);
    const addresses = ips.map((ip) => this.address(ip));
    return { name, preference, reached, entry, note: unanswered(asked), maps: this.maps(name), addresses };
  }

  /** @param {string} name @param {string | null | undefined} cached @param {TraceStep[]} asked */
  addresses(name, cached, asked) {
    const fresh = asked.flatMap((step) => (Array.isArray(step.answer) ? step.answer : []));
    const found = fresh.length ? fresh : addressesIn(cached ?? "") ?? [];
    // A host may be written as an address.
    return found.length || this.kind(name) === null ? [...new Set(found)] : [name];
  }

  /** @param {string} ip @returns {Address} */
  address(ip) {
    const probe = this.of("probe").findLast((step) => step.ip === ip) ?? null;
    const lock = this.of("lock").findLast((step) => step.ip === ip);
    const limit = this.of("limit").findLast((step) => step.ip === ip);
    const kind = this.kind(ip);
    const entry = this.entry("i", ip, probe !== null && probe.local_fault === undefined);
    let note = "";
    if (limit) note = `not probed, a limit is reached: ${[limit.limit ?? ""].flat().join(", ")}`;
    else if (!probe && lock?.claim === "held") note = "another probe of it is under way";
    else if (!probe && lock?.claim === "failed") note = "not probed, the cache failed";
    else if (!probe && kind !== "public") note = kind === null ? "not looked at" : "set aside, not probed";
    else if (!probe && !entry?.value) note = "not tried";
    return { ip, kind, entry, probe, note, maps: this.maps(ip) };
  }

  /** @param {string} ip */
  kind(ip) {
    for (const step of this.of("ip_class")) {
      for (const kind of /** @type {const} */ (["public", "local", "bogon"])) if (step[kind]?.includes(ip)) return kind;
    }
    return null;
  }

  /** @param {"d" | "m" | "i"} layer @param {string} key @param {boolean} filled @returns {Entry | null} */
  entry(layer, key, filled) {
    const step = this.cached.get(`${layer}/${key}`);
    if (!step) return null;
    return { layer, key, value: step.value ?? null, age: step.age_s ?? null, left: step.left_s ?? null, filled };
  }

  /** @param {string} name */
  of(name) {
    return this.trace.filter((step) => step.step === name);
  }

  /** @param {string} question */
  dns(question) {
    return this.of("dns").filter((step) => step.question === question);
  }

  /** @param {string} key */
  maps(key) {
    return this.of("map").filter((step) => step.key === key);
  }
}

/** @param {TraceStep[]} steps */
function unanswered(steps) {
  const empty = steps.filter((step) => !Array.isArray(step.answer));
  return empty.map((step) => `${step.type}: ${step.answer ?? "no answer"}`).join("; ");
}
