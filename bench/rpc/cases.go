package main

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/bench/testbed"
	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// testCase is a load on a server.
type testCase struct {
	name        string
	floor       bool // on the echo
	load        load
	connections int
	inFlight    string
	pid         int
	evaluations int // in one request
	// beside is the name of the load that it is compared with, round by round; empty: none.
	beside string
}

func (c *testCase) server() string {
	if c.floor {
		return "echo"
	}
	return "relay"
}

const unaryName = "Evaluate"

// The flags: few and many to be asked for at once, by the prefix of their keys.
const (
	fewFlags, manyFlags   = 100, 1000
	fewPrefix, manyPrefix = "some-", "many-"
	oneKey                = "some-050"
	// Of two flags that are alike one has a rollout, by which the relay counts who is served what.
	plainKey, watchedKey = "plain", "watched"
	fewUsers             = 1024
)

func keys() []string {
	all := make([]string, 0, fewFlags+manyFlags)
	for i := range fewFlags {
		all = append(all, fmt.Sprintf("%s%03d", fewPrefix, i))
	}
	for i := range manyFlags {
		all = append(all, fmt.Sprintf("%s%03d", manyPrefix, i))
	}
	return append(all, plainKey, watchedKey)
}

// attributes are what every request says of its subject.
func attributes() map[string]any {
	return map[string]any{
		"email": "ada.lovelace@example.com", "country": "Canada", "plan": "enterprise", "device": "ios", "version": "12.4.1",
	}
}

const targetingKey = "user-0123456789"

// withKey is the name of a load as another one, of who presents a key.
const withKey = ", with a key"

func cases(bed *testbed.Bed, authorization, echo string, echoPID int) []testCase {
	subject := &evaluationv1.EvaluationContext{TargetingKey: targetingKey, Attributes: object(attributes())}
	one := &evaluationv1.EvaluateRequest{FlagKey: oneKey, Context: subject}
	var all []testCase
	load := func(name, method string, requests [][]byte, stream bool, connections, inFlight, evaluations int, floor bool) {
		c := testCase{
			name: name, floor: floor, connections: connections, pid: bed.RelayPID(), evaluations: evaluations,
			inFlight: fmt.Sprintf("%dx%d", connections, inFlight),
		}
		l := grpcLoad{addr: bed.RelayAddr, path: method, messages: requests, stream: stream, inFlight: inFlight}
		if floor {
			l.addr, c.pid = echo, echoPID
		}
		c.load = l
		all = append(all, c)
		if !floor && evaluations == 1 && len(requests) == 1 {
			l.authorization = authorization
			c.name, c.load, c.beside = name+withKey, l, name
			all = append(all, c)
		}
	}
	call := func(name, method string, request proto.Message, stream bool, connections, inFlight, evaluations int, floor bool) {
		load(name, method, [][]byte{encode(request)}, stream, connections, inFlight, evaluations, floor)
	}
	both := func(name, method string, request proto.Message, stream bool, connections, inFlight int) {
		call(name, method, request, stream, connections, inFlight, 1, true)
		call(name, method, request, stream, connections, inFlight, 1, false)
	}
	both(unaryName, evaluationv1.EvaluationService_Evaluate_FullMethodName, one, false, 4, 16)
	both("Evaluate, one at a time", evaluationv1.EvaluationService_Evaluate_FullMethodName, one, false, 1, 1)
	both("EvaluateStream", evaluationv1.EvaluationService_EvaluateStream_FullMethodName,
		&evaluationv1.EvaluateStreamRequest{Id: 1 << 20, Request: one}, true, 1, 64)
	const plain = "Evaluate, no rollout"
	for _, counted := range []struct{ name, key, beside string }{
		{plain, plainKey, ""}, {"Evaluate, counted by a rollout", watchedKey, plain},
	} {
		users := make([][]byte, 0, fewUsers)
		for i := range fewUsers {
			users = append(users, encode(&evaluationv1.EvaluateRequest{FlagKey: counted.key, Context: &evaluationv1.EvaluationContext{
				TargetingKey: fmt.Sprintf("user-%010d", i), Attributes: object(attributes()),
			}}))
		}
		load(counted.name, evaluationv1.EvaluationService_Evaluate_FullMethodName, users, false, 4, 16, 1, false)
		all[len(all)-1].beside = counted.beside
	}
	bulk := func(prefix string, n int) {
		call(fmt.Sprintf("EvaluateAll, %d flags", n), evaluationv1.EvaluationService_EvaluateAll_FullMethodName,
			&evaluationv1.EvaluateAllRequest{KeyPrefix: prefix, Context: subject}, false, 2, 2, n, false)
	}
	bulk(fewPrefix, fewFlags)
	bulk(manyPrefix, manyFlags)
	flagd := attributes()
	flagd["targetingKey"] = targetingKey
	call("flagd v1 ResolveBoolean", flagdv1.Service_ResolveBoolean_FullMethodName,
		&flagdv1.ResolveBooleanRequest{FlagKey: oneKey, Context: object(flagd)}, false, 4, 16, 1, false)
	call("flagd v2 ResolveBoolean", flagdv2.Service_ResolveBoolean_FullMethodName,
		&flagdv2.ResolveBooleanRequest{FlagKey: oneKey, Context: object(flagd)}, false, 4, 16, 1, false)
	post := func(name, path string, connections, evaluations int) {
		body, err := json.Marshal(map[string]any{"context": flagd})
		if err != nil {
			panic(err) // of our own values
		}
		c := testCase{name: name, connections: connections, inFlight: fmt.Sprintf("%dx1", connections), pid: bed.RelayPID(), evaluations: evaluations}
		l := httpLoad{addr: bed.RelayHTTPAddr, path: path, body: string(body)}
		c.load = l
		all = append(all, c)
		if evaluations == 1 {
			l.authorization = authorization
			c.name, c.load, c.beside = name+withKey, l, name
			all = append(all, c)
		}
	}
	post("OFREP, one flag", "/ofrep/v1/evaluate/flags/"+oneKey, 64, 1)
	post(fmt.Sprintf("OFREP, all %d flags", len(keys())), "/ofrep/v1/evaluate/flags", 4, len(keys()))
	return all
}

func object(fields map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(fields)
	if err != nil {
		panic(err) // of our own values
	}
	return s
}

func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err) // of our own messages
	}
	return b
}
