package bundle

import (
	"encoding/json"
	"reflect"

	"runclamp/enforce/strictjson"
)

// maxSize is the most that a configuration may have. Docker's is 20 to 40 KiB.
const maxSize = 4 << 20

// Document is a JSON document that was read strictly and can be edited without losing anything.
//
// Strictly, because what runclamp judges and what the delegate reads must be the same thing. The delegate reads with
// encoding/json.
type Document struct {
	data []byte
	root *strictjson.Value
	// unknown are JSON pointers.
	unknown []string
}

// ParseDocument reads a JSON document that describes a value of type t, strictly (strictjson.Parse).
//
// Errors say where and what.
func ParseDocument(data []byte, t reflect.Type) (*Document, error) {
	root, unknown, err := strictjson.Parse(data, t, maxSize)
	if err != nil {
		return nil, err
	}
	return &Document{data: data, root: root, unknown: unknown}, nil
}

// Bytes is the document's text.
func (d *Document) Bytes() []byte { return d.data }

// Decode fills v, which has the type that the document was parsed for, in the way the delegate does.
func (d *Document) Decode(v any) error { return json.Unmarshal(d.data, v) }

// Unknown are the fields that the document's type does not have, as JSON pointers in the order in which they stand. What is
// below such a field is not looked at.
func (d *Document) Unknown() []string { return d.unknown }

// Member is the text of one member of the document's top level, nil if there is none.
func (d *Document) Member(key string) []byte {
	if i := find(d.root, key); i >= 0 {
		return text(d.root.Members[i].Value)
	}
	return nil
}
