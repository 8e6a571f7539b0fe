package avatar_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/media/internal/avatar"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

const (
	ada   = "0192f0c1-0000-7000-8000-00000000000a"
	first = "0192f0c1-0000-7000-8000-000000000001"
	next  = "0192f0c1-0000-7000-8000-000000000002"
)

func set(id string) proto.Message {
	return &eventsv1.AvatarSet{UserId: ada, AvatarId: id, Size: 7}
}

func removed(id string) proto.Message { return &eventsv1.AvatarRemoved{UserId: ada, AvatarId: id} }

func erased(keys ...string) proto.Message {
	return &eventsv1.OwnerErased{UserId: ada, KeyIds: keys}
}

func take(id string) func(*avatar.Avatar) ([]proto.Message, error) {
	return func(a *avatar.Avatar) ([]proto.Message, error) { return a.Set(ada, avatar.Picture{ID: id, Size: 7}) }
}

func remove(a *avatar.Avatar) ([]proto.Message, error) { return a.Remove(ada), nil }

func end(a *avatar.Avatar) ([]proto.Message, error) { return a.EndOf(ada), nil }

func TestAPictureTakesThePlaceOfTheFormerOne(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, avatar.New()).When(take(first)).Then(set(first))
	eventtest.Given(t, avatar.New(), set(first)).When(take(next)).Then(set(next))
	eventtest.Given(t, avatar.New(), set(first), removed(first)).When(take(next)).Then(set(next))
}

func TestOnlyAPictureThatIsThereIsRemoved(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, avatar.New(), set(first), set(next)).When(remove).Then(removed(next))
	eventtest.Given(t, avatar.New()).When(remove).Then()
	eventtest.Given(t, avatar.New(), set(first), removed(first)).When(remove).Then()
}

func TestNothingIsTakenFromSomebodyWhoWasErased(t *testing.T) {
	t.Parallel()
	eventtest.Given(t, avatar.New()).When(end).Then(erased())
	eventtest.Given(t, avatar.New(), set(first)).When(end).Then(removed(first), erased())
	eventtest.Given(t, avatar.New(), set(first), removed(first), erased()).When(end).Then()
	eventtest.Given(t, avatar.New(), erased()).When(take(first)).ThenError(avatar.ErrOwnerErased)
	eventtest.Given(t, avatar.New(), erased()).When(remove).Then()
}

func TestAnErasureNamesTheKeysOfAllOrigins(t *testing.T) {
	t.Parallel()
	a := avatar.New()
	for _, key := range []string{"", "one", "two", "one"} {
		a.Apply(eventstore.Opened{Message: set(first), Event: eventstore.Event{MetadataKeyID: key}})
	}
	if a.OriginKey() != "one" {
		t.Errorf("origins are sealed under %q", a.OriginKey())
	}
	messages := a.EndOf(ada)
	if keys := messages[len(messages)-1].(*eventsv1.OwnerErased).GetKeyIds(); !slices.Equal(keys, []string{"one", "two"}) {
		t.Errorf("it names %v", keys)
	}
}
