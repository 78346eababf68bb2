package bundle

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"testing"

	"runclamp/enforce"
	"runclamp/enforce/policy"
	"runclamp/enforce/strictjson"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// standard is what encoding/json writes.
func standard(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func sameAsStandard(t *testing.T, v any) {
	t.Helper()
	got, err := strictjson.Encode(v)
	if want := standard(t, v); err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

func TestEncode(t *testing.T) {
	n, text := int64(-1), ""
	var none *specs.Spec
	for _, v := range []any{
		nil, none, true, "", uint64(1<<64 - 1), int8(-128), []string(nil), []string{}, map[string]string(nil), map[string]string{"b": "1", "a": "<&>"},
		policy.Fix, map[policy.Action]int{policy.Fix: 1, policy.Audit: 2}, []any{1, "a", nil, []any{}}, &n, &text,
		json.RawMessage("{ \"a\":\n[1, \"<\"] }"), []json.RawMessage{nil, json.RawMessage("1")},
		specs.LinuxWeightDevice{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 1}}, specs.LinuxPids{Limit: &n}, specs.Spec{},
		specs.Process{Args: []string{}, User: specs.User{AdditionalGids: []uint32{1, 2}}, Capabilities: &specs.LinuxCapabilities{Ambient: []string{}}},
		enforce.Finding{Control: "a", Edits: []enforce.Edit{{}}}, Record{Findings: []enforce.Finding{{}}},
	} {
		sameAsStandard(t, v)
	}
	for _, v := range []any{func() {}, 1.5, []byte("a"), map[int]int{1: 1}, make(chan int), [1]int{}, []any{func() {}}, json.RawMessage("{")} {
		if got, err := strictjson.Encode(v); err == nil {
			t.Errorf("%T gives %s", v, got)
		}
	}
}

// TestEncodeKnowsTheTypes: no type that is written has a way of its own to be written.
func TestEncodeKnowsTheTypes(t *testing.T) {
	own := []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()}
	everyType(t, func(path string, typ reflect.Type) {
		for _, o := range own {
			if typ.Implements(o) || reflect.PointerTo(typ).Implements(o) {
				t.Errorf("%s: %s writes itself", path, typ)
			}
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add("a\"\\\b\f\n\r\t\x00\x1f\x7f é \u2028\u2029 <&> \xff\xf0\x9f \U0001F600 \ufffd")
	f.Fuzz(func(t *testing.T, s string) {
		sameAsStandard(t, s)
		sameAsStandard(t, map[string]string{s: s})
	})
}
