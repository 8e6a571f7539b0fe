package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// logged is what the log holds: the events of the run, and where each
// idempotency key led to.
type logged struct {
	events   []event
	commands []command
}

type event struct {
	stream  string
	version int64
	kind    string // the last part of its type's name
	request string
}

type command struct {
	key     string
	stream  string
	version int64
}

// window is a time in which the gateway could not be reached.
type window struct{ from, to time.Time }

// check compares what clients were told with what the log holds, and gives a
// line for each rule that is broken.
func check(h *history, log logged, away []window) []string {
	c := checker{at: map[place]*event{}, claimed: map[place]*write{}, commands: map[string][]command{}}
	c.order(log.events)
	for _, command := range log.commands {
		c.commands[command.key] = append(c.commands[command.key], command)
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for _, w := range h.writes {
		c.write(w)
	}
	for i := range log.events {
		if e := &log.events[i]; c.claimed[place{e.stream, e.version}] == nil {
			c.complain("%s of %s at version %d (request %s) is in the log, but no write that leads there: one was done twice, or refused and done all the same", e.kind, e.stream, e.version, e.request)
		}
	}
	for _, m := range h.undocumented {
		c.complain("%s", m)
	}
	for _, m := range h.misread {
		c.complain("%s", m)
	}
	for _, m := range h.unreached {
		if !slices.ContainsFunc(away, func(w window) bool { return !m.at.Add(callBound).Before(w.from) && !m.at.After(w.to) }) {
			c.complain("%s, while the gateway ran", m)
		}
	}
	return c.complaints
}

func (m mark) String() string { return m.at.UTC().Format("15:04:05.000") + " " + m.what }

type place struct {
	stream  string
	version int64
}

type checker struct {
	complaints []string
	at         map[place]*event
	// claimed is which write led to an event.
	claimed  map[place]*write
	commands map[string][]command
}

func (c *checker) complain(format string, arguments ...any) {
	c.complaints = append(c.complaints, fmt.Sprintf(format, arguments...))
}

// order sees that each stream's versions go 1, 2, 3 without a gap or a double.
func (c *checker) order(events []event) {
	streams := map[string][]int64{}
	for i := range events {
		e := &events[i]
		c.at[place{e.stream, e.version}] = e
		streams[e.stream] = append(streams[e.stream], e.version)
	}
	for stream, versions := range streams {
		slices.Sort(versions)
		for i, version := range versions {
			if version != int64(i+1) {
				c.complain("%s has the versions %v", stream, versions)
				break
			}
		}
	}
}

// write looks for a write where its key led to.
func (c *checker) write(w *write) {
	found := c.commands[w.key]
	name := fmt.Sprintf("%s with key %s (requests %s)", w.kind, w.key, strings.Join(w.requests, ", "))
	switch {
	case len(found) == 0 && w.told == acknowledged:
		c.complain("%s was acknowledged, and is not in the log", name)
		return
	case len(found) == 0:
		return
	case w.told == refused:
		c.complain("%s was refused with %s, and is in the log: %s at version %d", name, w.reason, found[0].stream, found[0].version)
	case len(found) > 1:
		c.complain("%s is in the log %d times", name, len(found))
	case w.stream != "" && found[0].stream != w.stream:
		c.complain("%s is of %s, and is in the log of %s", name, w.stream, found[0].stream)
	}
	for _, led := range found {
		first := led.version - int64(len(w.types)) + 1
		for i, kind := range w.types {
			at := place{led.stream, first + int64(i)}
			switch e := c.at[at]; {
			case e == nil:
				c.complain("%s was done, but its %s at version %d of %s is not in the log", name, kind, at.version, at.stream)
			case e.kind != kind:
				c.complain("%s led to a %s at version %d of %s, not to a %s", name, e.kind, at.version, at.stream, kind)
			}
			if other := c.claimed[at]; other != nil {
				c.complain("%s and %s with key %s are one event: version %d of %s", name, other.kind, other.key, at.version, at.stream)
			}
			c.claimed[at] = w
		}
	}
}
