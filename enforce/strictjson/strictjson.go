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
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
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
	// Kind is '{' for an object, '[' for a list, 'v' for anything else, and Closed for what has not been taken apart.
	Kind byte
	// Raw is the value's text.
	Raw []byte
	// At is where it begins in the document, in bytes.
	At      int
	Members []Member
	Items   []*Value
}

// Closed is the kind of a value that nobody has gone into yet. Few are gone into, and a seccomp profile is long.
const Closed = '?'

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

// Parse reads a document of at most so many bytes and takes it apart. Keys are compared exactly. Errors say where and what; most
// are of type Error.
func Parse(data []byte, most int) (*Value, error) {
	root, _, _, err := read(data, reflect.Value{}, most)
	if err != nil {
		return nil, err
	}
	root.openAll()
	return root, nil
}

// Decoded is what is known of a document that was read into a Go value.
type Decoded struct {
	// Root is the document's value, Closed.
	Root *Value
	// Unknown are the fields that the Go value does not have, as JSON pointers in the order in which they stand. What is below such a
	// field is not looked at.
	Unknown []string
	// Wrong is why the document is not of the Go value's type. Nil: it is.
	Wrong error
}

// Decode reads a document of at most so many bytes into a value, as encoding/json does. The value's type tells which keys are fields:
// those must not be mistaken for each other. The keys of maps are only compared exactly. The zero Value takes nothing.
func Decode(data []byte, into reflect.Value, most int) (Decoded, error) {
	root, unknown, wrong, err := read(data, into, most)
	return Decoded{root, unknown, wrong}, err
}

func read(data []byte, into reflect.Value, most int) (root *Value, unknown []string, wrong, err error) {
	if len(data) > most {
		return nil, nil, nil, fmt.Errorf("it is larger than %d MiB", most>>20)
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, nil, nil, errors.New("it begins with a byte order mark")
	}
	if !utf8.Valid(data) {
		return nil, nil, nil, errors.New("it is not valid UTF-8")
	}
	p := newParser(data)
	p.space()
	root = &Value{Kind: Closed, At: p.at}
	if err := p.value(into, 0); err != nil {
		return nil, nil, nil, err
	}
	root.Raw = data[root.At:p.at:p.at]
	p.space()
	if p.at < len(data) {
		return nil, nil, nil, p.fail("something follows the first value")
	}
	return root, p.unknown, p.wrong, nil
}

// DecodeKnown reads of a long document only the fields that a struct has, and passes over all else without judging it, but for the keys
// beside those fields.
func DecodeKnown(data []byte, into reflect.Value) error {
	p := newParser(data)
	p.lenient = true
	p.space()
	if err := p.value(into, 0); err != nil {
		return err
	}
	if p.space(); p.wrong == nil && p.at < len(data) {
		return p.fail("something follows the first value")
	}
	return p.wrong
}

// Open takes a value apart, one level deep, if it was not yet. A text that is not JSON, which neither Parse nor Decode nor Encode lets
// out, has no parts.
func (v *Value) Open() {
	if v.Kind != Closed {
		return
	}
	v.Kind = 'v'
	p := newParser(v.Raw)
	if members, ok := p.members(v.At); ok {
		v.Kind, v.Members = '{', members
	} else if items, ok := p.items(v.At); ok {
		v.Kind, v.Items = '[', items
	}
}

// members are those of the object that is all of the parser's text, which begins at an offset of the document.
func (p *parser) members(offset int) (all []Member, ok bool) {
	if !p.take('{') {
		return nil, false
	}
	for p.space(); !p.take('}'); p.space() {
		p.take(',')
		p.space()
		start := p.at
		key, err := p.text()
		m := Member{Key: key, RawKey: p.data[start:p.at:p.at], At: offset + start}
		p.space()
		p.take(':')
		if m.Value = p.part(offset); err != nil || m.Value == nil {
			return nil, false
		}
		all = append(all, m)
	}
	return all, true
}

func (p *parser) items(offset int) (all []*Value, ok bool) {
	if !p.take('[') {
		return nil, false
	}
	for p.space(); !p.take(']'); p.space() {
		p.take(',')
		item := p.part(offset)
		if item == nil {
			return nil, false
		}
		all = append(all, item)
	}
	return all, true
}

