package users_test

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/users"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// model is the list as a person would make it: filter, sort, cut into pages.
type model []users.User

func (m model) list(query users.Query) []users.User {
	matching := slices.DeleteFunc(slices.Clone(m), func(u users.User) bool { return !matches(u, query) })
	slices.SortFunc(matching, func(a, b users.User) int {
		if query.Descending {
			a, b = b, a
		}
		return compare(query.Order, a, b)
	})
	return matching
}

func matches(u users.User, query users.Query) bool {
	return strings.HasPrefix(u.Username, query.Username) && strings.HasPrefix(u.Email, query.Email) &&
		(query.Active == nil || *query.Active == u.Active) &&
		(query.Role == "" || slices.Contains(u.Roles, query.Role))
}

func compare(order users.Order, a, b users.User) int {
	var by int
	switch order {
	case users.ByUsername:
		by = cmp.Compare(a.Username, b.Username)
	case users.ByEmail:
		by = cmp.Compare(a.Email, b.Email)
	case users.ByName:
		by = cmp.Or(cmp.Compare(users.SortKey(a.LastName), users.SortKey(b.LastName)), cmp.Compare(users.SortKey(a.FirstName), users.SortKey(b.FirstName)))
	default:
		by = a.RegisteredAt.Compare(b.RegisteredAt)
	}
	return cmp.Or(by, bytes.Compare(a.ID[:], b.ID[:]))
}

// somebody is drawn from few values, so that many are equal in something.
func somebody(t *rapid.T) users.User {
	name := func(what string) string {
		return rapid.SampledFrom([]string{"", "Ada", "ADA", "ada", "Ádám", "Adám", "Zuse", "Özil", "Ozil", "Łem", "김"}).Draw(t, what)
	}
	stem := rapid.StringMatching(`[ab%_\\é]{2,4}`).Draw(t, "stem")
	return users.User{
		ID:           uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
		Username:     stem,
		Email:        rapid.SampledFrom([]string{"", "a", "%"}).Draw(t, "mailbox") + stem + "@example.org",
		FirstName:    name("first name"),
		LastName:     name("last name"),
		Roles:        rapid.SampledFrom([][]string{{}, {}, {"admin"}, {"auditor"}, {"admin", "auditor"}}).Draw(t, "roles"),
		Active:       rapid.Bool().Draw(t, "active"),
		RegisteredAt: time.Date(2026, 11, 22, 9, 0, rapid.IntRange(0, 3).Draw(t, "second"), 1000*rapid.IntRange(0, 1).Draw(t, "microsecond"), time.UTC),
		Version:      2,
	}
}

// events make the row.
func events(u users.User) []eventstore.Opened {
	p := &person{id: u.ID, at: u.RegisteredAt.Add(-time.Second)}
	registered := p.event(&eventsv1.UserRegistered{
		UserId: u.ID.String(), Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, Roles: u.Roles,
	})
	if u.Active {
		return []eventstore.Opened{registered, p.event(&eventsv1.PasswordSet{UserId: u.ID.String()})}
	}
	return []eventstore.Opened{registered, p.event(&eventsv1.UserDeactivated{UserId: u.ID.String()})}
}

func somehow(t *rapid.T) users.Query {
	prefix := rapid.SampledFrom([]string{"", "", "a", "ab", "%", "_", "\\", "é", "b_", "zz"})
	query := users.Query{
		Username:   prefix.Draw(t, "username"),
		Email:      prefix.Draw(t, "email"),
		Role:       rapid.SampledFrom([]string{"", "", "admin", "auditor", "nobody's"}).Draw(t, "role"),
		Order:      rapid.SampledFrom([]users.Order{users.ByRegistration, users.ByUsername, users.ByEmail, users.ByName}).Draw(t, "order"),
		Descending: rapid.Bool().Draw(t, "descending"),
		Limit:      rapid.IntRange(1, 7).Draw(t, "page size"),
	}
	if rapid.Bool().Draw(t, "by active") {
		query.Active = new(rapid.Bool().Draw(t, "active only"))
	}
	return query
}

