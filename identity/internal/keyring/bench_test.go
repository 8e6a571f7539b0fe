package keyring_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/rpc"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
)

// page is as many keys as one call may ask for.
const page = 5000

// BenchmarkGet opens a page's keys, among ten times as many.
func BenchmarkGet(b *testing.B) {
	bench := newBench(b)
	ring := bench.open(b)
	var pages [][]string
	for range 10 {
		made, err := ring.Make(b.Context(), page)
		if err != nil {
			b.Fatal(err)
		}
		ids := make([]string, len(made))
		for i, key := range made {
			ids[i] = key.ID
		}
		pages = append(pages, ids)
	}
	mux := http.NewServeMux()
	mux.Handle(keyringv1connect.NewKeyringServiceHandler(rpc.NewKeyring(ring)))
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for name, keys := range map[string]seal.Keys{
		"database": ring,
		"remote":   seal.RemoteKeys(keyringv1connect.NewKeyringServiceClient(server.Client(), server.URL, connect.WithGRPC(), connect.WithAcceptCompression("gzip", nil, nil))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := keys.Get(b.Context(), pages[i%len(pages)]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*page), "µs/key")
		})
	}
}
