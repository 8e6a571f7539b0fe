package projection

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
)

const (
	// parkAfter is how often an event is tried alone before it is parked.
	parkAfter = 4
	// problemBytes bounds what is kept of a problem.
	problemBytes = 500
)

// suspect is an event that has failed alone, with what follows it in its stream.
type suspect struct {
	run
	err error
}

// isolate puts runs that failed together into the rows one part after the other,
// and parks the events that fail alone, again and again. All that can be applied
// is; of a stream, what comes before the event that fails.
func (p *Projector) isolate(ctx context.Context, at place, runs []run, failed error) error {
	p.logger.WarnContext(ctx, "a batch fails and is applied in parts", "streams", len(runs), "problem", problemOf(failed))
	suspects, err := p.halve(ctx, at, runs)
	if err != nil {
		return err
	}
	var retry backoff.Backoff
	for attempt := 1; attempt < parkAfter && len(suspects) > 0; attempt++ {
		if err := retry.Pause(ctx); err != nil {
			return err
		}
		before := suspects
		suspects = nil
		for _, s := range before {
			again, err := p.step(ctx, at, s.run)
			if err != nil {
				return err
			}
			if again != nil {
				suspects = append(suspects, *again)
			}
		}
	}
	return p.park(ctx, at, suspects, parkAfter)
}

// halve applies runs, in halves where they fail together.
func (p *Projector) halve(ctx context.Context, at place, runs []run) ([]suspect, error) {
	if len(runs) == 1 {
		alone, err := p.step(ctx, at, runs[0])
		if err != nil || alone == nil {
			return nil, err
		}
		return []suspect{*alone}, nil
	}
	var suspects []suspect
	for _, half := range [][]run{runs[:len(runs)/2], runs[len(runs)/2:]} {
		err := p.put(ctx, at, change{runs: half})
		if err == nil {
			continue
		}
		if !divisible(err) {
			return nil, err
		}
		found, err := p.halve(ctx, at, half)
		if err != nil {
			return nil, err
		}
		suspects = append(suspects, found...)
	}
	return suspects, nil
}

// step applies a run event by event, and gives the one that fails.
func (p *Projector) step(ctx context.Context, at place, r run) (*suspect, error) {
	for i := range r.events {
		err := p.put(ctx, at, change{runs: []run{{r.stream, r.events[i : i+1]}}})
		if err == nil {
			continue
		}
		if !divisible(err) {
			return nil, err
		}
		return &suspect{run{r.stream, r.events[i:]}, err}, nil
	}
	return nil, nil
}

// park writes down which events wait, in one transaction. One that an operator
// has left out before is left out again.
func (p *Projector) park(ctx context.Context, at place, suspects []suspect, attempts int) error {
	if len(suspects) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var parked []suspect
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		streams := make([]string, len(suspects))
		for i, s := range suspects {
			streams[i] = s.stream
		}
		locked, err := p.store.lock(ctx, tx, at, streams, streams)
		if err != nil {
			return err
		}
		var moves []advance
		for _, s := range suspects {
			event := s.events[0]
			if locked[s.stream] >= event.Version {
				continue // another process could
			}
			skipped, err := p.store.skipped(ctx, tx, event)
			if err != nil {
				return err
			}
			if skipped {
				moves = append(moves, advance{run{s.stream, s.events[:1]}, event.Version})
				continue
			}
			if err := p.store.park(ctx, tx, at, s, attempts); err != nil {
				return err
			}
			if at.feeding != nil { // a parked stream has a row there, also one without a version
				moves = append(moves, advance{run{s.stream, nil}, event.Version - 1})
			}
			parked = append(parked, s)
		}
		if err := p.store.unpark(ctx, tx, at, moves); err != nil {
			return err
		}
		return p.store.advance(ctx, tx, at, moves, nil)
	})
	if err != nil {
		return err
	}
	for _, s := range parked {
		event := s.events[0]
		p.logger.ErrorContext(ctx, "an event cannot be applied and is parked; its stream waits", "generation", at.generation,
			"stream", event.Stream, "version", event.Version, "event", event.ID.String(), "type", event.Type, "problem", problemOf(s.err))
	}
	return nil
}

// divisible tells whether a failure may be one event's own: then the others are
// better tried without it. A batch that takes too long may also be too large.
func divisible(err error) bool {
	if err == nil || away(err) {
		return false
	}
	for _, other := range []error{errMoved, errLost, errNotRegistered, context.Canceled, eventstore.ErrEpochChanged, eventstore.ErrCursorInvalid} {
		if errors.Is(err, other) {
			return false
		}
	}
	var epoch *epochError
	return !errors.As(err, &epoch)
}

// away tells whether something does not answer: the database, the log, the
// keyring. What is asked of them is as good as before.
func away(err error) bool {
	var (
		refused   *pgconn.PgError
		dial      *pgconn.ConnectError
		rpc       *connect.Error
		transport net.Error
	)
	switch {
	case errors.Is(err, ErrAway), errors.As(err, &dial), errors.As(err, &rpc):
		return true
	case errors.As(err, &refused):
		return !eventsOwn(refused.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return false // it was too much at once, or hangs
	case errors.As(err, &transport), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), pgconn.SafeToRetry(err):
		return true
	}
	return false
}

// eventsOwn tells whether the database refuses what an event says, or takes too
// long over it, by SQLSTATE: PostgreSQL, appendix A. Anything else is about the
// database itself, its tables and rights included.
func eventsOwn(code string) bool {
	switch {
	case strings.HasPrefix(code, "22"), strings.HasPrefix(code, "23"), strings.HasPrefix(code, "P0"): // data, integrity, raised
		return true
	case code == "57014": // query_canceled, by the statement's time-out
		return true
	}
	return false
}

// problemOf says what is wrong without what an event says: a message of the
// database may quote it.
func problemOf(err error) string {
	var refused *pgconn.PgError
	var text string
	switch {
	case errors.As(err, &refused):
		text = "the database refuses it: SQLSTATE " + refused.Code
		if refused.ConstraintName != "" {
			text += ", constraint " + refused.ConstraintName
		}
	case errors.Is(err, context.DeadlineExceeded):
		text = "it takes too long"
	default:
		text = err.Error()
	}
	return strings.ToValidUTF8(text[:min(len(text), problemBytes)], "")
}
