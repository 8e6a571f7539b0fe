package app_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/users"
)

// directory has a number of accounts and notes what it is asked.
type directory struct {
	accounts int
	asked    users.Query
}

func (d *directory) List(_ context.Context, query users.Query) ([]users.User, error) {
	d.asked = query
	found := make([]users.User, min(d.accounts, query.Limit))
	for i := range found {
		found[i] = users.User{ID: uuid.UUID{byte(i)}, Username: string(rune('a' + i))}
	}
	return found, nil
}

func list(t *testing.T, accounts int, query users.Query) (app.ListedUsers, *directory, error) {
	t.Helper()
	has := &directory{accounts: accounts}
	listed, err := app.New(app.Config{Directory: has}).Queries.ListUsers.Handle(t.Context(), app.ListUsers{Query: query})
	return listed, has, err
}

func TestPageSaysWhetherThereIsAnother(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ accounts, size, listed int }{{0, 3, 0}, {2, 3, 2}, {3, 3, 3}, {4, 3, 3}, {900, app.MaxPage, app.MaxPage}} {
		listed, _, err := list(t, test.accounts, users.Query{Order: users.ByUsername, Limit: test.size})
		if err != nil || len(listed.Users) != test.listed {
			t.Errorf("%d of %d are listed, %v; want %d", len(listed.Users), test.accounts, err, test.listed)
		}
		if more := test.accounts > test.size; (listed.Next != nil) != more {
			t.Errorf("%d accounts, pages of %d: next is %v", test.accounts, test.size, listed.Next)
		}
		if listed.Next != nil && (listed.Next.Key != listed.Users[test.listed-1].Username || listed.Next.ID != listed.Users[test.listed-1].ID) {
			t.Errorf("the next page begins after %+v, the last account is %+v", listed.Next, listed.Users[test.listed-1])
		}
	}
}

func TestFiltersAreBroughtIntoCanonicalForm(t *testing.T) {
	t.Parallel()
	_, has, err := list(t, 0, users.Query{Username: " ADA", Email: "Ada@Bücher.ex", Role: "auditor", Limit: 1})
	if err != nil || has.asked.Username != "ada" || has.asked.Email != "ada@xn--bcher-kva.ex" || has.asked.Role != "auditor" {
		t.Errorf("asked for %+v, %v", has.asked, err)
	}
}

func TestListThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for field, query := range map[string]users.Query{
		"pageSize": {Limit: 0},
		"role":     {Limit: 1, Role: "emperor"},
	} {
		_, _, err := list(t, 1, query)
		if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if _, _, err := list(t, 1, users.Query{Limit: app.MaxPage + 1}); err == nil {
		t.Error("a page that is too large is cut and nothing said")
	}
}
