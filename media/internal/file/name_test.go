package file_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/muster-id/muster/media/internal/file"
)

func TestNamesThatPeopleGiveAreTaken(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"notes.txt":                   "notes.txt",
		"  a b .txt ":                 "a b .txt",
		"Отчёт за май.pdf":            "Отчёт за май.pdf",
		"日本語の書類.docx":                 "日本語の書類.docx",
		"مستند.pdf":                   "مستند.pdf",
		"re\u0301sume\u0301.pdf":      "r\u00e9sum\u00e9.pdf", // NFC
		".gitignore":                  ".gitignore",
		"Report… final (2) [x] 😀.pdf": "Report… final (2) [x] 😀.pdf",
		`what "he" said: 5 < 6?.md`:   `what "he" said: 5 < 6?.md`,
		strings.Repeat("n", 255):      strings.Repeat("n", 255),
	} {
		if got, err := file.ParseName(typed); err != nil || got != want {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
}

func TestNamesThatHideSomethingAreRefused(t *testing.T) {
	t.Parallel()
	for why, typed := range map[string]string{
		"empty":                     "",
		"spaces alone":              "   ",
		"dots alone":                "..",
		"a dot and a space":         ". .",
		"a folder":                  "../../etc/passwd",
		"a folder of Windows":       `C:\boot.ini`,
		"a line break":              "a\nb.txt",
		"a control character":       "a\x00b.txt",
		"a deleted character":       "a\x7fb.txt",
		"another control character": "a\u0085b.txt",
		"a line separator":          "a\u2028b.txt",
		"an override of direction":  "invoice\u202efdp.exe",
		"an isolate":                "invoice\u2066fdp.exe",
		"a mark of direction":       "a\u200fb.txt",
		"a zero width space":        "a\u200bb.txt",
		"a zero width joiner":       "a\u200db.txt",
		"a byte order mark":         "\ufeffa.txt",
		"a soft hyphen":             "a\u00adb.txt",
		"a filler":                  "a\u3164.txt",
		"an empty Braille pattern":  "a\u2800.txt",
		"a space of no width to go": "a\u00a0b.txt",
		"a wide space":              "a\u3000b.txt",
		"a variation selector":      "a\ufe0f.txt",
		"a tag character":           "a\U000e0041.txt",
		"a private character":       "a\ue000.txt",
		"a slash's double":          "..\u2215etc",
		"a wide slash":              "a\uff0fb",
		"a fraction slash":          "a\u2044b",
		"a wide backslash":          "a\uff3cb",
		"a dot's double":            "picture\u2024png.exe",
		"a wide dot":                "picture\uff0epng",
		"bytes that are no text":    "a\xffb.txt",
		"a character too many":      strings.Repeat("n", 256),
		"many bytes":                strings.Repeat("日", 86),
	} {
		got, err := file.ParseName(typed)
		if invalid := (*file.InvalidError)(nil); !errors.As(err, &invalid) {
			t.Errorf("%s: %q was taken, %v", why, got, err)
		} else if len(typed) > 3 && strings.Contains(err.Error(), typed) {
			t.Errorf("%s: the refusal repeats the name", why)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"notes.txt", "  a b ", "invoice\u202efdp.exe", "re\u0301sume\u0301", "a\xff", "..", "／"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		name, err := file.ParseName(typed)
		if err != nil {
			return
		}
		if name == "" || len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, `/\`) || name == "." || name == ".." {
			t.Errorf("%q became %q", typed, name)
		}
		for _, r := range name {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("%q holds %U", name, r)
			}
		}
		if again, err := file.ParseName(name); err != nil || again != name {
			t.Errorf("%q is no resting place: %q, %v", name, again, err)
		}
	})
}