func (v *Value) openAll() {
	v.Open()
	for _, m := range v.Members {
		m.Value.openAll()
	}
	for _, item := range v.Items {
		item.openAll()
	}
}

// part is the next value, Closed. Nil: there is none.
func (p *parser) part(offset int) *Value {
	p.space()
	start := p.at
	if p.skip() != nil {
		return nil
	}
	return &Value{Kind: Closed, Raw: p.data[start:p.at:p.at], At: offset + start}
}

// parser reads JSON in one pass: it holds it against the rules, and fills a Go value as encoding/json does. It is here because
// encoding/json takes longer than all else that a create does: for every type that it meets it prepares writing it as well.
type parser struct {
	data []byte
	// all is data as a string, and so are the strings that are read parts of it: nobody changes data any more.
	all string
	at  int
	// path leads to the value that is being read.
	path        []step
	unknown     []string
	unknownText int
	// wrong is the first value that does not fit into the type.
	wrong error
	// keys are those of all objects that have begun and not ended.
	keys []string
	// known are the structs met so far: a list has many values of one.
	known map[reflect.Type]fields
	// lenient: what is no field is passed over, whatever it is.
	lenient bool
}

func newParser(data []byte) *parser {
	return &parser{data: data, all: unsafe.String(unsafe.SliceData(data), len(data)), known: map[reflect.Type]fields{}}
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
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(s.key, "~", "~0"), "/", "~1"))
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

