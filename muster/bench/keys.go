package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/muster-id/muster/eventstore/seal"
)

// made is how many keys the keyring is asked for at once: the most that it makes.
const made = 1000

// keys has keys made in stock, since the keyring is a process away and the log
// is filled with hundreds of thousands of people, and remembers them, so that
// what a person does later is sealed under the same key. All of them are in the
// keyring before anything is sealed under them.
type keys struct {
	maker seal.Maker

	mutex sync.Mutex
	stock []seal.Key
	known map[string]seal.Key
}

var (
	_ seal.Keys  = (*keys)(nil)
	_ seal.Maker = (*keys)(nil)
)

func newKeys(maker seal.Maker) *keys { return &keys{maker: maker, known: map[string]seal.Key{}} }

// Make implements seal.Maker.
func (k *keys) Make(ctx context.Context, n int) ([]seal.Key, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if len(k.stock) < n {
		more, err := k.maker.Make(ctx, max(made, n))
		if err != nil {
			return nil, err
		}
		k.stock = append(k.stock, more...)
	}
	taken := k.stock[:n:n]
	k.stock = k.stock[n:]
	return taken, nil
}

// person makes the key of a person, and remembers it.
func (k *keys) person(ctx context.Context) (id string, err error) {
	taken, err := k.Make(ctx, 1)
	if err != nil {
		return "", fmt.Errorf("make a person's key: %w", err)
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.known[taken[0].ID] = taken[0]
	return taken[0].ID, nil
}

// Get implements seal.Keys for the keys of people.
func (k *keys) Get(_ context.Context, ids []string) (map[string]seal.Key, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	found := make(map[string]seal.Key, len(ids))
	for _, id := range ids {
		found[id] = k.known[id] // the zero Key is Unknown
	}
	return found, nil
}
