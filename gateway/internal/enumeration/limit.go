package enumeration

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"
)

const (
	// burst is how many answers an address gets at once: more than a person
	// needs to find a free name, fewer than a list of names has.
	burst = 20
	// interval is the time after which it gets one more.
	interval = 30 * time.Second
	// maxSources bounds the table, to some 2 MB.
	maxSources = 10_000
	// networkBits is what one subscriber of IPv6 has at least (RFC 6177): its
	// addresses count as one.
	networkBits = 64
)

// Limit counts telling answers by client address. It is safe for concurrent use.
type Limit struct {
	now func() time.Time

	mu      sync.Mutex
	sources map[netip.Prefix]*source
	// settling holds the same sources, the one that is forgiven first in front.
	settling settling
}

// source is one address, or one network of IPv6. It has its whole burst again
// at `settled`, and each answer moves that by an interval (a leaky bucket as a
// single time, as in ITU-T I.371).
type source struct {
	network netip.Prefix
	settled time.Time
	index   int
}

// NewLimit makes one that has seen nothing yet.
func NewLimit(now func() time.Time) *Limit {
	return &Limit{now: now, sources: make(map[netip.Prefix]*source)}
}

// Wait is how long an address has to wait before it may try; 0 if it need not.
// An address that cannot be read shares one count with all others like it.
func (l *Limit) Wait(address string) time.Duration {
	network := networkOf(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.sources[network]
	if !ok {
		return 0
	}
	return max(0, known.settled.Sub(l.now())-(burst-1)*interval)
}

// Note counts one answer that told an address something. Tries that were under
// way at the same time may overdraw; what they overdraw has to be waited for too.
func (l *Limit) Note(address string) {
	network := networkOf(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if known, ok := l.sources[network]; ok {
		known.settled = later(known.settled, now).Add(interval)
		heap.Fix(&l.settling, known.index)
		return
	}
	for len(l.settling) > 0 && !l.settling[0].settled.After(now) {
		l.forgetFirst()
	}
	if len(l.settling) >= maxSources {
		// Whoever has asked for least goes. To get rid of a count by using other
		// addresses, each of these has to be used up as far.
		l.forgetFirst()
	}
	added := &source{network: network, settled: now.Add(interval)}
	l.sources[network] = added
	heap.Push(&l.settling, added)
}

func (l *Limit) forgetFirst() {
	delete(l.sources, l.settling[0].network)
	heap.Pop(&l.settling)
}

// networkOf is what counts as one client: an address of IPv4, a /64 of IPv6.
func networkOf(address string) netip.Prefix {
	parsed, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	parsed = parsed.Unmap().WithZone("")
	bits := parsed.BitLen()
	if parsed.Is6() {
		bits = networkBits
	}
	return netip.PrefixFrom(parsed, bits).Masked()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// settling is a heap by settled.
type settling []*source

var _ heap.Interface = (*settling)(nil)

func (s settling) Len() int { return len(s) }

func (s settling) Less(i, j int) bool { return s[i].settled.Before(s[j].settled) }

func (s settling) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

// Push is for package heap.
func (s *settling) Push(added any) {
	known, _ := added.(*source)
	known.index = len(*s)
	*s = append(*s, known)
}

// Pop is for package heap.
func (s *settling) Pop() any {
	last := len(*s) - 1
	removed := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return removed
}
