package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/strictjson"

	"golang.org/x/sys/unix"
)

const (
	// maxLine is the most that a line of the audit log has, in bytes.
	maxLine = 64 << 10
	// maxValue is the most that one value in it has. A longer one is cut and marked.
	maxValue = 256
)

// auditLine is one decision, as the audit log tells it. Its fields are a contract with those who read the log.
type auditLine struct {
	Time     string          `json:"time"`
	Verb     string          `json:"verb"`
	ID       string          `json:"id"`
	Workload policy.Workload `json:"workload"`
	Policy   bundle.Policy   `json:"policy"`
	Mode     policy.Mode     `json:"mode"`
	// Verdict is what was decided. Under mode audit nothing came of it.
	Verdict  enforce.Verdict   `json:"verdict"`
	Findings []enforce.Finding `json:"findings"`
	Edits    []auditEdit       `json:"edits"`
	Proof    string            `json:"proof"`
	// Delegate is the path of the runtime that it was handed over to.
	Delegate string `json:"delegate"`
	// Microseconds are what it took up to the hand-over.
	Microseconds int64 `json:"microseconds"`
	// Unmanaged: the container was not made by runclamp.
	Unmanaged bool `json:"unmanaged,omitempty"`
	// Error is why nothing could be decided.
	Error string `json:"error,omitempty"`
	// Cut counts the findings and edits that were left out of a line that would have been too long.
	Cut int `json:"cut,omitempty"`
}

type auditEdit struct {
	Pointer string          `json:"pointer"`
	From    json.RawMessage `json:"from"`
	To      json.RawMessage `json:"to"`
}

// text is the line, with its end.
func (l auditLine) text() ([]byte, error) {
	l.Findings = cutFindings(l.Findings)
	l.Error = cut(l.Error)
	for {
		text, err := strictjson.Encode(l)
		if err != nil {
			return nil, err
		}
		if len(text) < maxLine {
			return append(text, '\n'), nil
		}
		// Findings are what people look for, so edits go first. Half of them at a time: it is not worth counting bytes.
		switch {
		case len(l.Edits) > 0:
			l.Cut += (len(l.Edits) + 1) / 2
			l.Edits = l.Edits[:len(l.Edits)/2]
		case len(l.Findings) > 0:
			l.Cut += (len(l.Findings) + 1) / 2
			l.Findings = l.Findings[:len(l.Findings)/2]
		default:
			return nil, fmt.Errorf("%d bytes without a finding", len(text))
		}
	}
}

func cutFindings(found []enforce.Finding) []enforce.Finding {
	c := make([]enforce.Finding, len(found))
	for i, f := range found {
		f.Detail, f.Pointer, f.Found, f.Wanted, f.Mend = cut(f.Detail), cut(f.Pointer), cut(f.Found), cut(f.Wanted), cut(f.Mend)
		c[i] = f
	}
	return c
}

// cut shortens a value, and marks it as cut.
func cut(s string) string {
	if len(s) <= maxValue {
		return s
	}
	return strings.ToValidUTF8(s[:maxValue], "") + fmt.Sprintf("… (%d bytes)", len(s))
}

// auditEdits are the changes without the values of variables, which may be secrets.
func auditEdits(changes []bundle.Change) []auditEdit {
	edits := make([]auditEdit, 0, len(changes))
	for _, c := range changes {
		e := auditEdit{Pointer: c.Pointer, From: value(c.Pointer, c.From), To: value(c.Pointer, c.To)}
		edits = append(edits, e)
	}
	return edits
}

// value is a JSON value as the line has it.
func value(pointer string, raw []byte) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	if pointer == "/process/env" || pointer == "/process" || strings.HasPrefix(pointer, "/process/env/") {
		return quoted(variables(raw))
	}
	if pointer == "/hooks" || strings.HasPrefix(pointer, "/hooks/") {
		return quoted(fmt.Sprintf("… (%d bytes)", len(raw))) // hooks have variables as well
	}
	if len(raw) > maxValue || !utf8.Valid(raw) {
		return quoted(cut(string(raw)))
	}
	return raw
}

func quoted(s string) json.RawMessage {
	text, err := strictjson.Encode(s)
	if err != nil {
		return json.RawMessage(`"?"`) // a string can't fail
	}
	return text
}

