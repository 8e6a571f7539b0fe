package serve_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/token"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// method describes a method for signed-in people; no stream stands in the protos yet.
func method(t *testing.T) protoreflect.MethodDescriptor {
	t.Helper()
	options := &descriptorpb.MethodOptions{}
	proto.SetExtension(options, optionsv1.E_Access, &optionsv1.Access{SignedIn: true})
	message := proto.String(".muster.keyring.v1.GetKeysRequest")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		Dependency: []string{keyringv1.File_muster_keyring_v1_keyring_proto.Path()},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("StreamService"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Stream"), InputType: message, OutputType: message, Options: options,
		}}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0).Methods().Get(0)
}

const stream = "/test.StreamService/"

type (
	request = keyringv1.GetKeysRequest
	streams struct {
		people
		addr string
	}
)

var errInside = errors.New("canary")

// newStreams serves a stream of each kind. Echo ends with errInside after the
// first message when it is asked to fail.
func newStreams(t *testing.T) streams {
	t.Helper()
	s := streams{people: newPeople(t)}
	logger := slog.New(slog.DiscardHandler)
	options := connect.WithHandlerOptions(serve.Interceptors(serve.Config{Logger: logger, Verifier: s.verifier}), connect.WithSchema(method(t)))
	mux := http.NewServeMux()
	mux.Handle(stream+"Server", connect.NewServerStreamHandler(stream+"Server",
		func(ctx context.Context, asked *connect.Request[request], out *connect.ServerStream[request]) error {
			person, _ := access.PrincipalFrom(ctx)
			if err := out.Send(&request{KeyIds: []string{person.UserID}}); err != nil {
				return err
			}
			if len(asked.Msg.GetKeyIds()) > 1 {
				return errInside
			}
			return nil
		}, options))
	mux.Handle(stream+"Client", connect.NewClientStreamHandler(stream+"Client",
		func(ctx context.Context, in *connect.ClientStream[request]) (*connect.Response[request], error) {
			for in.Receive() {
			}
			if err := in.Err(); err != nil {
				return nil, err
			}
			person, _ := access.PrincipalFrom(ctx)
			return connect.NewResponse(&request{KeyIds: []string{person.UserID}}), nil
		}, options))
	mux.Handle(stream+"Bidi", connect.NewBidiStreamHandler(stream+"Bidi",
		func(ctx context.Context, both *connect.BidiStream[request, request]) error {
			if _, err := both.Receive(); err != nil {
				return err
			}
			person, _ := access.PrincipalFrom(ctx)
			return both.Send(&request{KeyIds: []string{person.UserID}})
		}, options))
	s.addr = start(t, serve.ServerConfig{Name: "test", Handler: mux, Logger: logger})
	return s
}

const keyID = "0192f0a1-0000-7000-8000-000000000000"

// call sends one message on a stream of a kind and gives who the server saw.
func (s streams) call(t *testing.T, kind string, presented secret.String, message *request, options ...connect.ClientOption) (user string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := connect.NewClient[request, request](plain(t, true), "http://"+s.addr+stream+kind, options...)
	authorize := func(header http.Header) {
		if !presented.Empty() {
			header.Set("Authorization", "Bearer "+presented.Reveal())
		}
	}
	switch kind {
	case "Server":
		asked := connect.NewRequest(message)
		authorize(asked.Header())
		in, err := client.CallServerStream(ctx, asked)
		if err != nil {
			return "", err
		}
		defer in.Close() //nolint:errcheck // of a test
		for in.Receive() {
			user = in.Msg().GetKeyIds()[0]
		}
		return user, in.Err()
	case "Client":
		out := client.CallClientStream(ctx)
		authorize(out.RequestHeader())
		_ = out.Send(message) // its error is in the answer
		answer, err := out.CloseAndReceive()
		if err != nil {
			return "", err
		}
		return answer.Msg.GetKeyIds()[0], nil
	default:
		both := client.CallBidiStream(ctx)
		authorize(both.RequestHeader())
		_ = both.Send(message) // its error is in the answer
		_ = both.CloseRequest()
		defer both.CloseResponse() //nolint:errcheck // of a test
		answer, err := both.Receive()
		if err != nil {
			return "", err
		}
		return answer.GetKeyIds()[0], nil
	}
}

