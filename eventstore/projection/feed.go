package projection

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
)

var (
	//go:embed queries/tended.sql
	tendedSQL string
	//go:embed queries/lease.sql
	leaseSQL string
	//go:embed queries/renew.sql
	renewSQL string
	//go:embed queries/give_back.sql
	giveBackSQL string
	//go:embed queries/adopt_generation_epoch.sql
	adoptGenerationEpochSQL string
	//go:embed queries/progress.sql
	progressSQL string
	//go:embed queries/operation_of.sql
	operationOfSQL string
)

const (
	// tendInterval is how often a process looks for generations to feed.
	tendInterval = time.Second
	// leaseTime is how long a generation waits for a process that has died.
	leaseTime = 10 * time.Second
	// renewInterval is how often a lease is renewed.
	renewInterval = time.Second
	// feedLimit is how many events of a generation that is made go into one
	// transaction.
	feedLimit = 5000
	// While events are applied to the rows that serve, pages are smaller, and each
	// is followed by a pause of so many times as long as it took. Measured on two
	// cores: live events then come 1.6 times as late as without a rebuild in the
	// middle, and 3.8 times at the 99th percentile.
	shyLimit = 1000
	giveWay  = 2
)

// returning: the former generation is to serve again.
const returning GenerationState = "returning"

// feeding is the lease on a generation that does not serve.
type feeding struct {
	generation int64
	// worker is who has it: another one for each lease, so that what is left of a
	// former lease of this process can do no more than anybody else's.
	worker uuid.UUID
	state  GenerationState
	epoch  int64
	cursor eventstore.Cursor
	// done and left are the events of an operation, rate is how many it reads.
	done, left int64
	rate       rate
	// sure: nothing of what lies behind the cursor is in the rows. It is not known
	// of what another process has begun, or what had no answer in time.
	sure bool
	// hurried: the rows that serve are held meanwhile.
	hurried bool
}

// place of the generation, of which nothing is known yet.
func (f *feeding) place() place { return place{generation: f.generation, epoch: f.epoch, feeding: f} }

// tend feeds the generations that do not serve, each as long as this process has
// the lease on it, until ctx ends.
func (p *Projector) tend(ctx context.Context) {
	var feeds sync.WaitGroup
	defer feeds.Wait()
	for {
		for _, number := range p.free(ctx) {
			f, err := p.store.lease(ctx, number)
			if err != nil || f == nil {
				continue
			}
			feeds.Go(func() { p.feed(ctx, f) })
		}
		timer := time.NewTimer(tendInterval)
		select {
		case <-ctx.Done():
		case <-p.tending:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// nudge makes tend look at once.
func (p *Projector) nudge() {
	select {
	case p.tending <- struct{}{}:
	default:
	}
}

// free are the generations that nobody feeds.
func (p *Projector) free(ctx context.Context) []int64 {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, tendedSQL, p.Name())
	if err != nil {
		return nil
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil
	}
	return numbers
}

// feed does with a generation what its state says. When it ends, for whatever
// reason, the next look finds what is left to do.
func (p *Projector) feed(ctx context.Context, f *feeding) {
	p.logger.InfoContext(ctx, "takes a generation", "generation", f.generation, "state", string(f.state))
	ctx, stop := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer stop()
		p.renew(ctx, f)
	})
	var err error
	if f.state == Dropping {
		err = p.deleteGeneration(ctx, f)
	} else {
		err = p.bringUp(ctx, f)
	}
	if errors.Is(err, errMoved) { // nothing is left to do, or somebody else does it
		err = nil
	}
	if err != nil && !errors.Is(err, errLater) && ctx.Err() == nil {
		p.logger.ErrorContext(ctx, "a generation is not fed any more; it is tried again", "generation", f.generation, "state", string(f.state), "error", err)
	}
	stop()
	renewing.Wait()
	p.giveBack(ctx, f)
	if err == nil { // else the next look is soon enough
		p.nudge()
	}
}

// renew keeps the lease, until it is lost, the generation is to be something
// else, or ctx ends.
func (p *Projector) renew(ctx context.Context, f *feeding) {
	since := time.Now()
	for backoff.Sleep(ctx, renewInterval) == nil {
		state, err := p.store.renew(ctx, f)
		switch {
		case errors.Is(err, pgx.ErrNoRows), err == nil && state != f.state:
			return
		case err == nil, lockedOut(err): // by our own page: nobody else can take the lease
			since = time.Now()
		case time.Since(since) > leaseTime: // somebody else may have it by now
			return
		}
	}
}

