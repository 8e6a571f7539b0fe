package file_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/media/internal/file"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

const (
	id    = "0192f0c1-0000-7000-8000-000000000001"
	ada   = "0192f0c1-0000-7000-8000-00000000000a"
	bob   = "0192f0c1-0000-7000-8000-00000000000b"
	carol = "0192f0c1-0000-7000-8000-00000000000c"
)

// What may have happened to a file of Ada's.
func uploaded() proto.Message {
	return &eventsv1.FileUploaded{FileId: id, OwnerId: ada, Name: "notes.txt", ContentType: "text/plain", Size: 12}
}

func shared(with string) proto.Message { return &eventsv1.FileShared{FileId: id, UserId: with} }

func unshared(with string) proto.Message { return &eventsv1.FileUnshared{FileId: id, UserId: with} }

func deleted() proto.Message { return &eventsv1.FileDeleted{FileId: id, OwnerId: ada} }

// What is decided.
func share(by, with string) func(*file.File) ([]proto.Message, error) {
	return func(f *file.File) ([]proto.Message, error) { return f.Share(by, with) }
}

func unshare(by, with string) func(*file.File) ([]proto.Message, error) {
	return func(f *file.File) ([]proto.Message, error) { return f.Unshare(by, with) }
}

func remove(by string, any bool) func(*file.File) ([]proto.Message, error) {
	return func(f *file.File) ([]proto.Message, error) { return f.Delete(by, any) }
}

func TestAnUploadIsWhatItWasDeclaredAs(t *testing.T) {
	t.Parallel()
	facts := file.Facts{ID: id, OwnerID: ada, Name: "notes.txt", ContentType: "text/plain", Size: 12}
	upload := func(*file.File) ([]proto.Message, error) { return file.Upload(facts), nil }
	eventtest.Given(t, file.New()).When(upload).Then(uploaded())
	f := file.New()
	f.Apply(eventstore.Opened{Message: uploaded()})
	if f.Facts() != facts {
		t.Errorf("folded %+v", f.Facts())
	}
}

func TestOnlyItsOwnerSharesAFile(t *testing.T) {
	t.Parallel()
	given := func() eventtest.Scenario[*file.File] {
		return eventtest.Given(t, file.New(), uploaded(), shared(bob), shared(""))
	}
	given().When(share(ada, carol)).Then(shared(carol))
	given().When(unshare(ada, bob)).Then(unshared(bob))
	given().When(unshare(ada, "")).Then(unshared(""))
	for _, stranger := range []string{bob, carol, ""} {
		given().When(share(stranger, carol)).ThenError(file.ErrNotFound)
		given().When(unshare(stranger, bob)).ThenError(file.ErrNotFound)
	}
}

func TestWhatChangesNothingDecidesNothing(t *testing.T) {
	t.Parallel()
	given := func() eventtest.Scenario[*file.File] { return eventtest.Given(t, file.New(), uploaded(), shared(bob)) }
	given().When(share(ada, ada)).Then()
	given().When(share(ada, bob)).Then()
	given().When(unshare(ada, carol)).Then()
	given().When(unshare(ada, ada)).Then()
	given().When(unshare(ada, "")).Then()
	eventtest.Given(t, file.New(), uploaded(), shared("")).When(share(ada, "")).Then()
}

func TestAnAccessListHoldsAHundredPeople(t *testing.T) {
	t.Parallel()
	past := []proto.Message{uploaded()}
	for i := range file.MaxReaders {
		past = append(past, shared(fmt.Sprint("reader ", i)))
	}
	eventtest.Given(t, file.New(), past...).When(share(ada, bob)).ThenError(file.ErrTooManyReaders)
	eventtest.Given(t, file.New(), past...).When(share(ada, "reader 7")).Then()
	eventtest.Given(t, file.New(), past...).When(share(ada, "")).Then(shared(""))
	eventtest.Given(t, file.New(), append(past, unshared("reader 7"))...).When(share(ada, bob)).Then(shared(bob))
}

func TestItsOwnerDeletesAFileAndWhoMayDeleteAny(t *testing.T) {
	t.Parallel()
	given := func() eventtest.Scenario[*file.File] { return eventtest.Given(t, file.New(), uploaded(), shared(bob)) }
	given().When(remove(ada, false)).Then(deleted())
	given().When(remove(carol, true)).Then(deleted())
	given().When(remove(bob, false)).ThenError(file.ErrNotYours)   // who knows of it anyway
	given().When(remove(carol, false)).ThenError(file.ErrNotFound) // and who must not
}

func TestADeletedFileIsNotThere(t *testing.T) {
	t.Parallel()
	for name, past := range map[string][]proto.Message{
		"deleted":               {uploaded(), shared(bob), shared(""), deleted()},
		"ended before it began": {deleted()},
		"never uploaded":        nil,
	} {
		for what, decide := range map[string]func(*file.File) ([]proto.Message, error){
			"share": share(ada, bob), "unshare": unshare(ada, bob), "delete": remove(ada, false), "delete any": remove(carol, true),
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				eventtest.Given(t, file.New(), past...).When(decide).ThenError(file.ErrNotFound)
			})
		}
		f := file.New()
		for _, message := range past {
			f.Apply(eventstore.Opened{Message: message})
		}
		if f.Exists() || f.ReadableBy(ada) || f.ReadableBy(bob) || f.ReadableBy("") {
			t.Errorf("%s: it can be read", name)
		}
	}
}

