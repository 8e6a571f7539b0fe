package main

import (
	"fmt"
	"sync"
	"time"
)

// outcome is what a client knows of a write.
type outcome int

const (
	unknown outcome = iota // it may have happened, or may yet
	acknowledged
	refused
)

func (o outcome) String() string {
	return [...]string{"unknown", "acknowledged", "refused"}[o]
}

// write is a change that a client asked for under one idempotency key.
type write struct {
	kind string
	key  string
	// stream of the account; empty until its registration is acknowledged.
	stream string
	// types are the last parts of the names of the events that it leads to.
	types []string
	// told is what the client knows; reason is why it was refused.
	told   outcome
	reason string
	// requests are the ids of those of its tries that were answered.
	requests []string
	// again sends it once more, under the same key.
	again func() answer
}

// mark is a moment at which something was seen.
type mark struct {
	at   time.Time
	what string
}

// history collects what clients were told. It is safe for concurrent use.
type history struct {
	mutex  sync.Mutex
	writes []*write
	// answers counts calls by method and answer; took is how long those took
	// that succeeded.
	answers map[string]map[string]int
	took    map[string][]time.Duration
	// undocumented answers, and calls that the gateway did not answer at all.
	undocumented []mark
	unreached    []mark
	// misread are reads that did not show what their session had written.
	misread []mark
	// delayed counts reads that were told to come again.
	delayed int
}

func newHistory() *history {
	return &history{answers: map[string]map[string]int{}, took: map[string][]time.Duration{}}
}

// begin takes a write down before it is sent.
func (h *history) begin(w *write) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.writes = append(h.writes, w)
}

// end takes down what its client was told in the end. What was acknowledged once
// stays so, whatever a later try is told.
func (h *history) end(w *write, told outcome, reason string) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if w.told != acknowledged {
		w.told, w.reason = told, reason
	}
}

// answered takes down an answer.
func (h *history) answered(method string, got answer) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.answers[method] == nil {
		h.answers[method] = map[string]int{}
	}
	h.answers[method][got.label()]++
	switch {
	case got.err != nil:
		h.unreached = append(h.unreached, mark{got.began, fmt.Sprintf("%s: %v", method, got.err)})
	case got.ok():
		h.took[method] = append(h.took[method], got.took)
	case got.undocumented() != "":
		h.undocumented = append(h.undocumented, mark{got.began, fmt.Sprintf("%s (request %s): %s", method, got.request, got.undocumented())})
	}
}

// misreads takes down a read that is wrong.
func (h *history) misreads(format string, arguments ...any) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.misread = append(h.misread, mark{time.Now(), fmt.Sprintf(format, arguments...)})
}

// told counts writes of a kind by outcome; of all kinds without one.
func (h *history) told(kind string, of outcome) int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	n := 0
	for _, w := range h.writes {
		if (kind == "" || w.kind == kind) && w.told == of {
			n++
		}
	}
	return n
}
