package enumeration

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const home = "192.0.2.7"

// clock is one that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newLimit() (*Limit, *clock) {
	c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	return NewLimit(c.now), c
}

func note(l *Limit, address string, times int) {
	for range times {
		l.Note(address)
	}
}

func TestTwentyAtOnceThenOneEveryHalfMinute(t *testing.T) {
	t.Parallel()
	l, c := newLimit()
	for i := range burst {
		if wait := l.Wait(home); wait != 0 {
			t.Fatalf("after %d answers: wait %v", i, wait)
		}
		l.Note(home)
	}
	for _, step := range []struct {
		after, wait time.Duration
	}{
		{0, interval},
		{interval - time.Second, time.Second},
		{time.Second, 0},
	} {
		c.at = c.at.Add(step.after)
		if wait := l.Wait(home); wait != step.wait {
			t.Fatalf("%+v: wait %v", step, wait)
		}
	}
	l.Note(home)
	if wait := l.Wait(home); wait != interval {
		t.Errorf("after one more: wait %v", wait)
	}
	// The whole burst comes back, and no more than it.
	c.at = c.at.Add(burst * interval * 10)
	note(l, home, burst)
	if wait := l.Wait(home); wait != interval {
		t.Errorf("after a rest and a burst: wait %v", wait)
	}
}

func TestWhatTriesAtTheSameTimeOverdrawIsWaitedFor(t *testing.T) {
	t.Parallel()
	l, _ := newLimit()
	note(l, home, burst+100)
	if wait := l.Wait(home); wait != 101*interval {
		t.Errorf("wait %v", wait)
	}
}

func TestWhoCountsAsOneClient(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		noted, asked string
		same         bool
	}{
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.8", false},
		{"192.0.2.7", "::ffff:192.0.2.7", true},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"::", "0.0.0.0", false},
		{"", "unknown", true},
		{"", "0.0.0.0", false},
	} {
		l, _ := newLimit()
		note(l, c.noted, burst)
		if limited := l.Wait(c.asked) > 0; limited != c.same {
			t.Errorf("%s after answers to %s: limited is %t", c.asked, c.noted, limited)
		}
	}
}

func TestTheTableIsBoundedAndForgetsTheLeastFirst(t *testing.T) {
	t.Parallel()
	l, c := newLimit()
	note(l, home, burst)
	for i := range 2 * maxSources {
		l.Note(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String())
	}
	if len(l.sources) != maxSources || len(l.settling) != maxSources {
		t.Errorf("%d sources, %d settling", len(l.sources), len(l.settling))
	}
	if l.Wait(home) == 0 {
		t.Error("one that was limited has been forgotten for others that asked once")
	}
	// What is settled goes by itself.
	c.at = c.at.Add(burst * interval)
	l.Note("192.0.2.9")
	if len(l.sources) != 1 {
		t.Errorf("%d sources are kept", len(l.sources))
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	l, _ := newLimit()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 500 {
				address := fmt.Sprintf("10.0.%d.%d", (i+j)%20, j%100)
				l.Wait(address)
				l.Note(address)
			}
		})
	}
	group.Wait()
	if len(l.sources) != len(l.settling) {
		t.Errorf("%d sources, %d settling", len(l.sources), len(l.settling))
	}
}

// Whatever happens in whatever order, an address gets what a bucket of 20 with
// one more each interval gives, and the heap stays one.
func TestItCountsAsABucketDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, c := newLimit()
		began := c.at
		noted := map[string][]time.Time{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			address := rapid.SampledFrom([]string{home, "192.0.2.8", "2001:db8::1"}).Draw(t, "address")
			if rapid.Bool().Draw(t, "note") {
				l.Note(address)
				noted[address] = append(noted[address], c.at)
			} else {
				c.at = c.at.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "seconds")) * time.Second)
			}
			if got, want := l.Wait(address) == 0, left(noted[address], began, c.at) >= 1; got != want {
				t.Fatalf("may try: %t, want %t", got, want)
			}
		}
		for i, known := range l.settling {
			if known.index != i || i > 0 && known.settled.Before(l.settling[(i-1)/2].settled) {
				t.Fatalf("the heap is none at %d", i)
			}
		}
	})
}

// left is what a bucket holds after the answers that were noted.
func left(noted []time.Time, began, now time.Time) float64 {
	level, at := float64(burst), began
	fill := func(to time.Time) {
		level = min(burst, level+to.Sub(at).Seconds()/interval.Seconds())
		at = to
	}
	for _, when := range noted {
		fill(when)
		level--
	}
	fill(now)
	return level + 1e-9
}
