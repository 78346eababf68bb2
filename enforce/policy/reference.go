package policy

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference is a table of all controls and their keys in Markdown, with what each preset says.
func Reference() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "| control, key | what it says | %s |\n|---|---|---|---|---|\n", strings.Join(presetNames(), " | "))
	var presets []reflect.Value
	for _, name := range presetNames() {
		c, err := preset(name)
		if err != nil {
			return "", err
		}
		presets = append(presets, reflect.ValueOf(c))
	}
	row := func(name, doc string, index []int, tag reflect.StructTag) error {
		fmt.Fprintf(&b, "| %s | %s |", name, doc)
		for _, p := range presets {
			n, err := encode(p.FieldByIndex(index), tag)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %s |", inline(n))
		}
		b.WriteByte('\n')
		return nil
	}
	controls := reflect.TypeFor[Controls]()
	for i := range controls.NumField() {
		control := controls.Field(i)
		for j := range control.Type.NumField() {
			key := control.Type.Field(j)
			// The action is the control's own line.
			name, doc := "`"+control.Tag.Get("json")+"`", control.Tag.Get("doc")
			if key.Name != "Action" {
				name, doc = "&nbsp;&nbsp;`"+key.Tag.Get("json")+"`", key.Tag.Get("doc")
			}
			if err := row(name, doc, []int{i, j}, key.Tag); err != nil {
				return "", err
			}
		}
	}
	return b.String(), nil
}