// variables has the names of variables only.
func variables(raw []byte) string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		name, _, _ := strings.Cut(one, "=")
		return cut(name) + "=…"
	}
	return fmt.Sprintf("… (%d bytes)", len(raw))
}

// appendAudit writes a line to the log: one write, so that lines of others don't come between. The log is opened anew for
// each line, so one that was renamed for rotation gets no more.
//
// Its folder must be root's alone, or others could put a link to any file of the host's in its place. What is above the folder
// may belong to a group of its own: on some distributions /var/log is the system logger's.
func appendAudit(log string, line []byte, unchecked bool) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("the audit log %s: %w", log, err)
		}
	}()
	path := filepath.Dir(log)
	open := func() (int, error) {
		return unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	dir, err := open()
	if errors.Is(err, unix.ENOENT) {
		// The log's own folder only: one above it that is missing is more likely a mistake in the path.
		if err := unix.Mkdir(path, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("making its folder: %w", err)
		}
		dir, err = open()
	}
	if err != nil {
		return fmt.Errorf("its folder: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(dir)) }()
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	if !unchecked {
		if err := bundle.OnlyRoots(path, st); err != nil {
			return err
		}
	}
	fd, err := unix.Openat(dir, filepath.Base(log), unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = writeLine(fd, line)
	return errors.Join(err, unix.Close(fd))
}

func writeLine(fd int, line []byte) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("it is not a regular file")
	}
	n, err := unix.Write(fd, line)
	if err == nil && n < len(line) {
		// The disk is full. The next line, if there is room again, must not be joined to what stands there now.
		_, _ = unix.Write(fd, []byte("\n"))
		err = io.ErrShortWrite
	}
	return err
}

// entry collects what the audit log is told about one call.
type entry struct {
	auditLine
	// changes are what the line's edits are made of, if there is a log.
	changes []bundle.Change
	log     policy.AuditLog
}

// newEntry begins the entry of a verb.
func (r Runtime) newEntry(inv Invocation) entry {
	return entry{auditLine: auditLine{
		Verb: inv.Verb, ID: inv.ID, Workload: policy.Workload{Engine: policy.Unknown},
		Mode: policy.ModeEnforce, Verdict: enforce.Unchanged, Findings: []enforce.Finding{}, Proof: bundle.ProofNone,
	}}
}

// conclude tells the audit log what came of a call, and says whether it may go on: nil if so. err is why not, if something
// is in the way. Under mode audit nothing is.
//
// A log that can't be written blocks nothing and allows nothing: that is said on the error log, and the decision stands;
// unless the policy requires the log.
func (r Runtime) conclude(g Global, e entry, err error) error {
	if err != nil {
		e.Verdict = enforce.Refused
		var refusal refusedError
		if !errors.As(err, &refusal) {
			e.Error = err.Error()
		}
	}
	logErr := r.audit(e)
	switch {
	case e.Mode == policy.ModeAudit:
		err = nil
	case err == nil && logErr != nil && e.log.Required:
		return fmt.Errorf("%w, and the policy requires it (audit.required)", logErr)
	}
	if logErr != nil && err == nil {
		// Not on stderr, which is the container's if this goes well. If the error log can't be written either, nobody is left
		// to tell.
		if path, format := g.Log(); path != "" {
			_ = appendLog(path, format, r.Now(), oneLine("runclamp: "+logErr.Error()))
		}
	}
	if err != nil && logErr != nil {
		return fmt.Errorf("%w (and %w)", err, logErr)
	}
	return err
}

func (r Runtime) audit(e entry) error {
	switch {
	case e.log.Log == "" && e.log.Required:
		return errors.New("the audit log is required, and the policy names none (audit.log)")
	case e.log.Log == "":
		return nil
	}
	now := r.Now()
	e.Edits = auditEdits(e.changes)
	e.Time, e.Microseconds = now.UTC().Format(time.RFC3339Nano), now.Sub(r.begin).Microseconds()
	line, err := e.text()
	if err != nil {
		return err
	}
	return appendAudit(e.log.Log, line, e.Policy.Unchecked)
}

// refusedError is a decision: the findings say why, not an error.
type refusedError string

func (e refusedError) Error() string { return string(e) }
