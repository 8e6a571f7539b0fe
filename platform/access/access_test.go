package access_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/token"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	projectionv1 "github.com/muster-id/muster/proto/gen/go/muster/projection/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// tokens is a Verifier that knows tokens by their text.
type tokens map[string]any

func (known tokens) Verify(_ context.Context, presented secret.String) (token.Claims, error) {
	switch found := known[presented.Reveal()].(type) {
	case token.Claims:
		return found, nil
	case error:
		return token.Claims{}, found
	default:
		return token.Claims{}, token.ErrInvalid
	}
}

var known = tokens{
	"user":    token.Claims{Subject: "u1", SessionID: "s1", AccessVersion: 7, Roles: []string{"user"}},
	"admin":   token.Claims{Subject: "u2", SessionID: "s2", Roles: []string{"user", "admin"}},
	"pending": token.Claims{Subject: "u3", SessionID: "s3", Roles: []string{"admin"}, PasswordChangePending: true},
	"expired": token.ErrExpired,
	"away":    token.ErrKeysUnavailable,
	"odd":     errors.New("something else"),
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	const allowed = musterv1.Reason_REASON_UNSPECIFIED
	var (
		public     = &optionsv1.Access{Public: true}
		signedIn   = &optionsv1.Access{SignedIn: true}
		pendingToo = &optionsv1.Access{SignedIn: true, PasswordChangePending: true}
		permission = &optionsv1.Access{Permission: "users.read"}
		services   = &optionsv1.Access{Services: []string{"gateway", "media"}}
		both       = &optionsv1.Access{SignedIn: true, Services: []string{"gateway"}}
		confused   = &optionsv1.Access{Public: true, SignedIn: true}
		alone      = &optionsv1.Access{Permission: "users.read", Services: []string{"gateway", "operator"}, Unaccompanied: []string{"operator"}}
	)
	for _, test := range []struct {
		name   string
		rule   *optionsv1.Access
		caller string
		header []string
		want   musterv1.Reason
	}{
		{"no option", nil, "gateway", []string{"Bearer admin"}, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"an option that says nothing", &optionsv1.Access{PasswordChangePending: true}, "gateway", []string{"Bearer admin"}, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"public: nobody", public, "", nil, allowed},
		{"public: a bad token is not looked at", public, "", []string{"Bearer nonsense"}, allowed},
		{"signed in: a person", signedIn, "", []string{"Bearer user"}, allowed},
		{"signed in: the scheme's case does not matter", signedIn, "", []string{"bearer user"}, allowed},
		{"signed in: nobody", signedIn, "", nil, musterv1.Reason_REASON_UNAUTHENTICATED},
		{"signed in: a service is no person", signedIn, "gateway", nil, musterv1.Reason_REASON_UNAUTHENTICATED},
		{"signed in: expired", signedIn, "", []string{"Bearer expired"}, musterv1.Reason_REASON_TOKEN_EXPIRED},
		{"signed in: forged", signedIn, "", []string{"Bearer forged"}, musterv1.Reason_REASON_TOKEN_INVALID},
		{"signed in: another scheme", signedIn, "", []string{"Basic user"}, musterv1.Reason_REASON_TOKEN_INVALID},
		{"signed in: no token after the scheme", signedIn, "", []string{"Bearer "}, musterv1.Reason_REASON_TOKEN_INVALID},
		{"signed in: two headers", signedIn, "", []string{"Bearer user", "Bearer admin"}, musterv1.Reason_REASON_TOKEN_INVALID},
		{"signed in: no keys to verify with", signedIn, "", []string{"Bearer away"}, musterv1.Reason_REASON_UNAVAILABLE},
		{"signed in: the verifier fails", signedIn, "", []string{"Bearer odd"}, musterv1.Reason_REASON_UNAVAILABLE},
		{"signed in: the password has to be changed", signedIn, "", []string{"Bearer pending"}, musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED},
		{"pending too: the password has to be changed", pendingToo, "", []string{"Bearer pending"}, allowed},
		{"pending too: a person", pendingToo, "", []string{"Bearer user"}, allowed},
		{"pending too: nobody", pendingToo, "", nil, musterv1.Reason_REASON_UNAUTHENTICATED},
		{"permission: granted by one of the roles", permission, "", []string{"Bearer admin"}, allowed},
		{"permission: not granted", permission, "", []string{"Bearer user"}, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"permission: nobody", permission, "", nil, musterv1.Reason_REASON_UNAUTHENTICATED},
		{"permission: the password has to be changed", permission, "", []string{"Bearer pending"}, musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED},
		{"services: on the list", services, "media", nil, allowed},
		{"services: not on the list", services, "credentials", nil, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"services: a person is no service", services, "", []string{"Bearer admin"}, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"services: an empty name on the list is nobody's", &optionsv1.Access{Services: []string{""}}, "", nil, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"both: both", both, "gateway", []string{"Bearer user"}, allowed},
		{"both: the service alone", both, "gateway", nil, musterv1.Reason_REASON_UNAUTHENTICATED},
		{"both: the person alone", both, "", []string{"Bearer user"}, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"unaccompanied: the service alone", alone, "operator", nil, allowed},
		{"unaccompanied: a bad token is not looked at", alone, "operator", []string{"Bearer nonsense"}, allowed},
		{"unaccompanied: another service alone", alone, "gateway", nil, musterv1.Reason_REASON_UNAUTHENTICATED},
		{"unaccompanied: another service with a person who may", alone, "gateway", []string{"Bearer admin"}, allowed},
		{"unaccompanied: another service with a person who may not", alone, "gateway", []string{"Bearer user"}, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"unaccompanied: a person alone", alone, "", []string{"Bearer admin"}, musterv1.Reason_REASON_PERMISSION_DENIED},
		{"unaccompanied: an empty name is nobody's", &optionsv1.Access{SignedIn: true, Unaccompanied: []string{""}}, "", nil, musterv1.Reason_REASON_UNAUTHENTICATED},
		{"public and signed in: the stricter holds", confused, "", nil, musterv1.Reason_REASON_UNAUTHENTICATED},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			gate := access.NewGate(access.Config{Verifier: known})
			header := http.Header{"Authorization": test.header}
			ctx, err := gate(access.WithCaller(t.Context(), test.caller), spec(t, test.rule), connect.Peer{}, header)
			if got := reason.Of(err); got != test.want || (err == nil) != (test.want == allowed) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if needed := test.rule.GetPermission(); strings.HasSuffix(test.name, "not granted") && !strings.HasSuffix(err.Error(), " "+needed) {
				t.Errorf("%v does not name %s", err, needed)
			}
			if err == nil {
				_, person := access.PrincipalFrom(ctx)
				needed := (test.rule.GetSignedIn() || test.rule.GetPermission() != "") && !slices.Contains(test.rule.GetUnaccompanied(), test.caller)
				if person != needed {
					t.Errorf("there is a person: %v, want %v", person, needed)
				}
			}
		})
	}
}