func TestStreamsHaveTheSameRules(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	for protocol, option := range map[string]connect.ClientOption{"Connect": connect.WithProtoJSON(), "gRPC": connect.WithGRPC()} {
		for _, kind := range []string{"Server", "Client", "Bidi"} {
			t.Run(kind+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				good := &request{KeyIds: []string{keyID}}
				if user, err := s.call(t, kind, s.token(t, "u1"), good, option); err != nil || user != "u1" {
					t.Errorf("a person: %q, %v", user, err)
				}
				_, err := s.call(t, kind, secret.String{}, good, option)
				if detail, _ := reason.DetailOf(err); reason.Of(err) != musterv1.Reason_REASON_UNAUTHENTICATED || detail.GetRequestId() == "" {
					t.Errorf("nobody: %v", err)
				}
				_, err = s.call(t, kind, s.token(t, "u1"), &request{KeyIds: []string{"not an id"}}, option)
				if detail, _ := reason.DetailOf(err); reason.Of(err) != musterv1.Reason_REASON_INVALID_ARGUMENT || detail.GetField() != "keyIds[0]" {
					t.Errorf("a broken rule: %v", err)
				}
				large := &request{KeyIds: make([]string, 5000)}
				for i := range large.KeyIds {
					large.KeyIds[i] = keyID + keyID + keyID + keyID + keyID + keyID + keyID
				}
				if _, err = s.call(t, kind, s.token(t, "u1"), large, option); reason.Of(err) != musterv1.Reason_REASON_BODY_TOO_LARGE {
					t.Errorf("too large: %v", err)
				}
			})
		}
	}
}

// A call under the token would be refused from then on.
func TestAStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	mux := http.NewServeMux()
	mux.Handle(stream+"Server", connect.NewServerStreamHandler(stream+"Server",
		func(ctx context.Context, _ *connect.Request[request], out *connect.ServerStream[request]) error {
			if err := out.Send(&request{KeyIds: []string{keyID}}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
		serve.Interceptors(serve.Config{Logger: slog.New(slog.DiscardHandler), Verifier: p.verifier}), connect.WithSchema(method(t))))
	s := streams{people: p, addr: start(t, serve.ServerConfig{Name: "test", Handler: mux, Logger: slog.New(slog.DiscardHandler)})}
	signed, err := p.signer.Sign(token.Claims{
		Subject: "u1", SessionID: "s1", ID: "t1", AccessVersion: 1, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(3 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	user, err := s.call(t, "Server", signed, &request{KeyIds: []string{keyID}})
	if user == "" || reason.Of(err) != musterv1.Reason_REASON_TOKEN_EXPIRED {
		t.Errorf("got %q, then %v; want TOKEN_EXPIRED", user, err)
	}
}

func TestAStreamThatFailsHalfwayEndsWithAReason(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	user, err := s.call(t, "Server", s.token(t, "u1"), &request{KeyIds: []string{keyID, keyID}})
	detail, _ := reason.DetailOf(err)
	if user != "u1" || reason.Of(err) != musterv1.Reason_REASON_INTERNAL || detail.GetRequestId() == "" {
		t.Errorf("got %q, then %v", user, err)
	}
}

func TestATokenAndAnIDGoAlongWithAStream(t *testing.T) {
	t.Parallel()
	dir := certificates(t, "gateway", "identity")
	p := newPeople(t)
	var seen context.Context
	mux := http.NewServeMux()
	mux.Handle(stream+"Server", connect.NewServerStreamHandler(stream+"Server",
		func(ctx context.Context, _ *connect.Request[request], _ *connect.ServerStream[request]) error {
			seen = ctx
			return nil
		},
		serve.Interceptors(serve.Config{Logger: slog.New(slog.DiscardHandler), Verifier: p.verifier}), connect.WithSchema(method(t))))
	addr := start(t, serve.ServerConfig{Name: "identity", Handler: mux, TLS: load(t, dir, "identity").ServerTLS(), Logger: slog.New(slog.DiscardHandler)})

	client := connect.NewClient[request, request](internal(t, dir, "gateway", "identity", addr), "https://"+addr+stream+"Server", serve.ClientInterceptors())
	ctx := telemetry.WithRequest(t.Context(), telemetry.Request{ID: "request-1", ClientAddress: "198.51.100.1"})
	ctx = access.WithPrincipal(ctx, access.Principal{UserID: "u1", Token: p.token(t, "u1")})
	in, err := client.CallServerStream(ctx, connect.NewRequest(&request{KeyIds: []string{keyID}}))
	if err != nil {
		t.Fatal(err)
	}
	for in.Receive() {
	}
	if err := errors.Join(in.Err(), in.Close()); err != nil {
		t.Fatal(err)
	}
	person, _ := access.PrincipalFrom(seen)
	if got := telemetry.RequestFrom(seen); person.UserID != "u1" || got.ID != "request-1" || got.ClientAddress != "198.51.100.1" {
		t.Errorf("the stream's server saw %q and %+v", person.UserID, got)
	}
}
