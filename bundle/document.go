package bundle

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
	// maxSize is the most that a configuration may have. Docker's is 20 to 40 KiB.
	maxSize = 4 << 20
	// maxUnknown is how many fields there may be that nobody knows, and maxUnknownText how long they may be altogether: they are
	// recorded.
	maxUnknown     = 100
	maxUnknownText = 64 << 10
	// maxDepth is how deep it may be nested. The specification's deepest field is at 8.
	maxDepth = 64
)

// Document is a JSON document that was read strictly and can be edited without losing anything.
//
// Strictly, because what runclamp judges and what the delegate reads must be the same thing. The delegate reads with
// encoding/json, which takes keys without regard to case, merges what stands twice, and stops reading behind the first
// value; each of these has hidden a second configuration behind the first. So they are errors here.
type Document struct {
	data []byte
	root *node
	// unknown are JSON pointers.
	unknown []string
	// value is what was read, wrong is why it is not of its type.
	value reflect.Value
	wrong error
}

// ParseDocument reads a JSON document that describes a value of type t, strictly. t tells which keys are fields: those
// must not be mistaken for each other. The keys of maps are only compared exactly.
//
// Errors say where and what.
func ParseDocument(data []byte, t reflect.Type) (*Document, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("it is larger than %d MiB", maxSize>>20)
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, errors.New("it begins with a byte order mark")
	}
	if !utf8.Valid(data) {
		return nil, errors.New("it is not valid UTF-8")
	}
	p := newParser(data)
	var value reflect.Value
	if t != nil {
		value = reflect.New(t).Elem()
	}
	p.space()
	start := p.at
	if err := p.value(value, 0); err != nil {
		return nil, err
	}
	root := &node{kind: unparsed, raw: data[start:p.at:p.at]}
	p.space()
	if p.at < len(data) {
		return nil, p.fail("something follows the first value")
	}
	return &Document{data: data, root: root, unknown: p.unknown, value: value, wrong: p.wrong}, nil
}

// Bytes is the document's text.
func (d *Document) Bytes() []byte { return d.data }

// Decode gives to, which points to a value of the type that the document was parsed for or to a pointer to one, what the delegate
// reads in the document. It is no copy.
func (d *Document) Decode(to any) error {
	if d.wrong != nil {
		return d.wrong
	}
	switch v := reflect.ValueOf(to).Elem(); {
	case v.Type() == d.value.Type():
		v.Set(d.value)
	case string(d.root.raw) == "null":
		v.SetZero()
	default:
		v.Set(d.value.Addr())
	}
	return nil
}

// Unknown are the fields that the document's type does not have, as JSON pointers in the order in which they stand. What is
// below such a field is not looked at.
func (d *Document) Unknown() []string { return d.unknown }

// Member is one member of the document's top level as a document to edit, nil if there is none.
func (d *Document) Member(key string) *Document {
	root := d.root.parsed()
	i := root.find(key)
	if i < 0 {
		return nil
	}
	n := root.members[i].value
	return &Document{data: n.raw, root: n}
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

func (p *parser) fail(what string) error {
	line := 1 + bytes.Count(p.data[:p.at], []byte("\n"))
	column := p.at - bytes.LastIndexByte(p.data[:p.at], '\n')
	return fmt.Errorf("line %d, column %d: %s", line, column, what)
}

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
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
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
