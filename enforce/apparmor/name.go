package apparmor

import (
	"errors"
	"fmt"
	"strings"
)

// NameOf is the name of the one profile in a text that somebody else wrote. A text with two could replace any profile of the host's.
//
// It reads no more than where profiles begin, and what it takes for the name is held against apparmor_parser's opinion before
// anything is loaded.
func NameOf(text string) (string, error) {
	var names []string
	depth := 0
	for line := range strings.Lines(text) {
		words := fields(line)
		for i, w := range words {
			switch {
			case w == "{":
				depth++
			case w == "}":
				depth--
			case w == "profile" && depth == 0 && i+1 < len(words):
				names = append(names, strings.Trim(words[i+1], `"`))
			}
		}
	}
	switch {
	case len(names) == 0:
		return "", errors.New(`it has no line "profile NAME {"`)
	case len(names) > 1:
		return "", fmt.Errorf("it has %d profiles (%s): one is wanted, with children inside of it", len(names), strings.Join(names, ", "))
	}
	if why := unspeakable(names[0]); why != "" {
		return "", fmt.Errorf("the profile's name %q %s", names[0], why)
	}
	return names[0], nil
}

// fields are the words of a line. A comment ends it; a brace is a word of its own if white space stands on both of its sides, or if
// it ends the line: others are globs.
func fields(line string) []string {
	var words []string
	for _, w := range strings.Fields(line) {
		if strings.HasPrefix(w, "#") {
			break
		}
		if head, ok := strings.CutSuffix(w, "{"); ok && head != "" && strings.HasSuffix(strings.TrimSpace(line), w) {
			words = append(words, head, "{")
			continue
		}
		words = append(words, w)
	}
	return words
}

// unspeakable is why a name can't be one that a container asks for by process.apparmorProfile, or empty.
func unspeakable(name string) string {
	switch {
	case name == "unconfined":
		return "is what the kernel calls no profile"
	case Ours(name):
		return "is one that runclamp gives to profiles of its own"
	case strings.HasPrefix(name, ":"):
		return "belongs to another policy namespace"
	case strings.Contains(name, "//"):
		return "is a child's, or a stack of several"
	case len(name) > 128:
		return "is longer than 128 bytes"
	case name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+/") != "":
		return "has other characters than letters, digits and . _ - + /"
	}
	return ""
}
