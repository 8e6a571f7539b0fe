package projection

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// State of a projection in one word.
type State string

// The states.
const (
	// CatchingUp: the rows are older than the log was at the start.
	CatchingUp State = "catching up"
	// Live: what is appended is applied at once.
	Live State = "live"
	// Failing: a batch cannot be applied and is tried again.
	Failing State = "failing"
	// RebuildNeeded: the log has entered a new epoch; nothing is applied until
	// the rows are made anew.
	RebuildNeeded State = "rebuild needed"
)

// Stats is how a projection is, for health and metrics.
type Stats struct {
	// State in one word.
	State State
	// Applied counts the events that this process has applied, those of types
	// that the projection does not handle included.
	Applied int64
	// Dropped counts the broker's messages that were no events of this log.
	Dropped int64
	// Latency of the last event applied, from its command to the rows.
	Latency time.Duration
	// Rate is how many events were applied a second, in the last seconds, by this
	// process.
	Rate float64
	// LagEvents are those of the log that are not in the rows, at most, as far as
	// this process knows. Lag is how old the oldest of them is, or for how long the
	// log could not be read.
	LagEvents int64
	Lag       time.Duration
	// Parked counts the streams that wait behind an event that cannot be applied;
	// OldestParked is since when the first of them does.
	Parked       int64
	OldestParked time.Time
	// Progress of the operation that is under way, 0 to 1; nil when there is none.
	Progress *float64
	// Unknown counts the events that were applied, by type, whose type this
	// program does not know: a newer one has written them.
	Unknown map[string]int64
	// LastError is what fails at present; empty when nothing does.
	LastError string
	// BrokerDelivers is true while the broker brings events in time, so that
	// the tail only looks after it. It is false until the broker has shown it.
	BrokerDelivers bool
	// Batches counts those that are in the rows.
	Batches int64
	// Pending are the events of the batch that is being applied.
	Pending int
	// Generation of the rows that serve; 0 before that was looked up.
	Generation int64
	// HeldUpSince is since when there is work that does not get on: a batch that
	// is not in the rows yet, or a log that cannot be read. Zero while there is
	// none. A moment is nothing; half a minute is.
	HeldUpSince time.Time
	// HeldUp says what does not get on, in words for operators.
	HeldUp string
}

// What does not get on.
const (
	unapplied = "events are not applied"
	unread    = "the log cannot be read"
)

// part is what can fail by itself.
type part int

const (
	partApply part = iota
	partLog
	partBroker
	parts
)

// String names the part in log lines.
func (p part) String() string { return [parts]string{"apply", "log", "broker"}[p] }

// epochError stops the projection: its rows may be ahead of a restored log.
type epochError struct {
	// entered is the log's epoch.
	entered int64
}

// Error says what has to be done.
func (e *epochError) Error() string {
	return fmt.Sprintf("the log entered epoch %d; the projection has to be rebuilt", e.entered)
}

// status gathers what the parts report.
type status struct {
	logger *slog.Logger

	mu       sync.Mutex
	now      Stats // but State, LastError, Rate and Lag
	failures [parts]error
	caughtUp bool
	applying rate
	// oldest is when the oldest event occurred that is not in the rows; zero when
	// all are.
	oldest time.Time
	// unseen is since when the log was to be read; zero once it was.
	unseen time.Time
	// answer is when the log has to have answered that is being read; zero while
	// none is.
	answer time.Time
	// batch is since when a batch is being applied, unread since when the log
	// cannot be read; zero for neither.
	batch, unread time.Time
}

// slowAnswer is from when on a log that does not answer is a lag: what it has,
// nobody knows.
const slowAnswer = time.Second

// maxUnknown bounds the types that are counted.
const maxUnknown = 100

func newStatus(logger *slog.Logger) *status { return &status{logger: logger} }

// begins notes that the log is followed from where the rows stand.
func (s *status) begins() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caughtUp = false
	s.unseen = time.Now()
}

