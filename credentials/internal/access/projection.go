package access

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// Name is the projection's key in the database.
const Name = "access"

var (
	//go:embed queries/insert.sql
	insertRows string
	//go:embed queries/update.sql
	updateRows string
	//go:embed queries/delete.sql
	deleteRows string
)

// Projection folds the identity log into read.access. Its zero value works.
type Projection struct{}

var _ projection.Projection = Projection{}

// Name is Name.
func (Projection) Name() string { return Name }

// Tables holds read.access.
func (Projection) Tables() []projection.Table {
	return []projection.Table{{
		Name: "read.access", Key: []string{"user_id"}, Sensitive: []string{"username", "email", "verifier"},
	}}
}

// Handles tells which events change who may come in.
func (Projection) Handles(eventType string) bool {
	switch eventType {
	case eventstore.TypeOf(&eventsv1.UserRegistered{}), eventstore.TypeOf(&eventsv1.PasswordSet{}),
		eventstore.TypeOf(&eventsv1.UsernameChanged{}), eventstore.TypeOf(&eventsv1.EmailChanged{}), eventstore.TypeOf(&eventsv1.RolesChanged{}),
		eventstore.TypeOf(&eventsv1.UserDeactivated{}), eventstore.TypeOf(&eventsv1.UserReactivated{}), eventstore.TypeOf(&eventsv1.UserErased{}):
		return true
	}
	return false
}

// Apply folds the batch into one change a person and writes all changes with
// one statement of each kind, however many events there are. A change that the
// rows hold already is left out, by its access version.
func (Projection) Apply(ctx context.Context, tx pgx.Tx, generation int64, events []eventstore.Opened) error {
	changes, err := fold(events)
	if err != nil {
		return fmt.Errorf("apply to access: %w", err)
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
	return projection.Write(ctx, tx, "apply to access",
		projection.Statement{SQL: insertRows, Rows: len(inserts), Arguments: []any{generation, inserts}},
		projection.Statement{SQL: updateRows, Rows: len(updates), Arguments: []any{generation, updates}},
		projection.Statement{SQL: deleteRows, Rows: len(erased), Arguments: []any{generation, erased}},
	)
}

// change is what a batch does to one person's row, folded. It travels to the
// statements as JSON; null leaves a column as it is.
type change struct {
	UserID          uuid.UUID  `json:"user_id"`
	Username        *string    `json:"username"`
	Email           *string    `json:"email"`
	NamedAt         *time.Time `json:"named_at"`
	Verifier        *string    `json:"verifier"`
	PasswordVersion *int64     `json:"password_version"`
	MustChange      *bool      `json:"must_change"`
	Active          *bool      `json:"active"`
	Roles           []string   `json:"roles"`
	SessionsFrom    *int64     `json:"sessions_from"`
	AccessVersion   int64      `json:"access_version"`

	registered, erased bool
}

// fold keeps the order in which people first appear, so that two processes at
// one batch take the rows' locks in one order.
func fold(events []eventstore.Opened) ([]*change, error) {
	var changes []*change
	byUser := make(map[uuid.UUID]*change)
	for _, event := range events {
		id, err := person(event)
		if err != nil {
			return nil, err
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

// person that an event is about.
func person(event eventstore.Opened) (uuid.UUID, error) {
	about, ok := event.Message.(interface{ GetUserId() string })
	if !ok {
		return uuid.UUID{}, fmt.Errorf("event %s: a %s does not say whom it is about", event.ID, event.Type)
	}
	id, err := uuid.Parse(about.GetUserId())
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("event %s: its user id is no UUID", event.ID)
	}
	return id, nil
}

func (c *change) add(event eventstore.Opened) {
	c.AccessVersion = event.Version
	switch message := event.Message.(type) {
	case *eventsv1.UserRegistered:
		c.registered = true
		c.name(event, new(message.GetUsername()), new(message.GetEmail()))
		c.Roles, c.Active = message.GetRoles(), new(true)
	case *eventsv1.UsernameChanged:
		c.name(event, new(message.GetUsername()), nil)
	case *eventsv1.EmailChanged:
		c.name(event, nil, new(message.GetEmail()))
	case *eventsv1.RolesChanged:
		c.Roles = append([]string{}, message.GetRoles()...) // none is not null
	case *eventsv1.UserErased:
		c.erased = true
	case *eventsv1.PasswordSet:
		c.PasswordVersion, c.MustChange = new(event.Version), new(message.GetKind() == eventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME)
		c.SessionsFrom = new(event.Version)
		c.Verifier = nil
		if !event.Erased {
			c.Verifier = new(message.GetVerifier())
		}
	case *eventsv1.UserDeactivated:
		c.Active, c.SessionsFrom = new(false), new(event.Version)
	case *eventsv1.UserReactivated:
		c.Active = new(true)
	}
}

// name takes the names that are given. A tombstone has none to give: the person
// was erased.
func (c *change) name(event eventstore.Opened, username, email *string) {
	if event.Erased {
		c.erased = true
		return
	}
	if username != nil {
		c.Username = username
	}
	if email != nil {
		c.Email = email
	}
	c.NamedAt = new(event.OccurredAt)
}
