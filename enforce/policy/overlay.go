package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// Overlay has, of some controls, the keys that it names: control -> key -> the typed value.
type Overlay map[string]map[string]json.RawMessage

func (o Overlay) names(control, key string) bool {
	_, ok := o[control][key]
	return ok
}

// lay replaces what the overlay names, each value whole. What it does not name stays.
func (o Overlay) lay(c *Controls) error {
	return o.each(c, func(have, want reflect.Value, _ reflect.StructTag) error {
		have.Set(want)
		return nil
	})
}

// tighten makes what the overlay names stricter, or leaves it as it is.
func (o Overlay) tighten(c *Controls) error { return o.each(c, tighten) }

// each hands over every value that the overlay names, with the one that it is for.
func (o Overlay) each(c *Controls, do func(have, want reflect.Value, tag reflect.StructTag) error) error {
	controls := reflect.ValueOf(c).Elem()
	for name, settings := range o {
		control, ok := fieldOf(controls.Type(), name)
		if !ok {
			return fmt.Errorf("unknown control %q", name)
		}
		block := controls.FieldByIndex(control.Index)
		for key, raw := range settings {
			field, ok := fieldOf(block.Type(), key)
			if !ok {
				return fmt.Errorf("%s: unknown key %q", name, key)
			}
			want := reflect.New(field.Type)
			if err := json.Unmarshal(raw, want.Interface()); err != nil {
				return fmt.Errorf("%s.%s: %w", name, key, err)
			}
			if err := do(block.FieldByIndex(field.Index), want.Elem(), field.Tag); err != nil {
				return fmt.Errorf("%s.%s: %w", name, key, err)
			}
		}
	}
	return nil
}

// tighten sets have to the stricter of the two, in the way that its tag says.
func tighten(have, want reflect.Value, tag reflect.StructTag) error {
	switch how := tag.Get("tighten"); how {
	case "order":
		order := have.Interface().(enum).values()
		is, to := slices.Index(order, have.String()), slices.Index(order, want.String())
		if is < 0 || to < 0 {
			return fmt.Errorf("%q and %q can't be compared", have.String(), want.String())
		}
		if to > is {
			have.Set(want)
		}
	case "intersect":
		both := reflect.MakeSlice(have.Type(), 0, have.Len())
		for i := range have.Len() {
			for j := range want.Len() {
				if have.Index(i).Equal(want.Index(j)) {
					both = reflect.Append(both, have.Index(i))
					break
				}
			}
		}
		have.Set(both)
	case "union":
		for j := range want.Len() {
			known := false
			for i := range have.Len() {
				known = known || have.Index(i).Equal(want.Index(j))
			}
			if !known {
				// The list may be the preset's own: it is not appended to in place.
				have.Set(reflect.Append(have.Slice3(0, have.Len(), have.Len()), want.Index(j)))
			}
		}
	case "fields":
		for i := range have.NumField() {
			if err := tighten(have.Field(i), want.Field(i), have.Type().Field(i).Tag); err != nil {
				return err
			}
		}
	case "limit": // 0 is none
		if want.Int() > 0 && (have.Int() == 0 || want.Int() < have.Int()) {
			have.Set(want)
		}
	case "join":
		have.Set(reflect.ValueOf(have.Interface().(SeccompProfile).join(want.Interface().(SeccompProfile))))
	case "floor":
		have.SetInt(max(have.Int(), want.Int()))
	case "rlimits":
		have.Set(reflect.ValueOf(lowerRlimits(have.Interface().(Rlimits), want.Interface().(Rlimits))))
	case "tmpfs":
		have.Set(reflect.ValueOf(stricterTmpfs(have.Interface().([]Tmpfs), want.Interface().([]Tmpfs))))
	default:
		return fmt.Errorf("it can't be tightened (%q)", how)
	}
	return nil
}

// lowerRlimits are the limits of both, the lower where both have one.
func lowerRlimits(have, want Rlimits) Rlimits {
	both := make(Rlimits, len(have)+len(want))
	for _, limits := range []Rlimits{have, want} {
		for name, limit := range limits {
			if is, ok := both[name]; !ok || limit < is {
				both[name] = limit
			}
		}
	}
	return both
}

// stricterTmpfs are the folders that are in both lists, with the smaller size and what both let be done in them. The
// sticky bit is stricter when it is set: it keeps users from each other's files.
func stricterTmpfs(have, want []Tmpfs) []Tmpfs {
	const sticky = 0o1000
	both := []Tmpfs{}
	for _, h := range have {
		i := slices.IndexFunc(want, func(w Tmpfs) bool { return w.Path == h.Path })
		if i < 0 {
			continue
		}
		w := want[i]
		h.Size = min(h.Size, w.Size)
		h.Mode = h.Mode&w.Mode | (h.Mode|w.Mode)&sticky
		h.Exec = h.Exec && w.Exec
		h.CopyUp = h.CopyUp && w.CopyUp
		both = append(both, h)
	}
	return both
}
