// Which pages lie behind one entry of the line above every page.

/** Pages that belong to one entry of the line above every page. */
export const NEAR: Readonly<Record<string, readonly string[]>> = {
  "/admin/people": ["/admin/proposals", "/admin/flags"],
  "/admin/releases": ["/admin/audits"],
  "/admin/guidelines": ["/admin/taxonomy", "/admin/examples"],
  "/admin/plans": ["/admin/assignments", "/admin/groups", "/admin/notices"],
};
