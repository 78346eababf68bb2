package policy_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"runclamp/enforce/policy"
)

func keep(t testing.TB, f *policy.File) []byte {
	t.Helper()
	text, err := f.Keep()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func readKept(t testing.TB, text []byte) *policy.File {
	t.Helper()
	f, err := policy.ReadKept(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestKept: a file that was kept says of every workload what the file itself says; and all else in it is as it was.
func TestKept(t *testing.T) {
	texts := []string{head, example}
	for seed := range uint64(400) {
		texts = append(texts, newGenerator(seed).file(seed%2 == 0))
	}
	matched := 0
	for i, text := range texts {
		f := parse(t, text)
		kept := readKept(t, keep(t, f))
		g := newGenerator(uint64(i))
		for range 50 {
			w := g.workload()
			want, got := forWorkload(t, f, w), forWorkload(t, kept, w)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v\n%+v\nis not\n%+v\n%s", w, got, want, text)
			}
			if got.Rule != "" {
				matched++
			}
		}
		without := *f
		without.Rules = nil
		if want, got := inJSON(t, &without), inJSON(t, kept); got != want {
			t.Fatalf("%s\nis not\n%s", got, want)
		}
	}
	if matched < 5000 {
		t.Errorf("only %d workloads of %d had a rule", matched, 50*len(texts))
	}
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestKeptRules: each of many rules is found, the first of those that hold, whatever its texts consist of and however long they are.
func TestKeptRules(t *testing.T) {
	f := parse(t, string(thousandRules()))
	odd := "\x00\n\x80é{\"" + string(make([]byte, 300))
	f.Rules = append(f.Rules,
		policy.Rule{Name: "odd", Match: policy.Match{"label." + odd: {"no", odd}}},
		policy.Rule{Name: "last", Match: policy.Match{"engine": {"docker"}}})
	// Parse lets no such rule through.
	f.Rules[0] = policy.Rule{Name: "empty"}
	f.Rules[1] = policy.Rule{Name: "no pattern", Match: policy.Match{"kind": nil}}
	kept := readKept(t, keep(t, f))
	for i, r := range f.Rules[2:1000] {
		w := policy.Workload{Engine: policy.Kubernetes, Namespace: fmt.Sprint("team-", i+2), Container: "app-1"}
		want, got := forWorkload(t, f, w), forWorkload(t, kept, w)
		if got.Rule != r.Name || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\nis not\n%+v", got, want)
		}
	}
	for want, w := range map[string]policy.Workload{
		"odd": {Engine: policy.Docker, Labels: map[string]string{odd: odd}}, "last": {Engine: policy.Docker, Labels: map[string]string{odd: "other"}},
		"": {Engine: policy.Kubernetes, Kind: policy.Container, Namespace: "team-1000"},
	} {
		if got := forWorkload(t, kept, w).Rule; got != want {
			t.Errorf("rule %q, want %q", got, want)
		}
	}
}

// TestKeptThatWasCut: what is missing is not needed, or it is an error. No rule is passed over.
func TestKeptThatWasCut(t *testing.T) {
	f := parse(t, newGenerator(3).file(false))
	text := keep(t, f)
	g := newGenerator(1)
	workloads := []policy.Workload{{}}
	for range 20 {
		workloads = append(workloads, g.workload())
	}
	answers := 0
	for n := range text {
		kept, err := policy.ReadKept(text[:n:n])
		if err != nil {
			continue
		}
		for _, w := range workloads {
			got, err := kept.For(w, now())
			if err != nil {
				continue
			}
			if answers++; got.Rule == "" || !reflect.DeepEqual(got, forWorkload(t, f, w)) {
				t.Fatalf("cut at %d of %d, %+v has %+v", n, len(text), w, got)
			}
		}
	}
	if answers == 0 {
		t.Error("none was read: there was nothing to compare")
	}
}

// TestKeptThatIsWrong: a rule that can't be read is no rule that is passed over.
func TestKeptThatIsWrong(t *testing.T) {
	const name = `{"name":"rule-7"`
	text := keep(t, parse(t, string(thousandRules())))
	for i := range len(text) - len(name) {
		if string(text[i:i+len(name)]) == name {
			text[i] = 'x'
		}
	}
	kept := readKept(t, text)
	for i := range 10 {
		p, err := kept.For(policy.Workload{Engine: policy.Kubernetes, Namespace: fmt.Sprint("team-", i), Container: "web"}, now())
		if (err != nil) != (i == 7) || err == nil && p.Rule != fmt.Sprint("rule-", i) {
			t.Errorf("%d: rule %q, %v", i, p.Rule, err)
		}
	}
}

// FuzzReadKept: no text makes it panic, or go on for long.
func FuzzReadKept(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(keep(f, parse(f, newGenerator(seed).file(true))), seed)
	}
	f.Add([]byte("\x02{}\x02\xff\xff"), uint64(0))
	f.Add([]byte("\x02{}\x0b\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), uint64(0))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		kept, err := policy.ReadKept(text)
		if err != nil {
			return
		}
		w := newGenerator(seed).workload()
		p, err := kept.For(w, now())
		if again, errAgain := kept.For(w, now()); (err == nil) != (errAgain == nil) || !reflect.DeepEqual(p, again) {
			t.Fatalf("%+v, %v; and then %+v, %v", p, err, again, errAgain)
		}
	})
}
