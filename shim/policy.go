package shim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"runclamp/bundle"
	"runclamp/enforce/policy"

	"golang.org/x/sys/unix"
)

// maxPolicy is the most that a policy file may have.
const maxPolicy = 1 << 20

// PolicyFile is the policy that holds for a call of the runtime.
type PolicyFile struct {
	*policy.File
	// path and sha256 are empty for the built-in preset.
	path, sha256 string
	// unchecked: who owns it could not be told, because this is not the initial user namespace.
	unchecked bool
	// confDir is the configuration folder, which has profiles as well.
	confDir string
}

func (r Runtime) policy() (PolicyFile, error) {
	return readPolicy(r.ConfDir, r.RunDir, r.Name, r.Now(), r.host.UserNamespace)
}

// ReadPolicy reads the policy that a runtime's name stands for. Nothing that whoever starts a container can choose has a say in
// which one: no flag, no variable, no annotation.
func ReadPolicy(confDir, called string, now time.Time) (PolicyFile, error) {
	return readPolicy(confDir, "", called, now, inUserNamespace())
}

// readPolicy keeps a large policy in runDir in a form that is good for resolve alone; empty is nowhere.
func readPolicy(confDir, runDir, called string, now time.Time, unchecked bool) (PolicyFile, error) {
	name, named, err := policyName(called)
	if err != nil {
		return PolicyFile{}, err
	}
	p := PolicyFile{confDir: confDir, path: filepath.Join(confDir, name+".yaml"), unchecked: unchecked}
	_, err = os.Lstat(p.path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		p.path = ""
		p.File, err = policy.Default()
		return p, err
	}
	if err != nil {
		return PolicyFile{}, fmt.Errorf("the policy %s: %w", p.path, err)
	}
	text, err := readTrusted(p.path, p.unchecked)
	if err != nil {
		return PolicyFile{}, fmt.Errorf("the policy %s: %w", p.path, err)
	}
	sum := sha256.Sum256(text)
	p.sha256 = hex.EncodeToString(sum[:])
	parse := func() (*policy.File, error) { return policy.Parse(text, now) }
	if runDir != "" && len(text) >= cacheFrom && !p.unchecked {
		p.File, err = policyCache{dir: runDir, name: name + ".kept"}.through(p.sha256, parse)
	} else {
		p.File, err = parse()
	}
	if err != nil {
		return PolicyFile{}, fmt.Errorf("the policy %s: %w", p.path, err)
	}
	return p, nil
}

// policyName is the policy that a program's name stands for: runclamp-NAME reads NAME.yaml, which must be there. Under any
// other name (runclamp; runc, put in its place) it is policy.yaml, if there is one.
func policyName(called string) (name string, named bool, err error) {
	name, named = strings.CutPrefix(filepath.Base(called), "runclamp-")
	if !named {
		return "policy", false, nil
	}
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if name == "" || strings.ContainsFunc(name, bad) {
		return "", false, fmt.Errorf("called as %q: what follows runclamp- names a policy, in letters a to z, digits and -", filepath.Base(called))
	}
	return name, true, nil
}

// readTrusted reads a file that nobody but root can change, or what its name leads to.
func readTrusted(path string, unchecked bool) (text []byte, err error) {
	resolve := bundle.Trusted
	if unchecked {
		resolve = filepath.EvalSymlinks
	}
	target, err := resolve(path)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(target, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return readOpened(os.NewFile(uintptr(fd), target), maxPolicy, unchecked)
}

// readOpened reads a regular file of root's, and closes it. unchecked: whose it is does not matter.
func readOpened(f *os.File, most int64, unchecked bool) (text []byte, err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("it is not a regular file")
	}
	if !unchecked {
		if err := bundle.OnlyRoots(f.Name(), st); err != nil {
			return nil, err
		}
	}
	// Read into memory that grows with it, a large file would touch twice as much.
	b := bytes.NewBuffer(make([]byte, 0, min(st.Size, most)+bytes.MinRead))
	_, err = b.ReadFrom(io.LimitReader(f, most+1))
	if err == nil && int64(b.Len()) > most {
		err = fmt.Errorf("it is larger than %d MiB", most>>20)
	}
	return b.Bytes(), err
}

// resolve says what the policy says of a workload. Its source is complete.
func (p PolicyFile) resolve(w policy.Workload, now time.Time) (policy.Policy, error) {
	resolved, err := p.For(w, now)
	if err == nil && p.path != "" {
		resolved.Source = "policy " + p.path + ", " + resolved.Source
	}
	return resolved, err
}

// provenance is what records and audit lines say of it.
func (p PolicyFile) provenance(resolved policy.Policy) bundle.Policy {
	return bundle.Policy{
		Path: p.path, SHA256: p.sha256, Rule: resolved.Rule, Tighten: resolved.Tightened,
		Exceptions: exceptionNames(resolved.Exceptions), Expired: exceptionNames(resolved.Expired), Unchecked: p.unchecked,
	}
}

func exceptionNames(exceptions []policy.Exception) []string {
	var n []string
	for _, e := range exceptions {
		n = append(n, e.Name)
	}
	return n
}
