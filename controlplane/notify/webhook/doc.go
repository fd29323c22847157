// Package webhook has the targets of notifications that are reached over HTTP, and reads the
// file that configures them ([Load]).
//
// Two kinds. 'slack' is an incoming webhook of Slack, or of what takes the same, as Mattermost
// does. 'webhook' gets our own event as JSON ([Payload]), signed as Standard Webhooks 1.0.0
// (https://www.standardwebhooks.com) has it, so that receivers verify it with a library of
// theirs.
//
// What is secret is in nothing that leaves this package but requests: the signing secrets, and
// of URLs all but the host, since whoever knows the URL of a Slack webhook can write to the
// channel. Answers that repeat any of it are not shown.
package webhook