// Whatever the accounts, the filters, the order and the size: the pages joined
// are the whole, sorted and filtered, each account once. Those that are added
// while somebody turns the pages neither move nor hide the others.
func TestPagesJoinedAreTheWhole(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	generation := int64(1)
	rapid.Check(t, func(t *rapid.T) {
		generation++ // rows of the case before are of another one
		if _, err := b.pool.Exec(t.Context(), `UPDATE read.projections SET generation = $1 WHERE name = 'users'`, generation); err != nil {
			t.Fatal(err)
		}
		known := make(map[uuid.UUID]bool)
		add := func(most int) (added model) {
			var applied []eventstore.Opened
			for range rapid.IntRange(0, most).Draw(t, "people") {
				if u := somebody(t); !known[u.ID] {
					known[u.ID] = true
					added, applied = append(added, u), append(applied, events(u)...)
				}
			}
			if err := b.try(t.Context(), generation, applied...); err != nil {
				t.Fatal(err)
			}
			return added
		}
		there := add(20)
		query := somehow(t)
		want := there.list(query)
		late := rapid.Bool().Draw(t, "others register meanwhile")
		var pages []users.User
		for {
			found, err := b.rows.List(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			if pages = append(pages, found...); len(pages) > 1000 {
				t.Fatal("the pages have no end")
			}
			if len(found) < query.Limit {
				break
			}
			after := users.PlaceOf(found[len(found)-1], query.Order)
			query.After = &after
			if late && len(known) < 40 {
				add(3)
			}
		}
		seen := make(map[uuid.UUID]bool)
		var joined []users.User
		for i, u := range pages {
			if seen[u.ID] {
				t.Fatalf("%s is listed twice", u.ID)
			}
			seen[u.ID] = true
			if i > 0 && (compare(query.Order, pages[i-1], u) < 0) == query.Descending {
				t.Fatalf("%+v stands before %+v", pages[i-1], u)
			}
			if !matches(u, query) {
				t.Fatalf("%+v is listed", u)
			}
			if slices.ContainsFunc(there, func(v users.User) bool { return v.ID == u.ID }) {
				joined = append(joined, u)
			}
		}
		if !slices.EqualFunc(joined, want, func(a, b users.User) bool { return a.ID == b.ID }) {
			t.Fatalf("listed %+v\nwant   %+v", joined, want)
		}
	})
}

func TestUnknownOrderIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := users.NewRows(nil).List(t.Context(), users.Query{Order: 99, Limit: 1}); err == nil {
		t.Error("it was taken")
	}
}

func TestPictureStandsInTheList(t *testing.T) {
	t.Parallel()
	b, ada, bob := newTable(t), newPerson(), newPerson()
	b.apply(t, ada.registered("ada"), bob.registered("bob"))
	avatar := uuid.New()
	b.exec(t, `INSERT INTO read.avatars (generation, user_id, avatar_id, version) VALUES (1, $1, $2, 1), (2, $3, $2, 1)`, ada.id, avatar, bob.id)
	found := b.all(t, users.Query{Order: users.ByUsername})
	if len(found) != 2 || found[0].AvatarID != avatar.String() || found[1].AvatarID != "" {
		t.Errorf("got %+v", found)
	}
}

func TestNamesSortWithoutRegardOfCaseAndAccents(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":         "",
		"McCarthy": "mccarthy",
		"Özil":     "ozil",
		"Straße":   "strasse",
		"İnci":     "inci",
		"Ñandú":    "nandu",
		"ＡＢ":       "ab",
	} {
		if got := users.SortKey(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// A name may be as long as names may be, of whatever characters: its row has to
// fit into the index, or the projection would stand still for ever.
func TestNoNameIsTooLongForItsIndex(t *testing.T) {
	t.Parallel()
	if key := users.SortKey(strings.Repeat("ﷺ", 100)); len(key) > 400 || len(key) < 390 || !utf8.ValidString(key) {
		t.Errorf("a key of %d bytes: %q", len(key), key)
	}
	b := newTable(t)
	// Squared words, each of which decomposes into several letters.
	var squared []rune
	for r := rune(0x3300); r < 0x3400; r++ {
		squared = append(squared, r)
	}
	for _, name := range []string{string(squared[:100]), string(squared[100:200]), strings.Repeat("ﷺ", 100), strings.Repeat("😀", 100)} {
		p := newPerson()
		b.apply(t, p.event(&eventsv1.UserRegistered{
			UserId: p.id.String(), Username: strings.Repeat("𐐨", 64), Email: strings.Repeat("e", 254), FirstName: name, LastName: name,
		}))
	}
	if found := b.all(t, users.Query{Order: users.ByName}); len(found) != 4 {
		t.Errorf("%d of 4 are listed", len(found))
	}
}
