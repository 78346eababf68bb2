package shim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"runclamp/bundle"
)

// Dialect is how a delegate reads its command line, and where it keeps its record of a container.
type Dialect struct {
	// Name is "runc" or "crun".
	Name string
	// versions are those that the tables are the union of.
	versions string
	global   []flag
	verbs    []string
	// grammar is what may follow a verb.
	grammar func(verb string) (command, bool)
	// passed are the verbs that go straight to the delegate.
	passed []string
	// argp: it reads flags by the rules of getopt_long(3) and argp, and not by those of Go's flag package.
	argp bool
	// ofContainer opens the bundle of a container that exists.
	ofContainer func(root, id string) (*bundle.Bundle, bundle.Init, error)
}

// known ends an error about a word that is not in the grammar.
func (d Dialect) known() string { return "runclamp knows the command line of " + d.versions }

// pass says whether a verb goes straight to the delegate.
func (d Dialect) pass(verb string) bool { return slices.Contains(d.passed, verb) }

const (
	// runcPackage is what Go writes into every runc as the package that it was built from. The module says less: runc's has programs
	// besides, such as recvtty and sd-helper.
	runcPackage = "github.com/opencontainers/runc"
	// crunMark stands in every crun: argp prints it at the end of --help (src/crun.c, argp_program_bug_address). It is in the
	// program itself, also where the rest is in libcrun.so. It ends there (C): others may refer to one of the issues.
	crunMark = "https://github.com/containers/crun/issues\x00"
)

const (
	// maxSections is how many sections a program may have: runc has 40 or less.
	maxSections = 1 << 10
	// maxBuildInfo is the most of Go's build information that is read: runc's has 4 KiB.
	maxBuildInfo = 64 << 10
	// maxConstants is the most of a program's constants that is read: crun's have 40 KiB, some MiB if it is linked statically.
	maxConstants = 8 << 20
)

// dialectOf tells runc from crun by what is in the program, which is open already. Its name says nothing: a crun may be called
// runc, and be read in the wrong way. What is neither is refused, because nobody knows how it reads a command line.
//
// It costs each verb some 30 µs: four short reads of runc, and 40 KiB of crun.
func dialectOf(program io.ReaderAt) (Dialect, error) {
	sections, err := readSections(program)
	if err != nil {
		return Dialect{}, fmt.Errorf("it can't be told whether it is runc or crun: %w", err)
	}
	if s, ok := sections.named(".go.buildinfo"); ok {
		of, err := builtFrom(program, sections, s)
		switch {
		case err != nil:
			return Dialect{}, fmt.Errorf("it can't be told whether it is runc: %w", err)
		case of != runcPackage:
			return Dialect{}, fmt.Errorf("it is built from %q, and neither runc (%s) nor crun: %s", of, runcPackage, linkOne)
		}
		return Runc(), nil
	}
	if s, ok := sections.named(".rodata"); ok {
		text, err := s.read(program, 0, maxConstants)
		if err != nil {
			return Dialect{}, fmt.Errorf("it can't be told whether it is crun: %w", err)
		}
		if bytes.Contains(text, []byte(crunMark)) {
			return Crun(), nil
		}
	}
	return Dialect{}, errors.New("it is neither runc nor crun: " + linkOne)
}

const linkOne = "link to one of them"

// section is a part of a program (elf(5)).
type section struct {
	name         string
	address      uint64
	offset, size uint64
	// empty: there is nothing of it in the file.
	empty bool
}

type sections struct {
	order binary.ByteOrder
	all   []section
}

