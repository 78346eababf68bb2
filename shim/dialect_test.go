package shim

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// program is an ELF program of 64 bits that has one section besides the table of names.
func program(section, content string) string {
	const header, entry = 64, 64
	names := "\x00" + section + "\x00.shstrtab\x00"
	contentAt := uint64(header)
	namesAt := contentAt + uint64(len(content))
	table := namesAt + uint64(len(names))
	b := make([]byte, table+3*entry)
	copy(b, "\x7fELF\x02\x01\x01")
	copy(b[contentAt:], content)
	copy(b[namesAt:], names)
	le := binary.LittleEndian
	le.PutUint64(b[40:], table)
	le.PutUint16(b[58:], entry)
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	for i, s := range []struct {
		name     uint32
		at, size uint64
	}{{1, contentAt, uint64(len(content))}, {uint32(2 + len(section)), namesAt, uint64(len(names))}} {
		t := b[table+uint64(i+1)*entry:]
		le.PutUint32(t, s.name)
		le.PutUint32(t[4:], 1) // SHT_PROGBITS
		le.PutUint64(t[24:], s.at)
		le.PutUint64(t[32:], s.size)
	}
	return string(b)
}

// goProgram has the build information that Go writes since 1.18 (debug/buildinfo).
func goProgram(info string) string {
	mark := strings.Repeat("\x30", 16)
	var b bytes.Buffer
	b.WriteString("\xff Go buildinf:\x08\x02" + strings.Repeat("\x00", 16))
	for _, s := range []string{"go1.26", mark + info + mark} {
		b.Write(binary.AppendUvarint(nil, uint64(len(s))))
		b.WriteString(s)
	}
	return program(".go.buildinfo", b.String())
}

// TestDialectOfMade: what only resembles a delegate is none.
func TestDialectOfMade(t *testing.T) {
	link := strings.TrimSuffix(crunMark, "\x00")
	for name, tt := range map[string]struct{ program, dialect, want string }{
		"runc":              {goProgram("path\tgithub.com/opencontainers/runc\nmod\tgithub.com/opencontainers/runc\tv1.5.2\n"), "runc", ""},
		"runc, no module":   {goProgram("path\tgithub.com/opencontainers/runc\nbuild\t-compiler=gc\n"), "runc", ""},
		"runc's sd-helper":  {goProgram("path\tgithub.com/opencontainers/runc/contrib/cmd/sd-helper\nmod\tgithub.com/opencontainers/runc\tv1.1.12\n"), "", `built from "github.com/opencontainers/runc/contrib/cmd/sd-helper"`},
		"one that needs it": {goProgram("path\texample.org/x\nmod\texample.org/x\tv1\ndep\tgithub.com/opencontainers/runc\tv1.1.12\n"), "", `built from "example.org/x"`},
		"no path":           {goProgram("mod\tgithub.com/opencontainers/runc\tv1.1.12\n"), "", `built from ""`},
		"two paths":         {goProgram("path\texample.org/x\npath\tgithub.com/opencontainers/runc\n"), "", `built from "example.org/x"`},
		"Go, with a link":   {goProgram("path\texample.org/x\nbuild\t-ldflags=" + link + "\n"), "", `built from "example.org/x"`},
		"crun":              {program(".rodata", "a\x00"+crunMark+"b"), "crun", ""},
		"cites an issue":    {program(".rodata", "see "+link+"/1234\x00"), "", "neither runc nor crun"},
		"cut off":           {program(".rodata", link), "", "neither runc nor crun"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := dialectOf(strings.NewReader(tt.program))
			if d.Name != tt.dialect || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q, %v, want %q, %q", d.Name, err, tt.dialect, tt.want)
			}
		})
	}
}
