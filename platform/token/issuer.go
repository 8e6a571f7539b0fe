package token

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
)

// Issuer is the RPC of whoever signs access tokens, as who verifies them needs it.
type Issuer interface {
	GetSigningKeys(context.Context, *connect.Request[credentialsv1.GetSigningKeysRequest]) (*connect.Response[credentialsv1.GetSigningKeysResponse], error)
}

// PublishedBy asks an issuer for its JSON Web Key Set, for NewRemoteKeys.
func PublishedBy(issuer Issuer) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		got, err := issuer.GetSigningKeys(ctx, connect.NewRequest(&credentialsv1.GetSigningKeysRequest{}))
		if err != nil {
			return nil, fmt.Errorf("get signing keys: %w", err)
		}
		return got.Msg.GetJwks(), nil
	}
}
