package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/muster-id/muster/platform/reason"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// h2c speaks HTTP/2 in clear, as gRPC programs do.
func h2c(t *testing.T) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func TestEveryProtocolAnswersTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.identity.register = func(context.Context, *identityv1.RegisterUserRequest) (*identityv1.RegisterUserResponse, error) {
		return nil, reason.New(musterv1.Reason_REASON_EMAIL_TAKEN, reason.Field("email"))
	}
	modern := h2c(t)
	for what, client := range map[string]musterv1connect.AuthServiceClient{
		"Connect JSON, HTTP/1.1": musterv1connect.NewAuthServiceClient(w.client, w.base, connect.WithProtoJSON()),
		"Connect binary":         musterv1connect.NewAuthServiceClient(modern, w.base),
		"Connect packed":         musterv1connect.NewAuthServiceClient(modern, w.base, connect.WithSendGzip()),
		"gRPC":                   musterv1connect.NewAuthServiceClient(modern, w.base, connect.WithGRPC()),
		"gRPC JSON":              musterv1connect.NewAuthServiceClient(modern, w.base, connect.WithGRPC(), connect.WithProtoJSON()),
		"gRPC-Web":               musterv1connect.NewAuthServiceClient(w.client, w.base, connect.WithGRPCWeb()),
		"gRPC-Web JSON":          musterv1connect.NewAuthServiceClient(w.client, w.base, connect.WithGRPCWeb(), connect.WithProtoJSON()),
	} {
		t.Run(what, func(t *testing.T) {
			_, err := client.Login(t.Context(), connect.NewRequest(&musterv1.LoginRequest{Login: "ada", Password: "correct horse"}))
			if err != nil {
				t.Fatalf("a good call: %v", err)
			}
			request := connect.NewRequest(&musterv1.RegisterRequest{Username: "ada", Email: "ada@example.com", Password: "short"})
			_, err = client.Register(t.Context(), request)
			refusedCall(t, err, connect.CodeInvalidArgument, musterv1.Reason_REASON_INVALID_ARGUMENT, "password")

			request.Msg.Password = "correct horse"
			_, err = client.Register(t.Context(), request)
			refusedCall(t, err, connect.CodeAlreadyExists, musterv1.Reason_REASON_EMAIL_TAKEN, "email")

			_, err = client.ChangePassword(t.Context(), connect.NewRequest(&musterv1.ChangePasswordRequest{PresentPassword: "a", NewPassword: "correct horse"}))
			refusedCall(t, err, connect.CodeUnauthenticated, musterv1.Reason_REASON_UNAUTHENTICATED, "")
		})
	}
}

func refusedCall(t *testing.T, err error, code connect.Code, r musterv1.Reason, field string) {
	t.Helper()
	var refused *connect.Error
	if !errors.As(err, &refused) || refused.Code() != code {
		t.Fatalf("got %v, want %v", err, code)
	}
	detail, ok := reason.DetailOf(err)
	if !ok {
		t.Fatalf("no detail in %v", err)
	}
	if detail.GetReason() != name(r) || detail.GetField() != field {
		t.Errorf("got %s of %q, want %s of %q", detail.GetReason(), detail.GetField(), name(r), field)
	}
	if id := refused.Meta().Get("X-Request-Id"); id == "" || id != detail.GetRequestId() {
		t.Errorf("request id %q in the header, %q in the detail", id, detail.GetRequestId())
	}
}

func TestGRPCProgramsGetTheRefreshTokenInTheBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	client := musterv1connect.NewAuthServiceClient(h2c(t), w.base, connect.WithGRPC())
	got, err := client.Login(t.Context(), connect.NewRequest(&musterv1.LoginRequest{
		Login: "ada", Password: "correct horse", RefreshDelivery: musterv1.RefreshDelivery_REFRESH_DELIVERY_COOKIE,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Msg.GetRefreshToken() != "refresh-1" || got.Header().Get("Set-Cookie") != "" {
		t.Errorf("got %v, %v", got.Msg, got.Header())
	}
}

func TestTheConsistencyTokenTravelsAsMetadataToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	asked := make(chan *credentialsv1.LoginRequest, 1)
	w.credentials.login = func(_ context.Context, r *credentialsv1.LoginRequest) (*credentialsv1.LoginResponse, error) {
		asked <- r
		return &credentialsv1.LoginResponse{Tokens: someTokens("refresh-1")}, nil
	}
	client := musterv1connect.NewAuthServiceClient(h2c(t), w.base, connect.WithGRPC())
	registered, err := client.Register(t.Context(), connect.NewRequest(&musterv1.RegisterRequest{
		Username: "ada", Email: "ada@example.com", Password: "correct horse",
	}))
	if err != nil {
		t.Fatal(err)
	}
	request := connect.NewRequest(&musterv1.LoginRequest{Login: "ada", Password: "correct horse"})
	request.Header().Set("Muster-Consistency-Token", registered.Header().Get("Muster-Consistency-Token"))
	if _, err := client.Login(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if after := (<-asked).GetAfter(); after.GetVersion() != position.GetVersion() {
		t.Errorf("after %v", after)
	}
}

func TestGRPCHealthAndReflection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	<-w.gateway.Ready()
	client := h2c(t)
	health := grpchealth.NewClient(client, w.base, connect.WithGRPC())
	for _, service := range []string{
		"", musterv1connect.AuthServiceName, musterv1connect.UserServiceName, musterv1connect.HealthServiceName,
		musterv1connect.AdminServiceName, musterv1connect.MediaServiceName,
	} {
		got, err := health.Check(t.Context(), &grpchealth.CheckRequest{Service: service})
		if err != nil || got.Status != grpchealth.StatusServing {
			t.Errorf("%q: %v, %v", service, got, err)
		}
	}
	if _, err := health.Check(t.Context(), &grpchealth.CheckRequest{Service: "muster.v1.Nothing"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("an unknown service: %v", err)
	}

	stream := grpcreflect.NewClient(client, w.base, connect.WithGRPC()).NewStream(t.Context())
	defer func() { _, _ = stream.Close() }()
	names, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []protoreflect.FullName{
		musterv1connect.AuthServiceName, musterv1connect.UserServiceName, musterv1connect.HealthServiceName,
		musterv1connect.AdminServiceName, musterv1connect.MediaServiceName,
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	if _, err := stream.FileContainingSymbol("muster.v1.AuthService"); err != nil {
		t.Error(err)
	}
}

func TestHealthIsNotServingWithoutItsParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.IdentityURL = "https://127.0.0.1:1" })
	health := grpchealth.NewClient(h2c(t), w.base, connect.WithGRPC())
	got, err := health.Check(t.Context(), &grpchealth.CheckRequest{})
	if err != nil || got.Status != grpchealth.StatusNotServing {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestPingTellsVersionAndTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	client := musterv1connect.NewHealthServiceClient(w.client, w.base)
	got, err := client.Ping(t.Context(), connect.NewRequest(&musterv1.PingRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Msg.GetVersion() == "" || !got.Msg.GetTime().IsValid() || got.Msg.GetTime().GetSeconds() == 0 {
		t.Errorf("got %v", got.Msg)
	}
}
