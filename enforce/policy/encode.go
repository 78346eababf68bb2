package policy

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML is the file as one could have written it, with everything in it that was left out: Parse reads it back.
func (f *File) YAML() ([]byte, error) {
	root, err := encode(reflect.ValueOf(*f), "")
	if err != nil {
		return nil, err
	}
	base, err := encode(reflect.ValueOf(f.Base), "")
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(root.Content); i += 2 {
		if root.Content[i].Value == "controls" {
			root.Content[i+1] = base
		}
	}
	return render(root)
}

// YAML is the controls as the file writes them.
func (c Controls) YAML() ([]byte, error) {
	n, err := encode(reflect.ValueOf(c), "")
	if err != nil {
		return nil, err
	}
	return render(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{word("controls"), n}})
}

func render(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	w := yaml.NewEncoder(&b)
	w.SetIndent(2)
	if err := w.Encode(n); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}

// word is a text, in quotes where it would be read as something else.
func word(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// bare is a number or a truth value.
func bare(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

func encode(v reflect.Value, tag reflect.StructTag) (*yaml.Node, error) {
	switch value := v.Interface().(type) {
	case Overlay:
		return encodeOverlay(value)
	case Match:
		n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			patterns, err := encode(reflect.ValueOf(value[key]), "")
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, word(key), patterns)
		}
		return n, nil
	case Rlimits:
		n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			n.Content = append(n.Content, word(shortRlimit(key)), bare(strconv.FormatUint(value[key], 10)))
		}
		return n, nil
	}
	switch is := tag.Get("is"); {
	case (is == "pids" || is == "memory" || is == "cpus") && v.Int() == 0:
		return word(noLimit), nil
	case is == "memory":
		return bare(printSize(v.Int())), nil
	case is == "cpus":
		return bare(printCPUs(v.Int())), nil
	}
	switch tag.Get("is") {
	case "size":
		return bare(printSize(v.Int())), nil
	case "mode":
		return bare(printMode(uint32(v.Uint()))), nil
	}
	switch v.Kind() {
	case reflect.String:
		return word(v.String()), nil
	case reflect.Bool:
		return bare(strconv.FormatBool(v.Bool())), nil
	case reflect.Int64:
		return bare(strconv.FormatInt(v.Int(), 10)), nil
	case reflect.Uint32:
		return bare(strconv.FormatUint(v.Uint(), 10)), nil
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if v.Type().Elem().Kind() != reflect.Struct || v.Len() == 0 {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			item, err := encode(v.Index(i), tag)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		return n, nil
	case reflect.Struct:
		return encodeStruct(v)
	}
	return nil, fmt.Errorf("no YAML for a %s", v.Type())
}

func encodeStruct(v reflect.Value) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("is") == "name" && v.Field(i).Len() == 0
		if f.Tag.Get("file") == "-" || name || f.Type.Kind() == reflect.Slice && f.Tag.Get("required") == "" && v.Field(i).IsNil() {
			continue
		}
		value, err := encode(v.Field(i), f.Tag)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Tag.Get("json"), err)
		}
		n.Content = append(n.Content, word(f.Tag.Get("json")), value)
	}
	return n, nil
}

// encodeOverlay gives each value the type that its control has for it, and writes only what the overlay names.
func encodeOverlay(o Overlay) (*yaml.Node, error) {
	var typed Controls
	if err := o.lay(&typed); err != nil {
		return nil, err
	}
	all := reflect.ValueOf(typed)
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, control := range Names() {
		settings, ok := o[control]
		if !ok {
			continue
		}
		field, _ := fieldOf(all.Type(), control)
		block := all.FieldByIndex(field.Index)
		m := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range keys(block.Type()) {
			if _, ok := settings[key]; !ok {
				continue
			}
			field, _ := fieldOf(block.Type(), key)
			value, err := encode(block.FieldByIndex(field.Index), field.Tag)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", control, key, err)
			}
			m.Content = append(m.Content, word(key), value)
		}
		n.Content = append(n.Content, word(control), m)
	}
	return n, nil
}

// inline writes a node on one line, without the quotes.
func inline(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, n.Content[i].Value+": "+inline(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, inline(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return n.Value
}
