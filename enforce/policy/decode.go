package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"runclamp/enforce/spelling"

	"go.yaml.in/yaml/v3"
)

// decoder fills Go values from YAML nodes, by the tags that Controls explains. It goes on after an error, to find all.
type decoder struct {
	now time.Time
	// trustNames: image and name are facts. The file says so before anything that depends on it is read.
	trustNames bool
	errors     Errors
}

func (d *decoder) fail(n *yaml.Node, format string, args ...any) {
	// The file as a whole has no name: who knows its path has said it.
	message := strings.TrimPrefix(fmt.Sprintf(format, args...), ": ")
	d.errors = append(d.errors, Error{n.Line, n.Column, message})
}

// value fills v from n. name is what v is called in an error.
func (d *decoder) value(name string, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	if !d.plain(name, n) {
		return
	}
	switch to := v.Addr().Interface().(type) {
	case *Overlay:
		d.overlay(n, to, tag.Get("overlay") == "tighten")
		return
	case *Match:
		d.match(n, to, tag)
		return
	case *Rlimits:
		d.rlimits(name, n, to)
		return
	}
	if v.Kind() == reflect.Slice {
		d.list(name, n, v, tag)
		return
	}
	if v.Kind() == reflect.Struct {
		d.structure(name, n, v)
		return
	}
	if n.Kind != yaml.ScalarNode {
		d.fail(n, "%s: wanted %s, found %s", name, wanted(v, tag), found(n))
		return
	}
	parsed, err := scalar(n, v, tag, d.now)
	if err != nil {
		d.fail(n, "%s: %v", name, err)
		return
	}
	v.Set(reflect.ValueOf(parsed).Convert(v.Type()))
}

// plain: the node says what it means where it stands.
func (d *decoder) plain(name string, n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.fail(n, "%s: aliases (*%s) are not allowed; write it out", name, n.Value)
	case n.Anchor != "":
		d.fail(n, "%s: anchors (&%s) are not allowed", name, n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(n, "%s: tags (%s) are not allowed", name, n.Tag)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		d.fail(n, "%s: there is no value; leave the key out, or write [] for an empty list", name)
	default:
		return true
	}
	return false
}

// member is one key of a mapping, and its value.
type member struct {
	name       string
	key, value *yaml.Node
	known      bool
}

// members are the keys of a mapping that are good as keys, each once.
func (d *decoder) members(name string, n *yaml.Node) ([]member, bool) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, "%s: wanted keys with values, found %s", name, found(n))
		return nil, false
	}
	list := make([]member, 0, len(n.Content)/2)
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Tag == "!!merge":
			d.fail(key, "%s: merge keys (<<) are not allowed; write it out", name)
		case key.Kind == yaml.AliasNode, key.Anchor != "", key.Style&yaml.TaggedStyle != 0, key.Kind != yaml.ScalarNode:
			d.fail(key, "%s: a key is a plain word", name)
		case seen[key.Value]:
			d.fail(key, "%s: the key %q stands twice", name, key.Value)
		default:
			seen[key.Value] = true
			list = append(list, member{name: key.Value, key: key, value: n.Content[i+1]})
		}
	}
	return list, true
}

func (d *decoder) structure(name string, n *yaml.Node, v reflect.Value) {
	list, ok := d.members(name, n)
	if !ok {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := field.Tag.Get("json")
		if field.Tag.Get("file") == "-" {
			if key == "line" {
				v.Field(i).SetInt(int64(n.Line))
			}
			continue
		}
		at := slices.IndexFunc(list, func(m member) bool { return m.name == key })
		if at >= 0 {
			list[at].known = true
			d.value(key, list[at].value, v.Field(i), field.Tag)
			if key == "trustNames" {
				d.trustNames = v.Field(i).Bool()
			}
			continue
		}
		if why := field.Tag.Get("required"); why != "" {
			d.fail(n, "%s: %q is missing: %s", name, key, why)
			continue
		}
		if err := setDefault(v.Field(i), field.Tag); err != nil {
			d.fail(n, "%s: %v", key, err)
		}
	}
	for _, m := range list {
		if !m.known {
			d.fail(m.key, "%s: unknown key %s", name, spelling.Unknown(m.name, keys(v.Type())))
		}
	}
}

// keys are what a file may write in the place of a Go struct.
func keys(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("file") != "-" {
			names = append(names, f.Tag.Get("json"))
		}
	}
	return names
}

