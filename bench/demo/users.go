package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// people is how many users there are.
	people = 50_000
	// browsers is how many of them look at a page at a time.
	browsers = 64
)

// browse lets users look at both features, so many times a second each, until ctx ends.
func (s *scene) browse(ctx context.Context, rate int) *sync.WaitGroup {
	views := make(chan string, browsers)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: browsers}, Timeout: 10 * time.Second}
	var running sync.WaitGroup
	for range browsers {
		running.Go(func() {
			for url := range views {
				view(ctx, client, url)
			}
		})
	}
	running.Go(func() {
		defer close(views)
		for tick := time.NewTicker(time.Second / time.Duration(rate)); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			user := rand.IntN(people)               //nolint:gosec // plays users
			shop := s.shops[user%len(s.shops)].addr // of the user's region
			for _, page := range []string{"checkout", "search"} {
				views <- fmt.Sprintf("http://%s/%s?user=user-%d", shop, page, user)
			}
		}
	})
	return &running
}

// view looks at one page; an error page is one, too.
func view(ctx context.Context, client *http.Client, url string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	response, err := client.Do(r)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}
