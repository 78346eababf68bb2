package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// APIVersion is the first line of every policy file.
const APIVersion = "runclamp/v1"

// File is a policy file that was read and found good.
//
// Overlays stay in the form that they are applied in, so that only the rule that matches costs more than looking at it.
type File struct {
	APIVersion   string       `json:"apiVersion" is:"apiVersion" required:"the file begins with \"apiVersion: runclamp/v1\"" doc:"the version of this format"`
	Mode         Mode         `json:"mode" default:"enforce" doc:"audit: decide and record everything, change and refuse nothing"`
	Preset       string       `json:"preset" is:"preset" default:"hardened" doc:"what holds unless the file says something else"`
	Audit        AuditLog     `json:"audit" doc:"the audit log"`
	TrustNames   bool         `json:"trustNames" doc:"image and container names count as facts: on a host whose users may start what they like anyway"`
	RequireProof bool         `json:"requireProof" doc:"refuse the verbs that can't be proved before the container's first instruction (run)"`
	Controls     Overlay      `json:"controls" doc:"over the preset, for every workload"`
	Rules        []Rule       `json:"rules" unique:"name" doc:"the first that matches is laid over the controls"`
	Tighten      []Tightening `json:"tighten" doc:"all that match apply; each can only make the result stricter"`
	Exceptions   []Exception  `json:"exceptions" unique:"name" doc:"all that match lift the findings that they name"`

	// Base is the preset with Controls laid over it.
	Base Controls `json:"base" file:"-"`
	// BuiltIn: there is no file.
	BuiltIn bool `json:"builtIn" file:"-"`
	// kept are the rules of a file that ReadKept has read, which has no Rules.
	kept kept `json:"-" file:"-"`
}

// AuditLog is where decisions are written.
type AuditLog struct {
	Log string `json:"log" is:"log" default:"/var/log/runclamp/audit.jsonl" doc:"absolute path; \"\" for no log"`
	// Required makes a refusal of a log that can't be written.
	Required bool `json:"required" doc:"refuse what can't be recorded"`
}

// Rule is what holds for workloads that facts tell apart.
type Rule struct {
	Name     string  `json:"name" is:"name" required:"refusals and the audit log say which rule applied" doc:"stands in refusals and in the audit log"`
	Match    Match   `json:"match" match:"facts" required:"what is to hold for every workload belongs under \"controls\" at the top" doc:"facts about the workload"`
	Controls Overlay `json:"controls" required:"a rule is a match and the controls for it" doc:"over the controls above"`

	Line int `json:"line" file:"-"`
}

// Tightening makes what holds stricter, on the word of anybody.
type Tightening struct {
	Name     string  `json:"name" is:"name" doc:"stands in the audit log"`
	Match    Match   `json:"match" match:"any" required:"what is to hold for every workload belongs under \"controls\" at the top" doc:"facts and user input"`
	Controls Overlay `json:"controls" overlay:"tighten" required:"a tighten entry is a match and the controls for it" doc:"allow-lists are intersected, actions and limits become the stricter of the two"`

	Line int `json:"line" file:"-"`
}

// Exception lifts findings for a while.
type Exception struct {
	Name   string   `json:"name" is:"name" required:"the audit log says which exception applied" doc:"stands in the audit log"`
	Match  Match    `json:"match" match:"facts" required:"an exception for every workload is a setting, and belongs under \"controls\" at the top" doc:"facts about the workload"`
	Allow  []string `json:"allow" is:"finding" required:"an exception names the findings that it lifts" doc:"control or control:detail, as the refusal prints it"`
	Reason string   `json:"reason" is:"text" required:"who reads it later wants to know" doc:"why, for who reads it later"`
	// Expires is the last day that it holds, in UTC.
	Expires string `json:"expires" is:"date" required:"an exception ends" doc:"the last day that it holds (UTC), at most 400 days ahead"`

	Line int `json:"line" file:"-"`
}

// Expired: dates of four-digit years sort as their texts do.
func (e Exception) Expired(now time.Time) bool { return now.UTC().Format(time.DateOnly) > e.Expires }

// String is the entry's name, or its match.
func (t Tightening) String() string {
	if t.Name != "" {
		return t.Name
	}
	return t.Match.String()
}

// Default is what holds where there is no file: mode enforce, preset hardened, and no audit log.
func Default() (*File, error) {
	f := &File{APIVersion: APIVersion, BuiltIn: true}
	if err := defaults(f); err != nil {
		return nil, err
	}
	f.Audit = AuditLog{}
	var err error
	f.Base, err = preset(f.Preset)
	return f, err
}

// For says what holds for a workload. The lists in it may be the file's own: they are to be read.
func (f *File) For(w Workload, now time.Time) (Policy, error) {
	p := Policy{
		Source: "preset " + f.Preset, Mode: f.Mode, Controls: f.Base,
		RequireProof: f.RequireProof, Audit: f.Audit,
	}
	if f.BuiltIn {
		p.Source = "built-in " + p.Source
	}
	r, err := f.first(w)
	if err != nil {
		return Policy{}, err
	}
	if r != nil {
		p.Rule = r.Name
		p.Source += ", rule " + r.Name
		p.TmpfsNamed = r.Controls.names("readOnlyRootfs", "tmpfs")
		if err := r.Controls.lay(&p.Controls); err != nil {
			return Policy{}, fmt.Errorf("rule %s: %w", r.Name, err)
		}
	}
	for _, t := range f.Tighten {
		if !t.Match.holds(w) {
			continue
		}
		p.Tightened = append(p.Tightened, t.String())
		if err := t.Controls.tighten(&p.Controls); err != nil {
			return Policy{}, fmt.Errorf("tighten %s: %w", t, err)
		}
	}
	for _, e := range f.Exceptions {
		switch {
		case !e.Match.holds(w):
		case e.Expired(now):
			p.Expired = append(p.Expired, e)
		default:
			p.Exceptions = append(p.Exceptions, e)
		}
	}
	return p, nil
}

// first is the first rule that holds for a workload; nil if there is none.
func (f *File) first(w Workload) (*Rule, error) {
	for i := range f.Rules {
		if f.Rules[i].Match.holds(w) {
			return &f.Rules[i], nil
		}
	}
	return f.kept.first(w)
}

// Match says which workloads something is about: all keys must hold, each by any of its patterns.
type Match map[string][]string

func (m Match) String() string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, key+"="+strings.Join(m[key], "|"))
	}
	return strings.Join(parts, ", ")
}

func (m Match) holds(w Workload) bool {
	for key, patterns := range m {
		value := w.value(key)
		if !slices.ContainsFunc(patterns, func(p string) bool { return matches(key, p, value) }) {
			return false
		}
	}
	return len(m) > 0
}

// matches: what is not known matches nothing, and an engine that is not known no pattern but its name.
func matches(key, pattern, value string) bool {
	if value == "" || key == "engine" && value == string(Unknown) && pattern != value {
		return false
	}
	return glob(pattern, value)
}

// glob: "*" stands for any run of characters, all else for itself.
func glob(pattern, s string) bool {
	head, rest, more := strings.Cut(pattern, "*")
	if !more {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s, rest = s[at+len(part):], next
	}
}
