// Package strictjson reads JSON so that all who read the same text see the same thing in it.
//
// encoding/json takes keys without regard to case, merges what stands twice, makes U+FFFD of half a character, and stops reading
// behind the first value; each of these has hidden a second configuration behind the first. So they are errors here.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxUnknown is how many fields there may be that nobody knows, and maxUnknownText how long they may be altogether: they are
	// recorded.
	maxUnknown     = 100
	maxUnknownText = 64 << 10
	// maxDepth is how deep it may be nested. The deepest field of a container's configuration is at 8.
	maxDepth = 64
)

// Value is one value of a document: its text, and what it consists of.
type Value struct {
	// Kind is '{' for an object, '[' for a list, 'v' for anything else.
	Kind byte
	// Raw is the value's text.
	Raw []byte
	// At is where it begins in the document, in bytes.
	At      int
	Members []Member
	Items   []*Value
}

// Member is one key of an object, and its value.
type Member struct {
	// Key is decoded, RawKey as it stands, with quotes.
	Key    string
	RawKey []byte
	// At is where the key begins in the document, in bytes.
	At    int
	Value *Value
}

// Error is what is wrong, and where: lines and columns (in bytes) are counted from 1.
type Error struct {
	Line, Column int
	Message      string
}

func (e Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// At is an error about what stands at an offset of a document.
func At(data []byte, offset int, message string) Error {
	return Error{
		Line:    1 + bytes.Count(data[:offset], []byte("\n")),
		Column:  offset - bytes.LastIndexByte(data[:offset], '\n'),
		Message: message,
	}
}

// Parse reads a document of at most so many bytes that describes a value of type t. t tells which keys are fields: those must not
// be mistaken for each other. The keys of maps are only compared exactly; without a type, all are.
//
// unknown are the fields that t does not have, as JSON pointers in the order in which they stand. What is below such a field is
// not looked at. Errors say where and what; most are of type Error.
func Parse(data []byte, t reflect.Type, most int) (root *Value, unknown []string, err error) {
	if len(data) > most {
		return nil, nil, fmt.Errorf("it is larger than %d MiB", most>>20)
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, nil, errors.New("it begins with a byte order mark")
	}
	if !utf8.Valid(data) {
		return nil, nil, errors.New("it is not valid UTF-8")
	}
	p := parser{data: data, known: map[reflect.Type]fields{}}
	p.space()
	if root, err = p.value(t, 0); err != nil {
		return nil, nil, err
	}
	p.space()
	if p.at < len(data) {
		return nil, nil, p.fail("something follows the first value")
	}
	return root, p.unknown, nil
}

type parser struct {
	data []byte
	at   int
	// path leads to the value that is being read.
	path        []step
	unknown     []string
	unknownText int
	// known are the fields of the types met so far: a list has many values of one.
	known map[reflect.Type]fields
}

// step is a key, or an index where there is no key.
type step struct {
	key   string
	index int
	list  bool
}

// pointer is the path as RFC 6901 writes it.
func (p *parser) pointer() string {
	var b strings.Builder
	for _, s := range p.path {
		b.WriteByte('/')
		if s.list {
			b.WriteString(strconv.Itoa(s.index))
			continue
		}
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(s.key))
	}
	return b.String()
}

func (p *parser) fail(what string) error { return At(p.data, p.at, what) }

