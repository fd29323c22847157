// Package attacks holds the list of what strangers and insiders may try against a control server
// and a relay, in its tests: each entry is done to the processes as they ship, with identities,
// keys and sessions, at the level at which they log most. TestAttacks is the list; it is read from
// top to bottom, and docs/access.md tells the same.
package attacks
