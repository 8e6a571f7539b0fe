package site

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is one that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// visit gives the status that a visitor of the key set sees.
func visit(t *testing.T, keys *KeySet) int {
	t.Helper()
	w := httptest.NewRecorder()
	keys.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	return w.Code
}

// owned runs a key set until the test ends, and waits for its end.
func owned(t *testing.T, keys *KeySet) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		keys.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func TestKeysAreKeptWhileCredentialsIsAwayButNotForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var err error
		keys := NewKeySet(func(context.Context) ([]byte, error) {
			asked++
			return []byte(`{"keys":[]}`), err
		}, time.Now)
		owned(t, keys)
		away := errors.New("away")
		for _, step := range []struct {
			after  time.Duration
			err    error
			status int
			asked  int
		}{
			{0, nil, http.StatusOK, 1},
			{keysFresh - time.Second, nil, http.StatusOK, 1},
			{time.Second, nil, http.StatusOK, 2},
			{keysFresh, away, http.StatusOK, 3},
			{keysRetry - 1, away, http.StatusOK, 3},
			{keysStale - keysFresh - keysRetry, away, http.StatusOK, 4},
			{1, away, http.StatusServiceUnavailable, 4},
			{keysRetry, away, http.StatusServiceUnavailable, 5},
			{keysRetry - 1, nil, http.StatusServiceUnavailable, 5},
			{1, nil, http.StatusOK, 6},
		} {
			<-time.After(step.after) // of the bubble's clock
			err = step.err
			status := visit(t, keys)
			synctest.Wait()
			if status != step.status || asked != step.asked {
				t.Fatalf("%+v: status %d, asked %d times", step, status, asked)
			}
		}
	})
}

func TestVisitorsOfTheKeysDoNotWaitForOneAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		keys := NewKeySet(func(ctx context.Context) ([]byte, error) {
			if hangs.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []byte(`{"keys":[]}`), nil
		}, time.Now)
		owned(t, keys)
		for _, step := range []struct {
			after  time.Duration
			hangs  bool
			status int
			wait   time.Duration
		}{
			{0, true, http.StatusServiceUnavailable, keysTimeout}, // nothing to answer with: all wait for one try
			{0, true, http.StatusServiceUnavailable, 0},
			{keysRetry, false, http.StatusOK, 0},
			{keysFresh, true, http.StatusOK, 0},
			{keysStale, true, http.StatusServiceUnavailable, keysTimeout},
		} {
			<-time.After(step.after)
			hangs.Store(step.hangs)
			started := time.Now()
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() {
					if status := visit(t, keys); status != step.status {
						t.Errorf("%+v: status %d", step, status)
					}
				})
			}
			group.Wait()
			if took := time.Since(started); took != step.wait {
				t.Errorf("%+v: took %v", step, took)
			}
		}
	})
}

func TestAVisitorWhoLeavesSpoilsTheKeysForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := NewKeySet(func(ctx context.Context) ([]byte, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Second):
				return []byte(`{"keys":[]}`), nil
			}
		}, time.Now)
		gone, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := keys.current(gone)
			left <- err
		}()
		synctest.Wait()
		stayed := make(chan int, 1)
		go func() { stayed <- visit(t, keys) }()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("one who has left got %v", err)
		}
		if status := <-stayed; status != http.StatusOK {
			t.Errorf("one who has stayed got %d", status)
		}
	})
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
