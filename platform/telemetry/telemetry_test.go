package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/muster-id/muster/platform/telemetry"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestALineSaysWhichCallItBelongsTo(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := telemetry.NewLogger(&out, slog.LevelInfo, telemetry.JSON)
	ctx, span := telemetry.NewTracerProvider("identity").Tracer("test").Start(t.Context(), "call")
	defer span.End()
	ctx = telemetry.WithService(telemetry.WithUser(telemetry.WithRequest(ctx, telemetry.Request{ID: "request-1"}), "user-1"), "identity")
	logger.InfoContext(ctx, "hello", "n", 1)
	logger.DebugContext(ctx, "not written")
	line := decode(t, out.Bytes())
	for key, want := range map[string]any{
		"msg": "hello", "request_id": "request-1", "user_id": "user-1", "service": "identity",
		"trace_id": trace.SpanContextFromContext(ctx).TraceID().String(),
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	out.Reset()
	logger.With("service", "media").InfoContext(ctx, "hello")
	if n := strings.Count(out.String(), `"service"`); n != 1 {
		t.Errorf("the service is written %d times: %s", n, out.String())
	}
}

func TestSecretsAreNotWrittenWhateverTheirType(t *testing.T) {
	t.Parallel()
	for _, format := range []telemetry.Format{telemetry.JSON, telemetry.Text} {
		var out bytes.Buffer
		logger := telemetry.NewLogger(&out, slog.LevelInfo, format)
		logger.With("accessToken", "canary").Info("hello",
			"password", "canary", "Authorization", []string{"canary"}, "set-cookie", "canary", "verifier", []byte("canary"),
			slog.Group("tokens", "access", "canary"), slog.Group("request", "refresh_token", "canary"))
		if strings.Contains(out.String(), "canary") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

func TestSensitiveFieldsOfMessagesAreNotWritten(t *testing.T) {
	t.Parallel()
	user := &musterv1.User{Id: "user-1", Username: "canary", Email: "canary", Roles: []string{"admin"}}
	user.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 4711, protowire.BytesType), "canary"))
	packed, err := anypb.New(&musterv1.LoginRequest{Login: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	file := dynamic(t)
	inList := dynamicpb.NewMessage(file)
	inList.Mutable(file.Fields().ByName("list")).List().Append(protoreflect.ValueOfMessage(user.ProtoReflect()))
	inMap := dynamicpb.NewMessage(file)
	inMap.Mutable(file.Fields().ByName("map")).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfMessage(user.ProtoReflect()))
	for _, format := range []telemetry.Format{telemetry.JSON, telemetry.Text} {
		var out bytes.Buffer
		logger := telemetry.NewLogger(&out, slog.LevelInfo, format)
		logger.With("with", user).Info("hello",
			"request", &musterv1.LoginRequest{Login: "canary", Password: "canary"},
			"nested", &musterv1.GetMeResponse{User: user},
			"list", inList, "map", inMap,
			"packed", packed, "nothing", (*musterv1.User)(nil),
			slog.Group("group", "user", user))
		if strings.Contains(out.String(), "canary") {
			t.Errorf("%s: %s", format, out.String())
		}
		if n := strings.Count(out.String(), "user-1"); n != 5 {
			t.Errorf("%s: what is not sensitive is there %d times: %s", format, n, out.String())
		}
	}
	if user.GetUsername() != "canary" {
		t.Error("the message itself was changed")
	}
}

// dynamic is a message with users in a list and in a map.
func dynamic(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	field := func(name string, number int32, of string) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(number), TypeName: proto.String(of),
			Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(),
		}
	}
	key := &descriptorpb.FieldDescriptorProto{
		Name: proto.String("key"), Number: proto.Int32(1),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
	}
	value := field("value", 2, ".muster.v1.User")
	value.Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		Dependency: []string{"muster/v1/user.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name:  proto.String("Users"),
			Field: []*descriptorpb.FieldDescriptorProto{field("list", 1, ".muster.v1.User"), field("map", 2, ".test.Users.MapEntry")},
			NestedType: []*descriptorpb.DescriptorProto{{
				Name: proto.String("MapEntry"), Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
				Field: []*descriptorpb.FieldDescriptorProto{key, value},
			}},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

func TestALogFormatThatDoesNotExistIsRefused(t *testing.T) {
	t.Parallel()
	var format telemetry.Format
	if err := format.UnmarshalText([]byte("xml")); err == nil {
		t.Error("accepted")
	}
}

// serve sends one request through the middleware and gives what the handler saw.
func serve(t *testing.T, config telemetry.MiddlewareConfig, prepare func(*http.Request)) (telemetry.Request, context.Context, http.Header) {
	t.Helper()
	config.Service = "gateway"
	config.Tracers = telemetry.NewTracerProvider("gateway")
	if config.Internal == nil {
		config.Internal = func(*http.Request) bool { return false }
	}
	var seen context.Context
	handler := telemetry.Middleware(config, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Context() }))
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	prepare(request)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return telemetry.RequestFrom(seen), seen, recorder.Header()
}

