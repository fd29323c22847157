package accesskey

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Header is the metadata in which a key is presented, as 'Bearer SECRET'.
const Header = "authorization"

// FromContext reads the key that a call presents; nil: none, where none is required. The error
// is a status.
func FromContext(ctx context.Context, required bool) (*Presented, error) {
	values := metadata.ValueFromIncomingContext(ctx, Header)
	if len(values) == 0 {
		if required {
			return nil, status.Error(codes.Unauthenticated, "a key is required: present it as 'authorization: Bearer SECRET' (tidegate-relay --key-file, clientsdk.WithKey)")
		}
		return nil, nil
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return nil, status.Error(codes.Unauthenticated, "authorization: want one, of the form 'Bearer SECRET'")
	}
	p, err := Parse(secret)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "authorization: %v", err)
	}
	return &p, nil
}
