package rpc

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/proto"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// A source that fails is not the caller's bad JSON.
func TestJSONCodecSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	err := newJSONCodec().UnmarshalRead(context.Background(), iotest.ErrReader(broken), &evaluationv1.EvaluateRequest{})
	if !errors.Is(err, broken) || strings.Contains(err.Error(), "JSON") {
		t.Errorf("got %v, want what the source said", err)
	}
}

// What the codec reads it writes again, and whatever comes, it fails with a message
// that names the type, never with a panic.
func FuzzJSONCodec(f *testing.F) {
	for _, seed := range []string{
		`{"environment":"production","flagKey":"new-checkout","context":{"targetingKey":"user-1","attributes":{"country":"CA"}}}`,
		`{"flag_key":"a","expectedType":"VALUE_TYPE_BOOLEAN","minRevision":"7","maxAge":"1.5s","stalePolicy":2}`,
		`{"flagKye":"a"}`, `{`, ``, `[]`, `{"context":{"attributes":{"a":[1,{"b":null}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	codec := newJSONCodec()
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx := context.Background()
		var m evaluationv1.EvaluateRequest
		if err := codec.UnmarshalRead(ctx, bytes.NewReader(data), &m); err != nil {
			if !strings.Contains(err.Error(), "tidegate.evaluation.v1.EvaluateRequest") {
				t.Errorf("%q: %v does not name the type", data, err)
			}
			return
		}
		var b bytes.Buffer
		if err := codec.MarshalWrite(ctx, &b, &m); err != nil {
			t.Fatalf("%q was read but cannot be written: %v", data, err)
		}
		var again evaluationv1.EvaluateRequest
		if err := codec.UnmarshalRead(ctx, &b, &again); err != nil || !proto.Equal(&m, &again) {
			t.Fatalf("%q: read %v, written and read again %v, %v", data, &m, &again, err)
		}
	})
}
