package identity_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/identity"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// The log is the truth, and the keyring opens it: an empty one in place of either
// would look as if nobody had ever been there. Neither the running service nor
// one that starts makes it, though its role could.
func TestALostLogAndALostKeyringAreNeverMadeAgain(t *testing.T) {
	t.Parallel()
	for what, lost := range map[string]func(identity.Config) secret.String{
		"log":     func(c identity.Config) secret.String { return c.DatabaseURL },
		"keyring": func(c identity.Config) secret.String { return c.KeyringDatabaseURL },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t).start(t)
			h.register(t)
			database := lost(h.config)
			teststack.Drop(t, database)
			h.untilUnhealthy(t)
			request := ada()
			request.Username, request.Email, request.IdempotencyKey = "somebody.else", "somebody@else.example", ""
			_, err := h.identity(t, "gateway").RegisterUser(t.Context(), connect.NewRequest(request))
			if got := reason.Of(err); !slices.Contains([]musterv1.Reason{musterv1.Reason_REASON_UNAVAILABLE, musterv1.Reason_REASON_DEADLINE_EXCEEDED}, got) {
				t.Errorf("a registration is answered %s, %v", got, err)
			}
			h.stop()
			if _, err := identity.New(t.Context(), h.config, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "does not exist") {
				t.Errorf("it starts without its database: %v", err)
			}
			admin, err := pgx.Connect(t.Context(), teststack.Admin(t).Reveal())
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
			config, err := pgx.ParseConfig(database.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			var exists bool
			if err := admin.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, config.Database).Scan(&exists); err != nil || exists {
				t.Errorf("the database is there again: %v, %v", exists, err)
			}
		})
	}
}

func (h *house) untilUnhealthy(t *testing.T) {
	t.Helper()
	client := grpchealth.NewClient(h.as(t, "gateway"), h.url, serve.ClientInterceptors())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		health, err := client.Check(ctx, &grpchealth.CheckRequest{Service: identityv1connect.IdentityServiceName})
		if err != nil {
			t.Fatal(err)
		}
		if health.Status == grpchealth.StatusNotServing {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("health stays %v", health.Status)
		}
	}
}
