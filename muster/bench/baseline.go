package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/muster-id/muster/eventstore"
)

const (
	// readPage and readAhead are how a rebuild reads: events a page, and pages that
	// are read while one is applied.
	readPage  = 5000
	readAhead = 1
)

// readStream reads the whole log over the eventlog's RPC as a rebuild does, and
// drops what it reads: the same client, the same pages, as many of them ahead.
func readStream(ctx context.Context, log eventstore.LogReader, want int64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	pages := make(chan eventstore.Page, readAhead)
	failed := make(chan error, 1)
	go func() { // ends with ctx, or at the head
		defer close(pages)
		var at eventstore.Cursor
		for {
			page, err := log.ReadLog(ctx, at, readPage, 0)
			if err != nil {
				failed <- err
				return
			}
			select {
			case <-ctx.Done():
				return
			case pages <- page:
			}
			if page.AtHead {
				return
			}
			at = page.Next
		}
	}()
	var got int64
	for page := range pages {
		got += int64(len(page.Events))
	}
	select {
	case err := <-failed:
		return fmt.Errorf("read the log: %w", err)
	default:
	}
	if got < want {
		return fmt.Errorf("read the log: %d events came, not %d", got, want)
	}
	return ctx.Err()
}

// readPlain reads every column of the same rows with one statement, in the same
// order, and drops what it reads: the least that any reader has to do.
func readPlain(ctx context.Context, conn *pgx.Conn, want int64) error {
	rows, err := conn.Query(ctx, `
		SELECT "offset", transaction_id, event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
		       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
		FROM log.events
		ORDER BY "offset"`)
	if err != nil {
		return fmt.Errorf("read the rows: %w", err)
	}
	var (
		offset, version, got                      int64
		transaction                               uint64
		shard, schema                             int32
		id, key, metadataKey                      pgtype.UUID
		stream, eventType                         string
		occurred                                  time.Time
		payload, sealed, metadata, metadataSealed []byte
	)
	_, err = pgx.ForEachRow(rows, []any{
		&offset, &transaction, &id, &stream, &version, &shard, &eventType, &schema, &occurred,
		&payload, &sealed, &key, &metadata, &metadataSealed, &metadataKey,
	}, func() error {
		got++
		return nil
	})
	if err == nil && got < want {
		err = fmt.Errorf("%d rows came, not %d", got, want)
	}
	if err != nil {
		return fmt.Errorf("read the rows: %w", err)
	}
	return nil
}
