package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestProvedInFull: what every engine sends can be read back from the kernel before the first instruction, all of it, sandboxes
// included. The policy would refuse a container of which something could not be read.
func TestProvedInFull(t *testing.T) {
	// One after the other: two of them have one containerd, and one policy.
	for _, l := range engines {
		t.Run(name(l.engine), func(t *testing.T) { provedInFull(t, l.started(t)) })
	}
}

func provedInFull(t *testing.T, e engine) {
	policy, log := filepath.Join(e.where().conf, "policy.yaml"), e.where().file("audit", "proof.jsonl")
	if err := os.WriteFile(policy, []byte("apiVersion: runclamp/v1\nrequireProof: true\naudit: {log: "+log+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(policy), os.RemoveAll(filepath.Dir(log))); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(e.where().dir, "proof-data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []container{
		{args: []string{"/bin/true"}},
		{args: []string{"/bin/true"}, tty: true},
		{args: []string{"/bin/true"}, binds: []string{data + ":/data", data + ":/var/run/data:ro"}},
	} {
		if out, err := e.output(c); err != nil {
			t.Errorf("%+v: %v: %s", c, err, out)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	started := 0
	for line := range bytes.Lines(text) {
		var l struct {
			Verb, Proof string
			Findings    json.RawMessage
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l.Verb != "start" {
			continue
		}
		started++
		if l.Proof != "passed" {
			t.Errorf("proof %s: %s", l.Proof, l.Findings)
		}
	}
	if started < 3 {
		t.Errorf("%d starts in %s", started, text)
	}
}
