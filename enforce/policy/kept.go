package policy

import (
	"encoding/binary"
	"errors"
	"maps"
	"reflect"
	"slices"

	"runclamp/enforce/strictjson"
)

// A large file is nearly all rules, and at most one of them holds for a workload. So a file has another form, in which rules are told
// apart without being decoded: the file without them; an index, which has of each rule the match and how long its text is; and the texts,
// of which one is read. Numbers are varints, and the length of whatever has one stands in front of it.

var errCut = errors.New("the kept form of the policy was cut")

// kept are rules in that form.
type kept struct {
	index, texts []byte
}

// Keep is the file, as Parse gives it, in the form that ReadKept reads.
func (f *File) Keep() ([]byte, error) {
	rest := *f
	rest.Rules = nil
	head, err := strictjson.Encode(rest)
	if err != nil {
		return nil, err
	}
	var k kept
	for _, r := range f.Rules {
		k.index = binary.AppendUvarint(k.index, uint64(len(r.Match)))
		for _, key := range slices.Sorted(maps.Keys(r.Match)) {
			k.index = binary.AppendUvarint(appendText(k.index, key), uint64(len(r.Match[key])))
			for _, pattern := range r.Match[key] {
				k.index = appendText(k.index, pattern)
			}
		}
		r.Match = nil // it stands in the index
		text, err := strictjson.Encode(r)
		if err != nil {
			return nil, err
		}
		k.index = binary.AppendUvarint(k.index, uint64(len(text)))
		k.texts = append(k.texts, text...)
	}
	return append(appendText(appendText(nil, head), k.index), k.texts...), nil
}

func appendText[T ~string | ~[]byte](to []byte, text T) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// ReadKept reads what Keep wrote. That it is as it was is for the caller to see to; one that was cut is an error, here or in For, never a
// file of fewer rules. The file is good for For and for no more, since it has no Rules. The text must not be changed afterwards.
func ReadKept(text []byte) (*File, error) {
	r := keptReader{rest: text}
	head, index := r.text(), r.text()
	if r.failed {
		return nil, errCut
	}
	f := &File{kept: kept{index, r.rest}}
	return f, strictjson.DecodeKnown(head, reflect.ValueOf(f).Elem())
}

// first is the first rule that holds for a workload, without its match; nil if there is none.
func (k kept) first(w Workload) (*Rule, error) {
	index, texts := keptReader{rest: k.index}, keptReader{rest: k.texts}
	for len(index.rest) > 0 {
		holds := index.holds(w)
		text := texts.take(index.number())
		if index.failed || texts.failed {
			return nil, errCut
		}
		if holds {
			r := &Rule{}
			return r, strictjson.DecodeKnown(text, reflect.ValueOf(r).Elem())
		}
	}
	return nil, nil
}

// keptReader reads numbers and texts, until something is missing.
type keptReader struct {
	rest   []byte
	failed bool
}

func (r *keptReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.rest, r.failed = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *keptReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest, r.failed = nil, true
		return nil
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}

func (r *keptReader) text() []byte { return r.take(r.number()) }

// holds reads a match to its end, and is what Match.holds is of it. A Match, made anew for each rule, would take longer than all else.
func (r *keptReader) holds(w Workload) bool {
	keys := r.number()
	all := keys > 0
	for ; keys > 0 && !r.failed; keys-- {
		key := r.text()
		value, one := w.value(string(key)), false
		for patterns := r.number(); patterns > 0 && !r.failed; patterns-- {
			pattern := r.text()
			one = one || matches(string(key), string(pattern), value)
		}
		all = all && one
	}
	return all
}
