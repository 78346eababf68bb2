package policy

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Schema is the JSON Schema (draft 2020-12) of a policy file, for editors and pipelines. It is made from the types that
// Parse fills, and lets through some that Parse does not: what depends on a date, on trustNames or on another key.
func Schema() ([]byte, error) {
	s := object(reflect.TypeFor[File](), false)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "runclamp policy file"
	s["$defs"] = map[string]any{
		"controls": object(reflect.TypeFor[Controls](), false),
		"stricter": object(reflect.TypeFor[Controls](), true),
		"facts":    matchSchema(append(facts(), "image", "name"), ""),
		"any":      matchSchema(append(facts(), "image", "name"), "^(label|annotation)\\.[^*]+$"),
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// object is the schema of a Go struct. In a tighten entry it has only what can be made stricter.
func object(t reflect.Type, tightening bool) map[string]any {
	properties := map[string]any{}
	var required []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("json")
		if f.Tag.Get("file") == "-" || tightening && isSetting(f) && f.Tag.Get("tighten") == "" {
			continue
		}
		// A whole value stays what it is: only the keys of a control are left out.
		property := schemaOf(f.Type, f.Tag, tightening && f.Tag.Get("tighten") == "")
		if doc := f.Tag.Get("doc"); doc != "" {
			property["description"] = doc
		}
		properties[key] = property
		if f.Tag.Get("required") != "" {
			required = append(required, key)
		}
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if required != nil {
		s["required"] = required
	}
	return s
}

// isSetting: not a control, which is a struct that begins with its action.
func isSetting(f reflect.StructField) bool {
	if f.Type.Kind() != reflect.Struct {
		return true
	}
	_, control := fieldOf(f.Type, "action")
	return !control
}

func schemaOf(t reflect.Type, tag reflect.StructTag, tightening bool) map[string]any {
	s := map[string]any{}
	zero := reflect.Zero(t)
	switch {
	case t == reflect.TypeFor[Overlay]():
		s["$ref"] = "#/$defs/controls"
		if tag.Get("overlay") == "tighten" {
			s["$ref"] = "#/$defs/stricter"
		}
	case t == reflect.TypeFor[Match]():
		s["$ref"] = "#/$defs/" + tag.Get("match")
	case t == reflect.TypeFor[Rlimits]():
		s["type"] = "object"
		s["propertyNames"] = map[string]any{"anyOf": []any{map[string]any{"enum": shortRlimits()}, map[string]any{"pattern": "^([Rr][Ll][Ii][Mm][Ii][Tt]_)?[A-Za-z]+$"}}}
		s["additionalProperties"] = map[string]any{"type": "integer", "minimum": 0}
		return s
	case t.Kind() == reflect.Slice:
		s["type"] = "array"
		s["items"] = schemaOf(t.Elem(), tag, false)
		if tag.Get("is") == "finding" {
			s["minItems"] = 1
		}
		return s
	case t.Kind() == reflect.Struct:
		return object(t, tightening)
	case tag.Get("is") != "":
		s = formatSchema(tag.Get("is"))
	case t.Kind() == reflect.Bool:
		s["type"] = "boolean"
	case t.Kind() == reflect.Uint32:
		s["type"], s["minimum"], s["maximum"] = "integer", 0, uint32(maxID)
	default:
		s["type"] = "string"
		if e, ok := zero.Interface().(enum); ok {
			s = map[string]any{"enum": e.values()}
		}
	}
	if d := tag.Get("default"); d != "" {
		s["default"] = d
	}
	return s
}

// formatSchema is what formatOf says in JSON Schema's words.
func formatSchema(is string) map[string]any {
	text := func(pattern string) map[string]any { return map[string]any{"type": "string", "pattern": pattern} }
	either := func(a, b map[string]any) map[string]any { return map[string]any{"anyOf": []any{a, b}} }
	switch is {
	case "apiVersion":
		return map[string]any{"const": APIVersion}
	case "preset":
		return map[string]any{"enum": presetNames()}
	case "name":
		return map[string]any{"type": "string", "pattern": "\\S", "maxLength": maxName}
	case "text":
		return text("\\S")
	case "date":
		return text("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
	case "finding":
		return text("^(" + strings.Join(Names(), "|") + ")(:.+)?$")
	case "size":
		return either(map[string]any{"type": "integer", "minimum": 1}, text("^[1-9][0-9]*(k|M|G|T|Ki|Mi|Gi|Ti)?$"))
	case "mode":
		return either(map[string]any{"type": "integer", "minimum": 0, "maximum": 1777}, text("^(0o)?0*[01]?[0-7]{1,3}$"))
	case "assignedID":
		return map[string]any{"type": "integer", "minimum": 1, "maximum": uint32(maxID), "not": map[string]any{"const": 65534}}
	case "capability":
		return either(map[string]any{"enum": shortNames()}, text("^([Cc][Aa][Pp]_)?[A-Za-z_]+$"))
	case "log":
		return text("^(/.+)?$")
	case "field":
		return text("^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$")
	case "pids":
		return either(map[string]any{"type": "integer", "minimum": 1, "maximum": maxPids}, text("^([1-9][0-9]*|none)$"))
	case "memory":
		return either(map[string]any{"type": "integer", "minimum": 1}, text("^([1-9][0-9]*(k|M|G|T|Ki|Mi|Gi|Ti)?|none)$"))
	case "cpus":
		return either(map[string]any{"type": "number", "minimum": 0.01}, text("^([0-9]+([.][0-9]{1,3}|m)?|none)$"))
	case "oomScoreAdj":
		return map[string]any{"type": "integer", "minimum": -1000, "maximum": 1000}
	case "annotation":
		return text("^[^=*]+$")
	case "sysctl":
		return text("^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)+$")
	case "variable":
		return text("^[^=*]+$")
	case "tmpfsPath", "file":
		return text("^/.+")
	case "seccompProfile":
		return text("^(file:/[^+]+|[A-Za-z0-9][A-Za-z0-9._-]*)([+](file:/[^+]+|[A-Za-z0-9][A-Za-z0-9._-]*))*$")
	case "confinedPath":
		return text(`^/[^*?\[\]{}()^"'\\@,#<>]*$`)
	case "profile":
		return text("^(file:/.+|[A-Za-z0-9][A-Za-z0-9._-]*)$")
	}
	return nil
}

func matchSchema(known []string, pattern string) map[string]any {
	one := map[string]any{"type": "string", "minLength": 1}
	patterns := map[string]any{"anyOf": []any{one, map[string]any{"type": "array", "minItems": 1, "items": one}}}
	properties := map[string]any{}
	for _, key := range known {
		properties[key] = patterns
	}
	s := map[string]any{
		"type": "object", "additionalProperties": false, "minProperties": 1, "properties": properties,
		"description": "all keys must hold; a list means any of; * matches any run of characters",
	}
	if pattern != "" {
		s["patternProperties"] = map[string]any{pattern: patterns}
	}
	return s
}
