package enforce

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SplitPointer takes an RFC 6901 JSON pointer apart. The pointer of the whole document has no parts.
func SplitPointer(pointer string) ([]string, error) {
	if pointer == "" {
		return nil, nil
	}
	if pointer[0] != '/' {
		return nil, fmt.Errorf("pointer %q does not begin with /", pointer)
	}
	parts := strings.Split(pointer[1:], "/")
	if !strings.Contains(pointer, "~") {
		return parts, nil
	}
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
	}
	return parts, nil
}

// ListIndex reads the part of a pointer that names a place in a list. most is the highest index that is allowed.
func ListIndex(part string, most int) (int, error) {
	i, err := strconv.Atoi(part)
	if err != nil || i < 0 || i > most || part != strconv.Itoa(i) {
		return 0, fmt.Errorf("%q is not an index from 0 to %d", part, most)
	}
	return i, nil
}

func applyAll(spec *specs.Spec, edits []Edit) (*specs.Spec, error) {
	for _, e := range edits {
		changed, err := apply(spec, e)
		if err != nil {
			return spec, err
		}
		spec = changed
	}
	return spec, nil
}

// apply returns spec with one edit made. What is on the way to the edit is copied, spec itself stays as it was.
//
// It does to the typed configuration what bundle.Document.Apply does to its text, so that a control sees what those
// before it changed; a property test holds the two together.
func apply(spec *specs.Spec, e Edit) (*specs.Spec, error) {
	parts, err := SplitPointer(e.Pointer)
	if err != nil {
		return nil, err
	}
	changed, err := edited(reflect.ValueOf(spec), parts, e)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", e.Op, e.Pointer, err)
	}
	return changed.Interface().(*specs.Spec), nil
}

// edited returns a copy of v in which the value that parts lead to is edited.
func edited(v reflect.Value, parts []string, e Edit) (reflect.Value, error) {
	if len(parts) == 0 {
		return asType(e.Value, v.Type())
	}
	part, rest := parts[0], parts[1:]
	switch v.Kind() {
	case reflect.Pointer:
		elem := reflect.Zero(v.Type().Elem())
		if !v.IsNil() {
			elem = v.Elem()
		}
		changed, err := edited(elem, parts, e)
		if err != nil {
			return v, err
		}
		p := reflect.New(v.Type().Elem())
		p.Elem().Set(changed)
		return p, nil
	case reflect.Struct:
		i, ok := fieldByTag(v.Type(), part)
		if !ok {
			return v, fmt.Errorf("%s has no field %q", v.Type(), part)
		}
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		if len(rest) == 0 && e.Op == Remove {
			c.Field(i).SetZero()
			return c, nil
		}
		changed, err := edited(v.Field(i), rest, e)
		if err != nil {
			return v, err
		}
		c.Field(i).Set(changed)
		return c, nil
	case reflect.Slice:
		return editedList(v, part, rest, e)
	case reflect.Map:
		return editedMap(v, part, rest, e)
	}
	return v, fmt.Errorf("%s has no parts to edit", v.Type())
}

func editedMap(v reflect.Value, part string, rest []string, e Edit) (reflect.Value, error) {
	c := reflect.MakeMap(v.Type())
	for entries := v.MapRange(); entries.Next(); {
		c.SetMapIndex(entries.Key(), entries.Value())
	}
	key := reflect.ValueOf(part).Convert(v.Type().Key())
	if len(rest) == 0 && e.Op == Remove {
		c.SetMapIndex(key, reflect.Value{})
		return c, nil
	}
	value := v.MapIndex(key)
	if !value.IsValid() {
		value = reflect.Zero(v.Type().Elem())
	}
	changed, err := edited(value, rest, e)
	if err != nil {
		return v, err
	}
	c.SetMapIndex(key, changed)
	return c, nil
}

func editedList(v reflect.Value, part string, rest []string, e Edit) (reflect.Value, error) {
	most := v.Len() - 1
	inserting := len(rest) == 0 && e.Op == Insert
	if inserting {
		most++
	}
	i, err := ListIndex(part, most)
	if err != nil {
		return v, err
	}
	before, after := v.Slice(0, i), v.Slice(i, v.Len())
	c := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()+1), before)
	switch {
	case inserting:
		value, err := asType(e.Value, v.Type().Elem())
		if err != nil {
			return v, err
		}
		return reflect.AppendSlice(reflect.Append(c, value), after), nil
	case len(rest) == 0 && e.Op == Remove:
		return reflect.AppendSlice(c, after.Slice(1, after.Len())), nil
	default:
		value, err := edited(v.Index(i), rest, e)
		if err != nil {
			return v, err
		}
		return reflect.AppendSlice(reflect.Append(c, value), after.Slice(1, after.Len())), nil
	}
}

// asType is value as the field's type; a field that is a pointer takes the value that it points to.
func asType(value any, t reflect.Type) (reflect.Value, error) {
	v := reflect.ValueOf(value)
	if !v.IsValid() {
		return v, fmt.Errorf("no value for %s", t)
	}
	if v.Type().AssignableTo(t) {
		return v, nil
	}
	if t.Kind() == reflect.Pointer && v.Type().AssignableTo(t.Elem()) {
		p := reflect.New(t.Elem())
		p.Elem().Set(v)
		return p, nil
	}
	return v, fmt.Errorf("a %s does not fit into %s", v.Type(), t)
}

func fieldByTag(t reflect.Type, name string) (int, bool) {
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if tag == name {
			return i, true
		}
	}
	return 0, false
}
