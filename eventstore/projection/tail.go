package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/backoff"
)

const (
	// lookInterval is how often the tail looks after a broker that delivers.
	lookInterval = 500 * time.Millisecond
	// catchUpLimit is how many events a page holds before the head is reached.
	catchUpLimit = 4 * batchLimit
	// headWait is how long the tail waits at the head when it carries the projection.
	headWait = 5 * time.Second
	// calm is how long nothing may have been late before the broker is trusted again.
	calm = 2 * time.Second
)

// tail reads the log page by page and moves on when a page is applied.
type tail struct {
	log    string
	source eventstore.LogReader
	// cursor to begin with.
	cursor eventstore.Cursor
	// submit returns when the page is in the rows, and whether an event in it
	// was late. It fails only when its context ends.
	submit func(context.Context, eventstore.Page) (bool, error)
	// brokerInTime is when the broker last brought a fresh event.
	brokerInTime func() time.Time
	status       *status
	// caughtUp is closed at the first head.
	caughtUp chan struct{}
}

// pace is how fast the tail goes: at the head's pace, or relaxed, looking now
// and then, since the broker delivers.
type pace struct {
	relaxed bool
	late    time.Time
}

// observe judges after each page. The broker has to show an event in time
// before it is trusted: silence proves nothing.
func (p *pace) observe(now time.Time, late bool, brokerInTime time.Time) {
	if late {
		p.relaxed, p.late = false, now
	} else if now.Sub(p.late) >= calm && brokerInTime.After(p.late) {
		p.relaxed = true
	}
}

// run reads until ctx ends.
func (t *tail) run(ctx context.Context) {
	var retry backoff.Backoff
	cursor := t.cursor
	pace := pace{late: time.Now()}
	reached := false
	for {
		wait := headWait
		if pace.relaxed || !reached {
			wait = 0
		}
		limit := batchLimit
		if !reached { // nobody waits for what is old
			limit = catchUpLimit
		}
		t.status.reads(time.Now().Add(wait))
		page, err := readPage(ctx, t.source, t.log, cursor, limit, wait)
		if ctx.Err() != nil {
			return
		}
		t.status.reads(time.Time{})
		t.status.report(partLog, err)
		if err != nil {
			if errors.Is(err, eventstore.ErrEpochChanged) || errors.Is(err, eventstore.ErrCursorInvalid) {
				// From the beginning, which skips what is applied, or shows the
				// epoch that was entered.
				cursor = ""
			}
			if retry.Pause(ctx) != nil {
				return
			}
			continue
		}
		retry.Reset()
		if !page.AtHead && len(page.Events) > 0 { // told now, since the page may have to wait for its turn
			t.status.behind(int64(len(page.Events))+page.Remaining, page.Events[0].OccurredAt, false)
		}
		late, err := t.submit(ctx, page)
		if err != nil {
			return
		}
		cursor = page.Next
		if page.AtHead && !reached {
			reached = true
			t.status.reachedHead()
			close(t.caughtUp)
		}
		pace.observe(time.Now(), late, t.brokerInTime())
		t.status.brokerDelivers(pace.relaxed)
		if pace.relaxed && page.AtHead && backoff.Sleep(ctx, lookInterval) != nil {
			return
		}
	}
}

// readPage reads a page and makes sure that it can be applied.
func readPage(ctx context.Context, source eventstore.LogReader, log string, cursor eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+sourceTimeout)
	defer cancel()
	page, err := source.ReadLog(ctx, cursor, limit, wait)
	if err != nil {
		return eventstore.Page{}, fmt.Errorf("read log: %w", err)
	}
	if page.Epoch < 1 {
		return eventstore.Page{}, fmt.Errorf("read log: epoch %d is none", page.Epoch)
	}
	for _, event := range page.Events {
		if event.Log != log {
			return eventstore.Page{}, fmt.Errorf("read log: it is %q, not %q", event.Log, log)
		}
	}
	return page, nil
}

// submitPage queues a page and waits until it is in the rows.
func (f *follower) submitPage(ctx context.Context, read eventstore.Page) (bool, error) {
	submitted := &page{Page: read, done: make(chan bool, 1)}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case f.queue <- work{page: submitted}:
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case late := <-submitted.done:
		return late, nil
	}
}
