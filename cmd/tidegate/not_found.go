package main

import (
	"context"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/nearest"
)

// What servers say of a name that is none.
var (
	noEnvironment = regexp.MustCompile(`^not found: environment "([^"]*)" \(there are: ([^)]*)\)$`)
	noResource    = regexp.MustCompile(`^not found: (flag|segment|rollout) "([^"]*)" in environment "([^"]*)"$`)
)

// How long, and through how many pages of names, it is looked for what was meant.
const (
	nearestWait  = 2 * time.Second
	nearestPages = 10
)

// withNearest adds to the error of a name that is none which one was probably meant.
func (c *client) withNearest(ctx context.Context, err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok || st.Code() != codes.NotFound {
		return err
	}
	meant := ""
	if m := noEnvironment.FindStringSubmatch(st.Message()); m != nil {
		meant = nearest.Name(m[1], strings.Split(m[2], ", "))
	} else if m := noResource.FindStringSubmatch(st.Message()); m != nil {
		meant = nearest.Name(m[2], c.keysOf(ctx, m[1], m[3]))
	}
	if meant == "" {
		return err
	}
	return status.Error(codes.NotFound, st.Message()+"; did you mean "+meant+"?")
}

// keysOf are the keys of an environment that the caller may read, as far as they are told: it is
// no reason to fail in another way that they are not.
func (c *client) keysOf(ctx context.Context, kind, environment string) []string {
	ctx, cancel := context.WithTimeout(ctx, nearestWait)
	defer cancel()
	var keys []string
	token := ""
	for range nearestPages {
		page, next, err := c.keysPage(ctx, kind, environment, token)
		keys = append(keys, page...)
		if token = next; err != nil || token == "" {
			break
		}
	}
	return keys
}

func (c *client) keysPage(ctx context.Context, kind, environment, token string) (keys []string, next string, err error) {
	switch kind {
	case "flag":
		page, err := c.flags.ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: environment, PageSize: pageSize, PageToken: token})
		for _, v := range page.GetFlags() {
			keys = append(keys, v.GetFlag().GetKey())
		}
		return keys, page.GetNextPageToken(), err
	case "segment":
		page, err := c.segments.ListSegments(ctx, &controlv1.ListSegmentsRequest{Environment: environment, PageSize: pageSize, PageToken: token})
		for _, v := range page.GetSegments() {
			keys = append(keys, v.GetSegment().GetKey())
		}
		return keys, page.GetNextPageToken(), err
	}
	page, err := c.rollouts.ListRollouts(ctx, &controlv1.ListRolloutsRequest{Environment: environment, PageSize: pageSize, PageToken: token})
	for _, v := range page.GetRollouts() {
		keys = append(keys, v.GetRollout().GetKey())
	}
	return keys, page.GetNextPageToken(), err
}
