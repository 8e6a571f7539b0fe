package picture_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/muster-id/muster/gateway/internal/picture"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// unread is a body of unknown length.
type unread struct{ io.Reader }

func TestPutIsUploadAvatar(t *testing.T) {
	t.Parallel()
	received := make(chan []byte, 1)
	w := newWorld(t, settings{upload: func(ctx context.Context, picture []byte) error {
		if who, _ := access.PrincipalFrom(ctx); who.UserID != "u1" {
			return fmt.Errorf("called by %q", who.UserID)
		}
		received <- bytes.Clone(picture)
		return nil
	}})
	for _, h2c := range []bool{false, true} {
		client := client(t, h2c)
		for _, size := range []int{1, 127, 128, 70_000, picture.MaxPicture} {
			sent := bytes.Repeat([]byte{0xff, 0xd8, 7}, size/3+1)[:size]
			for name, body := range map[string]io.Reader{
				"known length": bytes.NewReader(sent), "unknown length": unread{iotest.HalfReader(bytes.NewReader(sent))},
			} {
				for _, kind := range []string{"", "image/jpeg", "Image/WEBP; q=1", "application/octet-stream"} {
					if kind != "" && size != 127 {
						continue
					}
					request := w.request(t, http.MethodPut, "/me/avatar", body)
					if kind != "" {
						request.Header.Set("Content-Type", kind)
						request.Header.Set("Accept-Encoding", "gzip")
					}
					if size == 127 {
						request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(sent)), -1
					}
					answer := do(t, client, request)
					if want := `{"avatarUrl":"http://here/avatars/` + known + `","shown":false}`; answer.status != http.StatusOK || string(answer.body) != want {
						t.Fatalf("%d bytes, %s, %q: %d %s, want %s", size, name, kind, answer.status, answer.body, want)
					}
					if got := answer.header.Get("Content-Type"); got != "application/json" {
						t.Errorf("answered as %s", got)
					}
					if got := <-received; !bytes.Equal(got, sent) {
						t.Errorf("%d bytes arrived as %d", size, len(got))
					}
				}
			}
		}
	}
	if line := `"http_method":"PUT","call":"` + musterv1connect.MediaServiceUploadAvatarProcedure + `"`; !strings.Contains(w.log.String(), line) {
		t.Errorf("no line with %s", line)
	}
}

func TestPutRefusesWhatIsNoUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{upload: func(context.Context, []byte) error { return errors.New("it was let through") }})
	for name, c := range map[string]struct {
		header map[string]string
		body   io.Reader
		status int
		want   musterv1.Reason
	}{
		"no token":         {map[string]string{"Authorization": ""}, strings.NewReader("x"), 401, musterv1.Reason_REASON_UNAUTHENTICATED},
		"forged token":     {map[string]string{"Authorization": "Bearer x.y.z"}, strings.NewReader("x"), 401, musterv1.Reason_REASON_TOKEN_INVALID},
		"html":             {map[string]string{"Content-Type": "text/html"}, strings.NewReader("x"), 400, musterv1.Reason_REASON_PICTURE_INVALID},
		"a form":           {map[string]string{"Content-Type": "multipart/form-data; boundary=x"}, strings.NewReader("x"), 400, musterv1.Reason_REASON_PICTURE_INVALID},
		"a call":           {map[string]string{"Content-Type": "application/grpc"}, strings.NewReader("x"), 400, musterv1.Reason_REASON_PICTURE_INVALID},
		"no type at all":   {map[string]string{"Content-Type": "picture"}, strings.NewReader("x"), 400, musterv1.Reason_REASON_PICTURE_INVALID},
		"packed":           {map[string]string{"Content-Encoding": "gzip"}, strings.NewReader("x"), 400, musterv1.Reason_REASON_PICTURE_INVALID},
		"empty":            {nil, strings.NewReader(""), 400, musterv1.Reason_REASON_PICTURE_INVALID},
		"empty, in chunks": {nil, unread{strings.NewReader("")}, 400, musterv1.Reason_REASON_PICTURE_INVALID},
		"a byte too long, in chunks": {
			nil, unread{bytes.NewReader(make([]byte, picture.MaxPicture+1))}, 400, musterv1.Reason_REASON_PICTURE_TOO_LARGE,
		},
		"far too long, in chunks": {
			nil, unread{bytes.NewReader(make([]byte, picture.MaxPicture+64<<10))}, 400, musterv1.Reason_REASON_PICTURE_TOO_LARGE,
		},
		"a time-out that is none": {map[string]string{"Connect-Timeout-Ms": "soon"}, strings.NewReader("x"), 400, musterv1.Reason_REASON_INVALID_ARGUMENT},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, h2c := range []bool{false, true} {
				if reader, ok := c.body.(io.Seeker); ok {
					_, _ = reader.Seek(0, io.SeekStart)
				} else if reader, ok := c.body.(unread).Reader.(io.Seeker); ok {
					_, _ = reader.Seek(0, io.SeekStart)
				}
				request := w.request(t, http.MethodPut, "/me/avatar", c.body)
				for key, value := range c.header {
					if request.Header.Set(key, value); value == "" {
						request.Header.Del(key)
					}
				}
				refusedFor(t, do(t, client(t, h2c), request), c.status, c.want)
			}
		})
	}
	refusedFor(t, do(t, client(t, false), w.request(t, http.MethodPost, "/me/avatar", strings.NewReader("x"))), http.StatusMethodNotAllowed, musterv1.Reason_REASON_UNIMPLEMENTED)
}

