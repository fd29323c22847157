//go:build conformance

package conformance

// checks are the evaluations of the flags in flags/. Where a provider deviates from the
// OpenFeature specification, what it does is asserted too, and said why.
var checks = []check{
	// Every type.
	{name: "boolean", flag: "boolean", kind: "boolean", fallback: false, want: fixed(true, "on")},
	{name: "string", flag: "string", kind: "string", fallback: "-", want: fixed("Good day", "formal")},
	{name: "integer", flag: "integer", kind: "integer", fallback: 1, want: fixed(10.0, "ten")},
	{name: "double", flag: "double", kind: "double", fallback: 0.1, want: fixed(0.5, "half")},
	{name: "object", flag: "object", kind: "object", fallback: map[string]any{}, want: fixed(model, "stable")},

	// Targeting, in flagd's language.
	{name: "equal", flag: "equals", kind: "string", fallback: "-", context: user("u", "role", "admin"), want: match("admin", "admin")},
	{name: "not equal", flag: "equals", kind: "string", fallback: "-", context: user("u", "role", "guest"), want: other("user", "user")},
	{name: "no attribute", flag: "equals", kind: "string", fallback: "-", want: other("user", "user")},
	{name: "$ref, inside", flag: "reference", kind: "string", fallback: "-", context: user("u", "email", "ann@example.com"), want: match("inside", "inside")},
	{name: "$ref, outside", flag: "reference", kind: "string", fallback: "-", context: user("u", "email", "ann@elsewhere.org"), want: other("outside", "outside")},
	{name: "starts_with", flag: "prefix", kind: "boolean", fallback: false, context: user("u", "locale", "en-GB"), want: match(true, "yes")},
	{name: "starts_with of no string", flag: "prefix", kind: "boolean", fallback: true, context: user("u", "locale", 7), want: match(false, "no")},
	{name: "sem_ver, newer", flag: "version", kind: "string", fallback: "-", context: user("u", "app", map[string]any{"version": "2.10.0"}), want: match("new", "new")},
	{name: "sem_ver, older", flag: "version", kind: "string", fallback: "-", context: user("u", "app", map[string]any{"version": "2.1.0-rc.1"}), want: match("old", "old")},
	{name: "sem_ver of no version", flag: "version", kind: "string", fallback: "-", context: user("u", "app", map[string]any{"version": "latest"}), want: match("old", "old")},
	{name: "in, first", flag: "list", kind: "string", fallback: "-", context: user("u", "country", "FR"), want: match("eu", "eu")},
	{name: "in, second", flag: "list", kind: "string", fallback: "-", context: user("u", "country", "US"), want: match("us", "us")},
	{name: "in, none", flag: "list", kind: "string", fallback: "-", context: user("u", "country", "JP"), want: other("rest", "rest")},
	{name: "targeting key", flag: "key", kind: "integer", fallback: 0, context: user("user-1"), want: match(1.0, "one")},
	{name: "other targeting key", flag: "key", kind: "integer", fallback: 0, context: user("user-2"), want: other(2.0, "other")},
	{name: "shorthand, true", flag: "shorthand", kind: "boolean", fallback: false, context: user("u", "age", 30), want: match(true, "true")},
	{name: "shorthand, false", flag: "shorthand", kind: "boolean", fallback: true, context: user("u", "age", 3), want: match(false, "false")},
	{name: "$flagd.timestamp", flag: "clock", kind: "string", fallback: "-", want: match("late", "late")},
	{name: "$flagd.flagKey", flag: "self", kind: "boolean", fallback: false, want: match(true, "same")},
	{name: "unknown variant", flag: "unknown-variant", kind: "boolean", fallback: true, context: user("u", "broken", true), want: failed(true, "GENERAL")},
	{name: "known variant", flag: "unknown-variant", kind: "boolean", fallback: false, context: user("u"), want: match(true, "on")},

	// 'fractional', by flagd's published vectors (flagd-testbed 3.9.0).
	fractional("jack", "hearts", "diamonds", "spades"),
	fractional("queen", "spades", "diamonds", "clubs"),
	fractional("ten", "clubs", "clubs", "diamonds"),
	fractional("nine", "diamonds", "clubs", "hearts"),
	fractional("3", "clubs", "spades", "diamonds"),

	// A native split, by the published vectors of the shorthand.
	split("jon@company.com", "heads", "tails", "heads"),
	split("jane@company.com", "tails", "tails", "tails"),

	// Native flags.
	{name: "clauses, both", flag: "native-rules", kind: "string", fallback: "-", context: user("u", "plan", "pro", "seats", 12), want: match("high", "high")},
	{name: "clauses, one", flag: "native-rules", kind: "string", fallback: "-", context: user("u", "plan", "pro", "seats", 10), want: other("low", "low")},
	{name: "segment, included", flag: "native-segment", kind: "boolean", fallback: false, context: user("user-1"), want: match(true, "on")},
	{name: "segment, excluded", flag: "native-segment", kind: "boolean", fallback: true, context: user("user-2", "email", "bob@example.com"), want: other(false, "off")},
	{name: "segment, by rule", flag: "native-segment", kind: "boolean", fallback: false, context: user("user-3", "email", "eve@example.com"), want: match(true, "on")},
	{name: "prerequisite, met", flag: "native-prerequisite", kind: "boolean", fallback: false, context: user("user-1"), want: other(true, "on")},
	{
		name: "prerequisite, unmet", flag: "native-prerequisite", kind: "boolean", fallback: true, context: user("user-9"), want: other(false, "off"),
		// In flagd's form it is a targeting that names the off variant.
		except: map[string]want{"in-process": match(false, "off")},
	},
	{name: "region", flag: "placed", kind: "boolean", fallback: false, context: user("u"), want: match(true, "on")},
	{
		name: "region, not as the caller says", flag: "placed", kind: "boolean", fallback: false,
		context: user("u", "$tidegate", map[string]any{"region": "there"}), want: match(true, "on"),
	},
	{name: "time of day and weekday", flag: "timed", kind: "boolean", fallback: false, context: user("u"), want: match(true, "on")},

	// Nothing to serve: the caller's default.
	{
		name: "disabled", flag: "disabled", kind: "boolean", fallback: true, want: want{true, "", "DISABLED", ""},
		except: bare(want{false, "", "DISABLED", ""}, failed(true, "FLAG_NOT_FOUND"), true),
	},
	{
		name: "disabled, native", flag: "native-disabled-bare", kind: "string", fallback: "-", want: want{"-", "", "DISABLED", ""},
		except: bare(want{"", "", "DISABLED", ""}, failed("-", "FLAG_NOT_FOUND"), "-"),
	},
	{
		name: "disabled, with off variant", flag: "native-disabled", kind: "string", fallback: "-", want: want{"old", "old", "DISABLED", ""},
		// flagd's form has no off variant: the flag is written as one that serves it.
		except: map[string]want{"in-process": fixed("old", "old")},
	},
	{
		name: "no default variant", flag: "no-default", kind: "boolean", fallback: true, want: other(true, ""),
		except: bare(failed(true, "FLAG_NOT_FOUND"), failed(true, "GENERAL"), true),
	},
	{
		name: "no default variant, targeted", flag: "no-default-targeted", kind: "string", fallback: "-",
		context: user("u", "tier", "gold"), want: match("gold", "gold"),
	},
	{
		name: "no default variant, not targeted", flag: "no-default-targeted", kind: "string", fallback: "-",
		context: user("u", "tier", "iron"), want: other("-", ""),
		except: bare(failed("-", "FLAG_NOT_FOUND"), failed("-", "GENERAL"), "-"),
	},
	{
		name: "split without a targeting key", flag: "fractional-flag-shorthand", kind: "string", fallback: "-", want: other("-", ""),
		// flagd's statuses have none for it.
		except: map[string]want{
			"rpc": failed("-", "GENERAL"), "ofrep": failed("-", "TARGETING_KEY_MISSING"),
			"java in-process": failed("-", "GENERAL"),
		},
	},

	// Errors.
	{name: "unknown flag", flag: "nobody-made-this", kind: "boolean", fallback: true, want: failed(true, "FLAG_NOT_FOUND")},
	{name: "string as boolean", flag: "string", kind: "boolean", fallback: true, want: failed(true, "TYPE_MISMATCH")},
	{name: "boolean as string", flag: "boolean", kind: "string", fallback: "-", want: failed("-", "TYPE_MISMATCH")},
	{name: "string as integer", flag: "string", kind: "integer", fallback: 7, want: failed(7.0, "TYPE_MISMATCH")},
	{name: "object as double", flag: "object", kind: "double", fallback: 0.25, want: failed(0.25, "TYPE_MISMATCH")},
	{
		name: "boolean as object", flag: "boolean", kind: "object", fallback: map[string]any{"a": 1.0}, want: failed(map[string]any{"a": 1.0}, "TYPE_MISMATCH"),
		except: map[string]want{"java in-process": fixed(true, "on")}, // to which every value is an object
	},
}

