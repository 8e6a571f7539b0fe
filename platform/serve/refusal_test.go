package serve_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// refusing serves AuthService, none of whose methods exist, and some plain handlers.
func refusing(t *testing.T) (addr string, written *logs) {
	t.Helper()
	written = &logs{}
	logger := telemetry.NewLogger(written, slog.LevelInfo, telemetry.JSON)
	mux := http.NewServeMux()
	mux.Handle(musterv1connect.NewAuthServiceHandler(musterv1connect.UnimplementedAuthServiceHandler{}, serve.Interceptors(serve.Config{Logger: logger})))
	mux.HandleFunc("GET /own", func(w http.ResponseWriter, r *http.Request) {
		serve.WriteError(w, r, reason.New(musterv1.Reason_REASON_NOT_FOUND))
	})
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<h1>Not here</h1>")
	})
	mux.HandleFunc("GET /busy", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "busy", http.StatusServiceUnavailable)
	})
	for path, size := range map[string]int{"GET /json": 10, "GET /large": 20 << 10} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			for range size {
				_, _ = io.WriteString(w, "[]")
			}
		})
	}
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("canary") })
	mux.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic("canary")
	})
	return start(t, serve.ServerConfig{Name: "gateway", Handler: mux, Logger: logger}), written
}

const register = "/muster.v1.AuthService/Register"

