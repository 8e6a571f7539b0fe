package picture_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

var jpeg = []byte("\xff\xd8\xff a picture \xff\xd9")

func TestAnAvatarIsServedAndMayBeKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{avatar: func(_ context.Context, id string) ([]byte, error) {
		if id != known {
			return nil, notFound()
		}
		return jpeg, nil
	}})
	client := client(t, false)
	request := w.request(t, http.MethodGet, "/avatars/"+known, nil)
	request.Header.Del("Authorization")
	answer := do(t, client, request)
	if answer.status != http.StatusOK || !bytes.Equal(answer.body, jpeg) {
		t.Fatalf("%d %q", answer.status, answer.body)
	}
	for name, want := range map[string]string{
		"Content-Type":            "image/jpeg",
		"Cache-Control":           "public, max-age=31536000, immutable",
		"X-Content-Type-Options":  "nosniff",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		"Etag":                    `"` + known + `"`,
	} {
		if got := answer.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	request.Header.Set("If-None-Match", `"`+known+`"`)
	if answer := do(t, client, request); answer.status != http.StatusNotModified || len(answer.body) > 0 {
		t.Errorf("asked again: %d %q", answer.status, answer.body)
	}
	if answer := do(t, client, w.request(t, http.MethodHead, "/avatars/"+known, nil)); answer.status != http.StatusOK || len(answer.body) > 0 {
		t.Errorf("HEAD: %d %q", answer.status, answer.body)
	}
	answer = do(t, client, w.request(t, http.MethodGet, "/avatars/"+unknown, nil))
	refusedFor(t, answer, http.StatusNotFound, musterv1.Reason_REASON_NOT_FOUND)
	if got := answer.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("that there is none is kept: %q", got)
	}
}

func TestAPublicFileIsElsewhere(t *testing.T) {
	t.Parallel()
	const address = "http://s3.example/muster/files/1?X-Amz-Signature=0123"
	w := newWorld(t, settings{file: func(_ context.Context, id string) (string, error) {
		if id != known {
			return "", notFound()
		}
		return address, nil
	}})
	client := client(t, true)
	request := w.request(t, http.MethodGet, "/files/"+known, nil)
	request.Header.Del("Authorization")
	answer := do(t, client, request)
	if answer.status != http.StatusSeeOther || answer.header.Get("Location") != address {
		t.Errorf("%d to %q", answer.status, answer.header.Get("Location"))
	}
	if answer.header.Get("Cache-Control") != "no-store" || answer.header.Get("Referrer-Policy") != "no-referrer" || len(answer.body) > 0 {
		t.Errorf("%v %q", answer.header, answer.body)
	}
	refusedFor(t, do(t, client, w.request(t, http.MethodGet, "/files/"+unknown, nil)), http.StatusNotFound, musterv1.Reason_REASON_NOT_FOUND)
}

func TestWhatIsNoIdIsNotAskedFor(t *testing.T) {
	t.Parallel()
	asked := errors.New("it was asked for")
	w := newWorld(t, settings{
		avatar: func(context.Context, string) ([]byte, error) { return nil, asked },
		file:   func(context.Context, string) (string, error) { return "", asked },
	})
	for _, id := range []string{
		"x", "1", strings.ToUpper(known), "%7B" + known + "%7D", "urn:uuid:" + known, strings.ReplaceAll(known, "-", ""),
		known + "%2F..", "..%2F" + known, known + "%00", strings.Repeat("a", 5000), "%3Cscript%3E",
	} {
		for _, folder := range []string{"/avatars/", "/files/"} {
			refusedFor(t, do(t, client(t, false), w.request(t, http.MethodGet, folder+id, nil)), http.StatusNotFound, musterv1.Reason_REASON_NOT_FOUND)
		}
	}
}

func TestWhatMediaAnswersIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{
		avatar: func(context.Context, string) ([]byte, error) {
			return nil, connect.NewError(connect.CodeUnavailable, errors.New("a secret cause"))
		},
		file: func(context.Context, string) (string, error) { return "", context.DeadlineExceeded },
	})
	answer := do(t, client(t, false), w.request(t, http.MethodGet, "/avatars/"+known, nil))
	refusedFor(t, answer, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE)
	if bytes.Contains(answer.body, []byte("secret")) {
		t.Errorf("%s", answer.body)
	}
	refusedFor(t, do(t, client(t, false), w.request(t, http.MethodGet, "/files/"+known, nil)), http.StatusGatewayTimeout, musterv1.Reason_REASON_DEADLINE_EXCEEDED)
}
