package users_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/users"
	"github.com/muster-id/muster/proto/upcast"
)

func TestTypesAreKnownAsTheDecoderBehindKnowsThem(t *testing.T) {
	t.Parallel()
	type knower interface{ Known(eventType string) bool }
	decoder, tells := users.WithoutPasswords(seal.NewCodec(nil, nil, protoregistry.GlobalTypes, upcast.Step)).(knower)
	if !tells || !decoder.Known("muster.identity.events.v1.PasswordSet") || decoder.Known("muster.identity.events.v1.Newer") {
		t.Error("it does not tell which types this program knows")
	}
	if silent, tells := users.WithoutPasswords(&sealed{}).(knower); !tells || !silent.Known("muster.identity.events.v1.Newer") {
		t.Error("a type is unknown, and nobody says so")
	}
}
