package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"runclamp/integration/demo/fixture"
)

// loads: programs that make many system calls, under the filter of Docker's default and under runclamp's. The program takes the time
// itself, inside.
func (b bench) loads(ctx context.Context) (all []series, err error) {
	spec, err := b.config()
	if err != nil {
		return nil, err
	}
	ids := [2]string{}
	for i, r := range []fixture.Runtime{b.runc, b.runclamp} {
		if ids[i], err = b.paused(r, "load", spec); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, r.Remove(ids[i])) }()
	}
	for _, work := range []string{"getpid", "http"} {
		process := *spec.Process
		process.Args = []string{"/load", work}
		raw, err := json.Marshal(process)
		if err != nil {
			return nil, fmt.Errorf("process: %w", err)
		}
		document := filepath.Join(b.work, work+".json")
		if err := os.WriteFile(document, raw, 0o600); err != nil {
			return nil, err
		}
		pairs, err := b.interleave(ctx, b.n, b.told(b.runc, document, ids[0]), b.told(b.runclamp, document, ids[1]))
		if err != nil {
			return nil, err
		}
		all = append(all, series{what: "load inside: " + work, a: "Docker's filter", b: "runclamp's", pairs: pairs[0], goal: "1.00x"})
	}
	return all, nil
}

// told is a program in a container that prints how long it took.
func (b bench) told(r fixture.Runtime, document, id string) action {
	return func() (times []time.Duration, err error) {
		out, err := os.Create(filepath.Join(b.work, "told"))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
		callErr := r.Call(out, "exec", "--process", document, id)
		text, err := os.ReadFile(out.Name())
		if callErr != nil || err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %s", callErr, text), err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return []time.Duration{time.Duration(n)}, err
	}
}
