// Which pages stand together.

export const PEOPLE = [
  ["/admin/people", "admin.people"],
  ["/admin/proposals", "proposals.title"],
  ["/admin/flags", "flags.title"],
] as const;

export const RELEASING = [
  ["/admin/releases", "admin.releases"],
  ["/admin/audits", "audits.title"],
] as const;

export const STEERING = [
  ["/admin/plans", "plans.title"],
  ["/admin/assignments", "assign.title"],
  ["/admin/groups", "groups.title"],
  ["/admin/notices", "notices.title"],
] as const;
