package seal_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/muster-id/muster/eventstore/eventtest"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
)

// distant is a keyring behind its RPC.
type distant struct {
	seal.Keys
	seal.Maker
	seal.Destroyer
}

func TestTheRemoteKeyringKeepsWhatSealingReliesOn(t *testing.T) {
	t.Parallel()
	eventtest.RunKeyring(t, func(t *testing.T) eventtest.KeyringUnderTest {
		mux := http.NewServeMux()
		mux.Handle(keyringv1connect.NewKeyringServiceHandler(eventtest.NewKeyring()))
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		client := keyringv1connect.NewKeyringServiceClient(server.Client(), server.URL)
		return distant{seal.RemoteKeys(client), seal.RemoteMaker(client), seal.RemoteDestroyer(client)}
	})
}
