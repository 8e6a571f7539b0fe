package credentials_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/teststack"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// meanwhile are the reasons that somebody may be given while the database is
// away, or its accounts are being made.
var meanwhile = []musterv1.Reason{musterv1.Reason_REASON_UNAVAILABLE, musterv1.Reason_REASON_NOT_CAUGHT_UP}

// goOn signs in and refreshes without a pause until stop is called. Nobody who
// has an account is told that they are wrong, and nothing fails inside; who is
// refused learns when to come back.
func goOn(t *testing.T, gateway credentialsv1connect.CredentialsServiceClient, name, refreshToken string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	refused := func(what string, err error, also ...musterv1.Reason) {
		got := reason.Of(err)
		if err == nil || ctx.Err() != nil || slices.Contains(also, got) {
			return
		}
		if !slices.Contains(meanwhile, got) {
			t.Errorf("%s: %s (%v)", what, got, err)
		} else if detail, ok := reason.DetailOf(err); !ok || detail.GetRetryAfterMs() == 0 {
			t.Errorf("%s: %s without a time to wait", what, got)
		}
	}
	running.Go(func() {
		for ctx.Err() == nil {
			_, err := login(ctx, gateway, name, rightPassword, nil)
			refused("login", err)
			_, err = login(ctx, gateway, "nobody", rightPassword, nil)
			refused("login of nobody", err, musterv1.Reason_REASON_WRONG_CREDENTIALS)
		}
	})
	running.Go(func() {
		for ctx.Err() == nil {
			tokens, err := refresh(ctx, gateway, refreshToken)
			refused("refresh", err, musterv1.Reason_REASON_SESSION_REVOKED)
			if err == nil {
				refreshToken = tokens.GetRefreshToken()
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// patiently makes a call again while it is asked to come back: a connection that
// broke may show at any call.
func patiently[T any](t *testing.T, call func() (T, error)) (T, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := call()
		if !slices.Contains(meanwhile, reason.Of(err)) {
			return answer, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return answer, err
		}
	}
}

// untilSignedIn signs in as soon as that is possible.
func untilSignedIn(t *testing.T, gateway credentialsv1connect.CredentialsServiceClient, name string) *credentialsv1.LoginResponse {
	t.Helper()
	opened, err := patiently(t, func() (*credentialsv1.LoginResponse, error) {
		return login(t.Context(), gateway, name, rightPassword, nil)
	})
	if err != nil {
		t.Fatalf("nobody can sign in: %v", err)
	}
	return opened
}

func refreshed(t *testing.T, gateway credentialsv1connect.CredentialsServiceClient, of *credentialsv1.LoginResponse) error {
	t.Helper()
	_, err := patiently(t, func() (*credentialsv1.Tokens, error) {
		return refresh(t.Context(), gateway, of.GetTokens().GetRefreshToken())
	})
	return err
}

// ended ends all sessions of whose access token it is, which has to be good.
func ended(t *testing.T, gateway credentialsv1connect.CredentialsServiceClient, of *credentialsv1.LoginResponse) error {
	t.Helper()
	_, err := patiently(t, func() (*connect.Response[credentialsv1.EndSessionsResponse], error) {
		return gateway.EndSessions(asPerson(t, of.GetTokens().GetAccessToken()), connect.NewRequest(&credentialsv1.EndSessionsRequest{}))
	})
	return err
}

func signingKeys(t *testing.T, client credentialsv1connect.CredentialsServiceClient) string {
	t.Helper()
	keys, err := client.GetSigningKeys(t.Context(), connect.NewRequest(&credentialsv1.GetSigningKeysRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	return string(keys.Msg.GetJwks())
}

// Dropped in use, by a slip of an operator's hand, and made again by nobody but
// the service.
func TestAccountsOutliveTheirDatabaseAndSessionsDoNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.start(t)
	gateway := w.client(t, "gateway", address)
	bob, _ := w.register(t, "bob")
	_, position := w.register(t, "ada")
	w.append(t, bob, 2, &eventsv1.UserDeactivated{UserId: bob.String()})
	before, err := login(t.Context(), gateway, "ada", rightPassword, position)
	if err != nil {
		t.Fatal(err)
	}
	keys := signingKeys(t, gateway)
	ongoing, err := login(t.Context(), gateway, "ada", rightPassword, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := goOn(t, gateway, "ada", ongoing.GetTokens().GetRefreshToken())
	for range 2 {
		teststack.Drop(t, w.config.DatabaseURL)
		after := untilSignedIn(t, gateway, "ada")
		wantReason(t, "the session from before", refreshed(t, gateway, before), musterv1.Reason_REASON_SESSION_REVOKED)
		if err := refreshed(t, gateway, after); err != nil {
			t.Errorf("the new session: %v", err)
		}
		_, err := patiently(t, func() (*credentialsv1.LoginResponse, error) {
			return login(t.Context(), gateway, "bob", rightPassword, nil)
		})
		wantReason(t, "who was deactivated", err, musterv1.Reason_REASON_ACCOUNT_INACTIVE)
		if err := ended(t, gateway, before); err != nil {
			t.Errorf("with the access token from before: %v", err)
		}
		if now := signingKeys(t, gateway); now != keys {
			t.Errorf("the signing keys were %s and are %s", keys, now)
		}
	}
	stop()
	_, position = w.register(t, "carol")
	if _, err := login(t.Context(), gateway, "carol", rightPassword, position); err != nil {
		t.Errorf("who registers afterwards: %v", err)
	}
}

// Whichever of the two makes the database, the other one is of use again too,
// and they go on as one.
func TestTwoReplicasSurviveTheirDatabaseAsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var replicas []credentialsv1connect.CredentialsServiceClient
	for range 2 {
		address, _ := w.start(t)
		replicas = append(replicas, w.client(t, "gateway", address))
	}
	_, position := w.register(t, "ada")
	keys := signingKeys(t, replicas[0])
	var before []*credentialsv1.LoginResponse
	for _, gateway := range replicas {
		opened, err := login(t.Context(), gateway, "ada", rightPassword, position)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, opened)
		ongoing, err := login(t.Context(), gateway, "ada", rightPassword, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer goOn(t, gateway, "ada", ongoing.GetTokens().GetRefreshToken())()
	}
	teststack.Drop(t, w.config.DatabaseURL)
	for i, gateway := range replicas {
		other := replicas[1-i]
		after := untilSignedIn(t, gateway, "ada")
		if err := refreshed(t, other, after); err != nil {
			t.Errorf("a session that the other replica has opened: %v", err)
		}
		wantReason(t, "the session from before", refreshed(t, gateway, before[i]), musterv1.Reason_REASON_SESSION_REVOKED)
		for _, opened := range []*credentialsv1.LoginResponse{before[i], after} {
			if err := ended(t, other, opened); err != nil {
				t.Errorf("with an access token of the other replica: %v", err)
			}
		}
		if now := signingKeys(t, gateway); now != keys {
			t.Errorf("replica %d: the signing keys were %s and are %s", i, keys, now)
		}
	}
	// One that starts now finds the key that they hold.
	address, _ := w.start(t)
	if now := signingKeys(t, w.client(t, "gateway", address)); now != keys {
		t.Errorf("a third replica: the signing keys were %s and are %s", keys, now)
	}
}

// A process that starts without its database makes it, and, as at its very first
// start, a key.
func TestWithoutItsDatabaseAProcessStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, stop := w.start(t)
	gateway := w.client(t, "gateway", address)
	_, position := w.register(t, "ada")
	before, err := login(t.Context(), gateway, "ada", rightPassword, position)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	teststack.Drop(t, w.config.DatabaseURL)
	address, _ = w.start(t)
	gateway = w.client(t, "gateway", address)
	if _, err := login(t.Context(), gateway, "ada", rightPassword, nil); err != nil {
		t.Errorf("ready, but: %v", err)
	}
	_, err = refresh(t.Context(), gateway, before.GetTokens().GetRefreshToken())
	wantReason(t, "the session from before", err, musterv1.Reason_REASON_SESSION_REVOKED)
	_, err = gateway.EndSessions(asPerson(t, before.GetTokens().GetAccessToken()), connect.NewRequest(&credentialsv1.EndSessionsRequest{}))
	wantReason(t, "an access token under the key that is gone", err, musterv1.Reason_REASON_TOKEN_INVALID)
}