func TestARequestIDIsTakenFromServicesAlone(t *testing.T) {
	t.Parallel()
	for given, harmless := range map[string]bool{
		"0192f0a1-0000-7000-8000-000000000000": true,
		"abcDEF_12":                            true,
		"":                                     false,
		"short":                                false,
		strings.Repeat("a", 65):                false,
		"line\nbreak12345":                     false,
		`"quoted-12345"`:                       false,
	} {
		for _, internal := range []bool{true, false} {
			request, seen, header := serve(t, telemetry.MiddlewareConfig{Internal: func(*http.Request) bool { return internal }},
				func(r *http.Request) { r.Header[telemetry.RequestIDHeader] = []string{given} })
			taken := harmless && internal
			if (request.ID == given) != taken {
				t.Errorf("%q became %q, internal: %t", given, request.ID, internal)
			}
			if header.Get(telemetry.RequestIDHeader) != request.ID {
				t.Errorf("the answer names %q, the handler saw %q", header.Get(telemetry.RequestIDHeader), request.ID)
			}
			if id, err := uuid.Parse(request.ID); !taken && (err != nil || id.Version() != 7) {
				t.Errorf("%q is not a UUIDv7", request.ID)
			}
			var out bytes.Buffer
			telemetry.NewLogger(&out, slog.LevelInfo, telemetry.JSON).InfoContext(seen, "hello")
			if logged, ok := decode(t, out.Bytes())["client_request_id"]; ok != (harmless && !internal) || ok && logged != given {
				t.Errorf("%q is logged as the client's %v, internal: %t", given, logged, internal)
			}
		}
	}
}

func TestTheClientsAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for name, test := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                                  {"203.0.113.9:1", nil, "203.0.113.9"},
		"a stranger cannot claim another":           {"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		"behind a proxy":                            {"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"behind two proxies":                        {"10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"hearsay before the proxy's own entry":      {"10.0.0.1:1", []string{"192.0.2.66, 198.51.100.1"}, "198.51.100.1"},
		"hearsay in a header of its own":            {"10.0.0.1:1", []string{"192.0.2.66", "198.51.100.1"}, "198.51.100.1"},
		"nonsense behind a proxy":                   {"10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		"a proxy that says nothing":                 {"10.0.0.1:1", nil, "10.0.0.1"},
		"an IPv4 address written as an IPv6 one":    {"[::ffff:203.0.113.9]:1", nil, "203.0.113.9"},
		"a trusted proxy on IPv6":                   {"[::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		"a listener without addresses, like a pipe": {"@", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, _, _ := serve(t, telemetry.MiddlewareConfig{TrustedProxies: trusted}, func(r *http.Request) {
				r.RemoteAddr = test.peer
				r.Header["X-Forwarded-For"] = test.forwarded
			})
			if request.ClientAddress != test.want {
				t.Errorf("got %q, want %q", request.ClientAddress, test.want)
			}
		})
	}
}

func TestAUserAgentIsPrintableAndShort(t *testing.T) {
	t.Parallel()
	request, _, _ := serve(t, telemetry.MiddlewareConfig{}, func(r *http.Request) {
		r.Header.Set("User-Agent", "curl\x1b[31m\r\n\u202e/8\xff "+strings.Repeat("é", 300))
	})
	if !strings.HasPrefix(request.UserAgent, "curl[31m/8 é") {
		t.Errorf("got %q", request.UserAgent)
	}
	if len(request.UserAgent) > 256 || !strings.HasSuffix(request.UserAgent, "é") {
		t.Errorf("cut to %d bytes: %q", len(request.UserAgent), request.UserAgent)
	}
}

func TestServicesAreBelievedAndStrangersAreNot(t *testing.T) {
	t.Parallel()
	ctx, span := telemetry.NewTracerProvider("gateway").Tracer("test").Start(t.Context(), "call")
	defer span.End()
	ctx = telemetry.WithRequest(ctx, telemetry.Request{ID: "request-1", ClientAddress: "198.51.100.1", UserAgent: "curl/8"})
	prepare := func(r *http.Request) {
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("User-Agent", "grpc-go-connect")
		telemetry.Outgoing(ctx, r.Header)
	}

	request, seen, _ := serve(t, telemetry.MiddlewareConfig{Internal: func(*http.Request) bool { return true }}, prepare)
	if want := (telemetry.Request{ID: "request-1", ClientAddress: "198.51.100.1", UserAgent: "curl/8"}); request != want {
		t.Errorf("from a service: got %+v, want %+v", request, want)
	}
	if trace.SpanContextFromContext(seen).TraceID() != span.SpanContext().TraceID() {
		t.Error("a service's trace does not go on")
	}

	request, seen, _ = serve(t, telemetry.MiddlewareConfig{}, prepare)
	if request.ClientAddress != "127.0.0.1" || request.UserAgent != "grpc-go-connect" {
		t.Errorf("from a stranger: got %+v", request)
	}
	if got := trace.SpanContextFromContext(seen); got.TraceID() == span.SpanContext().TraceID() || !got.IsValid() {
		t.Error("a stranger chooses the trace")
	}
}

func TestTraceParent(t *testing.T) {
	t.Parallel()
	if got := telemetry.TraceParent(t.Context()); got != "" {
		t.Errorf("without a trace: %q", got)
	}
	ctx, span := telemetry.NewTracerProvider("identity").Tracer("test").Start(t.Context(), "call")
	defer span.End()
	id := span.SpanContext()
	if got, want := telemetry.TraceParent(ctx), "00-"+id.TraceID().String()+"-"+id.SpanID().String()+"-00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func decode(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return fields
}
