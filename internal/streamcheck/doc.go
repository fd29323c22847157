// Package streamcheck holds a run to what the stream promises. It compares what every
// process showed, as its stream log says, with what the store held, as read from the store
// by somebody else, and names each promise that was broken, with the records that show it.
//
// It judges what was logged. That each state was logged before it was shown is the log's
// promise; what evaluations answered is for others to judge. The truth must be whole: a
// change that the store made and the recording missed looks like a state that never was.
// A message may be on its way for any time without growing older, so a delay on the wire
// counts towards Options.AgeSlack.
package streamcheck
