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
	return &eventsv1.PasswordSet{UserId: id, Verifier: verifier, Kind: eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN}
}

func oneTimePassword(verifier string) proto.Message {
	return &eventsv1.PasswordSet{UserId: id, Verifier: verifier, Kind: eventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME}
}

func renamed(first, last string) proto.Message {
	return &eventsv1.ProfileUpdated{UserId: id, FirstName: first, LastName: last}
}

func deactivated() proto.Message { return &eventsv1.UserDeactivated{UserId: id} }

func reactivated() proto.Message { return &eventsv1.UserReactivated{UserId: id} }

func renamedTo(username string) proto.Message {
	return &eventsv1.UsernameChanged{UserId: id, Username: username}
}

func readdressed(email string) proto.Message {
	return &eventsv1.EmailChanged{UserId: id, Email: email}
}

func given(roles ...string) proto.Message { return &eventsv1.RolesChanged{UserId: id, Roles: roles} }

func erased(keys ...string) proto.Message { return &eventsv1.UserErased{UserId: id, KeyIds: keys} }

// other is an administrator who is somebody else.
const other = "0192f0c1-0000-7000-8000-000000000002"

// What is decided.
func administer(by string, changes user.Changes) func(*user.User) ([]proto.Message, error) {
	return func(u *user.User) ([]proto.Message, error) { return u.Change(by, changes) }
}

func setRoles(by string, roles ...string) func(*user.User) ([]proto.Message, error) {
	return func(u *user.User) ([]proto.Message, error) { return u.SetRoles(by, roles) }
}

func erase(by string, keys ...string) func(*user.User) ([]proto.Message, error) {
	return func(u *user.User) ([]proto.Message, error) { return u.Erase(by, keys) }
}

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
		Then(registered(), oneTimePassword("one"))
}

func TestChangedPasswordNeedNotBeChangedAgain(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, user.New(), registered(), oneTimePassword("one")).
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
	for i, message := range []proto.Message{
		registered(), passwordSet("one"), renamed("Augusta", "Byron"), deactivated(), passwordSet("two"),
		renamedTo("augusta"), readdressed("countess@example.org"), given("admin", "auditor"),
	} {
		u.Apply(eventstore.Opened{Event: eventstore.Event{Version: int64(i + 1)}, Message: message})
	}
	want := user.Profile{ID: id, Username: "augusta", Email: "countess@example.org", FirstName: "Augusta", LastName: "Byron", Roles: []string{"admin", "auditor"}}
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

func TestAdministratorChangesAllThatIsGivenAtOnce(t *testing.T) {
	t.Parallel()
	past := []proto.Message{registered(), passwordSet("one")}
	eventtest.Given(t, user.New(), past...).
		When(administer(other, user.Changes{
			Username: new("augusta"), Email: new("countess@example.org"), FirstName: new("Augusta"), LastName: new("Byron"),
			Verifier: new(secret.New("two")), Active: new(false),
		})).
		Then(renamedTo("augusta"), readdressed("countess@example.org"), renamed("Augusta", "Byron"),
			oneTimePassword("two"), deactivated())
	for _, c := range []struct {
		changes user.Changes
		want    proto.Message
	}{
		{user.Changes{Username: new("augusta")}, renamedTo("augusta")},
		{user.Changes{Email: new("countess@example.org")}, readdressed("countess@example.org")},
		{user.Changes{FirstName: new("")}, renamed("", "Lovelace")},
		{user.Changes{Active: new(false)}, deactivated()},
	} {
		eventtest.Given(t, user.New(), past...).When(administer(other, c.changes)).Then(c.want)
	}
}

func TestPasswordFromAnAdministratorHasToBeChanged(t *testing.T) {
	t.Parallel()
	for _, by := range []string{other, id} {
		eventtest.Given(t, user.New(), registered(), passwordSet("one")).
			When(administer(by, user.Changes{Verifier: new(secret.New("one"))})).
			Then(oneTimePassword("one"))
	}
}

func TestChangeThatChangesNothingDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		past    []proto.Message
		changes user.Changes
	}{
		{nil, user.Changes{}},
		{nil, user.Changes{Username: new("ada"), Email: new("ada@example.org"), FirstName: new("Ada"), LastName: new("Lovelace"), Active: new(true)}},
		{[]proto.Message{renamedTo("augusta"), readdressed("countess@example.org")}, user.Changes{Username: new("augusta"), Email: new("countess@example.org")}},
		{[]proto.Message{deactivated()}, user.Changes{Active: new(false)}},
		{[]proto.Message{deactivated(), reactivated()}, user.Changes{Active: new(true)}},
	} {
		eventtest.Given(t, user.New(), append([]proto.Message{registered()}, c.past...)...).When(administer(other, c.changes)).Then()
	}
}