// value reads one value into v. The zero Value takes none: what is read is looked at only.
func (p *parser) value(v reflect.Value, depth int) error {
	if depth > maxDepth {
		return p.fail(fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	if p.at >= len(p.data) {
		return p.fail("it ends where a value should be")
	}
	if v.IsValid() && v.Type() == reflect.TypeFor[json.RawMessage]() {
		start := p.at
		err := p.value(reflect.Value{}, depth)
		v.SetBytes(p.data[start:p.at:p.at])
		return err
	}
	c := p.data[p.at]
	if c == 'n' {
		return p.null(v)
	}
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.IsValid() && v.Kind() == reflect.Interface {
		// Anything may stand here, and none of it is judged (windows.credentialSpec).
		start := p.at
		if err := p.value(reflect.Value{}, depth); err != nil {
			return err
		}
		return json.Unmarshal(p.data[start:p.at], v.Addr().Interface())
	}
	switch {
	case c == '{':
		return p.object(v, depth)
	case c == '[':
		return p.list(v, depth)
	case c == '"':
		return p.string(v)
	case c == '-' || c >= '0' && c <= '9':
		return p.number(v)
	}
	return p.truth(v)
}

// misfit notes that the value that begins at start is none for v, if it is the first. A value may be a secret: but for a number, it
// only says what kind of value it is.
func (p *parser) misfit(start int, v reflect.Value) {
	if p.wrong != nil {
		return
	}
	found := "the number " + p.all[start:p.at]
	switch p.data[start] {
	case '{':
		found = "an object"
	case '[':
		found = "a list"
	case '"':
		found = "a string"
	case 't', 'f':
		found = "true or false"
	}
	wanted := "a number of the type " + v.Kind().String()
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		wanted = "an object"
	case reflect.Slice:
		wanted = "a list"
	case reflect.String:
		wanted = "a string"
	case reflect.Bool:
		wanted = "true or false"
	}
	end := p.at
	p.at = start
	p.wrong = p.fail(strings.TrimPrefix(fmt.Sprintf("%s: wanted %s, found %s", p.pointer(), wanted, found), ": "))
	p.at = end
}

// null is nothing where there can be nothing, and leaves all else as it is.
func (p *parser) null(v reflect.Value) error {
	if err := p.word("null"); err != nil || !v.IsValid() {
		return err
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		v.SetZero()
	}
	return nil
}

func (p *parser) truth(v reflect.Value) error {
	start, is := p.at, p.data[p.at] == 't'
	word := "false"
	if is {
		word = "true"
	}
	if err := p.word(word); err != nil || !v.IsValid() {
		return err
	}
	if v.Kind() != reflect.Bool {
		p.misfit(start, v)
		return nil
	}
	v.SetBool(is)
	return nil
}

func (p *parser) word(w string) error {
	if !strings.HasPrefix(p.all[p.at:], w) {
		return p.fail("not a value")
	}
	p.at += len(w)
	return nil
}

func (p *parser) string(v reflect.Value) error {
	start := p.at
	s, err := p.text()
	if err != nil || !v.IsValid() {
		return err
	}
	if v.Kind() != reflect.String {
		p.misfit(start, v)
		return nil
	}
	v.SetString(s)
	return nil
}

func (p *parser) number(v reflect.Value) error {
	start := p.at
	for p.at < len(p.data) && strings.IndexByte("+-.0123456789eE", p.data[p.at]) >= 0 {
		p.at++
	}
	text := p.all[start:p.at]
	if !json.Valid(p.data[start:p.at]) {
		p.at = start
		return p.fail("not a number")
	}
	if !v.IsValid() {
		return nil
	}
	fits := false
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if fits = err == nil && !v.OverflowInt(n); fits {
			v.SetInt(n)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if fits = err == nil && !v.OverflowUint(n); fits {
			v.SetUint(n)
		}
	}
	if !fits {
		p.misfit(start, v)
	}
	return nil
}

func (p *parser) object(v reflect.Value, depth int) error {
	var own fields
	seen := keys{first: len(p.keys)}
	isMap := false
	switch {
	case !v.IsValid():
	case v.Kind() == reflect.Struct:
		own = p.fieldsOf(v.Type())
	case v.Kind() == reflect.Map:
		isMap = true
		v.Set(reflect.MakeMap(v.Type()))
	default:
		p.misfit(p.at, v)
	}
	p.at++ // {
	for first := true; ; first = false {
		p.space()
		if p.take('}') {
			p.keys = p.keys[:seen.first]
			return nil
		}
		if !first {
			if !p.take(',') {
				return p.fail("a comma or } is missing")
			}
			p.space()
		}
		start := p.at
		key, err := p.text()
		if err != nil {
			return err
		}
		if p.twice(&seen, key) {
			p.at = start
			return p.fail(fmt.Sprintf("the key %q stands twice in one object", key))
		}
		i := own.find(key)
		if i < 0 {
			// encoding/json would fill the field from this key as well, and the last one wins.
			if other := own.folded(key); other != "" {
				p.at = start
				return p.fail(fmt.Sprintf("the key %q differs from %q only by case", key, other))
			}
		}
		p.space()
		if !p.take(':') {
			return p.fail("a colon is missing")
		}
		p.space()
		p.path = append(p.path, step{key: key})
		switch {
		case i >= 0:
			err = p.value(v.FieldByIndex(own[i].index), depth+1)
		case isMap:
			element := reflect.New(v.Type().Elem()).Elem()
			err = p.value(element, depth+1)
			v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
		case own != nil && p.lenient:
			err = p.skip()
		case own != nil:
			pointer := p.pointer()
			p.unknown = append(p.unknown, pointer)
			if p.unknownText += len(pointer); len(p.unknown) > maxUnknown || p.unknownText > maxUnknownText {
				p.at = start
				return p.fail(fmt.Sprintf("more than %d fields, or %d KiB of their names, that the specification does not have", maxUnknown, maxUnknownText>>10))
			}
			fallthrough
		default:
			err = p.value(reflect.Value{}, depth+1)
		}
		if err != nil {
			return err
		}
		p.path = p.path[:len(p.path)-1]
	}
}

func (p *parser) list(v reflect.Value, depth int) error {
	switch {
	case !v.IsValid():
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, p.room(v.Type())))
	default:
		p.misfit(p.at, v)
		v = reflect.Value{}
	}
	p.at++ // [
	for n := 0; ; n++ {
		p.space()
		if p.take(']') {
			return nil
		}
		if n > 0 {
			if !p.take(',') {
				return p.fail("a comma or ] is missing")
			}
			p.space()
		}
		var item reflect.Value
		if v.IsValid() {
			v.Grow(1)
			v.SetLen(n + 1)
			item = v.Index(n)
		}
		p.path = append(p.path, step{index: n, list: true})
		if err := p.value(item, depth+1); err != nil {
			return err
		}
		p.path = p.path[:len(p.path)-1]
	}
}

