const owner = "tidegate-of";

// Whose the tab is; empty: nobody's in particular.
export function whose(): string {
  return sessionStorage.getItem(owner) ?? "";
}

// What the tab keeps, such as drafts, is of one person: whoever else comes does not find it. Who is
// logged out and comes back does.
export function belongTo(identityId: string) {
  if (sessionStorage.getItem(owner) !== identityId) sessionStorage.clear();
  sessionStorage.setItem(owner, identityId);
}
