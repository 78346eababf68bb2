package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// header is the beginning of a program.
func header(class byte, machine byte) string {
	return "\x7fELF" + string([]byte{class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, machine, 0}) + "and more"
}

func TestProgram(t *testing.T) {
	b := newBundle(t, plain)
	rootfs := filepath.Join(b.Path, "rootfs")
	outside := filepath.Join(t.TempDir(), "outside")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(rootfs, "bin"), 0o755),
		os.MkdirAll(filepath.Join(rootfs, "opt/folder"), 0o755),
		os.WriteFile(filepath.Join(rootfs, "bin/i386"), []byte(header(1, 3)), 0o755),
		os.WriteFile(filepath.Join(rootfs, "bin/x32"), []byte(header(1, 62)), 0o755),
		os.WriteFile(filepath.Join(rootfs, "bin/arm"), []byte(header(1, 40)), 0o755),
		os.WriteFile(filepath.Join(rootfs, "bin/amd64"), []byte(header(2, 62)), 0o755),
		os.WriteFile(filepath.Join(rootfs, "bin/mips"), []byte(header(1, 8)), 0o755),
		os.WriteFile(filepath.Join(rootfs, "bin/script"), []byte("#!/bin/i386 and then something\n"), 0o755),
		os.WriteFile(filepath.Join(rootfs, "bin/short"), []byte(header(1, 3)[:19]), 0o755),
		os.WriteFile(filepath.Join(rootfs, "opt/i386"), []byte(header(1, 40)), 0o644), // can't be executed
		os.WriteFile(outside, []byte(header(1, 3)), 0o755),
		os.Symlink("/bin/i386", filepath.Join(rootfs, "bin/link")),
		os.Symlink(outside, filepath.Join(rootfs, "bin/outside")),
		unix.Mkfifo(filepath.Join(rootfs, "bin/fifo"), 0o755), // to open it would never end
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	native := policy.Seccomp{Action: policy.Fix, Architectures: policy.NativeArchitecture}
	for _, tt := range []struct {
		name string
		p    specs.Process
		want enforce.Program
	}{
		{"a path", specs.Process{Args: []string{"/bin/i386"}}, enforce.Program{Path: "/bin/i386", Arch: specs.ArchX86}},
		{"x32", specs.Process{Args: []string{"/bin/x32"}}, enforce.Program{Path: "/bin/x32", Arch: specs.ArchX32}},
		{"arm", specs.Process{Args: []string{"/bin/arm"}}, enforce.Program{Path: "/bin/arm", Arch: specs.ArchARM}},
		{"64 bits", specs.Process{Args: []string{"/bin/amd64"}}, enforce.Program{Path: "/bin/amd64"}},
		{"another machine", specs.Process{Args: []string{"/bin/mips"}}, enforce.Program{Path: "/bin/mips"}},
		{"a script", specs.Process{Args: []string{"/bin/script"}}, enforce.Program{Path: "/bin/script"}},
		{"too short", specs.Process{Args: []string{"/bin/short"}}, enforce.Program{}},
		{"a folder", specs.Process{Args: []string{"/opt/folder"}}, enforce.Program{}},
		{"a pipe", specs.Process{Args: []string{"/bin/fifo"}}, enforce.Program{}},
		{"not there", specs.Process{Args: []string{"/bin/none"}}, enforce.Program{}},
		{"a link", specs.Process{Args: []string{"/bin/link"}}, enforce.Program{Path: "/bin/link", Arch: specs.ArchX86}},
		{"a link out of the root", specs.Process{Args: []string{"/bin/outside"}}, enforce.Program{}},
		{"dots out of the root", specs.Process{Args: []string{"/../../bin/i386"}}, enforce.Program{Path: "/bin/i386", Arch: specs.ArchX86}},
		{"relative", specs.Process{Args: []string{"./i386"}, Cwd: "/bin"}, enforce.Program{Path: "/bin/i386", Arch: specs.ArchX86}},
		{"by PATH, the first that can be executed", specs.Process{Args: []string{"i386"}, Env: []string{"PATH=/none:/opt:/bin"}}, enforce.Program{Path: "/bin/i386", Arch: specs.ArchX86}},
		{"by the last PATH", specs.Process{Args: []string{"i386"}, Env: []string{"PATH=/bin", "PATH=/none"}}, enforce.Program{}},
		{"an empty folder of PATH", specs.Process{Args: []string{"i386"}, Cwd: "/bin", Env: []string{"PATH="}}, enforce.Program{Path: "/bin/i386", Arch: specs.ArchX86}},
		{"no PATH", specs.Process{Args: []string{"i386"}, Cwd: "/bin"}, enforce.Program{}},
		{"nothing", specs.Process{}, enforce.Program{}},
		{"an empty name", specs.Process{Args: []string{""}, Env: []string{"PATH=/bin"}}, enforce.Program{}},
	} {
		c := readConfig(t, b)
		c.Spec.Process = &tt.p
		if got, err := b.Program(c, native); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}

	c := readConfig(t, b)
	c.Spec.Process = &specs.Process{Args: []string{"/bin/i386"}}
	for _, p := range []policy.Seccomp{{Action: policy.Off, Architectures: policy.NativeArchitecture}, {Action: policy.Fix, Architectures: policy.KeepArchitectures}} {
		if got, err := b.Program(c, p); err != nil || got != (enforce.Program{}) {
			t.Errorf("looked for although nobody wants to know: %+v, %v", got, err)
		}
	}
	c.Spec.Root = &specs.Root{Path: "gone"}
	if _, err := b.Program(c, native); !errors.Is(err, unix.ENOENT) {
		t.Errorf("no root: %v", err)
	}
}
