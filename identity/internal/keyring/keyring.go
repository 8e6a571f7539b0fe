package keyring

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/keyring/migrations"
	"github.com/muster-id/muster/platform/database"
)

var (
	//go:embed queries/get_keys.sql
	getKeys string
	//go:embed queries/make_keys.sql
	makeKeys string
	//go:embed queries/count_foreign_keys.sql
	countForeignKeys string
	//go:embed queries/destroy_keys.sql
	destroyKeys string
	//go:embed queries/get_secret.sql
	getSecret string
	//go:embed queries/make_secret.sql
	makeSecret string
)

// ErrForeignKey: a key that is to be destroyed was made for another service.
var ErrForeignKey = errors.New("key was made for another service")

// owner is the service that the keyring is a part of, and that Make and Destroy
// are for.
const owner = "identity"

// Migrations build schema keyring, in a database of its own.
func Migrations() database.Migrations {
	return database.Migrations{Schema: "keyring", Files: migrations.Files}
}

// Keyring keeps keys in its database. It is safe for concurrent use.
type Keyring struct {
	pool         *pgxpool.Pool
	kek          KeyEncryptionKey
	logger       *slog.Logger
	reservations Hasher
	fingerprints Hasher
}

var (
	_ seal.Keys      = (*Keyring)(nil)
	_ seal.Maker     = (*Keyring)(nil)
	_ seal.Destroyer = (*Keyring)(nil)
	_ seal.Maker     = Owned{}
	_ seal.Destroyer = Owned{}
)

// Open opens the keyring and makes the keys of its keyed hashes where there are
// none yet. A keyring that was wrapped under another key-encryption key is
// ErrWrongKeyEncryptionKey.
func Open(ctx context.Context, pool *pgxpool.Pool, kek KeyEncryptionKey, logger *slog.Logger) (*Keyring, error) {
	k := &Keyring{pool: pool, kek: kek, logger: logger}
	for what, hasher := range map[purpose]*Hasher{forReservations: &k.reservations, forFingerprints: &k.fingerprints} {
		opened, err := k.hasher(ctx, what)
		if err != nil {
			return nil, fmt.Errorf("open keyring: %s key: %w", what, err)
		}
		*hasher = opened
	}
	return k, nil
}

// Get implements seal.Keys, in one query. A key that does not open is Unknown,
// and logged: what waits for it waits, and all else goes on.
func (k *Keyring) Get(ctx context.Context, ids []string) (map[string]seal.Key, error) {
	keys := make(map[string]seal.Key, len(ids))
	wanted := make([]pgtype.UUID, 0, len(ids)) // pgx takes 7 µs to encode a uuid.UUID
	for _, id := range ids {
		keys[id] = seal.Key{ID: id, State: seal.Unknown}
		// In the one spelling that the rows come back in.
		if parsed, err := uuid.Parse(id); err == nil && parsed.String() == id {
			wanted = append(wanted, pgtype.UUID{Bytes: parsed, Valid: true})
		}
	}
	rows, err := k.pool.Query(ctx, getKeys, wanted)
	if err != nil {
		return nil, fmt.Errorf("get keys: %w", err)
	}
	var (
		id, wrappedUnder string
		wrapped          []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &wrapped, &wrappedUnder}, func() error {
		if wrapped == nil {
			keys[id] = seal.Key{ID: id, State: seal.Destroyed}
			return nil
		}
		key, err := k.kek.unwrap(forEvents, id, wrappedUnder, wrapped)
		if err != nil {
			k.logger.ErrorContext(ctx, "a key of the keyring cannot be opened", "key_id", id, "error", err)
			return nil
		}
		keys[id] = seal.Key{ID: id, State: seal.Alive, Bytes: seal.NewSecret(key)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("get keys: %w", err)
	}
	return keys, nil
}

// Make implements seal.Maker with keys of identity's.
func (k *Keyring) Make(ctx context.Context, n int) ([]seal.Key, error) {
	return k.Of(owner).Make(ctx, n)
}

// Destroy implements seal.Destroyer for keys of identity's. Errors: ErrForeignKey.
func (k *Keyring) Destroy(ctx context.Context, ids []string) error {
	return k.Of(owner).Destroy(ctx, ids)
}

// Of makes and destroys keys in the name of a service. All services that may
// ask read all keys; none destroys what another one has sealed.
func (k *Keyring) Of(service string) Owned { return Owned{ring: k, service: service} }

// Owned makes and destroys the keys of one service.
type Owned struct {
	ring    *Keyring
	service string
}

// Make implements seal.Maker, in one statement.
func (o Owned) Make(ctx context.Context, n int) ([]seal.Key, error) {
	keys := make([]seal.Key, n)
	ids := make([]uuid.UUID, n)
	wrapped := make([][]byte, n)
	for i := range n {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make keys: %w", err)
		}
		key := random()
		keys[i] = seal.Key{ID: id.String(), State: seal.Alive, Bytes: seal.NewSecret(key)}
		ids[i] = id
		wrapped[i] = o.ring.kek.wrap(forEvents, id.String(), key)
	}
	if _, err := o.ring.pool.Exec(ctx, makeKeys, ids, wrapped, o.ring.kek.id, o.service); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	return keys, nil
}

