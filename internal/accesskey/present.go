package accesskey

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Header is the metadata in which a key is presented, as 'Bearer SECRET'; over HTTP the header.
const Header = "authorization"

// FromContext reads the key that a call presents; nil: none, where none is required. The error
// is a status.
func FromContext(ctx context.Context, required bool) (*Presented, error) {
	return FromHeader(metadata.ValueFromIncomingContext(ctx, Header), required)
}

// FromHeader is FromContext for the header's values. Nothing of them is in the error.
func FromHeader(values []string, required bool) (*Presented, error) {
	secret, presented, err := bearer(values)
	switch {
	case err != nil:
		return nil, err
	case !presented && required:
		return nil, status.Error(codes.Unauthenticated, "a key is required: present it as 'authorization: Bearer SECRET' (tidegate-relay --key-file, clientsdk.WithKey)")
	case !presented:
		return nil, nil
	}
	p, err := Parse(secret)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "authorization: %v", err)
	}
	return &p, nil
}

// Bearer reads what a call presents, whatever it is of; presented is false where it is nothing.
// The error is a status.
func Bearer(ctx context.Context) (secret string, presented bool, err error) {
	return bearer(metadata.ValueFromIncomingContext(ctx, Header))
}

func bearer(values []string) (secret string, presented bool, err error) {
	if len(values) == 0 {
		return "", false, nil
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", false, status.Error(codes.Unauthenticated, "authorization: want one, of the form 'Bearer SECRET'")
	}
	return secret, true, nil
}
