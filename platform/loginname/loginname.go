package loginname

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// InvalidError says what is wrong with a name, without repeating the name.
type InvalidError struct {
	// Problem is a sentence for the person who typed it.
	Problem string
}

// Error gives the sentence.
func (e *InvalidError) Error() string { return e.Problem }

// Kind tells a username from an email address.
type Kind int

const (
	// KindUsername is a username.
	KindUsername Kind = iota + 1
	// KindEmail is an email address.
	KindEmail
)

// Bounds of names.
const (
	minUsername   = 2   // characters
	maxUsername   = 64  // characters
	maxEmail      = 254 // bytes, RFC 5321 4.5.3.1.3 without the angle brackets
	maxLocalPart  = 64  // bytes, RFC 5321 4.5.3.1.1
	maxDomain     = 253 // bytes
	maxLabel      = 63  // bytes
	maxPersonName = 100 // characters
	// maxTyped, in bytes, bounds the work on what is typed: Punycode takes the
	// square of a label's length.
	maxTyped = 1024
	// settleRounds bounds how often rules are applied until nothing changes any
	// more (RFC 8264 section 7).
	settleRounds = 4
)

// Parse tells what was typed into a login field. ok is false when it can be
// nobody's name: whoever asks then has to take as long as for a wrong password.
func Parse(login string) (kind Kind, canonical string, ok bool) {
	if strings.Contains(login, "@") {
		email, err := Email(login)
		return KindEmail, email, err == nil
	}
	username, err := Username(login)
	return KindUsername, username, err == nil
}

// Username gives the canonical form of a username: PRECIS UsernameCaseMapped
// (RFC 8265), 2 to 64 letters, digits or `._-` of any script, at least one of
// them a letter or a digit. It has no `@`, so that it is never an email address.
// Its letters are of one script, so that none stands in for its double in another.
func Username(typed string) (string, error) {
	if len(typed) > maxTyped {
		return "", &InvalidError{Problem: "A username has at most 64 characters"}
	}
	name, ok := settle(strings.Trim(typed, " "), func(name string) (string, bool) {
		mapped, err := precis.UsernameCaseMapped.String(name)
		return mapped, err == nil
	})
	if !ok || !usernameCharacters(name) {
		return "", &InvalidError{Problem: "A username has letters, digits, dots, hyphens and underscores only, and no spaces"}
	}
	if !oneScript(name) {
		return "", &InvalidError{Problem: "A username has letters of one alphabet only, for example no Latin ones together with Cyrillic ones"}
	}
	switch length := utf8.RuneCountInString(name); {
	case length < minUsername:
		return "", &InvalidError{Problem: "A username has at least 2 characters"}
	case length > maxUsername:
		return "", &InvalidError{Problem: "A username has at most 64 characters"}
	}
	return name, nil
}

func usernameCharacters(name string) bool {
	named := false
	for _, r := range name {
		switch {
		case r == '.' || r == '-' || r == '_':
		case invisible(r):
			return false
		case unicode.IsLetter(r) || unicode.Is(unicode.Nd, r):
			named = true
		case unicode.IsMark(r) && named: // vowel signs and accents, after their letter
		default:
			return false
		}
	}
	return named
}

// oneScript tells whether all letters are of one script, or of those that
// Japanese, Chinese and Korean write together (UTS 39 section 5.2, highly
// restrictive). A name wholly of another script that looks Latin all the same
// passes.
func oneScript(name string) bool {
	for _, scripts := range [][]*unicode.RangeTable{
		{unicode.Latin, unicode.Han, unicode.Hiragana, unicode.Katakana},
		{unicode.Latin, unicode.Han, unicode.Bopomofo},
		{unicode.Latin, unicode.Han, unicode.Hangul},
	} {
		if within(name, scripts...) {
			return true
		}
	}
	for _, script := range unicode.Scripts {
		if within(name, script) {
			return true
		}
	}
	return false
}

func within(name string, scripts ...*unicode.RangeTable) bool {
	for _, r := range name {
		if !unicode.In(r, scripts...) && !unicode.In(r, unicode.Common, unicode.Inherited) {
			return false
		}
	}
	return true
}

