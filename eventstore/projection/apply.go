package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/internal/backoff"
	"github.com/muster-id/muster/eventstore/internal/tracing"
)

const (
	// batchLimit is from how many events on a batch takes no more, and how many
	// a page of the tail or of a gap holds.
	batchLimit = 500
	// gapLimit bounds what one transaction takes from gaps; the rest of a wider
	// gap follows in the next.
	gapLimit = 4 * batchLimit
	// attemptTimeout bounds one go at a batch, the keys and the gaps included.
	attemptTimeout = time.Minute
	// sourceTimeout bounds one call to the log.
	sourceTimeout = 10 * time.Second
	// lateAfter is the age from which an event that the broker has not brought
	// is late.
	lateAfter = 300 * time.Millisecond
)

// work is what a source puts into the queue.
type work struct {
	// event and its message, to be acknowledged, from the broker.
	event   eventstore.Event
	message *message.Message
	// page from the tail; nil from the broker.
	page *page
}

// page of the log, whose tail waits for done.
type page struct {
	eventstore.Page
	// done takes whether one of its events was late.
	done chan bool
}

// batch is what goes into the rows together.
type batch struct {
	// events and their messages, from the broker.
	events   []eventstore.Event
	messages []*message.Message
	// page of the tail; nil when there is none.
	page *page
	// late: an event of the page should have come by the broker before.
	late bool
}

// run is what follows in one stream on what is applied, without a gap.
type run struct {
	stream string
	events []eventstore.Event
}

// applyAll is the one place where rows change: batch after batch until ctx ends.
func (p *Projector) applyAll(ctx context.Context) {
	for {
		b, ok := p.take(ctx)
		if !ok || !p.carry(ctx, b) {
			return
		}
	}
}

// take waits for one piece of work and adds what lies ready behind it.
func (p *Projector) take(ctx context.Context) (*batch, bool) {
	b := &batch{}
	select {
	case <-ctx.Done():
		return nil, false
	case next := <-p.queue:
		b.add(next)
	}
	for b.size() < batchLimit {
		select {
		case next := <-p.queue:
			b.add(next)
		default:
			return b, true
		}
	}
	return b, true
}

func (b *batch) add(w work) {
	if w.page != nil {
		b.page = w.page // the tail waits for it, so there is no second one
		return
	}
	b.events = append(b.events, w.event)
	b.messages = append(b.messages, w.message)
}

func (b *batch) size() int {
	if b.page == nil {
		return len(b.events)
	}
	return len(b.events) + len(b.page.Events)
}

// streams that have an event in the batch, each once.
func (b *batch) streams() []string {
	streams := make(map[string]struct{}, b.size())
	for _, event := range b.events {
		streams[event.Stream] = struct{}{}
	}
	if b.page != nil {
		for _, event := range b.page.Events {
			streams[event.Stream] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(streams))
}

// carry tries a batch until it is in the rows; only then are its messages
// acknowledged. It gives up, and says false, when ctx ends.
func (p *Projector) carry(ctx context.Context, b *batch) bool {
	p.status.took(b.size())
	var retry backoff.Backoff
	for {
		done, err := p.attempt(ctx, b)
		if !done && ctx.Err() != nil {
			return false
		}
		p.status.report(partApply, err)
		if done {
			break
		}
		if err != nil && retry.Pause(ctx) != nil {
			return false
		}
	}
	p.status.settled()
	for _, applied := range b.messages {
		applied.Ack()
	}
	if b.page != nil {
		b.page.done <- b.late
	}
	return true
}

// attempt is one go at a batch. It is done when all of it is in the rows; not
// done without an error asks to go on at once.
func (p *Projector) attempt(ctx context.Context, b *batch) (bool, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	at, err := p.store.lookup(ctx, b.streams())
	if err != nil {
		return false, err
	}
	if at.epoch == 0 && b.page != nil {
		return false, p.store.adoptEpoch(ctx, b.page.Epoch)
	}
	news, err := b.news(at)
	if err != nil {
		return false, err
	}
	runs, whole, err := p.fill(ctx, at, news)
	if err != nil {
		return false, err
	}
	opened, err := p.open(ctx, runs)
	if err != nil {
		return false, err
	}
	var cursor *eventstore.Cursor
	// The cursor of a page without events is not worth a transaction: to start
	// from the one before costs no more. One of an older epoch means nothing.
	if whole && b.page != nil && b.page.Epoch == at.epoch && len(b.page.Events) > 0 {
		cursor = &b.page.Next
	}
	if len(runs) == 0 && cursor == nil {
		return true, nil
	}
	if err := p.write(ctx, at, runs, opened, cursor); err != nil {
		if errors.Is(err, errMoved) {
			return false, nil
		}
		return false, err
	}
	p.trace(began, runs)
	return whole, nil
}

// trace shows the batch in the traces of the calls that its events came from.
func (p *Projector) trace(began time.Time, runs []run) {
	if p.tracers == nil {
		return
	}
	var events []eventstore.Event
	for _, run := range runs {
		events = append(events, run.events...)
	}
	tracing.Record(p.tracers, "apply "+p.projection.Name(), trace.SpanKindConsumer, began, events,
		attribute.String("muster.log", p.log), attribute.String("muster.projection", p.projection.Name()))
}

// news are the events that are not applied. Messages and pages of an older
// epoch are dropped; a newer one stops the projection.
func (b *batch) news(at place) ([]eventstore.Event, error) {
	news := make([]eventstore.Event, 0, b.size())
	for _, event := range b.events {
		if event.Epoch > at.epoch {
			return nil, &epochError{entered: event.Epoch}
		}
		if event.Epoch == at.epoch && event.Version > at.versions[event.Stream] {
			news = append(news, event)
		}
	}
	if b.page == nil || b.page.Epoch < at.epoch {
		return news, nil
	}
	if b.page.Epoch > at.epoch {
		return nil, &epochError{entered: b.page.Epoch}
	}
	for _, event := range b.page.Events {
		if event.Version > at.versions[event.Stream] {
			news = append(news, event)
			b.late = b.late || time.Since(event.OccurredAt) > lateAfter
		}
	}
	return news, nil
}

// fill sorts events into runs and reads what lies between from the log. It is
// not whole when the gaps were wider than one transaction should be.
func (p *Projector) fill(ctx context.Context, at place, events []eventstore.Event) (runs []run, whole bool, err error) {
	slices.SortFunc(events, func(a, b eventstore.Event) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Version, b.Version))
	})
	whole = true
	budget := gapLimit
	for len(events) > 0 {
		next := run{stream: events[0].Stream}
		version := at.versions[next.stream] + 1
		end := slices.IndexFunc(events, func(e eventstore.Event) bool { return e.Stream != next.stream })
		if end < 0 {
			end = len(events)
		}
		for _, event := range events[:end] {
			for version < event.Version && budget > 0 {
				missing, err := p.readGap(ctx, at.epoch, next.stream, version, min(int(event.Version-version), budget, batchLimit))
				if err != nil {
					return nil, false, err
				}
				next.events = append(next.events, missing...)
				version += int64(len(missing))
				budget -= len(missing)
			}
			if version < event.Version {
				whole = false
				break
			}
			if version == event.Version { // else it came twice
				next.events = append(next.events, event)
				version++
			}
		}
		if len(next.events) > 0 {
			runs = append(runs, next)
		}
		events = events[end:]
	}
	return runs, whole, nil
}

