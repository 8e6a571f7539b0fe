package loginname

import (
	"errors"
	"strings"
	"testing"
)

func TestUsernamesThatLookTheSameHaveOneForm(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"alice":                 "alice",
		"ALICE":                 "alice",
		" alice ":               "alice", // a phone's keyboard adds them
		"Ａｌｉｃｅ":                 "alice", // full width
		"Zoe\u0301":             "zo\u00e9",
		"max.mustermann-1_2":    "max.mustermann-1_2",
		"_max_":                 "_max_",
		"Ольга":                 "ольга",
		"ольга.1980":            "ольга.1980",
		"Μαρία_2":               "μαρία_2",
		"佐藤さくら":                 "佐藤さくら",   // Han and Hiragana
		"satoサトー":               "satoサトー", // Latin and Katakana
		"김min":                  "김min",    // Hangul and Latin
		"ㄅ李li":                  "ㄅ李li",    // Bopomofo, Han and Latin
		"李小龍":                   "李小龍",
		"हिन्दी":                "हिन्दी",
		"42":                    "42",
		strings.Repeat("é", 64): strings.Repeat("é", 64),
	} {
		got, err := Username(typed)
		if err != nil || got != want {
			t.Errorf("Username(%+q) = %+q, %v; want %+q", typed, got, err, want)
		}
	}
}

func TestUsernamesThatHideOrConfuseAreRefused(t *testing.T) {
	t.Parallel()
	for name, typed := range map[string]string{
		"empty":                     "",
		"one character":             "a",
		"65 characters":             strings.Repeat("a", 65),
		"space inside":              "al ice",
		"no-break space":            "al\u00a0ice",
		"at sign":                   "alice@example.org",
		"full width at sign":        "alice\uff20example",
		"slash":                     "../alice",
		"dots only":                 "..",
		"hyphens only":              "--",
		"control":                   "ali\x00ce",
		"line break":                "alice\n",
		"zero width space":          "ali\u200bce",
		"zero width joiner":         "ali\u200dce",
		"joiner after virama":       "\u0915\u094d\u200d\u0937",
		"soft hyphen":               "ali\u00adce",
		"right-to-left override":    "ali\u202ece",
		"Hangul filler":             "ali\u3164ce",
		"variation selector":        "ali\ufe0fce",
		"combining grapheme joiner": "ali\u034fce",
		"emoji":                     "alice😀",
		"leading mark":              "\u0301alice",
		"mark after a dot only":     ".\u0301a",
		"mixed directions":          "alice\u05d0\u05d1",
		"not UTF-8":                 "ali\xffce",
		"private use":               "ali\ue000ce",
		"Cyrillic a in Latin":       "\u0430dmin",
		"Greek omicron in Latin":    "r\u03bf\u03bft",
		"Latin a in Cyrillic":       "ольг\u0061",
		"Greek and Cyrillic":        "αлиса",
		"Armenian in Latin":         "\u0578ora",
		"Cherokee in Latin":         "\u13aalice",
		"Latin, Hangul and kana":    "aひ김",
		"Devanagari digit in Latin": "alice\u0967",
	} {
		got, err := Username(typed)
		refused(t, name, typed, got, err)
	}
}

func TestEmailAddressesOfOneMailboxHaveOneForm(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"alice@example.org":                      "alice@example.org",
		"Alice@Example.ORG":                      "alice@example.org",
		" alice@example.org ":                    "alice@example.org",
		"alice+muster@example.org":               "alice+muster@example.org",
		"o'brien@example.org":                    "o'brien@example.org",
		"admin@localhost":                        "admin@localhost",
		"zoe\u0301@example.org":                  "zo\u00e9@example.org",
		"ZO\u00c9@example.org":                   "zo\u00e9@example.org",
		"post@M\u00dcLLER.example":               "post@xn--mller-kva.example",
		"post@mu\u0308ller.example":              "post@xn--mller-kva.example",
		"post@xn--mller-kva.example":             "post@xn--mller-kva.example",
		"post@例え。jp":                             "post@xn--r8jz45g.jp", // the ideographic full stop
		"post@ｅｘａｍｐｌｅ.org":                       "post@example.org",
		"\u0130x@example.org":                    "i\u0307x@example.org", // never the mailbox of ix
		"a@" + strings.Repeat("a.", 60) + "org":  "a@" + strings.Repeat("a.", 60) + "org",
		strings.Repeat("a", 64) + "@example.org": strings.Repeat("a", 64) + "@example.org",
	} {
		got, err := Email(typed)
		if err != nil || got != want {
			t.Errorf("Email(%+q) = %+q, %v; want %+q", typed, got, err, want)
		}
	}
}

func TestEmailAddressesThatNobodyCanHaveAreRefused(t *testing.T) {
	t.Parallel()
	for name, typed := range map[string]string{
		"empty":                     "",
		"no at sign":                "alice.example.org",
		"no local part":             "@example.org",
		"no domain":                 "alice@",
		"two at signs":              "alice@home@example.org",
		"quoted":                    `"alice smith"@example.org`,
		"with a display name":       "Alice <alice@example.org>",
		"comment":                   "alice(home)@example.org",
		"two addresses":             "alice@example.org,bob@example.org",
		"leading dot":               ".alice@example.org",
		"trailing dot":              "alice.@example.org",
		"double dot":                "al..ice@example.org",
		"space":                     "al ice@example.org",
		"control":                   "al\x00ice@example.org",
		"header injection":          "alice@example.org\r\nBcc: bob@example.org",
		"zero width space":          "ali\u200bce@example.org",
		"right-to-left override":    "ali\u202ece@example.org",
		"no-break space":            "ali\u00a0ce@example.org",
		"Hangul filler":             "ali\u3164ce@example.org",
		"emoji":                     "😀@example.org",
		"not UTF-8":                 "ali\xffce@example.org",
		"not UTF-8 in the domain":   "alice@ex\xffample.org",
		"single label":              "alice@example",
		"address in brackets":       "alice@[127.0.0.1]",
		"bare address":              "alice@127.0.0.1",
		"domain ends in a dot":      "alice@example.org.",
		"domain begins with a dot":  "alice@.example.org",
		"domain begins with hyphen": "alice@-example.org",
		"domain with underscore":    "alice@ex_ample.org",
		"domain with a port":        "alice@example.org:25",
		"label of 64":               "alice@" + strings.Repeat("a", 64) + ".org",
		"local part of 65":          strings.Repeat("a", 65) + "@example.org",
		"longer than 254":           strings.Repeat("a", 60) + "@" + strings.Repeat("abcdefgh.", 22) + "org",
		"false punycode":            "alice@xn--a.org",
		"zero width in the domain":  "alice@exa\u200dmple.org",
	} {
		got, err := Email(typed)
		refused(t, name, typed, got, err)
	}
}

func TestPersonNamesKeepWhatPeopleAreCalled(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"":                       "",
		"   ":                    "",
		" Ada ":                  "Ada",
		"Mary  Ann":              "Mary Ann",
		"O'Brien-Smith, Jr.":     "O'Brien-Smith, Jr.",
		"O\u2019Brien":           "O\u2019Brien",
		"Zoe\u0301":              "Zo\u00e9",
		"李小龍":                    "李小龍",
		"नरेन्द्र":               "नरेन्द्र",
		"محمد":                   "محمد",
		"X Æ A-12":               "X Æ A-12",
		strings.Repeat("é", 100): strings.Repeat("é", 100),
	} {
		got, err := PersonName(typed)
		if err != nil || got != want {
			t.Errorf("PersonName(%+q) = %+q, %v; want %+q", typed, got, err, want)
		}
	}
}

func TestPersonNamesThatHideSomethingAreRefused(t *testing.T) {
	t.Parallel()
	for name, typed := range map[string]string{
		"control":                 "Ada\x07",
		"tab":                     "Ada\tLovelace",
		"line break":              "Ada\nLovelace",
		"line separator":          "Ada\u2028Lovelace",
		"paragraph separator":     "Ada\u2029Lovelace",
		"no-break space":          "Ada\u00a0Lovelace",
		"thin space":              "Ada\u2009Lovelace",
		"ideographic space":       "Ada\u3000Lovelace",
		"empty Braille pattern":   "Ada\u2800Lovelace",
		"Hangul filler":           "\u3164",
		"zero width space":        "Ada\u200b",
		"zero width joiner":       "Ada\u200d",
		"byte order mark":         "\ufeffAda",
		"right-to-left override":  "Ada\u202e",
		"isolate":                 "\u2066Ada\u2069",
		"variation selector":      "Ada\ufe0f",
		"tag character":           "Ada\U000e0041",
		"private use":             "Ada\ue000",
		"unassigned":              "Ada\u0378",
		"thirty-one marks on end": "A" + strings.Repeat("\u0301", 31),
		"101 characters":          strings.Repeat("é", 101),
		"not UTF-8":               "Ada\xff",
	} {
		got, err := PersonName(typed)
		refused(t, name, typed, got, err)
	}
}

func TestParseTellsWhatWasTyped(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]struct {
		kind      Kind
		canonical string
		ok        bool
	}{
		"Alice":             {KindUsername, "alice", true},
		"Alice@Example.org": {KindEmail, "alice@example.org", true},
		"alice@":            {KindEmail, "", false},
		"al ice":            {KindUsername, "", false},
		"":                  {KindUsername, "", false},
	} {
		kind, canonical, ok := Parse(typed)
		if kind != want.kind || canonical != want.canonical || ok != want.ok {
			t.Errorf("Parse(%q) = %v, %q, %v; want %+v", typed, kind, canonical, ok, want)
		}
	}
}

func refused(t *testing.T, name, typed, got string, err error) {
	t.Helper()
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("%s: accepted as %+q", name, got)
		return
	}
	if got != "" {
		t.Errorf("%s: refused with a name: %+q", name, got)
	}
	if len(typed) > 2 && strings.Contains(invalid.Problem, typed) {
		t.Errorf("%s: the problem repeats the name", name)
	}
}

func FuzzCanonicalNamesStayAsTheyAre(f *testing.F) {
	for _, seed := range []string{
		"Alice", "Zoe\u0301", "Ａｌｉｃｅ", "Ольга", "हिन्दी", "ς.Σ", "\u0130x", "Straße", "ﬁ",
		"Alice@Example.ORG", "post@M\u00dcLLER.example", "post@faß.de", "\u0130@xn--mller-kva.example", "a@b.c",
		"Mary  Ann", "\u0430dmin", "satoサトー", " a\u0301 ", "\u1100\u1161\u11a8", "\u0344", "\u212bngstr\u00f6m",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		for name, canonical := range map[string]func(string) (string, error){"Username": Username, "Email": Email, "PersonName": PersonName} {
			once, err := canonical(typed)
			if err != nil {
				continue
			}
			twice, err := canonical(once)
			if err != nil || twice != once {
				t.Errorf("%s(%+q) = %+q, but again it is %+q, %v", name, typed, once, twice, err)
			}
		}
		if kind, canonical, ok := Parse(typed); ok {
			again, same, ok := Parse(canonical)
			if !ok || again != kind || same != canonical {
				t.Errorf("Parse(%+q) = %+q, but again it is %+q", typed, canonical, same)
			}
		}
	})
}
