package loginname_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/muster-id/muster/platform/loginname"
)

func TestPrefixIsMappedAsTheNameWouldBe(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"":          "",
		"  ":        "",
		"A":         "a",
		" Ada.L ":   "ada.l",
		"ＡＤＡ":       "ada",           // full width
		"E\u0301va": "\u00e9va",      // decomposed
		"a%_":       "a%_",           // no pattern
		"a\x00":     "\x7f",          // finds nobody, and the database never sees it
		"a\xff":     "\x7f",          // not text
		"ΣΑΣ":       "\u03c3\u03b1σ", // no final sigma: more may follow
	} {
		if got := loginname.UsernamePrefix(typed); got != want {
			t.Errorf("username %q: got %q, want %q", typed, got, want)
		}
	}
	for typed, want := range map[string]string{
		"":                "",
		"Ada@":            "ada@",
		"Ada@EX":          "ada@ex",
		"ada@Bücher.ex":   "ada@xn--bcher-kva.ex",
		"ada@bücher":      "ada@xn--bcher-kva",
		"ada@xn--bch":     "ada@xn--bch",
		"ＡDA@Example.org": "ａda@example.org", // an email address keeps its width
		"a\x00":           "\x7f",
	} {
		if got := loginname.EmailPrefix(typed); got != want {
			t.Errorf("email %q: got %q, want %q", typed, got, want)
		}
	}
	long := strings.Repeat("a", 2000)
	if loginname.UsernamePrefix(long) != "\x7f" || loginname.EmailPrefix(long) != "\x7f" {
		t.Error("what is too long for any name finds somebody")
	}
}

// What is kept, cut anywhere, finds what it was cut from.
func FuzzCanonicalNameIsFoundByEachOfItsBeginnings(f *testing.F) {
	for _, typed := range []string{"Ada", "Ádám.Kiss", "Юлия", "김철수", "ada@bücher.example", "A+b@Example.org", "ΣΑΣ@localhost", "हिन्दी"} {
		f.Add(typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		kind, canonical, ok := loginname.Parse(typed)
		if !ok {
			_, _ = loginname.UsernamePrefix(typed), loginname.EmailPrefix(typed) // which may not panic
			return
		}
		rule := loginname.UsernamePrefix
		if kind == loginname.KindEmail {
			rule = loginname.EmailPrefix
		}
		for cut := range canonical {
			if !utf8.RuneStart(canonical[cut]) {
				continue
			}
			if got := rule(canonical[:cut]); got != canonical[:cut] {
				t.Fatalf("%q: its beginning %q becomes %q", canonical, canonical[:cut], got)
			}
		}
		if got := rule(typed); got != canonical {
			t.Fatalf("%q: the whole of it, as typed, becomes %q", canonical, got)
		}
	})
}