func TestEveryRefusalHasAReason(t *testing.T) {
	t.Parallel()
	addr, written := refusing(t)
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = zip.Write(bytes.Repeat([]byte(" "), 2<<20))
	_ = zip.Close()
	good := `{"username":"ada","email":"ada@example.org","password":"long enough"}`

	for name, test := range map[string]struct {
		method, path, body string
		header             map[string]string
		status             int
		reason, field      string
		message            string
	}{
		"no such path":            {http.MethodPost, "/nothing", "{}", nil, 404, "UNIMPLEMENTED", "", "There is no such method"},
		"no such path, GET":       {http.MethodGet, "/nothing", "", nil, 404, "UNIMPLEMENTED", "", "There is no such method"},
		"no such procedure":       {http.MethodPost, "/muster.v1.AuthService/Nothing", "{}", nil, 404, "UNIMPLEMENTED", "", "There is no such method"},
		"a method without a body": {http.MethodPost, register, good, nil, 501, "UNIMPLEMENTED", "", "There is no such method"},
		"GET":                     {http.MethodGet, register, "", nil, 405, "UNIMPLEMENTED", "", "This path takes another HTTP method: POST"},
		"no content type":         {http.MethodPost, register, "{}", map[string]string{"Content-Type": ""}, 415, "INVALID_ARGUMENT", "", "Send the body as JSON with the header Content-Type: application/json"},
		"a form":                  {http.MethodPost, register, "a=b", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 415, "INVALID_ARGUMENT", "", "Send the body as JSON with the header Content-Type: application/json"},
		"not JSON":                {http.MethodPost, register, `{canary`, nil, 400, "INVALID_ARGUMENT", "", "The request cannot be read: its body, encoding or time-out header is malformed"},
		"no body":                 {http.MethodPost, register, ``, nil, 400, "INVALID_ARGUMENT", "", "The request cannot be read: its body, encoding or time-out header is malformed"},
		"an unknown field passes": {http.MethodPost, register, strings.Replace(good, "{", `{"later":1,`, 1), nil, 501, "UNIMPLEMENTED", "", "There is no such method"},
		"a value of wrong type":   {http.MethodPost, register, `{"firstName":{"canary":1}}`, nil, 400, "INVALID_ARGUMENT", "firstName", "firstName has a value of the wrong type"},
		"a broken rule":           {http.MethodPost, register, `{"username":"ada","email":"ada@example.org","password":"canary"}`, nil, 400, "INVALID_ARGUMENT", "password", "password must be at least 8 characters"},
		"too large":               {http.MethodPost, register, `{"username":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "BODY_TOO_LARGE", "", "The request is larger than the server accepts"},
		"too large when unpacked": {http.MethodPost, register, bomb.String(), map[string]string{"Content-Encoding": "gzip"}, 413, "BODY_TOO_LARGE", "", "The request is larger than the server accepts"},
		"an unknown encoding":     {http.MethodPost, register, "{}", map[string]string{"Content-Encoding": "canary"}, 400, "INVALID_ARGUMENT", "", "The request cannot be read: its body, encoding or time-out header is malformed"},
		"a malformed time-out":    {http.MethodPost, register, "{}", map[string]string{"Connect-Timeout-Ms": "canary"}, 400, "INVALID_ARGUMENT", "", "The request cannot be read: its body, encoding or time-out header is malformed"},
		"a time-out of nothing":   {http.MethodPost, register, good, map[string]string{"Connect-Timeout-Ms": "0"}, 504, "DEADLINE_EXCEEDED", "", "The call took too long"},
		"a plain handler's own":   {http.MethodGet, "/own", "", nil, 404, "NOT_FOUND", "", "There is no such thing"},
		"a plain handler's panic": {http.MethodGet, "/panic", "", nil, 500, "INTERNAL", "", "Something went wrong on our side"},
	} {
		for _, h2c := range []bool{false, true} {
			t.Run(name+map[bool]string{false: " over HTTP/1.1", true: " over HTTP/2"}[h2c], func(t *testing.T) {
				t.Parallel()
				request, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+addr+test.path, strings.NewReader(test.body))
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Content-Type", "application/json")
				for name, value := range test.header {
					request.Header.Set(name, value)
				}
				response, err := plain(t, h2c).Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close() //nolint:errcheck // of a test
				text, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				var answer struct {
					Code    connect.Code
					Message string
					Details []struct{ Type, Value string }
				}
				if err := json.Unmarshal(text, &answer); err != nil || len(answer.Details) != 1 {
					t.Fatalf("%d %s: %v", response.StatusCode, text, err)
				}
				packed, err := base64.RawStdEncoding.DecodeString(answer.Details[0].Value)
				if err != nil {
					t.Fatal(err)
				}
				var detail musterv1.ErrorDetail
				if err := proto.Unmarshal(packed, &detail); err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != test.status || detail.GetReason() != test.reason || detail.GetField() != test.field || answer.Message != test.message {
					t.Errorf("got %d %s %q: %s", response.StatusCode, detail.GetReason(), detail.GetField(), answer.Message)
				}
				if id := response.Header.Get("X-Request-Id"); id == "" || detail.GetRequestId() != id {
					t.Errorf("the detail names request %q, the header %q", detail.GetRequestId(), id)
				}
				if detail.GetNext() == "" || strings.Contains(string(text), "canary") {
					t.Errorf("answered %s", text)
				}
			})
		}
	}
	t.Cleanup(func() {
		for line := range strings.Lines(written.String()) {
			if strings.Contains(line, "canary") && !strings.Contains(line, "panic") {
				t.Errorf("logged %s", line)
			}
		}
	})
}

func TestARefusalOverGRPCHasAReasonToo(t *testing.T) {
	t.Parallel()
	addr, _ := refusing(t)
	call := func(protocol connect.ClientOption, procedure string, request *musterv1.RegisterRequest) error {
		client := connect.NewClient[musterv1.RegisterRequest, musterv1.RegisterResponse](plain(t, true), "http://"+addr+procedure, protocol)
		_, err := client.CallUnary(t.Context(), connect.NewRequest(request))
		return err
	}
	for name, test := range map[string]struct {
		procedure string
		request   *musterv1.RegisterRequest
		want      musterv1.Reason
	}{
		"no such procedure": {"/muster.v1.AuthService/Nothing", &musterv1.RegisterRequest{}, musterv1.Reason_REASON_UNIMPLEMENTED},
		"too large":         {register, &musterv1.RegisterRequest{Password: strings.Repeat("x", 2<<20)}, musterv1.Reason_REASON_BODY_TOO_LARGE},
		"a broken rule":     {register, &musterv1.RegisterRequest{}, musterv1.Reason_REASON_INVALID_ARGUMENT},
	} {
		for protocol, option := range map[string]connect.ClientOption{"gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb()} {
			err := call(option, test.procedure, test.request)
			detail, _ := reason.DetailOf(err)
			if reason.Of(err) != test.want || detail.GetRequestId() == "" {
				t.Errorf("%s over %s: got %v with %v", name, protocol, err, detail)
			}
		}
	}
}

// What breaks the protocol is the caller's fault, and is told without Connect's
// own words.
func TestABrokenFrameIsTheCallersFault(t *testing.T) {
	t.Parallel()
	addr, _ := refusing(t)
	for name, body := range map[string]string{
		"no frame":          "",
		"half a prefix":     "x",
		"half a frame":      "\x00\x00\x00\x00\x0d" + "canary",
		"no protobuf":       "\x00\x00\x00\x00\x03\xff\xff\xff",
		"packed by nothing": "\x01\x00\x00\x00\x03\xff\xff\xff",
	} {
		for _, contentType := range []string{"application/grpc", "application/grpc-web+proto"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+register, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", contentType)
			response, err := plain(t, true).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body) // trailers come after it
			response.Body.Close()
			said := func(name string) string { return response.Header.Get(name) + response.Trailer.Get(name) }
			if said("Grpc-Status") != "3" || !strings.HasPrefix(said("Grpc-Message"), "The request cannot be read") {
				t.Errorf("%s as %s: status %q, message %q", name, contentType, said("Grpc-Status"), said("Grpc-Message"))
			}
		}
	}
}

func TestAPlainHandlersOwnAnswersAreLeftAlone(t *testing.T) {
	t.Parallel()
	addr, _ := refusing(t)
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/page":  {http.StatusNotFound, "<h1>Not here</h1>"},
		"/busy":  {http.StatusServiceUnavailable, "busy\n"},
		"/json":  {http.StatusServiceUnavailable, strings.Repeat("[]", 10)},
		"/large": {http.StatusServiceUnavailable, strings.Repeat("[]", 20<<10)},
	} {
		if status, text := get(t, "http://"+addr+path); status != want.status || text != want.text {
			t.Errorf("%s: got %d %.100s", path, status, text)
		}
	}
}

func TestHalfAnAnswerIsNotTakenForAWholeOne(t *testing.T) {
	t.Parallel()
	addr, written := refusing(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/half", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := plain(t, false).Do(request)
	if err == nil {
		defer response.Body.Close() //nolint:errcheck // of a test
		_, err = io.ReadAll(response.Body)
	}
	if err == nil {
		t.Error("the client saw a whole answer")
	}
	if !strings.Contains(written.String(), "panic: canary") {
		t.Error("the panic is not logged")
	}
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	addr, _ := refusing(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/page", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Large", strings.Repeat("x", 128<<10))
	response, err := plain(t, false).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // of a test
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", response.StatusCode)
	}
}

func get(t *testing.T, address string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := plain(t, false).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // of a test
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
