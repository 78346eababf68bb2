package strictjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

// tree is what encoding/json makes of the same text.
func tree(t *testing.T, v *Value) any {
	t.Helper()
	switch v.Kind {
	case '{':
		m := map[string]any{}
		for _, member := range v.Members {
			m[member.Key] = tree(t, member.Value)
		}
		return m
	case '[':
		l := []any{}
		for _, item := range v.Items {
			l = append(l, tree(t, item))
		}
		return l
	}
	return json.RawMessage(v.Raw)
}

func TestParse(t *testing.T) {
	const text = ` { "a" : [ 1 , {"b\u0062":null} ,"x" ] , "c":{ } }`
	v, err := Parse([]byte(text), 100)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(tree(t, v))
	if err != nil || string(got) != `{"a":[1,{"bb":null},"x"],"c":{}}` {
		t.Errorf("%s, %v", got, err)
	}
	var check func(v *Value)
	check = func(v *Value) {
		if at := text[v.At : v.At+len(v.Raw)]; at != string(v.Raw) {
			t.Errorf("%s is said to be at %d, where there is %s", v.Raw, v.At, at)
		}
		for _, m := range v.Members {
			if at := text[m.At : m.At+len(m.RawKey)]; at != string(m.RawKey) {
				t.Errorf("%s is said to be at %d, where there is %s", m.RawKey, m.At, at)
			}
			check(m.Value)
		}
		for _, item := range v.Items {
			check(item)
		}
	}
	check(v)
}

func TestParseRefuses(t *testing.T) {
	_, err := Parse([]byte("{\"a\":1,\n \"a\":2}"), 100)
	var where Error
	if !errors.As(err, &where) || where.Line != 2 || where.Column != 2 {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"", "{", "[", `{"a"}`, `{"a":}`, "[1", "x", "[\"\\ud800\"]", "\xef\xbb\xbf{}", "{\"\xff\":1}", "[] []"} {
		if v, err := Parse([]byte(text), 100); err == nil {
			t.Errorf("%q gives %v", text, v)
		}
	}
	if _, err := Parse([]byte("[1,2]"), 4); err == nil {
		t.Error("what is too large was read")
	}
}

// TestRaw: a json.RawMessage is the value as it stands, as encoding/json has it; and what is in it is held against the same rules.
func TestRaw(t *testing.T) {
	const text = `{"a": {"b": [1, {"c":2}] , "d":null, "e" :"x", "f":{ }} , "g":null}`
	var got, want map[string]map[string]json.RawMessage
	if _, err := Decode([]byte(text), reflect.ValueOf(&got).Elem(), 100); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
	for _, text := range []string{"", "[", "{,}", `{"a":1,"a":2}`, "1 2", `"\ud800"`} {
		var raw json.RawMessage
		if _, err := Decode([]byte(text), reflect.ValueOf(&raw).Elem(), 100); err == nil {
			t.Errorf("%q gives %s", text, raw)
		}
	}
}

// TestOpenIsTotal: what is no JSON has no parts.
func TestOpenIsTotal(t *testing.T) {
	for _, text := range []string{"", "{", "[", `{"a"`, `{"a":`, `{"a":1`, "[1", "[1,", `{"a":}`, "{,}", "[\"", "x", `{"a":"\`, `["\`} {
		v := &Value{Kind: Closed, Raw: []byte(text)}
		v.Open()
		if v.Kind != 'v' || v.Members != nil || v.Items != nil {
			t.Errorf("%q was taken apart: %c", text, v.Kind)
		}
	}
}
