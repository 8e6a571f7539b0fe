package projection

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
)

var (
	//go:embed queries/park.sql
	parkSQL string
	//go:embed queries/queue_behind.sql
	queueBehindSQL string
	//go:embed queries/hold_parked.sql
	holdParkedSQL string
	//go:embed queries/unpark.sql
	unparkSQL string
	//go:embed queries/list_parked.sql
	listParkedSQL string
	//go:embed queries/waiting.sql
	waitingSQL string
	//go:embed queries/skip.sql
	skipSQL string
	//go:embed queries/skipped.sql
	skippedSQL string
	//go:embed queries/list_skipped.sql
	listSkippedSQL string
)

// maxListed bounds a list.
const maxListed = 1000

// Parked lists the events that cannot be applied to the rows that serve, those
// that were parked first in front, and no more than 1000.
func (p *Projector) Parked(ctx context.Context) ([]Parked, error) {
	return p.listParked(ctx, "", maxListed)
}

// ParkedEvent gives the parked event of a stream, as it is in the log. Errors:
// ErrNotParked.
func (p *Projector) ParkedEvent(ctx context.Context, stream string) (Parked, eventstore.Event, error) {
	parked, err := p.parkedOf(ctx, stream)
	if err != nil {
		return Parked{}, eventstore.Event{}, err
	}
	at, err := p.store.lookup(ctx, []string{stream})
	if err != nil {
		return Parked{}, eventstore.Event{}, fmt.Errorf("read parked event: %w", err)
	}
	events, err := p.readGap(ctx, at.epoch, stream, parked.Version, 1)
	if err != nil {
		return Parked{}, eventstore.Event{}, fmt.Errorf("read parked event: %w", err)
	}
	return parked, events[0], nil
}

// Retry applies the parked event of a stream and all that waits behind it, in
// their order, to the rows that serve. What fails is parked again, and told.
// Errors: ErrNotParked.
func (p *Projector) Retry(ctx context.Context, stream string) (Outcome, error) {
	if _, err := p.parkedOf(ctx, stream); err != nil {
		return Outcome{}, err
	}
	applied, stands, err := p.retry(ctx, stream, func() (place, error) { return p.store.lookup(ctx, []string{stream}) })
	outcome := Outcome{Applied: applied}
	if err != nil || !stands {
		return outcome, err
	}
	parked, err := p.parkedOf(ctx, stream)
	if err == nil {
		outcome.Parked = &parked
	}
	if errors.Is(err, ErrNotParked) { // somebody else has applied it, or left it out
		err = nil
	}
	return outcome, err
}

// retryAll tries what waits in a generation that is to serve again, since what
// was retried or left out meanwhile was so in the rows that served.
func (p *Projector) retryAll(ctx context.Context, f *feeding) error {
	rows, err := p.pool.Query(ctx, waitingSQL, p.Name(), f.generation)
	if err != nil {
		return fmt.Errorf("list parked streams: %w", err)
	}
	streams, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list parked streams: %w", err)
	}
	for _, stream := range streams {
		look := func() (place, error) {
			at := f.place()
			at.looks = true // a transaction of ours may have had no answer only
			at.know([]string{stream})
			err := p.store.lookupIn(ctx, at, []string{stream})
			return at, err
		}
		if _, _, err := p.retry(ctx, stream, look); err != nil {
			return err
		}
	}
	return nil
}

// retry applies what waits in a stream of the generation that look looks at,
// and counts it. stands tells that it has stopped at an event, which is parked
// again; one that was left out before does not stop it.
func (p *Projector) retry(ctx context.Context, stream string, look func() (place, error)) (applied int64, stands bool, err error) {
	var failed *suspect
	for {
		at, err := look()
		if err != nil {
			return applied, false, fmt.Errorf("retry parked stream: %w", err)
		}
		if !at.parked[stream] {
			return applied, false, nil
		}
		if failed != nil && at.versions[stream] < failed.events[0].Version {
			return applied, true, nil
		}
		var n int
		n, failed, err = p.retryPart(ctx, at, stream)
		applied += int64(n)
		// Whoever serves with us may have been faster; a lease that has ended is none of ours.
		if err != nil && (at.feeding != nil || !errors.Is(err, errMoved)) {
			return applied, false, fmt.Errorf("retry parked stream: %w", err)
		}
	}
}

// retryPart applies some of what waits, together or else one by one, and parks
// the event that fails.
func (p *Projector) retryPart(ctx context.Context, at place, stream string) (applied int, failed *suspect, err error) {
	events, err := p.readGap(ctx, at.epoch, stream, at.versions[stream]+1, batchLimit)
	if err != nil {
		return 0, nil, err
	}
	r := run{stream, events}
	if err = p.put(ctx, at, change{runs: []run{r}}); err == nil {
		return len(events), nil, nil
	}
	if !divisible(err) {
		return 0, nil, err
	}
	if failed, err = p.step(ctx, at, r); err != nil {
		return 0, nil, err
	}
	if failed == nil {
		return len(events), nil, nil
	}
	return len(events) - len(failed.events), failed, p.park(ctx, at, []suspect{*failed}, 1)
}

