// Package streamlog writes down what a process shows of its environments, for package
// streamcheck and for the analysis of incidents: one file a process, one JSON record a
// line, appended to over restarts.
//
// Promises: a state is written, and has reached the operating system, before it is shown,
// an acknowledgement before it is sent, so that a killed process leaves no trace that is
// not in its log. The records of a run are numbered without gaps: one that could not be
// written is missed. The digest of what is held is computed anew for each record, so that
// neither a digest that is not checked nor a cursor that lies goes unseen; that takes a
// pass over all items, with the replica's lock held.
package streamlog