// lockedOut tells that a row was locked for too long.
func lockedOut(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "55P03"
}

// giveBack lets another process have the generation at once.
func (p *Projector) giveBack(ctx context.Context, f *feeding) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// Where that fails the lease ends by itself.
	_, _ = p.pool.Exec(ctx, giveBackSQL, p.Name(), f.generation, f.worker)
}

// bringUp feeds a generation from where it stands to the head of the log, and
// then does what it is made for.
func (p *Projector) bringUp(ctx context.Context, f *feeding) error {
	for {
		if err := p.feedAll(ctx, f, f.state == Former); err != nil {
			return p.settle(ctx, f, err)
		}
		if f.state == returning {
			if err := p.retryAll(ctx, f); err != nil {
				return p.settle(ctx, f, err)
			}
		}
		var done bool
		var err error
		if f.state == Verifying {
			done, err = p.verify(ctx, f)
		} else {
			done, err = p.swap(ctx, f)
		}
		if err != nil || done {
			return p.settle(ctx, f, err)
		}
	}
}

// fed is a page on its way into a generation.
type fed struct {
	eventstore.Page
	// opened are the events that the projection handles, in the order of streams
	// and versions; nil where that failed, to be tried again.
	opened []eventstore.Opened
	err    error
}

// feedAll puts page after page into the generation, up to the head, or for as
// long as ctx lasts. While one page is written, the next is opened and the one
// after it read.
func (p *Projector) feedAll(ctx context.Context, f *feeding, follow bool) error {
	ctx, stop := context.WithCancel(ctx)
	read, opened := make(chan fed, 1), make(chan fed, 1)
	var pipeline sync.WaitGroup
	defer pipeline.Wait()
	defer stop()
	pipeline.Go(func() {
		defer close(read)
		for page := range p.pages(ctx, f.cursor, follow) {
			if !handOn(ctx, read, page) {
				return
			}
		}
	})
	pipeline.Go(func() {
		defer close(opened)
		for page := range read {
			page.opened = p.openPage(ctx, page.Page)
			if !handOn(ctx, opened, page) {
				return
			}
		}
	})
	live := p.status.count()
	for page := range opened {
		if page.err != nil {
			return page.err
		}
		began := time.Now()
		if err := p.feedPage(ctx, f, page.Page, page.opened); err != nil {
			return err
		}
		if f.hurried {
			continue
		}
		// Whoever has just registered waits; nobody waits for these rows.
		p.shy.Store(p.status.count() != live)
		if p.shy.Load() && backoff.Sleep(ctx, giveWay*time.Since(began)) != nil {
			break
		}
		live = p.status.count()
	}
	return ctx.Err()
}

func handOn(ctx context.Context, to chan<- fed, page fed) bool {
	select {
	case <-ctx.Done():
		return false
	case to <- page:
		return true
	}
}

// pages reads the log, however long it is away, up to the head or beyond. The
// last page may be an error that trying again does not mend.
func (p *Projector) pages(ctx context.Context, cursor eventstore.Cursor, follow bool) iter.Seq[fed] {
	wait := time.Duration(0)
	if follow {
		wait = headWait
	}
	return func(yield func(fed) bool) {
		var retry backoff.Backoff
		for {
			limit := feedLimit
			if p.shy.Load() {
				limit = shyLimit
			}
			page, err := readPage(ctx, p.source, p.log, cursor, limit, wait)
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, eventstore.ErrEpochChanged), errors.Is(err, eventstore.ErrCursorInvalid):
				yield(fed{err: err})
				return
			case err != nil:
				if retry.Pause(ctx) != nil {
					return
				}
				continue
			}
			retry.Reset()
			cursor = page.Next
			if !yield(fed{Page: page}) || page.AtHead && !follow {
				return
			}
		}
	}
}

// openPage opens what the projection handles; nil where that fails: whoever
// applies the page tries again, and knows what to do about it.
func (p *Projector) openPage(ctx context.Context, page eventstore.Page) []eventstore.Opened {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	opened, err := p.decodeAll(ctx, inOrder(p.needed(nil, page.Events)))
	if err != nil {
		return nil
	}
	return slices.Grow(opened, 1) // not nil, also where there is nothing to open
}

// inOrder gives events by stream and version. It sorts their places, since an
// event is too large to be moved again and again.
func inOrder(events []eventstore.Event) []eventstore.Event {
	order := make([]int, len(events))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(events[a].Stream, events[b].Stream), cmp.Compare(events[a].Version, events[b].Version))
	})
	sorted := make([]eventstore.Event, len(events))
	for i, place := range order {
		sorted[i] = events[place]
	}
	return sorted
}

