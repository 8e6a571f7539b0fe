package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster-id/muster/eventstore"
)

// Head is an empty page at the present head: a read after its Next gives what is
// committed from now on, and nothing of before.
func (l *Log) Head(ctx context.Context) (eventstore.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := l.acquire(ctx)
	if err != nil {
		return eventstore.Page{}, fmt.Errorf("read log: %w", err)
	}
	defer conn.Release()
	for range 3 {
		reader := l.reader()
		at, _, err := reader.here(ctx, conn.Conn())
		if err == nil {
			return eventstore.Page{Next: reader.encode(at), Epoch: reader.epoch, AtHead: true}, nil
		}
		if errors.Is(err, errOtherEpoch) {
			err = l.enter(ctx, conn.Conn())
		}
		if err != nil {
			return eventstore.Page{}, fmt.Errorf("read log: %w", err)
		}
	}
	return eventstore.Page{}, fmt.Errorf("read log: %w", eventstore.ErrEpochChanged)
}
