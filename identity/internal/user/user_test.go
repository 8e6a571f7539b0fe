package user_test

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

const id = "0192f0c1-0000-7000-8000-000000000001"

// What may have happened to an account.
func registered() proto.Message {
	return &eventsv1.UserRegistered{UserId: id, Username: "ada", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace", Roles: []string{"admin"}}
}

func passwordSet(verifier string) proto.Message {
	return &eventsv1.PasswordSet{UserId: id, Verifier: verifier}
}

func renamed(first, last string) proto.Message {
	return &eventsv1.ProfileUpdated{UserId: id, FirstName: first, LastName: last}
}

func deactivated() proto.Message { return &eventsv1.UserDeactivated{UserId: id} }

func reactivated() proto.Message { return &eventsv1.UserReactivated{UserId: id} }

// What is decided.
func changePassword(checkedAt int64, verifier string) func(*user.User) ([]proto.Message, error) {
	return func(u *user.User) ([]proto.Message, error) {
		return u.ChangePassword(user.Password{Version: checkedAt}, secret.New(verifier))
	}
}

func rename(first, last *string) func(*user.User) ([]proto.Message, error) {
	return func(u *user.User) ([]proto.Message, error) { return u.UpdateProfile(first, last) }
}

func TestRegistrationIsWhoAndThePasswordInThisOrder(t *testing.T) {
	t.Parallel()
	register := func(*user.User) ([]proto.Message, error) {
		return user.Register(user.Registration{
			ID: id, Username: "ada", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace",
			Roles: []string{"admin"}, Verifier: secret.New("one"), MustChange: true,
		}), nil
	}
	eventtest.Given(t, user.New()).
		When(register).
		Then(registered(), &eventsv1.PasswordSet{UserId: id, Verifier: "one", MustChange: true})
}

func TestChangedPasswordNeedNotBeChangedAgain(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, user.New(), registered(), &eventsv1.PasswordSet{UserId: id, Verifier: "one", MustChange: true}).
		When(changePassword(2, "two")).
		Then(passwordSet("two"))
}

func TestPasswordThatWasCheckedHasToBeThePresentOne(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, user.New(), registered(), passwordSet("one"), passwordSet("two")).
		When(changePassword(2, "three")).
		ThenError(user.ErrPasswordChanged)
}

func TestOtherChangesDoNotHinderAPasswordChange(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, user.New(), registered(), passwordSet("one"), renamed("Augusta", "Lovelace")).
		When(changePassword(2, "two")).
		Then(passwordSet("two"))
}

func TestDeactivatedAccountIsNotChanged(t *testing.T) {
	t.Parallel()
	past := []proto.Message{registered(), passwordSet("one"), deactivated()}
	eventtest.Given(t, user.New(), past...).When(changePassword(2, "two")).ThenError(user.ErrInactive)
	eventtest.Given(t, user.New(), past...).When(rename(new("Augusta"), nil)).ThenError(user.ErrInactive)
}

func TestReactivatedAccountIsChangedAsBefore(t *testing.T) {
	t.Parallel()
	past := []proto.Message{registered(), passwordSet("one"), deactivated(), reactivated()}
	eventtest.Given(t, user.New(), past...).When(changePassword(2, "two")).Then(passwordSet("two"))
	eventtest.Given(t, user.New(), past...).When(rename(new("Augusta"), nil)).Then(renamed("Augusta", "Lovelace"))
}

func TestUpdateSaysBothNamesAndChangesThoseThatAreGiven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, last *string
		want        proto.Message
	}{
		{new("Augusta"), nil, renamed("Augusta", "Lovelace")},
		{nil, new("Byron"), renamed("Ada", "Byron")},
		{new("Augusta"), new("Byron"), renamed("Augusta", "Byron")},
		{new(""), nil, renamed("", "Lovelace")},
	} {
		eventtest.Given(t, user.New(), registered()).When(rename(c.first, c.last)).Then(c.want)
	}
}

func TestUpdateThatChangesNothingDecidesNothing(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, user.New(), registered()).When(rename(nil, nil)).Then()
	eventtest.Given(t, user.New(), registered()).When(rename(new("Ada"), new("Lovelace"))).Then()
	eventtest.Given(t, user.New(), registered(), renamed("Augusta", "")).When(rename(new("Augusta"), new(""))).Then()
}

func TestAccountIsWhatItsEventsSay(t *testing.T) {
	t.Parallel()
	u := user.New()
	for i, message := range []proto.Message{registered(), passwordSet("one"), renamed("Augusta", "Byron"), deactivated(), passwordSet("two")} {
		u.Apply(eventstore.Opened{Event: eventstore.Event{Version: int64(i + 1)}, Message: message})
	}
	want := user.Profile{ID: id, Username: "ada", Email: "ada@example.org", FirstName: "Augusta", LastName: "Byron", Roles: []string{"admin"}}
	if got := u.Profile(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if password := u.Password(); password.Verifier.Reveal() != "two" || password.Version != 5 {
		t.Errorf("password of version %d", password.Version)
	}
	u.Profile().Roles[0] = "nobody"
	if u.Profile().Roles[0] != "admin" {
		t.Error("the account's roles can be changed from outside")
	}
}
