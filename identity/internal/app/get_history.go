package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/loginname"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// historyPage is how many events of a stream are looked at, at once.
const historyPage = 500

// NotYetError says that an account was opened later than asked for.
type NotYetError struct {
	// First is when its first event occurred.
	First time.Time
}

// Error tells when that was.
func (e *NotYetError) Error() string { return "account was opened later, at " + e.First.String() }

// GetHistory asks how an account stood.
type GetHistory struct {
	UserID string
	// At is when; the zero time for now.
	At time.Time
}

// History is an account as it stood at a time.
type History struct {
	Profile
	// Stream of its events, and Epoch of the log.
	Stream string
	Epoch  int64
	// Erased tells that the person has been erased, then or since: nothing personal
	// is left in the profile.
	Erased bool
	// Unreadable tells that its events cannot be opened; the profile then has the
	// id and the version alone.
	Unreadable bool
}

// GetHistoryHandler handles GetHistory.
type GetHistoryHandler struct {
	accounts accounts
}

// Handle folds the account's stream up to the last event that had occurred by
// then. It also tells of who was erased. Errors: ErrUserNotFound, *NotYetError.
func (h *GetHistoryHandler) Handle(ctx context.Context, g GetHistory) (History, error) {
	history, err := h.stands(ctx, g)
	if err != nil {
		return History{}, fmt.Errorf("get history: %w", err)
	}
	account, err := h.accounts.users.Load(ctx, history.Stream, history.Version)
	switch {
	case errors.Is(err, seal.ErrUnknownKey), errors.Is(err, seal.ErrUnknownType), errors.Is(err, seal.ErrTampered):
		// Its events are shown all the same, each as far as it can be opened.
		history.ID, history.Unreadable = g.UserID, true
		return history, nil
	case err != nil:
		return History{}, fmt.Errorf("get history: %w", err)
	}
	history.Profile.Profile = account.State.Profile()
	history.RegisteredAt, history.UpdatedAt = account.FirstAt, account.LastAt
	if history.Erased { // also where a key is not destroyed yet
		history.Username, history.Email, history.FirstName, history.LastName = "", "", "", ""
	}
	return history, nil
}

// stands looks for the version that the account had.
func (h *GetHistoryHandler) stands(ctx context.Context, g GetHistory) (History, error) {
	history := History{Stream: user.Stream(g.UserID)}
	var first time.Time
	passed := false
	for from := int64(1); ; from += historyPage {
		events, err := h.accounts.log.ReadStream(ctx, history.Stream, from, historyPage)
		if err != nil {
			return history, err
		}
		for _, event := range events {
			if first.IsZero() {
				first = event.OccurredAt
			}
			if event.Type == erasedType {
				history.Erased = true
			}
			// The first that is later ends it, also where a clock was set back after it.
			if passed = passed || !g.At.IsZero() && event.OccurredAt.After(g.At); !passed {
				history.Version, history.Epoch = event.Version, event.Epoch
			}
		}
		if len(events) < historyPage {
			break
		}
	}
	switch {
	case first.IsZero():
		return history, ErrUserNotFound
	case history.Version == 0:
		return history, &NotYetError{First: first}
	}
	return history, nil
}

var erasedType = eventstore.TypeOf(&eventsv1.UserErased{})

// FindUser asks whose a login name is.
type FindUser struct {
	// LoginName is a username or an email address, as it was typed.
	LoginName string
}

// FindUserHandler handles FindUser.
type FindUserHandler struct {
	accounts accounts
}

// Handle asks the reservations, which change with the events: so it is never out
// of date, and knows no name of who was erased. Errors: ErrUserNotFound.
func (h *FindUserHandler) Handle(ctx context.Context, f FindUser) (userID string, err error) {
	kind, name, ok := loginname.Parse(f.LoginName)
	if !ok {
		return "", ErrUserNotFound
	}
	reserved := kindUsername
	if kind == loginname.KindEmail {
		reserved = kindEmail
	}
	stream, err := h.accounts.log.Holder(ctx, h.accounts.reserve(reserved, name))
	if err != nil {
		return "", fmt.Errorf("find user: %w", err)
	}
	userID, ok = strings.CutPrefix(stream, user.StreamPrefix)
	if !ok {
		return "", ErrUserNotFound
	}
	return userID, nil
}
