package eventlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
)

// still is a log in which nothing happens.
type still struct {
	eventlog.Reader
	waiting chan struct{}
}

func (s still) ReadMatching(ctx context.Context, _ eventstore.Filter, after eventstore.Cursor, _ int, wait time.Duration) (eventstore.Page, error) {
	if wait > 0 {
		close(s.waiting)
		<-ctx.Done()
		return eventstore.Page{}, ctx.Err()
	}
	return eventstore.Page{Next: after, AtHead: true}, nil
}

func TestWhoWaitsAtTheHeadIsAnsweredAtShutdown(t *testing.T) {
	t.Parallel()
	log := still{waiting: make(chan struct{})}
	leaving := make(chan struct{})
	go func() {
		<-log.waiting
		close(leaving)
	}()
	page, err := eventlog.Patient(log, leaving).ReadMatching(t.Context(), eventstore.Filter{}, "here", 10, time.Hour)
	if err != nil || page.Next != "here" || !page.AtHead {
		t.Errorf("got %+v, %v", page, err)
	}
}

func TestWhoGivesUpWaitingIsNotAnswered(t *testing.T) {
	t.Parallel()
	log := still{waiting: make(chan struct{})}
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		<-log.waiting
		giveUp()
	}()
	if _, err := eventlog.Patient(log, nil).ReadMatching(ctx, eventstore.Filter{}, "here", 10, time.Hour); err == nil {
		t.Error("the reader is answered though it has gone")
	}
}
