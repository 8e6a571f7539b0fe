package session

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// Grace is how long after a token's first use its parent is still answered:
// longer than any call is on its way.
const Grace = 30 * time.Second

// usesKept bounds the first uses that a session remembers. Whoever refreshes
// more often than once a second is nobody's browser.
const usesKept = 32

// Why a token is refused. Match with errors.Is.
var (
	// ErrInvalid means malformed, forged, or never made.
	ErrInvalid = errors.New("refresh token is not valid")
	// ErrRevoked means that the session has ended.
	ErrRevoked = errors.New("session has ended")
	// ErrExpired means that the session was not refreshed in time, or has reached its age.
	ErrExpired = errors.New("session has expired")
	// ErrReused means that the token was replaced longer ago than Grace: the
	// session has to be revoked.
	ErrReused = errors.New("refresh token was used before")
)

// Reason says why a session was revoked.
type Reason string

// The reasons.
const (
	// ByLogout: its person signed out.
	ByLogout Reason = "logout"
	// ByOwner: its person ended all sessions.
	ByOwner Reason = "ended"
	// ByReuse: a token that had been replaced was presented.
	ByReuse Reason = "reuse"
)

// Lifetime bounds a session.
type Lifetime struct {
	// Idle is how long it lives after each refresh.
	Idle time.Duration
	// Absolute is how long it lives at all.
	Absolute time.Duration
}

// Session is one sign-in and the chain of its refresh tokens.
type Session struct {
	// ID names it in tokens.
	ID uuid.UUID
	// UserID is whose it is.
	UserID uuid.UUID
	// PasswordVersion is the version of the password it was opened with; with
	// another password it is over.
	PasswordVersion int64
	// AccessVersion is the version of the person's access it was opened under.
	AccessVersion int64
	// Counter is the number of the newest refresh token, from 1.
	Counter int64
	// UsedAt tells when tokens Counter-1, Counter-2 and so on were first used,
	// as far as Grace reached at the last refresh.
	UsedAt []time.Time
	// OpenedAt, LastUsedAt and ExpiresAt are its times.
	OpenedAt, LastUsedAt, ExpiresAt time.Time
	// Revoked is true when it was ended before its time.
	Revoked bool
}

// Access is the access of a person, as far as it rules over sessions. Its
// versions are those of the person's stream.
type Access struct {
	// PasswordVersion is the version of the present password.
	PasswordVersion int64
	// SessionsFrom is the version of the last password or deactivation.
	SessionsFrom int64
	// Version is the newest one.
	Version int64
}

// Open starts a session, whose newest token is number 1.
func Open(id, userID uuid.UUID, under Access, now time.Time, lifetime Lifetime) Session {
	s := Session{
		ID: id, UserID: userID, PasswordVersion: under.PasswordVersion, AccessVersion: under.Version,
		Counter: 1, OpenedAt: now, LastUsedAt: now,
	}
	s.ExpiresAt = s.expiry(now, lifetime)
	return s
}

// Refresh tells which token to answer the token of a number with, and the
// session as it is after that; it has changed only where Counter has.
// under is the person's access as it is now: what was opened before the last
// password or deactivation is over, also after a reactivation. Errors:
// ErrRevoked, ErrExpired, ErrReused, ErrInvalid.
func (s Session) Refresh(number int64, under Access, now time.Time, lifetime Lifetime) (next Session, answer int64, err error) {
	switch {
	// Of the password the very version counts: a log that was restored to an
	// earlier state gives versions a second time.
	case s.Revoked || s.PasswordVersion != under.PasswordVersion || s.AccessVersion < under.SessionsFrom:
		return s, 0, ErrRevoked
	case !now.Before(s.ExpiresAt):
		return s, 0, ErrExpired
	case number < 1 || number > s.Counter:
		return s, 0, ErrInvalid
	case number == s.Counter:
		next = s
		next.Counter++
		next.UsedAt = s.usesAfter(now)
		next.LastUsedAt = now
		next.ExpiresAt = s.expiry(now, lifetime)
		return next, next.Counter, nil
	case !s.answerable(number, now):
		return s, 0, ErrReused
	}
	// The newest is the token's own child where that is unused. Where it is not,
	// the child would be taken for stolen as soon as the newest is used: a late
	// call of one tab would have put it into the cookie of all.
	return s, s.Counter, nil
}

// answerable tells whether the child of an older token is unused, or was first
// used within Grace.
func (s Session) answerable(number int64, now time.Time) bool {
	child := number + 1
	if child == s.Counter {
		return true
	}
	used := s.Counter - 1 - child // index of the child's first use
	return used < int64(len(s.UsedAt)) && now.Sub(s.UsedAt[used]) <= Grace
}

// usesAfter is UsedAt once the newest token has been used.
func (s Session) usesAfter(now time.Time) []time.Time {
	uses := []time.Time{now}
	for _, used := range s.UsedAt {
		if now.Sub(used) > Grace || len(uses) == usesKept {
			break
		}
		uses = append(uses, used)
	}
	return uses
}

func (s Session) expiry(now time.Time, lifetime Lifetime) time.Time {
	idle, end := now.Add(lifetime.Idle), s.OpenedAt.Add(lifetime.Absolute)
	if idle.Before(end) {
		return idle
	}
	return end
}
