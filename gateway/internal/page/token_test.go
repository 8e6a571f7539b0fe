package page

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/secret"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
)

const (
	ourKey = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
	method = "/muster.v1.AdminService/ListUsers"
	caller = "0192d1a0-0000-7000-8000-000000000001"
)

var place = &identityv1.UserPlace{Key: "lovelace", SecondKey: "ada", UserId: caller}

func sealer(t testing.TB, key string) *Sealer {
	t.Helper()
	s, err := NewSealer(secret.NewBytes([]byte(key)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// query is the one that the tests seal for, unless change makes it another.
func query(change func(*Query, *identityv1.ListUsersRequest)) Query {
	active := true
	filters := &identityv1.ListUsersRequest{
		Username: "a", Email: "b", Active: &active, Role: "admin", Order: identityv1.UserOrder_USER_ORDER_NAME,
	}
	q := Query{Method: method, Caller: caller, Filters: filters}
	if change != nil {
		change(&q, filters)
	}
	return q
}

func seal(t testing.TB, s *Sealer, q Query) string {
	t.Helper()
	token, err := s.Seal(q, place)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAPlaceComesBackFromItsToken(t *testing.T) {
	t.Parallel()
	token := seal(t, sealer(t, ourKey), query(nil))
	got := &identityv1.UserPlace{}
	// Another gateway of the installation opens it.
	if err := sealer(t, ourKey).Open(query(nil), token, got); err != nil || !proto.Equal(got, place) {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestATokenShowsNothingOfItsPlace(t *testing.T) {
	t.Parallel()
	s := sealer(t, ourKey)
	token := seal(t, s, query(nil))
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lovelace", "ada", caller} {
		if strings.Contains(string(raw), name) || strings.Contains(token, name) {
			t.Errorf("the token shows %q", name)
		}
	}
	if again := seal(t, s, query(nil)); again == token {
		t.Error("two tokens of one place are the same")
	}
}

func TestATokenIsGoodForItsQueryAlone(t *testing.T) {
	t.Parallel()
	s := sealer(t, ourKey)
	token := seal(t, s, query(nil))
	inactive := false
	for what, change := range map[string]func(*Query, *identityv1.ListUsersRequest){
		"of another method":         func(q *Query, _ *identityv1.ListUsersRequest) { q.Method = "/muster.v1.MediaService/ListFiles" },
		"of another caller":         func(q *Query, _ *identityv1.ListUsersRequest) { q.Caller = "0192d1a0-0000-7000-8000-000000000002" },
		"of nobody":                 func(q *Query, _ *identityv1.ListUsersRequest) { q.Caller = "" },
		"method and caller shifted": func(q *Query, _ *identityv1.ListUsersRequest) { q.Method, q.Caller = method+caller[:1], caller[1:] },
		"another username":          func(_ *Query, r *identityv1.ListUsersRequest) { r.Username = "b" },
		"filters swapped":           func(_ *Query, r *identityv1.ListUsersRequest) { r.Username, r.Email = "b", "a" },
		"the deactivated":           func(_ *Query, r *identityv1.ListUsersRequest) { r.Active = &inactive },
		"all":                       func(_ *Query, r *identityv1.ListUsersRequest) { r.Active = nil },
		"another role":              func(_ *Query, r *identityv1.ListUsersRequest) { r.Role = "" },
		"another order":             func(_ *Query, r *identityv1.ListUsersRequest) { r.Order = identityv1.UserOrder_USER_ORDER_EMAIL },
		"the other way round":       func(_ *Query, r *identityv1.ListUsersRequest) { r.Descending = true },
		"no filters":                func(q *Query, _ *identityv1.ListUsersRequest) { q.Filters = &identityv1.ListUsersRequest{} },
	} {
		got := &identityv1.UserPlace{}
		if err := s.Open(query(change), token, got); !errors.Is(err, ErrInvalid) || got.GetKey() != "" {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	if err := sealer(t, strings.Repeat("b", 32)).Open(query(nil), token, &identityv1.UserPlace{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("of another key: %v", err)
	}
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	t.Parallel()
	s := sealer(t, ourKey)
	token := seal(t, s, query(nil))
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, altered string) {
		t.Helper()
		if err := s.Open(query(nil), altered, &identityv1.UserPlace{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range raw {
		for bit := range 8 {
			changed := append([]byte(nil), raw...)
			changed[i] ^= 1 << bit
			refused("a changed bit", base64.RawURLEncoding.EncodeToString(changed))
		}
	}
	for cut := range token { // the empty token too: who has none asks for the first page
		refused("a cut token", token[:cut])
	}
	refused("a longer one", token+"AAAA")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, last := range alphabet {
		if other := token[:len(token)-1] + string(last); other != token {
			refused("another last character", other)
		}
	}
	for _, other := range []string{token + "=", token + "\n", " " + token, token[:4] + "\n" + token[4:]} {
		refused("another spelling", other)
	}
}

func FuzzOpen(f *testing.F) {
	s := sealer(f, ourKey)
	good := seal(f, s, query(nil))
	f.Add(good)
	f.Add("")
	f.Add("AQ")
	f.Add(good[:len(good)-3])
	f.Add(strings.Repeat("A", 200))
	f.Fuzz(func(t *testing.T, token string) {
		got := &identityv1.UserPlace{}
		err := s.Open(query(nil), token, got)
		switch {
		case err != nil:
			if !errors.Is(err, ErrInvalid) || !proto.Equal(got, &identityv1.UserPlace{}) {
				t.Fatalf("Open(%q) = %v, %v", token, got, err)
			}
		case !proto.Equal(got, place): // only what was sealed here is opened
			t.Fatalf("%q was opened as %v", token, got)
		}
	})
}