// room is how many strings the list that begins here is likely to have. A profile's hundreds of names, in a list that grows, would touch
// three times the memory.
func (p *parser) room(list reflect.Type) int {
	const most = 1 << 10
	if list.Elem().Kind() != reflect.String {
		return 0
	}
	text := p.data[p.at:]
	if end := bytes.IndexByte(text, ']'); end >= 0 {
		text = text[:end]
	}
	return min(bytes.Count(text, []byte(",")), most) + 1
}

// skip passes over one value of a document that is not judged. It looks for the end only.
func (p *parser) skip() error {
	for depth := 0; p.at < len(p.data); {
		c := p.data[p.at]
		if depth == 0 && strings.IndexByte("}],:", c) >= 0 {
			return p.fail("not a value")
		}
		switch c {
		case '"':
			if err := p.skipString(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			p.at++
			continue
		case '}', ']':
			depth--
			p.at++
		case ',', ':', ' ', '\t', '\r', '\n':
			p.at++
			continue
		default:
			for p.at < len(p.data) && strings.IndexByte(",:{}[]\" \t\r\n", p.data[p.at]) < 0 {
				p.at++
			}
		}
		if depth == 0 {
			return nil
		}
	}
	return p.fail("it ends within a value")
}

func (p *parser) skipString() error {
	for p.at++; p.at < len(p.data); p.at++ {
		switch p.data[p.at] {
		case '"':
			p.at++
			return nil
		case '\\':
			p.at++
		}
	}
	// A backslash at the very end leads beyond it.
	p.at = len(p.data)
	return p.fail("it ends within a string")
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
			raw := p.all[start:p.at]
			if p.lenient && !utf8.ValidString(raw) {
				// All of another document was looked at before (read).
				p.at = start
				return "", p.fail("not valid UTF-8")
			}
			p.at++
			if !escaped {
				return raw, nil
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
	if r == 0 {
		// Where C reads it the string ends, and crun is C: "/proc\u0000x" would be /proc.
		return p.fail("a string with the character U+0000")
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

// keys are those of one object: the parser's from the index first on, and all of them once more if there are many.
type keys struct {
	first int
	many  map[string]bool
}

// twice says whether the object had the key before, and takes it in.
func (p *parser) twice(k *keys, key string) bool {
	const few = 16
	own := p.keys[k.first:]
	if k.many == nil && len(own) == few {
		k.many = make(map[string]bool, 4*few)
		for _, o := range own {
			k.many[o] = true
		}
	}
	switch {
	case k.many == nil && slices.Contains(own, key), k.many[key]:
		return true
	case k.many != nil:
		k.many[key] = true
	default:
		p.keys = append(p.keys, key)
	}
	return false
}

// fields are the keys that a struct has. A struct has one at least, so that nil stands for what is none.
type fields []field

type field struct {
	name string
	// index leads to it, through structs that are embedded.
	index []int
	// omit is the option omitempty or omitzero, or none.
	omit string
}

func (p *parser) fieldsOf(t reflect.Type) fields {
	f, ok := p.known[t]
	if !ok {
		f = fieldsOf(t)
		p.known[t] = f
	}
	return f
}

// fieldsOf has the fields of a struct, and those of structs embedded in it, as encoding/json does.
func fieldsOf(t reflect.Type) fields {
	all := make(fields, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name != "":
			all = append(all, field{name, f.Index, options})
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			for _, inner := range fieldsOf(f.Type) {
				all = append(all, field{inner.name, append(f.Index[:1:1], inner.index...), inner.omit})
			}
		default:
			all = append(all, field{f.Name, f.Index, ""})
		}
	}
	return all
}

func (f fields) find(key string) int {
	return slices.IndexFunc(f, func(one field) bool { return one.name == key })
}

// folded is the field that encoding/json would take the key for: it compares with Unicode's simple folding, as EqualFold
// does (K is also U+212A, the Kelvin sign).
func (f fields) folded(key string) string {
	for _, one := range f {
		if strings.EqualFold(one.name, key) {
			return one.name
		}
	}
	return ""
}
