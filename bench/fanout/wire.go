package main

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file reads and writes as much of sync.proto as a follower without flags needs.
// Cursors are kept as they came.

// answer is what one StreamResponse says.
type answer struct {
	// committed is the cursor of an Update's last chunk; nil in other messages.
	committed []byte
	revision  int64 // of committed
	// current is the cursor of a heartbeat; nil in other messages.
	current []byte
	// parting is set by a Goodbye.
	parting bool
	code    int
	backoff time.Duration
}

var errMalformed = errors.New("the server sent what is no StreamResponse")

// readAnswer reads a StreamResponse. What it returns refers to b.
func readAnswer(b []byte) (a answer, err error) {
	err = fields(b, func(n protowire.Number, message []byte, _ uint64) error {
		switch n {
		case 2: // Update
			return a.readUpdate(message)
		case 3: // Heartbeat
			return fields(message, func(n protowire.Number, status []byte, _ uint64) error {
				if n != 1 {
					return nil
				}
				a.current, err = field(status, 2)
				return err
			})
		case 4: // Goodbye
			return a.readGoodbye(message)
		}
		return nil
	})
	return a, err
}

func (a *answer) readUpdate(b []byte) error {
	commit, err := field(b, 5)
	if err != nil || commit == nil {
		return err
	}
	if a.committed, err = field(commit, 1); err != nil {
		return err
	}
	return fields(a.committed, func(n protowire.Number, _ []byte, value uint64) error {
		if n == 2 {
			a.revision = int64(value)
		}
		return nil
	})
}

func (a *answer) readGoodbye(b []byte) error {
	a.parting = true
	return fields(b, func(n protowire.Number, message []byte, value uint64) error {
		switch n {
		case 1:
			a.code = int(value)
		case 2:
			return fields(message, func(n protowire.Number, _ []byte, value uint64) error {
				switch n {
				case 1:
					a.backoff += time.Duration(value) * time.Second
				case 2:
					a.backoff += time.Duration(value)
				}
				return nil
			})
		}
		return nil
	})
}

// fields calls visit with the fields of a message: its bytes, or its value.
func fields(b []byte, visit func(n protowire.Number, bytes []byte, value uint64) error) error {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
		}
		b = b[size:]
		var bytes []byte
		var value uint64
		switch t {
		case protowire.BytesType:
			bytes, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			value, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(n, t, b)
		}
		if size < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
		}
		if err := visit(n, bytes, value); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// field returns the bytes of one field of a message; nil if it is not there.
func field(b []byte, wanted protowire.Number) (found []byte, err error) {
	err = fields(b, func(n protowire.Number, bytes []byte, _ uint64) error {
		if n == wanted {
			found = bytes
		}
		return nil
	})
	return found, err
}

// appendHello appends the StreamRequest that opens a stream; cursor may be nil.
func appendHello(b []byte, id, environment string, cursor []byte) []byte {
	scope := appendBytes(nil, 1, []byte(environment))
	if cursor != nil {
		scope = appendBytes(scope, 2, cursor)
	}
	hello := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	hello = appendBytes(hello, 2, []byte(id))
	hello = appendBytes(hello, 3, []byte("boot"))
	hello = appendBytes(hello, 4, []byte(id))
	hello = appendBytes(hello, 5, scope)
	hello = protowire.AppendVarint(protowire.AppendTag(hello, 9, protowire.VarintType), 1) // a relay
	return appendBytes(b, 1, hello)
}

// appendAck appends the StreamRequest that acknowledges a state.
func appendAck(b []byte, environment string, cursor []byte) []byte {
	size := protowire.SizeTag(1) + protowire.SizeBytes(len(environment)) + protowire.SizeTag(2) + protowire.SizeBytes(len(cursor))
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.BytesType), uint64(size))
	b = appendBytes(b, 1, []byte(environment))
	return appendBytes(b, 2, cursor)
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}
