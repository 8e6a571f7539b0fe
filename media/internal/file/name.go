package file

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// InvalidError says what is wrong with what was declared, without repeating it.
type InvalidError struct {
	// Problem is a sentence for the person who declared it.
	Problem string
}

// Error gives the sentence.
func (e *InvalidError) Error() string { return e.Problem }

// maxName bounds a name in bytes: what file systems take.
const maxName = 255

// lookalikes pass for a slash, a backslash or a dot: the division slash, the
// fraction slash, the one dot leader, and their small and wide doubles. With one
// of them a name shows a folder or an ending that it does not have.
const lookalikes = "\u2044\u2215\u2216\u29f5\u29f8\u29f9\ufe52\ufe68\uff0e\uff0f\uff3c\u2024"

// ParseName gives a file's name as it is kept: NFC, without spaces at its ends,
// at most 255 bytes. It names no folder and hides nothing: slashes, control and
// format characters (with them all that turns the direction of writing), what
// shows nothing, spaces other than U+0020 and doubles of slash and dot are
// refused. Letters of any script are welcome, also beside one another.
func ParseName(typed string) (string, error) {
	if len(typed) > 4*maxName || !utf8.ValidString(typed) {
		return "", &InvalidError{Problem: "A file name is valid text of at most 255 bytes"}
	}
	name := norm.NFC.String(strings.Trim(typed, " "))
	switch {
	case name == "":
		return "", &InvalidError{Problem: "A file name is not empty"}
	case len(name) > maxName:
		return "", &InvalidError{Problem: "A file name has at most 255 bytes"}
	case strings.Trim(name, ". ") == "":
		return "", &InvalidError{Problem: "A file name has more than dots"}
	case strings.ContainsAny(name, `/\`+lookalikes):
		return "", &InvalidError{Problem: "A file name has no slash or backslash, nor anything that looks like one or like a dot"}
	}
	for _, r := range name {
		if r != ' ' && (unicode.Is(unicode.Zs, r) || !unicode.IsGraphic(r) || invisible(r)) {
			return "", &InvalidError{Problem: "A file name has no control characters, invisible characters or unusual spaces"}
		}
	}
	return name, nil
}

// invisible tells characters that count as letters, marks or symbols but show
// nothing: fillers, joiners, the empty Braille pattern. Variation selectors are
// refused too, and with them the coloured form of some emoji.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800'
}
