package users

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// keyBytes bounds a sort key: two of them have to fit into an entry of an index,
// and a single character can decompose into eighteen.
const keyBytes = 400

// sortKey is what a person's name is sorted by, byte by byte: without regard of
// case and accents, so that Özil stands beside Ozil and not behind Zuse. It does
// not depend on what the database knows of languages, which may change under an
// index. Names that differ only in what it leaves out are in no order.
func sortKey(name string) string {
	fold := cases.Fold()
	plain := strings.Map(func(r rune) rune {
		if 0x300 <= r && r <= 0x36f { // combining diacritical marks
			return -1
		}
		return r
	}, norm.NFKD.String(fold.String(name)))
	key := fold.String(plain)
	if len(key) <= keyBytes {
		return key
	}
	end := keyBytes
	for !utf8.RuneStart(key[end]) {
		end--
	}
	return key[:end]
}
