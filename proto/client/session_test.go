package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/proto/client"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// clock is one that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// gateway gives tokens of 15 minutes and answers GetMe to those who have one.
type gateway struct {
	musterv1connect.UnimplementedAuthServiceHandler
	musterv1connect.UnimplementedUserServiceHandler
	clock *clock

	mu        sync.Mutex
	issued    int
	token     string
	expires   time.Time
	refreshed []string
	calls     int
	refuse    error         // what RefreshToken answers
	hold      chan struct{} // what RefreshToken waits for
	deny      bool          // whether every token is found expired
}

func refusal(code connect.Code, reason string) error {
	err := connect.NewError(code, errors.New("refused"))
	if detail, packing := connect.NewErrorDetail(&musterv1.ErrorDetail{Reason: reason}); packing == nil {
		err.AddDetail(detail)
	}
	return err
}

func (g *gateway) pair() (access string, expiresAt *timestamppb.Timestamp, refresh string) {
	g.issued++
	now := g.clock.now()
	claims := fmt.Sprintf(`{"iat": %d, "exp": %d, "jti": "%d"}`, now.Unix(), now.Unix()+900, g.issued)
	g.token, g.expires = "h."+base64.RawURLEncoding.EncodeToString([]byte(claims))+".s", now.Add(15*time.Minute)
	return g.token, timestamppb.New(g.expires), fmt.Sprintf("refresh-%d", g.issued)
}

func (g *gateway) Login(_ context.Context, request *connect.Request[musterv1.LoginRequest]) (*connect.Response[musterv1.LoginResponse], error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if request.Msg.GetPassword() != "correct horse" {
		return nil, refusal(connect.CodeUnauthenticated, "WRONG_CREDENTIALS")
	}
	access, expires, refresh := g.pair()
	return connect.NewResponse(&musterv1.LoginResponse{AccessToken: access, AccessTokenExpiresAt: expires, RefreshToken: refresh}), nil
}

func (g *gateway) RefreshToken(ctx context.Context, request *connect.Request[musterv1.RefreshTokenRequest]) (*connect.Response[musterv1.RefreshTokenResponse], error) {
	g.mu.Lock()
	g.refreshed = append(g.refreshed, request.Msg.GetRefreshToken())
	hold, refuse := g.hold, g.refuse
	g.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if refuse != nil {
		return nil, refuse
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	access, expires, refresh := g.pair()
	return connect.NewResponse(&musterv1.RefreshTokenResponse{AccessToken: access, AccessTokenExpiresAt: expires, RefreshToken: refresh}), nil
}

func (g *gateway) Logout(context.Context, *connect.Request[musterv1.LogoutRequest]) (*connect.Response[musterv1.LogoutResponse], error) {
	return connect.NewResponse(&musterv1.LogoutResponse{}), nil
}

func (g *gateway) GetMe(_ context.Context, request *connect.Request[musterv1.GetMeRequest]) (*connect.Response[musterv1.GetMeResponse], error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	switch authorization := request.Header().Get("Authorization"); {
	case authorization == "":
		return nil, refusal(connect.CodeUnauthenticated, "UNAUTHENTICATED")
	case g.deny || authorization != "Bearer "+g.token || !g.clock.now().Before(g.expires):
		return nil, refusal(connect.CodeUnauthenticated, "TOKEN_EXPIRED")
	}
	return connect.NewResponse(&musterv1.GetMeResponse{User: &musterv1.User{Username: "ada"}}), nil
}

// counts gives how often RefreshToken and GetMe were called.
func (g *gateway) counts() (refreshed, calls int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.refreshed), g.calls
}

func (g *gateway) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// world is a gateway and a session that is signed in to it.
type world struct {
	*gateway
	theirs, ours *clock
	session      *client.Session
	users        musterv1connect.UserServiceClient
	config       client.Config
}

