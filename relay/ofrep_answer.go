package relay

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/jsondoc"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// This file writes OFREP's answers, by appending: they are most of what a bulk
// evaluation costs.

// appendAnswer writes the answer for one flag. Without a value the caller's default
// stands.
func (e *environment) appendAnswer(b []byte, key string, r eval.Result) []byte {
	b = append(b, `{"key":`...)
	b = jsondoc.AppendString(b, key)
	if r.Reason == eval.ReasonError {
		b = append(b, `,"errorCode":`...)
		b = jsondoc.AppendString(b, string(ofrepCode(r.ErrorCode)))
		b = append(b, `,"errorDetails":`...)
		b = jsondoc.AppendString(b, ofrepDetails(key, r))
		if r.Flag == nil {
			return append(b, '}')
		}
	} else {
		b = append(b, `,"reason":`...)
		b = jsondoc.AppendString(b, string(r.Reason))
		if v := r.Variant; v != nil {
			b = append(b, `,"value":`...)
			b = appendVariantValue(b, &v.Value)
			b = append(b, `,"variant":`...)
			b = jsondoc.AppendString(b, v.Name)
		}
	}
	b = append(b, `,"metadata":`...)
	return append(e.appendMetadata(b, &r), '}')
}

// ofrepCode maps an error code to one that OFREP has.
func ofrepCode(c eval.ErrorCode) eval.ErrorCode {
	switch c {
	case eval.FlagNotFound, eval.ParseError, eval.TargetingKeyMissing, eval.InvalidContext:
		return c
	}
	return eval.General
}

func ofrepDetails(key string, r eval.Result) string {
	if r.ErrorCode == eval.FlagNotFound {
		return "flag `" + key + "` does not exist"
	}
	return r.ErrorMessage()
}

// appendMetadata writes the set's metadata, overlaid by what is told of the flag's, in the order of the
// names. Only scalars are flag metadata.
func (e *environment) appendMetadata(b []byte, r *eval.Result) []byte {
	own := r.Metadata().GetFields()
	if len(own) == 0 {
		return append(b, e.metadataJSON...)
	}
	var few [8]string
	names := few[:0]
	for name := range own {
		names = append(names, name)
	}
	if _, there := own[flagSetID]; !there {
		names = append(names, flagSetID)
	}
	slices.Sort(names)
	next := byte('{')
	for _, name := range names {
		v, there := own[name]
		if !there {
			v = e.metadata.GetFields()[name]
		}
		if !isScalar(v) {
			continue
		}
		b = append(b, next)
		b = jsondoc.AppendString(b, name)
		b = append(b, ':')
		b = jsondoc.AppendValue(b, v)
		next = ','
	}
	if next == '{' {
		b = append(b, '{')
	}
	return append(b, '}')
}

func isScalar(v *structpb.Value) bool {
	switch v.GetKind().(type) {
	case *structpb.Value_BoolValue, *structpb.Value_NumberValue, *structpb.Value_StringValue:
		return true
	}
	return false
}

func appendVariantValue(b []byte, v *eval.VariantValue) []byte {
	switch v.Type {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		return strconv.AppendBool(b, v.Bool)
	case flagv1.ValueType_VALUE_TYPE_STRING:
		return jsondoc.AppendString(b, v.String)
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		return strconv.AppendInt(b, v.Int, 10)
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		return jsondoc.AppendNumber(b, v.Double)
	case flagv1.ValueType_VALUE_TYPE_OBJECT:
		return jsondoc.AppendObject(b, v.Proto)
	}
	return append(b, "null"...)
}

// tagOf makes the entity tag of all answers to a request: it stands for everything that
// they depend on. Empty: what they depend on cannot be told, as a version of a flag is in
// force that the state does not name.
func (e *environment) tagOf(snap *snapshot.Snapshot, right *accesskey.Right, here *eval.Context, request []byte) string {
	if len(snap.Rejections()) > 0 {
		return ""
	}
	now := int64(0)
	if snap.Eval().AnyReadsTime() {
		now = here.Now
	}
	state := snap.Cursor().Digest
	var fixed [24]byte
	binary.LittleEndian.PutUint64(fixed[:], state.Lo)
	binary.LittleEndian.PutUint64(fixed[8:], state.Hi)
	binary.LittleEndian.PutUint64(fixed[16:], uint64(now))
	var h xxhash.Digest
	h.Reset()
	_, _ = h.Write(fixed[:]) // it never fails
	for _, text := range []string{e.name, here.Region, right.Fingerprint()} {
		_, _ = h.WriteString(text)
		_, _ = h.WriteString("\x00")
	}
	_, _ = h.Write(request)
	b := append(make([]byte, 0, 18), '"')
	b = strconv.AppendUint(b, h.Sum64(), 16)
	return string(append(b, '"'))
}

// matchesTag tells whether one of the tags that a caller has is this one.
func matchesTag(given []string, tag string) bool {
	for _, line := range given {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
			if one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}

// fail answers what is not an answer for a flag. An empty code is none. It returns false.
func (c *ofrepCall) fail(code int, errorCode eval.ErrorCode, details string) bool {
	c.out = append(c.out[:0], '{')
	if errorCode != "" {
		if c.key != "" {
			c.out = append(jsondoc.AppendString(append(c.out, `"key":`...), c.key), ',')
		}
		c.out = append(jsondoc.AppendString(append(c.out, `"errorCode":`...), string(errorCode)), ',')
	}
	c.out = append(jsondoc.AppendString(append(c.out, `"errorDetails":`...), details), '}')
	c.write(code)
	return false
}

func (c *ofrepCall) tooMany(wait time.Duration) {
	seconds := int(math.Ceil(wait.Seconds()))
	c.w.Header().Set("Retry-After", strconv.Itoa(max(seconds, 1)))
	c.fail(http.StatusTooManyRequests, "", "too many requests from this address")
}

// jsonType is shared by all answers; it is not modified.
var jsonType = []string{"application/json"}

// write sends the answer.
func (c *ofrepCall) write(code int) {
	h := c.w.Header()
	h["Content-Type"] = jsonType
	if len(c.out) > 2048 { // less is counted by net/http
		h["Content-Length"] = []string{strconv.Itoa(len(c.out))}
	}
	c.head(code)
	if len(c.out) <= unbuffered {
		_, _ = c.w.Write(c.out) // a caller that is gone needs no answer
		return
	}
	// The deadline is the connection's: it must not meet what is answered next.
	control := http.NewResponseController(c.w)
	_ = control.SetWriteDeadline(time.Now().Add(ofrepWriteTimeout)) // as for reading
	_, _ = c.w.Write(c.out)
	_ = control.SetWriteDeadline(time.Time{})
}

// unbuffered is how much net/http, and the kernel, take without waiting for the caller.
const unbuffered = 4 << 10

// head sends the status, and counts the answer.
func (c *ofrepCall) head(code int) {
	c.handler.answered[code].Add(1)
	if code != http.StatusOK { // which is sent with the body
		c.w.WriteHeader(code)
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }
