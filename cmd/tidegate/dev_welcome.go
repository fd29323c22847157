package main

import (
	"io"
	"net"
	"text/template"

	"github.com/tidegate/tidegate/dashboard"
)

// welcome is what 'tidegate dev' prints when it is ready. The commands are meant to be
// copied; a test runs them.
var welcome = template.Must(template.New("welcome").Parse(`
tidegate is ready.   Ctrl-C stops it; data stays in {{.DataDir}}

  {{if .Dashboard}}dashboard   http://{{.ServerHTTP}}/

  {{end}}server   gRPC {{.Server}}   JSON and metrics http://{{.ServerHTTP}}
  relay    gRPC {{.Relay}}   OFREP and JSON http://{{.RelayHTTP}}   health and metrics http://{{.Management}}

  OpenFeature providers of any language work as they are: flagd's rpc at {{.Relay}},
  its in-process at {{.FlagdSync}}, OFREP's at http://{{.RelayHTTP}}
{{if .Writable}}
  Not on loopback only, and nobody is asked who they are: anyone who reaches this machine
  can change flags.
{{else if .Readable}}
  The relay is not on loopback only, and nobody is asked for a key: anyone who reaches this
  machine can evaluate flags and read their rules.
{{else}}
  Open, on loopback only: nobody is asked who they are.
{{end}}
Try next (needs no proto files: the servers describe themselves)

  # what the server offers
  grpcurl -plaintext {{.Server}} list

  # ask the relay for a flag's value
  grpcurl -plaintext -d '{"environment":"production","flagKey":"new-checkout","context":{"targetingKey":"user-1","attributes":{"country":"Canada"}}}' {{.Relay}} tidegate.evaluation.v1.EvaluationService/Evaluate

  # watch it, and leave this running
  grpcurl -plaintext -d '{"environment":"production","context":{"targetingKey":"user-1","attributes":{"country":"Canada"}},"flagKeys":["new-checkout"]}' {{.Relay}} tidegate.evaluation.v1.EvaluationService/Watch

  # pull the kill switch: the watch shows it at once
  grpcurl -plaintext -d '{"environment":"production","flagKey":"new-checkout","enabled":false,"reason":"trying it out"}' {{.Server}} tidegate.control.v1.FlagService/SetEnabled

  # who changed what, when and why
  grpcurl -plaintext -d '{"environment":"production","flagKey":"new-checkout"}' {{.Server}} tidegate.control.v1.FlagService/ListFlagHistory

The same with the tidegate command

  tidegate flag list --server {{.Server}} --environment production
  tidegate evaluate new-checkout --relay {{.Relay}} --environment production --key user-1 --attribute country=Canada
  tidegate flag enable new-checkout --server {{.Server}} --environment production --reason "trying it out"
  tidegate flag history new-checkout --server {{.Server}} --environment production

And with curl

  curl -H 'Content-Type: application/json' -d '{"flagKey":"new-checkout","context":{"targetingKey":"user-1"}}' http://{{.RelayHTTP}}/tidegate.evaluation.v1.EvaluationService/Evaluate
  curl -H 'Content-Type: application/json' -d '{"context":{"targetingKey":"user-1","country":"Canada"}}' http://{{.RelayHTTP}}/ofrep/v1/evaluate/flags/new-checkout

`))

// devAddresses are where everything of 'tidegate dev' listens.
type devAddresses struct {
	Server, ServerHTTP, Relay, RelayHTTP, Management, FlagdSync string
}

func printWelcome(out io.Writer, dir string, a devAddresses) error {
	v := struct {
		devAddresses
		DataDir            string
		Writable, Readable bool // by others than this machine
		Dashboard          bool // is part of this build
	}{devAddresses: a, DataDir: dir, Dashboard: dashboard.Files() != nil}
	v.Writable = opens(a.Server) || opens(a.ServerHTTP)
	v.Readable = opens(a.Relay) || opens(a.RelayHTTP) || opens(a.Management) || opens(a.FlagdSync)
	for _, addr := range []*string{&v.Server, &v.ServerHTTP, &v.Relay, &v.RelayHTTP, &v.Management, &v.FlagdSync} {
		*addr = reachable(*addr)
	}
	return welcome.Execute(out, v)
}

// opens tells whether other machines can reach an address.
func opens(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err != nil || !net.ParseIP(host).IsLoopback()
}
