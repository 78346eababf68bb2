package bundle

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"runclamp/enforce"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func parseSpec(text string) (*Document, error) {
	return ParseDocument([]byte(text), reflect.TypeFor[specs.Spec]())
}

func TestParseDocumentRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", ``, "ends where a value should be"},
		{"two values", `{"ociVersion":"1.0"} {"process":{}}`, "line 1, column 22: something follows the first value"},
		{"garbage behind", `{}x`, "something follows"},
		{"byte order mark", "\xef\xbb\xbf{}", "byte order mark"},
		{"bad UTF-8", "{\"hostname\":\"\xff\"}", "not valid UTF-8"},
		{"duplicate key", `{"process":{"cwd":"/"},"process":{}}`, `line 1, column 24: the key "process" stands twice`},
		{"duplicate by escape", `{"process":{},"\u0070rocess":{}}`, `the key "process" stands twice`},
		{"duplicate annotation", `{"annotations":{"a":"1","a":"2"}}`, `the key "a" stands twice`},
		{"duplicate in unknown", `{"x":{"a":1,"a":2}}`, `the key "a" stands twice`},
		{"upper case", `{"process":{},"PROCESS":{}}`, `the key "PROCESS" differs from "process" only by case`},
		{"upper case alone", `{"Process":{}}`, `only by case`},
		{"kelvin sign", `{"linux":{"mas\u212aedPaths":[]}}`, `differs from "maskedPaths" only by case`},
		{"long s", `{"proce\u017fs":{}}`, `differs from "process" only by case`},
		{"in a list", "{\"mounts\":[{\"destination\":\"/\",\n \"Destination\":\"/x\"}]}", `line 2, column 2: the key "Destination"`},
		{"embedded struct", `{"linux":{"resources":{"blockIO":{"weightDevice":[{"Major":1}]}}}}`, `differs from "major"`},
		{"in a map of structs", `{"linux":{"timeOffsets":{"boottime":{"SECS":1}}}}`, `differs from "secs"`},
		{"a NUL", `{"hostname":"a\u0000b"}`, "line 1, column 21: a string with the character U+0000"},
		{"a NUL in a key", `{"annotations":{"a\u0000":"b"}}`, "a string with the character U+0000"},
		{"half a pair", `{"hostname":"\ud800"}`, "half a surrogate pair"},
		{"low half first", `{"hostname":"\udc00\ud800"}`, "half a surrogate pair"},
		{"control character", "{\"hostname\":\"a\nb\"}", "control character"},
		{"bad escape", `{"hostname":"\x41"}`, "an escape that JSON does not have"},
		{"bad hex", `{"hostname":"\u00g0"}`, "four hexadecimal digits"},
		{"open string", `{"hostname":"a`, "ends within a string"},
		{"open object", `{"hostname":"a"`, "a comma or } is missing"},
		{"trailing comma", `{"hostname":"a",}`, "a string in double quotes is missing"},
		{"no colon", `{"hostname" "a"}`, "a colon is missing"},
		{"single quotes", `{'hostname':1}`, "a string in double quotes is missing"},
		{"leading zero", `{"a":01}`, "not a number"},
		{"hex number", `{"a":0x1}`, "comma"},
		{"not a word", `{"a":nul}`, "not a value"},
		{"comment", `{"a":1/**/}`, "comma"},
		{"deep", strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70), "nested deeper than 64"},
		{"deep list", strings.Repeat(`[`, 100000), "nested deeper than 64"},
		{"too much that nobody knows", "{" + unknownMembers(101) + "}", "line 1, column 1392: more than 100 fields"},
		{"too long for anybody to know", `{"` + strings.Repeat("a", 64<<10) + `":1}`, "64 KiB of their names"},
		{"large", `{"a":"` + strings.Repeat("a", maxSize) + `"}`, "larger than 4 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseSpec(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestParseDocumentAccepts(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } `, "null", `{"annotations":{"a":"1","A":"2"}}`, // the keys of a map may differ by case
		`{"x":{"Process":1,"process":2}}`, // so may keys that are nobody's fields
		`{"hostname":"\ud83d\ude00 é \u00e9"}`, `{"a":[1,-1.5e+10,true,false,null,"",[],{}]}`,
		`{"process":{"rlimits":[{"type":"RLIMIT_NOFILE","hard":18446744073709551615,"soft":9007199254740993}]}}`,
	} {
		d, err := parseSpec(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, _, err := d.Apply(nil); err != nil || string(got) != text {
			t.Errorf("%s came back as %s, %v", text, got, err)
		}
	}
}