// fractional asks for the suit of a name, by each bucketing version.
func fractional(name, version2, version3, version1 string) check {
	return check{
		name: "fractional, " + name, flag: "fractional-flag", kind: "string", fallback: "-",
		context: user("u", "user", map[string]any{"name": name}),
		want:    match(version2, version2),
		except:  map[string]want{"version 3": match(version3, version3), "version 1": match(version1, version1)},
	}
}

// split asks for heads or tails. flagd does not tell a split from another match.
func split(key, version2, version3, version1 string) check {
	return check{
		name: "split, " + key, flag: "fractional-flag-shorthand", kind: "string", fallback: "-", context: user(key),
		want: match(version2, version2),
		except: map[string]want{
			"version 3": match(version3, version3), "version 1": match(version1, version1),
			"ofrep": {version2, version2, "SPLIT", ""},
		},
	}
}

// bare is what providers make of an answer without a value, where they do not give the
// caller's default with the reason:
//   - Node's and Python's OFREP providers require the value or the variant that OFREP lets
//     a server leave out, and fail with GENERAL;
//   - Java's asks by the first version of flagd's protocol, which has zero values for a
//     disabled flag, and NOT_FOUND where there is no default variant;
//   - Java's in process takes a disabled flag for FLAG_NOT_FOUND, and fails with GENERAL
//     where there is no default variant.
func bare(javaRPC, javaInProcess want, fallback any) map[string]want {
	return map[string]want{"ofrep": failed(fallback, "GENERAL"), "java rpc": javaRPC, "java in-process": javaInProcess}
}
