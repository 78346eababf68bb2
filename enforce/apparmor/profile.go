// Package apparmor has the AppArmor profiles that runclamp ships, and brings profiles into the kernel.
//
// What a profile says is worked out without I/O (profile.go, name.go). Reading, compiling and loading is done by Host, whose files are
// passed in. apparmor(7), apparmor.d(5), apparmor_parser(8).
package apparmor

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"runclamp/configs"
	"runclamp/enforce/policy"
)

// DefaultName and AllowName are what policies call the profiles that are shipped.
const (
	DefaultName = "runclamp-default"
	AllowName   = "runclamp-allow"
)

// Profile is one profile.
type Profile struct {
	// Name is what the kernel calls it.
	Name string
	// Text is what apparmor_parser reads.
	Text string
}

// Default is the profile of containers that name none.
func Default() (Profile, error) { return shipped(DefaultName, "") }

// Allow is the profile of a service that may do what is listed. The order of the lists does not matter.
func Allow(a policy.AppArmorAllow) (Profile, error) {
	rules, err := rulesOf(a)
	if err != nil {
		return Profile{}, fmt.Errorf("%s: %w", AllowName, err)
	}
	return shipped(AllowName, rules)
}

// shipped fills a template. Its name ends in the digest of its text: a profile that says something else is another one, and a
// container goes on under the one that it was started with.
func shipped(name, rules string) (Profile, error) {
	text, err := configs.AppArmor(name)
	if err != nil {
		return Profile{}, err
	}
	common, err := configs.AppArmor("common")
	if err != nil {
		return Profile{}, err
	}
	text = strings.NewReplacer("@@COMMON@@\n", common, "@@RULES@@\n", rules).Replace(text)
	sum := sha256.Sum256([]byte(text))
	name += "-" + hex.EncodeToString(sum[:])[:digits]
	return Profile{Name: name, Text: strings.ReplaceAll(text, "@@NAME@@", name)}, nil
}

// digits are how many of the digest stand in a name.
const digits = 12

// Ours: the name is one that Default or Allow gives, of this release or another.
func Ours(name string) bool {
	for _, base := range []string{DefaultName, AllowName} {
		sum, ok := strings.CutPrefix(name, base+"-")
		if ok && len(sum) == digits && strings.Trim(sum, "0123456789abcdef") == "" {
			return true
		}
	}
	return false
}

func rulesOf(a policy.AppArmorAllow) (string, error) {
	var b strings.Builder
	for _, list := range []struct {
		what, file, folder string
		paths              []string
	}{
		{"read", "rk", "r", a.Read},
		{"write", "rwkl", "rw", a.Write},
		{"execute", "mrix", "r", a.Execute},
	} {
		for _, p := range sorted(list.paths) {
			if why := unquotable(p); why != "" {
				return "", fmt.Errorf("%s: %q %s", list.what, p, why)
			}
			below := strings.TrimSuffix(p, "/") + "/"
			if p != "/" {
				fmt.Fprintf(&b, "  \"%s\" %s,\n", p, list.file)
			}
			fmt.Fprintf(&b, "  \"%s\" %s,\n  \"%s**\" %s,\n", below, list.folder, below, list.file)
		}
	}
	for _, family := range sorted(a.Network) {
		if known := policy.NetworkFamilies(); !slices.Contains(known, string(family)) {
			return "", fmt.Errorf("network: %q is none of %s", family, strings.Join(known, ", "))
		}
		fmt.Fprintf(&b, "  network %s,\n", family)
	}
	return b.String(), nil
}

func sorted[T cmp.Ordered](list []T) []T { return slices.Compact(slices.Sorted(slices.Values(list))) }

// unquotable is why a path can't stand between quotation marks and mean itself alone, or empty. In AppArmor's quotation marks globs and
// variables are read all the same (apparmor.d(5), "Globbing"), and escaping them differs between versions of the parser.
func unquotable(path string) string {
	switch {
	case path == "" || path[0] != '/':
		return "is not absolute"
	case strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./") || strings.Contains(path, "//") || path != "/" && strings.HasSuffix(path, "/"):
		return `has "..", ".", "//" or a slash at its end`
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl):
		return "has control characters, or bytes that are no characters"
	case strings.ContainsAny(path, `*?[]{}()^"'\@,#<>`):
		return `has one of * ? [ ] { } ( ) ^ " ' \ @ , # < >: there are no patterns, and a folder stands for all below it`
	}
	return ""
}
