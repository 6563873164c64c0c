// The pages of people who steer, and the words they bring along: fetched when they are opened.

import type { Component } from "svelte";
import { type Dictionary, learn } from "../i18n/index.svelte";

// Some pages take the id in the path, the others nothing.
type Page = { default: Component<any> };
export type Route = readonly [RegExp, () => Promise<Page>, forAdmins: boolean];

const WORDS: Dictionary = {
  en: () => import("../i18n/steering.en.json"),
  ko: () => import("../i18n/steering.ko.json"),
};

function route(pattern: RegExp, load: () => Promise<Page>): Route {
  return [pattern, async () => (await Promise.all([load(), learn(WORDS)]))[0], true];
}

export const STEERING: readonly Route[] = [
  route(/^\/admin$/, () => import("./Dashboard.svelte")),
  route(/^\/admin\/behind$/, () => import("./plots/Behind.svelte")),
  route(/^\/admin\/people$/, () => import("./people/People.svelte")),
  route(/^\/admin\/people\/(\d+)$/, () => import("./people/Person.svelte")),
  route(/^\/admin\/proposals$/, () => import("./people/Proposals.svelte")),
  route(/^\/admin\/flags$/, () => import("./people/Flags.svelte")),
  route(/^\/admin\/flags\/(\d+)$/, () => import("./people/Flag.svelte")),
  route(/^\/admin\/gold$/, () => import("./gold/Gold.svelte")),
  route(/^\/admin\/gold\/(\d+)$/, () => import("./gold/Item.svelte")),
  route(/^\/admin\/plans$/, () => import("./steering/Plans.svelte")),
  route(/^\/admin\/assignments$/, () => import("./steering/Assignments.svelte")),
  route(/^\/admin\/groups$/, () => import("./steering/Groups.svelte")),
  route(/^\/admin\/groups\/(\d+)$/, () => import("./steering/Group.svelte")),
  route(/^\/admin\/taxonomy$/, () => import("./taxonomy/Taxonomy.svelte")),
  route(/^\/admin\/notices$/, () => import("./steering/Notices.svelte")),
  route(/^\/admin\/audits$/, () => import("./audits/Audits.svelte")),
  route(/^\/admin\/audits\/(\d+)$/, () => import("./audits/Audit.svelte")),
  route(/^\/admin\/audits\/(\d+)\/images$/, () => import("./audits/Sample.svelte")),
  route(/^\/admin\/examples$/, () => import("./examples/Examples.svelte")),
];

/** What auditors look at too, without what changes anything. */
export const FOR_AUDITORS: readonly RegExp[] = [
  /^\/admin$/,
  /^\/admin\/behind$/,
  /^\/admin\/images(\/\d+)?$/,
  /^\/admin\/releases$/,
  /^\/admin\/guidelines$/,
  /^\/admin\/audits(\/.+)?$/,
];
