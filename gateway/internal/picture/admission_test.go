package picture_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-id/muster/gateway/internal/picture"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const put = "PUT /me/avatar HTTP/1.1"

// patient is a wait that no test outlasts.
const patient = time.Minute

// gate is a handler in which requests stay until they are let go.
type gate struct {
	entered chan struct{}
	open    chan struct{}
}

func newGate() gate { return gate{entered: make(chan struct{}, 1000), open: make(chan struct{})} }

func (g gate) pass(ctx context.Context) error {
	g.entered <- struct{}{}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestWhoComesWhenAllWaitIsRefusedWithARetryAfter(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := newWorld(t, settings{atOnce: 1, wait: patient, upload: func(ctx context.Context, _ []byte) error { return g.pass(ctx) }})
	client := client(t, false)
	statuses := make(chan int, 34)
	// One is in, thirty-two wait, and one of the thirty-four finds no place.
	for range 34 {
		request := w.request(t, http.MethodPut, "/me/avatar", strings.NewReader("x"))
		go func() {
			response, err := client.Do(request)
			if err != nil {
				statuses <- 0
				return
			}
			defer response.Body.Close()
			if response.StatusCode == http.StatusTooManyRequests && response.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			statuses <- response.StatusCode
		}()
	}
	if got := <-statuses; got != http.StatusTooManyRequests {
		t.Errorf("the first answer is %d", got)
	}
	close(g.open)
	for range 33 {
		if got := <-statuses; got != http.StatusOK {
			t.Errorf("one that waited got %d", got)
		}
	}
}

func TestWhoWaitsTooLongIsRefused(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := newWorld(t, settings{atOnce: 1, wait: time.Millisecond, upload: func(ctx context.Context, _ []byte) error { return g.pass(ctx) }})
	client := client(t, true)
	ended := make(chan struct{})
	request := w.request(t, http.MethodPut, "/me/avatar", strings.NewReader("x"))
	go func() {
		defer close(ended)
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	<-g.entered
	refusedFor(t, do(t, client, w.request(t, http.MethodPut, "/me/avatar", strings.NewReader("x"))), http.StatusTooManyRequests, musterv1.Reason_REASON_OVERLOADED)
	close(g.open)
	<-ended
	answer := do(t, client, w.request(t, http.MethodPut, "/me/avatar", strings.NewReader("x")))
	if answer.status != http.StatusOK {
		t.Errorf("with a place free again: %d %s", answer.status, answer.body)
	}
}

func TestTheBodyOfWhoWaitsIsNotRead(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := newWorld(t, settings{atOnce: 1, wait: patient, upload: func(ctx context.Context, _ []byte) error { return g.pass(ctx) }})
	first := make(chan struct{})
	client := client(t, false)
	request := w.request(t, http.MethodPut, "/me/avatar", strings.NewReader("x"))
	go func() {
		defer close(first)
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	<-g.entered
	waiting := w.begin(t, put, "Content-Length: 1", "Expect: 100-continue", "Connection: close")
	asked := make(chan string, 1)
	go func() {
		line, _ := waiting.ReadString('\n')
		asked <- line
	}()
	select {
	case line := <-asked:
		t.Errorf("asked for the body while all places are taken: %q", line)
	case <-time.After(100 * time.Millisecond): // long enough to see a fault as a rule
	}
	close(g.open)
	if line := <-asked; !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Errorf("with a place free: %q", line)
	}
	if _, err := waiting.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := waiting.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := waiting.ReadString('\n'); err != nil { // the empty line of the 100
		t.Fatal(err)
	}
	if answer := answered(t, waiting); answer.status != http.StatusOK {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	<-first
}

func TestAWaitingCallerThatGivesUpTakesNoPlace(t *testing.T) {
	t.Parallel()
	g := newGate()
	handler := picture.Admit(1, patient)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = g.pass(r.Context()) }))
	serve := func(ctx context.Context) <-chan int {
		status := make(chan int, 1)
		go func() {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodPut, "/me/avatar", nil))
			status <- answer.Code
		}()
		return status
	}
	first := serve(t.Context())
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	second := serve(ctx)
	cancel()
	if got := <-second; got < http.StatusBadRequest {
		t.Errorf("one that gave up got %d", got)
	}
	third := serve(t.Context())
	close(g.open)
	if one, other := <-first, <-third; one != http.StatusOK || other != http.StatusOK {
		t.Errorf("got %d and %d", one, other)
	}
}

func TestWhoMayNotCallHoldsNoPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{atOnce: 1, wait: 10 * time.Second, upload: func(context.Context, []byte) error { return nil }})
	good := w.token
	for _, start := range []string{
		put,
		"POST /muster.v1.MediaService/UploadAvatar HTTP/1.1\r\nContent-Type: application/proto",
		"POST /muster.v1.MediaService/UploadAvatar HTTP/1.1\r\nContent-Type: application/grpc",
	} {
		w.token = "forged"
		// Bodies of which nothing is ever sent: the server would wait half a minute.
		for range 3 {
			w.begin(t, start, "Content-Length: 100")
		}
		w.token = good
		answer := do(t, client(t, false), w.request(t, http.MethodPut, "/me/avatar", strings.NewReader("x")))
		if answer.status != http.StatusOK {
			t.Errorf("%s: after it %d %s", start, answer.status, answer.body)
		}
	}
}

// A client that sends its next call on a connection that is about to end loses
// that call: it cannot know whether it was carried out.
func TestAConnectionEndsOnlyAsItsAnswerSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{upload: func(context.Context, []byte) error { return nil }})
	for what, token := range map[string]string{"refused": "forged", "answered": w.token} {
		w.token = token
		for _, start := range []string{put, "POST /muster.v1.MediaService/UploadAvatar HTTP/1.1\r\nContent-Type: application/json"} {
			line := w.begin(t, start, "Content-Length: 2")
			call := func() (ends bool) {
				if _, err := line.WriteString("{}"); err != nil {
					t.Fatal(err)
				}
				if err := line.Flush(); err != nil {
					t.Fatal(err)
				}
				response, err := http.ReadResponse(line.Reader, nil)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				replyOf(t, response)
				return response.Close
			}
			if call() {
				if what == "answered" {
					t.Errorf("%s: a connection is given up without need", start)
				}
				continue
			}
			again := strings.Join([]string{start, "Host: " + w.addr, "Authorization: Bearer " + w.token, "Content-Length: 2", "", ""}, "\r\n")
			if _, err := line.WriteString(again); err != nil {
				t.Fatal(err)
			}
			call()
		}
	}
}

func TestASlowBodyFreesItsPlaceAtTheReadTimeOut(t *testing.T) {
	t.Parallel()
	reading := make(chan struct{}, 2)
	handler := picture.Admit(1, patient)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reading <- struct{}{}
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	server := httptest.NewUnstartedServer(handler)
	server.Config.ReadTimeout = 200 * time.Millisecond
	server.Config.ReadHeaderTimeout = patient // else a busy machine may cut the line before it has begun
	server.Start()
	t.Cleanup(server.Close)
	w := world{addr: server.Listener.Addr().String()}

	slow := w.begin(t, put, "Content-Length: 1000", "Connection: close")
	<-reading
	// Not over the server, whose read time-out would end its wait as well.
	next := httptest.NewRecorder()
	handler.ServeHTTP(next, httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/me/avatar", nil))
	if next.Code != http.StatusOK {
		t.Errorf("the next one got %d", next.Code)
	}
	if answer := answered(t, slow); answer.status != http.StatusBadRequest {
		t.Errorf("the slow one got %d", answer.status)
	}
}

func TestManyUploadsAtOnceHoldAFewBodies(t *testing.T) {
	t.Parallel()
	const atOnce, uploads = 4, 100 // as many as find a place, or one to wait at
	var inside, most atomic.Int64
	w := newWorld(t, settings{atOnce: atOnce, wait: patient, upload: func(context.Context, []byte) error {
		now := inside.Add(1)
		defer inside.Add(-1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
		}
		return nil
	}})
	client := client(t, false)
	var all sync.WaitGroup
	for range uploads {
		request := w.request(t, http.MethodPut, "/me/avatar", strings.NewReader(strings.Repeat("x", 100_000)))
		all.Go(func() {
			response, err := client.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("got %d", response.StatusCode)
			}
		})
	}
	all.Wait()
	if most.Load() > atOnce {
		t.Errorf("%d bodies were held at once, at most %d may be", most.Load(), atOnce)
	}
}