// reads notes that the log is being read, and has to answer by then; the zero
// time, that it is not.
func (s *status) reads(answer time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// behind notes how many events of the log are not in the rows, the oldest of
// which occurred then; none once the head is reached.
func (s *status) behind(events int64, oldest time.Time, atHead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.LagEvents = events
	s.unseen = time.Time{}
	switch {
	case events == 0 && atHead:
		s.oldest = time.Time{}
	case !oldest.IsZero():
		s.oldest = oldest
	}
}

// observed notes what the tables say.
func (s *status) observed(generation, parked int64, oldest *time.Time, last *Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Generation, s.now.Parked, s.now.OldestParked = generation, parked, time.Time{}
	if oldest != nil {
		s.now.OldestParked = *oldest
	}
	s.now.Progress = nil
	if last != nil && last.State == Running {
		progress := 0.0
		if total := last.EventsDone + last.EventsLeft; total > 0 {
			progress = float64(last.EventsDone) / float64(total)
		}
		s.now.Progress = &progress
	}
}

// unknown counts an event of a type that this program does not know. The first
// of each type is logged.
func (s *status) unknown(eventType string) {
	s.mu.Lock()
	count, seen := s.now.Unknown[eventType]
	if !seen && len(s.now.Unknown) == maxUnknown {
		s.mu.Unlock()
		return
	}
	if s.now.Unknown == nil {
		s.now.Unknown = map[string]int64{}
	}
	s.now.Unknown[eventType] = count + 1
	s.mu.Unlock()
	if !seen {
		s.logger.Warn("the log has events of a type that this program does not know; rebuild once it does, if the projection needs them", "type", eventType)
	}
}

// report says how a part is, nil for well. A line is logged when that changes.
func (s *status) report(of part, err error) {
	s.mu.Lock()
	before := s.failures[of]
	s.failures[of] = err
	switch {
	case of == partLog:
		s.unread = failingSince(s.unread, err)
	case of == partApply && err == nil && s.now.Pending > 0: // a part of the batch is in the rows
		s.batch = time.Now()
	case of == partApply:
		s.batch = failingSince(s.batch, err)
	}
	s.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.logger.Error("projection is held up", "part", of.String(), "error", err)
	case err == nil && before != nil:
		s.logger.Info("projection goes on", "part", of.String())
	}
}

// failingSince is when something began to fail; zero where it does not.
func failingSince(before time.Time, err error) time.Time {
	switch {
	case err == nil:
		return time.Time{}
	case before.IsZero():
		return time.Now()
	}
	return before
}

// took notes that a batch is being applied.
func (s *status) took(events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Pending = events
	if events > 0 { // a page of the log may be empty
		s.batch = time.Now()
	}
}

// settled notes that it is in the rows.
func (s *status) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Pending > 0 {
		s.now.Batches++
	}
	s.now.Pending = 0
	s.batch = time.Time{}
}

// wrote notes which generation of the rows was written.
func (s *status) wrote(generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Generation = generation
}

// applied counts events whose rows are committed, the newest of them this old.
func (s *status) applied(events int, latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Applied += int64(events)
	s.now.Latency = latency
	s.applying.add(events, time.Now())
}

// count of the events that this process has applied to the rows that serve.
func (s *status) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Applied
}

// dropped counts a message that was no event of this log.
func (s *status) dropped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Dropped++
}

// brokerDelivers says whether the tail leaves the work to the broker.
func (s *status) brokerDelivers(delivers bool) {
	s.mu.Lock()
	before := s.now.BrokerDelivers
	s.now.BrokerDelivers = delivers
	s.mu.Unlock()
	if before != delivers {
		s.logger.Info("tail of the log changes its pace", "brokerDelivers", delivers)
	}
}

// reachedHead ends the catching up.
func (s *status) reachedHead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caughtUp = true
}

func (s *status) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	stats := s.now
	stats.Unknown = maps.Clone(s.now.Unknown)
	stats.Rate = s.applying.perSecond(now)
	if !s.oldest.IsZero() {
		stats.Lag = max(now.Sub(s.oldest), 0)
	}
	// What the broker has brought, no page of the log may have shown yet.
	stats.LagEvents = max(stats.LagEvents, int64(s.now.Pending))
	// What was appended since a log was read, or is to be read at first, is not known.
	for _, since := range []time.Time{s.batch, s.unread, s.unseen} {
		if !since.IsZero() {
			stats.Lag = max(now.Sub(since), stats.Lag)
		}
	}
	if late := now.Sub(s.answer); !s.answer.IsZero() && late > slowAnswer {
		stats.Lag = max(late, stats.Lag)
	}
	for _, failure := range s.failures {
		if failure != nil {
			stats.LastError = failure.Error()
			break
		}
	}
	switch {
	case !s.batch.IsZero() && (s.unread.IsZero() || !s.unread.Before(s.batch)):
		stats.HeldUpSince, stats.HeldUp = s.batch, unapplied
	case !s.unread.IsZero():
		stats.HeldUpSince, stats.HeldUp = s.unread, unread
	}
	var epoch *epochError
	switch {
	case errors.As(s.failures[partApply], &epoch):
		stats.State = RebuildNeeded
	case s.failures[partApply] != nil:
		stats.State = Failing
	case s.caughtUp:
		stats.State = Live
	default:
		stats.State = CatchingUp
	}
	return stats
}
