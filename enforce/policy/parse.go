package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFile is far above what people write, and keeps a mistake from costing every container start.
const maxFile = 1 << 20

// Error is one thing that is wrong with a policy file.
type Error struct {
	Line, Column int
	Message      string
}

func (e Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message) }

// Errors are all that could be found, in the order of the text.
type Errors []Error

func (e Errors) Error() string {
	var parts []string
	for _, one := range e {
		parts = append(parts, one.Error())
	}
	return strings.Join(parts, "; ")
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
}

// Parse reads a policy file strictly: whatever it does not say in so many words is an error. The error is of type Errors.
func Parse(text []byte, now time.Time) (*File, error) {
	root, err := document(text)
	if err != nil {
		return nil, err
	}
	d := &decoder{now: now}
	f := &File{}
	d.value("", root, reflect.ValueOf(f).Elem(), "")
	if len(d.errors) > 0 {
		d.errors.sort()
		return nil, d.errors
	}
	if f.Base, err = preset(f.Preset); err != nil {
		return nil, err
	}
	if err := f.Controls.lay(&f.Base); err != nil {
		return nil, err
	}
	return f, nil
}

// document is the root of the one YAML document that text is.
func document(text []byte) (*yaml.Node, error) {
	if len(text) > maxFile {
		return nil, Errors{{1, 1, fmt.Sprintf("it has %d bytes, and at most %d are read", len(text), maxFile)}}
	}
	if !utf8.Valid(text) {
		// YAML may be UTF-16 as well, which an editor shows as the same text and a search does not find.
		return nil, Errors{{1, 1, "it is not valid UTF-8"}}
	}
	r := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := r.Decode(&first); errors.Is(err, io.EOF) {
		return nil, Errors{{1, 1, fmt.Sprintf("it is empty; the least that it says is \"apiVersion: %s\"", APIVersion)}}
	} else if err != nil {
		return nil, syntax(err)
	}
	switch err := r.Decode(&second); {
	case err == nil:
		return nil, Errors{{second.Line, second.Column, "a second document; a policy file is one"}}
	case !errors.Is(err, io.EOF):
		return nil, syntax(err)
	}
	if len(first.Content) != 1 {
		return nil, Errors{{1, 1, "it is not one YAML document"}}
	}
	return first.Content[0], nil
}

// syntax makes one of ours of the YAML reader's errors, which say their line in words, or not at all.
func syntax(err error) Errors {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, scanErr := fmt.Sscanf(message, "line %d:", &line); n == 1 && scanErr == nil {
		_, message, _ = strings.Cut(message, ": ")
	}
	return Errors{{max(line, 1), 1, "not YAML: " + message}}
}
