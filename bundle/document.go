package bundle

import (
	"reflect"

	"runclamp/enforce/strictjson"
)

// maxSize is the most that a configuration may have. Docker's is 20 to 40 KiB.
const maxSize = 4 << 20

// Document is a JSON document that was read strictly and can be edited without losing anything.
//
// Strictly, because what runclamp judges and what the delegate reads must be the same thing. The delegate reads with
// encoding/json, which takes keys without regard to case, merges what stands twice, and stops reading behind the first
// value; each of these has hidden a second configuration behind the first. So they are errors here.
type Document struct {
	data []byte
	read strictjson.Decoded
	// value is what was read.
	value reflect.Value
}

// ParseDocument reads a JSON document that describes a value of type t, strictly. t tells which keys are fields: those
// must not be mistaken for each other. The keys of maps are only compared exactly.
//
// Errors say where and what.
func ParseDocument(data []byte, t reflect.Type) (*Document, error) {
	d := &Document{data: data}
	if t != nil {
		d.value = reflect.New(t).Elem()
	}
	var err error
	d.read, err = strictjson.Decode(data, d.value, maxSize)
	return d, err
}

// Bytes is the document's text.
func (d *Document) Bytes() []byte { return d.data }

// Decode gives to, which points to a value of the type that the document was parsed for or to a pointer to one, what the delegate
// reads in the document. It is no copy.
func (d *Document) Decode(to any) error {
	if d.read.Wrong != nil {
		return d.read.Wrong
	}
	switch v := reflect.ValueOf(to).Elem(); {
	case v.Type() == d.value.Type():
		v.Set(d.value)
	case string(d.read.Root.Raw) == "null":
		v.SetZero()
	default:
		v.Set(d.value.Addr())
	}
	return nil
}

// Unknown are the fields that the document's type does not have, as JSON pointers in the order in which they stand. What is
// below such a field is not looked at.
func (d *Document) Unknown() []string { return d.read.Unknown }

// Member is one member of the document's top level as a document to edit, nil if there is none.
func (d *Document) Member(key string) *Document {
	root := d.read.Root
	root.Open()
	i := find(root, key)
	if i < 0 {
		return nil
	}
	n := root.Members[i].Value
	return &Document{data: n.Raw, read: strictjson.Decoded{Root: n}}
}
