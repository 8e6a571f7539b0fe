package store

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/credentials/internal/signing"
)

var (
	//go:embed queries/signing_keys.sql
	signingKeys string
	//go:embed queries/add_signing_key.sql
	addSigningKey string
)

// signingKeysLock keeps two processes that start for the first time from making
// a key each.
const signingKeysLock = 0x7369676e // "sign"

// SigningKeys reads all keys, the oldest first. Where there are none it stores the one that
// generate makes: the first start.
func (s *Store) SigningKeys(ctx context.Context, generate func() (signing.Key, error)) ([]signing.Key, error) {
	var keys []signing.Key
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, signingKeysLock); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, signingKeys)
		if err != nil {
			return err
		}
		if keys, err = pgx.CollectRows(rows, scanSigningKey); err != nil || len(keys) > 0 {
			return err
		}
		key, err := generate()
		if err != nil {
			return err
		}
		keys = []signing.Key{key}
		return add(ctx, tx, key)
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return keys, nil
}

// KeepSigningKeys stores keys that a process holds where they are missing, and
// reads all that there are then.
func (s *Store) KeepSigningKeys(ctx context.Context, held []signing.Key) ([]signing.Key, error) {
	var keys []signing.Key
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Without the lock one that starts could make a key of its own meanwhile.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, signingKeysLock); err != nil {
			return err
		}
		for _, key := range held {
			if err := add(ctx, tx, key); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, signingKeys)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, scanSigningKey)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keep signing keys: %w", err)
	}
	return keys, nil
}

func add(ctx context.Context, tx pgx.Tx, key signing.Key) error {
	_, err := tx.Exec(ctx, addSigningKey, key.ID, signing.Algorithm, []byte(key.Public), key.SealedPrivate, key.CreatedAt)
	return err
}

func scanSigningKey(row pgx.CollectableRow) (signing.Key, error) {
	var key signing.Key
	err := row.Scan(&key.ID, &key.Public, &key.SealedPrivate, &key.CreatedAt)
	return key, err
}