// Skip leaves the parked event of a stream out, if it is the one of that
// version, and then goes on as Retry does. The reason is kept, with who gave it.
// Errors: ErrNotParked, *OtherParkedError.
func (p *Projector) Skip(ctx context.Context, stream string, version int64, reason, by string) (Outcome, error) {
	parked, err := p.parkedOf(ctx, stream)
	if err != nil {
		return Outcome{}, err
	}
	if parked.Version != version {
		return Outcome{}, fmt.Errorf("skip version %d: %w", version, &OtherParkedError{Version: parked.Version})
	}
	at, err := p.store.lookup(ctx, []string{stream})
	if err != nil {
		return Outcome{}, fmt.Errorf("skip parked event: %w", err)
	}
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		locked, err := p.store.lock(ctx, tx, at, nil, []string{stream})
		if err != nil {
			return err
		}
		if locked[stream] != version-1 {
			return ErrNotParked // tried again meanwhile
		}
		if _, err := tx.Exec(ctx, skipSQL, p.Name(), stream, version, parked.EventID, parked.Type, reason, by); err != nil {
			return err
		}
		left := []advance{{run{stream: stream}, version}}
		if err := p.store.unpark(ctx, tx, at, left); err != nil {
			return err
		}
		return p.store.advance(ctx, tx, at, left, nil)
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("skip parked event: %w", err)
	}
	p.logger.WarnContext(ctx, "an event is left out", "stream", stream, "version", version, "by", by)
	outcome, err := p.Retry(ctx, stream)
	if errors.Is(err, ErrNotParked) { // nothing waited behind it
		return Outcome{}, nil
	}
	if err != nil {
		return outcome, fmt.Errorf("version %d is left out; apply what waits behind it: %w", version, err)
	}
	return outcome, nil
}

// Skipped lists the events that operators have left out, those that were left out
// last in front, and no more than 1000.
func (p *Projector) Skipped(ctx context.Context) ([]Skipped, error) {
	rows, err := p.pool.Query(ctx, listSkippedSQL, p.Name(), maxListed)
	if err != nil {
		return nil, fmt.Errorf("list skipped events: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Skipped, error) {
		one := Skipped{Log: p.log}
		err := row.Scan(&one.Stream, &one.Version, &one.EventID, &one.Type, &one.At, &one.By, &one.Reason)
		return one, err
	})
	if err != nil {
		return nil, fmt.Errorf("list skipped events: %w", err)
	}
	return found, nil
}

func (p *Projector) parkedOf(ctx context.Context, stream string) (Parked, error) {
	found, err := p.listParked(ctx, stream, 1)
	if err != nil {
		return Parked{}, err
	}
	if stream == "" || len(found) == 0 {
		return Parked{}, fmt.Errorf("stream %s: %w", stream, ErrNotParked)
	}
	return found[0], nil
}

func (p *Projector) listParked(ctx context.Context, stream string, limit int) ([]Parked, error) {
	rows, err := p.pool.Query(ctx, listParkedSQL, p.Name(), stream, limit)
	if err != nil {
		return nil, fmt.Errorf("list parked events: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Parked, error) {
		one := Parked{Log: p.log}
		err := row.Scan(&one.Generation, &one.Stream, &one.Version, &one.EventID, &one.Type, &one.OccurredAt, &one.ParkedAt,
			&one.Waiting, &one.Attempts, &one.Problem)
		return one, err
	})
	if err != nil {
		return nil, fmt.Errorf("list parked events: %w", err)
	}
	return found, nil
}

// park writes down that a stream waits.
func (s *store) park(ctx context.Context, tx pgx.Tx, at place, failed suspect, attempts int) error {
	event, last := failed.events[0], failed.events[len(failed.events)-1]
	_, err := tx.Exec(ctx, parkSQL, s.name, at.generation, event.Stream, event.Version, event.ID, event.Type, event.OccurredAt,
		last.Version, attempts, problemOf(failed.err))
	if err != nil {
		return fmt.Errorf("park event: %w", err)
	}
	return nil
}

// wait writes down how far parked streams go.
func (s *store) wait(ctx context.Context, tx pgx.Tx, at place, behind map[string]int64) error {
	if len(behind) == 0 {
		return nil
	}
	streams := slices.Sorted(maps.Keys(behind)) // as every lock on them is taken
	latest := make([]int64, len(streams))
	for i, stream := range streams {
		latest[i] = behind[stream]
	}
	tag, err := tx.Exec(ctx, queueBehindSQL, s.name, at.generation, streams, latest)
	if err != nil {
		return fmt.Errorf("wait behind parked events: %w", err)
	}
	if tag.RowsAffected() != int64(len(behind)) {
		return errMoved // one was tried again, and could be applied
	}
	return nil
}

// unpark ends the waiting of parked streams that have moved past all that waits.
func (s *store) unpark(ctx context.Context, tx pgx.Tx, at place, advanced []advance) error {
	if len(at.parked) == 0 {
		return nil
	}
	for _, a := range advanced {
		if !at.parked[a.stream] {
			continue
		}
		var latest int64
		err := tx.QueryRow(ctx, holdParkedSQL, s.name, at.generation, a.stream).Scan(&latest)
		if errors.Is(err, pgx.ErrNoRows) {
			return errMoved
		}
		if err == nil && a.version >= latest {
			_, err = tx.Exec(ctx, unparkSQL, s.name, at.generation, a.stream)
		}
		if err != nil {
			return fmt.Errorf("end waiting: %w", err)
		}
	}
	return nil
}

// skipped tells whether an operator has left the event out. In a new epoch
// another one may have its version.
func (s *store) skipped(ctx context.Context, tx pgx.Tx, event eventstore.Event) (skipped bool, err error) {
	if err := tx.QueryRow(ctx, skippedSQL, s.name, event.Stream, event.Version, event.ID).Scan(&skipped); err != nil {
		return false, fmt.Errorf("look up skipped events: %w", err)
	}
	return skipped, nil
}
