package bundle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// writer writes documents of a type that are odd in the ways in which readers of JSON differ.
type writer struct {
	*rand.Rand
	b strings.Builder
}

// noStrings are no text, or end in C before they end here. encoding/json takes them all.
var noStrings = []string{`"a\u0000b"`, `"\ud800"`, `"\udc00\ud800"`, `"\ud83dx"`, "\"\xff\"", `"\ud83d\u0041"`}

func (w *writer) one(words ...string) string { return words[w.IntN(len(words))] }

func (w *writer) rarely() bool { return w.IntN(60) == 0 }

func (w *writer) space() { w.b.WriteString(w.one("", "", "", " ", "\n", "\t\r\n ")) }

func (w *writer) number() string {
	return w.one("0", "1", "-1", "-0", "1.0", "1e3", "1E+2", "0.5e1", "9007199254740993", "4294967295", "4294967296", "255", "256", "65536",
		"2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615",
		"18446744073709551616", "1e999", "01", "+1", ".5", "1.", "-", "0x1", "Infinity")
}

func (w *writer) text() string {
	if w.rarely() {
		return w.one(noStrings...)
	}
	return w.one(`""`, `"a"`, `"/x"`, `"\u0041"`, `"\/\\\"\b\f\n\r\t"`, `"\ud83d\ude00"`, `"\uD83D\uDE00"`, `"<&>"`, "\"\u2028\u2029\"", `"\u2028"`, "\"\ufffd\"",
		`"\ufffd"`, "\"\x7f\"", "\"\U0001F600\"", `"null"`)
}

func (w *writer) any() {
	w.b.WriteString(w.one("null", "true", "false", w.text(), w.number(), "[]", "{}", `[1,{"a":null}]`, `{"a":[]}`))
}

// key writes a key, now and then with an escape in it, or as one that encoding/json takes for it.
func (w *writer) key(name string) {
	text := strconv.Quote(name)
	switch {
	case w.rarely():
		text = strconv.Quote(w.one(strings.ToUpper(name), strings.ReplaceAll(strings.ReplaceAll(name, "s", "ſ"), "k", "\u212a")))
	case w.IntN(20) == 0:
		text = fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:])
	}
	w.b.WriteString(text)
}

func (w *writer) value(t reflect.Type, depth int) {
	w.space()
	defer w.space()
	switch {
	case w.rarely():
		w.any()
		return
	case w.IntN(12) == 0 || depth > 9:
		w.b.WriteString("null")
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		w.value(t.Elem(), depth)
	case reflect.Struct:
		w.b.WriteByte('{')
		first := true
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous && name == "" || name == "-" || w.IntN(3) > 0 {
				continue
			}
			for range 1 + w.IntN(40)/39 {
				if !first {
					w.b.WriteByte(',')
				}
				first = false
				w.space()
				w.key(name)
				w.space()
				w.b.WriteByte(':')
				w.value(f.Type, depth+1)
			}
		}
		w.b.WriteByte('}')
	case reflect.Map:
		w.b.WriteByte('{')
		for i := range w.IntN(3) {
			if i > 0 {
				w.b.WriteByte(',')
			}
			w.b.WriteString(w.one(w.text(), fmt.Sprintf(`"%d"`, i)) + ":")
			w.value(t.Elem(), depth+1)
		}
		w.b.WriteByte('}')
	case reflect.Slice:
		w.b.WriteByte('[')
		for i := range w.IntN(4) {
			if i > 0 {
				w.b.WriteByte(',')
			}
			w.value(t.Elem(), depth+1)
		}
		w.b.WriteByte(']')
	case reflect.String:
		w.b.WriteString(w.text())
	case reflect.Bool:
		w.b.WriteString(w.one("true", "false"))
	case reflect.Interface:
		w.any()
	default:
		if w.IntN(4) > 0 {
			w.b.WriteString(w.one("0", "1", "7"))
			return
		}
		w.b.WriteString(w.number())
	}
}

// TestDecodeAgainstStandard: documents of every type that is read, made to be misread, are refused or mean what encoding/json says.
func TestDecodeAgainstStandard(t *testing.T) {
	types := []reflect.Type{
		reflect.TypeFor[specs.Spec](), reflect.TypeFor[specs.Process](), reflect.TypeFor[specs.LinuxResources](), reflect.TypeFor[specs.LinuxSeccomp](),
		reflect.TypeFor[Record](), reflect.TypeFor[status](),
	}
	const documents = 20000
	accepted := map[reflect.Type]int{}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range documents {
		typ := types[n%len(types)]
		w := writer{Rand: r}
		w.value(typ, 0)
		text := w.b.String()
		d, err := ParseDocument([]byte(text), typ)
		ours := reflect.New(reflect.PointerTo(typ))
		if err == nil {
			err = d.Decode(ours.Interface())
		}
		if err == nil && slices.ContainsFunc(noStrings, func(s string) bool { return strings.Contains(text, s) }) {
			t.Fatalf("accepted: %q", text)
		}
		theirs := reflect.New(reflect.PointerTo(typ))
		errTheirs := json.NewDecoder(strings.NewReader(text)).Decode(theirs.Interface())
		switch {
		case err == nil && errTheirs != nil:
			t.Fatalf("encoding/json says %v: %q", errTheirs, text)
		case err == nil && !reflect.DeepEqual(ours.Interface(), theirs.Interface()):
			t.Fatalf("encoding/json reads something else: %q", text)
		case err == nil:
			accepted[typ]++
			if !strings.Contains(text, "redentialSpec") { // which may be a float
				sameAsStandard(t, ours.Elem().Interface())
			}
		case errTheirs == nil && !explained(err):
			t.Fatalf("encoding/json takes it, and we say %v: %q", err, text)
		}
	}
	for _, typ := range types {
		if accepted[typ] < documents/len(types)/10 {
			t.Errorf("of %s only %d were accepted: there was little to compare", typ, accepted[typ])
		}
	}
}

// explained: it is refused because readers differ about it.
func explained(err error) bool {
	for _, why := range []string{"stands twice", "only by case", "U+0000", "surrogate pair", "not valid UTF-8"} {
		if strings.Contains(err.Error(), why) {
			return true
		}
	}
	return false
}