func signIn(t *testing.T, options ...connect.ClientOption) *world {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &world{theirs: &clock{at: start}, ours: &clock{at: start}}
	w.gateway = &gateway{clock: w.theirs}
	mux := http.NewServeMux()
	mux.Handle(musterv1connect.NewAuthServiceHandler(w.gateway))
	mux.Handle(musterv1connect.NewUserServiceHandler(w.gateway))
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	w.config = client.Config{URL: server.URL, HTTP: server.Client(), Options: options, Now: w.ours.now}
	w.session = client.New(w.config)
	if _, err := w.session.Login(t.Context(), "ada", "correct horse"); err != nil {
		t.Fatal(err)
	}
	w.users = w.clientOf(w.session)
	return w
}

func (w *world) clientOf(s *client.Session) musterv1connect.UserServiceClient {
	return musterv1connect.NewUserServiceClient(w.config.HTTP, w.config.URL, append(w.config.Options, connect.WithInterceptors(s))...)
}

func (w *world) pass(d time.Duration) {
	w.theirs.pass(d)
	w.ours.pass(d)
}

func (w *world) getMe(t *testing.T) error {
	t.Helper()
	_, err := w.users.GetMe(t.Context(), connect.NewRequest(&musterv1.GetMeRequest{}))
	return err
}

// calls GetMe and asks for what came of it.
func (w *world) expect(t *testing.T, reason musterv1.Reason, refreshed, calls int) {
	t.Helper()
	err := w.getMe(t)
	if got := client.Reason(err); got != reason || (reason == 0) != (err == nil) {
		t.Fatalf("got %v (%v), want %v", got, err, reason)
	}
	if r, c := w.counts(); r != refreshed || c != calls {
		t.Fatalf("%d refreshes and %d calls, want %d and %d", r, c, refreshed, calls)
	}
}

const ok = musterv1.Reason_REASON_UNSPECIFIED

// protocols are how a program may speak.
func protocols(t *testing.T, test func(t *testing.T, options ...connect.ClientOption)) {
	t.Helper()
	for name, options := range map[string][]connect.ClientOption{
		"connect": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, options...)
		})
	}
}

func TestATokenIsExchangedShortlyBeforeItExpires(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, options ...connect.ClientOption) {
		w := signIn(t, options...)
		w.expect(t, ok, 0, 1)
		w.pass(14 * time.Minute)
		w.expect(t, ok, 0, 2)
		w.pass(40 * time.Second)
		w.expect(t, ok, 1, 3)
	})
}

func TestWhatTheServerFindsExpiredIsExchangedOnce(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, options ...connect.ClientOption) {
		w := signIn(t, options...)
		w.theirs.pass(15 * time.Minute) // our clock stands still
		w.expect(t, ok, 1, 2)
		w.set(func() { w.deny = true })
		w.expect(t, musterv1.Reason_REASON_TOKEN_EXPIRED, 2, 4)
	})
}

func TestAWrongClockChangesNothing(t *testing.T) {
	t.Parallel()
	for _, wrong := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		w := signIn(t)
		w.ours.pass(wrong)
		if _, err := w.session.Login(t.Context(), "ada", "correct horse"); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			if err := w.getMe(t); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Minute)
		}
		if refreshed, _ := w.counts(); refreshed != 3 {
			t.Errorf("clock wrong by %v: %d refreshes in an hour", wrong, refreshed)
		}
	}
}

func TestOfManyCallsAtOnceOneExchangesTheToken(t *testing.T) {
	t.Parallel()
	w := signIn(t)
	hold := make(chan struct{})
	w.set(func() { w.hold = hold })
	w.pass(20 * time.Minute)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if err := w.getMe(t); err != nil {
				t.Error(err)
			}
		})
	}
	close(hold)
	group.Wait()
	if refreshed, calls := w.counts(); refreshed != 1 || calls != 50 {
		t.Errorf("%d refreshes, %d calls", refreshed, calls)
	}
}

