package docs

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// public are all methods of package muster.v1.
func public(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	var methods []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage(musterv1.File_muster_v1_errors_proto.Package(), func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				methods = append(methods, service.Methods().Get(j))
			}
		}
		return true
	})
	if len(methods) < 25 {
		t.Fatalf("%d methods only", len(methods))
	}
	return methods
}

// Each public method has an example that the server would take and give, and
// names errors that there are.
func TestEachMethodIsDocumented(t *testing.T) {
	t.Parallel()
	for _, method := range public(t) {
		documentation, _ := proto.GetExtension(method.Options(), optionsv1.E_Documentation).(*optionsv1.Documentation)
		if documentation == nil {
			t.Errorf("%s has no documentation", method.FullName())
			continue
		}
		for text, of := range map[string]protoreflect.MessageDescriptor{
			documentation.GetRequest():        method.Input(),
			documentation.GetResponse() + " ": method.Output(), // two empty ones are two
		} {
			kind, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
			if err != nil {
				t.Fatal(err)
			}
			example := kind.New().Interface()
			if err := protojson.Unmarshal([]byte(text), example); err != nil {
				t.Errorf("%s: the example %s: %v", method.FullName(), of.Name(), err)
			} else if err := protovalidate.Validate(example); err != nil {
				t.Errorf("%s: the example %s: %v", method.FullName(), of.Name(), err)
			}
		}
		seen := map[string]bool{}
		for _, name := range documentation.GetErrors() {
			if seen[name] || musterv1.Reason_value["REASON_"+name] == 0 {
				t.Errorf("%s: the error %s is there twice or is none", method.FullName(), name)
			}
			seen[name] = true
		}
	}
}

// What was generated is of these protos: nothing is missing and nothing is left
// over from a method that has gone.
func TestThePageAndTheDescriptionHaveEachMethod(t *testing.T) {
	t.Parallel()
	methods := public(t)
	for _, method := range methods {
		service, name := string(method.Parent().Name()), string(method.Name())
		if !strings.Contains(string(openapi), "\n  /muster.v1."+service+"/"+name+":\n") {
			t.Errorf("openapi.yaml lacks %s", method.FullName())
		}
		if !strings.Contains(string(page), `<article id="`+service+"."+name+`"`) {
			t.Errorf("the page lacks %s", method.FullName())
		}
	}
	if got := len(regexp.MustCompile(`(?m)^  /muster\.v1\.\w+/\w+:$`).FindAll(openapi, -1)); got != len(methods) {
		t.Errorf("openapi.yaml has %d procedures, there are %d", got, len(methods))
	}
	if got := strings.Count(string(page), `<span>POST</span> <code>/muster.v1.`); got != len(methods) {
		t.Errorf("the page has %d procedures, there are %d", got, len(methods))
	}
	for name, number := range musterv1.Reason_value {
		if number != 0 && !strings.Contains(string(page), `<tr id="`+strings.TrimPrefix(name, "REASON_")+`"`) {
			t.Errorf("the page's table lacks %s", name)
		}
	}
}

// The page works off line and under its own policy: nothing from elsewhere,
// nothing inline, no link that leads nowhere.
func TestThePageNeedsNothingElse(t *testing.T) {
	t.Parallel()
	text := string(page)
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if ids[id[1]] {
			t.Errorf("the id %s is there twice", id[1])
		}
		ids[id[1]] = true
	}
	mux := http.NewServeMux()
	Mount(mux)
	for _, link := range regexp.MustCompile(` (?:href|src)="([^"]+)"`).FindAllStringSubmatch(text, -1) {
		switch to := link[1]; {
		case strings.HasPrefix(to, "data:image/svg+xml,"):
		case strings.HasPrefix(to, "#"):
			if !ids[to[1:]] {
				t.Errorf("%s leads nowhere", to)
			}
		default:
			if status := visit(t, mux, to, nil).Code; status != http.StatusOK {
				t.Errorf("%s: status %d", to, status)
			}
		}
	}
	for what, pattern := range map[string]string{
		"an inline script": `<script(?:>| [^>]*[^>]>[^<])`,
		"an inline style":  `<style|\sstyle="`,
		"a handler":        `<[^>]*\son[a-z]+="`,
	} {
		if found := regexp.MustCompile(pattern).FindString(text); found != "" {
			t.Errorf("%s: %s", what, found)
		}
	}
	for name, text := range map[string]string{"style.css": string(style), "script.js": string(script)} {
		if found := regexp.MustCompile(`https?://|@import|url\(|fetch\(|innerHTML`).FindString(text); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
}

func visit(t *testing.T, handler http.Handler, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// A browser keeps each file, asks whether it has changed, and gets it packed.
func TestFilesAreKeptAndPacked(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	Mount(mux)
	for path, want := range map[string]struct {
		contentType string
		content     []byte
	}{
		"/docs":           {"text/html; charset=utf-8", page},
		"/docs/style.css": {"text/css; charset=utf-8", style},
		"/docs/script.js": {"text/javascript; charset=utf-8", script},
		"/openapi.yaml":   {"application/yaml", openapi},
	} {
		plain := visit(t, mux, path, nil)
		packed := visit(t, mux, path, http.Header{"Accept-Encoding": {"br;q=1.0, gzip;q=0.8"}})
		if plain.Code != http.StatusOK || plain.Header().Get("Content-Encoding") != "" || packed.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: status %d, encodings %q and %q", path, plain.Code, plain.Header().Get("Content-Encoding"), packed.Header().Get("Content-Encoding"))
			continue
		}
		unpacked, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []io.Reader{plain.Body, unpacked} {
			if got, err := io.ReadAll(body); err != nil || string(got) != string(want.content) {
				t.Errorf("%s: %d bytes, %v", path, len(got), err)
			}
		}
		for _, answer := range []*httptest.ResponseRecorder{plain, packed} {
			if got := answer.Header().Get("Content-Type"); got != want.contentType {
				t.Errorf("%s is %s", path, got)
			}
			if policy := answer.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'; script-src 'self'") || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: policy %s", path, policy)
			}
			header := http.Header{"If-None-Match": {answer.Header().Get("Etag")}}
			if answer.Header().Get("Content-Encoding") != "" {
				header.Set("Accept-Encoding", "gzip")
			}
			if again := visit(t, mux, path, header); again.Code != http.StatusNotModified || answer.Header().Get("Cache-Control") != "public, no-cache" {
				t.Errorf("%s: asked again: %d, Cache-Control %s", path, again.Code, answer.Header().Get("Cache-Control"))
			}
		}
		if plain.Header().Get("Etag") == packed.Header().Get("Etag") {
			t.Errorf("%s: a cache could not tell the packed one from the plain one", path)
		}
	}
	if to := visit(t, mux, "/docs/", nil); to.Header().Get("Location") != "/docs" {
		t.Errorf("/docs/ leads to %q", to.Header().Get("Location"))
	}
	if open := visit(t, mux, "/openapi.yaml", nil).Header().Get("Access-Control-Allow-Origin"); open != "*" {
		t.Errorf("openapi.yaml is for %q", open)
	}
}

func TestGzipIsSentToWhoTakesIt(t *testing.T) {
	t.Parallel()
	for accepted, want := range map[string]bool{
		"gzip": true, "GZIP": true, "gzip, deflate, br": true, "br, gzip;q=0.5": true, "gzip; q=1": true,
		"": false, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "x-gzip": false,
	} {
		if got := takesGzip(accepted); got != want {
			t.Errorf("%q: %v", accepted, got)
		}
	}
}
