package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Encode writes a value as encoding/json does, but for characters that only matter in HTML, which are left as they are. Like Decode it knows
// the types that are in configurations, records and audit lines, and no others: encoding/json gets ready for every type that it meets,
// which takes as long as all else that is written here.
func Encode(v any) ([]byte, error) {
	e := encoder{known: map[reflect.Type]fields{}}
	if err := e.value(reflect.ValueOf(v)); err != nil {
		return nil, err
	}
	return e.b.Bytes(), nil
}

type encoder struct {
	b     bytes.Buffer
	known map[reflect.Type]fields
}

func (e *encoder) value(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return e.value(v.Elem())
		}
		e.b.WriteString("null")
	case reflect.Invalid:
		e.b.WriteString("null")
	case reflect.Struct:
		return e.structure(v)
	case reflect.Map:
		return e.mapping(v)
	case reflect.Slice:
		return e.list(v)
	case reflect.String:
		e.string(v.String())
	case reflect.Bool:
		e.b.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.b.WriteString(strconv.FormatUint(v.Uint(), 10))
	default:
		return fmt.Errorf("a %s is not written as JSON", v.Type())
	}
	return nil
}

func (e *encoder) structure(v reflect.Value) error {
	own, ok := e.known[v.Type()]
	if !ok {
		own = fieldsOf(v.Type())
		e.known[v.Type()] = own
	}
	e.b.WriteByte('{')
	first := true
	for _, f := range own {
		field := v.FieldByIndex(f.index)
		if f.omit == "omitempty" && empty(field) || f.omit == "omitzero" && field.IsZero() {
			continue
		}
		if !first {
			e.b.WriteByte(',')
		}
		first = false
		e.string(f.name)
		e.b.WriteByte(':')
		if err := e.value(field); err != nil {
			return err
		}
	}
	e.b.WriteByte('}')
	return nil
}

// empty is what omitempty leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func (e *encoder) mapping(v reflect.Value) error {
	if v.IsNil() {
		e.b.WriteString("null")
		return nil
	}
	if v.Type().Key().Kind() != reflect.String {
		return fmt.Errorf("a %s is not written as JSON", v.Type())
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	e.b.WriteByte('{')
	for i, key := range keys {
		if i > 0 {
			e.b.WriteByte(',')
		}
		e.string(key.String())
		e.b.WriteByte(':')
		if err := e.value(v.MapIndex(key)); err != nil {
			return err
		}
	}
	e.b.WriteByte('}')
	return nil
}

func (e *encoder) list(v reflect.Value) error {
	switch {
	case v.IsNil():
		e.b.WriteString("null")
		return nil
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		// As it stands, but on one line.
		return json.Compact(&e.b, v.Bytes())
	case v.Type().Elem().Kind() == reflect.Uint8:
		return fmt.Errorf("a %s is not written as JSON", v.Type())
	}
	e.b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			e.b.WriteByte(',')
		}
		if err := e.value(v.Index(i)); err != nil {
			return err
		}
	}
	e.b.WriteByte(']')
	return nil
}

// string writes a string (RFC 8259, section 7). U+2028 and U+2029 are line breaks to JavaScript; what is no UTF-8 becomes U+FFFD.
func (e *encoder) string(s string) {
	e.b.WriteByte('"')
	written := 0
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++ // nearly all are like that
			continue
		}
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		escape := ""
		switch {
		case r == '"' || r == '\\':
			escape = `\` + string(r)
		case r == '\b':
			escape = `\b`
		case r == '\f':
			escape = `\f`
		case r == '\n':
			escape = `\n`
		case r == '\r':
			escape = `\r`
		case r == '\t':
			escape = `\t`
		case r < ' ', r == '\u2028', r == '\u2029', r == utf8.RuneError && size == 1:
			escape = fmt.Sprintf(`\u%04x`, r)
		}
		if escape != "" {
			e.b.WriteString(s[written:i])
			e.b.WriteString(escape)
			written = i + size
		}
		i += size
	}
	e.b.WriteString(s[written:])
	e.b.WriteByte('"')
}
