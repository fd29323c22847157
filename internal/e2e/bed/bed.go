// Package bed runs real processes for tests: the binaries as they ship, started, killed,
// stopped and started again; and has clients that write and read without pause, and check
// what they are told.
package bed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tidegate/tidegate/internal/loopback"
)

// Patience bounds every wait: generous, as machines are slow and shared.
const Patience = 60 * time.Second

// Environment is where the writers' flags are.
const Environment = "production"

// FreeAddrs returns addresses for one process; when it is started again, it needs the same.
func FreeAddrs(t testing.TB, n int) []string {
	t.Helper()
	addrs, err := loopback.Addrs(n)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

// Dial connects to one of our processes. Calls wait for one that was killed to be back;
// it is so within moments.
func Dial(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func connect(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: time.Second, Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, MaxDelay: 100 * time.Millisecond},
		}))
}

// Eventually tries until what succeeds, and fails the test with its last error.
func Eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	EventuallyWithin(t, Patience, what, try)
}

// EventuallyWithin is Eventually where the time is part of the promise.
func EventuallyWithin(t testing.TB, limit time.Duration, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", limit, what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Get returns the body of a URL that answers 200; else an error with it.
func Get(url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}
