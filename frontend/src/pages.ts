// Every page beside work: who may open it, and the words it brings along. Workers at work fetch nothing of this.

import type { Component } from "svelte";
import { FOR_AUDITORS, STEERING } from "./admin/routes";
import { type Dictionary, learn } from "./i18n/index.svelte";

// Some pages take the id in the path, the others nothing.
type Loader = () => Promise<{ default: Component<any> }>;

/** Who looks; "intake" are suppliers and the refining team. */
export type Looker = "crowd" | "admin" | "auditor" | "intake";

export interface Opened {
  readonly Page: Component<any>;
  readonly id: string | undefined;
}

const WORDS: Dictionary = {
  en: () => import("./i18n/pages.en.json"),
  ko: () => import("./i18n/pages.ko.json"),
};

const ELSEWHERE: readonly (readonly [RegExp, Loader, forAdmins: boolean])[] = [
  [/^\/work\/grid$/, () => import("./review/Grid.svelte"), false],
  [/^\/me$/, () => import("./own/Own.svelte"), false],
  [/^\/courses$/, () => import("./courses/Courses.svelte"), false],
  [/^\/courses\/(\w+)$/, () => import("./courses/Course.svelte"), false],
  [/^\/courses\/(\w+)\/examples$/, () => import("./courses/Examples.svelte"), false],
  [/^\/courses\/(\w+)\/practice$/, () => import("./courses/Practice.svelte"), false],
  [/^\/courses\/(\w+)\/exam$/, () => import("./courses/Exam.svelte"), false],
  [/^\/admin\/images$/, () => import("./admin/Images.svelte"), true],
  [/^\/admin\/images\/(\d+)$/, () => import("./admin/Image.svelte"), true],
  [/^\/admin\/releases$/, () => import("./admin/Releases.svelte"), true],
  [/^\/admin\/models$/, () => import("./admin/Models.svelte"), true],
  ...STEERING,
  [/^\/access$/, () => import("./access/Access.svelte"), false],
  [/^\/admin\/guidelines$/, () => import("./guidelines/Guidelines.svelte"), true],
  [/^\/admin\/suppliers$/, () => import("./deliveries/Suppliers.svelte"), true],
];

/** What has to do with deliveries: for suppliers (their own), refiners and admins. */
const INTAKE: readonly (readonly [RegExp, Loader])[] = [
  [/^(?:\/|\/deliveries)$/, () => import("./deliveries/Deliveries.svelte")],
  [/^\/deliveries\/(\d+)$/, () => import("./deliveries/Delivery.svelte")],
  [/^\/contracts$/, () => import("./deliveries/Contracts.svelte")],
];

const OWN_PASSWORD: Loader = () => import("./own/PasswordPage.svelte");

/** The page at a path, with its words; null where there is none for whoever looks. */
export async function open(path: string, looker: Looker): Promise<Opened | null> {
  const found = find(path, looker);
  if (!found) return null;
  const [{ default: Page }] = await Promise.all([found.load(), learn(WORDS)]);
  return { Page, id: found.id };
}

function find(path: string, looker: Looker): { load: Loader; id: string | undefined } | null {
  for (const [pattern, load] of looker === "intake" || looker === "admin" ? INTAKE : []) {
    const match = pattern.exec(path);
    if (match && (looker === "intake" || path !== "/")) return { load, id: match[1] };
  }
  if (path === "/password") return { load: OWN_PASSWORD, id: undefined };
  if (looker === "intake" || (looker === "auditor" && !FOR_AUDITORS.some((pattern) => pattern.test(path)))) return null;
  for (const [pattern, load, forAdmins] of ELSEWHERE) {
    const match = pattern.exec(path);
    if (match && (!forAdmins || looker !== "crowd")) return { load, id: match[1] };
  }
  return null;
}
