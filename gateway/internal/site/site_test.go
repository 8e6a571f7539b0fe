package site

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is one that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestKeysAreKeptWhileCredentialsIsAwayButNotForEver(t *testing.T) {
	t.Parallel()
	c := &clock{at: time.Now()}
	asked := 0
	var err error
	keys := NewKeySet(func(context.Context) ([]byte, error) {
		asked++
		return []byte(`{"keys":[]}`), err
	}, c.now)
	visit := func() int {
		w := httptest.NewRecorder()
		keys.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		return w.Code
	}
	for _, step := range []struct {
		after  time.Duration
		err    error
		status int
		asked  int
	}{
		{0, nil, http.StatusOK, 1},
		{keysFresh - time.Second, nil, http.StatusOK, 1},
		{time.Second, nil, http.StatusOK, 2},
		{keysFresh, errors.New("away"), http.StatusOK, 3},
		{keysStale - keysFresh - time.Second, errors.New("away"), http.StatusOK, 4},
		{time.Second, errors.New("away"), http.StatusServiceUnavailable, 5},
		{0, nil, http.StatusOK, 6},
	} {
		c.at, err = c.at.Add(step.after), step.err
		if status := visit(); status != step.status || asked != step.asked {
			t.Fatalf("%+v: status %d, asked %d times", step, status, asked)
		}
	}
}

// part is a service that says how it is.
type part struct {
	mu     sync.Mutex
	asked  int
	status grpchealth.Status
	err    error
}

func (p *part) Check(context.Context, *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.err != nil {
		return nil, p.err
	}
	return &grpchealth.CheckResponse{Status: p.status}, nil
}

func TestWhatAPartSaysOfItself(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*part{
		partNotReady:    {status: grpchealth.StatusNotServing},
		partUnreachable: {err: connect.NewError(connect.CodeUnavailable, errors.New("10.0.0.7: connection refused"))},
		partReady:       {status: grpchealth.StatusServing},
	} {
		state := NewReadiness(map[string]grpchealth.Checker{"identity": p}, time.Now).State(t.Context())
		if state.Parts["identity"] != want || state.Ready != (want == partReady) {
			t.Errorf("%s: %+v", want, state)
		}
	}
	mute := &part{err: connect.NewError(connect.CodeUnimplemented, nil)}
	if state := NewReadiness(map[string]grpchealth.Checker{"identity": mute}, time.Now).State(t.Context()); !state.Ready {
		t.Errorf("a part without a health service: %+v", state)
	}
}

func TestVisitorsShareOneAnswer(t *testing.T) {
	t.Parallel()
	c := &clock{at: time.Now()}
	p := &part{status: grpchealth.StatusServing}
	readiness := NewReadiness(map[string]grpchealth.Checker{"identity": p}, c.now)
	for _, step := range []struct {
		after  time.Duration
		status grpchealth.Status
		asked  int
		ready  bool
	}{
		{0, grpchealth.StatusServing, 1, true},
		{keepReady - 1, grpchealth.StatusNotServing, 1, true},
		{1, grpchealth.StatusNotServing, 2, false},
		{keepNotReady - 1, grpchealth.StatusServing, 2, false},
		{1, grpchealth.StatusServing, 3, true},
	} {
		c.at, p.status = c.at.Add(step.after), step.status
		if state := readiness.State(t.Context()); state.Ready != step.ready || p.asked != step.asked {
			t.Fatalf("%+v: %+v, asked %d times", step, state, p.asked)
		}
	}
	// One who gives up does not spoil the answer for the others.
	c.at = c.at.Add(keepReady)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if !readiness.State(gone).Ready {
		t.Error("not ready for one who has gone")
	}
}
