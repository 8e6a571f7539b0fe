package main

import (
	"iter"
	"math/rand/v2"
	"slices"
)

// eventsEach is how many events a person has.
const eventsEach = 5

// window is how many others at most register between a person's own
// registration and the next thing that person does; and so again.
const window = 2000

// happening is what an event is about.
type happening int

const (
	registered happening = iota
	passwordSet
	profileUpdated
	rolesChanged
	usernameChanged
)

// person is somebody whom the log is filled with.
type person struct {
	// number from 1 over the whole log.
	number int
	// version of the last event.
	version int64
	// later is what is still to come after the command.
	later []happening
}

// command is what a person does at once: one append.
type command struct {
	who *person
	// from is the version of the first event.
	from int64
	what []happening
}

// commands are those of people first to last, eventsEach events each, in the
// order of the log:
//
//   - registration and first password, adjacent, as Register appends them;
//   - a new profile, new roles, and either a new username or a new password, in
//     any order, each a command of its own, up to 2000 registrations apart, so
//     that a page of the log is of many people and a person's events are spread
//     over many pages, as if accounts were open for a while.
//
// So the access projection handles four events of five; the profile is the
// fifth. Whoever calls it with the same seed gets the same.
func commands(first, last int, seed uint64) iter.Seq[command] {
	return func(yield func(command) bool) {
		random := rand.New(rand.NewPCG(seed, uint64(first))) //nolint:gosec // it draws whose turn it is, not keys
		var due [window + 1][]*person                        // a ring, by registrations
		for step := first; step <= last+3*window; step++ {
			slot := step % len(due)
			now := due[slot]
			due[slot] = nil
			if step <= last {
				who := newPerson(step, random)
				if !yield(who.does(registered, passwordSet)) {
					return
				}
				now = append(now, who)
			}
			for _, who := range now {
				if who.number != step {
					next := who.later[0]
					who.later = who.later[1:]
					if !yield(who.does(next)) {
						return
					}
				}
				if len(who.later) > 0 {
					next := (step + 1 + random.IntN(window)) % len(due)
					due[next] = append(due[next], who)
				}
			}
		}
	}
}

func newPerson(number int, random *rand.Rand) *person {
	later := []happening{profileUpdated, rolesChanged, usernameChanged}
	if random.IntN(2) == 0 {
		later[2] = passwordSet
	}
	random.Shuffle(len(later), func(i, j int) { later[i], later[j] = later[j], later[i] })
	return &person{number: number, later: slices.Clip(later)}
}

func (p *person) does(what ...happening) command {
	from := p.version + 1
	p.version += int64(len(what))
	return command{who: p, from: from, what: what}
}
