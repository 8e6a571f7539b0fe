package seal

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"
)

// MaxCacheAge bounds how long a key is remembered, and with it how long after
// its destruction it can still open something.
const MaxCacheAge = time.Minute

// cache remembers keys for a while, the destroyed ones too. What is unknown is
// asked for again each time, since it may only be late.
type cache struct {
	keys Keys
	ttl  time.Duration
	size int
	now  func() time.Time

	mutex sync.Mutex
	byID  map[string]*list.Element
	// order has the oldest in front. All live equally long, so those that expire
	// first stand there too.
	order *list.List
}

type cached struct {
	id     string
	key    Key
	expiry time.Time
}

// NewCache puts a memory of at most size keys before keys. ttl is cut to MaxCacheAge.
func NewCache(keys Keys, ttl time.Duration, size int, now func() time.Time) Keys {
	return &cache{keys: keys, ttl: min(ttl, MaxCacheAge), size: size, now: now, byID: map[string]*list.Element{}, order: list.New()}
}

// Get answers from memory what it can and asks once for the rest.
func (c *cache) Get(ctx context.Context, ids []string) (map[string]Key, error) {
	// Taken before the question, so that no answer is believed for longer than ttl
	// after the keyring gave it.
	now := c.now()
	found, missing := c.remembered(ids, now)
	if len(missing) == 0 {
		return found, nil
	}
	asked, err := c.keys.Get(ctx, missing)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	c.remember(asked, now.Add(c.ttl))
	for id, key := range asked {
		found[id] = key
	}
	return found, nil
}

func (c *cache) remembered(ids []string, now time.Time) (found map[string]Key, missing []string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for oldest := c.order.Front(); oldest != nil && !now.Before(entry(oldest).expiry); oldest = c.order.Front() {
		c.forget(oldest)
	}
	found = make(map[string]Key, len(ids))
	for _, id := range ids {
		// The order is nearly that of expiry, not quite: two questions may overtake each other.
		if element, ok := c.byID[id]; ok && now.Before(entry(element).expiry) {
			found[id] = entry(element).key
		} else {
			missing = append(missing, id)
		}
	}
	return found, missing
}

func (c *cache) remember(keys map[string]Key, expiry time.Time) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for id, key := range keys {
		if key.State == Unknown {
			continue
		}
		if element, ok := c.byID[id]; ok {
			c.forget(element)
		}
		c.byID[id] = c.order.PushBack(cached{id: id, key: key, expiry: expiry})
		if c.order.Len() > c.size {
			c.forget(c.order.Front())
		}
	}
}

func (c *cache) forget(element *list.Element) {
	delete(c.byID, entry(element).id)
	c.order.Remove(element)
}

func entry(element *list.Element) cached { return element.Value.(cached) } //nolint:forcetypeassert // only cached is stored
