// The shapes people work on: what the API's description leaves open ("raw") is said here.

export const STAGES = [
  "segmentation",
  "attributes",
  "styles",
  "first_review",
  "second_review",
  "adjudication",
] as const;
export type Stage = (typeof STAGES)[number];
export const LABELLING: readonly Stage[] = ["segmentation", "attributes", "styles"];

export type Point = readonly [number, number];
export type Ring = readonly Point[];
export type Box = readonly [number, number, number, number];

export interface Region {
  readonly id: string;
  readonly part: string;
  readonly rings: readonly Ring[];
  readonly box?: Box | null;
}

export interface Segmentation {
  readonly regions: readonly Region[];
}
export type Choice = string | readonly string[] | null;
export type RegionAttributes = Readonly<Record<string, Choice | undefined>>;
export interface Attributes {
  readonly regions: Readonly<Record<string, RegionAttributes>>;
}
export interface Styles {
  readonly styles: readonly string[];
  readonly unsure?: boolean;
}
export interface Verdict {
  readonly score: number;
  readonly blame: Stage | null;
  readonly reasons: readonly string[];
  readonly comment: string;
}

export interface Labels {
  readonly segmentation: Segmentation | null;
  readonly attributes: Attributes | null;
  readonly styles: Styles | null;
}

export interface Ranked {
  readonly value: string;
  readonly score: number;
}
export interface Candidates {
  readonly model: string;
  /** Of a segmentation: regions with scores; of attributes: region → attribute → ranked values. */
  readonly regions?: readonly (Region & { score: number })[] | Readonly<Record<string, Readonly<Record<string, readonly Ranked[]>>>>;
  readonly styles?: readonly Ranked[];
}

export interface Feedback {
  readonly stage: Stage;
  readonly score?: number | null;
  readonly reasons: readonly string[];
  readonly comment: string;
  readonly at: string;
}

export interface Task {
  readonly id: number;
  readonly stage: Stage;
  readonly round: number;
  readonly lease: { readonly token: number; readonly expires_at: string };
  readonly taxonomy_id?: number;
  readonly image: { readonly id: number; readonly url: string; readonly width: number; readonly height: number };
  readonly labels: Labels;
  readonly candidates: Candidates | null;
  readonly feedback: readonly Feedback[];
  readonly cause?: "split" | "loop" | "styles";
  readonly disputed?: Stage | null;
  /** Told beside the task, by a header: the final audit. */
  readonly purpose?: "audit";
}

export interface Lease {
  readonly task_id: number;
  readonly stage: Stage;
  readonly token: number;
  readonly expires_at: string;
  /** Of practice and exams alone. */
  readonly purpose?: "practice" | "exam";
}

export interface Me {
  readonly id: number;
  readonly username: string;
  readonly grade: string;
  readonly suspended: boolean;
  /** Suppliers, refiners and auditors have a login, but no grade and no tasks. */
  readonly kind: "crowd" | "supplier" | "refiner" | "auditor";
  readonly supplier?: { readonly id: number; readonly name: string } | null;
  readonly stages: readonly Stage[];
  readonly leases: readonly Lease[];
  readonly notices?: { readonly unread: number };
}

export interface Named {
  readonly key: string;
  readonly en: string;
  readonly ko: string;
}
export interface Attribute extends Named {
  readonly multiple: boolean;
  readonly parts: readonly string[];
  readonly values: readonly (Named & { readonly parts: readonly string[] })[];
  readonly values_by_part: Readonly<Record<string, readonly string[]>>;
}
export interface Style extends Named {
  readonly definition: (Readonly<Record<"en" | "ko", string>> & { readonly ours: boolean }) | null;
  readonly retired?: boolean;
  readonly group: string | null;
  readonly percent: number | null;
  readonly guidance: Readonly<Record<"categories" | "items" | "colors" | "prints", readonly string[]>> & { readonly ours: boolean };
}
export interface Coded {
  readonly retired?: boolean;
  readonly code: string;
  readonly en: string;
  readonly ko: string;
}
export interface Reason extends Coded {
  readonly stages: readonly Stage[];
}
export interface Taxonomy {
  readonly id: number;
  readonly name: string;
  readonly version: string;
  readonly parts: readonly Named[];
  readonly attributes: readonly Attribute[];
  readonly style_groups: readonly Named[];
  readonly styles: readonly Style[];
  readonly reasons: readonly Reason[];
  readonly unusable: readonly Coded[];
}