// Email gives the canonical form of an email address: lower case and NFC
// throughout, the domain as DNS and SMTP take it (IDNA A-labels, RFC 5891), so
// that no look of a letter can hide in it. Quoted local parts, comments,
// addresses in brackets and domains of one label are refused; `localhost` is
// accepted, for the first admin and for development.
func Email(typed string) (string, error) {
	if len(typed) > maxTyped {
		return "", &InvalidError{Problem: "An email address has at most 254 characters"}
	}
	local, domain, found := cutLast(strings.Trim(typed, " "), '@')
	if !found {
		return "", &InvalidError{Problem: "An email address has the form name@example.org"}
	}
	local, ok := settle(local, func(part string) (string, bool) { return lower(part), true })
	if !ok || !localPart(local) {
		return "", &InvalidError{Problem: "The part of the email address before the @ is not valid"}
	}
	domain, ok = settle(domain, func(name string) (string, bool) {
		ascii, err := idna.Lookup.ToASCII(name)
		return ascii, err == nil
	})
	if !ok || !mailDomain(domain) {
		return "", &InvalidError{Problem: "The part of the email address after the @ is not a domain"}
	}
	email := local + "@" + domain
	if len(email) > maxEmail {
		return "", &InvalidError{Problem: "An email address has at most 254 characters"}
	}
	return email, nil
}

// localPart: dot-separated atoms (RFC 5321 dot-string), with letters, marks and
// digits of any script (RFC 6531).
func localPart(local string) bool {
	if len(local) > maxLocalPart || !utf8.ValidString(local) {
		return false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" {
			return false
		}
		for i, r := range atom {
			switch {
			case 'a' <= r && r <= 'z', '0' <= r && r <= '9', strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r):
			case r < utf8.RuneSelf || invisible(r):
				return false
			case unicode.IsLetter(r) || unicode.Is(unicode.Nd, r):
			case unicode.IsMark(r) && i > 0:
			default:
				return false
			}
		}
	}
	return true
}

func mailDomain(domain string) bool {
	if domain == "localhost" {
		return true
	}
	labels := strings.Split(domain, ".")
	if len(domain) > maxDomain || len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabel {
			return false
		}
	}
	// A last label of digits is an IP address (RFC 3696 section 2).
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// PersonName gives a first or last name as it is kept: NFC, without spaces at
// its ends or doubled, at most 100 characters. Control and format characters,
// line breaks, spaces other than U+0020 and characters that show nothing are
// refused, since a name that hides something can pass for another. It may be
// empty.
func PersonName(typed string) (string, error) {
	if len(typed) > maxTyped {
		return "", &InvalidError{Problem: "A name has at most 100 characters"}
	}
	if !utf8.ValidString(typed) {
		return "", &InvalidError{Problem: "A name has to be valid text"}
	}
	name := norm.NFC.String(strings.Trim(typed, " "))
	for _, r := range name {
		if r != ' ' && (unicode.Is(unicode.Zs, r) || !unicode.IsGraphic(r) || invisible(r)) {
			return "", &InvalidError{Problem: "A name has no control characters, invisible characters or unusual spaces"}
		}
	}
	for strings.Contains(name, "  ") {
		name = strings.ReplaceAll(name, "  ", " ")
	}
	if utf8.RuneCountInString(name) > maxPersonName {
		return "", &InvalidError{Problem: "A name has at most 100 characters"}
	}
	return name, nil
}

// invisible tells characters that count as letters, marks or symbols but show
// nothing: fillers, joiners, variation selectors, the empty Braille pattern.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800'
}

// settle applies a rule until it changes nothing any more. What does not come
// to rest has no canonical form.
func settle(text string, rule func(string) (string, bool)) (string, bool) {
	for range settleRounds {
		next, ok := rule(text)
		if !ok {
			return "", false
		}
		if next == text {
			return text, true
		}
		text = next
	}
	return "", false
}

// cutLast cuts at the last separator, so that an address with two fails on its
// local part.
func cutLast(text string, separator byte) (before, after string, found bool) {
	i := strings.LastIndexByte(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}
