package eventlog

import (
	"context"
	"time"

	"github.com/muster-id/muster/eventstore"
)

// Patient is a log whose readers wait at its head only until leaving is closed:
// else the shutdown of the service that serves it would wait for them.
func Patient(reader Reader, leaving <-chan struct{}) Reader {
	return &patient{Reader: reader, leaving: leaving}
}

type patient struct {
	Reader
	leaving <-chan struct{}
}

// ReadMatching reads as eventstore.FilteredReader says.
func (p *patient) ReadMatching(ctx context.Context, filter eventstore.Filter, after eventstore.Cursor, limit int, wait time.Duration) (eventstore.Page, error) {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-p.leaving:
			stop()
		case <-waiting.Done():
		}
	}()
	page, err := p.Reader.ReadMatching(waiting, filter, after, limit, wait)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return p.Reader.ReadMatching(ctx, filter, after, limit, 0) // what there is
	}
	return page, err
}