// begin writes the head of a request on a connection of its own.
func (w world) begin(t *testing.T, start string, head ...string) *bufio.ReadWriter {
	t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	lines := append([]string{start, "Host: here", "Authorization: Bearer " + w.token}, head...)
	if _, err := in.WriteString(strings.Join(lines, "\r\n") + "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := in.Flush(); err != nil {
		t.Fatal(err)
	}
	return in
}

// answered reads the answer; a server that wants the body says 100 before it.
func answered(t *testing.T, in *bufio.ReadWriter) reply {
	t.Helper()
	response, err := http.ReadResponse(in.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	return replyOf(t, response)
}

func TestNothingOfARefusedBodyIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{upload: func(context.Context, []byte) error { return nil }})
	for name, c := range map[string]struct {
		head   []string
		status int
		want   musterv1.Reason
	}{
		"too long":   {[]string{fmt.Sprintf("Content-Length: %d", picture.MaxPicture+1)}, 400, musterv1.Reason_REASON_PICTURE_TOO_LARGE},
		"two tokens": {[]string{"Content-Length: 100", "Authorization: Bearer x"}, 401, musterv1.Reason_REASON_TOKEN_INVALID},
		"wrong type": {[]string{"Content-Length: 100", "Content-Type: text/html"}, 400, musterv1.Reason_REASON_PICTURE_INVALID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// None is sent, and none is asked for by a 100.
			refusedFor(t, answered(t, w.begin(t, put, append(c.head, "Expect: 100-continue")...)), c.status, c.want)
		})
	}
}

func TestAPutThatBreaksOffIsNoUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{upload: func(context.Context, []byte) error { return errors.New("half a picture was uploaded") }})
	for name, c := range map[string]struct{ head, half string }{
		"known length":   {"Content-Length: 100", "half"},
		"unknown length": {"Transfer-Encoding: chunked", "4\r\nhalf\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			lines := []string{put, "Host: here", "Authorization: Bearer " + w.token, "Connection: close", c.head, "", c.half}
			if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // what was dialled
				t.Fatal(err)
			}
			in := bufio.NewReadWriter(bufio.NewReader(conn), nil)
			// The server may notice first that the body is cut, or that its sender is gone.
			if got := answered(t, in); got.status != http.StatusBadRequest && got.status != 499 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

func TestPutAndTheCallGiveTheSameErrors(t *testing.T) {
	t.Parallel()
	for _, want := range []musterv1.Reason{
		musterv1.Reason_REASON_PICTURE_INVALID, musterv1.Reason_REASON_PICTURE_TOO_LARGE,
		musterv1.Reason_REASON_STORAGE_UNAVAILABLE, musterv1.Reason_REASON_INTERNAL,
	} {
		t.Run(want.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, settings{upload: func(context.Context, []byte) error {
				return reason.New(want, reason.Cause(errors.New("a secret cause")))
			}})
			call := w.request(t, http.MethodPost, musterv1connect.MediaServiceUploadAvatarProcedure, strings.NewReader(`{"picture":"eA=="}`))
			call.Header.Set("Content-Type", "application/json")
			byCall := do(t, client(t, false), call)
			byPut := do(t, client(t, false), w.request(t, http.MethodPut, "/me/avatar", strings.NewReader("x")))
			refusedFor(t, byPut, byCall.status, want)
			var one, other refused
			if err := errors.Join(json.Unmarshal(byCall.body, &one), json.Unmarshal(byPut.body, &other)); err != nil {
				t.Fatal(err)
			}
			if one.Code != other.Code || one.Message != other.Message || one.Details[0].Debug.Next != other.Details[0].Debug.Next {
				t.Errorf("the call: %s\nthe put: %s", byCall.body, byPut.body)
			}
			if bytes.Contains(byPut.body, []byte("secret")) {
				t.Error("the cause was told")
			}
		})
	}
}

func TestEachRouteHasItsOwnLimitOfBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{upload: func(context.Context, []byte) error { return nil }})
	inBase64 := func(size int) string {
		return `{"picture":"` + base64.StdEncoding.EncodeToString(make([]byte, size)) + `"}`
	}
	const upload, register = musterv1connect.MediaServiceUploadAvatarProcedure, musterv1connect.AuthServiceRegisterProcedure
	for name, c := range map[string]struct {
		path, body string
		status     int
	}{
		"a whole picture as JSON":     {upload, inBase64(picture.MaxPicture), http.StatusOK},
		"more than a picture":         {upload, inBase64(picture.MaxPicture + 8<<10), http.StatusRequestEntityTooLarge},
		"another method, small":       {register, `{"username":"ada","email":"a@b.example","password":"long enough"}`, http.StatusNotImplemented},
		"another method, a megabyte":  {register, `{"username":"` + strings.Repeat("a", maxBody) + `"}`, http.StatusRequestEntityTooLarge},
		"another method of the media": {musterv1connect.MediaServiceCreateUploadProcedure, `{"name":"` + strings.Repeat("a", maxBody) + `"}`, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := w.request(t, http.MethodPost, c.path, strings.NewReader(c.body))
			request.Header.Set("Content-Type", "application/json")
			answer := do(t, client(t, false), request)
			if answer.status != c.status {
				t.Errorf("%d %.200s, want %d", answer.status, answer.body, c.status)
			}
			if c.status == http.StatusRequestEntityTooLarge {
				refusedFor(t, answer, c.status, musterv1.Reason_REASON_BODY_TOO_LARGE)
			}
		})
	}
}
