package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/platform/telemetry/tracetest"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// traced is a system whose spans come to the test, with everything in its logs.
func traced(t *testing.T) (*world, *tracetest.Collector) {
	t.Helper()
	collector := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	var environ []string
	for _, service := range []string{"GATEWAY", "IDENTITY", "CREDENTIALS", "MEDIA"} {
		environ = append(environ, "MUSTER_"+service+"_LOG_LEVEL=DEBUG")
	}
	return start(t, environ...), collector
}

// traceOf waits for the trace of the call that was answered, until it has spans
// of these services and names, and gives it.
func traceOf(t *testing.T, collector *tracetest.Collector, answered answer, names ...string) []tracetest.Span {
	t.Helper()
	request := answered.header.Get("X-Request-Id")
	var trace []tracetest.Span
	collector.Await(t, "the trace of "+request, func(spans []tracetest.Span) bool {
		root := slices.IndexFunc(spans, func(span tracetest.Span) bool {
			return span.Parent == "" && span.Attributes["muster.request_id"] == request
		})
		if root < 0 {
			return false
		}
		trace = slices.DeleteFunc(slices.Clone(spans), func(span tracetest.Span) bool { return span.TraceID != spans[root].TraceID })
		return !slices.ContainsFunc(names, func(name string) bool {
			return !slices.ContainsFunc(trace, func(span tracetest.Span) bool { return span.Service+" "+span.Name == name })
		})
	})
	return trace
}

// One registration is one trace: from the gateway's call to the rows that it
// led to, over the broker, and an avatar's is another. What a browser says of a
// trace of its own is linked to, and no span names a person.
func TestACallIsOneTraceUpToTheProjections(t *testing.T) {
	s, collector := traced(t)
	ada := somebody("ada-traced")
	const browsers = "0af7651916cd43dd8448eb211c80319c"
	registered := s.call(t, "AuthService/Register", ada, header{"traceparent", "00-" + browsers + "-b7ad6b7169203331-01"}).ok(t)
	trace := traceOf(t, collector, registered,
		"gateway muster.v1.AuthService/Register",
		"gateway muster.identity.v1.IdentityService/RegisterUser",
		"identity muster.identity.v1.IdentityService/RegisterUser",
		"identity append identity",
		"identity publish identity",
		"credentials apply access",
		"identity apply users",
	)
	root := trace[slices.IndexFunc(trace, func(span tracetest.Span) bool { return span.Parent == "" })]
	if root.Name != "muster.v1.AuthService/Register" || root.TraceID == browsers || !slices.Equal(root.Links, []string{browsers}) {
		t.Errorf("the root is %+v", root)
	}
	ids := make(map[string]bool, len(trace))
	for _, span := range trace {
		ids[span.ID] = true
	}
	for _, span := range trace {
		if span.Parent != "" && !ids[span.Parent] {
			t.Errorf("%s of %s hangs on a span that nobody made", span.Name, span.Service)
		}
	}

	ada2 := s.signsIn(t, ada)
	picture := s.putAvatar(t, photograph(t, 400, 300, "an afternoon"), ada2.token).ok(t)
	traceOf(t, collector, picture,
		"media muster.media.v1.MediaService/SetAvatar",
		"media append media",
		"media publish media",
		"identity apply avatars",
	)
	refused := s.call(t, "UserService/GetMe", map[string]any{}).refused(t, musterv1.Reason_REASON_UNAUTHENTICATED, "")
	if span := traceOf(t, collector, refused)[0]; span.Failed || span.Attributes["muster.reason"] != "UNAUTHENTICATED" {
		t.Errorf("what the caller did wrong is no fault of ours, and has a reason: %+v", span)
	}

	s.shutDown() // flushes spans and logs
	for _, span := range collector.Spans() {
		text, err := json.Marshal(span)
		if err != nil {
			t.Fatal(err)
		}
		for _, personal := range []string{ada.Username, "example.org", ada.FirstName, ada.LastName, ada2.id, "127.0.0.1"} {
			if strings.Contains(string(text), personal) {
				t.Errorf("a span shows %q: %s", personal, text)
			}
		}
		for _, poll := range []string{"EventLogService", "grpc.health", "StatusService"} {
			if strings.Contains(span.Name, poll) {
				t.Errorf("what the services ask by themselves is traced: %s of %s", span.Name, span.Service)
			}
		}
	}
	everyLineNamesItsCall(t, s, root.TraceID, registered.header.Get("X-Request-Id"))
}

// everyLineNamesItsCall reads the logs: each line has its service, each line of
// a call its request and trace, and the call that was traced is found by either.
func everyLineNamesItsCall(t *testing.T, s *world, trace, request string) {
	t.Helper()
	for service, traced := range map[string]bool{"gateway": true, "identity": true, "credentials": true, "media": false} {
		text, err := os.ReadFile(filepath.Join(s.dir, "log", service+".log"))
		if err != nil {
			t.Fatal(err)
		}
		calls, found := 0, false
		for line := range strings.Lines(string(text)) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%s: %v: %s", service, err, line)
			}
			if fields["service"] != service {
				t.Errorf("a line of %s names %v: %s", service, fields["service"], line)
			}
			if fields["call"] == nil {
				continue
			}
			calls++
			if fields["request_id"] == nil || fields["trace_id"] == nil {
				t.Errorf("a call's line names no call: %s", line)
			}
			found = found || fields["trace_id"] == trace && fields["request_id"] == request
		}
		if calls == 0 || found != traced {
			t.Errorf("%s logged %d calls, the traced one among them: %t, want %t", service, calls, found, traced)
		}
	}
}

