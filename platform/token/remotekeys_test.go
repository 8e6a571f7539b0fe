package token_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-id/muster/platform/token"
)

// published is an issuer's key set, with a count of its readers.
type published struct {
	mu     sync.Mutex
	set    []token.PublicKey
	fail   error
	slow   time.Duration
	fetchs atomic.Int32
}

func (p *published) fetch(ctx context.Context) ([]byte, error) {
	p.fetchs.Add(1)
	p.mu.Lock()
	set, fail, slow := p.set, p.fail, p.slow
	p.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fail != nil {
		return nil, fail
	}
	return token.JWKS(set...)
}

func (p *published) publish(fail error, set ...token.PublicKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set, p.fail = set, fail
}

func publicKey(t *testing.T, id string) token.PublicKey {
	public, _ := key(t)
	return token.PublicKey{ID: id, Key: public}
}

func TestRemoteKeys(t *testing.T) {
	t.Parallel()
	t.Run("a set is read once for all that ask at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			issuer := &published{set: []token.PublicKey{publicKey(t, "k1")}, slow: time.Second}
			source := token.NewRemoteKeys(issuer.fetch, nil)
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() { find(t, source, "k1", nil) })
			}
			group.Wait()
			if got := issuer.fetchs.Load(); got != 1 {
				t.Errorf("read %d times", got)
			}
		})
	})
	t.Run("an unknown kid is looked for at most every 5 seconds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			issuer := &published{set: []token.PublicKey{publicKey(t, "k1")}}
			source := token.NewRemoteKeys(issuer.fetch, nil)
			find(t, source, "k1", nil)
			issuer.publish(nil, publicKey(t, "k1"), publicKey(t, "k2"))
			for range 100 {
				find(t, source, "k2", token.ErrUnknownKey)
			}
			<-time.After(5 * time.Second) // of the bubble's clock
			find(t, source, "k2", nil)
			if got := issuer.fetchs.Load(); got != 2 {
				t.Errorf("read %d times, want 2", got)
			}
		})
	})
	t.Run("a set is read anew after 10 minutes, without waiting for it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			issuer := &published{set: []token.PublicKey{publicKey(t, "k1")}}
			source := token.NewRemoteKeys(issuer.fetch, nil)
			find(t, source, "k1", nil)
			issuer.publish(nil, publicKey(t, "k2"))
			<-time.After(10 * time.Minute)
			find(t, source, "k1", nil)
			synctest.Wait()
			find(t, source, "k2", nil)
			find(t, source, "k1", token.ErrUnknownKey)
		})
	})
	t.Run("the last good set stays for an hour when the issuer does not answer", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			issuer := &published{set: []token.PublicKey{publicKey(t, "k1")}}
			source := token.NewRemoteKeys(issuer.fetch, nil)
			find(t, source, "k1", nil)
			issuer.publish(errors.New("refused"))
			<-time.After(time.Hour - time.Second)
			find(t, source, "k1", nil)
			synctest.Wait()
			find(t, source, "k1", nil)
			find(t, source, "k2", token.ErrKeysUnavailable)
			<-time.After(time.Second)
			find(t, source, "k1", token.ErrKeysUnavailable)
			issuer.publish(nil, publicKey(t, "k1"))
			<-time.After(200 * time.Millisecond)
			find(t, source, "k1", nil)
		})
	})
	t.Run("an issuer that hangs is given up after 2 seconds, and asked again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			issuer := &published{set: []token.PublicKey{publicKey(t, "k1")}, slow: time.Hour}
			source := token.NewRemoteKeys(issuer.fetch, nil)
			started := time.Now()
			find(t, source, "k1", token.ErrKeysUnavailable)
			if took := time.Since(started); took != 2*time.Second {
				t.Errorf("took %v", took)
			}
			issuer.mu.Lock()
			issuer.slow = 0
			issuer.mu.Unlock()
			<-time.After(200 * time.Millisecond)
			find(t, source, "k1", nil)
		})
	})
	t.Run("a caller that gives up does not end the reading for the others", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			issuer := &published{set: []token.PublicKey{publicKey(t, "k1")}, slow: time.Second}
			source := token.NewRemoteKeys(issuer.fetch, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := source.Keys(ctx, "k1"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			find(t, source, "k1", nil)
			if got := issuer.fetchs.Load(); got != 1 {
				t.Errorf("read %d times", got)
			}
		})
	})
}

func TestKeySetsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]string{
		"not JSON":             `keys`,
		"no keys":              `{"keys":[]}`,
		"no key that we use":   `{"keys":[{"kty":"RSA","kid":"r","use":"sig"}]}`,
		"a key of wrong size":  `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","use":"sig","x":"AAAA"}]}`,
		"a key for encryption": `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","use":"enc","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := token.NewRemoteKeys(func(context.Context) ([]byte, error) { return []byte(set), nil }, nil)
			find(t, source, "k1", token.ErrKeysUnavailable)
		})
	}
	if _, err := token.JWKS(token.PublicKey{ID: "k1"}); err == nil {
		t.Error("a key without bytes was written")
	}
}

func find(t *testing.T, source *token.RemoteKeys, kid string, want error) {
	t.Helper()
	found, err := source.Keys(t.Context(), kid)
	if !errors.Is(err, want) {
		t.Errorf("key %s: got %v, want %v", kid, err, want)
	}
	if err == nil && found.ID != kid {
		t.Errorf("got key %s, want %s", found.ID, kid)
	}
}
