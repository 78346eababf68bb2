package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/strictjson"
)

const (
	// recordName is runclamp's own file in the bundle.
	recordName = "runclamp.json"
	// recordVersion changes when an older runclamp could misread a record.
	recordVersion = 1
	// ProofNone: nothing was proved from the kernel, or not all that the configuration asks for.
	ProofNone = "none"
	// ProofPassed: all that the configuration asks for was read from the kernel, and is in force.
	ProofPassed = "passed"
	// ProofFailed: something that it asks for is not.
	ProofFailed = "failed"
	maxRecord   = 1 << 20
)

// Record is what runclamp remembers of the decision about a container, for the verbs that come after create. They read no
// policy: what it says may have changed since, and a policy that can't be read must stop no probe.
type Record struct {
	Version int `json:"version"`
	// Source says where the decision came from, in the words that end a refusal.
	Source   string          `json:"source"`
	Policy   Policy          `json:"policy"`
	Workload policy.Workload `json:"workload"`
	Mode     policy.Mode     `json:"mode"`
	Verdict  enforce.Verdict `json:"verdict"`
	// Proof says what was proved from the kernel before the first instruction.
	Proof string `json:"proof"`
	// RequireProof: it may only start if everything can be proved.
	RequireProof bool `json:"requireProof,omitempty"`
	// Exec says what later execs may do.
	Exec enforce.ExecSettings `json:"exec"`
	// Resources says what later updates may do.
	Resources enforce.ResourceSettings `json:"resources"`
	// Mounts says what may be mounted at start.
	Mounts enforce.MountSettings `json:"mounts"`
	Audit  policy.AuditLog       `json:"audit"`
	// ConfigSHA256 is of the config.json that was decided about and left in the bundle, in hexadecimal. Who changes that file
	// makes a container that was never decided about.
	ConfigSHA256 string `json:"configSHA256"`
	// Findings are for people: without an audit log they stand nowhere else.
	Findings []enforce.Finding `json:"findings,omitempty"`
}

// Policy says which policy a decision came from, and what of it applied.
type Policy struct {
	// Path and SHA256 are of the file; empty for the built-in preset.
	Path       string   `json:"path"`
	SHA256     string   `json:"sha256"`
	Rule       string   `json:"rule,omitempty"`
	Tighten    []string `json:"tighten,omitempty"`
	Exceptions []string `json:"exceptions,omitempty"`
	// Expired are exceptions that match and no longer hold.
	Expired []string `json:"expired,omitempty"`
	// Unchecked: who owns the policy and the delegate could not be established, because this is not the initial user
	// namespace. Then runclamp is a guard rail, and no wall.
	Unchecked bool `json:"unchecked,omitempty"`
}

func (r Record) encode() ([]byte, error) {
	r.Version = recordVersion
	text, err := strictjson.Encode(r)
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
