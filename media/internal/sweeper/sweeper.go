package sweeper

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/store"
)

const (
	// interval is the mean pause between two looks where nothing is left to do,
	// longest the one after repeated failures.
	interval = time.Second
	longest  = 30 * time.Second
	// batch is how many rows are held at once, parallel how many of their objects
	// are dealt with at a time.
	batch    = 64
	parallel = 8
	// judging bounds how long the rows of a batch are held. The database ends a
	// transaction that idles for 30 seconds.
	judging = 15 * time.Second
	// strayInterval is the mean pause between two looks for strays.
	strayInterval = time.Hour
)

// Rows are what is known of objects.
type Rows interface {
	Sweep(ctx context.Context, limit int, judge func(context.Context, []store.Due) []store.Verdict) (held int, err error)
}

// Objects are the storage.
type Objects interface {
	// Delete deletes an object; one that is not there is no fault.
	Delete(ctx context.Context, ref object.Ref) error
}

// Keeper knows what the log says.
type Keeper interface {
	// Keeps tells whether the log keeps an object at this moment.
	Keeps(ctx context.Context, ref object.Ref) (bool, error)
}

// Strays are posts that ended long after their form had expired.
type Strays interface {
	// DeleteStrays deletes objects that no row knows any more, and counts them.
	DeleteStrays(ctx context.Context) (int, error)
}

// Stats is how sweeping goes, for metrics.
type Stats struct {
	// Deleted counts objects that were deleted; Strays those of them that no row knew.
	Deleted, Strays int64
	// Kept counts objects that the log kept after all.
	Kept int64
	// Failed counts objects that could not be dealt with, each time anew.
	Failed int64
	// LastError is what fails at present; empty when nothing does.
	LastError string
}

// Sweeper sweeps.
type Sweeper struct {
	rows    Rows
	objects Objects
	log     Keeper
	strays  Strays
	logger  *slog.Logger

	mu    sync.Mutex
	stats Stats
}

// New makes a Sweeper; it does nothing before Run.
func New(rows Rows, objects Objects, log Keeper, strays Strays, logger *slog.Logger) *Sweeper {
	return &Sweeper{rows: rows, objects: objects, log: log, strays: strays, logger: logger}
}

// Run sweeps until ctx ends, and then gives nil. It outlives every fault.
func (s *Sweeper) Run(ctx context.Context) error {
	pause := interval
	strays := time.Now().Add(rand.N(strayInterval))
	for {
		err := s.Sweep(ctx)
		if err == nil && time.Now().After(strays) {
			strays = time.Now().Add(strayInterval/2 + rand.N(strayInterval))
			err = s.deleteStrays(ctx)
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to end
		}
		s.report(ctx, err)
		if err != nil {
			pause = min(2*pause, longest)
		} else {
			pause = interval
		}
		// Jitter, so that replicas do not look together.
		if backoff.Sleep(ctx, pause/2+rand.N(pause)) != nil {
			return nil //nolint:nilerr // told to end
		}
	}
}

// Sweep deals with all that is due, batch by batch, and stops at the first fault.
func (s *Sweeper) Sweep(ctx context.Context) error {
	for {
		var fault error
		held, err := s.rows.Sweep(ctx, batch, func(ctx context.Context, due []store.Due) []store.Verdict {
			verdicts, err := s.judge(ctx, due)
			fault = err
			return verdicts
		})
		if err := errors.Join(err, fault); err != nil || held < batch {
			return err
		}
	}
}

// judge deals with the objects of a batch. It gives an error where the storage
// failed, with what was done nevertheless.
func (s *Sweeper) judge(ctx context.Context, due []store.Due) ([]store.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, judging)
	defer cancel()
	verdicts := make([]store.Verdict, len(due))
	var group errgroup.Group
	group.SetLimit(parallel)
	// Once the storage fails, it need not fail for each.
	working, stop := context.WithCancel(ctx)
	defer stop()
	for i, d := range due {
		group.Go(func() error {
			if working.Err() != nil {
				return nil //nolint:nilerr // another one's failure tells
			}
			verdict, err := s.judgeOne(ctx, d)
			if err != nil {
				stop()
			}
			verdicts[i] = verdict
			return err
		})
	}
	err := group.Wait()
	s.count(verdicts)
	return verdicts, err
}

func (s *Sweeper) judgeOne(ctx context.Context, d store.Due) (store.Verdict, error) {
	// What was uploaded is never kept itself: a copy of it is.
	if !d.Doomed && d.Kind != object.Upload {
		keeps, err := s.log.Keeps(ctx, d.Ref)
		if err != nil {
			s.logger.WarnContext(ctx, "nobody can tell whether an object is needed, looking again later", "key", d.Key(), "error", err)
			return store.Unclear, nil
		}
		if keeps {
			return store.Later, nil
		}
	}
	if err := s.objects.Delete(ctx, d.Ref); err != nil {
		return store.Undone, err
	}
	return store.Deleted, nil
}

func (s *Sweeper) deleteStrays(ctx context.Context) error {
	deleted, err := s.strays.DeleteStrays(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Deleted += int64(deleted)
	s.stats.Strays += int64(deleted)
	return err
}

func (s *Sweeper) count(verdicts []store.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, verdict := range verdicts {
		switch verdict {
		case store.Deleted:
			s.stats.Deleted++
		case store.Later:
			s.stats.Kept++
		case store.Undone, store.Unclear:
			s.stats.Failed++
		}
	}
}

// report logs a line when sweeping begins or ceases to fail.
func (s *Sweeper) report(ctx context.Context, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	before := s.stats.LastError
	s.stats.LastError = text
	s.mu.Unlock()
	switch {
	case err != nil && before == "":
		s.logger.WarnContext(ctx, "objects cannot be deleted, trying again", "error", err)
	case err == nil && before != "":
		s.logger.InfoContext(ctx, "objects are deleted again")
	}
}

// Stats tells how sweeping goes.
func (s *Sweeper) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}
