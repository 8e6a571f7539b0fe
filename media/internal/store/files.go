package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/muster-id/muster/media/internal/files"
)

var (
	//go:embed queries/list_own.sql
	listOwn string
	//go:embed queries/list_shared.sql
	listShared string
	//go:embed queries/shared_with.sql
	sharedWith string
)

// File is a row of read.files with its access list.
type File struct {
	ID, Owner   uuid.UUID
	Name        string
	ContentType string
	// Size in bytes.
	Size   int64
	Public bool
	// UploadedAt is when it was completed.
	UploadedAt time.Time
	// Readers are told of the owner's own files only.
	Readers []uuid.UUID
}

// Place is where a page ended.
type Place struct {
	UploadedAt time.Time
	ID         uuid.UUID
}

// OwnFiles gives at most limit files of a person, the newest first, from the
// first one or after a place.
func (s *Store) OwnFiles(ctx context.Context, person uuid.UUID, after *Place, limit int) ([]File, error) {
	return s.list(ctx, listOwn, person, after, limit)
}

// SharedFiles gives those that others share with the person by name.
func (s *Store) SharedFiles(ctx context.Context, person uuid.UUID, after *Place, limit int) ([]File, error) {
	return s.list(ctx, listShared, person, after, limit)
}

func (s *Store) list(ctx context.Context, query string, person uuid.UUID, after *Place, limit int) ([]File, error) {
	// Before the first page lies the end of time: one query, one range of the index.
	at, id := pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}, uuid.Max
	if after != nil {
		at, id = pgtype.Timestamptz{Time: after.UploadedAt, Valid: true}, after.ID
	}
	rows, err := s.pool.Query(ctx, query, files.Name, person, at, id, limit)
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (File, error) {
		var f File
		err := row.Scan(&f.ID, &f.Owner, &f.Name, &f.ContentType, &f.Size, &f.Public, &f.UploadedAt, &f.Readers)
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return found, nil
}

// SharedWith gives all files that are shared with a person by name, inside tx.
func (s *Store) SharedWith(ctx context.Context, tx pgx.Tx, person uuid.UUID) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, sharedWith, files.Name, person)
	if err != nil {
		return nil, fmt.Errorf("find shares: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("find shares: %w", err)
	}
	return ids, nil
}
