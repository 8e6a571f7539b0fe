package users

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// Name is the projection's key in the database.
const Name = "users"

var (
	//go:embed queries/insert.sql
	insertRows string
	//go:embed queries/update.sql
	updateRows string
	//go:embed queries/delete.sql
	deleteRows string
)

// Projection folds the identity log into read.users. Its zero value works.
type Projection struct{}

var _ projection.Projection = Projection{}

// Name is Name.
func (Projection) Name() string { return Name }

// Tables holds read.users.
func (Projection) Tables() []projection.Table {
	return []projection.Table{{
		Name: "read.users", Key: []string{"user_id"},
		Sensitive: []string{"username", "email", "first_name", "last_name", "first_name_key", "last_name_key"},
	}}
}

// Handles tells which events change a row: all of an account's, since each
// moves the version that a change may be bound to.
func (Projection) Handles(eventType string) bool {
	return slices.Contains([]string{
		eventstore.TypeOf(&eventsv1.UserRegistered{}), eventstore.TypeOf(&eventsv1.PasswordSet{}), eventstore.TypeOf(&eventsv1.ProfileUpdated{}),
		eventstore.TypeOf(&eventsv1.UserDeactivated{}), eventstore.TypeOf(&eventsv1.UserReactivated{}), eventstore.TypeOf(&eventsv1.UsernameChanged{}),
		eventstore.TypeOf(&eventsv1.EmailChanged{}), eventstore.TypeOf(&eventsv1.RolesChanged{}), eventstore.TypeOf(&eventsv1.UserErased{}),
	}, eventType)
}

// Apply folds the batch into one change an account and writes all changes with
// one statement of each kind, however many events there are. A change that the
// rows hold already is left out, by its version.
func (Projection) Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error {
	changes, err := fold(events)
	if err != nil {
		return fmt.Errorf("apply to users: %w", err)
	}
	var inserts, updates []change
	var erased []uuid.UUID
	for _, c := range changes {
		switch {
		case c.erased:
			erased = append(erased, c.UserID)
		case c.registered:
			inserts = append(inserts, *c)
		default:
			updates = append(updates, *c)
		}
	}
	return projection.Write(ctx, tx, "apply to users",
		projection.Statement{SQL: insertRows, Rows: len(inserts), Arguments: []any{generation, inserts}},
		projection.Statement{SQL: updateRows, Rows: len(updates), Arguments: []any{generation, updates}},
		projection.Statement{SQL: deleteRows, Rows: len(erased), Arguments: []any{generation, erased}},
	)
}

// change is what a batch does to one account's row, folded. It travels to the
// statements as JSON; null leaves a column as it is.
type change struct {
	UserID       uuid.UUID `json:"user_id"`
	Username     *string   `json:"username"`
	Email        *string   `json:"email"`
	FirstName    *string   `json:"first_name"`
	LastName     *string   `json:"last_name"`
	FirstNameKey *string   `json:"first_name_key"`
	LastNameKey  *string   `json:"last_name_key"`
	Roles        []string  `json:"roles"`
	Active       *bool     `json:"active"`
	RegisteredAt time.Time `json:"registered_at"`
	UpdatedAt    time.Time `json:"updated_at"`
	Version      int64     `json:"version"`

	registered, erased bool
}

// fold keeps the order in which accounts first appear, so that two processes at
// one batch take the rows' locks in one order.
func fold(events []eventstore.Opened) ([]*change, error) {
	var changes []*change
	byUser := make(map[uuid.UUID]*change)
	for _, event := range events {
		about, ok := event.Message.(interface{ GetUserId() string })
		if !ok {
			return nil, fmt.Errorf("event %s: a %s does not say whom it is about", event.ID, event.Type)
		}
		id, err := uuid.Parse(about.GetUserId())
		if err != nil {
			return nil, fmt.Errorf("event %s: its user id is no UUID", event.ID)
		}
		c := byUser[id]
		if c == nil {
			c = &change{UserID: id}
			byUser[id] = c
			changes = append(changes, c)
		}
		c.add(event)
	}
	return changes, nil
}

func (c *change) add(event eventstore.Opened) {
	c.Version, c.UpdatedAt = event.Version, event.OccurredAt
	// Once the person's key is destroyed the account is on its way out, or gone.
	c.erased = c.erased || event.Erased
	switch message := event.Message.(type) {
	case *eventsv1.UserRegistered:
		c.registered, c.RegisteredAt, c.Active = true, event.OccurredAt, new(true)
		c.Username, c.Email = new(message.GetUsername()), new(message.GetEmail())
		c.name(message)
		c.roles(message)
	case *eventsv1.ProfileUpdated:
		c.name(message)
	case *eventsv1.UsernameChanged:
		c.Username = new(message.GetUsername())
	case *eventsv1.EmailChanged:
		c.Email = new(message.GetEmail())
	case *eventsv1.RolesChanged:
		c.roles(message)
	case *eventsv1.UserDeactivated:
		c.Active = new(false)
	case *eventsv1.UserReactivated:
		c.Active = new(true)
	case *eventsv1.UserErased:
		c.erased = true
	}
}

func (c *change) name(of interface {
	GetFirstName() string
	GetLastName() string
}) {
	c.FirstName, c.FirstNameKey = new(of.GetFirstName()), new(sortKey(of.GetFirstName()))
	c.LastName, c.LastNameKey = new(of.GetLastName()), new(sortKey(of.GetLastName()))
}

func (c *change) roles(of interface{ GetRoles() []string }) {
	c.Roles = append([]string{}, of.GetRoles()...) // none is not the same as no change
}
