package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
)

const (
	// remoteBatch is the most that one call may ask for; see GetKeysRequest.
	remoteBatch = 5000
	// remoteMakeBatch is the most that one call may make; see MakeKeysRequest.
	remoteMakeBatch = 1000
	// remoteTimeout is for one call.
	remoteTimeout = 5 * time.Second
)

type remote struct {
	client keyringv1connect.KeyringServiceClient
}

var (
	_ Keys      = (*remote)(nil)
	_ Maker     = (*remote)(nil)
	_ Destroyer = (*remote)(nil)
)

// RemoteKeys asks the keyring over its RPC, 5000 keys and 5 seconds a call.
func RemoteKeys(client keyringv1connect.KeyringServiceClient) Keys { return &remote{client} }

// RemoteMaker has keys made by the keyring over its RPC, 1000 keys and 5 seconds
// a call. They belong to the calling service, and no other may destroy them.
func RemoteMaker(client keyringv1connect.KeyringServiceClient) Maker { return &remote{client} }

// RemoteDestroyer has keys destroyed by the keyring over its RPC, 5000 keys and
// 5 seconds a call. Those of other services are refused.
func RemoteDestroyer(client keyringv1connect.KeyringServiceClient) Destroyer { return &remote{client} }

// Get asks for keys. An id that is no UUID, or one in another spelling than the
// keyring's, is Unknown: the keyring would refuse the call, and one bad event
// must not keep others closed.
func (r *remote) Get(ctx context.Context, ids []string) (map[string]Key, error) {
	keys := make(map[string]Key, len(ids))
	wanted := make([]string, 0, len(ids))
	for _, id := range ids {
		if _, done := keys[id]; done {
			continue
		}
		keys[id] = Key{ID: id}
		if parsed, err := uuid.Parse(id); err == nil && parsed.String() == id {
			wanted = append(wanted, id)
		}
	}
	for batch := range slices.Chunk(wanted, remoteBatch) {
		if err := r.ask(ctx, batch, keys); err != nil {
			return nil, fmt.Errorf("ask the keyring: %w", err)
		}
	}
	return keys, nil
}

func (r *remote) ask(ctx context.Context, ids []string, into map[string]Key) error {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	answer, err := r.client.GetKeys(ctx, connect.NewRequest(&keyringv1.GetKeysRequest{KeyIds: ids}))
	if err != nil {
		return err
	}
	missing := make(map[string]bool, len(ids))
	for _, id := range ids {
		missing[id] = true
	}
	for _, key := range answer.Msg.GetKeys() {
		if !missing[key.GetKeyId()] {
			return fmt.Errorf("it answered for %s, which was not asked for", key.GetKeyId())
		}
		delete(missing, key.GetKeyId())
		switch key.GetState() {
		case keyringv1.KeyState_KEY_STATE_ALIVE:
			into[key.GetKeyId()] = Key{ID: key.GetKeyId(), State: Alive, Bytes: NewSecret(key.GetKey())}
		case keyringv1.KeyState_KEY_STATE_DESTROYED:
			into[key.GetKeyId()] = Key{ID: key.GetKeyId(), State: Destroyed}
		case keyringv1.KeyState_KEY_STATE_UNKNOWN:
		default:
			return fmt.Errorf("it answered for %s with a state that this program does not know", key.GetKeyId())
		}
	}
	// Silence about a key is a fault of the answer, not of the key.
	if len(missing) > 0 {
		return fmt.Errorf("it left %d keys unanswered", len(missing))
	}
	return nil
}

// Make has n keys made. Those of a call that failed half-way seal nothing.
func (r *remote) Make(ctx context.Context, n int) ([]Key, error) {
	keys := make([]Key, 0, n)
	for len(keys) < n {
		made, err := r.make(ctx, min(n-len(keys), remoteMakeBatch))
		if err != nil {
			return nil, fmt.Errorf("have the keyring make keys: %w", err)
		}
		keys = append(keys, made...)
	}
	return keys, nil
}

func (r *remote) make(ctx context.Context, n int) ([]Key, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	answer, err := r.client.MakeKeys(ctx, connect.NewRequest(&keyringv1.MakeKeysRequest{Count: int32(n)}))
	if err != nil {
		return nil, err
	}
	if got := len(answer.Msg.GetKeys()); got != n {
		return nil, fmt.Errorf("it made %d keys, not %d", got, n)
	}
	keys := make([]Key, n)
	for i, key := range answer.Msg.GetKeys() {
		if key.GetKeyId() == "" || key.GetState() != keyringv1.KeyState_KEY_STATE_ALIVE || len(key.GetKey()) != KeySize {
			return nil, errors.New("it made a key that cannot seal")
		}
		keys[i] = Key{ID: key.GetKeyId(), State: Alive, Bytes: NewSecret(key.GetKey())}
	}
	return keys, nil
}

// Destroy has keys destroyed. After an error some may be, and some not yet.
func (r *remote) Destroy(ctx context.Context, ids []string) error {
	for batch := range slices.Chunk(ids, remoteBatch) {
		if err := r.destroy(ctx, batch); err != nil {
			return fmt.Errorf("have the keyring destroy keys: %w", err)
		}
	}
	return nil
}

func (r *remote) destroy(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	_, err := r.client.DestroyKeys(ctx, connect.NewRequest(&keyringv1.DestroyKeysRequest{KeyIds: ids}))
	return err
}
