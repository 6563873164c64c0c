// Who is logged in. The session lives in a cookie that scripts cannot read.

import { api, ask, listeners, Problem } from "../api/client";
import type { Me, Taxonomy } from "../api/types";

let me = $state.raw<Me | null>(null);
let taxonomy = $state.raw<Taxonomy | null>(null);
let expired = $state(false);

export const session = {
  get me(): Me | null {
    return me;
  },
  /** Whether the session ended while somebody was at work: they log in again without leaving the page. */
  get expired(): boolean {
    return expired;
  },
  /** Whether everything is looked at and nothing changed: an auditor. */
  get onlyReads(): boolean {
    return me?.kind === "auditor";
  },
  get taxonomy(): Taxonomy {
    if (!taxonomy) throw new Error("nobody is logged in");
    return taxonomy;
  },
};

listeners.unauthorized = () => {
  if (me) expired = true;
};

/** Look who is logged in; null for nobody. Throws Problem when that cannot be known. */
export async function recognise(): Promise<Me | null> {
  try {
    const [found, words] = await Promise.all([ask(api.GET("/api/v1/me")), ask(api.GET("/api/v1/taxonomy")).catch(forOthers)]);
    taxonomy = words as unknown as Taxonomy;
    me = found as unknown as Me;
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status !== 401) throw problem;
    me = null;
  }
  return me;
}

/** Suppliers and refiners are told no taxonomy: they label nothing. */
function forOthers(problem: unknown): null {
  if (problem instanceof Problem && problem.code === "account_kind") return null;
  throw problem;
}

/** Log in; throws Problem. Somebody else than before gets a fresh page: nothing of one person's is shown to another. */
export async function logIn(username: string, password: string): Promise<void> {
  const before = me;
  const who = await ask(api.POST("/api/v1/login", { body: { username, password } }));
  if (before && who.id !== before.id) location.assign("/");
  else await recognise();
  expired = false;
}

export async function logOut(): Promise<void> {
  await ask(api.POST("/api/v1/logout"));
  location.assign("/");
}