// defaults fills in what a file does not say.
func defaults(to any) error {
	v := reflect.ValueOf(to).Elem()
	for i := range v.NumField() {
		if err := setDefault(v.Field(i), v.Type().Field(i).Tag); err != nil {
			return err
		}
	}
	return nil
}

func setDefault(v reflect.Value, tag reflect.StructTag) error {
	if text := tag.Get("default"); text != "" {
		parsed, err := scalar(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, v, tag, time.Time{})
		if err != nil {
			return fmt.Errorf("default: %w", err)
		}
		v.Set(reflect.ValueOf(parsed).Convert(v.Type()))
	} else if v.Kind() == reflect.Struct && tag.Get("file") != "-" {
		return defaults(v.Addr().Interface())
	}
	return nil
}

func (d *decoder) list(name string, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, "%s: wanted a list, found %s", name, found(n))
		return
	}
	if len(n.Content) == 0 && tag.Get("required") != "" && tag.Get("is") == "finding" {
		d.fail(n, "%s is empty: %s", name, tag.Get("required"))
	}
	unique := tag.Get("unique")
	seen := map[string]bool{}
	items := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		to := items.Index(i)
		d.value(name, item, to, tag)
		if unique == "" {
			continue
		}
		if key := text(to, unique); key != "" && seen[key] {
			d.fail(item, "%s: the %s %q stands twice", name, unique, key)
		} else {
			seen[key] = true
		}
	}
	v.Set(items)
}

// text is the value of a struct's field of text, by its key.
func text(v reflect.Value, key string) string {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("json") == key {
			return v.Field(i).String()
		}
	}
	return ""
}

// overlay reads controls and keeps, of each, the keys that it names.
func (d *decoder) overlay(n *yaml.Node, o *Overlay, tightening bool) {
	list, ok := d.members("controls", n)
	if !ok {
		return
	}
	*o = make(Overlay, len(list))
	for _, m := range list {
		field, ok := fieldOf(reflect.TypeFor[Controls](), m.name)
		switch {
		case !ok:
			d.fail(m.key, "controls: unknown control %s", spelling.Unknown(m.name, Names()))
		case d.plain(m.name, m.value):
			(*o)[m.name] = d.settings(m, field.Type, tightening)
		}
	}
}

func (d *decoder) settings(control member, t reflect.Type, tightening bool) map[string]json.RawMessage {
	list, ok := d.members(control.name, control.value)
	if !ok {
		return nil
	}
	set := make(map[string]json.RawMessage, len(list))
	for _, m := range list {
		field, ok := fieldOf(t, m.name)
		switch {
		case !ok:
			d.fail(m.key, "%s: unknown key %s", control.name, spelling.Unknown(m.name, keys(t)))
			continue
		case tightening && field.Tag.Get("tighten") == "":
			d.fail(m.key, "%s: %q can't be tightened: none of its values is stricter than another; use a rule", control.name, m.name)
			continue
		}
		before := len(d.errors)
		v := reflect.New(field.Type).Elem()
		d.value(control.name+"."+m.name, m.value, v, field.Tag)
		if len(d.errors) > before {
			continue
		}
		raw, err := json.Marshal(v.Interface())
		if err != nil {
			d.fail(m.value, "%s.%s: %v", control.name, m.name, err)
			continue
		}
		set[m.name] = raw
	}
	return set
}

// rlimits reads limits by name, with or without RLIMIT_, in any case.
func (d *decoder) rlimits(name string, n *yaml.Node, to *Rlimits) {
	list, ok := d.members(name, n)
	if !ok {
		return
	}
	limits := make(Rlimits, len(list))
	for _, m := range list {
		key := rlimitName(m.name)
		if !slices.Contains(rlimitNames(), key) {
			d.fail(m.key, "%s: unknown limit %s", name, spelling.Unknown(shortRlimit(key), shortRlimits()))
			continue
		}
		if _, twice := limits[key]; twice {
			d.fail(m.key, "%s: the limit %q stands twice", name, shortRlimit(key))
			continue
		}
		if !d.plain(name+"."+m.name, m.value) {
			continue
		}
		limit, err := strconv.ParseUint(m.value.Value, 10, 64)
		if m.value.Kind != yaml.ScalarNode || m.value.Tag != "!!int" || err != nil {
			d.fail(m.value, "%s.%s: wanted a number from 0 on, found %s", name, m.name, found(m.value))
			continue
		}
		limits[key] = limit
	}
	*to = limits
}

