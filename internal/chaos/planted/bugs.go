package main

// bug is one that can be planted, and what must find it.
type bug struct {
	name string
	// does is what it does.
	does string
	// scenario is the test that must find it.
	scenario string
	// by is what the scenario must say: one of these words before a colon, the name of the
	// guarantee that was broken. A failure of another kind does not count.
	by []string
	// faults are others that the scenario needs, in the form of internal/fault.
	faults string
}

var bugs = []bug{
	{
		name: "skip-digest", does: "A follower checks neither the seals of messages nor the digests of states.",
		scenario: "TestBitsOnTheWire", by: []string{"Atomic"},
	},
	{
		name: "show-before-commit", does: "A follower shows each chunk of a change when it comes.",
		scenario: "TestWrittenTogether", by: []string{"Atomic"},
	},
	{
		name: "split-transaction", does: "A server shows each event of a transaction by itself.",
		scenario: "TestWrittenTogether", by: []string{"Atomic"},
	},
	{
		name: "drop-delete-at-compaction", does: "A server that loads anew keeps what was deleted meanwhile.",
		scenario: "TestCompactedWhileCut", by: []string{"Atomic", "Convergence"},
	},
	{
		name: "resume-across-epochs", does: "A hub resumes by the revision alone, and the follower compares nothing.",
		scenario: "TestRestoredBackup", by: []string{"Resumable", "Atomic"},
	},
	{
		name: "accept-older", does: "A follower asks for everything at each connect, and takes what is older.",
		scenario: "TestLaggingServer", by: []string{"Ordered"},
	},
	{
		name: "ack-before-sync", does: "A follower acknowledges what is not synced to disk yet.",
		scenario: "TestRestarts", by: []string{"Durable"}, faults: "follower/before-sync=pause:50ms",
	},
	{
		name: "show-before-append", does: "A follower shows a change before it writes it.",
		scenario: "TestRestarts", by: []string{"Durable", "Ordered"},
	},
	{
		name: "state-unverified", does: "A relay checks neither checksums nor digests of its state files.",
		scenario: "TestBitOnDisk", by: []string{"Atomic"},
	},
	{
		name: "heartbeat-ahead", does: "A heartbeat names the newest revision for the state sent before.",
		scenario: "TestHeartbeats", by: []string{"Bookmarkable"},
	},
	{
		name: "age-forgets-hops", does: "A heartbeat says that the state is 0 s old, however old it is.",
		scenario: "TestAgeOverHops", by: []string{"Age"},
	},
	{
		name: "cas-blind", does: "A write is committed whatever was written since it was decided.",
		scenario: "TestWrites", by: []string{"Linearizable", "Audited"}, faults: "controlplane/before-commit=pause:1ms",
	},
	{
		name: "audit-apart", does: "Audit entries are written by a transaction of their own.",
		scenario: "TestWrites", by: []string{"Audited"}, faults: "controlplane/before-commit=pause:1ms",
	},
	{
		name: "retry-twice", does: "A request that comes again is carried out again.",
		scenario: "TestWrites", by: []string{"Linearizable", "Audited"}, faults: "controlplane/before-commit=pause:1ms",
	},
	{
		name: "poison-stops-all", does: "One flag that cannot be used keeps a follower from all others.",
		scenario: "TestPoison", by: []string{"Convergence"},
	},
	{
		name: "forget-last-known-good", does: "The last usable version of a flag goes when a broken one comes.",
		scenario: "TestPoison", by: []string{"Last-known-good"},
	},
	{
		name: "slow-reader-blocks", does: "A hub sends under the lock of the environment.",
		scenario: "TestStalledFollower", by: []string{"Convergence"},
	},
	{
		name: "coalesce-forgets", does: "What was gathered within 20 ms is not sent when they are over.",
		scenario: "TestLastChange", by: []string{"Convergence"},
	},
	{
		name: "revoked-ignored", does: "Keys are checked when a stream begins, and not after.",
		scenario: "TestRevokedKey", by: []string{"Revoked"},
	},
	{
		name: "never-dead", does: "A follower does not notice that its upstream is silent.",
		scenario: "TestSilence", by: []string{"Detection"},
	},
	{
		name: "stream-leaks", does: "Each stream that ends leaves a goroutine.",
		scenario: "TestReconnects", by: []string{"Leak"},
	},
	{
		name: "serve-before-load", does: "A server shows empty environments before it has loaded them.",
		scenario: "TestServerStart", by: []string{"Atomic"},
	},
	{
		name: "answer-before-spool", does: "A relay answers Track before what it was told is on disk.",
		scenario: "TestRelayDies", by: []string{"Conserved"},
	},
	{
		name: "forget-senders", does: "A relay keeps on disk what it was told, and not whose message it was.",
		scenario: "TestRelayDies", by: []string{"Conserved"},
	},
	{
		name: "loss-undeclared", does: "A relay does not tell what it has lost.",
		scenario: "TestRelayDies", by: []string{"Conserved"},
	},
	{
		name: "spool-not-rewound", does: "A new stream goes on where the last one ended, acknowledged or not.",
		scenario: "TestTelemetryCut", by: []string{"Conserved"},
	},
	{
		name: "count-again", does: "A batch that comes again is counted again.",
		scenario: "TestTelemetryCut", by: []string{"Conserved"},
	},
	{
		name: "evidence-apart", does: "The evidence is written by a transaction of its own.",
		scenario: "TestStoreFails", by: []string{"Conserved"},
	},
	{
		name: "commit-unfenced", does: "A leader commits whoever leads by now, and whatever was counted since.",
		scenario: "TestDeposed", by: []string{"Conserved"},
	},
}