// Its own person cannot use it, and somebody has to be able to mend it.
func TestAdministratorChangesADeactivatedAccountToo(t *testing.T) {
	t.Parallel()
	past := []proto.Message{registered(), passwordSet("one"), deactivated()}
	eventtest.Given(t, user.New(), past...).When(administer(other, user.Changes{Active: new(true)})).Then(reactivated())
	eventtest.Given(t, user.New(), past...).When(administer(other, user.Changes{Username: new("augusta")})).Then(renamedTo("augusta"))
	eventtest.Given(t, user.New(), past...).When(setRoles(other)).Then(given())
	eventtest.Given(t, user.New(), past...).When(erase(other, "key")).Then(erased("key"))
}

func TestNobodyLocksThemselvesOut(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, user.New(), registered()).When(administer(id, user.Changes{Active: new(false)})).ThenError(user.ErrOwnAccount)
	eventtest.Given(t, user.New(), registered()).When(administer(id, user.Changes{Username: new("augusta"), Active: new(false)})).ThenError(user.ErrOwnAccount)
	eventtest.Given(t, user.New(), registered()).When(setRoles(id)).ThenError(user.ErrOwnAccount)
	eventtest.Given(t, user.New(), registered()).When(setRoles(id, "auditor")).ThenError(user.ErrOwnAccount)
	eventtest.Given(t, user.New(), registered()).When(erase(id, "key")).ThenError(user.ErrOwnAccount)
	// All else is everybody's own affair.
	eventtest.Given(t, user.New(), registered()).When(administer(id, user.Changes{Username: new("augusta"), Active: new(true)})).Then(renamedTo("augusta"))
	eventtest.Given(t, user.New(), registered()).When(setRoles(id, "auditor", "admin")).Then(given("admin", "auditor"))
	eventtest.Given(t, user.New(), registered(), given("auditor")).When(setRoles(id)).Then(given())
}

func TestRolesAreASetInOrder(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, user.New(), registered()).When(setRoles(other, "b", "admin", "a", "b")).Then(given("a", "admin", "b"))
	eventtest.Given(t, user.New(), registered(), given("a", "b")).When(setRoles(other, "b", "a")).Then()
	eventtest.Given(t, user.New(), registered(), given()).When(setRoles(other)).Then()
	eventtest.Given(t, user.New(), registered()).When(setRoles(other)).Then(given())
}

func TestErasureNamesTheKeys(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, user.New(), registered(), passwordSet("one")).When(erase(other, "the person's", "the password's")).
		Then(erased("the person's", "the password's"))
}

func TestErasedAccountIsOver(t *testing.T) {
	t.Parallel()
	past := []proto.Message{registered(), passwordSet("one"), erased("key")}
	for name, decide := range map[string]func(*user.User) ([]proto.Message, error){
		"change the password": changePassword(2, "two"),
		"rename":              rename(new("Augusta"), nil),
		"change":              administer(other, user.Changes{Username: new("augusta")}),
		"change nothing":      administer(other, user.Changes{}),
		"reactivate":          administer(other, user.Changes{Active: new(true)}),
		"give roles":          setRoles(other, "admin"),
		"take no roles":       setRoles(other),
		"erase again":         erase(other, "key"),
		"erase oneself":       erase(id, "key"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eventtest.Given(t, user.New(), past...).When(decide).ThenError(user.ErrErased)
		})
	}
}

// Keys are remembered for a minute: what they open must not show.
func TestErasedAccountShowsNothing(t *testing.T) {
	t.Parallel()
	u := user.New()
	for i, message := range []proto.Message{registered(), passwordSet("one"), erased("key")} {
		u.Apply(eventstore.Opened{Event: eventstore.Event{Version: int64(i + 1)}, Message: message})
	}
	if !u.Erased() || !reflect.DeepEqual(u.Profile(), user.Profile{ID: id}) || !u.Password().Verifier.Empty() {
		t.Errorf("it shows %+v", u.Profile())
	}
}

func TestOnlyAnActiveAccountWithTheRoleAdministers(t *testing.T) {
	t.Parallel()
	u := user.New()
	for i, step := range []struct {
		happens proto.Message
		want    bool
	}{
		{registered(), true}, {deactivated(), false}, {given("admin", "auditor"), false}, {reactivated(), true},
		{given("auditor"), false}, {given("admin"), true}, {erased(), false},
	} {
		before := u.Profile()
		if after := u.After([]proto.Message{step.happens}); after.Administers() != step.want {
			t.Errorf("step %d: it will administer: %v, want %v", i, after.Administers(), step.want)
		}
		if !reflect.DeepEqual(u.Profile(), before) {
			t.Errorf("step %d: looking ahead has changed the account", i)
		}
		u.Apply(eventstore.Opened{Message: step.happens})
		if u.Profile().Administers() != step.want {
			t.Errorf("step %d: it administers: %v, want %v", i, u.Profile().Administers(), step.want)
		}
	}
}
