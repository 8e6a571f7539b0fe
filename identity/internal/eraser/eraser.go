package eraser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/seal"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

const (
	// reader is the name that the checkpoint and the lead are kept under.
	reader = "eraser"
	// page is how many events are read at once.
	page = 500
	// lookInterval is how often the log is looked at when nothing wakes the eraser.
	lookInterval = 500 * time.Millisecond
	// lookPause is what lies between two looks however much is appended: an
	// erasure is rare, and each look costs the log's database something.
	lookPause = 100 * time.Millisecond
	// saveInterval is how often a cursor is saved that has passed no erasure. One
	// that is old makes a restart read a little more, nothing else.
	saveInterval = 10 * time.Second
	// eraseTimeout bounds one go at the erasures of a page.
	eraseTimeout = 30 * time.Second
)

// erasures are the events that it is about.
var erasures = eventstore.Filter{Types: []string{eventstore.TypeOf(&eventsv1.UserErased{})}}

// Decoder opens events; eventstore.Codec is one.
type Decoder interface {
	Decode(ctx context.Context, events []eventstore.Event) ([]eventstore.Opened, error)
}

// Rows are what is kept of people beside the log and its projections.
type Rows interface {
	// Forget deletes the rows of people who were erased; repeated, it changes nothing.
	Forget(ctx context.Context, erased []uuid.UUID) error
}

// Config of an Eraser.
type Config struct {
	// Log is identity's own.
	Log *postgres.Log
	// Codec opens its events.
	Codec Decoder
	// Keys destroys keys.
	Keys seal.Destroyer
	// Rows forgets people.
	Rows Rows
	// Logger gets a line for what was erased, and when something begins or ceases to fail.
	Logger *slog.Logger
}

// Eraser carries out erasures.
type Eraser struct {
	config Config

	mu    sync.Mutex
	stats Stats
}

// Stats is how an eraser is doing.
type Stats struct {
	// Leading tells whether this process is the one that erases.
	Leading bool
	// Erased counts the people erased since the start, those of a second pass
	// over the log included.
	Erased int64
	// Err is why it does not get on at present; nil when it does.
	Err error
}

// New makes an Eraser; it does nothing before Run.
func New(config Config) *Eraser { return &Eraser{config: config} }

// Stats tells how it is doing.
func (e *Eraser) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// Run erases until ctx ends, and then returns nil. It outlives every fault of
// the log and of what it destroys in: an erasure is tried until it is carried
// out, and those behind it wait.
func (e *Eraser) Run(ctx context.Context) error {
	var retry backoff.Backoff
	for {
		began := time.Now()
		err := e.follow(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to end
		}
		e.failed(ctx, err)
		retry.Worked(began)
		if retry.Pause(ctx) != nil {
			return nil //nolint:nilerr // told to end
		}
	}
}

// follow takes the lead and erases from the checkpoint on until something fails.
func (e *Eraser) follow(ctx context.Context) error {
	lead, err := e.config.Log.Lead(ctx, reader)
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	defer lead.Close()
	defer e.set(func(s *Stats) { s.Leading = false })
	e.set(func(s *Stats) { s.Leading = true })
	cursor, err := lead.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	saved, savedAt := cursor, time.Now()
	for {
		read, err := lead.ReadMatching(ctx, erasures, cursor, page)
		if cursor != "" && (errors.Is(err, eventstore.ErrEpochChanged) || errors.Is(err, eventstore.ErrCursorInvalid)) {
			cursor = ""
			continue
		}
		if err != nil {
			return fmt.Errorf("erase: %w", err)
		}
		erased, err := e.erase(ctx, read.Events)
		if err != nil {
			// The next go begins with this page: one that passed over the pages
			// before it again would seem to get on each time.
			if cursor != saved {
				err = errors.Join(err, lead.Save(ctx, cursor))
			}
			return fmt.Errorf("erase: %w", err)
		}
		cursor = read.Next
		if cursor != saved && (erased > 0 || time.Since(savedAt) >= saveInterval) {
			if err := lead.Save(ctx, cursor); err != nil {
				return fmt.Errorf("erase: %w", err)
			}
			saved, savedAt = cursor, time.Now()
		}
		e.succeeded(ctx, erased)
		if read.AtHead {
			if err := lead.Wait(ctx, lookInterval); err != nil {
				return fmt.Errorf("erase: %w", err)
			}
			if err := backoff.Sleep(ctx, lookPause); err != nil {
				return fmt.Errorf("erase: %w", err)
			}
		}
	}
}

// erase carries out the erasures of a page, and counts them.
func (e *Eraser) erase(ctx context.Context, events []eventstore.Event) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	if len(events) == 0 {
		return 0, nil
	}
	opened, err := e.config.Codec.Decode(ctx, events)
	if err != nil {
		return 0, err
	}
	var people []uuid.UUID
	var keys []string
	for _, event := range opened {
		message, ok := event.Message.(*eventsv1.UserErased)
		if !ok {
			return 0, fmt.Errorf("event %s is no erasure", event.ID)
		}
		id, err := uuid.Parse(message.GetUserId())
		if err != nil {
			return 0, fmt.Errorf("event %s: its user id is no UUID", event.ID)
		}
		people, keys = append(people, id), append(keys, message.GetKeyIds()...)
	}
	if err := e.config.Rows.Forget(ctx, people); err != nil {
		return 0, err
	}
	if len(keys) > 0 {
		if err := e.config.Keys.Destroy(ctx, keys); err != nil {
			return 0, err
		}
	}
	return len(people), nil
}

func (e *Eraser) set(change func(*Stats)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.stats)
}

// failed notes why it does not get on, and logs what was not so before.
func (e *Eraser) failed(ctx context.Context, err error) {
	var known bool
	e.set(func(s *Stats) { known, s.Err = s.Err != nil && s.Err.Error() == err.Error(), err })
	if !known {
		e.config.Logger.ErrorContext(ctx, "erasures are held up, trying again until they are carried out", slog.Any("error", err))
	}
}

func (e *Eraser) succeeded(ctx context.Context, erased int) {
	var failed bool
	e.set(func(s *Stats) {
		failed, s.Err = s.Err != nil, nil
		s.Erased += int64(erased)
	})
	if failed {
		e.config.Logger.InfoContext(ctx, "erasures are carried out again")
	}
	if erased > 0 {
		e.config.Logger.InfoContext(ctx, "people were erased", slog.Int("people", erased))
	}
}
