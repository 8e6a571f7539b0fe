package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/gateway/internal/consistency"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	register    = "/muster.v1.AuthService/Register"
	login       = "/muster.v1.AuthService/Login"
	refresh     = "/muster.v1.AuthService/RefreshToken"
	logout      = "/muster.v1.AuthService/Logout"
	changePass  = "/muster.v1.AuthService/ChangePassword"
	getMe       = "/muster.v1.UserService/GetMe"
	updateMe    = "/muster.v1.UserService/UpdateMe"
	ping        = "/muster.v1.HealthService/Ping"
	check       = "/muster.v1.HealthService/CheckServices"
	adaRegister = `{"username":"ada","email":"ada@example.com","password":"correct horse","firstName":"Ada"}`
	adaLogin    = `{"login":"ada","password":"correct horse"}`
)

func TestRegisterWaitsUntilThePersonCanSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	requests := make(chan *identityv1.RegisterUserRequest, 1)
	w.identity.register = func(_ context.Context, r *identityv1.RegisterUserRequest) (*identityv1.RegisterUserResponse, error) {
		requests <- r
		return &identityv1.RegisterUserResponse{UserId: ada, Position: position}, nil
	}
	awaited := make(chan *credentialsv1.AwaitAccessRequest, 1)
	w.credentials.await = func(_ context.Context, r *credentialsv1.AwaitAccessRequest) (*credentialsv1.AwaitAccessResponse, error) {
		awaited <- r
		return &credentialsv1.AwaitAccessResponse{Applied: true}, nil
	}
	got := w.post(register, adaRegister, "Idempotency-Key", "0192d1a0-key-0001")
	got.ok(t)
	want := &identityv1.RegisterUserRequest{
		Username: "ada", Email: "ada@example.com", Password: "correct horse", FirstName: "Ada", IdempotencyKey: "0192d1a0-key-0001",
	}
	if r := <-requests; !proto.Equal(r, want) {
		t.Errorf("identity was asked %v", r)
	}
	if r := <-awaited; !proto.Equal(r.GetPosition(), position) {
		t.Errorf("waited for %v", r.GetPosition())
	}
	if got.body["userId"] != ada || got.body["signInReady"] != true {
		t.Errorf("got %s", got.text)
	}
	tokens, err := consistency.NewSigner(secret.NewBytes([]byte(strings.Repeat("k", 32))))
	if err != nil {
		t.Fatal(err)
	}
	token := got.header.Get("Muster-Consistency-Token")
	if at, err := tokens.Parse(token); err != nil || !proto.Equal(at, position) || got.body["consistencyToken"] != token {
		t.Errorf("token %q: %v, %v", token, at, err)
	}
}

func TestRegisterSucceedsWhateverBecomesOfTheWait(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*world){
		"the projection is late": func(w *world) {
			w.credentials.await = func(context.Context, *credentialsv1.AwaitAccessRequest) (*credentialsv1.AwaitAccessResponse, error) {
				return &credentialsv1.AwaitAccessResponse{Applied: false}, nil
			}
		},
		"credentials fails": func(w *world) {
			w.credentials.await = func(context.Context, *credentialsv1.AwaitAccessRequest) (*credentialsv1.AwaitAccessResponse, error) {
				return nil, errors.New("disk on fire")
			}
		},
		"credentials is down": func(w *world) { w.stopCredentials() },
		"credentials is silent": func(w *world) {
			w.credentials.await = silence[credentialsv1.AwaitAccessRequest, credentialsv1.AwaitAccessResponse]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			prepare(w)
			got := w.post(register, adaRegister)
			got.ok(t)
			if got.body["userId"] != ada || got.body["signInReady"] != false || got.body["consistencyToken"] == "" {
				t.Errorf("got %s", got.text)
			}
		})
	}
}

func TestAServiceThatDoesNotAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*world){
		"down": func(w *world) { w.stopIdentity() },
		"silent": func(w *world) {
			w.identity.register = silence[identityv1.RegisterUserRequest, identityv1.RegisterUserResponse]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *Config) { c.UpstreamTimeout = 300 * time.Millisecond })
			prepare(w)
			started := time.Now()
			w.post(register, adaRegister).refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE, "")
			if took := time.Since(started); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// silence answers nothing for as long as the caller waits.
