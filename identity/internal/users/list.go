package users

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed queries/page.sql
var page string

// User is a row: an account as the projection shows it.
type User struct {
	ID                  uuid.UUID
	Username, Email     string
	FirstName, LastName string
	Roles               []string
	// Active is false while the account is deactivated.
	Active bool
	// RegisteredAt and UpdatedAt are when the account was opened and when it last changed.
	RegisteredAt, UpdatedAt time.Time
	// Version of the account's stream.
	Version int64
	// AvatarID names the person's picture; empty without one.
	AvatarID string
}

// Order is what a list is sorted by. Of equals the smaller id comes first, so
// that every order is total.
type Order int

const (
	// ByRegistration sorts by when the account was opened.
	ByRegistration Order = iota
	// ByUsername sorts by the username.
	ByUsername
	// ByEmail sorts by the email address.
	ByEmail
	// ByName sorts by the last name, then the first, in no regard of case and accents.
	ByName
)

// Place is where a page ended: what its last account is sorted by. The order
// says which fields count beside the id.
type Place struct {
	RegisteredAt time.Time
	// Key is the username, the email address or the last name.
	Key string
	// SecondKey is the first name, where the order is by name.
	SecondKey string
	ID        uuid.UUID
}

// Query asks for a page. Filters that are given have to hold all.
type Query struct {
	// Username and Email are what the canonical names begin with; empty for all.
	Username, Email string
	// Active asks for active accounts only, or for deactivated ones; nil for both.
	Active *bool
	// Role that the accounts have; empty for all.
	Role string

	Order      Order
	Descending bool
	// After is where the page before ended; nil for the first page.
	After *Place
	// Limit is how many accounts are wanted at most.
	Limit int
}

// errOrder: the program asks for an order that there is none of.
var errOrder = errors.New("no such order")

// Rows reads the rows that serve.
type Rows struct{ pool *pgxpool.Pool }

// NewRows reads from identity's database.
func NewRows(pool *pgxpool.Pool) *Rows { return &Rows{pool} }

// List reads a page, in order. One that is not full is the last.
func (r *Rows) List(ctx context.Context, query Query) ([]User, error) {
	sql, err := statement(query.Order, query.Descending)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	var after Place
	if query.After != nil {
		after = *query.After
	}
	if query.Order == ByName {
		after.Key, after.SecondKey = sortKey(after.Key), sortKey(after.SecondKey)
	}
	arguments := pgx.NamedArgs{
		"projection":     Name,
		"username":       query.Username,
		"username_until": until(query.Username),
		"email":          query.Email,
		"email_until":    until(query.Email),
		"active":         query.Active,
		"role":           query.Role,
		"limit":          query.Limit,
		"first":          query.After == nil,
		"registered_at":  after.RegisteredAt,
		"key":            after.Key,
		"second_key":     after.SecondKey,
		"user_id":        after.ID,
	}
	// Planned for these very values: a filter that is not given then costs
	// nothing, and one that is rare is looked up by its own index.
	rows, err := r.pool.Query(ctx, sql, pgx.QueryExecModeCacheDescribe, arguments)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (User, error) {
		var user User
		err := row.Scan(&user.ID, &user.Username, &user.Email, &user.FirstName, &user.LastName, &user.Roles,
			&user.Active, &user.RegisteredAt, &user.UpdatedAt, &user.Version, &user.AvatarID)
		return user, err
	})
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return found, nil
}

// PlaceOf is where a page in that order ends with this account.
func PlaceOf(last User, order Order) Place {
	switch order {
	case ByUsername:
		return Place{Key: last.Username, ID: last.ID}
	case ByEmail:
		return Place{Key: last.Email, ID: last.ID}
	case ByName:
		return Place{Key: last.LastName, SecondKey: last.FirstName, ID: last.ID}
	default:
		return Place{RegisteredAt: last.RegisteredAt, ID: last.ID}
	}
}

// statement puts an order into the one text of the query. What it puts there
// stands here and nowhere else: nothing of a request becomes part of it.
func statement(order Order, descending bool) (string, error) {
	var columns, place []string
	switch order {
	case ByRegistration:
		columns, place = []string{"u.registered_at"}, []string{"@registered_at"}
	case ByUsername:
		columns, place = []string{"u.username"}, []string{"@key"}
	case ByEmail:
		columns, place = []string{"u.email"}, []string{"@key"}
	case ByName:
		columns, place = []string{"u.last_name_key", "u.first_name_key"}, []string{"@key", "@second_key"}
	default:
		return "", fmt.Errorf("%w: %d", errOrder, order)
	}
	columns, place = append(columns, "u.user_id"), append(place, "@user_id")
	past, direction := ">", " ASC"
	if descending {
		past, direction = "<", " DESC"
	}
	return strings.NewReplacer(
		"{{past_the_place}}", "("+strings.Join(columns, ", ")+") "+past+" ("+strings.Join(place, ", ")+")",
		"{{order}}", strings.Join(columns, direction+", ")+direction,
	).Replace(page), nil
}

// until is the bound above all that begins with a prefix: no name has the
// character U+10FFFF, which is none. A range needs no escapes, as a pattern would.
func until(prefix string) string { return prefix + "\U0010FFFF" }
