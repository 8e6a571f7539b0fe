package credentials_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/muster-id/muster/credentials"
	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/teststack"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func login(ctx context.Context, client credentialsv1connect.CredentialsServiceClient, name, password string, after *eventlogv1.Position) (*credentialsv1.LoginResponse, error) {
	response, err := client.Login(ctx, connect.NewRequest(&credentialsv1.LoginRequest{Login: name, Password: password, After: after}))
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

func refresh(ctx context.Context, client credentialsv1connect.CredentialsServiceClient, token string) (*credentialsv1.Tokens, error) {
	response, err := client.Refresh(ctx, connect.NewRequest(&credentialsv1.RefreshRequest{RefreshToken: token}))
	if err != nil {
		return nil, err
	}
	return response.Msg.GetTokens(), nil
}

func wantReason(t *testing.T, what string, err error, want musterv1.Reason) {
	t.Helper()
	if got := reason.Of(err); got != want {
		t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
}

// From an event in the log to a session and to its end, over mTLS, with no broker.
func TestWhoIsRegisteredMayComeInUntilTheySignOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.start(t)
	gateway := w.client(t, "gateway", address)
	id, position := w.register(t, "ada")
	awaited, err := gateway.AwaitAccess(t.Context(), connect.NewRequest(&credentialsv1.AwaitAccessRequest{Position: position}))
	if err != nil || !awaited.Msg.GetApplied() {
		t.Fatalf("AwaitAccess: %v, %v", awaited, err)
	}
	opened, err := login(t.Context(), gateway, "ada@example.org", rightPassword, nil)
	if err != nil {
		t.Fatal(err)
	}
	if opened.GetUserId() != id.String() || opened.GetPasswordChangeRequired() {
		t.Errorf("%+v", opened)
	}
	tokens, err := refresh(t.Context(), gateway, opened.GetTokens().GetRefreshToken())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.Logout(t.Context(), connect.NewRequest(&credentialsv1.LogoutRequest{RefreshToken: tokens.GetRefreshToken()})); err != nil {
		t.Fatal(err)
	}
	_, err = refresh(t.Context(), gateway, tokens.GetRefreshToken())
	wantReason(t, "refresh after logout", err, musterv1.Reason_REASON_SESSION_REVOKED)
}

func TestEachRefusalHasItsReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.start(t)
	gateway := w.client(t, "gateway", address)
	id, position := w.register(t, "ada")
	opened, err := login(t.Context(), gateway, "ada", rightPassword, position) // which waits
	if err != nil {
		t.Fatal(err)
	}
	_, err = login(t.Context(), gateway, "ada", "wrong password", nil)
	wantReason(t, "wrong password", err, musterv1.Reason_REASON_WRONG_CREDENTIALS)
	_, err = login(t.Context(), gateway, "nobody", "wrong password", nil)
	wantReason(t, "unknown name", err, musterv1.Reason_REASON_WRONG_CREDENTIALS)
	_, err = login(t.Context(), gateway, "", rightPassword, nil)
	wantReason(t, "empty name", err, musterv1.Reason_REASON_INVALID_ARGUMENT)

	future := &eventlogv1.Position{Log: position.GetLog(), Epoch: position.GetEpoch(), Stream: position.GetStream(), Version: 9}
	_, err = login(t.Context(), gateway, "ada", rightPassword, future)
	wantReason(t, "a position that does not come", err, musterv1.Reason_REASON_NOT_CAUGHT_UP)
	if detail, ok := reason.DetailOf(err); !ok || detail.GetRetryAfterMs() == 0 {
		t.Errorf("NOT_CAUGHT_UP comes without a time to wait: %v", detail)
	}
	foreign := &eventlogv1.Position{Log: "media", Epoch: 1, Stream: position.GetStream(), Version: 1}
	_, err = login(t.Context(), gateway, "ada", rightPassword, foreign)
	wantReason(t, "a position of another log", err, musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID)

	_, err = refresh(t.Context(), gateway, "forged")
	wantReason(t, "a forged refresh token", err, musterv1.Reason_REASON_TOKEN_INVALID)
	_, err = gateway.Logout(t.Context(), connect.NewRequest(&credentialsv1.LogoutRequest{RefreshToken: "forged"}))
	wantReason(t, "logout with a forged token", err, musterv1.Reason_REASON_TOKEN_INVALID)

	deactivated := w.append(t, id, 2, &eventsv1.UserDeactivated{UserId: id.String()})
	_, err = login(t.Context(), gateway, "ada", rightPassword, deactivated)
	wantReason(t, "login to an inactive account", err, musterv1.Reason_REASON_ACCOUNT_INACTIVE)
	_, err = refresh(t.Context(), gateway, opened.GetTokens().GetRefreshToken())
	wantReason(t, "refresh of an inactive account", err, musterv1.Reason_REASON_SESSION_REVOKED)
	reactivated := w.append(t, id, 3, &eventsv1.UserReactivated{UserId: id.String()})
	if _, err := login(t.Context(), gateway, "ada", rightPassword, reactivated); err != nil {
		t.Errorf("login to a reactivated account: %v", err)
	}
	_, err = refresh(t.Context(), gateway, opened.GetTokens().GetRefreshToken())
	wantReason(t, "refresh of a session from before a deactivation", err, musterv1.Reason_REASON_SESSION_REVOKED)
}

