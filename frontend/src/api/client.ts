// How the app speaks to the server: typed by the API's description, with the session's cookie and CSRF token.

import createClient, { type Middleware } from "openapi-fetch";
import { t } from "../i18n/index.svelte";
import { wordsFor } from "../i18n/refused";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

const PATIENCE_MS = 30_000;
/** Files are large, and a zip is unpacked while one waits. */
const UPLOAD_PATIENCE_MS = 10 * 60_000;

/** A refusal, or (status 0) no answer at all. `code` is stable; `errors` names the fields at fault. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly errors: Readonly<Record<string, string[]>> = {},
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }

  /** Whether the same request may well succeed later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** What others want to know of every answer: set by the session. */
export const listeners: { unauthorized: () => void } = { unauthorized: () => {} };

/** The server's clock less ours, in milliseconds; leases end by the server's. */
let serverAhead = 0;

export function serverNow(): number {
  return Date.now() + serverAhead;
}

function cookie(name: string): string {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

const manners: Middleware = {
  onRequest({ request }) {
    if (request.method !== "GET") request.headers.set("X-CSRF-Token", cookie("csrf_token"));
    return request;
  },
  onResponse({ response, schemaPath }) {
    const date = response.headers.get("Date");
    if (date) serverAhead = Date.parse(date) - Date.now();
    if (response.status === 401 && schemaPath !== "/api/v1/login") listeners.unauthorized();
    return undefined;
  },
};

export const api = createClient<paths>({
  fetch: (request) => {
    const uploads = request.headers.get("Content-Type")?.startsWith("multipart/");
    return fetch(request, { signal: AbortSignal.timeout(uploads ? UPLOAD_PATIENCE_MS : PATIENCE_MS) });
  },
});
api.use(manners);

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The answer with its headers; throws Problem for a refusal, or when no answer came. */
export async function answered<T>(asked: Promise<Answered<T>>): Promise<Answered<T>> {
  let answer: Answered<T>;
  try {
    answer = await asked;
  } catch {
    throw new Problem(0, "unreachable", t("idle.unreachable"));
  }
  if (!answer.response.ok) throw await problemOf(answer);
  return answer;
}

/** The answer's body; throws as `answered` does. */
export async function ask<T>(asked: Promise<Answered<T>>): Promise<T> {
  return (await answered(asked)).data as T;
}

async function problemOf({ error, response }: Answered<unknown>): Promise<Problem> {
  const told = (typeof error === "object" && error ? error : {}) as Partial<Schemas["Problem"]>;
  const retry = Number(response.headers.get("Retry-After"));
  const code = told.code ?? "unknown";
  return new Problem(
    response.status,
    code,
    await wordsFor(code, told.detail ?? told.title ?? response.statusText),
    told.errors ?? {},
    Number.isFinite(retry) && retry > 0 ? retry : null,
  );
}

/** How a form with files goes over the wire. */
export const asForm = { bodySerializer: (body: unknown) => body as FormData };

/** What a refusal says, with the fields at fault; anything else is no refusal and is thrown on. */
export function refusal(problem: unknown): string {
  if (!(problem instanceof Problem)) throw problem;
  return [problem.message, ...Object.values(problem.errors).flat()].join(" ");
}
