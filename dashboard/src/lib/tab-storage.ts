const owner = "tidegate-of";

// What the tab keeps, such as drafts, is of one person: whoever else comes does not find it. Who is
// logged out and comes back does.
export function belongTo(identityId: string) {
  if (sessionStorage.getItem(owner) !== identityId) sessionStorage.clear();
  sessionStorage.setItem(owner, identityId);
}
