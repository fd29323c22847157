// Command provider is an OpenID provider for tests in a browser: the example of
// github.com/zitadel/oidc, with the users that it is told. It serves until it is killed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "`address` to serve at; http://ADDRESS/ is the issuer")
	redirect := flag.String("redirect", "", "`URL` that people are sent back to")
	password := flag.String("password", "", "the password of all users")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: provider [flags] EMAIL...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := serve(*addr, *redirect, *password, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "provider:", err)
		os.Exit(1)
	}
}

func serve(addr, redirect, password string, emails []string) error {
	users, err := usersOf(password, emails)
	if err != nil {
		return err
	}
	storage.RegisterClients(storage.WebClient("web", "secret", redirect))
	router := exampleop.SetupServer("http://"+addr+"/", storage.NewStorage(users), slog.New(slog.DiscardHandler), false)
	s := &http.Server{Addr: addr, Handler: router, ReadHeaderTimeout: time.Minute}
	return s.ListenAndServe()
}

// usersOf is one user for each address, called by what stands before its '@'. The example reads
// its users from a file alone.
func usersOf(password string, emails []string) (storage.UserStore, error) {
	users := map[string]*storage.User{}
	for _, email := range emails {
		name, _, _ := strings.Cut(email, "@")
		users[name] = &storage.User{ID: name, Username: name, Password: password, Email: email, EmailVerified: true}
	}
	encoded, err := json.Marshal(users)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tidegate-provider-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it has been read
	path := filepath.Join(dir, "users.json")
	if err := os.WriteFile(path, encoded, 0o600); err != nil {
		return nil, err
	}
	return storage.StoreFromFile(path)
}
