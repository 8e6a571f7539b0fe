package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
	"github.com/muster-id/muster/eventstore/internal/panicking"
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

// last is when the page's last event occurred; zero for an empty page.
func (p *page) last() time.Time {
	if len(p.Events) == 0 {
		return time.Time{}
	}
	return p.Events[len(p.Events)-1].OccurredAt
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
	// held: the pointer row is held by us.
	held bool
}

// run is what follows in one stream on what is applied, without a gap.
type run struct {
	stream string
	events []eventstore.Event
}

// applyAll puts batch after batch into the generation that serves, until ctx
// ends, or with errLost.
func (f *follower) applyAll(ctx context.Context) error {
	for {
		b, ok := f.take(ctx)
		if !ok {
			return nil
		}
		if err := f.carry(ctx, b); err != nil {
			return err
		}
	}
}

// take waits for one piece of work and adds what lies ready behind it.
func (f *follower) take(ctx context.Context) (*batch, bool) {
	b := &batch{}
	select {
	case <-ctx.Done():
		return nil, false
	case next := <-f.queue:
		b.add(next)
	}
	for b.size() < batchLimit {
		select {
		case next := <-f.queue:
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
// acknowledged. Errors: ctx's own, errLost.
func (f *follower) carry(ctx context.Context, b *batch) error {
	f.status.took(b.size())
	var retry backoff.Backoff
	for {
		done, err := f.attempt(ctx, f.incarnation, b)
		if !done && ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errLost) {
			return err
		}
		f.status.report(partApply, err)
		if done {
			break
		}
		f.rebuildInNewEpoch(ctx, err)
		if err != nil && retry.Pause(ctx) != nil {
			return ctx.Err()
		}
	}
	f.status.settled()
	for _, applied := range b.messages {
		applied.Ack()
	}
	if b.page != nil {
		f.status.behind(b.page.Remaining, b.page.last(), b.page.AtHead)
		b.page.done <- b.late
	}
	return nil
}

// attempt is one go at a batch. It is done when all of it is in the rows or
// waits behind an event that is parked; not done without an error asks to go on
// at once.
func (p *Projector) attempt(ctx context.Context, incarnation uuid.UUID, b *batch) (bool, error) {
	began := time.Now()
	prepared, err := p.prepare(ctx, incarnation, b)
	if err != nil || prepared.again {
		return false, err
	}
	if prepared.empty() {
		return true, nil
	}
	switch err := p.put(ctx, prepared.at, prepared.change); {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, errMoved):
		return false, nil
	case divisible(err):
		if err := p.isolate(ctx, prepared.at, prepared.runs, err); !errors.Is(err, errMoved) {
			return false, err
		}
		return false, nil
	case err != nil:
		return false, err
	}
	p.trace(began, prepared.runs)
	return prepared.whole, nil
}

// change is what one transaction does to a generation.
type change struct {
	// runs are applied, sorted by stream.
	runs []run
	// opened are the events of runs that the projection handles, in their order;
	// nil to have them opened.
	opened []eventstore.Opened
	// behind are parked streams for which there is more, with its last version.
	behind map[string]int64
	// cursor that is reached; nil to leave it.
	cursor *eventstore.Cursor
}

func (c change) empty() bool { return len(c.runs) == 0 && len(c.behind) == 0 && c.cursor == nil }

// prepared is a batch that could be put into the rows.
type prepared struct {
	change
	at place
	// whole: it is all of the batch.
	whole bool
	// again: look again at once.
	again bool
}

// prepare looks what of a batch is new, and fills the gaps.
func (p *Projector) prepare(ctx context.Context, incarnation uuid.UUID, b *batch) (prepared, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	at, err := p.store.lookup(ctx, b.streams())
	if errors.Is(err, errNotRegistered) || err == nil && at.incarnation != incarnation {
		return prepared{}, errLost
	}
	if err != nil {
		return prepared{}, err
	}
	at.held = b.held
	if at.epoch == 0 && b.page != nil {
		return prepared{again: true}, p.store.adoptEpoch(ctx, b.page.Epoch)
	}
	news, err := b.news(at)
	if err != nil {
		return prepared{}, err
	}
	if b.page != nil {
		oldest := b.page.last()
		if len(news) > 0 {
			oldest = news[0].OccurredAt
		}
		p.status.behind(int64(len(news))+b.page.Remaining, oldest, b.page.AtHead)
	}
	next := prepared{at: at}
	if next.runs, next.behind, next.whole, err = p.fill(ctx, at, news); err != nil {
		return prepared{}, err
	}
	// The cursor of a page without events is not worth a transaction: to start
	// from the one before costs no more. One of an older epoch means nothing.
	if next.whole && b.page != nil && b.page.Epoch == at.epoch && len(b.page.Events) > 0 {
		next.cursor = &b.page.Next
	}
	return next, nil
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
// epoch are dropped. A page of a newer one stops the projection; a message that
// claims to be is dropped too, since the log will say so itself.
func (b *batch) news(at place) ([]eventstore.Event, error) {
	news := make([]eventstore.Event, 0, b.size())
	for _, event := range b.events {
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

// fill sorts events into runs and reads what lies between from the log. What is
// of a parked stream stays behind. It is not whole when the gaps were wider than
// one transaction should be.
func (p *Projector) fill(ctx context.Context, at place, events []eventstore.Event) (runs []run, behind map[string]int64, whole bool, err error) {
	events = inOrder(events)
	behind = map[string]int64{}
	whole = true
	budget := gapLimit
	for len(events) > 0 {
		next := run{stream: events[0].Stream}
		version := at.versions[next.stream] + 1
		end := slices.IndexFunc(events, func(e eventstore.Event) bool { return e.Stream != next.stream })
		if end < 0 {
			end = len(events)
		}
		if at.parked[next.stream] {
			behind[next.stream] = events[end-1].Version
			events = events[end:]
			continue
		}
		for _, event := range events[:end] {
			for version < event.Version && budget > 0 {
				missing, err := p.readGap(ctx, at.epoch, next.stream, version, min(int(event.Version-version), budget, batchLimit))
				if err != nil {
					return nil, nil, false, err
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
	return runs, behind, whole, nil
}

// readGap reads at least one and at most limit events of a stream.
func (p *Projector) readGap(ctx context.Context, epoch int64, stream string, from int64, limit int) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	events, err := p.source.ReadStream(ctx, stream, from, limit)
	if err != nil {
		return nil, fmt.Errorf("fill gap: %w: %w", ErrAway, err)
	}
	if len(events) == 0 || len(events) > limit {
		return nil, fmt.Errorf("fill gap: %w: the log gave %d of %d events of %s from version %d", ErrAway, len(events), limit, stream, from)
	}
	for i, event := range events {
		if event.Epoch > epoch {
			return nil, &epochError{entered: event.Epoch}
		}
		if event.Stream != stream || event.Version != from+int64(i) {
			return nil, fmt.Errorf("fill gap: %w: the log gave version %d of %s for version %d of %s", ErrAway, event.Version, event.Stream, from+int64(i), stream)
		}
	}
	return events, nil
}

// open decodes what the projection handles, all of it in one call.
func (p *Projector) open(ctx context.Context, runs []run) ([]eventstore.Opened, error) {
	var handled []eventstore.Event
	for _, run := range runs {
		handled = p.needed(handled, run.events)
	}
	return p.decodeAll(ctx, handled)
}

// needed adds those of the events that the projection handles.
func (p *Projector) needed(to, events []eventstore.Event) []eventstore.Event {
	to = slices.Grow(to, len(events))
	for _, event := range events {
		if p.handles(event.Type) {
			to = append(to, event)
		}
	}
	return to
}

func (p *Projector) decodeAll(ctx context.Context, handled []eventstore.Event) ([]eventstore.Opened, error) {
	if len(handled) == 0 {
		return nil, nil
	}
	opened, err := p.codec.Decode(ctx, handled)
	if err != nil {
		return nil, err // it says which event it is
	}
	return opened, nil
}

// put changes rows, applied versions and cursor in one transaction. Another
// process may have been faster since the lookup: what the locks show counts.
func (p *Projector) put(ctx context.Context, at place, c change) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if c.opened == nil {
		var err error
		if c.opened, err = p.open(ctx, c.runs); err != nil {
			return err
		}
	}
	var streams, missing []string
	for _, run := range c.runs {
		streams = append(streams, run.stream)
		if at.versions[run.stream] == 0 {
			missing = append(missing, run.stream)
		}
	}
	var advanced []advance
	err := pgx.BeginTxFunc(ctx, p.pool, byKey, func(tx pgx.Tx) error {
		locked, err := p.store.lock(ctx, tx, at, missing, streams)
		if err != nil {
			return err
		}
		advanced = beyond(locked, c.runs)
		opened := slices.DeleteFunc(c.opened, func(event eventstore.Opened) bool { return event.Version <= locked[event.Stream] })
		if err := p.applyTo(ctx, tx, at, opened); err != nil {
			return err
		}
		if err := p.store.wait(ctx, tx, at, c.behind); err != nil {
			return err
		}
		if err := p.store.unpark(ctx, tx, at, advanced); err != nil {
			return err
		}
		return p.store.advance(ctx, tx, at, advanced, c.cursor)
	})
	if err != nil {
		return err
	}
	p.tell(at, advanced)
	return nil
}

// applyTo hands the events to the projection.
func (p *Projector) applyTo(ctx context.Context, tx pgx.Tx, at place, opened []eventstore.Opened) (err error) {
	defer panicking.Caught(&err)
	if len(opened) == 0 {
		return nil
	}
	if err := p.projection.Apply(ctx, tx, at.generation, opened); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	reactor, reacts := p.projection.(Reactor)
	if !reacts || at.feeding != nil && at.feeding.state == Verifying {
		return nil
	}
	if err := reactor.React(ctx, tx, opened); err != nil {
		return fmt.Errorf("react: %w", err)
	}
	return nil
}

// advance is a stream that has moved on.
type advance struct {
	run
	version int64
}

// beyond are the runs as far as they lie behind the versions that are locked.
func beyond(locked map[string]int64, runs []run) []advance {
	advanced := make([]advance, 0, len(runs))
	for _, r := range runs {
		first := slices.IndexFunc(r.events, func(event eventstore.Event) bool { return event.Version > locked[r.stream] })
		if first < 0 {
			continue
		}
		rest := r.events[first:]
		advanced = append(advanced, advance{run{r.stream, rest}, rest[len(rest)-1].Version})
	}
	return advanced
}

// tell wakes who waits, and counts, after the commit.
func (p *Projector) tell(at place, advanced []advance) {
	if at.feeding != nil {
		return
	}
	var newest time.Time
	count := 0
	versions := make(map[string]int64, len(advanced))
	for _, a := range advanced {
		versions[a.stream] = a.version
		count += len(a.events)
		for _, event := range a.events {
			if event.OccurredAt.After(newest) {
				newest = event.OccurredAt
			}
			if known, can := p.codec.(knower); can && !p.handles(event.Type) && !known.Known(event.Type) {
				p.status.unknown(event.Type)
			}
		}
	}
	p.status.wrote(at.generation)
	if count > 0 {
		p.status.applied(count, time.Since(newest))
		p.waiters.settle(at.epoch, versions)
	}
}
