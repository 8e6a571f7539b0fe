package seal_test

import (
	"context"
	"errors"
	"slices"
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
	batches   []int
	answer    func(id string) *keyringv1.Key
	destroyed []string
	err       error
}

// call notes how much one call asks for.
func (s *service) call(ctx context.Context, size int) error {
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("the call has no time-out")
	}
	s.batches = append(s.batches, size)
	return s.err
}

func (s *service) MakeKeys(ctx context.Context, request *connect.Request[keyringv1.MakeKeysRequest]) (*connect.Response[keyringv1.MakeKeysResponse], error) {
	if err := s.call(ctx, int(request.Msg.GetCount())); err != nil {
		return nil, err
	}
	response := &keyringv1.MakeKeysResponse{}
	for range request.Msg.GetCount() {
		if key := s.answer(uuid.NewString()); key != nil {
			response.Keys = append(response.Keys, key)
		}
	}
	return connect.NewResponse(response), nil
}

func (s *service) DestroyKeys(ctx context.Context, request *connect.Request[keyringv1.DestroyKeysRequest]) (*connect.Response[keyringv1.DestroyKeysResponse], error) {
	if err := s.call(ctx, len(request.Msg.GetKeyIds())); err != nil {
		return nil, err
	}
	s.destroyed = append(s.destroyed, request.Msg.GetKeyIds()...)
	return connect.NewResponse(&keyringv1.DestroyKeysResponse{}), nil
}

func (s *service) GetKeys(ctx context.Context, request *connect.Request[keyringv1.GetKeysRequest]) (*connect.Response[keyringv1.GetKeysResponse], error) {
	if err := s.call(ctx, len(request.Msg.GetKeyIds())); err != nil {
		return nil, err
	}
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

func TestRemoteMakerMakesInBatches(t *testing.T) {
	t.Parallel()
	keyring := &service{answer: alive}
	keys, err := seal.RemoteMaker(keyring).Make(t.Context(), 2001)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, key := range keys {
		if key.State != seal.Alive || len(key.Bytes.Reveal()) != seal.KeySize {
			t.Fatalf("got %+v, which cannot seal", key)
		}
		seen[key.ID] = true
	}
	if len(seen) != 2001 || !slices.Equal(keyring.batches, []int{1000, 1000, 1}) {
		t.Errorf("%d keys in batches of %v, want 2001 in 1000, 1000 and 1", len(seen), keyring.batches)
	}
}

func TestRemoteMakerTakesNoKeyThatCannotSeal(t *testing.T) {
	t.Parallel()
	for name, keyring := range map[string]*service{
		"too few": {answer: func(string) *keyringv1.Key { return nil }},
		"no id":   {answer: func(string) *keyringv1.Key { return alive("") }},
		"destroyed": {answer: func(id string) *keyringv1.Key {
			return &keyringv1.Key{KeyId: id, State: keyringv1.KeyState_KEY_STATE_DESTROYED}
		}},
		"too short":     {answer: func(id string) *keyringv1.Key { key := alive(id); key.Key = key.Key[1:]; return key }},
		"it cannot now": {err: connect.NewError(connect.CodeUnavailable, errors.New("down"))},
	} {
		if keys, err := seal.RemoteMaker(keyring).Make(t.Context(), 1); err == nil {
			t.Errorf("%s: got %v, want an error", name, keys)
		}
	}
}

func TestRemoteDestroyerDestroysInBatchesAndStopsAtAFailure(t *testing.T) {
	t.Parallel()
	keyring := &service{}
	ids := make([]string, 5001)
	for i := range ids {
		ids[i] = uuid.NewString()
	}
	if err := seal.RemoteDestroyer(keyring).Destroy(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(keyring.destroyed, ids) || !slices.Equal(keyring.batches, []int{5000, 1}) {
		t.Errorf("%d keys in batches of %v, want 5001 in 5000 and 1", len(keyring.destroyed), keyring.batches)
	}
	if err := seal.RemoteDestroyer(keyring).Destroy(t.Context(), nil); err != nil || len(keyring.batches) != 2 {
		t.Errorf("no keys: %v after %d calls, want no call", err, len(keyring.batches)-2)
	}
	down := &service{err: connect.NewError(connect.CodeUnavailable, errors.New("down"))}
	if err := seal.RemoteDestroyer(down).Destroy(t.Context(), ids); connect.CodeOf(err) != connect.CodeUnavailable || len(down.batches) != 1 {
		t.Errorf("got %v after %d calls, want its error after one", err, len(down.batches))
	}
}