func TestThePersonIsInTheContext(t *testing.T) {
	t.Parallel()
	ctx, err := access.NewGate(access.Config{Verifier: known})(t.Context(), spec(t, &optionsv1.Access{SignedIn: true}), connect.Peer{},
		http.Header{"Authorization": {"Bearer user"}})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := access.PrincipalFrom(ctx)
	if got.UserID != "u1" || got.SessionID != "s1" || got.AccessVersion != 7 || !slices.Equal(got.Roles, []string{"user"}) || got.Token.Reveal() != "user" {
		t.Errorf("got %+v", got)
	}
}

func TestAnOperationIsRecordedAsThatOfThePersonElseOfTheService(t *testing.T) {
	t.Parallel()
	gateway := access.WithCaller(t.Context(), "gateway")
	for want, ctx := range map[string]context.Context{
		"user-u1":          access.WithPrincipal(gateway, access.Principal{UserID: "u1"}),
		"service-operator": access.WithCaller(t.Context(), "operator"),
		"":                 t.Context(),
	} {
		if got := access.Actor(ctx); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestARefusalSaysHowToAuthenticate(t *testing.T) {
	t.Parallel()
	for authorization, want := range map[string]string{
		"":               "Bearer",
		"Bearer expired": `Bearer error="invalid_token"`,
		"Bearer user":    `Bearer error="insufficient_scope"`,
	} {
		header := http.Header{}
		if authorization != "" {
			header.Set("Authorization", authorization)
		}
		_, err := access.NewGate(access.Config{Verifier: known})(t.Context(), spec(t, &optionsv1.Access{Permission: "users.read"}), connect.Peer{}, header)
		var refused *connect.Error
		if !errors.As(err, &refused) || refused.Meta().Get("WWW-Authenticate") != want {
			t.Errorf("%q: got %v", authorization, err)
		}
	}
}

func TestWithoutAVerifierNobodyIsSignedIn(t *testing.T) {
	t.Parallel()
	_, err := access.NewGate(access.Config{})(t.Context(), spec(t, &optionsv1.Access{SignedIn: true}), connect.Peer{},
		http.Header{"Authorization": {"Bearer user"}})
	if reason.Of(err) != musterv1.Reason_REASON_INTERNAL {
		t.Errorf("got %v", err)
	}
}

func TestEveryMethodOfOursDeclaresWhoMayCallIt(t *testing.T) {
	t.Parallel()
	for _, file := range []protoreflect.FileDescriptor{
		musterv1.File_muster_v1_auth_proto, musterv1.File_muster_v1_user_proto, musterv1.File_muster_v1_health_proto,
		identityv1.File_muster_identity_v1_identity_proto, keyringv1.File_muster_keyring_v1_keyring_proto,
		credentialsv1.File_muster_credentials_v1_credentials_proto, eventlogv1.File_muster_eventlog_v1_eventlog_proto,
		musterv1.File_muster_v1_operations_proto, projectionv1.File_muster_projection_v1_projection_proto,
	} {
		for i := range file.Services().Len() {
			if err := access.Declared(file.Services().Get(i)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestDeclaredNamesEveryMethodAtFault(t *testing.T) {
	t.Parallel()
	err := access.Declared(
		service(t, nil, &optionsv1.Access{}, &optionsv1.Access{Public: true}),
		service(t, &optionsv1.Access{Public: true, SignedIn: true}, &optionsv1.Access{Public: true, PasswordChangePending: true}),
		service(t,
			&optionsv1.Access{SignedIn: true, Services: []string{"gateway"}, Unaccompanied: []string{"operator"}},
			&optionsv1.Access{Services: []string{"operator"}, Unaccompanied: []string{"operator"}},
			&optionsv1.Access{SignedIn: true, Services: []string{"gateway", "operator"}, Unaccompanied: []string{"operator"}}),
	)
	if err == nil {
		t.Fatal("no fault")
	}
	if faults := strings.Count(err.Error(), "\n") + 1; faults != 6 {
		t.Errorf("%d faults, want 6:\n%v", faults, err)
	}
}

// service makes a service with a method for each rule; nil is no option at all.
func service(t *testing.T, rules ...*optionsv1.Access) protoreflect.ServiceDescriptor {
	t.Helper()
	described := &descriptorpb.ServiceDescriptorProto{Name: proto.String("TestService")}
	for i, rule := range rules {
		method := &descriptorpb.MethodDescriptorProto{
			Name: proto.String("Method" + string(rune('A'+i))), InputType: proto.String(".muster.v1.PingRequest"), OutputType: proto.String(".muster.v1.PingResponse"),
		}
		if rule != nil {
			method.Options = &descriptorpb.MethodOptions{}
			proto.SetExtension(method.Options, optionsv1.E_Access, rule)
		}
		described.Method = append(described.Method, method)
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		Dependency: []string{musterv1.File_muster_v1_health_proto.Path()},
		Service:    []*descriptorpb.ServiceDescriptorProto{described},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0)
}

func spec(t *testing.T, rule *optionsv1.Access) connect.Spec {
	t.Helper()
	return connect.Spec{Procedure: "/test.TestService/MethodA", Schema: service(t, rule).Methods().Get(0)}
}
