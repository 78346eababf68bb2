package bundle

import (
	"bytes"
	"fmt"
	"slices"

	"runclamp/enforce"
	"runclamp/enforce/strictjson"
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
	root := d.read.Root
	var changes []Change
	for _, e := range edits {
		parts, err := enforce.SplitPointer(e.Pointer)
		if err != nil {
			return nil, nil, err
		}
		c := Change{Pointer: e.Pointer}
		if was := at(root, parts); was != nil && e.Op != enforce.Insert {
			c.From = text(was)
		}
		if root, err = edited(root, parts, e); err != nil {
			return nil, nil, fmt.Errorf("%s %s: %w", e.Op, e.Pointer, err)
		}
		if e.Op != enforce.Remove {
			c.To = text(at(root, parts))
		}
		changes = append(changes, c)
	}
	return text(root), changes, nil
}

// at is the node that a pointer leads to, nil if there is none.
func at(n *strictjson.Value, parts []string) *strictjson.Value {
	for _, p := range parts {
		n.Open()
		switch n.Kind {
		case '{':
			i := find(n, p)
			if i < 0 {
				return nil
			}
			n = n.Members[i].Value
		case '[':
			i, err := enforce.ListIndex(p, len(n.Items)-1)
			if err != nil {
				return nil
			}
			n = n.Items[i]
		default:
			return nil
		}
	}
	return n
}

// edited returns a copy of the node in which the value that parts lead to is edited. What is not on the way is shared.
func edited(n *strictjson.Value, parts []string, e enforce.Edit) (*strictjson.Value, error) {
	if len(parts) == 0 {
		return valueNode(e.Value)
	}
	n.Open()
	if n.Kind == '[' {
		return editedList(n, parts[0], parts[1:], e)
	}
	if n.Kind != '{' && string(n.Raw) != "null" {
		return nil, fmt.Errorf("%.40s is neither an object nor a list", n.Raw)
	}
	c := &strictjson.Value{Kind: '{', Members: slices.Clone(n.Members)}
	i := find(c, parts[0])
	switch {
	case len(parts) == 1 && e.Op == enforce.Remove:
		if i >= 0 {
			c.Members = slices.Delete(c.Members, i, i+1)
		}
		return c, nil
	case i < 0:
		rawKey, err := strictjson.Encode(parts[0])
		if err != nil {
			return nil, err
		}
		c.Members = append(c.Members, strictjson.Member{Key: parts[0], RawKey: rawKey, Value: absent(parts[1:], e)})
		i = len(c.Members) - 1
	case string(c.Members[i].Value.Raw) == "null":
		c.Members[i].Value = absent(parts[1:], e)
	}
	changed, err := edited(c.Members[i].Value, parts[1:], e)
	if err != nil {
		return nil, err
	}
	c.Members[i].Value = changed
	return c, nil
}

// absent stands where nothing is (null is nothing to the delegate): an object, or the list that a value is inserted into.
func absent(rest []string, e enforce.Edit) *strictjson.Value {
	if len(rest) == 1 && e.Op == enforce.Insert {
		return &strictjson.Value{Kind: '['}
	}
	return &strictjson.Value{Kind: '{'}
}

func editedList(n *strictjson.Value, part string, rest []string, e enforce.Edit) (*strictjson.Value, error) {
	inserting := len(rest) == 0 && e.Op == enforce.Insert
	most := len(n.Items) - 1
	if inserting {
		most++
	}
	i, err := enforce.ListIndex(part, most)
	if err != nil {
		return nil, err
	}
	c := &strictjson.Value{Kind: '[', Items: slices.Clone(n.Items)}
	switch {
	case inserting:
		value, err := valueNode(e.Value)
		if err != nil {
			return nil, err
		}
		c.Items = slices.Insert(c.Items, i, value)
	case len(rest) == 0 && e.Op == enforce.Remove:
		c.Items = slices.Delete(c.Items, i, i+1)
	default:
		if c.Items[i], err = edited(c.Items[i], rest, e); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// valueNode is a new value.
func valueNode(v any) (*strictjson.Value, error) {
	text, err := strictjson.Encode(v)
	if err != nil {
		return nil, fmt.Errorf("the new value: %w", err)
	}
	return &strictjson.Value{Kind: strictjson.Closed, Raw: text}, nil
}

func find(n *strictjson.Value, key string) int {
	return slices.IndexFunc(n.Members, func(m strictjson.Member) bool { return m.Key == key })
}

// text is the node as JSON: as it stood, or put together from its parts.
func text(n *strictjson.Value) []byte {
	if n.Raw != nil {
		return n.Raw
	}
	var b bytes.Buffer
	write(&b, n)
	return b.Bytes()
}

func write(b *bytes.Buffer, n *strictjson.Value) {
	switch {
	case n.Raw != nil:
		b.Write(n.Raw)
	case n.Kind == '{':
		b.WriteByte('{')
		for i, m := range n.Members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(m.RawKey)
			b.WriteByte(':')
			write(b, m.Value)
		}
		b.WriteByte('}')
	default:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, item)
		}
		b.WriteByte(']')
	}
}
