package app

import (
	"context"
	"fmt"

	"github.com/muster-id/muster/identity/internal/users"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/loginname"
)

// MaxPage is how many accounts a page holds at most.
const MaxPage = 200

// ListUsers asks for a page of accounts. Username and Email in the query are
// what the names begin with, as typed.
type ListUsers struct{ users.Query }

// ListedUsers is a page of accounts.
type ListedUsers struct {
	Users []users.User
	// Next is where the page ended; nil when there is nothing after it.
	Next *users.Place
}

// ListUsersHandler handles ListUsers.
type ListUsersHandler struct {
	directory Directory
}

// Handle reads from the users projection, which follows the log in a moment:
// whoever has to see a change waits for its position first. Errors:
// *InvalidFieldError.
func (h *ListUsersHandler) Handle(ctx context.Context, l ListUsers) (ListedUsers, error) {
	if l.Limit < 1 || l.Limit > MaxPage {
		return ListedUsers{}, fmt.Errorf("list users: %w", &InvalidFieldError{
			Field: "pageSize", Problem: fmt.Sprintf("A page has 1 to %d accounts", MaxPage),
		})
	}
	if l.Role != "" && !access.KnownRole(l.Role) {
		return ListedUsers{}, fmt.Errorf("list users: %w", &InvalidFieldError{Field: "role", Problem: "There is no such role"})
	}
	query := l.Query
	query.Username, query.Email = loginname.UsernamePrefix(l.Username), loginname.EmailPrefix(l.Email)
	query.Limit++ // one more shows whether there is a next page
	found, err := h.directory.List(ctx, query)
	if err != nil {
		return ListedUsers{}, err
	}
	if len(found) <= l.Limit {
		return ListedUsers{Users: found}, nil
	}
	found = found[:l.Limit]
	next := users.PlaceOf(found[l.Limit-1], l.Order)
	return ListedUsers{Users: found, Next: &next}, nil
}
