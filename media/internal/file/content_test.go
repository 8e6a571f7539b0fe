package file_test

import (
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/muster-id/muster/media/internal/file"
)

const (
	png  = "\x89PNG\x0d\x0a\x1a\x0a and so on"
	jpeg = "\xff\xd8\xff\xe0\x00\x10JFIF"
	gif  = "GIF89a and so on"
	webp = "RIFF\x00\x00\x00\x00WEBPVP8 "
	tiff = "II*\x00 and so on"
	avif = "\x00\x00\x00\x20ftypavif\x00\x00\x00\x00avifmif1miaf"
	mp4  = "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42"
	pdf  = "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
	zip  = "PK\x03\x04 and so on"
	html = "<!DOCTYPE html><html><script>alert(1)</script>"
	svg  = "<?xml version=\"1.0\"?>\n<!-- a <html> --><svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\">"
	text = "just some words, ein paar Wörter"
	odd  = "\x00\x01\x02\x03 nobody knows"
)

func TestContentHasToBeWhatItWasDeclaredAs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		declared, content string
		want              bool
	}{
		{"image/png", png, true},
		{"image/jpeg", jpeg, true},
		{"image/jpg", jpeg, true},
		{"image/gif", gif, true},
		{"image/webp", webp, true},
		{"image/tiff", tiff, true},
		{"image/avif", avif, true},
		{"image/heic", "\x00\x00\x00\x18ftypheic", true},
		{"image/svg+xml", svg, true},
		{"image/svg+xml", "<svg>", true},
		{"image/svg+xml", "\xef\xbb\xbf <!DOCTYPE svg PUBLIC \"x\"><svg/>", true},
		{"image/jxl", odd, true},

		{"image/png", jpeg, false},
		{"image/jpeg", png, false},
		{"image/png", html, false},
		{"image/png", svg, false},
		{"image/gif", html, false},
		{"image/svg+xml", html, false},
		{"image/svg+xml", "<svgx>", false},
		{"image/svg+xml", "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\">", false},
		{"image/svg+xml", "<!-- never ends", false},
		{"image/svg+xml", png, false},
		{"image/tiff", html, false},
		{"image/avif", html, false},
		{"image/avif", "ftypavif", false},
		{"image/jxl", html, false},
		{"image/jxl", svg, false},
		{"image/jxl", text, false},
		{"image/jxl", pdf, false},
		{"image/x-unheard-of", html, false},

		{"application/pdf", pdf, true},
		{"application/pdf", html, false},
		{"application/pdf", "", false},
		{"application/pdf", "GIF89a %PDF-1.7", false},

		{"text/plain", text, true},
		{"text/plain", "\xff\xfeU\x00T\x00F\x00", true},
		{"text/plain", html, true}, // words all the same, and served as plain ones
		{"text/html", html, true},
		{"text/csv", "a;b;c\n1;2;3\n", true},
		{"text/plain", png, false},
		{"text/plain", odd, false},
		{"text/html", pdf, false},

		{"application/zip", zip, true},
		{"video/mp4", mp4, true},
		{"application/octet-stream", odd, true},
		{"application/json", "{}", true},
	} {
		if got := file.Matches(c.declared, []byte(c.content)); got != c.want {
			t.Errorf("%s, %.20q: %t", c.declared, c.content, got)
		}
	}
}

func TestMediaTypesAreInLowerCaseAndBare(t *testing.T) {
	t.Parallel()
	for _, declared := range []string{"application/pdf", "image/svg+xml", "application/vnd.oasis.opendocument.text", "text/x-c", "video/3gpp"} {
		if got, err := file.ParseContentType(declared); err != nil || got != declared {
			t.Errorf("%s: %q, %v", declared, got, err)
		}
	}
	for _, declared := range []string{
		"", "pdf", "application/", "/pdf", "Application/PDF", "text/plain; charset=utf-8", "text/plain\r\nx: y", "text/html,x", "a/b/c", "text/ plain", "*/*", "tëxt/plain",
		"text/" + strings.Repeat("x", 130),
	} {
		if _, err := file.ParseContentType(declared); err == nil {
			t.Errorf("%q was taken", declared)
		}
	}
}

func TestNothingIsServedThatABrowserCouldRun(t *testing.T) {
	t.Parallel()
	for _, declared := range []string{
		"text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml", "application/rss+xml", "text/xsl", "text/javascript",
		"application/javascript", "application/x-javascript", "text/ecmascript", "text/vbscript", "text/typescript", "multipart/related", "message/rfc822",
		"application/x-shockwave-flash", "application/x-mimearchive",
	} {
		if got := file.ServedAs(declared); got != "application/octet-stream" {
			t.Errorf("%s is served as %s", declared, got)
		}
	}
	for _, declared := range []string{"image/png", "application/pdf", "text/plain", "application/zip", "video/mp4", "application/json"} {
		if got := file.ServedAs(declared); got != declared {
			t.Errorf("%s is served as %s", declared, got)
		}
	}
}

func TestADispositionSavesUnderTheNameThatWasGiven(t *testing.T) {
	t.Parallel()
	if got, want := file.Disposition("naïve plan.txt"), `attachment; filename="na_ve plan.txt"; filename*=UTF-8''na%C3%AFve%20plan.txt`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, name := range []string{"notes.txt", "Отчёт за май.pdf", `a"b%20c'd;e=f,g.txt`, "日本語.docx", "😀.png", "(1) [2] {3}.txt"} {
		header := file.Disposition(name)
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || kind != "attachment" || params["filename"] != name {
			t.Errorf("%s reads as %q %q, %v", header, kind, params["filename"], err)
		}
		for _, r := range header {
			if r < ' ' || r > '~' {
				t.Errorf("%s holds %U", header, r)
			}
		}
	}
}

// A page, as browsers recognise one, passes for no picture of any kind.
func FuzzMatches(f *testing.F) {
	for _, seed := range []string{png, jpeg, svg, html, text, odd, avif, "<!-", "<?", "<svg"} {
		for _, declared := range []string{"svg+xml", "avif", "tiff", "png", "jxl"} {
			f.Add(declared, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, subtype string, head []byte) {
		if len(head) > file.SniffedBytes {
			head = head[:file.SniffedBytes]
		}
		if file.Matches("image/"+subtype, head) && strings.HasPrefix(http.DetectContentType(head), "text/html") {
			t.Errorf("%.40q passes for a picture", head)
		}
	})
}