// Destroy implements seal.Destroyer: all keys or, where one of them was made for
// another service, none (ErrForeignKey). What the keyring has never heard of is
// passed over: there is nothing to destroy. Whoever remembers keys may open
// things with them for seal.MaxCacheAge more.
func (o Owned) Destroy(ctx context.Context, ids []string) error {
	wanted := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		parsed, err := uuid.Parse(id)
		if err != nil {
			return fmt.Errorf("destroy keys: an id is no UUID: %w", err)
		}
		wanted[i] = parsed
	}
	// Two statements: whose a key is never changes.
	var foreign int
	if err := o.ring.pool.QueryRow(ctx, countForeignKeys, wanted, o.service).Scan(&foreign); err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	if foreign > 0 {
		return fmt.Errorf("destroy keys: %w: %d of %d", ErrForeignKey, foreign, len(ids))
	}
	if _, err := o.ring.pool.Exec(ctx, destroyKeys, wanted, o.service); err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	return nil
}

// Reservations hashes the names that only one account may have.
func (k *Keyring) Reservations() Hasher { return k.reservations }

// Fingerprints hashes requests, to tell a repeated one from another.
func (k *Keyring) Fingerprints() Hasher { return k.fingerprints }

// hasher reads the key of a purpose, and makes it first where there is none. Of
// two processes that make one at the same time, both end with the same.
func (k *Keyring) hasher(ctx context.Context, what purpose) (Hasher, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Hasher{}, err
	}
	if _, err := k.pool.Exec(ctx, makeSecret, string(what), id, k.kek.wrap(what, id.String(), random()), k.kek.id); err != nil {
		return Hasher{}, err
	}
	var (
		keyID, wrappedUnder string
		wrapped             []byte
	)
	if err := k.pool.QueryRow(ctx, getSecret, string(what)).Scan(&keyID, &wrapped, &wrappedUnder); err != nil {
		return Hasher{}, err
	}
	key, err := k.kek.unwrap(what, keyID, wrappedUnder, wrapped)
	if err != nil {
		return Hasher{}, err
	}
	return Hasher{keyID: keyID, mac: func() hash.Hash { return hmac.New(sha256.New, key) }}, nil
}

// Hasher makes keyed hashes: HMAC-SHA-256 (RFC 2104).
type Hasher struct {
	keyID string
	// mac begins a hash. A function, so that the key shows in no print of the struct.
	mac func() hash.Hash
}

// KeyID names the key.
func (h Hasher) KeyID() string { return h.keyID }

// Sum hashes parts, each with its length in front, so that no two lists of
// parts read the same.
func (h Hasher) Sum(parts ...string) []byte {
	mac := h.mac()
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		_, _ = mac.Write(length[:]) // a hash never fails
		_, _ = mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}

func random() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return key
}
