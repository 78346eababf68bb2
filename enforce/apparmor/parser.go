package apparmor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"runclamp/configs"

	"golang.org/x/sys/unix"
)

// Check says what is wrong with a profile, in the parser's words. It needs no AppArmor in the kernel.
func (h Host) Check(p Profile) error {
	_, err := h.parse(p, time.Now().Add(h.Patience), "--skip-kernel-load", "--stdout")
	if err != nil {
		return err
	}
	return h.checkNames(p, time.Now().Add(h.Patience))
}

// compiled is what the kernel reads of a profile: as it is kept, or as apparmor_parser makes it, and kept from then on. The kept form
// is that of one text, one parser and one kernel. A text that includes others is compiled each time: they may have changed.
func (h Host) compiled(dir *os.File, p Profile, deadline time.Time) ([]byte, error) {
	parser, err := h.parser()
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(parser, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", parser, err)
	}
	features, err := h.features()
	if err != nil {
		return nil, err
	}
	program := fmt.Sprintf("%s %d %d %d.%d", parser, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec)
	key := "compiled-" + digest(p.Text, program, features)
	keep := !includes(p.Text)
	if keep {
		if kept, err := readFile(dir, key); err == nil {
			return kept, nil
		}
	}
	if err := h.checkNames(p, deadline); err != nil {
		return nil, err
	}
	args := []string{"--skip-kernel-load", "--stdout", "--kernel-features", filepath.Join(h.policyDir(), "features")}
	compiled, err := h.parse(p, deadline, args...)
	switch {
	case err != nil:
		return nil, err
	case len(compiled) == 0:
		return nil, fmt.Errorf("apparmor_parser made nothing of %s", p.Name)
	}
	if keep {
		if err := replaceFile(dir, key, compiled); err != nil {
			return nil, err
		}
	}
	return compiled, nil
}

// includes: it takes in other files, by "include" or "#include" (apparmor.d(5)). In a comment the word says nothing.
func includes(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if comment := strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "#include"); !comment && strings.Contains(line, "include") {
			return true
		}
	}
	return false
}

// checkNames: the text has the profile of that name, and none besides it and its children.
func (h Host) checkNames(p Profile, deadline time.Time) error {
	out, err := h.parse(p, deadline, "--names")
	if err != nil {
		return err
	}
	names := strings.Fields(string(out))
	if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return n != p.Name && !strings.HasPrefix(n, p.Name+"//") }) || names[0] != p.Name {
		return fmt.Errorf("it has the profiles %s, and %s alone was wanted", strings.Join(names, ", "), p.Name)
	}
	return nil
}

// parser is the first of the parsers that is there. What it makes goes into the kernel, so it must be root's.
func (h Host) parser() (string, error) {
	for _, path := range h.Parsers {
		var st unix.Stat_t
		err := unix.Stat(path, &st)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			return "", fmt.Errorf("%s: %w", path, err)
		case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != 0 || st.Mode&0o022 != 0:
			return "", fmt.Errorf("%s must be a file that nobody but root can write", path)
		}
		return path, nil
	}
	return "", fmt.Errorf("there is no apparmor_parser at %s: install it (Debian, Ubuntu: apparmor; SUSE: apparmor-parser)", strings.Join(h.Parsers, " or "))
}

// features are what the running kernel mediates, as text.
func (h Host) features() (string, error) {
	root := filepath.Join(h.policyDir(), "features")
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %s\n", strings.TrimPrefix(path, root), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("what the kernel mediates: %w", err)
	}
	return b.String(), nil
}

// parse runs apparmor_parser over a text, and gives what it writes.
//
// A shipped profile is read as written for the features that are listed beside its template, so that it means the same under every
// kernel: what later kernels mediate besides would be denied, because no rule of it knows that. Other texts say themselves what they
// were written for (abi), or the parser's configuration does.
func (h Host) parse(p Profile, deadline time.Time, args ...string) (out []byte, err error) {
	parser, err := h.parser()
	if err != nil {
		return nil, err
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	// Files in memory, and no pipes: whatever happens to either side, nobody waits for the other.
	file := func(name, text string) (*os.File, error) {
		fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
		if err != nil {
			return nil, fmt.Errorf("memfd_create: %w", err)
		}
		f := os.NewFile(uintptr(fd), name)
		files = append(files, f)
		_, err = f.WriteAt([]byte(text), 0)
		return f, err
	}
	in, inErr := file("profile", p.Text)
	stdout, outErr := file("stdout", "")
	stderr, errErr := file("stderr", "")
	if err := errors.Join(inErr, outErr, errErr); err != nil {
		return nil, err
	}
	given := []*os.File{in, stdout, stderr}
	args = append([]string{parser, "--skip-cache", "--quiet"}, args...)
	if Ours(p.Name) {
		text, err := configs.AppArmor("features")
		if err != nil {
			return nil, err
		}
		features, err := file("features", text)
		if err != nil {
			return nil, err
		}
		given = append(given, features)
		args = append(args, "--policy-features", "/proc/self/fd/3")
	}
	// A parser of a runclamp that is killed must not go on. The kernel counts the thread as the parent (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	process, err := os.StartProcess(parser, args, &os.ProcAttr{
		Dir: "/", Env: []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Files: given, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, fmt.Errorf("apparmor_parser: %w", err)
	}
	late := time.AfterFunc(time.Until(deadline), func() { _ = process.Kill() }) // it may have ended by itself
	ended, err := process.Wait()
	inTime := late.Stop() && time.Now().Before(deadline) // a busy machine may be late with what is to happen at a time
	if err != nil {
		return nil, fmt.Errorf("apparmor_parser: %w", err)
	}
	if !inTime {
		return nil, fmt.Errorf("apparmor_parser took too long for %s, and was ended", p.Name)
	}
	if !ended.Success() {
		text, err := io.ReadAll(io.NewSectionReader(stderr, 0, maxComplaint))
		return nil, errors.Join(fmt.Errorf("apparmor_parser does not take %s: %s", p.Name, complaint(string(text), ended.String())), err)
	}
	return io.ReadAll(io.NewSectionReader(stdout, 0, maxCompiled))
}

const (
	maxComplaint = 4 << 10
	maxCompiled  = 16 << 20
)

// complaint is what the parser has said, on one line, without its own name for a text that came on stdin.
func complaint(said, otherwise string) string {
	var lines []string
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return otherwise
	}
	return strings.Join(lines, "; ")
}