// readGap reads at least one and at most limit events of a stream.
func (p *Projector) readGap(ctx context.Context, epoch int64, stream string, from int64, limit int) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	events, err := p.source.ReadStream(ctx, stream, from, limit)
	if err != nil {
		return nil, fmt.Errorf("fill gap: %w", err)
	}
	if len(events) == 0 || len(events) > limit {
		return nil, fmt.Errorf("fill gap: the log gave %d of %d events of %s from version %d", len(events), limit, stream, from)
	}
	for i, event := range events {
		if event.Epoch > epoch {
			return nil, &epochError{entered: event.Epoch}
		}
		if event.Stream != stream || event.Version != from+int64(i) {
			return nil, fmt.Errorf("fill gap: the log gave version %d of %s for version %d of %s", event.Version, event.Stream, from+int64(i), stream)
		}
	}
	return events, nil
}

// open decodes what the projection handles, all of it in one call.
func (p *Projector) open(ctx context.Context, runs []run) ([]eventstore.Opened, error) {
	var handled []eventstore.Event
	for _, run := range runs {
		for _, event := range run.events {
			if p.projection.Handles(event.Type) {
				handled = append(handled, event)
			}
		}
	}
	if len(handled) == 0 {
		return nil, nil
	}
	opened, err := p.codec.Decode(ctx, handled)
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	return opened, nil
}

// write changes rows, applied versions and cursor in one transaction. Another
// process may have been faster since the lookup: what the locks show counts.
func (p *Projector) write(ctx context.Context, at place, runs []run, opened []eventstore.Opened, cursor *eventstore.Cursor) error {
	var streams, missing []string
	for _, run := range runs {
		streams = append(streams, run.stream)
		if at.versions[run.stream] == 0 {
			missing = append(missing, run.stream)
		}
	}
	var advanced map[string]int64
	var count int
	var newest time.Time
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		locked, err := p.store.lock(ctx, tx, at, missing, streams)
		if err != nil {
			return err
		}
		advanced = make(map[string]int64, len(runs))
		for _, run := range runs {
			for _, event := range run.events {
				if event.Version <= locked[run.stream] {
					continue
				}
				advanced[run.stream] = event.Version
				count++
				if event.OccurredAt.After(newest) {
					newest = event.OccurredAt
				}
			}
		}
		opened = slices.DeleteFunc(opened, func(event eventstore.Opened) bool { return event.Version <= locked[event.Stream] })
		if len(opened) > 0 {
			if err := p.projection.Apply(ctx, tx, at.generation, opened); err != nil {
				return fmt.Errorf("apply: %w", err)
			}
		}
		return p.store.advance(ctx, tx, at, advanced, cursor)
	})
	if err != nil {
		return err
	}
	p.status.wrote(at.generation)
	if count > 0 {
		p.status.applied(count, time.Since(newest))
		p.waiters.settle(at.epoch, advanced)
	}
	return nil
}