// readSections reads the table of sections. Programs of 32 bits are not read: runclamp is made for none of their machines.
func readSections(program io.ReaderAt) (sections, error) {
	var header [64]byte
	if _, err := program.ReadAt(header[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return sections{}, err
	}
	var s sections
	switch {
	case string(header[:4]) != "\x7fELF":
		return s, errors.New("it is no ELF program")
	case header[4] != 2:
		return s, errors.New("it is no 64-bit program")
	case header[5] == 1:
		s.order = binary.LittleEndian
	default:
		s.order = binary.BigEndian
	}
	at, size, count, names := s.order.Uint64(header[40:]), s.order.Uint16(header[58:]), s.order.Uint16(header[60:]), s.order.Uint16(header[62:])
	if size != 64 || count == 0 || count > maxSections || names >= count {
		return s, errors.New("it has no table of sections (was it stripped of it, or packed?)")
	}
	table, err := section{offset: at, size: uint64(count) * 64}.read(program, 0, maxSections*64)
	if err != nil {
		return s, err
	}
	offsets := make([]uint32, count)
	for i := range offsets {
		t := table[i*64:]
		const nobits = 8
		offsets[i] = s.order.Uint32(t)
		s.all = append(s.all, section{address: s.order.Uint64(t[16:]), offset: s.order.Uint64(t[24:]), size: s.order.Uint64(t[32:]), empty: s.order.Uint32(t[4:]) == nobits})
	}
	text, err := s.all[names].read(program, 0, maxBuildInfo)
	if err != nil {
		return s, err
	}
	for i, o := range offsets {
		if uint64(o) < uint64(len(text)) {
			name, _, _ := bytes.Cut(text[o:], []byte{0})
			s.all[i].name = string(name)
		}
	}
	return s, nil
}

func (s sections) named(name string) (section, bool) {
	i := slices.IndexFunc(s.all, func(c section) bool { return c.name == name && !c.empty })
	if i < 0 {
		return section{}, false
	}
	return s.all[i], true
}

// read reads a section from a place in it on, and no more than most.
func (s section) read(program io.ReaderAt, from, most uint64) ([]byte, error) {
	if from > s.size {
		return nil, errors.New("it is damaged: a section ends too early")
	}
	data := make([]byte, min(s.size-from, most))
	if _, err := program.ReadAt(data, int64(s.offset+from)); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	return data, nil
}

// builtFrom is the package that Go built a program from (debug/buildinfo has the format; it reads all of the program's sections, and
// costs ten times as much). It is empty if the program does not say.
func builtFrom(program io.ReaderAt, all sections, info section) (string, error) {
	data, err := info.read(program, 0, maxBuildInfo)
	if err != nil {
		return "", err
	}
	const head = 32
	if len(data) < head || !bytes.HasPrefix(data, []byte("\xff Go buildinf:")) {
		return "", errors.New("its build information is damaged")
	}
	var text []byte
	if data[15]&2 != 0 {
		// Since Go 1.18: the version and what is wanted, each with its length before it.
		text = data[head:]
		for range 2 {
			n, w := binary.Uvarint(text)
			if w <= 0 || n > uint64(len(text)-w) {
				return "", errors.New("its build information is damaged")
			}
			data, text = text[w:w+int(n)], text[w+int(n):]
		}
		text = data
	} else if text, err = all.goString(program, all.order.Uint64(data[24:])); err != nil {
		return "", err
	}
	// 16 bytes mark the beginning, and 16 the end.
	const mark = 16
	if len(text) < 2*mark {
		return "", errors.New("it has no build information")
	}
	for line := range strings.Lines(string(text[mark : len(text)-mark])) {
		if path, ok := strings.CutPrefix(line, "path\t"); ok {
			return strings.TrimSuffix(path, "\n"), nil
		}
	}
	return "", nil
}

// goString reads a string that a program has the address of: two words, where it is and how long.
func (s sections) goString(program io.ReaderAt, address uint64) ([]byte, error) {
	header, err := s.at(program, address, 16)
	if err != nil {
		return nil, err
	}
	return s.at(program, s.order.Uint64(header), min(s.order.Uint64(header[8:]), maxBuildInfo))
}

func (s sections) at(program io.ReaderAt, address, size uint64) ([]byte, error) {
	for _, c := range s.all {
		if !c.empty && c.address != 0 && c.address <= address && address-c.address < c.size && size <= c.size-(address-c.address) {
			return c.read(program, address-c.address, size)
		}
	}
	return nil, errors.New("its build information is damaged")
}