func TestWhoGivesUpWaitingSpoilsTheExchangeForNobody(t *testing.T) {
	t.Parallel()
	w := signIn(t)
	hold := make(chan struct{})
	w.set(func() { w.hold = hold })
	w.pass(20 * time.Minute)
	gone, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := w.users.GetMe(gone, connect.NewRequest(&musterv1.GetMeRequest{}))
		left <- err
	}()
	leave()
	if err := <-left; connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("who has left got %v", err)
	}
	close(hold)
	if err := w.getMe(t); err != nil {
		t.Error(err)
	}
}

func TestAnEndedSessionSaysWhyAndAsksNobodyAgain(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, options ...connect.ClientOption) {
		w := signIn(t, options...)
		w.set(func() { w.refuse = refusal(connect.CodeUnauthenticated, "SESSION_REVOKED") })
		w.pass(20 * time.Minute)
		for range 3 {
			w.expect(t, musterv1.Reason_REASON_SESSION_REVOKED, 1, 0)
		}
		if w.session.Tokens() != (client.Tokens{}) {
			t.Error("the tokens are kept")
		}
		w.set(func() { w.refuse = nil })
		if _, err := w.session.Login(t.Context(), "ada", "correct horse"); err != nil {
			t.Fatal(err)
		}
		w.expect(t, ok, 1, 1)
	})
}

func TestATokenThatIsStillGoodGoesOnWhileTheServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := signIn(t)
	w.set(func() { w.refuse = refusal(connect.CodeUnavailable, "UNAVAILABLE") })
	w.pass(15*time.Minute - 20*time.Second)
	w.expect(t, ok, 1, 1)
	w.expect(t, ok, 1, 2) // it is left alone for a second
	w.pass(20 * time.Second)
	w.expect(t, musterv1.Reason_REASON_UNAVAILABLE, 2, 2)
	w.set(func() { w.refuse = nil })
	w.pass(time.Second)
	w.expect(t, ok, 3, 3)
}

func TestAProgramGoesOnWithTheTokensThatItHasKept(t *testing.T) {
	t.Parallel()
	w := signIn(t)
	var kept []client.Tokens
	w.config.Changed = func(tokens client.Tokens) { kept = append(kept, tokens) }
	first := client.New(w.config)
	if _, err := first.Login(t.Context(), "ada", "correct horse"); err != nil {
		t.Fatal(err)
	}
	later := client.New(w.config)
	later.Resume(kept[0])
	w.users = w.clientOf(later)
	w.expect(t, ok, 0, 1)
	w.pass(20 * time.Minute)
	w.expect(t, ok, 1, 2)
	if err := later.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 3 || kept[1] == kept[0] || kept[2] != (client.Tokens{}) {
		t.Errorf("told of %v", kept)
	}
	w.expect(t, musterv1.Reason_REASON_UNAUTHENTICATED, 1, 3)
}

func TestPublicMethodsAndOwnTokensAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := signIn(t)
	w.pass(20 * time.Minute)
	auth := musterv1connect.NewAuthServiceClient(w.config.HTTP, w.config.URL, connect.WithInterceptors(w.session))
	if _, err := auth.Logout(t.Context(), connect.NewRequest(&musterv1.LogoutRequest{RefreshToken: "other"})); err != nil {
		t.Error(err)
	}
	own := connect.NewRequest(&musterv1.GetMeRequest{})
	own.Header().Set("Authorization", "Bearer mine")
	if _, err := w.users.GetMe(t.Context(), own); client.Reason(err) != musterv1.Reason_REASON_TOKEN_EXPIRED {
		t.Errorf("with a token of its own: %v", err)
	}
	if refreshed, _ := w.counts(); refreshed != 0 {
		t.Errorf("%d refreshes", refreshed)
	}
}

func TestErrorsThatTheServerDidNotGiveHaveNoReason(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, errors.New("x"), connect.NewError(connect.CodeUnavailable, errors.New("x"))} {
		if client.Reason(err) != ok || client.Detail(err) != nil {
			t.Errorf("%v has a reason", err)
		}
	}
}
