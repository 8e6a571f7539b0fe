package seal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

// people are events of people who registered, changed their names and were given
// roles, four each, and the keys of it all.
func people(b *testing.B, events int) ([]eventstore.Event, *ring, *seal.Codec) {
	keys := &ring{keys: map[string]seal.Key{}}
	codec := seal.NewCodec(keys, keys, protoregistry.GlobalTypes, upcast.Step)
	var all []eventstore.Event
	for person := 0; len(all) < events; person++ {
		id := uuid.NewString()
		var drafts []eventstore.Draft
		for i, message := range []proto.Message{
			&identityeventsv1.UserRegistered{UserId: id, Username: fmt.Sprint("user", person), Email: fmt.Sprintf("user%d@example.org", person), FirstName: "Ada", LastName: "Lovelace"},
			&identityeventsv1.PasswordSet{
				UserId: id, Kind: identityeventsv1.PasswordKind_PASSWORD_KIND_CHOSEN,
				Verifier: "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IG9mIDE2IQ$YSBoYXNoIHRoYXQgaXMgbm9uZSwgb2YgMzIgYnl0ZXM",
			},
			&identityeventsv1.RolesChanged{UserId: id, Roles: []string{"auditor"}},
			&identityeventsv1.UsernameChanged{UserId: id, Username: fmt.Sprint("renamed", person)},
		} {
			d := draft(message)
			d.Event.Log, d.Event.Stream, d.Event.Version = "identity", "user-"+id, int64(i+1)
			drafts = append(drafts, d)
		}
		if err := codec.Encode(context.Background(), drafts); err != nil {
			b.Fatal(err)
		}
		for _, d := range drafts {
			all = append(all, *d.Event)
		}
	}
	return all, keys, codec
}

// BenchmarkDecode opens a page of the log, as a rebuild does: all keys are at hand.
func BenchmarkDecode(b *testing.B) {
	for _, count := range []int{100, 5000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			events, keys, _ := people(b, count)
			codec := seal.NewCodec(constant(keys.keys), nil, protoregistry.GlobalTypes, upcast.Step)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if _, err := codec.Decode(b.Context(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
		})
	}
}

// BenchmarkCacheOfNewKeys asks for a page's keys, of which none is remembered yet.
func BenchmarkCacheOfNewKeys(b *testing.B) {
	const count = 5000
	keys := constant{}
	pages := make([][]string, 10)
	for i := range pages {
		for range count {
			id := uuid.NewString()
			keys[id] = seal.Key{ID: id, State: seal.Alive, Bytes: seal.NewSecret(make([]byte, seal.KeySize))}
			pages[i] = append(pages[i], id)
		}
	}
	cache := seal.NewCache(keys, seal.MaxCacheAge, 2*count, time.Now)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if _, err := cache.Get(b.Context(), pages[i%len(pages)]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/key")
}