func (p *parser) space() {
	for p.at < len(p.data) && strings.IndexByte(" \t\r\n", p.data[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.data) && p.data[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) value(t reflect.Type, depth int) (*Value, error) {
	if depth > maxDepth {
		return nil, p.fail(fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	if p.at >= len(p.data) {
		return nil, p.fail("it ends where a value should be")
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	start := p.at
	n := &Value{Kind: 'v', At: start}
	var err error
	switch c := p.data[p.at]; {
	case c == '{':
		n.Kind = c
		n.Members, err = p.object(t, depth)
	case c == '[':
		n.Kind = c
		n.Items, err = p.list(t, depth)
	case c == '"':
		_, err = p.text()
	case c == '-' || c >= '0' && c <= '9':
		err = p.number()
	default:
		err = p.word()
	}
	n.Raw = p.data[start:p.at:p.at]
	return n, err
}

func (p *parser) object(t reflect.Type, depth int) ([]Member, error) {
	p.at++ // {
	var members []Member
	fields := p.fieldsOf(t)
	seen := map[string]bool{}
	for p.space(); !p.take('}'); p.space() {
		if len(members) > 0 {
			if !p.take(',') {
				return nil, p.fail("a comma or } is missing")
			}
			p.space()
		}
		start := p.at
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		m := Member{Key: key, RawKey: p.data[start:p.at:p.at], At: start}
		if seen[key] {
			p.at = start
			return nil, p.fail(fmt.Sprintf("the key %q stands twice in one object", key))
		}
		seen[key] = true
		field, known := fields.exact[key]
		if !known {
			// encoding/json would fill the field from this key as well, and the last one wins.
			if other := fields.folded(key); other != "" {
				p.at = start
				return nil, p.fail(fmt.Sprintf("the key %q differs from %q only by case", key, other))
			}
			field = fields.others
		}
		p.space()
		if !p.take(':') {
			return nil, p.fail("a colon is missing")
		}
		p.space()
		p.path = append(p.path, step{key: key})
		if !known && fields.exact != nil {
			pointer := p.pointer()
			p.unknown = append(p.unknown, pointer)
			if p.unknownText += len(pointer); len(p.unknown) > maxUnknown || p.unknownText > maxUnknownText {
				p.at = start
				return nil, p.fail(fmt.Sprintf("more than %d fields, or %d KiB of their names, that the specification does not have", maxUnknown, maxUnknownText>>10))
			}
		}
		if m.Value, err = p.value(field, depth+1); err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
		members = append(members, m)
	}
	return members, nil
}

func (p *parser) list(t reflect.Type, depth int) ([]*Value, error) {
	p.at++ // [
	var elem reflect.Type
	if t != nil && t.Kind() == reflect.Slice {
		elem = t.Elem()
	}
	var items []*Value
	for p.space(); !p.take(']'); p.space() {
		if len(items) > 0 {
			if !p.take(',') {
				return nil, p.fail("a comma or ] is missing")
			}
			p.space()
		}
		p.path = append(p.path, step{index: len(items), list: true})
		n, err := p.value(elem, depth+1)
		if err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
		items = append(items, n)
	}
	return items, nil
}

// text reads a string (RFC 8259, section 7) and returns what it means.
func (p *parser) text() (string, error) {
	if !p.take('"') {
		return "", p.fail("a string in double quotes is missing")
	}
	start, escaped := p.at, false
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case c == '"':
			raw := p.data[start:p.at]
			p.at++
			if !escaped {
				return string(raw), nil
			}
			var s string
			if err := json.Unmarshal(p.data[start-1:p.at], &s); err != nil {
				p.at = start
				return "", p.fail("not a string: " + err.Error())
			}
			return s, nil
		case c < 0x20:
			return "", p.fail("a control character in a string")
		case c == '\\':
			escaped = true
			if err := p.escape(); err != nil {
				return "", err
			}
		default:
			p.at++
		}
	}
	return "", p.fail("it ends within a string")
}

// escape reads one escape, or two that make one character. Half of such a pair is no character, and encoding/json takes
// it for U+FFFD: two keys that differ would become one.
func (p *parser) escape() error {
	p.at++ // \
	if p.at >= len(p.data) {
		return p.fail("it ends within a string")
	}
	if c := p.data[p.at]; c != 'u' {
		if strings.IndexByte(`"\/bfnrt`, c) < 0 {
			return p.fail("an escape that JSON does not have")
		}
		p.at++
		return nil
	}
	r, ok := p.hex()
	if !ok {
		return p.fail("an escape without four hexadecimal digits")
	}
	if r < 0xd800 || r > 0xdfff {
		return nil
	}
	if r < 0xdc00 && p.take('\\') && p.at < len(p.data) && p.data[p.at] == 'u' {
		if low, ok := p.hex(); ok && low >= 0xdc00 && low <= 0xdfff {
			return nil
		}
	}
	return p.fail("half a surrogate pair")
}

// hex reads u and four digits.
func (p *parser) hex() (rune, bool) {
	p.at++ // u
	if p.at+4 > len(p.data) {
		return 0, false
	}
	var r rune
	for _, c := range p.data[p.at : p.at+4] {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if d < 0 || c < '0' {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	p.at += 4
	return r, true
}

func (p *parser) number() error {
	start := p.at
	for p.at < len(p.data) && strings.IndexByte("+-.0123456789eE", p.data[p.at]) >= 0 {
		p.at++
	}
	if !json.Valid(p.data[start:p.at]) {
		p.at = start
		return p.fail("not a number")
	}
	return nil
}

func (p *parser) word() error {
	for _, w := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(p.data[p.at:], []byte(w)) {
			p.at += len(w)
			return nil
		}
	}
	return p.fail("not a value")
}

// fields are the keys that an object of some type has.
type fields struct {
	exact map[string]reflect.Type
	// others is the type of the values under any other key: a map's, or unknown.
	others reflect.Type
}

func (p *parser) fieldsOf(t reflect.Type) fields {
	if t == nil {
		return fields{}
	}
	f, ok := p.known[t]
	if !ok {
		f = fieldsOf(t)
		p.known[t] = f
	}
	return f
}

func fieldsOf(t reflect.Type) fields {
	switch {
	case t.Kind() == reflect.Map:
		return fields{others: t.Elem()}
	case t.Kind() != reflect.Struct:
		return fields{}
	}
	f := fields{exact: make(map[string]reflect.Type, t.NumField())}
	f.add(t)
	return f
}

// add takes in the fields of a struct, and those of structs embedded in it, as encoding/json does.
func (f fields) add(t reflect.Type) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name != "":
			f.exact[name] = field.Type
		case field.Anonymous && field.Type.Kind() == reflect.Struct:
			f.add(field.Type)
		default:
			f.exact[field.Name] = field.Type
		}
	}
}

// folded is the field that encoding/json would take the key for: it compares with Unicode's simple folding, as EqualFold
// does (K is also U+212A, the Kelvin sign).
func (f fields) folded(key string) string {
	for name := range f.exact {
		if strings.EqualFold(name, key) {
			return name
		}
	}
	return ""
}
