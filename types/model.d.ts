/** What the console makes of it. */

/** What a layer of the cache held, or was given by this look-up. */
interface Entry {
  layer: "d" | "m" | "i";
  key: string;
  /** null: it was not there */
  value: string | null;
  age: number | null;
  left: number | null;
  /** by this look-up */
  filled: boolean;
}

interface Address {
  ip: string;
  /** null: nobody looked */
  kind: "public" | "local" | "bogon" | null;
  entry: Entry | null;
  probe: TraceStep | null;
  note: string;
  maps: TraceStep[];
}

interface Host {
  name: string;
  /** null: no MX record names it */
  preference: number | null;
  reached: boolean;
  entry: Entry | null;
  note: string;
  maps: TraceStep[];
  addresses: Address[];
}

interface Path {
  domain: string;
  entry: Entry | null;
  note: string;
  maps: TraceStep[];
  hosts: Host[];
}

interface Segment {
  /** a colour of the picture */
  kind: string;
  /** ms, as `to` */
  from: number;
  to: number;
}

/** A step of a trace. */
interface Row {
  name: string;
  /** what it told */
  detail: string;
  /** what the peer said */
  lines: string[];
  /** in words */
  time: string;
  /** none: it took no time */
  segments: Segment[];
  /** ms, as `end` */
  start: number;
  end: number;
}

interface Question {
  /** an address, a domain, or `<>` */
  sender: string;
  /** header values, a line each */
  mime_from: string;
  /** header values, a line each */
  reply_to: string;
  helo: string;
  client_ip: string;
  authenticated: boolean;
}

/** What surrounds a result. */
interface Around {
  /** that was sent */
  body: CheckRequest;
  endpoint: string;
  /** to this look-up */
  link: string;
  withToken: boolean;
  /** before it */
  done: string;
  purge: Purge;
  again(): void;
  fresh(reply: CheckReply): void;
}

interface Line {
  label: string;
  /** a custom property of the style, such as `--good` */
  color: string;
  /** down to the bottom */
  filled?: boolean;
  dash?: number[];
}

/** Asked for with an entry of the cache, and where to tell what came of it. */
type Purge = (layer: string, key: string, told: HTMLElement) => void;

type Child = Node | string | null | undefined | false;

type Who = "user" | "admin";
