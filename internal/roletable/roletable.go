// Package roletable makes tables of who may call what of tests that call it, and keeps them in a
// page of the documentation. Several tests write into one page: each has its own section.
package roletable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// What a cell says.
const (
	Yes = "yes"
	Who = "who?"
	No  = "no"
)

// patience bounds one call.
const patience = 20 * time.Second

// Cell is what came of a call: whatever else it fails with, it was let in.
func Cell(code codes.Code) string {
	switch code {
	case codes.Unauthenticated:
		return Who
	case codes.PermissionDenied:
		return No
	}
	return Yes
}

// HTTPCell is Cell for a status of HTTP.
func HTTPCell(code int) string {
	switch code {
	case http.StatusUnauthorized:
		return Who
	case http.StatusForbidden:
		return No
	}
	return Yes
}

// Method finds a method, /package.Service/Method, among all that is linked.
func Method(t testing.TB, full string) protoreflect.MethodDescriptor {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(full[1:], "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MethodDescriptor)
}

// Request is a request of a method, empty but for the texts that are given by the names of their
// fields, where it has those.
func Request(t testing.TB, full string, texts map[string]string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(Method(t, full).Input())
	for name, text := range texts {
		f := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if f != nil && f.Kind() == protoreflect.StringKind && !f.IsList() {
			m.Set(f, protoreflect.ValueOfString(text))
		}
	}
	return m
}

// Call calls a method, of a stream with one message, and returns the first answer and what came
// of it.
func Call(ctx context.Context, t testing.TB, conn grpc.ClientConnInterface, full string, request proto.Message) (*dynamicpb.Message, codes.Code) {
	t.Helper()
	m := Method(t, full)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer := dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return answer, status.Code(conn.Invoke(ctx, full, request, answer))
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: m.IsStreamingClient()}, full)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err = stream.RecvMsg(answer); errors.Is(err, io.EOF) {
		return answer, codes.OK
	}
	return answer, status.Code(err)
}

// Table is one section of a page.
type Table struct {
	// Title is the section's, Head what stands above the table.
	Title, Head string
	// First names the first column, Roles the others.
	First string
	Roles []string
	rows  strings.Builder
}

// Row adds a row, with one cell for each role.
func (t *Table) Row(name string, cells ...string) {
	t.rows.WriteString("| `" + name + "` | " + strings.Join(cells, " | ") + " |\n")
}

func (t *Table) section() string {
	return "## " + t.Title + "\n\n" + t.Head + "\n\n| " + t.First + " | " + strings.Join(t.Roles, " | ") + " |\n|---" +
		strings.Repeat("|---", len(t.Roles)) + "|\n" + t.rows.String()
}

// Check demands that the page has the table as it is; update writes it there first.
func (t *Table) Check(tb testing.TB, page string, update bool) {
	tb.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		tb.Fatal(err)
	}
	told := string(data)
	before, section, after := split(told, t.Title)
	if section == t.section() {
		return
	}
	if !update {
		tb.Errorf("section %q of %s is not what comes of the calls; see what changed, and run this with -args -update:\n%s", t.Title, page, t.section())
		return
	}
	if err := os.WriteFile(page, []byte(before+t.section()+after), 0o644); err != nil { //nolint:gosec // it is for everybody
		tb.Fatal(err)
	}
}

// split finds a section in a page; one that is not there is to be at its end.
func split(page, title string) (before, section, after string) {
	head := "\n## " + title + "\n"
	at := strings.Index(page, head)
	if at < 0 {
		return strings.TrimRight(page, "\n") + "\n\n", "", ""
	}
	at++
	if end := strings.Index(page[at+1:], "\n## "); end >= 0 {
		end += at + 1
		return page[:at], page[at:end], page[end:]
	}
	return page[:at], page[at:], ""
}

// Missing demands that what is served and what has a permission are the same.
func Missing(tb testing.TB, served, permitted map[string]bool) {
	tb.Helper()
	for name := range served {
		if !permitted[name] {
			tb.Errorf("%s has no permission: say in the table who may call it", name)
		}
	}
	for name := range permitted {
		if !served[name] {
			tb.Errorf("%s has a permission, and is not served", name)
		}
	}
}

// Served are the methods of a server.
func Served(s *grpc.Server) map[string]bool {
	served := map[string]bool{}
	for service, info := range s.GetServiceInfo() {
		for _, m := range info.Methods {
			served[fmt.Sprintf("/%s/%s", service, m.Name)] = true
		}
	}
	return served
}