func (d *decoder) match(n *yaml.Node, to *Match, tag reflect.StructTag) {
	list, ok := d.members("match", n)
	if !ok {
		return
	}
	if len(n.Content) == 0 {
		d.fail(n, "an empty match: %s", tag.Get("required"))
		return
	}
	m := make(Match, len(list))
	var kubernetes []member
	for _, key := range list {
		if !d.matchKey(key, tag.Get("match") == "facts") {
			continue
		}
		m[key.name] = d.patterns(key)
		if slices.Contains([]string{"namespace", "pod", "container"}, key.name) {
			kubernetes = append(kubernetes, key)
		}
	}
	for _, key := range kubernetes {
		for _, e := range engines() {
			if e != string(Kubernetes) && slices.ContainsFunc(m["engine"], func(p string) bool { return matches("engine", p, e) }) {
				d.fail(key.key, "match: %q is known under kubernetes only, and engine matches %s as well; write engine: kubernetes", key.name, e)
				break
			}
		}
	}
	if _, ok := m["namespace"]; !ok && len(kubernetes) > 0 && tag.Get("match") == "facts" && !d.trustNames {
		key := kubernetes[0].key
		d.fail(key, "match: %q alone is chosen by whoever writes the pod, in any namespace; name the namespace as well", key.Value)
	}
	*to = m
}

// facts and input are the keys of a match: what the engine vouches for, and what whoever starts a container chooses.
func facts() []string {
	return []string{"engine", "kind", "namespace", "pod", "container", "imageDigest"}
}
func input() []string { return []string{"image", "name", "label.KEY", "annotation.KEY"} }

func (d *decoder) matchKey(m member, factsOnly bool) bool {
	of, key, dotted := strings.Cut(m.name, ".")
	switch {
	case slices.Contains(facts(), m.name):
		return true
	case dotted && (of == "label" || of == "annotation"):
		if key == "" || strings.Contains(key, "*") {
			d.fail(m.key, "match: %q: write the whole key of the %s; only values have patterns", m.name, of)
			return false
		}
		if factsOnly {
			d.fail(m.key, "match: %q is chosen by whoever starts the container; use engine, kind, namespace, pod, container or imageDigest, or put what only makes it stricter under \"tighten\"", m.name)
		}
		return !factsOnly
	case m.name == "image" || m.name == "name":
		if factsOnly && !d.trustNames {
			instead := map[string]string{"image": "imageDigest", "name": "namespace, pod and container under kubernetes"}[m.name]
			d.fail(m.key, "match: %q is chosen by whoever starts the container; use %s, or trustNames: true on a host whose users may start what they like anyway", m.name, instead)
			return false
		}
		return true
	}
	known := facts()
	if !factsOnly {
		known = append(known, input()...)
	}
	d.fail(m.key, "match: unknown key %s", spelling.Unknown(m.name, known))
	return false
}

// patterns: one text, or a list of which any must match.
func (d *decoder) patterns(m member) []string {
	if !d.plain(m.name, m.value) {
		return nil
	}
	items := []*yaml.Node{m.value}
	if m.value.Kind == yaml.SequenceNode {
		items = m.value.Content
		if len(items) == 0 {
			d.fail(m.value, "%s: an empty list matches nothing", m.name)
		}
	}
	list := make([]string, 0, len(items))
	for _, n := range items {
		if !d.plain(m.name, n) {
			continue
		}
		var known []string
		switch {
		case n.Kind != yaml.ScalarNode || n.Tag != "!!str":
			d.fail(n, "%s: wanted text or a list of texts, found %s", m.name, found(n))
			continue
		case n.Value == "":
			d.fail(n, "%s: an empty text matches nothing", m.name)
			continue
		case m.name == "engine":
			known = engines()
		case m.name == "kind":
			known = kinds()
		}
		if known != nil && !slices.ContainsFunc(known, func(k string) bool { return matches(m.name, n.Value, k) }) {
			d.fail(n, "%s: %s", m.name, spelling.Unknown(n.Value, known))
			continue
		}
		list = append(list, n.Value)
	}
	return list
}

// fieldOf finds the field of a Go struct that a key stands for.
func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("json") == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// Names are the controls that have settings.
func Names() []string { return keys(reflect.TypeFor[Controls]()) }

// found says in words what stands there.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!bool":
		return "the truth value " + n.Value
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!timestamp":
		return "the date " + n.Value
	case "!!null":
		return "nothing"
	}
	return strconv.Quote(n.Value)
}
