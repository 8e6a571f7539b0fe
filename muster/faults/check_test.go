package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// whole is a history in which all is well, and the log that goes with it.
func whole() (*history, logged) {
	h := newHistory()
	h.writes = []*write{
		{kind: "Register", key: "k1", stream: "user-a", types: []string{"UserRegistered", "PasswordSet"}, told: acknowledged},
		{kind: "UpdateMe", key: "k2", stream: "user-a", types: []string{"ProfileUpdated"}, told: acknowledged},
		{kind: "Register", key: "k3", types: []string{"UserRegistered", "PasswordSet"}, told: refused, reason: "USERNAME_TAKEN"},
		{kind: "ChangePassword", key: "k4", stream: "user-a", types: []string{"PasswordSet"}, told: unknown},
		{kind: "ChangePassword", key: "k5", stream: "user-a", types: []string{"PasswordSet"}, told: unknown},
	}
	return h, logged{
		events: []event{
			{stream: "user-a", version: 1, kind: "UserRegistered"},
			{stream: "user-a", version: 2, kind: "PasswordSet"},
			{stream: "user-a", version: 3, kind: "ProfileUpdated"},
			{stream: "user-a", version: 4, kind: "PasswordSet"},
		},
		commands: []command{{"k1", "user-a", 2}, {"k2", "user-a", 3}, {"k4", "user-a", 4}},
	}
}

// The checker says nothing of a whole history, and complains of each thing that
// must not be.
func TestTheCheckerComplains(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 3, 2, 9, 15, 0, 0, time.UTC)
	tests := map[string]struct {
		breaks func(*history, *logged)
		away   []window
		says   string // empty for nothing
	}{
		"all is well": {breaks: func(*history, *logged) {}},
		"a lost write": {
			breaks: func(_ *history, l *logged) {
				l.events = append(l.events[:2:2], event{stream: "user-a", version: 3, kind: "PasswordSet"})
				l.commands = []command{{"k1", "user-a", 2}, {"k4", "user-a", 3}}
			},
			says: "UpdateMe with key k2 (requests ) was acknowledged, and is not in the log",
		},
		"a lost event of a command that is there": {
			breaks: func(_ *history, l *logged) { l.events = l.events[:2]; l.commands = l.commands[:2] },
			says:   "its ProfileUpdated at version 3 of user-a is not in the log",
		},
		"a doubled write": {
			breaks: func(_ *history, l *logged) {
				l.events = append(l.events, event{stream: "user-a", version: 5, kind: "ProfileUpdated"})
			},
			says: "ProfileUpdated of user-a at version 5",
		},
		"a write that its key did twice": {
			breaks: func(_ *history, l *logged) {
				l.events = append(l.events, event{stream: "user-a", version: 5, kind: "ProfileUpdated"})
				l.commands = append(l.commands, command{"k2", "user-a", 5})
			},
			says: "is in the log 2 times",
		},
		"a doubled registration": {
			breaks: func(_ *history, l *logged) {
				l.events = append(l.events, event{stream: "user-b", version: 1, kind: "UserRegistered"})
			},
			says: "UserRegistered of user-b at version 1",
		},
		"a refused write that is there": {
			breaks: func(_ *history, l *logged) {
				l.events = append(l.events, event{stream: "user-b", version: 1, kind: "UserRegistered"}, event{stream: "user-b", version: 2, kind: "PasswordSet"})
				l.commands = append(l.commands, command{"k3", "user-b", 2})
			},
			says: "was refused with USERNAME_TAKEN, and is in the log",
		},
		"a gap in a stream": {
			breaks: func(_ *history, l *logged) { l.events[3].version, l.commands[2].version = 5, 5 },
			says:   "user-a has the versions [1 2 3 5]",
		},
		"a write in another's stream": {
			breaks: func(h *history, _ *logged) { h.writes[1].stream = "user-b" },
			says:   "is of user-b, and is in the log of user-a",
		},
		"two writes of one event": {
			breaks: func(_ *history, l *logged) { l.commands = append(l.commands, command{"k5", "user-a", 4}) },
			says:   "are one event",
		},
		"another event than was asked for": {
			breaks: func(_ *history, l *logged) { l.events[2].kind = "RolesChanged" },
			says:   "led to a RolesChanged at version 3 of user-a, not to a ProfileUpdated",
		},
		"a reason that is not documented": {
			breaks: func(h *history, _ *logged) {
				h.answered("UpdateMe", answer{began: began, status: 500, code: "unknown", reason: "BROKEN"})
			},
			says: `reason "BROKEN", which is not documented`,
		},
		"no reason": {
			breaks: func(h *history, _ *logged) {
				h.answered("UpdateMe", answer{began: began, status: 502})
			},
			says: "HTTP 502",
		},
		"a fault of Muster's own": {
			breaks: func(h *history, _ *logged) {
				h.answered("UpdateMe", answer{began: began, status: 500, code: "internal", reason: "INTERNAL"})
			},
			says: "refused with INTERNAL",
		},
		"a reason with another's code": {
			breaks: func(h *history, _ *logged) {
				h.answered("UpdateMe", answer{began: began, status: 503, code: "internal", reason: "UNAVAILABLE"})
			},
			says: `reason UNAVAILABLE and code "internal"`,
		},
		"a documented reason": {
			breaks: func(h *history, _ *logged) {
				h.answered("UpdateMe", answer{began: began, status: 503, code: "unavailable", reason: "UNAVAILABLE"})
			},
		},
		"a session that does not read its own write": {
			breaks: func(h *history, _ *logged) { h.misreads("GetMe shows the former name") },
			says:   "GetMe shows the former name",
		},
		"no answer while the gateway ran": {
			breaks: func(h *history, _ *logged) { h.answered("GetMe", answer{began: began, err: errors.New("reset")}) },
			away:   []window{{began.Add(-time.Minute), began.Add(-time.Second)}},
			says:   "GetMe: reset, while the gateway ran",
		},
		"no answer while it was down": {
			breaks: func(h *history, _ *logged) { h.answered("GetMe", answer{began: began, err: errors.New("reset")}) },
			away:   []window{{began.Add(-time.Second), began.Add(time.Second)}},
		},
		"cut off in the middle of a call": {
			breaks: func(h *history, _ *logged) { h.answered("GetMe", answer{began: began, err: errors.New("reset")}) },
			away:   []window{{began.Add(time.Second), began.Add(2 * time.Second)}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, log := whole()
			test.breaks(h, &log)
			said := strings.Join(check(h, log, test.away), "\n")
			if test.says == "" && said != "" || !strings.Contains(said, test.says) {
				t.Errorf("it says %q, not %q", said, test.says)
			}
		})
	}
}