// feedPage puts a page into a generation, however long something is away.
func (p *Projector) feedPage(ctx context.Context, f *feeding, page eventstore.Page, opened []eventstore.Opened) error {
	if f.epoch == 0 {
		if err := p.store.adoptGenerationEpoch(ctx, f, page.Epoch); err != nil {
			return err
		}
	}
	if page.Epoch != f.epoch {
		return eventstore.ErrEpochChanged
	}
	if len(page.Events) == 0 {
		f.cursor, f.left = page.Next, page.Remaining
		return nil
	}
	f.done += int64(len(page.Events))
	f.left = page.Remaining
	f.rate.add(len(page.Events), time.Now())
	// What is made from the beginning has each stream's first event before all
	// others, so most streams need no look. One that is followed for long may have
	// read the log anew since.
	looked := !f.sure || f.state == Former || f.state == returning
	f.sure = false
	var retry backoff.Backoff
	for {
		whole, err := p.feedOnce(ctx, f, page, opened, looked)
		switch {
		case err == nil && whole:
			f.cursor, f.sure = page.Next, true
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errMoved), errors.Is(err, eventstore.ErrEpochChanged):
			return err
		case err != nil:
			p.logger.WarnContext(ctx, "a page cannot be put into a generation; it is tried again", "generation", f.generation, "error", err)
			if err := retry.Pause(ctx); err != nil {
				return err
			}
		}
		looked, opened = true, nil // a part of it may be in the rows
	}
}

func (p *Projector) feedOnce(ctx context.Context, f *feeding, page eventstore.Page, opened []eventstore.Opened, look bool) (whole bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	at, err := p.lookFor(bounded, f, page.Events, look)
	if err != nil {
		return false, err
	}
	news := make([]eventstore.Event, 0, len(page.Events))
	for _, event := range page.Events {
		if event.Version > at.versions[event.Stream] {
			news = append(news, event)
		}
	}
	c := change{cursor: &page.Next}
	if c.runs, c.behind, whole, err = p.fill(bounded, at, news); err != nil {
		return false, err
	}
	if !whole {
		c.cursor = nil
	}
	events := 0
	for _, r := range c.runs {
		events += len(r.events)
	}
	if len(news) == len(page.Events) && len(c.behind) == 0 && events == len(news) { // nothing less, and nothing more
		c.opened = opened
	}
	switch err := p.put(ctx, at, c); {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case divisible(err):
		at.looks = true // the transaction may have had no answer only
		return false, p.isolate(ctx, at, c.runs, err)
	default:
		return whole, err
	}
}

// lookFor looks what is applied of the page's streams: of all, or of those whose
// first event is not in it.
func (p *Projector) lookFor(ctx context.Context, f *feeding, events []eventstore.Event, all bool) (place, error) {
	first := make(map[string]int64, len(events))
	for _, event := range events {
		if _, seen := first[event.Stream]; !seen {
			first[event.Stream] = event.Version
		}
	}
	var streams []string
	for stream, version := range first {
		if all || version > 1 {
			streams = append(streams, stream)
		}
	}
	at := f.place()
	at.looks = all
	at.know(slices.Collect(maps.Keys(first)))
	if len(streams) == 0 {
		return at, nil
	}
	err := p.store.lookupIn(ctx, at, streams)
	return at, err
}

// lease takes a generation, or gives nil where another process has it.
func (s *store) lease(ctx context.Context, number int64) (*feeding, error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	f := &feeding{generation: number, worker: uuid.New()}
	err := s.pool.QueryRow(ctx, leaseSQL, s.name, number, f.worker, leaseTime).Scan(&f.state, &f.epoch, &f.cursor)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lease generation: %w", err)
	}
	err = s.pool.QueryRow(ctx, operationOfSQL, s.name, number).Scan(&f.done, &f.left)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("lease generation: %w", err)
	}
	return f, nil
}

func (s *store) renew(ctx context.Context, f *feeding) (state GenerationState, err error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	err = s.pool.QueryRow(ctx, renewSQL, s.name, f.generation, f.worker, leaseTime).Scan(&state)
	return state, err
}

// adoptGenerationEpoch says which epoch a generation is made from.
func (s *store) adoptGenerationEpoch(ctx context.Context, f *feeding, epoch int64) error {
	tag, err := s.pool.Exec(ctx, adoptGenerationEpochSQL, s.name, f.generation, f.worker, epoch)
	if err != nil {
		return fmt.Errorf("adopt epoch: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return errMoved
	}
	f.epoch = epoch
	return nil
}
