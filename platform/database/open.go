package database

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"github.com/muster-id/muster/platform/secret"
)

// Open opens a pool of at most size connections and shows that the server
// answers. Every session bounds its statements, its waits for locks and its
// idling inside a transaction, so that no forgotten one holds others up.
func Open(ctx context.Context, url secret.String, name string, size int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url.Reveal())
	if err != nil {
		return nil, fmt.Errorf("open database of %s: the URL is not valid", name) // its text holds the password
	}
	config.MaxConns = size
	config.MaxConnIdleTime = 5 * time.Minute
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	for setting, value := range map[string]string{
		"application_name":                    name,
		"statement_timeout":                   "30s",
		"lock_timeout":                        "5s",
		"idle_in_transaction_session_timeout": "30s",
	} {
		if _, given := config.ConnConfig.RuntimeParams[setting]; !given {
			config.ConnConfig.RuntimeParams[setting] = value
		}
	}
	// Without it pgx asks each id for a driver.Value, some 7 µs each in a list.
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database of %s: %w", name, err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database of %s: %w", name, err)
	}
	return pool, nil
}