func silence[Req, Res any](ctx context.Context, _ *Req) (*Res, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTheReasonOfAnotherServicePassesThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.identity.register = func(context.Context, *identityv1.RegisterUserRequest) (*identityv1.RegisterUserResponse, error) {
		return nil, reason.New(musterv1.Reason_REASON_USERNAME_TAKEN, reason.Field("username"), reason.Cause(errors.New("constraint names_unique")))
	}
	got := w.post(register, adaRegister)
	got.refused(t, http.StatusConflict, musterv1.Reason_REASON_USERNAME_TAKEN, "username")
	if got.body["message"] != "This username is taken" {
		t.Errorf("message %v", got.body["message"])
	}
	if details, _ := got.body["details"].([]any); len(details) != 1 {
		t.Errorf("%d details", len(details))
	}
	if strings.Contains(got.text, "constraint") {
		t.Errorf("the cause leaked: %s", got.text)
	}
}

func TestAnAddressLearnsOfFewTakenNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	prober, neighbour := []string{"X-Forwarded-For", "2001:db8::1"}, []string{"X-Forwarded-For", "2001:db8:0:1::1"}
	refusals := []musterv1.Reason{musterv1.Reason_REASON_USERNAME_TAKEN, musterv1.Reason_REASON_EMAIL_TAKEN}
	for i := range 20 {
		r := refusals[i%2]
		w.identity.register = fails[identityv1.RegisterUserRequest, identityv1.RegisterUserResponse](reason.New(r))
		w.post(register, adaRegister, prober...).refused(t, http.StatusConflict, r, "")
	}
	w.identity.register = func(context.Context, *identityv1.RegisterUserRequest) (*identityv1.RegisterUserResponse, error) {
		t.Error("identity was asked")
		return nil, reason.New(musterv1.Reason_REASON_USERNAME_TAKEN)
	}
	// Another address of the same network is the same client.
	for _, headers := range [][]string{prober, {"X-Forwarded-For", "2001:db8::2"}} {
		got := w.post(register, adaRegister, headers...)
		got.refused(t, http.StatusTooManyRequests, musterv1.Reason_REASON_RATE_LIMITED, "")
		if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 1 || after > 30 {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
	}
	w.identity.register = answers[identityv1.RegisterUserRequest](&identityv1.RegisterUserResponse{UserId: ada, Position: position})
	w.post(register, adaRegister, neighbour...).ok(t)
	w.post(login, adaLogin, prober...).ok(t)
}

func TestRegistrationsThatTellNothingAreNotLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 25 {
		w.post(register, adaRegister).ok(t)
	}
	for _, err := range []error{reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT), reason.New(musterv1.Reason_REASON_OVERLOADED), errors.New("disk on fire")} {
		w.identity.register = fails[identityv1.RegisterUserRequest, identityv1.RegisterUserResponse](err)
		for range 25 {
			if got := w.post(register, adaRegister).detail(t); got.GetReason() == name(musterv1.Reason_REASON_RATE_LIMITED) {
				t.Fatalf("limited after %v", err)
			}
		}
	}
}

func TestOverloadSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.credentials.login = func(context.Context, *credentialsv1.LoginRequest) (*credentialsv1.LoginResponse, error) {
		return nil, reason.New(musterv1.Reason_REASON_OVERLOADED, reason.RetryAfter(1500*time.Millisecond))
	}
	got := w.post(login, adaLogin)
	got.refused(t, http.StatusTooManyRequests, musterv1.Reason_REASON_OVERLOADED, "")
	if got.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
}

func TestInternalsOfAnotherServiceStayInside(t *testing.T) {
	t.Parallel()
	const canary = "pq: password authentication failed for muster_identity"
	w := newWorld(t, nil)
	w.identity.register = func(context.Context, *identityv1.RegisterUserRequest) (*identityv1.RegisterUserResponse, error) {
		return nil, errors.New(canary)
	}
	got := w.post(register, adaRegister)
	got.refused(t, http.StatusInternalServerError, musterv1.Reason_REASON_INTERNAL, "")
	if strings.Contains(got.text, "pq:") {
		t.Errorf("the client reads %s", got.text)
	}
}

func TestNoLogLineHoldsASecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.post(register, adaRegister).ok(t)
	w.post(login, adaLogin).ok(t)
	w.post(login, `{"login":"ada","password":12345678}`)
	w.post(login, `{"login":"ada","password":"12345678","x":1}`)
	w.post(refresh, `{"refreshToken":"refresh-canary"}`).ok(t)
	w.post(logout, `{"refreshToken":"refresh-canary"}`).ok(t)
	w.post(getMe, `{}`, "Authorization", "Bearer bearer-canary")
	w.stopCredentials()
	w.post(login, adaLogin)
	logs := w.logs.String()
	if !strings.Contains(logs, login) {
		t.Fatal("nothing was logged")
	}
	for _, canary := range []string{"correct horse", "ada@example.com", `"ada"`, "12345678", "refresh-1", "refresh-2", "refresh-canary", "bearer-canary"} {
		if strings.Contains(logs, canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
}
