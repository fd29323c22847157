package store

import (
	"context"
	"strings"
)

// Pages reads what is below a prefix, whose keys are PREFIX.../NAME/LAST, page by page, in the
// order of the keys, each page at the store's revision of that moment.
//
// etcd looks at every key of a range, however small its limit: to read a million keys by a
// thousand limited ranges to the end is to look at half a milliard. So each page asks for a range
// that is hardly larger than what it returns, and for a larger one only if that is empty.
type Pages struct {
	store  Store
	prefix string
	limit  int

	from, last string // last is the key to guess from; empty: none was seen
	done       bool
}

// lastDigits is how much of LAST may differ in the first range that is tried: hexadecimal
// numbers that count differ in their last digits.
const lastDigits = 3

// NewPages makes Pages that begin at the prefix.
func NewPages(s Store, prefix string, limit int) *Pages {
	return &Pages{store: s, prefix: prefix, limit: limit, from: prefix}
}

// Skip goes on after all keys that begin with the prefix, of which one was returned.
func (p *Pages) Skip(prefix string) {
	p.from, p.last = PrefixEnd(prefix), prefix
}

// Next returns the next page, which is empty at the end, and the revision it was read at.
func (p *Pages) Next(ctx context.Context) ([]KV, int64, error) {
	end := PrefixEnd(p.prefix)
	revision := int64(0)
	for _, upTo := range p.guesses() {
		if p.done || upTo <= p.from {
			continue
		}
		results, at, err := p.store.Read(ctx, Range{Key: p.from, End: upTo, Limit: p.limit})
		if err != nil {
			return nil, 0, err
		}
		revision = at
		if kvs := results[0].KVs; len(kvs) > 0 {
			p.last = kvs[len(kvs)-1].Key
			p.from = p.last + "\x00"
			return kvs, revision, nil
		}
		p.from, p.done = upTo, upTo >= end
	}
	return nil, revision, nil
}

// guesses are the ends of ranges to try, from the next key's likely neighbourhood to everything.
func (p *Pages) guesses() []string {
	if p.last == "" {
		return []string{PrefixEnd(p.prefix)}
	}
	var ends []string
	slash := strings.LastIndexByte(p.last, '/')
	if n := len(p.last) - lastDigits; n > slash+1 {
		ends = append(ends, PrefixEnd(p.last[:n]))
	}
	for n := slash + 1; n > len(p.prefix); n-- {
		if n != slash { // 'NAME' is hardly less than 'NAME/'
			ends = append(ends, PrefixEnd(p.last[:n]))
		}
	}
	return append(ends, PrefixEnd(p.prefix))
}
