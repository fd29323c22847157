// Package store is the contract between the control plane and its database, in terms of
// keys, revisions and guarded transactions: the part of etcd that tidegate relies on.
// Implementations: package etcdstore (production) and package memstore (tests); one
// conformance suite, package storetest, runs on both.
package store

// Store ...
type Store interface{}
