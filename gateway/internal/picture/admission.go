package picture

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/muster-id/muster/platform/admission"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

const (
	// AtOnce is how many large bodies are held at once. Each takes up to five
	// times its size on its way through: base64, the message, the call to media.
	AtOnce = 8
	// Wait is how long the next ones wait: well within the server's read time-out.
	Wait = 5 * time.Second
	// waitersEach is how many wait for each place.
	waitersEach = 32
	// MaxMessage bounds a call of UploadAvatar: MaxPicture in base64 and its frame.
	MaxMessage = (MaxPicture+2)/3*4 + frame
	frame      = 4 << 10
)

// Admit lets at most limit calls through at once, and thirty-two times as many wait
// for wait at most, before anything of their bodies is read; whoever comes then
// is OVERLOADED, with Retry-After. One that has no right to call holds its place
// only until the access gate has read its headers; a slow one until the server's
// read time-out.
func Admit(limit int, wait time.Duration) func(http.Handler) http.Handler {
	places := &places{line: admission.New(admission.Config{Places: limit, Waiters: limit * waitersEach}), wait: wait}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := places.enter(r.Context()); err != nil {
				serve.WriteError(w, r, err)
				return
			}
			defer places.line.Leave()
			admitted := *r
			body := &counted{Reader: r.Body, ended: r.ContentLength == 0}
			admitted.Body = unclosed{body}
			if r.ProtoMajor == 1 {
				// Else HTTP/1.1 reads what is left of a body before it answers, which gRPC does
				// while it still holds its place. HTTP/2 needs no telling.
				_ = http.NewResponseController(w).EnableFullDuplex()
				w = &closing{ResponseWriter: w, body: body}
			}
			next.ServeHTTP(w, &admitted)
		})
	}
}

// counted is a body that knows whether it was read to its end.
type counted struct {
	io.Reader
	ended bool
}

// Read reads on.
func (c *counted) Read(to []byte) (int, error) {
	n, err := c.Reader.Read(to)
	c.ended = c.ended || errors.Is(err, io.EOF)
	return n, err
}

// closing says in an answer that goes out before its body was read that the
// connection ends with it, as it does: net/http cannot go on with one in full
// duplex. A client that was not told would lose its next call on it.
type closing struct {
	http.ResponseWriter
	body *counted
}

// Unwrap is for http.ResponseController.
func (c *closing) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// WriteHeader says so.
func (c *closing) WriteHeader(status int) {
	c.tell()
	c.ResponseWriter.WriteHeader(status)
}

// Write says so where it comes first.
func (c *closing) Write(data []byte) (int, error) {
	c.tell()
	return c.ResponseWriter.Write(data)
}

// Flush says so where it comes first.
func (c *closing) Flush() {
	c.tell()
	if flusher, ok := c.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// tell changes nothing once the header has gone out.
func (c *closing) tell() {
	if !c.body.ended {
		c.Header().Set("Connection", "close")
	}
}

// unclosed is a body that the server alone closes. Connect closes it too, as
// soon as it has refused a call, and for HTTP/1.1 that waits for what is still to
// come: a place would be held by whoever has no token and sends nothing.
type unclosed struct{ io.Reader }

// Close does nothing.
func (unclosed) Close() error { return nil }

type places struct {
	line *admission.Line
	wait time.Duration
}

// errTooMany is the cause in the log.
var errTooMany = errors.New("picture: too many large bodies at once")

// enter takes a place, waiting in line if need be.
func (p *places) enter(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	err := p.line.Enter(waiting)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return reason.New(musterv1.Reason_REASON_OVERLOADED,
		reason.Message("Too many pictures at once"),
		// At random, so that all who were refused do not come back together.
		reason.RetryAfter(p.wait+rand.N(p.wait+1)),
		reason.Cause(errTooMany))
}

// LimitBodies bounds bodies on the wire: standard bytes, and as many as they need
// for the two ways to upload an avatar. It takes the place of http.MaxBytesHandler.
func LimitBodies(standard int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := standard
		switch r.URL.Path {
		case musterv1connect.MediaServiceUploadAvatarProcedure:
			limit = MaxMessage + frame
		case uploadPath:
			limit = MaxPicture + frame // Upload itself refuses at MaxPicture, in better words
		}
		bounded := *r
		bounded.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, &bounded)
	})
}

const uploadPath = "/me/avatar"
