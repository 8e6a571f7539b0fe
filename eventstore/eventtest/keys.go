package eventtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore/seal"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
)

// Keyring is identity's keyring in memory, for tests of what seals and opens. It
// passes RunKeyring, itself and as the service that it is too.
type Keyring struct {
	mu   sync.Mutex
	keys map[string]seal.Key
}

var (
	_ KeyringUnderTest                       = (*Keyring)(nil)
	_ keyringv1connect.KeyringServiceHandler = (*Keyring)(nil)
)

// NewKeyring makes an empty one.
func NewKeyring() *Keyring { return &Keyring{keys: make(map[string]seal.Key)} }

// Alive counts the keys that open something.
func (k *Keyring) Alive() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	count := 0
	for _, key := range k.keys {
		if key.State == seal.Alive {
			count++
		}
	}
	return count
}

// Get implements seal.Keys.
func (k *Keyring) Get(ctx context.Context, ids []string) (map[string]seal.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	found := make(map[string]seal.Key, len(ids))
	for _, id := range ids {
		key := k.keys[id]
		key.ID = id // also of one that is unknown
		found[id] = key
	}
	return found, nil
}

// Make implements seal.Maker.
func (k *Keyring) Make(ctx context.Context, n int) ([]seal.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	made := make([]seal.Key, n)
	for i := range made {
		bytes := make([]byte, seal.KeySize)
		_, _ = rand.Read(bytes) // never fails
		made[i] = seal.Key{ID: uuid.NewString(), State: seal.Alive, Bytes: seal.NewSecret(bytes)}
		k.keys[made[i].ID] = made[i]
	}
	return made, nil
}

// Destroy implements seal.Destroyer.
func (k *Keyring) Destroy(ctx context.Context, ids []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := uuid.Parse(id); err != nil {
			return fmt.Errorf("destroy keys: an id is no UUID: %w", err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		if _, known := k.keys[id]; known {
			k.keys[id] = seal.Key{ID: id, State: seal.Destroyed}
		}
	}
	return nil
}

// GetKeys tells the state of each key asked for.
func (k *Keyring) GetKeys(ctx context.Context, request *connect.Request[keyringv1.GetKeysRequest]) (*connect.Response[keyringv1.GetKeysResponse], error) {
	keys, err := k.Get(ctx, request.Msg.GetKeyIds())
	if err != nil {
		return nil, err
	}
	answer := &keyringv1.GetKeysResponse{}
	for _, key := range keys {
		answer.Keys = append(answer.Keys, toProto(key))
	}
	return connect.NewResponse(answer), nil
}

// MakeKeys makes new keys.
func (k *Keyring) MakeKeys(ctx context.Context, request *connect.Request[keyringv1.MakeKeysRequest]) (*connect.Response[keyringv1.MakeKeysResponse], error) {
	made, err := k.Make(ctx, int(request.Msg.GetCount()))
	if err != nil {
		return nil, err
	}
	answer := &keyringv1.MakeKeysResponse{}
	for _, key := range made {
		answer.Keys = append(answer.Keys, toProto(key))
	}
	return connect.NewResponse(answer), nil
}

// DestroyKeys destroys keys, whoever had them made.
func (k *Keyring) DestroyKeys(ctx context.Context, request *connect.Request[keyringv1.DestroyKeysRequest]) (*connect.Response[keyringv1.DestroyKeysResponse], error) {
	if err := k.Destroy(ctx, request.Msg.GetKeyIds()); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keyringv1.DestroyKeysResponse{}), nil
}

func toProto(key seal.Key) *keyringv1.Key {
	state := keyringv1.KeyState_KEY_STATE_UNKNOWN
	switch key.State {
	case seal.Alive:
		state = keyringv1.KeyState_KEY_STATE_ALIVE
	case seal.Destroyed:
		state = keyringv1.KeyState_KEY_STATE_DESTROYED
	case seal.Unknown:
	}
	return &keyringv1.Key{KeyId: key.ID, State: state, Key: key.Bytes.Reveal()}
}
