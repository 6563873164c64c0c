// The grades of people, from the lowest.

export const GRADES = ["trainee", "general", "semi_expert", "reviewer", "expert", "inspector", "admin"] as const;
export type Grade = (typeof GRADES)[number];