func TestApply(t *testing.T) {
	const text = `{ "process": {"user":{"uid":0, "gid":0},"x-new":9007199254740993 , "env":["A=<&>","B"] }, "mounts":[{"destination":"/a"},{"destination":"/b"}],"linux":null}`
	for _, tt := range []struct {
		name  string
		edits []enforce.Edit
		want  string
	}{
		{"set", []enforce.Edit{{Op: enforce.Set, Pointer: "/process/user/uid", Value: uint32(7)}},
			`{"process":{"user":{"uid":7,"gid":0},"x-new":9007199254740993,"env":["A=<&>","B"]},"mounts":[{"destination":"/a"},{"destination":"/b"}],"linux":null}`},
		{"set what is not there", []enforce.Edit{{Op: enforce.Set, Pointer: "/root/readonly", Value: true}},
			`{"process":{"user":{"uid":0, "gid":0},"x-new":9007199254740993 , "env":["A=<&>","B"] },"mounts":[{"destination":"/a"},{"destination":"/b"}],"linux":null,"root":{"readonly":true}}`},
		{"through null", []enforce.Edit{{Op: enforce.Insert, Pointer: "/linux/maskedPaths/0", Value: "/proc/<k>"}},
			`{"process":{"user":{"uid":0, "gid":0},"x-new":9007199254740993 , "env":["A=<&>","B"] },"mounts":[{"destination":"/a"},{"destination":"/b"}],"linux":{"maskedPaths":["/proc/<k>"]}}`},
		{"insert and remove", []enforce.Edit{{Op: enforce.Insert, Pointer: "/mounts/1", Value: map[string]string{"destination": "/c"}}, {Op: enforce.Remove, Pointer: "/mounts/0"}},
			`{"process":{"user":{"uid":0, "gid":0},"x-new":9007199254740993 , "env":["A=<&>","B"] },"mounts":[{"destination":"/c"},{"destination":"/b"}],"linux":null}`},
		{"into what was set", []enforce.Edit{{Op: enforce.Set, Pointer: "/a~1b", Value: map[string]int{"c": 1}}, {Op: enforce.Set, Pointer: "/a~1b/c", Value: 2}, {Op: enforce.Remove, Pointer: "/process"}, {Op: enforce.Remove, Pointer: "/mounts"}},
			`{"linux":null,"a/b":{"c":2}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parseSpec(text)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := d.Apply(tt.edits)
			if err != nil || string(got) != tt.want {
				t.Errorf("%v\ngot  %s\nwant %s", err, got, tt.want)
			}
			if again, _, err := d.Apply(nil); err != nil || string(again) != text {
				t.Errorf("applying changed the document itself: %s, %v", again, err)
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	d, err := parseSpec(`{"mounts":[],"hostname":"a"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []enforce.Edit{
		{Op: enforce.Set, Pointer: "mounts", Value: 1},
		{Op: enforce.Set, Pointer: "/mounts/0", Value: 1},
		{Op: enforce.Insert, Pointer: "/mounts/1", Value: 1},
		{Op: enforce.Insert, Pointer: "/mounts/00", Value: 1},
		{Op: enforce.Insert, Pointer: "/mounts/-", Value: 1},
		{Op: enforce.Set, Pointer: "/hostname/x", Value: 1},
		{Op: enforce.Set, Pointer: "/x", Value: func() {}},
	} {
		if got, _, err := d.Apply([]enforce.Edit{e}); err == nil {
			t.Errorf("%s %s gives %s", e.Op, e.Pointer, got)
		}
	}
}

// FuzzParseDocument: what is accepted, the delegate's decoder reads in the same way, and no key that is not exactly a
// field's has any say in it.
func FuzzParseDocument(f *testing.F) {
	f.Add([]byte(`{"process":{"user":{"uid":1},"x":1},"PROCESſ":{},"annotations":{"a":"b"},"linux":{"seccomp":{"syscalls":[{"names":["a"],"action":"b"}]}}}`))
	f.Add([]byte(`{"a":"\ud83d\ude00","\u0061":1e5,"mounts":[{"destination":"/","Type":"x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseDocument(text, reflect.TypeFor[specs.Spec]())
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("accepted, but it is not JSON: %q", text)
		}
		var all, known, first *specs.Spec
		errAll := d.Decode(&all)
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&first); (err == nil) != (errAll == nil) {
			t.Fatalf("the delegate's decoder says %v, ours %v: %q", err, errAll, text)
		}
		if errAll != nil {
			return
		}
		if !reflect.DeepEqual(all, first) {
			t.Fatalf("the delegate reads another configuration: %q", text)
		}
		if all == nil || all.Windows == nil || all.Windows.CredentialSpec == nil { // what may be anything may be a float
			sameAsStandard(t, all)
		}
		var tree any
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&tree); err != nil {
			t.Fatal(err)
		}
		stripped, err := json.Marshal(onlyFields(tree, reflect.TypeFor[specs.Spec]()))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(stripped, &known); err != nil || !reflect.DeepEqual(all, known) {
			t.Fatalf("an unknown key changed the meaning (%v):\n%q\n%s", err, text, stripped)
		}
	})
}

// onlyFields drops the keys of structs that are not exactly a field's.
func onlyFields(v any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, value := range v {
			switch t.Kind() {
			case reflect.Map:
				kept[key] = onlyFields(value, t.Elem())
			case reflect.Struct:
				if field := fieldOf(t, key); field != nil {
					kept[key] = onlyFields(value, field)
				}
			}
		}
		return kept
	case []any:
		for i := range v {
			if t.Kind() == reflect.Slice {
				v[i] = onlyFields(v[i], t.Elem())
			}
		}
	}
	return v
}

// fieldOf is the type of the field that a key names exactly, in a struct or in those embedded in it; nil if there is none.
func fieldOf(t reflect.Type, key string) reflect.Type {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		if name == key && name != "-" && !f.Anonymous {
			return f.Type
		}
	}
	return nil
}

func unknownMembers(n int) string {
	var m []string
	for i := range n {
		m = append(m, fmt.Sprintf(`"unknown%d":1`, i))
	}
	return strings.Join(m, ",")
}

func TestUnknown(t *testing.T) {
	for text, want := range map[string]string{
		`{"ociVersion":"1.0.2","annotations":{"x":"y"},"linux":{"sysctl":{"a":"b"},"resources":{"rdma":{"mlx":{"hcaHandles":1}},"unified":{"x":"y"}}}}`: "",
		`{"x":{"process":1},"process":{"user":{"uid":1,"x":[{"y":1}]},"x/y~z":1}}`:                                                                      "/x /process/user/x /process/x~1y~0z",
		`{"mounts":[{"destination":"/a"},{"destination":"/b","x":1,"options":[]}],"hooks":{"poststop":[{"path":"/a","x":1}],"x":[]}}`:                   "/mounts/1/x /hooks/poststop/0/x /hooks/x",
		`{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":1,"minor":2,"x":3}]},"rdma":{"mlx":{"x":1}}}}}`:                                     "/linux/resources/blockIO/weightDevice/0/x /linux/resources/rdma/mlx/x",
		`{"\u0078":1,"linux":null}`: "/x",
	} {
		d, err := parseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(d.Unknown(), " "); got != want {
			t.Errorf("%s\n got  %s\n want %s", text, got, want)
		}
	}
}

// everyType visits the types of configurations and records.
func everyType(t *testing.T, visit func(path string, typ reflect.Type)) {
	seen := map[reflect.Type]bool{}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		visit(path, typ)
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(path, typ.Elem())
		case reflect.Struct:
			names := map[string]bool{}
			for _, field := range reflect.VisibleFields(typ) {
				name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
				switch {
				case name == "-" || field.Anonymous && name == "":
					continue
				case name == "":
					name = field.Name
				}
				if names[name] {
					t.Errorf("%s: %s has the key %s twice", path, typ, name)
				}
				names[name] = true
				if options != "" && options != "omitempty" && options != "omitzero" || !field.IsExported() {
					t.Errorf("%s: %s.%s has a meaning of its own", path, typ, field.Name)
				}
				walk(path+"/"+name, field.Type)
			}
		}
	}
	walk("", reflect.TypeFor[specs.Spec]())
	walk("", reflect.TypeFor[Record]())
}

// TestDecodeKnowsTheTypes: the decoder has no word for what encoding/json has besides: floats, arrays, base64, and types or tags that
// decode in a way of their own.
func TestDecodeKnowsTheTypes(t *testing.T) {
	own := []reflect.Type{reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()}
	everyType(t, func(path string, typ reflect.Type) {
		for _, o := range own {
			if typ.Implements(o) || reflect.PointerTo(typ).Implements(o) {
				t.Errorf("%s: %s decodes itself", path, typ)
			}
		}
		switch typ.Kind() {
		case reflect.Slice:
			if typ.Elem().Kind() == reflect.Uint8 {
				t.Errorf("%s: %s is base64", path, typ)
			}
		case reflect.Map:
			if typ.Key().Kind() != reflect.String {
				t.Errorf("%s: a map by %s", path, typ.Key())
			}
		case reflect.Pointer, reflect.Struct, reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
			reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		case reflect.Interface:
			if typ != reflect.TypeFor[any]() {
				t.Errorf("%s: %s", path, typ)
			}
		default:
			t.Errorf("%s: %s", path, typ)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{"process":{"cwd":1}}`, "line 1, column 19: /process/cwd: wanted a string, found the number 1"},
		{`{"process":{"args":["a",["b"]]}}`, "/process/args/1: wanted a string"},
		{`{"process":[{"cwd":1,"Cwd":2}]}`, "/process: wanted an object"},
		{`{"annotations":[]}`, "/annotations: wanted an object"},
		{`{"mounts":{"x":1}}`, "/mounts: wanted a list"},
		{`{"process":{"terminal":"true"}}`, "/process/terminal: wanted true or false"},
		{`{"process":{"user":{"uid":-1}}}`, "/process/user/uid: wanted a number of the type uint32, found the number -1"},
		{`{"process":{"user":{"uid":4294967296}}}`, "/process/user/uid: wanted a number of the type uint32"},
		{`{"process":{"oomScoreAdj":1.0}}`, "/process/oomScoreAdj: wanted a number of the type int"},
		{`{"process":{"user":{"uid":true}},"mounts":1}`, "/process/user/uid: wanted a number of the type uint32"},
		{`[]`, "column 1: wanted an object, found a list"},
	} {
		d, err := parseSpec(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		var s *specs.Spec
		if err := d.Decode(&s); err == nil || !strings.Contains(err.Error(), tt.want) || s != nil {
			t.Errorf("%s: got %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestParseState(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{` {"id":"x","init_process_pid":7,"x":[{"a":"]}\\","b":[1,{}]},null,-1.5e3],"init_process_start":8,"config":{"rootfs":{},"labels":["a=b","bundle=/b"]},"y":"\""} `, ""},
		{`{"config":{"labels":["bundle=/b"],"labels":["bundle=/c"]}}`, `the key "labels" stands twice`},
		{`{"config":{"labels":["bundle=/b"],"Labels":["bundle=/c"]}}`, "only by case"},
		{`{"config":{"labels":["bundle=/b"]},"init_process_pid":"1"}`, "/init_process_pid: wanted a number"},
		{`{"config":{"labels":["bundle=/b"]}}{}`, "something follows"},
		{`{"config":{"labels":["bundle=/b"]},"x":{"a":[1`, "ends within a value"},
		{`{"config":{"labels":["bundle=/b"]},"x":"\"`, "ends within a string"},
		{`{"config":{"labels":["bundle=/b"]},"x":"\`, "line 1, column 42: it ends within a string"},
		{`{"config":{"labels":["bundle=/b"]},"x":}`, "not a value"},
		{`{"config":{"labels":["bundle=/b","bundle=/c"]}}`, "more than one label"},
		{`{"config":{"labels":["bundle=b"]}}`, "not an absolute path"},
		{"{\"config\":{\"labels\":[\"bundle=/b\xff\"]}}", "line 1, column 23: not valid UTF-8"},
		{"{\"config\":{\"l\xff\":1,\"labels\":[\"bundle=/b\"]}}", "not valid UTF-8"},
		{`null`, "no label"},
		{``, "ends where a value should be"},
	} {
		bundle, init, err := parseState([]byte(tt.text))
		switch {
		case tt.want == "" && (err != nil || bundle != "/b" || init != Init{7, 8}):
			t.Errorf("%s: %q, %v, %v", tt.text, bundle, init, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.text, err, tt.want)
		}
	}
}
