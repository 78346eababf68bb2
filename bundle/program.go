package bundle

import (
	"encoding/binary"
	"errors"
	"io"
	"path"
	"strings"

	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// elfHeader is how much of a program says what machine it is for: e_ident, e_type and e_machine (elf(5)).
const elfHeader = 20

// Program looks at the file that the container's first process executes, if it matters to the policy for what machine that is. It is looked
// for where execvp(3) does, in the root filesystem: what is mounted over it is not seen, a script's interpreter is not looked into, and what can't
// be found out is unknown. Nothing is refused because of it.
func (b *Bundle) Program(c *Config, p policy.Seccomp) (enforce.Program, error) {
	var found enforce.Program
	if p.Action == policy.Off || p.Architectures == policy.KeepArchitectures || c.Spec.Process == nil {
		return found, nil
	}
	err := b.inRoot(c.Spec.Root, func(root int) error {
		for _, name := range candidates(c.Spec.Process) {
			if header, err := readHeader(root, name); err == nil {
				found = enforce.Program{Path: name, Arch: machine(header)}
				return nil
			}
		}
		return nil
	})
	return found, err
}

// candidates are the paths that a process's program may have.
func candidates(p *specs.Process) []string {
	if len(p.Args) == 0 || p.Args[0] == "" {
		return nil
	}
	name := p.Args[0]
	if strings.Contains(name, "/") {
		return []string{inside(p.Cwd, name)}
	}
	var paths []string
	for _, e := range p.Env {
		search, ok := strings.CutPrefix(e, "PATH=")
		if !ok {
			continue
		}
		paths = nil // the last one counts: runc sets them one after the other
		for dir := range strings.SplitSeq(search, ":") {
			paths = append(paths, path.Join(inside(p.Cwd, dir), name))
		}
	}
	return paths
}

func inside(cwd, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join("/", cwd, name)
}

// readHeader has the beginning of an executable file. One that is shorter is none.
func readHeader(root int, name string) (header [elfHeader]byte, err error) {
	at, err := openInRoot(root, name, unix.O_PATH)
	if err != nil {
		return header, err
	}
	f, st, err := openImageFile(at, name)
	if err != nil {
		return header, errors.Join(err, unix.Close(at))
	}
	_, err = io.ReadFull(f, header[:])
	if err == nil && st.Mode&0o111 == 0 {
		err = unix.EACCES // execvp goes on, too
	}
	return header, errors.Join(err, f.Close(), unix.Close(at))
}

// machine is the architecture that a program makes its system calls for; empty if it is none of those that a 64-bit kernel runs beside its own.
func machine(header [elfHeader]byte) specs.Arch {
	const class32, littleEndian = 1, 1 // ELFCLASS32, ELFDATA2LSB
	if string(header[:4]) != "\x7fELF" || header[4] != class32 || header[5] != littleEndian {
		return ""
	}
	switch binary.LittleEndian.Uint16(header[18:]) {
	case 3: // EM_386
		return specs.ArchX86
	case 62: // EM_X86_64, in a 32-bit file
		return specs.ArchX32
	case 40: // EM_ARM
		return specs.ArchARM
	}
	return ""
}
