// Package flagd writes flags as a flagd definition: JSON that any flagd provider
// evaluates, whatever language it is written in. (Package manifest reads such files.)
//
// For every context, the variant served is that of the flag. What maps to what:
//
//	rules               one 'if'; a clause with guards, since JsonLogic converts types
//	segments            $evaluators, each written once
//	prerequisites       their decision, written out; unmet: the off variant
//	splits              'fractional', with what is hashed as its first operand
//	expressions         as they are
//	disabled            the off variant as default variant, without targeting; without
//	                    an off variant, the state DISABLED
//	nothing to serve    null, without a default variant
//
// What may differ from the flag's own evaluation:
//
//   - Reasons: flagd has no SPLIT; a disabled flag that serves its off variant says
//     STATIC; the default variant of a flag with splits, and the off variant of one with
//     prerequisites, say TARGETING_MATCH.
//   - Errors: a split without its key is null, so the reason is DEFAULT, not an error.
//   - Descriptions, owners, tags, rule ids and the type of whole numbers are not kept.
//
// What has no form in flagd is left out, see [Omission]: regular expressions, dates in
// attributes, prerequisites with expressions, and a few names that flagd cannot hold.
//
// Implementations differ from flagd where a context is not what the flag expects:
//
//   - Python takes true for 1 and false for 0, and a list of one number for that number
//     where a split hashes it.
//   - Node fails, where flagd goes on, if a clause over numbers meets an object or a list
//     with text in it, or a clause over text meets a list, an object, true or a number.
//   - Java fails on an attribute like 'a.b' where a is a list; Node reads 0 where a is 0.
//   - Which version of 'fractional' a provider has is up to its release: see flagd.
package flagd
