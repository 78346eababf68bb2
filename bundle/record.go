package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"runclamp/enforce"
)

const (
	// recordName is runclamp's own file in the bundle.
	recordName = "runclamp.json"
	// recordVersion changes when an older runclamp could misread a record.
	recordVersion = 1
	maxRecord     = 1 << 20
)

// Record is what runclamp remembers of the decision about a container, for the verbs that come after create.
type Record struct {
	Version int `json:"version"`
	// Policy says where the decision came from.
	Policy  string          `json:"policy"`
	Verdict enforce.Verdict `json:"verdict"`
	// Proof says what was proved from the kernel before the first instruction: "none".
	Proof string `json:"proof"`
	// ConfigSHA256 is of the clamped config.json, in hexadecimal. Who changes that file makes a container that was never
	// decided about.
	ConfigSHA256 string            `json:"configSHA256"`
	Findings     []enforce.Finding `json:"findings,omitempty"`
}

// NewRecord is the record of a decision.
func NewRecord(policy string, d enforce.Decision) Record {
	return Record{Version: recordVersion, Policy: policy, Verdict: d.Verdict, Proof: "none", Findings: d.Findings}
}

func (r Record) encode() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", recordName, err)
	}
	return append(text, '\n'), nil
}

// ErrNoRecord says that the container was not made by runclamp.
var ErrNoRecord = errors.New("no record of runclamp's in the bundle")

// ReadRecord reads the record and holds the configuration against it. ErrNoRecord if there is none.
func (b *Bundle) ReadRecord(c *Config) (Record, error) {
	data, _, err := b.read(recordName, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, ErrNoRecord
	}
	if err != nil {
		return Record{}, err
	}
	doc, err := ParseDocument(data, reflect.TypeFor[Record]())
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", recordName, err)
	}
	var r Record
	if err := doc.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("%s: %w", recordName, err)
	}
	if r.Version != recordVersion {
		return Record{}, fmt.Errorf("%s has version %d, this runclamp knows %d", recordName, r.Version, recordVersion)
	}
	if r.ConfigSHA256 != digest(c.Bytes()) {
		return Record{}, fmt.Errorf("%s is not the one that was decided about: it was changed after create; make the container anew", configName)
	}
	return r, nil
}
