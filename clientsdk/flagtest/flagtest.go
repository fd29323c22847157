// Package flagtest gives tests a [clientsdk.Client] that holds its flags in memory. It
// evaluates with the real engine, so rules, segments and splits do in a test what they do
// in production, without a network.
//
//	flags := flagtest.New(t, map[string]any{"new-checkout": true})
//	shop := NewShop(flags)
//	...
//	flags.Set("new-checkout", false) // changes at run time are seen at once
package flagtest

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/clientsdk"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/manifest"
)

// Client is a clientsdk.Client whose flags the test sets. The setting methods end the
// test on what could not be a flag; as t.Fatal, they belong on the test's goroutine.
// Callbacks given to OnChange have run when they return.
type Client struct {
	*clientsdk.Offline
	t testing.TB

	mu          sync.Mutex
	evaluations []Evaluation
	tracked     []clientsdk.Tracked
}

var _ clientsdk.Client = (*Client)(nil)

// Evaluation is one evaluation that the code under test made.
type Evaluation struct {
	Context clientsdk.Context
	clientsdk.Resolution
}

// New returns a client in which each of the flags serves its value to everyone; values
// may be nil. Values are as for Set. It is closed when the test ends.
//
// The options let rules see another region or time: clientsdk.WithRegion and WithClock.
func New(t testing.TB, values map[string]any, options ...clientsdk.OfflineOption) *Client {
	t.Helper()
	c := &Client{t: t}
	c.Offline = clientsdk.NewOffline(append(slices.Clone(options),
		clientsdk.WithObserver(c.record), clientsdk.WithTrackObserver(c.recordTracked))...)
	t.Cleanup(func() { _ = c.Close() }) // an Offline has nothing to fail at
	for key, value := range values {
		c.Set(key, value)
	}
	return c
}

// Set makes a flag serve a value to everyone, whatever it was before. The value is a
// boolean, a string, a number, or what encoding/json turns into an object.
func (c *Client) Set(key string, value any) {
	c.t.Helper()
	f := &flagv1.Flag{Key: key, Enabled: true}
	variant, err := addVariant(f, value)
	if err != nil {
		c.t.Fatalf("flagtest: flag %q: %v", key, err)
	}
	f.DefaultOutcome = outcome(variant)
	c.apply(clientsdk.Edit{Flags: []*flagv1.Flag{f}})
}

// SetFor makes a flag serve a value to some targeting keys, ahead of any other rule. A
// flag that is not there yet serves the caller's default to everyone else.
func (c *Client) SetFor(key string, value any, targetingKeys ...string) {
	c.t.Helper()
	f := c.Flag(key)
	if f == nil {
		f = &flagv1.Flag{Key: key, Enabled: true}
	}
	variant, err := addVariant(f, value)
	if err != nil {
		c.t.Fatalf("flagtest: flag %q: %v", key, err)
	}
	f.Rules = slices.Insert(f.Rules, 0, targetingRule(f, variant, targetingKeys))
	c.apply(clientsdk.Edit{Flags: []*flagv1.Flag{f}})
}

// Enable turns a disabled flag on again.
func (c *Client) Enable(key string) {
	c.t.Helper()
	c.setEnabled(key, true)
}

// Disable turns a flag off, as the kill switch does: it serves its off variant or, as
// flags made by Set have none, the caller's default.
func (c *Client) Disable(key string) {
	c.t.Helper()
	c.setEnabled(key, false)
}

// Delete deletes flags.
func (c *Client) Delete(keys ...string) {
	c.t.Helper()
	c.apply(clientsdk.Edit{DeletedFlags: keys})
}

// Load adds the flags and segments of a file in the YAML form of 'tidegate apply'.
func (c *Client) Load(path string) {
	c.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatalf("flagtest: %v", err)
	}
	c.load(path, data)
}

// LoadYAML is Load for YAML in hand.
func (c *Client) LoadYAML(yaml string) {
	c.t.Helper()
	c.load("LoadYAML", []byte(yaml))
}

// Evaluations returns all evaluations so far, in order.
func (c *Client) Evaluations() []Evaluation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.evaluations)
}

// Tracked returns what the code under test tracked of a metric so far, in order; of all metrics,
// where it is empty. What a relay would refuse is there, too: see Problem.
func (c *Client) Tracked(metric string) []clientsdk.Tracked {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []clientsdk.Tracked
	for _, t := range c.tracked {
		if metric == "" || t.Metric == metric {
			list = append(list, t)
		}
	}
	return list
}

// Reset forgets the evaluations and what was tracked.
func (c *Client) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evaluations, c.tracked = nil, nil
}

func (c *Client) recordTracked(_ context.Context, t clientsdk.Tracked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracked = append(c.tracked, t)
}

func (c *Client) record(_ context.Context, ec clientsdk.Context, r clientsdk.Resolution) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evaluations = append(c.evaluations, Evaluation{Context: ec, Resolution: r})
}

func (c *Client) load(name string, data []byte) {
	c.t.Helper()
	doc, err := manifest.Parse(name, data)
	if err != nil {
		c.t.Fatalf("flagtest: %v", err)
	}
	c.apply(clientsdk.Edit{Flags: doc.Flags, Segments: doc.Segments})
}

func (c *Client) setEnabled(key string, enabled bool) {
	c.t.Helper()
	f := c.Flag(key)
	if f == nil {
		c.t.Fatalf("flagtest: there is no flag %q: Set it first", key)
	}
	f.Enabled = enabled
	c.apply(clientsdk.Edit{Flags: []*flagv1.Flag{f}})
}

func (c *Client) apply(e clientsdk.Edit) {
	c.t.Helper()
	if err := c.Apply(e); err != nil {
		c.t.Fatalf("flagtest: %v", err)
	}
}
