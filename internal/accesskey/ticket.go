package accesskey

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A ticket stands for a key in a URL, where a browser's EventSource can send no header: it tells
// that somebody with the key asked for one environment's events, and opens nothing else. It is
// 'tgt_ID_MAC', the MAC being HMAC-SHA-256 of what it is for with the hash of the key's secret,
// which every relay of the environment has: so it is good at all of them, as long as the secret is.
const ticketPrefix = "tgt_"

// errTicket does not say what is wrong with it.
var errTicket = status.Error(codes.Unauthenticated, "the ticket is not good: fetch all flags again, whose answer has another")

func ticketMAC(secretHash []byte, environment string) []byte {
	mac := hmac.New(sha256.New, secretHash)
	_, _ = mac.Write([]byte("events of " + environment)) // never fails
	return mac.Sum(nil)
}

// Ticket is one for the events of the gate's environment; empty: none is needed.
func (v *Visitor) Ticket(environment string) string {
	if v == nil {
		return ""
	}
	if t := v.ticket.Load(); t != nil {
		return *t
	}
	t := ticketPrefix + v.key.ID + "_" + encoding.EncodeToString(ticketMAC(v.key.hash[:], environment))
	v.ticket.Store(&t)
	return t
}

// TicketVisitor finds who presents tickets for an environment's events, of which there must be
// one. The error is a status.
func (g *Gate) TicketVisitor(tickets []string, environment string) (*Visitor, error) {
	if g == nil {
		return nil, nil
	}
	if len(tickets) != 1 {
		return nil, errTicket
	}
	rest, ok := strings.CutPrefix(tickets[0], ticketPrefix)
	if !ok || len(tickets[0]) != secretLength || rest[IDLength] != '_' || !ValidID(rest[:IDLength]) {
		return nil, errTicket
	}
	sum, err := encoding.DecodeString(rest[IDLength+1:])
	if err != nil {
		return nil, errTicket
	}
	p := Presented{ID: rest[:IDLength], hash: [sha256.Size]byte(sum), ticketFor: environment}
	return &Visitor{gate: g, key: p}, nil
}
