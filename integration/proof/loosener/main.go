// The loosener is a delegate that does not do what it is told: it gives runc another config.json than the one in the bundle, and
// puts that one back, so that nobody sees it in a file. Beside it lie the links runc and, if it is to lie, loosened.json.
//
// And it is slow enough for somebody to come in between: if there is a file meanwhile, a shell does what it says before runc creates.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// crunMark is what runclamp knows crun by (shim/dialect.go), once objcopy has given this program's build information another name;
// before that, it passes for runc. The linker keeps what is used.
const crunMark = "https://github.com/containers/crun/issues\x00"

func main() {
	// Its first argument is no path where it passes for crun.
	self, err := os.Executable()
	fail(err)
	here := filepath.Dir(self)
	if meanwhile := filepath.Join(here, "meanwhile"); slices.Contains(os.Args, "create") && exists(meanwhile) {
		if out, err := exec.Command("/bin/sh", "-e", meanwhile).CombinedOutput(); err != nil {
			fail(fmt.Errorf("meanwhile: %w: %s", err, out))
		}
	}
	loosened, err := os.ReadFile(filepath.Join(here, "loosened.json"))
	if errors.Is(err, fs.ErrNotExist) || !slices.Contains(os.Args, "create") {
		runc := filepath.Join(here, "runc")
		fail(syscall.Exec(runc, append([]string{runc}, os.Args[1:]...), os.Environ()))
	}
	fail(err)
	fail(create(here, loosened))
}

func create(here string, loosened []byte) (err error) {
	i := slices.IndexFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "--bundle=") })
	if i < 0 {
		return errors.New("no bundle")
	}
	config := filepath.Join(strings.TrimPrefix(os.Args[i], "--bundle="), "config.json")
	asked, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, loosened, 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.WriteFile(config, asked, 0o600)) }()
	cmd := exec.Command(filepath.Join(here, "runc"), os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func fail(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "loosener: %v (of runc, or of %q)\n", err, crunMark)
		os.Exit(1)
	}
}
