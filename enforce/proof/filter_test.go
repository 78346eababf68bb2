package proof

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestAnswers: read is denied, write depends on its first argument, and all else is let through; a second filter is asked as well.
func TestAnswers(t *testing.T) {
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	equal := func(k uint32, t, f uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: t, Jf: f, K: k}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	allow, deny := ret(unix.SECCOMP_RET_ALLOW), ret(unix.SECCOMP_RET_ERRNO|1)
	first := Program{load(0), equal(0, 4, 0), equal(1, 0, 2), load(16), equal(7, 0, 1), allow, deny}
	second := Program{load(0), equal(3, 0, 1), deny, allow} // close
	got := map[string]Answer{}
	if err := Answers([]Program{first, second}, specs.ArchX86_64, func(name string, a Answer) { got[name] = a }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Answer{"read": Denied, "write": Depends, "close": Denied, "openat": Allowed} {
		if a, ok := got[name]; !ok || a != want {
			t.Errorf("%s: %v (%v), want %v", name, a, ok, want)
		}
	}
	if len(got) < 300 {
		t.Errorf("only %d calls", len(got))
	}
	if err := Answers(nil, specs.ArchS390X, func(string, Answer) {}); err == nil {
		t.Error("an architecture without a table has answers")
	}
	if err := Answers([]Program{{load(0)}}, specs.ArchX86_64, func(string, Answer) {}); err == nil {
		t.Error("a program without an end has answers")
	}
}
