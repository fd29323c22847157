// Package fault breaks our own processes at chosen places, for the fault suite. It is
// there only in binaries that are built with the tag 'faults': without it a Point does
// nothing, no bug is planted, Now is the time, and the compiler leaves nothing of it.
//
// A process built with it does what the variable TIDEGATE_FAULT says, a list with commas:
//
//	POINT=kill:N          kills itself with SIGKILL when it is at the point the N-th time
//	POINT=pause:DURATION  stays there for so long each time
//	clock=OFFSET          its wall clock is off by so much, such as -1h
//	clock=OFFSET:AFTER    the same, from so long after its start on
//	plant=BUG             has a bug
package fault

import "slices"

// The points. Each is passed in one place, which its name tells.
const (
	BeforeCommit         = "controlplane/before-commit"
	AfterCommit          = "controlplane/after-commit"
	BeforeAnswer         = "controlplane/before-answer"
	ApplierBeforePublish = "applier/before-publish"
	ApplierAfterPublish  = "applier/after-publish"

	FollowerBeforeAppend = "follower/before-append"
	FollowerAfterAppend  = "follower/after-append"
	FollowerAfterPublish = "follower/after-publish"
	FollowerBeforeSync   = "follower/before-sync"
	FollowerAfterSync    = "follower/after-sync"
	FollowerBeforeAck    = "follower/before-ack"

	StatefileBeforeRename = "statefile/before-rename"
	StatefileAfterRename  = "statefile/after-rename"
	StatefileBeforeLogCut = "statefile/before-log-cut"

	CollectorBeforeCommit = "collector/before-commit"
	CollectorAfterCommit  = "collector/after-commit"
	CollectorBeforeAck    = "collector/before-ack"

	TelemetryBeforeAnswer = "telemetry/before-answer"
	SpoolBeforeSync       = "spool/before-sync"
	SpoolAfterSync        = "spool/after-sync"
	SpoolBeforeRemove     = "spool/before-remove"
	UplinkBeforeSend      = "uplink/before-send"
	UplinkAfterAck        = "uplink/after-ack"
)

// ServerPoints are those that a control server passes, RelayPoints those of a relay.
var (
	ServerPoints = []string{BeforeCommit, AfterCommit, BeforeAnswer, ApplierBeforePublish, ApplierAfterPublish}
	RelayPoints  = []string{
		FollowerBeforeAppend, FollowerAfterAppend, FollowerAfterPublish, FollowerBeforeSync, FollowerAfterSync,
		FollowerBeforeAck, StatefileBeforeRename, StatefileAfterRename, StatefileBeforeLogCut,
	}
	// CollectorPoints are passed by a server that leads, and TelemetryPoints by a relay, where
	// there is telemetry.
	CollectorPoints = []string{CollectorBeforeCommit, CollectorAfterCommit, CollectorBeforeAck}
	TelemetryPoints = []string{
		TelemetryBeforeAnswer, SpoolBeforeSync, SpoolAfterSync, SpoolBeforeRemove, UplinkBeforeSend, UplinkAfterAck,
	}
)

// Points are all of them.
func Points() []string {
	return slices.Concat(ServerPoints, RelayPoints, CollectorPoints, TelemetryPoints)
}

// Bugs are those that can be planted; what each does is told in internal/chaos/planted.
var Bugs = []string{
	"accept-older", "ack-before-sync", "age-forgets-hops", "answer-before-spool", "audit-apart", "cas-blind",
	"coalesce-forgets", "commit-unfenced", "count-again", "drop-delete-at-compaction", "evidence-apart",
	"forget-last-known-good", "forget-senders", "heartbeat-ahead", "loss-undeclared", "never-dead", "poison-stops-all",
	"resume-across-epochs", "retry-twice", "revoked-ignored", "serve-before-load", "show-before-append",
	"show-before-commit", "skip-digest", "slow-reader-blocks", "split-transaction", "spool-not-rewound",
	"state-unverified", "stream-leaks",
}

// Variable of the environment says what is to break.
const Variable = "TIDEGATE_FAULT"