func TestWhatAnAdministratorChangesIsKnownAtTheDoor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.start(t)
	gateway := w.client(t, "gateway", address)
	id, _ := w.register(t, "ada")
	renamed := w.append(t, id, 2, &eventsv1.UsernameChanged{UserId: id.String(), Username: "augusta"})
	opened, err := login(t.Context(), gateway, "augusta", rightPassword, renamed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = login(t.Context(), gateway, "ada", rightPassword, nil)
	wantReason(t, "the former name", err, musterv1.Reason_REASON_WRONG_CREDENTIALS)
	w.append(t, id, 3, &eventsv1.EmailChanged{UserId: id.String(), Email: "countess@example.org"})
	given := w.append(t, id, 4, &eventsv1.RolesChanged{UserId: id.String(), Roles: []string{"auditor"}})
	if _, err := login(t.Context(), gateway, "countess@example.org", rightPassword, given); err != nil {
		t.Errorf("the new address: %v", err)
	}
	erased := w.append(t, id, 5, &eventsv1.UserErased{UserId: id.String(), KeyIds: []string{uuid.NewString()}})
	_, err = login(t.Context(), gateway, "augusta", rightPassword, erased)
	wantReason(t, "an erased person", err, musterv1.Reason_REASON_WRONG_CREDENTIALS)
	_, err = refresh(t.Context(), gateway, opened.GetTokens().GetRefreshToken())
	wantReason(t, "an erased person's session", err, musterv1.Reason_REASON_SESSION_REVOKED)
}

func TestEndSessionsTakesThePersonFromTheirToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.start(t)
	gateway := w.client(t, "gateway", address)
	_, position := w.register(t, "ada")
	opened, err := login(t.Context(), gateway, "ada", rightPassword, position)
	if err != nil {
		t.Fatal(err)
	}
	_, err = gateway.EndSessions(t.Context(), connect.NewRequest(&credentialsv1.EndSessionsRequest{}))
	wantReason(t, "without a token", err, musterv1.Reason_REASON_UNAUTHENTICATED)
	_, err = gateway.EndSessions(asPerson(t, opened.GetTokens().GetAccessToken()+"x"), connect.NewRequest(&credentialsv1.EndSessionsRequest{}))
	wantReason(t, "with a forged token", err, musterv1.Reason_REASON_TOKEN_INVALID)
	ended, err := gateway.EndSessions(asPerson(t, opened.GetTokens().GetAccessToken()), connect.NewRequest(&credentialsv1.EndSessionsRequest{}))
	if err != nil || ended.Msg.GetEnded() != 1 {
		t.Fatalf("EndSessions = %v, %v; want 1", ended, err)
	}
	_, err = refresh(t.Context(), gateway, opened.GetTokens().GetRefreshToken())
	wantReason(t, "refresh afterwards", err, musterv1.Reason_REASON_SESSION_REVOKED)
}

// asPerson is the context of a call that the gateway makes for somebody.
func asPerson(t *testing.T, accessToken string) context.Context {
	t.Helper()
	return access.WithPrincipal(t.Context(), access.Principal{Token: secret.New(accessToken)})
}

func TestOnlyServicesOnTheListMayCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.start(t)
	media := w.client(t, "media", address)
	_, err := login(t.Context(), media, "ada", rightPassword, nil)
	wantReason(t, "login by media", err, musterv1.Reason_REASON_PERMISSION_DENIED)
	_, err = refresh(t.Context(), media, "forged")
	wantReason(t, "refresh by media", err, musterv1.Reason_REASON_PERMISSION_DENIED)
	for _, service := range []string{"identity", "media"} {
		if _, err := w.client(t, service, address).GetSigningKeys(t.Context(), connect.NewRequest(&credentialsv1.GetSigningKeysRequest{})); err != nil {
			t.Errorf("signing keys for %s: %v", service, err)
		}
	}

	self, err := certificate.Load(w.config.Certificates, "gateway")
	if err != nil {
		t.Fatal(err)
	}
	stranger := self.ClientTLS("credentials")
	stranger.Certificates = nil
	transport := &http.Transport{TLSClientConfig: stranger, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	client := credentialsv1connect.NewCredentialsServiceClient(&http.Client{Transport: transport}, "https://"+address, connect.WithGRPC())
	if _, err := client.GetSigningKeys(t.Context(), connect.NewRequest(&credentialsv1.GetSigningKeysRequest{})); err == nil {
		t.Error("a caller without a certificate was answered")
	}
}

func TestSessionsAndKeysOutliveARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, stop := w.start(t)
	gateway := w.client(t, "gateway", address)
	_, position := w.register(t, "ada")
	opened, err := login(t.Context(), gateway, "ada", rightPassword, position)
	if err != nil {
		t.Fatal(err)
	}
	before, err := gateway.GetSigningKeys(t.Context(), connect.NewRequest(&credentialsv1.GetSigningKeysRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	_, missed := w.register(t, "bob") // while nobody listens

	address, _ = w.start(t)
	gateway = w.client(t, "gateway", address)
	after, err := gateway.GetSigningKeys(t.Context(), connect.NewRequest(&credentialsv1.GetSigningKeysRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before.Msg.GetJwks()), string(after.Msg.GetJwks())); diff != "" {
		t.Error(diff)
	}
	if _, err := refresh(t.Context(), gateway, opened.GetTokens().GetRefreshToken()); err != nil {
		t.Errorf("refresh: %v", err)
	}
	if _, err := login(t.Context(), gateway, "bob", rightPassword, missed); err != nil {
		t.Errorf("login of who registered meanwhile: %v", err)
	}
}

// That the message is routed at all shows that the projection's queue is bound.
func TestEventsComeOverTheBrokerToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	virtualHost := secret.New(teststack.VirtualHost(t))
	w.config.BrokerURL = virtualHost
	address, _ := w.start(t)
	gateway := w.client(t, "gateway", address)
	_, position := w.register(t, "ada")
	events, err := w.log.ReadStream(t.Context(), position.GetStream(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	publishing, err := broker.Connect(t.Context(), broker.Config{URL: virtualHost, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = publishing.Close() })
	publisher := broker.NewPublisher(publishing)
	t.Cleanup(func() { _ = publisher.Close() })
	untilRouted(t, publisher, events)
	if _, err := login(t.Context(), gateway, "ada", rightPassword, position); err != nil {
		t.Error(err)
	}
}

// untilRouted publishes until the broker is there and the subscriber has declared
// its queue.
func untilRouted(t *testing.T, publisher *broker.Publisher, events []eventstore.Event) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := publisher.PublishBatch(t.Context(), events)
		var unroutable *broker.UnroutableError
		switch {
		case err == nil:
			return
		case !errors.As(err, &unroutable) && !errors.Is(err, broker.ErrNotConnected):
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(err)
		}
	}
}

func TestHealthIsThatOfTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.start(t)
	self, err := certificate.Load(w.config.Certificates, "gateway")
	if err != nil {
		t.Fatal(err)
	}
	transport := serve.InternalClient(self, "credentials", "https://"+address)
	t.Cleanup(transport.CloseIdleConnections)
	client := grpchealth.NewClient(transport, "https://"+address, serve.ClientInterceptors())
	until := func(want grpchealth.Status) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			health, err := client.Check(ctx, &grpchealth.CheckRequest{Service: credentialsv1connect.CredentialsServiceName})
			if err != nil {
				t.Fatal(err)
			}
			if health.Status == want {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("health stays %v", health.Status)
			}
		}
	}
	until(grpchealth.StatusServing)
	back := teststack.TakeAway(t, w.config.DatabaseURL)
	until(grpchealth.StatusNotServing)
	back()
	until(grpchealth.StatusServing)
}

func TestEveryFaultOfTheSettingsIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := credentials.New(t.Context(), credentials.Config{SessionIdleLifetime: time.Hour, KeyEncryptionKey: secret.New("too short to be a key")}, discard)
	if err == nil {
		t.Fatal("it started")
	}
	for _, setting := range []string{"PASSWORD_", "ACCESS_TOKEN_LIFETIME", "SESSION_IDLE_LIFETIME", "DATABASE_CONNECTIONS", "KEY_ENCRYPTION_KEY"} {
		if !strings.Contains(err.Error(), "MUSTER_CREDENTIALS_"+setting) {
			t.Errorf("%s is not named in %q", setting, err)
		}
	}
	if strings.Contains(err.Error(), "too short to be a key") {
		t.Error("the error holds the key")
	}
}

func TestAnotherKeyEncryptionKeyIsAFaultAtStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.start(t)
	stop()
	w.config.KeyEncryptionKey = secret.New(strings.Repeat("00", 32))
	if _, err := credentials.New(t.Context(), w.config, discard); err == nil || !strings.Contains(err.Error(), "key-encryption key") {
		t.Errorf("New: %v, want a word about the key-encryption key", err)
	}
}
