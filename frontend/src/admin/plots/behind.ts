// The address of the images behind a figure.

export interface Behind {
  readonly figure: string;
  readonly stage?: string | null;
  readonly code?: string;
  readonly style?: string;
  readonly since?: string;
  readonly until?: string;
}

export function behind(sought: Behind): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(sought)) if (value) query.set(name, value);
  return `/admin/behind?${query}`;
}
