package keyring_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bench struct {
	urls database.URLs
	pool *pgxpool.Pool
	kek  keyring.KeyEncryptionKey
	log  *bytes.Buffer
}

func newBench(t testing.TB) bench {
	t.Helper()
	urls := teststack.Database(t, keyring.Migrations())
	pool, err := database.Open(t.Context(), urls.Runtime, "keyring test", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return bench{urls: urls, pool: pool, kek: keyEncryptionKey(t, 1), log: &bytes.Buffer{}}
}

func keyEncryptionKey(t testing.TB, fill byte) keyring.KeyEncryptionKey {
	t.Helper()
	kek, err := keyring.ParseKeyEncryptionKey(secret.New(hex.EncodeToString(bytes.Repeat([]byte{fill}, 32))))
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

func (b bench) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b.log, nil)) }

func (b bench) open(t testing.TB) *keyring.Keyring {
	t.Helper()
	opened, err := keyring.Open(t.Context(), b.pool, b.kek, b.logger())
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// asOwner changes rows as nobody can at run time.
func (b bench) asOwner(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), b.urls.Owner.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // nothing is pending
	tag, err := conn.Exec(t.Context(), statement, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	if tag.RowsAffected() == 0 {
		t.Fatal("no row was changed")
	}
}

func TestKeysOutliveARestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	made, err := b.open(t).Make(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	id := made[0].ID
	got, err := b.open(t).Get(t.Context(), []string{id})
	if err != nil || got[id].State != seal.Alive || !bytes.Equal(got[id].Bytes.Reveal(), made[0].Bytes.Reveal()) {
		t.Errorf("key %s came back as another, %v", id, err)
	}
}

func TestDatabaseHoldsNoKeyInClear(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	made, err := b.open(t).Make(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var wrapped []byte
	if err := b.pool.QueryRow(t.Context(), `SELECT wrapped FROM keyring.keys`).Scan(&wrapped); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, made[0].Bytes.Reveal()) {
		t.Error("the key stands in its row")
	}
}

func TestDestroyedRowKeepsNoMaterial(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, row := range map[string]string{
		"destroyed with material": `'\x01', now()`,
		"alive without":           `NULL, NULL`,
	} {
		conn, err := pgx.Connect(t.Context(), b.urls.Owner.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), `INSERT INTO keyring.keys (key_id, kek_id, made_for, wrapped, destroyed_at) VALUES (gen_random_uuid(), 'k', 'identity', `+row+`)`)
		if refused := (*pgconn.PgError)(nil); !errors.As(err, &refused) || refused.ConstraintName != "destroyed_key_keeps_no_material" {
			t.Errorf("%s: got %v", name, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestDestructionKeepsATombstoneAndNoMaterial(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ring := b.open(t)
	made, err := ring.Make(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	gone := []string{made[0].ID, made[1].ID}
	destroyed := func() (count int, last time.Time) {
		t.Helper()
		if err := b.pool.QueryRow(t.Context(), `SELECT count(*), max(destroyed_at) FROM keyring.keys WHERE wrapped IS NULL`).Scan(&count, &last); err != nil {
			t.Fatal(err)
		}
		return count, last
	}
	if err := ring.Destroy(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	count, when := destroyed()
	if count != 2 {
		t.Errorf("%d keys are destroyed, want 2", count)
	}
	// Again, with one that nobody has heard of: whoever was interrupted begins anew.
	if err := ring.Destroy(t.Context(), append(gone, uuid.NewString(), gone[0])); err != nil {
		t.Error(err)
	}
	if again, last := destroyed(); again != 2 || !last.Equal(when) {
		t.Errorf("%d keys are destroyed, the last at %s; want the 2 of %s", again, last, when)
	}
}

func TestAServiceDestroysItsOwnKeysOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ring := b.open(t)
	people, err := ring.Make(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	files, err := ring.Of("media").Make(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	mixed := []string{files[0].ID, people[0].ID}
	for name, destroyer := range map[string]seal.Destroyer{"identity": ring, "media": ring.Of("media"), "credentials": ring.Of("credentials")} {
		if err := destroyer.Destroy(t.Context(), mixed); !errors.Is(err, keyring.ErrForeignKey) {
			t.Errorf("%s: got %v, want ErrForeignKey", name, err)
		}
	}
	ids := []string{people[0].ID, files[0].ID, files[1].ID}
	got, err := ring.Get(t.Context(), ids) // all may be read by all
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if got[id].State != seal.Alive {
			t.Errorf("key %s is %v after it was refused", id, got[id].State)
		}
	}
	if err := ring.Of("media").Destroy(t.Context(), []string{files[0].ID, files[1].ID}); err != nil {
		t.Error(err)
	}
	if err := ring.Destroy(t.Context(), []string{files[0].ID}); !errors.Is(err, keyring.ErrForeignKey) {
		t.Errorf("a destroyed key of another service: got %v", err)
	}
	if _, err := ring.Of("").Make(t.Context(), 1); err == nil {
		t.Error("nobody was given a key")
	}
}

func TestRuntimeRoleChangesNoKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ring := b.open(t)
	made, err := ring.Make(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Destroy(t.Context(), []string{made[1].ID}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`UPDATE keyring.keys SET kek_id = 'x'`, `DELETE FROM keyring.keys`,
		`UPDATE keyring.keys SET made_for = 'media'`,
		`UPDATE keyring.keys SET wrapped = '\x01' WHERE destroyed_at IS NULL`,
		`INSERT INTO keyring.keys (key_id, kek_id, made_for, destroyed_at) VALUES (gen_random_uuid(), 'k', 'identity', now())`,
		`UPDATE keyring.secrets SET kek_id = 'x'`, `DELETE FROM keyring.secrets`,
		`DROP TABLE keyring.keys`,
	} {
		_, err := b.pool.Exec(t.Context(), statement)
		if refused := (*pgconn.PgError)(nil); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: got %v, want it refused", statement, err)
		}
	}
	// What is destroyed does not come back.
	tag, err := b.pool.Exec(t.Context(), `UPDATE keyring.keys SET wrapped = '\x01', destroyed_at = NULL WHERE key_id = $1`, made[1].ID)
	if err != nil || tag.RowsAffected() != 0 {
		t.Errorf("a tombstone was changed: %d rows, %v", tag.RowsAffected(), err)
	}
}

func TestWrongKeyEncryptionKeyIsSaidAtStart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.open(t)
	_, err := keyring.Open(t.Context(), b.pool, keyEncryptionKey(t, 2), b.logger())
	if !errors.Is(err, keyring.ErrWrongKeyEncryptionKey) {
		t.Errorf("got %v", err)
	}
	b.open(t) // and the right one still opens it
}

func TestRowPutInThePlaceOfAnotherDoesNotOpen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ring := b.open(t)
	made, err := ring.Make(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	b.asOwner(t, `UPDATE keyring.keys SET wrapped = (SELECT wrapped FROM keyring.keys WHERE key_id = $2) WHERE key_id = $1`, made[0].ID, made[1].ID)
	if got, err := ring.Get(t.Context(), []string{made[0].ID}); err != nil || got[made[0].ID].State != seal.Unknown {
		t.Errorf("got %v, %v, want it unknown", got[made[0].ID].State, err)
	}
	b.asOwner(t, `UPDATE keyring.secrets SET wrapped = (SELECT wrapped FROM keyring.secrets WHERE purpose = 'fingerprint') WHERE purpose = 'reservation'`)
	if _, err := keyring.Open(t.Context(), b.pool, b.kek, b.logger()); err == nil {
		t.Error("a secret opens for another purpose")
	}
}

func TestOneKeyThatDoesNotOpenKeepsNoOtherClosed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ring := b.open(t)
	made, err := ring.Make(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	b.asOwner(t, `UPDATE keyring.keys SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1) WHERE key_id = $1`, made[0].ID)
	b.asOwner(t, `UPDATE keyring.keys SET kek_id = 'another' WHERE key_id = $1`, made[1].ID)
	b.asOwner(t, `UPDATE keyring.keys SET wrapped = '\x02' WHERE key_id = $1`, made[2].ID)
	ids := []string{made[0].ID, made[1].ID, made[2].ID, made[3].ID}
	got, err := ring.Get(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids[:3] {
		if got[id].State != seal.Unknown || len(got[id].Bytes.Reveal()) != 0 {
			t.Errorf("key %s: state %v, want Unknown", id, got[id].State)
		}
		if !strings.Contains(b.log.String(), "key_id="+id) {
			t.Errorf("the log does not name key %s", id)
		}
	}
	if got[ids[3]].State != seal.Alive || !bytes.Equal(got[ids[3]].Bytes.Reveal(), made[3].Bytes.Reveal()) {
		t.Error("the key beside them does not open")
	}
	if strings.Contains(b.log.String(), ids[3]) {
		t.Error("the log names a key that opens")
	}
}

func TestKeyedHashesOutliveARestartAndDifferByPurpose(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := b.open(t), b.open(t)
	if !bytes.Equal(first.Reservations().Sum("username", "ada"), second.Reservations().Sum("username", "ada")) {
		t.Error("a name's hash has changed")
	}
	if first.Reservations().KeyID() != second.Reservations().KeyID() {
		t.Error("the key's id has changed")
	}
	if bytes.Equal(first.Reservations().Sum("ada"), first.Fingerprints().Sum("ada")) {
		t.Error("two purposes share a key")
	}
	if bytes.Equal(first.Reservations().Sum("us", "er"), first.Reservations().Sum("use", "r")) {
		t.Error("two lists of parts read the same")
	}
}

func TestTwoFirstStartsAtOnceEndWithTheSameKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hashes := make([][]byte, 4)
	var starts sync.WaitGroup
	for i := range hashes {
		starts.Go(func() {
			ring, err := keyring.Open(t.Context(), b.pool, b.kek, b.logger())
			if err != nil {
				t.Error(err)
				return
			}
			hashes[i] = append(ring.Reservations().Sum("ada"), ring.Fingerprints().Sum("ada")...)
		})
	}
	starts.Wait()
	for _, hash := range hashes[1:] {
		if !bytes.Equal(hash, hashes[0]) {
			t.Fatal("two processes hash differently")
		}
	}
}

func TestKeyEncryptionKeyDoesNotShowInAPrint(t *testing.T) {
	t.Parallel()
	kek := keyEncryptionKey(t, 'k')
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		shown := fmt.Sprintf(verb, struct{ kek keyring.KeyEncryptionKey }{kek})
		for _, canary := range []string{"107 107", "0x6b, 0x6b", "1802201963", "0x6b6b6b6b"} { // its bytes, its words
			if strings.Contains(shown, canary) {
				t.Errorf("%s shows it: %s", verb, shown)
			}
		}
	}
}
