package main

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"
)

// The parts that fail.
const (
	identity    = "identity"
	credentials = "credentials"
	media       = "media"
	gateway     = "gateway"
	postgres    = "PostgreSQL"
	rabbitmq    = "RabbitMQ"
	s3          = "S3"
)

func parts() []string {
	return []string{identity, credentials, media, gateway, postgres, rabbitmq, s3}
}

// The ways in which they fail.
const (
	killed    = "killed"    // with -9, and started again
	stopped   = "stopped"   // with SIGSTOP, and continued
	restarted = "restarted" // in order
	cutOff    = "cut off"   // by proxies
	// RabbitMQ alone: started again without its data; and then killed at once,
	// which it survives, and its new queues do not.
	wiped = "wiped"
	young = "killed with new queues"
)

// fault is one part's failing.
type fault struct {
	part, way string
	// lasts is for how long it is away; a restart has its own time.
	lasts time.Duration
	// cut is how its links are cut, one is which of them alone; -1 for all.
	cut string
	one int
}

func (f fault) String() string {
	text := f.part + " " + f.way
	if f.way == cutOff {
		text += ", " + f.cut
		if f.one >= 0 {
			text += " on one link"
		}
	}
	return fmt.Sprintf("%s for %.1f s", text, f.lasts.Seconds())
}

// kind names the fault in tables, and for --only.
func (f fault) kind() string { return f.part + " " + f.way }

// round is faults at once, and the calm before them.
type round struct {
	calm   time.Duration
	faults []fault
}

// plan gives rounds without end, the same ones for a seed: all parts in all
// ways, and then anew. A short one has each part fail in one way before the
// next way comes, for shorter times.
func plan(seed uint64, short bool, only string) iter.Seq[round] {
	return func(yield func(round) bool) {
		dice := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // no secret
		for {
			faults := pass(dice, short)
			var chosen []fault
			for _, f := range faults {
				if strings.Contains(strings.ToLower(f.kind()), strings.ToLower(only)) {
					chosen = append(chosen, f)
				}
			}
			for len(chosen) > 0 {
				r := round{calm: between(dice, 500*time.Millisecond, 2*time.Second), faults: chosen[:1:1]}
				// A second one joins, of another part.
				if len(chosen) > 1 && dice.IntN(4) == 0 && chosen[1].part != chosen[0].part {
					r.faults = chosen[:2:2]
				}
				chosen = chosen[len(r.faults):]
				if !yield(r) {
					return
				}
			}
		}
	}
}

// pass is every part in every way, in an order of its own.
func pass(dice *rand.Rand, short bool) []fault {
	ways := []string{killed, stopped, restarted, cutOff}
	var all []fault
	for turn := range ways {
		var some []fault
		for at, part := range parts() {
			some = append(some, draw(dice, part, ways[(at+turn)%len(ways)], short))
		}
		switch turn {
		case 1:
			some = append(some, draw(dice, rabbitmq, wiped, short))
		case 2:
			some = append(some, draw(dice, rabbitmq, young, short))
		}
		dice.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		all = append(all, some...)
	}
	if !short {
		dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

func draw(dice *rand.Rand, part, way string, short bool) fault {
	f := fault{part: part, way: way, lasts: between(dice, 200*time.Millisecond, 3*time.Second), one: -1}
	switch way {
	case stopped:
		f.lasts = 20 * time.Second
		if short {
			f.lasts = 3 * time.Second
		}
	case cutOff:
		f.lasts = between(dice, 3*time.Second, 10*time.Second)
		if short {
			f.lasts = 2 * time.Second
		}
		f.cut = cuts[dice.IntN(len(cuts))]
		if dice.IntN(3) == 0 {
			f.one = dice.IntN(8)
		}
	}
	return f
}

func between(dice *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(dice.Int64N(int64(most-least)))
}
