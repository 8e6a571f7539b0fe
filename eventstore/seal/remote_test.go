package seal_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore/seal"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
)

// constant answers with the same keys to every question.
type constant map[string]seal.Key

func (c constant) Get(_ context.Context, ids []string) (map[string]seal.Key, error) {
	found := map[string]seal.Key{}
	for _, id := range ids {
		found[id] = c[id]
	}
	return found, nil
}

// service is the keyring as its client sees it.
type service struct {
	batches []int
	answer  func(id string) *keyringv1.Key
	err     error
}

func (s *service) GetKeys(ctx context.Context, request *connect.Request[keyringv1.GetKeysRequest]) (*connect.Response[keyringv1.GetKeysResponse], error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("the call has no time-out")
	}
	if s.err != nil {
		return nil, s.err
	}
	s.batches = append(s.batches, len(request.Msg.GetKeyIds()))
	response := &keyringv1.GetKeysResponse{}
	for _, id := range request.Msg.GetKeyIds() {
		if key := s.answer(id); key != nil {
			response.Keys = append(response.Keys, key)
		}
	}
	return connect.NewResponse(response), nil
}

func alive(id string) *keyringv1.Key {
	return &keyringv1.Key{KeyId: id, State: keyringv1.KeyState_KEY_STATE_ALIVE, Key: make([]byte, seal.KeySize)}
}

func TestRemoteKeysAsksInBatches(t *testing.T) {
	t.Parallel()
	keyring := &service{answer: alive}
	ids := make([]string, 5001)
	for i := range ids {
		ids[i] = uuid.NewString()
	}
	ids = append(ids, ids[0]) // twice in one question
	keys, err := seal.RemoteKeys(keyring).Get(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 5001 || len(keyring.batches) != 2 || keyring.batches[0] != 5000 || keyring.batches[1] != 1 {
		t.Errorf("%d keys in batches of %v, want 5001 in 5000 and 1", len(keys), keyring.batches)
	}
}

func TestRemoteKeysTellsTheStates(t *testing.T) {
	t.Parallel()
	here, gone, never := uuid.NewString(), uuid.NewString(), uuid.NewString()
	keyring := &service{answer: func(id string) *keyringv1.Key {
		switch id {
		case here:
			return alive(id)
		case gone:
			return &keyringv1.Key{KeyId: id, State: keyringv1.KeyState_KEY_STATE_DESTROYED}
		default:
			return &keyringv1.Key{KeyId: id, State: keyringv1.KeyState_KEY_STATE_UNKNOWN}
		}
	}}
	keys, err := seal.RemoteKeys(keyring).Get(t.Context(), []string{here, gone, never, "no id at all", strings.ToUpper(here)})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]seal.State{here: seal.Alive, gone: seal.Destroyed, never: seal.Unknown, "no id at all": seal.Unknown, strings.ToUpper(here): seal.Unknown} {
		if key, answered := keys[id]; !answered || key.State != want || key.ID != id {
			t.Errorf("%s: got %+v, want state %v", id, key, want)
		}
	}
	if len(keyring.batches) != 1 || keyring.batches[0] != 3 {
		t.Errorf("asked for %v keys, want for the three that can exist", keyring.batches)
	}
}

func TestRemoteKeysTakesNoIncompleteAnswer(t *testing.T) {
	t.Parallel()
	for name, keyring := range map[string]*service{
		"silence":       {answer: func(string) *keyringv1.Key { return nil }},
		"another key":   {answer: func(string) *keyringv1.Key { return alive(uuid.NewString()) }},
		"no state":      {answer: func(id string) *keyringv1.Key { return &keyringv1.Key{KeyId: id} }},
		"it cannot now": {err: connect.NewError(connect.CodeUnavailable, errors.New("down"))},
	} {
		if keys, err := seal.RemoteKeys(keyring).Get(t.Context(), []string{uuid.NewString()}); err == nil {
			t.Errorf("%s: got %v, want an error", name, keys)
		}
	}
}
