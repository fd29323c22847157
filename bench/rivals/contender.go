package main

import "fmt"

// contender is a case, built for one engine or for one way of asking it.
type contender struct {
	decide func() bool // nil: the engine cannot express the case
	close  func()      // nil: there is nothing to close
}

// entrant builds the contenders of one engine.
type entrant[C any] struct {
	name  string
	build func(C) (contender, error)
}

// contend builds the case for every entrant and makes sure that all that can express it
// answer alike. What it returns must be closed.
func contend[C any](entrants []entrant[C], c C, name string, on bool) (all []contender, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	for _, e := range entrants {
		built, err := e.build(c)
		if err != nil {
			return all, fmt.Errorf("%s: %w", e.name, err)
		}
		all = append(all, built)
		if built.decide != nil && built.decide() != on {
			return all, fmt.Errorf("%s answers %v; all must answer %v", e.name, !on, on)
		}
	}
	return all, nil
}

func closeAll(contenders []contender) {
	for _, c := range contenders {
		if c.close != nil {
			c.close()
		}
	}
}

// race measures the case for every entrant.
func race[C any](m measurement, entrants []entrant[C], c C, name string, on bool) ([]figure, error) {
	contenders, err := contend(entrants, c, name, on)
	if err != nil {
		return nil, err
	}
	defer closeAll(contenders)
	return m.figures(contenders), nil
}
