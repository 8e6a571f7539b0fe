package rpc

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/platform/access"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
)

// Keyring serves KeyringService.
type Keyring struct {
	ring *keyring.Keyring
}

var _ keyringv1connect.KeyringServiceHandler = (*Keyring)(nil)

// NewKeyring makes the handler.
func NewKeyring(ring *keyring.Keyring) *Keyring { return &Keyring{ring} }

// GetKeys tells the state of each key asked for.
func (k *Keyring) GetKeys(ctx context.Context, request *connect.Request[keyringv1.GetKeysRequest]) (*connect.Response[keyringv1.GetKeysResponse], error) {
	keys, err := k.ring.Get(ctx, request.Msg.GetKeyIds())
	if err != nil {
		return nil, fmt.Errorf("serve keys: %w", err)
	}
	response := &keyringv1.GetKeysResponse{Keys: make([]*keyringv1.Key, 0, len(keys))}
	for _, key := range keys {
		response.Keys = append(response.Keys, keyOf(key))
	}
	return connect.NewResponse(response), nil
}

// MakeKeys makes new keys for the calling service.
func (k *Keyring) MakeKeys(ctx context.Context, request *connect.Request[keyringv1.MakeKeysRequest]) (*connect.Response[keyringv1.MakeKeysResponse], error) {
	made, err := k.ring.Of(access.CallerFrom(ctx)).Make(ctx, int(request.Msg.GetCount()))
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	response := &keyringv1.MakeKeysResponse{Keys: make([]*keyringv1.Key, len(made))}
	for i, key := range made {
		response.Keys[i] = keyOf(key)
	}
	return connect.NewResponse(response), nil
}

// DestroyKeys destroys keys that the calling service has had made.
func (k *Keyring) DestroyKeys(ctx context.Context, request *connect.Request[keyringv1.DestroyKeysRequest]) (*connect.Response[keyringv1.DestroyKeysResponse], error) {
	if err := k.ring.Of(access.CallerFrom(ctx)).Destroy(ctx, request.Msg.GetKeyIds()); err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&keyringv1.DestroyKeysResponse{}), nil
}

func keyOf(key seal.Key) *keyringv1.Key {
	return &keyringv1.Key{KeyId: key.ID, State: stateOf(key.State), Key: key.Bytes.Reveal()}
}

func stateOf(state seal.State) keyringv1.KeyState {
	switch state {
	case seal.Alive:
		return keyringv1.KeyState_KEY_STATE_ALIVE
	case seal.Destroyed:
		return keyringv1.KeyState_KEY_STATE_DESTROYED
	default:
		return keyringv1.KeyState_KEY_STATE_UNKNOWN
	}
}
