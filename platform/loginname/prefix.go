package loginname

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// nobody is what no name begins with.
const nobody = "\x7f"

// UsernamePrefix gives what the canonical usernames begin with that begin as
// typed: the mappings of Username without its rules, since the beginning of a
// name need not be a name. It is empty for nothing typed only; what nobody's
// name can begin with finds nobody.
func UsernamePrefix(typed string) string {
	return prefix(typed, func(text string) string { return lower(width.Fold.String(text)) })
}

// EmailPrefix gives what the canonical email addresses begin with that begin as
// typed, like UsernamePrefix. A label of the domain that is not ASCII has to be
// whole to be found.
func EmailPrefix(typed string) string {
	return prefix(typed, func(text string) string {
		local, domain, hasDomain := cutLast(lower(text), '@')
		if !hasDomain {
			return local
		}
		labels := strings.Split(domain, ".")
		for i, label := range labels {
			ascii, err := idna.Lookup.ToASCII(label)
			if err == nil && strings.IndexFunc(label, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
				labels[i] = ascii
			}
		}
		return local + "@" + strings.Join(labels, ".")
	})
}

func prefix(typed string, mapping func(string) string) string {
	typed = strings.Trim(typed, " ")
	if len(typed) > maxTyped || !utf8.ValidString(typed) || strings.ContainsRune(typed, 0) {
		return nobody
	}
	mapped, ok := settle(typed, func(text string) (string, bool) { return mapping(text), true })
	if !ok {
		return nobody
	}
	return mapped
}

func lower(text string) string {
	return norm.NFC.String(cases.Lower(language.Und, cases.HandleFinalSigma(false)).String(norm.NFC.String(text)))
}
