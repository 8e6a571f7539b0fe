package main

import (
	"slices"
	"testing"
)

// The log that rebuilds are measured on has to be one that commands could have
// written, and whose people are spread over it.
func TestEverybodyDoesFiveThingsInOrderAndApart(t *testing.T) {
	t.Parallel()
	const first, last = 401, 10_400
	versions := map[int]int64{}
	began := map[int]int{}
	kinds := map[happening]int{}
	events, apart := 0, 0
	for c := range commands(first, last, fillSeed) {
		if c.from != versions[c.who.number]+1 {
			t.Fatalf("person %d goes on at version %d after %d", c.who.number, c.from, versions[c.who.number])
		}
		if (c.from == 1) != slices.Equal(c.what, []happening{registered, passwordSet}) {
			t.Fatalf("person %d does %v at version %d", c.who.number, c.what, c.from)
		}
		if c.from == 1 {
			began[c.who.number] = events
		} else {
			apart += events - began[c.who.number]
		}
		versions[c.who.number] += int64(len(c.what))
		for _, what := range c.what {
			kinds[what]++
			events++
		}
	}
	const people = last - first + 1
	if len(versions) != people || events != people*eventsEach {
		t.Errorf("%d events of %d people, want %d of %d", events, len(versions), people*eventsEach, people)
	}
	for number, version := range versions {
		if version != eventsEach || number < first || number > last {
			t.Errorf("person %d ends at version %d", number, version)
		}
	}
	if kinds[profileUpdated] != people || kinds[rolesChanged] != people || kinds[usernameChanged]+kinds[passwordSet] != 2*people {
		t.Errorf("the mix is %v", kinds)
	}
	if mean := apart / (3 * people); mean < 1000 {
		t.Errorf("what people do later is %d events behind their registrations on average: not spread", mean)
	}
}

func TestTheSameSeedFillsTheSame(t *testing.T) {
	t.Parallel()
	list := func() (all []happening) {
		for c := range commands(1, 500, 7) {
			all = append(all, c.what...)
		}
		return all
	}
	if !slices.Equal(list(), list()) {
		t.Error("two fills differ")
	}
}
