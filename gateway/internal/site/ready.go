package site

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
)

const (
	// probeTimeout bounds how long a part may take to say that it is there.
	probeTimeout = 2 * time.Second
	// An answer is repeated for so long, since anybody may ask this page; a bad
	// one more shortly, so that a start is noticed.
	keepReady    = time.Second
	keepNotReady = 100 * time.Millisecond
)

// The states of a part.
const (
	partReady       = "ready"
	partNotReady    = "not ready"
	partUnreachable = "unreachable"
)

// Readiness tells whether the services behind the gateway can work. It is safe
// for concurrent use.
type Readiness struct {
	parts map[string]grpchealth.Checker
	now   func() time.Time

	mu    sync.Mutex // held while asking, so that all who wait share one answer
	last  State
	asked time.Time
}

var _ http.Handler = (*Readiness)(nil)

// State is the answer of /readyz.
type State struct {
	Ready bool              `json:"ready"`
	Parts map[string]string `json:"parts"`
}

// NewReadiness takes the health client of each part by its name.
func NewReadiness(parts map[string]grpchealth.Checker, now func() time.Time) *Readiness {
	return &Readiness{parts: parts, now: now}
}

// ServeHTTP answers 200 when all parts are ready, 503 when one is not.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	state := r.State(request.Context())
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(state) // fails when the client has gone
}

// State asks all parts, or repeats the last answer if it is not old.
func (r *Readiness) State(ctx context.Context) State {
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := keepNotReady
	if r.last.Ready {
		keep = keepReady
	}
	if !r.asked.IsZero() && r.now().Sub(r.asked) < keep {
		return r.last
	}
	// The answer is for all who wait, so it does not end with the one who asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	type answer struct{ name, state string }
	answers := make(chan answer, len(r.parts))
	for name, part := range r.parts {
		go func() { answers <- answer{name, probe(ctx, part)} }()
	}
	state := State{Ready: true, Parts: make(map[string]string, len(r.parts))}
	for range r.parts {
		a := <-answers
		state.Parts[a.name] = a.state
		state.Ready = state.Ready && a.state == partReady
	}
	r.last, r.asked = state, r.now()
	return state
}

func probe(ctx context.Context, part grpchealth.Checker) string {
	got, err := part.Check(ctx, &grpchealth.CheckRequest{})
	switch {
	case connect.CodeOf(err) == connect.CodeUnimplemented:
		return partReady // it answers, and has no more to say about its health
	case err != nil:
		return partUnreachable
	case got.Status != grpchealth.StatusServing:
		return partNotReady
	}
	return partReady
}
