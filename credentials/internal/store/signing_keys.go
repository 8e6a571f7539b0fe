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
		_, err = tx.Exec(ctx, addSigningKey, key.ID, signing.Algorithm, []byte(key.Public), key.SealedPrivate, key.CreatedAt)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return keys, nil
}

func scanSigningKey(row pgx.CollectableRow) (signing.Key, error) {
	var key signing.Key
	err := row.Scan(&key.ID, &key.Public, &key.SealedPrivate, &key.CreatedAt)
	return key, err
}
