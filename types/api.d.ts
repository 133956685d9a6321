/** What the service says and is asked (docs/http-api.md), for the type checker alone: nothing of this is shipped. */

interface CheckRequest {
  sender?: string;
  mime_from?: string | string[];
  reply_to?: string | string[];
  helo?: string;
  client_ip?: string;
  authenticated?: boolean;
}

interface SymbolReply {
  name: string;
  metric_score: number;
  weight: number;
  score: number;
  options: string[];
  description: string;
}

/** What a step tells depends on what it is; nothing of it is sure to be there. */
interface TraceStep {
  at_ms: number;
  took_ms?: number | null;
  step: string;
  layer?: string;
  key?: string;
  value?: string | null;
  age_s?: number | null;
  left_s?: number | null;
  type?: string;
  question?: string;
  answer?: string | string[];
  public?: string[];
  local?: string[];
  bogon?: string[];
  setting?: string;
  entry?: string | null;
  ip?: string;
  claim?: string;
  waited?: boolean;
  limit?: string | string[];
  connect_ms?: number | null;
  verdict?: string;
  greeting?: string[];
  local_fault?: string;
  provisional?: boolean;
  seconds?: number;
  host?: string;
  cached?: boolean;
}

interface DomainReply {
  domain: string;
  source: "from" | "reply_to" | "mime_from";
  verdict: string;
  host: string;
  cached: boolean;
  time_ms: number;
  trace?: TraceStep[];
}

interface CheckReply {
  is_skipped: boolean;
  skip_reason: string | null;
  action: string;
  messages: { smtp_message?: string };
  score: number;
  symbols: Record<string, SymbolReply>;
  domains: DomainReply[];
  partial: boolean;
  time_real: number;
}

interface Problem {
  title?: string;
  status?: number;
  detail?: string;
  errors?: { field: string; message: string }[];
}

type Kind = "good" | "bad" | "unknown" | "neutral";

interface Words {
  version: string;
  verdicts: Record<string, { sentence: string; kind: Kind }>;
}

type Column = (number | null)[];

interface Component {
  status: string;
  detail?: string;
}

interface MapSource {
  source: string;
  entries: number;
  sha256: string | null;
  age: number | null;
  changed: boolean;
  error: string | null;
}

type Maps = Record<string, { entries: number; sources: MapSource[] }>;

interface Recent {
  time: number;
  domain: string;
  source: string;
  verdict: string;
  host: string;
  count: number;
}

interface Stats {
  version: string;
  time: number;
  workers: number;
  deadline_s: number;
  history: {
    step_s: number;
    times: number[];
    checks: Column;
    shed: Column;
    verdicts: Record<string, Column>;
    p50_ms: Column;
    p99_ms: Column;
  };
  hour: {
    checks: number;
    shed: number;
    seconds: number;
    verdicts: Record<string, number>;
    latency_ms: { p50: number | null; p90: number | null; p99: number | null };
    cache: Record<string, { near: number; redis: number; miss: number; error: number; hit_ratio: number | null }>;
    dns: Record<string, Record<string, number>>;
    probes: Record<string, Record<string, number>>;
  };
  in_flight: Record<string, number>;
  components: Record<string, Component>;
  recent: Recent[] | null;
  settings?: Record<string, unknown>;
  changed?: string[];
  maps?: Maps;
}

interface Reloaded {
  problems: string[];
  warnings: string[];
  settings: { changed: string[]; restart_needed: string[] };
  maps: Maps;
}
