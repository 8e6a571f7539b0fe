package rpc

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore/seal"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
)

// Keyring serves KeyringService.
type Keyring struct {
	keys seal.Keys
}

var _ keyringv1connect.KeyringServiceHandler = (*Keyring)(nil)

// NewKeyring makes the handler.
func NewKeyring(keys seal.Keys) *Keyring { return &Keyring{keys} }

// GetKeys tells the state of each key asked for.
func (k *Keyring) GetKeys(ctx context.Context, request *connect.Request[keyringv1.GetKeysRequest]) (*connect.Response[keyringv1.GetKeysResponse], error) {
	keys, err := k.keys.Get(ctx, request.Msg.GetKeyIds())
	if err != nil {
		return nil, fmt.Errorf("serve keys: %w", err)
	}
	response := &keyringv1.GetKeysResponse{Keys: make([]*keyringv1.Key, 0, len(keys))}
	for id, key := range keys {
		response.Keys = append(response.Keys, &keyringv1.Key{KeyId: id, State: stateOf(key.State), Key: key.Bytes.Reveal()})
	}
	return connect.NewResponse(response), nil
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
