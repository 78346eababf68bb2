package bundle

import (
	"bytes"
	"fmt"
	"slices"

	"runclamp/enforce"
)

// Change is what one edit did to the text.
type Change struct {
	Pointer string
	// From is the value as it stood, nil if there was none. To is the new one, nil if it was removed.
	From, To []byte
}

// Apply returns the text with the edits made, in order, and says what each did. Whatever no edit names is there as it was, byte
// for byte: unknown fields, the order of keys, integers beyond 2^53. The document itself stays as it is.
func (d *Document) Apply(edits []enforce.Edit) ([]byte, []Change, error) {
	if len(edits) == 0 {
		return d.data, nil, nil
	}
	root := d.root
	var changes []Change
	for _, e := range edits {
		parts, err := enforce.SplitPointer(e.Pointer)
		if err != nil {
			return nil, nil, err
		}
		c := Change{Pointer: e.Pointer}
		if was := root.at(parts); was != nil && e.Op != enforce.Insert {
			c.From = was.text()
		}
		if root, err = root.edited(parts, e); err != nil {
			return nil, nil, fmt.Errorf("%s %s: %w", e.Op, e.Pointer, err)
		}
		if e.Op != enforce.Remove {
			c.To = root.at(parts).text()
		}
		changes = append(changes, c)
	}
	return root.text(), changes, nil
}

// at is the node that a pointer leads to, nil if there is none.
func (n *node) at(parts []string) *node {
	for _, p := range parts {
		n = n.parsed()
		switch n.kind {
		case '{':
			i := n.find(p)
			if i < 0 {
				return nil
			}
			n = n.members[i].value
		case '[':
			i, err := enforce.ListIndex(p, len(n.items)-1)
			if err != nil {
				return nil
			}
			n = n.items[i]
		default:
			return nil
		}
	}
	return n
}

// edited returns a copy of the node in which the value that parts lead to is edited. What is not on the way is shared.
func (n *node) edited(parts []string, e enforce.Edit) (*node, error) {
	if len(parts) == 0 {
		return valueNode(e.Value)
	}
	n = n.parsed()
	if n.kind == '[' {
		return n.editedList(parts[0], parts[1:], e)
	}
	if n.kind != '{' && string(n.raw) != "null" {
		return nil, fmt.Errorf("%.40s is neither an object nor a list", n.raw)
	}
	c := &node{kind: '{', members: slices.Clone(n.members)}
	i := c.find(parts[0])
	switch {
	case len(parts) == 1 && e.Op == enforce.Remove:
		if i >= 0 {
			c.members = slices.Delete(c.members, i, i+1)
		}
		return c, nil
	case i < 0:
		rawKey, err := Encode(parts[0])
		if err != nil {
			return nil, err
		}
		c.members = append(c.members, member{key: parts[0], rawKey: rawKey, value: absent(parts[1:], e)})
		i = len(c.members) - 1
	case string(c.members[i].value.raw) == "null":
		c.members[i].value = absent(parts[1:], e)
	}
	changed, err := c.members[i].value.edited(parts[1:], e)
	if err != nil {
		return nil, err
	}
	c.members[i].value = changed
	return c, nil
}

// absent stands where nothing is (null is nothing to the delegate): an object, or the list that a value is inserted into.
func absent(rest []string, e enforce.Edit) *node {
	if len(rest) == 1 && e.Op == enforce.Insert {
		return &node{kind: '['}
	}
	return &node{kind: '{'}
}

func (n *node) editedList(part string, rest []string, e enforce.Edit) (*node, error) {
	inserting := len(rest) == 0 && e.Op == enforce.Insert
	most := len(n.items) - 1
	if inserting {
		most++
	}
	i, err := enforce.ListIndex(part, most)
	if err != nil {
		return nil, err
	}
	c := &node{kind: '[', items: slices.Clone(n.items)}
	switch {
	case inserting:
		value, err := valueNode(e.Value)
		if err != nil {
			return nil, err
		}
		c.items = slices.Insert(c.items, i, value)
	case len(rest) == 0 && e.Op == enforce.Remove:
		c.items = slices.Delete(c.items, i, i+1)
	default:
		if c.items[i], err = c.items[i].edited(rest, e); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// valueNode is a new value.
func valueNode(v any) (*node, error) {
	text, err := Encode(v)
	if err != nil {
		return nil, fmt.Errorf("the new value: %w", err)
	}
	return &node{kind: unparsed, raw: text}, nil
}

// unparsed is the kind of a node that nobody has gone into yet. Few are gone into, and a seccomp profile is long.
const unparsed = '?'

// node is one value of a document: its text, and what it consists of.
type node struct {
	kind byte // '{' object, '[' list, 'v' anything else, or unparsed
	// raw is the value's text. Nil once an edit has changed something below: then the parts are what counts.
	raw     []byte
	members []member
	items   []*node
}

type member struct {
	key    string // decoded
	rawKey []byte // as it stands, with quotes
	value  *node
}

// parsed is the node, taken apart one level deep if it was not yet. Its text is JSON: it was read strictly, or written by
// valueNode.
func (n *node) parsed() *node {
	if n.kind != unparsed {
		return n
	}
	p := newParser(n.raw)
	n.kind = 'v'
	switch {
	case p.take('{'):
		n.kind = '{'
		for p.space(); !p.take('}') && p.at < len(p.data); p.space() {
			p.take(',')
			p.space()
			start := p.at
			key, err := p.text()
			m := member{key: key, rawKey: p.data[start:p.at:p.at]}
			p.space()
			p.take(':')
			if m.value = p.part(); err != nil || m.value == nil {
				return &node{kind: 'v', raw: n.raw}
			}
			n.members = append(n.members, m)
		}
	case p.take('['):
		n.kind = '['
		for p.space(); !p.take(']') && p.at < len(p.data); p.space() {
			p.take(',')
			item := p.part()
			if item == nil {
				return &node{kind: 'v', raw: n.raw}
			}
			n.items = append(n.items, item)
		}
	}
	return n
}

// part is the next value, not taken apart. Nil: there is none.
func (p *parser) part() *node {
	p.space()
	start := p.at
	if p.skip() != nil {
		return nil
	}
	return &node{kind: unparsed, raw: p.data[start:p.at:p.at]}
}

func (n *node) find(key string) int {
	return slices.IndexFunc(n.members, func(m member) bool { return m.key == key })
}

// text is the node as JSON: as it stood, or put together from its parts.
func (n *node) text() []byte {
	if n.raw != nil {
		return n.raw
	}
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes()
}

func (n *node) write(b *bytes.Buffer) {
	switch {
	case n.raw != nil:
		b.Write(n.raw)
	case n.kind == '{':
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(m.rawKey)
			b.WriteByte(':')
			m.value.write(b)
		}
		b.WriteByte('}')
	default:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	}
}