// documented are the names in the table of docs/observability.md.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "observability.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.Contains(cells[1], "`muster_") {
			for _, name := range strings.Split(cells[1], ",") {
				names = append(names, strings.Trim(name, " `"))
			}
		}
	}
	return names
}

// Every service shows its metrics, all of them documented, and no label shows a
// person.
func TestMetricsOfARunningSystem(t *testing.T) {
	s := shared(t)
	ada := s.joins(t, "ada-measured")
	s.putAvatar(t, photograph(t, 300, 300, "a morning"), ada.token).ok(t)
	s.call(t, "UserService/GetMe", map[string]any{}).refused(t, musterv1.Reason_REASON_UNAUTHENTICATED, "")
	// What a newer program has written is told, and stops nothing.
	const newer = "muster.identity.events.v1.FromANewerProgram"
	s.writes(t).appends(t, []eventstore.Event{{
		ID: uuid.Must(uuid.NewV7()), Stream: "newer-" + ada.id, Version: 1, Type: newer, SchemaVersion: 1, OccurredAt: time.Now().UTC(), Payload: []byte("{}"),
	}})
	eventually(t, time.Minute, "the newer event is told", func() bool {
		return strings.Contains(s.get(t, "http://"+s.Metrics["credentials"]+"/metrics").raw, newer)
	})
	s.joins(t, "ada-after-the-newer")

	of := map[string][]string{
		"gateway": {
			`muster_calls_total{code="ok",procedure="muster.v1.AuthService/Register"}`,
			`muster_calls_total{code="unauthenticated",procedure="muster.v1.UserService/GetMe"}`,
			`muster_call_seconds_bucket{procedure="muster.v1.AuthService/Login",le="0.1"}`,
			`muster_calls_in_flight`,
			`muster_dependency_up{dependency="identity"}`,
			`go_goroutines`,
		},
		"identity": {
			`muster_calls_total{code="ok",procedure="muster.identity.v1.IdentityService/RegisterUser"}`,
			`muster_log_appended_total{log="identity"}`,
			`muster_log_conflicts_total{log="identity"}`,
			`muster_forwarder_leading{log="identity"} 1`,
			`muster_forwarder_forwarded_total{log="identity"}`,
			`muster_forwarder_lag_seconds{log="identity"}`,
			`muster_forwarder_pending_events{log="identity"}`,
			`muster_projection_applied_total{projection="users"}`,
			`muster_projection_lag_seconds{projection="avatars"}`,
			`muster_broker_connected{for="publish"}`,
			`muster_database_connections_in_use{database="identity"}`,
			`muster_database_waits_total{database="keyring"}`,
			`muster_password_hashes_total`,
			`muster_password_queued`,
			`muster_erasures_total`,
		},
		"credentials": {
			`muster_projection_applied_total{projection="access"}`,
			`muster_projection_batches_total{projection="access"}`,
			`muster_projection_failing{projection="access"} 0`,
			`muster_projection_generation{projection="access"}`,
			`muster_projection_unknown_events_total{projection="access",type="` + newer + `"}`,
			`muster_projection_held_up_seconds{projection="access"}`,
			`muster_password_hash_seconds_total`,
			`muster_password_refused_total 0`,
			`muster_password_running`,
			`muster_dependency_up{dependency="postgres"} 1`,
		},
		"media": {
			`muster_log_appended_total{log="media"}`,
			`muster_forwarder_leading{log="media"} 1`,
			`muster_projection_live{projection="files"}`,
			`muster_pictures_made_total`,
			`muster_dependency_up{dependency="s3"}`,
		},
	}
	table, seen := documented(t), make(map[string]bool)
	for service, names := range of {
		shown := s.get(t, "http://"+s.Metrics[service]+"/metrics")
		if shown.status != http.StatusOK {
			t.Fatalf("%s: %d %s", service, shown.status, shown.raw)
		}
		lines := strings.Split(shown.raw, "\n")
		for _, name := range names {
			if !slices.ContainsFunc(lines, func(line string) bool { return line == name || strings.HasPrefix(line, name+" ") }) {
				t.Errorf("%s does not show %s", service, name)
			}
		}
		for _, line := range lines {
			if help, ok := strings.CutPrefix(line, "# HELP muster_"); ok {
				name, _, _ := strings.Cut(help, " ")
				seen["muster_"+name] = true
			}
			if strings.HasPrefix(line, "#") {
				continue // helps are ours
			}
			for _, personal := range []string{"ada-measured", "example.org", ada.id, "127.0.0.1", "user-"} {
				if strings.Contains(line, personal) {
					t.Errorf("%s shows %q: %s", service, personal, line)
				}
			}
		}
	}
	for name := range seen {
		if !slices.Contains(table, name) {
			t.Errorf("docs/observability.md does not know %s", name)
		}
	}
	for _, name := range table {
		if !seen[name] {
			t.Errorf("docs/observability.md knows %s, which no service shows", name)
		}
	}
}