// Its key goes after the file: a log from before the deletion does not bring it back.
func TestAFileWithoutItsKeyIsNotThere(t *testing.T) {
	t.Parallel()
	f := file.New()
	f.Apply(eventstore.Opened{Message: &eventsv1.FileUploaded{FileId: id, OwnerId: ada, Size: 1}, Erased: true})
	if f.Exists() || f.ReadableBy(ada) {
		t.Error("it is")
	}
}

func TestADeletionNamesAllKeysOfTheStream(t *testing.T) {
	t.Parallel()
	f := file.New()
	f.Apply(eventstore.Opened{Message: uploaded(), Event: eventstore.Event{KeyID: "one", MetadataKeyID: "one"}})
	f.Apply(eventstore.Opened{Message: shared(bob), Event: eventstore.Event{MetadataKeyID: "two"}})
	messages, err := f.Delete(ada, false)
	if err != nil {
		t.Fatal(err)
	}
	if keys := messages[0].(*eventsv1.FileDeleted).GetKeyIds(); !slices.Equal(keys, []string{"one", "two"}) {
		t.Errorf("it names %v", keys)
	}
}

func TestAnErasureEndsAStreamBeforeItBeginsAndOnce(t *testing.T) {
	t.Parallel()
	end := func(f *file.File) ([]proto.Message, error) { return f.End(id, ada), nil }
	eventtest.Given(t, file.New()).When(end).Then(deleted())
	eventtest.Given(t, file.New(), uploaded()).When(end).Then(deleted())
	eventtest.Given(t, file.New(), deleted()).When(end).Then()
}

func TestWhoIsErasedLeavesTheList(t *testing.T) {
	t.Parallel()
	forget := func(reader string) func(*file.File) ([]proto.Message, error) {
		return func(f *file.File) ([]proto.Message, error) { return f.Forget(reader), nil }
	}
	eventtest.Given(t, file.New(), uploaded(), shared(bob)).When(forget(bob)).Then(unshared(bob))
	eventtest.Given(t, file.New(), uploaded(), shared(bob)).When(forget(carol)).Then()
	eventtest.Given(t, file.New(), uploaded(), shared(bob), deleted()).When(forget(bob)).Then()
}

// Any run of sharing, unsharing and deleting, by anybody, agrees with a set.
func TestTheAccessListAgreesWithASimpleModel(t *testing.T) {
	t.Parallel()
	people := []string{ada, bob, carol, "dan", ""}
	rapid.Check(t, func(r *rapid.T) {
		f, public, gone := file.New(), false, false
		f.Apply(eventstore.Opened{Message: uploaded()})
		readers := map[string]bool{}
		act := func(messages []proto.Message, err error, allowed, changes bool) {
			if (err == nil) != allowed || (len(messages) > 0) != (allowed && changes) {
				r.Fatalf("%d events, %v; allowed %t, a change %t", len(messages), err, allowed, changes)
			}
			for _, message := range messages {
				f.Apply(eventstore.Opened{Message: message})
			}
		}
		person := func(label string) string { return rapid.SampledFrom(people).Draw(r, label) }
		r.Repeat(map[string]func(*rapid.T){
			"share": func(*rapid.T) {
				by, with := person("by"), person("with")
				allowed := by == ada && !gone
				messages, err := f.Share(by, with)
				act(messages, err, allowed, with == "" && !public || with != "" && with != ada && !readers[with])
				if allowed && with == "" {
					public = true
				} else if allowed && with != ada {
					readers[with] = true
				}
			},
			"unshare": func(*rapid.T) {
				by, with := person("by"), person("with")
				allowed := by == ada && !gone
				messages, err := f.Unshare(by, with)
				act(messages, err, allowed, with == "" && public || readers[with])
				if allowed && with == "" {
					public = false
				} else if allowed {
					delete(readers, with)
				}
			},
			"delete": func(*rapid.T) {
				if rapid.IntRange(0, 9).Draw(r, "seldom") > 0 {
					return
				}
				by, any := person("by"), rapid.Bool().Draw(r, "any")
				allowed := !gone && (by == ada || any)
				messages, err := f.Delete(by, any)
				act(messages, err, allowed, true)
				gone = gone || allowed
			},
			"": func(*rapid.T) {
				for _, viewer := range people {
					if want := !gone && (public || viewer == ada || readers[viewer]); f.ReadableBy(viewer) != want {
						r.Fatalf("readable by %q: %t", viewer, !want)
					}
				}
				if want := slices.Sorted(maps.Keys(readers)); !gone && !reflect.DeepEqual(f.Readers(), want) && len(want) > 0 {
					r.Fatalf("the list is %v, want %v", f.Readers(), want)
				}
			},
		})
	})
}
