package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

var (
	//go:embed openapi.yaml
	openapi []byte
	//go:embed page.html
	page []byte
	//go:embed style.css
	style []byte
	//go:embed script.js
	script []byte
)

const (
	// pagePolicy allows the page its own style sheet and script and nothing else.
	// The icon is a data URL, so that browsers ask for none.
	pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// Browsers keep the files and ask each time whether they have changed: a new
	// version of Muster has a new page.
	revalidate = "public, no-cache"
)

// Mount adds the documentation page, what it needs, and the OpenAPI description
// to a mux.
func Mount(mux *http.ServeMux) {
	mux.Handle("GET /docs", newFile(page, "text/html; charset=utf-8"))
	mux.Handle("GET /docs/style.css", newFile(style, "text/css; charset=utf-8"))
	mux.Handle("GET /docs/script.js", newFile(script, "text/javascript; charset=utf-8"))
	mux.Handle("GET /openapi.yaml", readable(newFile(openapi, "application/yaml")))
	// A slash at the end is a slip that deserves the page.
	mux.Handle("GET /docs/{$}", http.RedirectHandler("/docs", http.StatusPermanentRedirect))
}

// readable lets pages of any origin read an answer, which holds nothing of
// anybody: programs that show an OpenAPI description run in browsers.
func readable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Del("Access-Control-Allow-Credentials") // browsers refuse it beside the star
		next.ServeHTTP(w, r)
	})
}

// file is one file of the documentation, plain and packed once for all visitors.
type file struct {
	contentType   string
	plain, packed []byte
	etag          string
}

var _ http.Handler = (*file)(nil)

func newFile(plain []byte, contentType string) *file {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(plain) // the buffer takes everything
	_ = writer.Close()
	sum := sha256.Sum256(plain)
	return &file{
		contentType: contentType,
		plain:       plain,
		packed:      packed.Bytes(),
		etag:        base64.RawURLEncoding.EncodeToString(sum[:12]),
	}
}

// ServeHTTP answers the file, or 304 to a browser that has it (RFC 9110,
// section 13.1.2).
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", revalidate)
	header.Set("Content-Security-Policy", pagePolicy)
	header.Add("Vary", "Accept-Encoding")
	content, etag := f.plain, f.etag
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		// A packed answer is another representation, so it has another tag.
		content, etag = f.packed, f.etag+"-gzip"
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// takesGzip reads Accept-Encoding as far as browsers write it: a list of names,
// each perhaps with a weight, of which 0 refuses it.
func takesGzip(accepted string) bool {
	for each := range strings.SplitSeq(accepted, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(each), ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		weight = strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
		return strings.Trim(weight, "0.") != "" || weight == ""
	}
	return false
}
