package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// httpLoad posts a body over HTTP/1.1, one request at a time on each of its connections.
type httpLoad struct {
	addr, path, body string
	authorization    string // the header's value; empty: there is none
}

func (l httpLoad) run(ctx context.Context, done func(time.Duration)) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	authorization := ""
	if l.authorization != "" {
		authorization = "Authorization: " + l.authorization + "\r\n"
	}
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		l.path, l.addr, authorization, len(l.body), l.body)
	in := bufio.NewReaderSize(conn, 64<<10)
	for ctx.Err() == nil {
		begun := time.Now()
		if err := l.exchange(conn, in, request); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", l.path, err)
		}
		done(time.Since(begun))
	}
	return nil
}

func (l httpLoad) exchange(conn net.Conn, in *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}
