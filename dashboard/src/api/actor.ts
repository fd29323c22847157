// Who somebody says they are, where the server asks nobody: for the audit trail. Where it asks,
// it knows, and takes no notice.
const where = "tidegate-actor";

export function actor(): string {
  return localStorage.getItem(where) ?? "";
}

export function setActor(name: string) {
  localStorage.setItem(where, name.trim());
}
