package keyring_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/rpc"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
)

func TestTheKeyringKeepsWhatSealingReliesOn(t *testing.T) {
	t.Parallel()
	eventtest.RunKeyring(t, func(t *testing.T) eventtest.KeyringUnderTest { return newBench(t).open(t) })
}

// distant is the keyring as another service has it.
type distant struct {
	seal.Keys
	seal.Maker
	seal.Destroyer
}

func TestTheServedKeyringKeepsWhatSealingReliesOn(t *testing.T) {
	t.Parallel()
	eventtest.RunKeyring(t, func(t *testing.T) eventtest.KeyringUnderTest {
		_, handler := keyringv1connect.NewKeyringServiceHandler(rpc.NewKeyring(newBench(t).open(t)))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(w, r.WithContext(access.WithCaller(r.Context(), "media")))
		}))
		t.Cleanup(server.Close)
		client := keyringv1connect.NewKeyringServiceClient(server.Client(), server.URL)
		return distant{seal.RemoteKeys(client), seal.RemoteMaker(client), seal.RemoteDestroyer(client)}
	})
}
