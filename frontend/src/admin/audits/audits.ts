// What an audit is called, and where the images behind its figures are.

import type { Schemas } from "../../api/client";
import { t } from "../../i18n/index.svelte";

type Audit = Pick<Schemas["Audit"], "supplier" | "batch">;

/** Which images it is about. */
export function scopeOf({ supplier, batch }: Audit): string {
  const named = [supplier && t("audits.of_supplier", { name: supplier }), batch && t("audits.of_batch", { name: batch })];
  return named.filter(Boolean).join(", ") || t("audits.everything");
}

export interface Sought {
  readonly wrong?: boolean;
  readonly blame?: string;
  readonly reviewer?: number;
  readonly supplier?: number;
}

/** The address of the images behind a figure; `name` is said above them. */
export function imagesOf(auditId: number, sought: Sought = {}, name = ""): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...sought, name })) if (value !== undefined && value !== "") query.set(key, String(value));
  return `/admin/audits/${auditId}/images${query.size ? `?${query}` : ""}`;
}
