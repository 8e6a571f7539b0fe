package seal_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	_ "github.com/muster-id/muster/proto/gen/go/muster/eventlog/events/v1"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	_ "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
)

// account is a codec of Muster's own events, and an account's first two.
func account(t testing.TB) (*seal.Codec, *ring, []eventstore.Event) {
	t.Helper()
	keys := &ring{keys: map[string]seal.Key{}}
	codec := seal.NewCodec(keys, keys, protoregistry.GlobalTypes, nil)
	registered := draft(&identityeventsv1.UserRegistered{UserId: "1", Username: "canary-name", Email: "canary@example.org", Roles: []string{"auditor"}})
	registered.Origin = &eventstore.Origin{Address: "192.0.2.7", UserAgent: "canary-agent"}
	password := draft(&identityeventsv1.PasswordSet{UserId: "1", Verifier: "$argon2id$canary"})
	drafts := []eventstore.Draft{registered, password}
	if err := codec.Encode(t.Context(), drafts); err != nil {
		t.Fatal(err)
	}
	return codec, keys, []eventstore.Event{*registered.Event, *password.Event}
}

func reveal(t testing.TB, codec *seal.Codec, sealed bool, events ...eventstore.Event) []seal.Revealed {
	t.Helper()
	revealed, err := codec.Reveal(t.Context(), events, sealed)
	if err != nil || len(revealed) != len(events) {
		t.Fatalf("%d of %d events, %v", len(revealed), len(events), err)
	}
	return revealed
}

func text(t testing.TB, revealed any) string {
	t.Helper()
	written, err := json.Marshal(revealed)
	if err != nil {
		t.Fatal(err)
	}
	return string(written)
}

// What is sealed is shown only where it is asked for, a verifier not even then.
func TestWhatIsSealedIsRevealedOnRequestOnlyAndAVerifierNever(t *testing.T) {
	t.Parallel()
	codec, _, events := account(t)
	without := reveal(t, codec, false, events...)
	if told := text(t, without); strings.Contains(told, "canary") || strings.Contains(told, "192.0.2.7") || without[0].Personal || without[1].Personal {
		t.Errorf("unasked: %s", told)
	}
	if !slices.Equal(without[0].Withheld, []string{"username", "email", "firstName", "lastName"}) || !slices.Equal(without[1].Withheld, []string{"verifier"}) {
		t.Errorf("withheld %v and %v", without[0].Withheld, without[1].Withheld)
	}
	with := reveal(t, codec, true, events...)
	if with[0].Data["username"] != "canary-name" || with[0].Data["userId"] != "1" || with[0].Withheld != nil || with[0].Origin == nil || with[0].Origin.Address != "192.0.2.7" || !with[0].Personal {
		t.Errorf("asked: %+v", with[0])
	}
	if told := text(t, with[1]); strings.Contains(told, "argon2id") || !slices.Equal(with[1].Withheld, []string{"verifier"}) || with[1].Personal {
		t.Errorf("a verifier: %s", told)
	}
}

// No event fails a page: each is told as far as it can be.
func TestWhatCannotBeOpenedIsRevealedAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	codec, keys, events := account(t)
	registered := events[0]
	newer, tampered, lost, moved := registered, registered, registered, registered
	newer.Type, newer.Payload = "muster.identity.events.v9.UserSomething", []byte(`{"userId":"1","hue":"green"}`)
	tampered.Sealed = append(slices.Clone(tampered.Sealed), 0)
	lost.KeyID, lost.MetadataKeyID = "0199", "0199"
	moved.Payload = []byte(`{"userId":"1","username":"canary-in-clear"}`) // by a version that did not seal it
	told := reveal(t, codec, false, moved)
	if strings.Contains(text(t, told), "canary") {
		t.Errorf("what was not sealed then is shown: %s", text(t, told))
	}
	for name, event := range map[string]eventstore.Event{"newer": newer, "tampered": tampered, "lost": lost} {
		told := reveal(t, codec, true, event)[0]
		if told.Note == "" || told.Data["userId"] != "1" || strings.Contains(text(t, told.Data), "canary") || told.Erased {
			t.Errorf("%s: %s", name, text(t, told))
		}
	}
	if told := reveal(t, codec, true, newer)[0]; told.Data["hue"] != "green" {
		t.Errorf("a newer type: %s", text(t, told))
	}
	keys.keys[registered.KeyID] = seal.Key{ID: registered.KeyID, State: seal.Destroyed}
	for _, sealed := range []bool{false, true} {
		erased := reveal(t, codec, sealed, registered)[0]
		if !erased.Erased || erased.Personal || erased.Note != "" || erased.Origin != nil || strings.Contains(text(t, erased), "canary") || len(erased.Withheld) != 4 {
			t.Errorf("an erased person's: %s", text(t, erased))
		}
	}
	keys.err = errors.New("down")
	if _, err := codec.Reveal(t.Context(), events, true); !errors.Is(err, eventstore.ErrAway) {
		t.Errorf("without the keyring: %v", err)
	}
}

// What is sealed under a key of the event's own is a secret, not a person's data:
// whoever declares another such type has to say that nobody is shown it.
func TestSecretsOfAllEventTypesAreNeverShown(t *testing.T) {
	t.Parallel()
	codec, _, _ := account(t)
	types := 0
	protoregistry.GlobalTypes.RangeMessages(func(of protoreflect.MessageType) bool {
		name := string(of.Descriptor().FullName())
		if !strings.Contains(name, ".events.v") {
			return true
		}
		types++
		if own, _ := proto.GetExtension(of.Descriptor().Options(), optionsv1.E_SealingKey).(optionsv1.SealingKey); own != optionsv1.SealingKey_SEALING_KEY_EVENT {
			return true
		}
		message := of.New()
		for i := range of.Descriptor().Fields().Len() {
			if field := of.Descriptor().Fields().Get(i); field.Kind() == protoreflect.StringKind && !field.IsList() {
				message.Set(field, protoreflect.ValueOfString("canary-"+string(field.Name())))
			}
		}
		sealed := draft(message.Interface())
		if err := codec.Encode(t.Context(), []eventstore.Draft{sealed}); err != nil {
			t.Fatal(err)
		}
		if told := reveal(t, codec, true, *sealed.Event)[0]; told.Personal || len(told.Withheld) == 0 {
			t.Errorf("%s shows %s", name, text(t, told))
		}
		return true
	})
	if types < 10 {
		t.Errorf("%d types of events only", types)
	}
}
