package object_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy closes the idle connections of the tests themselves, which are no leak.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}

func configOf(s3 teststack.S3) object.Config {
	return object.Config{Endpoint: s3.Endpoint, Region: s3.Region, Bucket: s3.Bucket, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey}
}

func open(t *testing.T, config object.Config) *object.Store {
	t.Helper()
	store, err := object.Open(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func newRef(kind object.Kind) object.Ref {
	return object.Ref{Kind: kind, Owner: uuid.New(), ID: uuid.New()}
}

func TestWhatIsPutIsRead(t *testing.T) {
	t.Parallel()
	s3 := teststack.Bucket(t)
	store, ref := open(t, configOf(s3)), newRef(object.Avatar)
	content := []byte("a picture, or so")
	if err := store.Put(t.Context(), ref, content, "image/jpeg"); err != nil {
		t.Fatal(err)
	}
	if got := s3.Objects(t); !slices.Equal(got, []string{"avatars/" + ref.Owner.String() + "/" + ref.ID.String()}) {
		t.Errorf("the bucket holds %v", got)
	}
	if got, err := store.Get(t.Context(), ref, 100); err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := store.Get(t.Context(), ref, int64(len(content)-1)); err == nil {
		t.Error("an object larger than the bound was read")
	}
	info, err := store.Stat(t.Context(), ref)
	if err != nil || info.Size != int64(len(content)) || info.ContentType != "image/jpeg" || info.ETag == "" {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if head, err := store.Head(t.Context(), ref, info.ETag, 9); err != nil || string(head) != "a picture" {
		t.Errorf("head: %q, %v", head, err)
	}
	if head, err := store.Head(t.Context(), ref, info.ETag, 512); err != nil || !bytes.Equal(head, content) {
		t.Errorf("head past the end: %q, %v", head, err)
	}
	for range 2 { // the second time it is gone, which is no fault
		if err := store.Delete(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	if got := s3.Objects(t); len(got) != 0 {
		t.Errorf("the bucket still holds %v", got)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	store, ref := open(t, configOf(teststack.Bucket(t))), newRef(object.File)
	_, get := store.Get(t.Context(), ref, 10)
	_, stat := store.Stat(t.Context(), ref)
	_, head := store.Head(t.Context(), ref, "0123", 10)
	for name, err := range map[string]error{"get": get, "stat": stat, "head": head, "copy": store.Copy(t.Context(), ref, "0123", newRef(object.File))} {
		if !errors.Is(err, object.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

// Between the look at an upload and its copy somebody may post again.
func TestOnlyTheContentThatWasLookedAtIsCopied(t *testing.T) {
	t.Parallel()
	s3 := teststack.Bucket(t)
	store, upload, file := open(t, configOf(s3)), newRef(object.Upload), newRef(object.File)
	if err := store.Put(t.Context(), upload, []byte("verified"), "text/plain"); err != nil {
		t.Fatal(err)
	}
	info, err := store.Stat(t.Context(), upload)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), upload, []byte("replaced"), "text/plain"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Head(t.Context(), upload, info.ETag, 10); !errors.Is(err, object.ErrChanged) {
		t.Errorf("head: %v, want ErrChanged", err)
	}
	if err := store.Copy(t.Context(), upload, info.ETag, file); !errors.Is(err, object.ErrChanged) {
		t.Errorf("copy: %v, want ErrChanged", err)
	}
	if info, err = store.Stat(t.Context(), upload); err != nil {
		t.Fatal(err)
	}
	if err := store.Copy(t.Context(), upload, info.ETag, file); err != nil {
		t.Fatal(err)
	}
	copied, err := store.Stat(t.Context(), file)
	if err != nil || copied.Size != 8 || copied.ContentType != "text/plain" || string(s3.Get(t, file.Key())) != "replaced" {
		t.Errorf("copied %+v, %v", copied, err)
	}
}

func TestAStorageThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	s3 := teststack.Bucket(t)
	for name, spoil := range map[string]func(*object.Config){
		"nobody listens":     func(c *object.Config) { c.Endpoint = "http://127.0.0.1:1" },
		"the key is wrong":   func(c *object.Config) { c.SecretKey = secret.New("wrong") },
		"no bucket is there": func(c *object.Config) { c.Bucket += "-not" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := configOf(s3)
			spoil(&config)
			store, ref := open(t, config), newRef(object.File)
			if err := store.Put(t.Context(), ref, []byte("content"), "text/plain"); !errors.Is(err, object.ErrUnavailable) {
				t.Errorf("put: %v, want ErrUnavailable", err)
			}
			if err := store.Ping(t.Context()); !errors.Is(err, object.ErrUnavailable) {
				t.Errorf("ping: %v, want ErrUnavailable", err)
			}
			if config.Bucket == s3.Bucket {
				if err := store.Delete(t.Context(), ref); !errors.Is(err, object.ErrUnavailable) {
					t.Errorf("delete: %v, want ErrUnavailable", err)
				}
			}
		})
	}
}

func TestACallerThatGivesUpIsNotAnOutage(t *testing.T) {
	t.Parallel()
	store := open(t, configOf(teststack.Bucket(t)))
	ctx, giveUp := context.WithCancel(t.Context())
	giveUp()
	if err := store.Put(ctx, newRef(object.File), []byte("content"), "text/plain"); !errors.Is(err, context.Canceled) || errors.Is(err, object.ErrUnavailable) {
		t.Errorf("%v, want context.Canceled alone", err)
	}
}

func TestTheBucketIsMadeWhereItIsMissing(t *testing.T) {
	t.Parallel()
	s3 := teststack.Bucket(t)
	s3.Delete(t, "") // the bucket itself
	store := open(t, configOf(s3))
	for range 2 { // the second time it is there
		if err := store.MakeBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	// It is private: nobody reads without a signature.
	ref := newRef(object.File)
	if err := store.Put(t.Context(), ref, []byte("private"), "text/plain"); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{s3.Endpoint + "/" + s3.Bucket + "/" + ref.Key(), s3.Endpoint + "/" + s3.Bucket} {
		if status, body := get(t, address); status != http.StatusForbidden {
			t.Errorf("%s without a signature: %d %s", address, status, body)
		}
	}
}

func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	response := getResponse(t, address)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func getResponse(t *testing.T, address string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestAPresignedAddressServesWhatWasSignedAndNothingElse(t *testing.T) {
	t.Parallel()
	s3 := teststack.Bucket(t)
	store, ref, other := open(t, configOf(s3)), newRef(object.File), newRef(object.File)
	for _, r := range []object.Ref{ref, other} {
		if err := store.Put(t.Context(), r, []byte("<html>content</html>"), "text/html"); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := store.PresignGet(t.Context(), ref, `attachment; filename="a b.html"; filename*=UTF-8''a%20b.html`, "application/octet-stream", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	response := getResponse(t, signed.Reveal())
	content, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK || string(content) != "<html>content</html>" {
		t.Errorf("%d %q, %v", response.StatusCode, content, err)
	}
	if got := response.Header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("served as %s", got)
	}
	if got := response.Header.Get("Content-Disposition"); got != `attachment; filename="a b.html"; filename*=UTF-8''a%20b.html` {
		t.Errorf("disposition %s", got)
	}
	for name, alter := range map[string]func(*url.URL, url.Values){
		"another object":      func(u *url.URL, _ url.Values) { u.Path = "/" + s3.Bucket + "/" + other.Key() },
		"another type":        func(_ *url.URL, q url.Values) { q.Set("response-content-type", "text/html") },
		"no type":             func(_ *url.URL, q url.Values) { q.Del("response-content-type") },
		"another disposition": func(_ *url.URL, q url.Values) { q.Set("response-content-disposition", "inline") },
		"a longer life":       func(_ *url.URL, q url.Values) { q.Set("X-Amz-Expires", "600000") },
		"another time": func(_ *url.URL, q url.Values) {
			q.Set("X-Amz-Date", time.Now().Add(time.Hour).UTC().Format("20060102T150405Z"))
		},
		"another signature": func(_ *url.URL, q url.Values) { q.Set("X-Amz-Signature", strings.Repeat("0", 64)) },
		"no signature":      func(_ *url.URL, q url.Values) { q.Del("X-Amz-Signature") },
	} {
		address, err := url.Parse(signed.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		query := address.Query()
		alter(address, query)
		address.RawQuery = query.Encode()
		if status, body := get(t, address.String()); status < 400 || strings.Contains(body, "content</html>") {
			t.Errorf("altered to %s: %d %s", name, status, body)
		}
	}
}

func TestAnAddressExpires(t *testing.T) {
	t.Parallel()
	store, ref := open(t, configOf(teststack.Bucket(t))), newRef(object.File)
	if err := store.Put(t.Context(), ref, []byte("content"), "text/plain"); err != nil {
		t.Fatal(err)
	}
	signed, err := store.PresignGet(t.Context(), ref, "attachment", "text/plain", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	// The storage counts whole seconds, and answers until then.
	teststack.Eventually(t, "the address is past its time", func() bool { status, _ := get(t, signed.Reveal()); return status == http.StatusForbidden })
}

func TestAFormTakesWhatWasDeclaredAndNothingElse(t *testing.T) {
	t.Parallel()
	s3 := teststack.Bucket(t)
	store := open(t, configOf(s3))
	const content = "%PDF-1.7 and so on"
	for name, c := range map[string]struct {
		alter   func(map[string]string)
		content string
		taken   bool
	}{
		"as declared":          {content: content, taken: true},
		"one byte more":        {content: content + "!"},
		"one byte less":        {content: content[1:]},
		"another key":          {content: content, alter: func(f map[string]string) { f["key"] = newRef(object.File).Key() }},
		"another type":         {content: content, alter: func(f map[string]string) { f["Content-Type"] = "text/html" }},
		"another policy":       {content: content, alter: func(f map[string]string) { f["policy"] = "e30K" }},
		"another signature":    {content: content, alter: func(f map[string]string) { f["x-amz-signature"] = strings.Repeat("0", 64) }},
		"no signature":         {content: content, alter: func(f map[string]string) { delete(f, "x-amz-signature") }},
		"no policy":            {content: content, alter: func(f map[string]string) { delete(f, "policy") }},
		"a field of their own": {content: content, alter: func(f map[string]string) { f["acl"] = "public-read" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := newRef(object.Upload)
			form, err := store.PresignPost(t.Context(), ref, "application/pdf", int64(len(content)), time.Now().Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if c.alter != nil {
				c.alter(form.Fields)
			}
			status, answer := teststack.PostForm(t, form.URL, form.Fields, c.content)
			if taken := status == http.StatusCreated; taken != c.taken {
				t.Errorf("%d %s", status, answer)
			}
			info, err := store.Stat(t.Context(), ref)
			if c.taken {
				if err != nil || info.Size != int64(len(content)) || info.ContentType != "application/pdf" {
					t.Errorf("stored %+v, %v", info, err)
				}
			} else if !errors.Is(err, object.ErrNotFound) {
				t.Errorf("something was stored: %+v, %v", info, err)
			}
		})
	}
}

func TestAFormExpires(t *testing.T) {
	t.Parallel()
	store, ref := open(t, configOf(teststack.Bucket(t))), newRef(object.Upload)
	form, err := store.PresignPost(t.Context(), ref, "text/plain", 4, time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := teststack.PostForm(t, form.URL, form.Fields, "late"); status != http.StatusForbidden {
		t.Errorf("%d %s", status, answer)
	}
	if _, err := store.Stat(t.Context(), ref); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("it was stored: %v", err)
	}
}

func TestWhatIsForBrowsersNamesThePublicEndpoint(t *testing.T) {
	t.Parallel()
	// Nobody is there, and nobody is asked.
	store := open(t, object.Config{
		Endpoint: "http://127.0.0.1:1", PublicEndpoint: "https://files.example.org", Region: "us-east-1", Bucket: "muster", AccessKey: "a", SecretKey: secret.New("s"),
	})
	ref := newRef(object.File)
	signed, err := store.PresignGet(t.Context(), ref, "attachment", "text/plain", time.Minute)
	if err != nil || !strings.HasPrefix(signed.Reveal(), "https://files.example.org/muster/files/") {
		t.Errorf("address %q, %v", signed.Reveal(), err)
	}
	form, err := store.PresignPost(t.Context(), ref, "text/plain", 1, time.Now().Add(time.Minute))
	if err != nil || form.URL != "https://files.example.org/muster/" {
		t.Errorf("form to %q, %v", form.URL, err)
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	good := object.Config{Endpoint: "http://127.0.0.1:9000", Region: "us-east-1", Bucket: "muster", AccessKey: "a", SecretKey: secret.New("s")}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*object.Config){
		"no scheme":        func(c *object.Config) { c.Endpoint = "127.0.0.1:9000" },
		"a path":           func(c *object.Config) { c.Endpoint = "http://127.0.0.1:9000/s3" },
		"a password":       func(c *object.Config) { c.Endpoint = "http://a:b@127.0.0.1:9000" },
		"a public path":    func(c *object.Config) { c.PublicEndpoint = "http://127.0.0.1:9000/s3" },
		"a bucket of none": func(c *object.Config) { c.Bucket = "" },
		"a bucket's name":  func(c *object.Config) { c.Bucket = "Muster_Files" },
		"no region":        func(c *object.Config) { c.Region = "" },
	} {
		config := good
		spoil(&config)
		if err := config.Check(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestUploadsThatWereWrittenLongAgoAreListed(t *testing.T) {
	t.Parallel()
	s3 := teststack.Bucket(t)
	store, upload := open(t, configOf(s3)), newRef(object.Upload)
	for _, ref := range []object.Ref{upload, newRef(object.File), newRef(object.Avatar)} {
		s3.Put(t, ref.Key(), []byte("content"))
	}
	s3.Put(t, "uploads/somebody/else's", []byte("content"))
	list := func(before time.Time) (found []object.Ref) {
		t.Helper()
		if err := store.Uploads(t.Context(), before, func(refs []object.Ref) error { found = append(found, refs...); return nil }); err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := list(time.Now().Add(time.Hour)); !slices.Equal(found, []object.Ref{upload}) {
		t.Errorf("listed %v", found)
	}
	if found := list(time.Now().Add(-time.Hour)); len(found) != 0 {
		t.Errorf("listed %v, which are new", found)
	}
}

// The storage comes and goes; the bucket is there whenever the storage is.
func TestRunMakesTheBucketOnceTheStorageIsThere(t *testing.T) {
	t.Parallel()
	s3 := teststack.Bucket(t)
	s3.Delete(t, "") // the bucket itself
	line := teststack.NewLine(t, strings.TrimPrefix(s3.Endpoint, "http://"))
	line.Cut()
	config := configOf(s3)
	config.Endpoint = "http://" + line.Addr()
	store := open(t, config)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	if err := store.Ping(t.Context()); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	line.Mend()
	teststack.Eventually(t, "the storage answers", func() bool { return store.Ping(t.Context()) == nil })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
