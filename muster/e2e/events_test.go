package e2e_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"html"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// personal tells whether an answer has anything of whom somebody makes.
func personal(raw, name string) bool {
	return strings.Contains(raw, name) || strings.Contains(raw, "127.0.0.1")
}

// field of an event in an answer.
func field(event any, name string) string {
	fields, _ := event.(map[string]any)
	text, _ := fields[name].(string)
	return text
}

// An auditor sees what happened, in all logs, and nothing that is personal; an admin
// who asks for that sees it, and the log has it that they did. A verifier is shown
// to nobody.
func TestWhoMaySeeEventsAndWhatOfThem(t *testing.T) {
	s := shared(t)
	admin, auditor, ada := s.admin(t), s.made(t, "auditor-of-events", "auditor"), s.joins(t, "ada-in-events")
	s.putAvatar(t, photograph(t, 50, 50, ""), ada.token).ok(t)
	of := map[string]any{"stream": "user-" + ada.id}

	s.call(t, "EventService/ListEvents", of, ada.token).refused(t, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	seen := s.call(t, "EventService/ListEvents", of, auditor.token).ok(t)
	if events := seen.list("events"); len(events) < 2 || personal(seen.raw, ada.Username) || field(events[len(events)-1], "actor") != "user-"+ada.id || field(events[len(events)-1], "requestId") == "" {
		t.Errorf("an auditor sees %s", seen.raw)
	}
	uploads := s.call(t, "EventService/ListEvents", map[string]any{"log": "media", "actor": "user-" + ada.id}, auditor.token).ok(t)
	if events := uploads.list("events"); len(events) == 0 || field(events[0], "log") != "media" {
		t.Errorf("of media comes %s", uploads.raw)
	}
	sensitive := map[string]any{"stream": "user-" + ada.id, "sensitive": true}
	refused := s.call(t, "EventService/ListEvents", sensitive, auditor.token).refused(t, musterv1.Reason_REASON_PERMISSION_DENIED, "sensitive")
	if !strings.Contains(refused.raw, "events.read_sensitive") {
		t.Errorf("the refusal does not name the permission: %s", refused.raw)
	}

	records := func() []any {
		return s.call(t, "EventService/ListEvents", map[string]any{"types": []string{"EventsDisclosed"}, "actor": "user-" + admin.id}, auditor.token).ok(t).list("events")
	}
	before := len(records())
	shown := s.call(t, "EventService/ListEvents", sensitive, admin.token).ok(t)
	if !strings.Contains(shown.raw, `"username":"`+ada.Username+`"`) || !strings.Contains(shown.raw, `"address":"127.0.0.1"`) {
		t.Errorf("an admin sees %s", shown.raw)
	}
	if strings.Contains(shown.raw, "argon2") || !strings.Contains(shown.raw, `"withheld":["verifier"`) {
		t.Errorf("of the verifier is shown: %s", shown.raw)
	}
	after := records()
	if len(after) != before+1 {
		t.Fatalf("%d records, then %d", before, len(after))
	}
	what, _ := after[0].(map[string]any)["data"].(map[string]any)
	if what["stream"] != "user-"+ada.id || field(after[0], "requestId") != shown.header.Get("X-Request-Id") {
		t.Errorf("recorded: %v", after[0])
	}

	s.says(t, "events", "list", "--stream", "user-"+ada.id).is(t, 0, "identity  user-"+ada.id+"@1  UserRegistered  by user-"+ada.id, "(sealed: ")
	if told := s.says(t, "events", "stream", "user-"+ada.id, "--sensitive"); !strings.Contains(told.text, ada.Email) || !strings.Contains(told.text, "from 127.0.0.1") {
		t.Errorf("the operator sees\n%s", told.text)
	}
}

// Whoever watches all logs sees what comes, and goes on from a cursor with nothing
// left out and nothing twice, through the gateway and with the command line.
func TestEventsAreWatchedAndGoneOnWith(t *testing.T) {
	s := shared(t)
	auditor := s.made(t, "auditor-who-watches", "auditor")
	client := musterv1connect.NewEventServiceClient(h2c(t), s.url, connect.WithGRPC())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	watch := func(cursor string) *connect.ServerStreamForClient[musterv1.WatchEventsResponse] {
		request := connect.NewRequest(&musterv1.WatchEventsRequest{Cursor: cursor})
		request.Header().Set(auditor.token.name, auditor.token.value)
		stream, err := client.WatchEvents(ctx, request)
		if err != nil || !stream.Receive() {
			t.Fatal(err, stream.Err())
		}
		return stream
	}
	// through gives the events of an actor up to one of a type, in their order.
	through := func(stream *connect.ServerStreamForClient[musterv1.WatchEventsResponse], actor, last string) (types []string, cursor string) {
		for {
			for _, event := range stream.Msg().GetEvents() {
				if event.GetActor() == actor {
					types = append(types, event.GetType()[strings.LastIndexByte(event.GetType(), '.')+1:])
				}
			}
			cursor = stream.Msg().GetCursor()
			if len(types) > 0 && types[len(types)-1] == last {
				return types, cursor
			}
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}
		}
	}
	first := watch("")
	begin := first.Msg().GetCursor()
	ada := s.joins(t, "ada-who-is-watched")
	s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Augusta"}, ada.token).ok(t)
	types, cursor := through(first, "user-"+ada.id, "ProfileUpdated")
	if strings.Join(types, " ") != "UserRegistered PasswordSet ProfileUpdated" {
		t.Errorf("watched %v", types)
	}
	again, _ := through(watch(begin), "user-"+ada.id, "ProfileUpdated")
	if strings.Join(again, " ") != strings.Join(types, " ") {
		t.Errorf("from the beginning on %v", again)
	}
	s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Ada"}, ada.token).ok(t)
	if on, _ := through(watch(cursor), "user-"+ada.id, "ProfileUpdated"); len(on) != 1 {
		t.Errorf("from the cursor on %v", on)
	}

	tail := s.muster(t, "events", "tail", "--stream", "user-"+ada.id, "--last", "1", "--json")
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tail.Process.Kill(); _ = tail.Wait() }()
	lines := json.NewDecoder(out)
	for _, version := range []string{"4", "5"} {
		var event map[string]any
		if err := lines.Decode(&event); err != nil || event["version"] != version {
			t.Fatalf("the tail shows %v, %v; want version %s", event, err, version)
		}
		if version == "4" {
			s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Countess"}, ada.token).ok(t)
		}
	}
}

// The documentation's curl of a stream works as it stands there.
func TestTheDocumentedCurlWatchesEvents(t *testing.T) {
	s := shared(t)
	page := s.get(t, s.url+"/docs").ok(t).raw
	_, after, _ := strings.Cut(page, "<pre tabindex=\"0\" data-copy><code>printf ")
	call, _, found := strings.Cut(after, "</code>")
	if !found {
		t.Fatal("the page has no call of a stream")
	}
	call = html.UnescapeString(regexp.MustCompile("<[^>]*>").ReplaceAllString("printf "+call, ""))
	auditor := s.made(t, "auditor-with-curl", "auditor")
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(call, "http://127.0.0.1:8080", s.url)+" -s")
	shell.Env = append(os.Environ(), "TOKEN="+strings.TrimPrefix(auditor.token.value, "Bearer "))
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.WaitDelay = time.Second
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) // curl too
		_ = shell.Wait()
	}()
	frame := make([]byte, 5)
	if _, err := io.ReadFull(out, frame); err != nil || frame[0] != 0 {
		t.Fatalf("%v, %v", frame, err)
	}
	answer := make([]byte, binary.BigEndian.Uint32(frame[1:]))
	if _, err := io.ReadFull(out, answer); err != nil || !strings.Contains(string(answer), `"cursor":"`) {
		t.Errorf("%s, %v", answer, err)
	}
}

// An account is shown as it stood at a time, to who finds it by its name; once the
// person is erased, there is nothing personal of any time.
func TestAnAccountIsShownAsItStoodAtATime(t *testing.T) {
	s := shared(t)
	admin, ada := s.admin(t), s.joins(t, "ada-of-history")
	named := map[string]any{"loginName": ada.Email, "sensitive": true}
	history := func(more map[string]any) answer {
		asked := map[string]any{"userId": ada.id, "sensitive": true}
		for name, value := range more {
			asked[name] = value
		}
		return s.call(t, "EventService/GetUserHistory", asked, admin.token)
	}
	begun := s.call(t, "EventService/GetUserHistory", named, admin.token).ok(t)
	first := begun.list("events")
	if len(first) != 2 {
		t.Fatalf("it begins with %s", begun.raw)
	}
	then := field(first[1], "occurredAt")
	s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Augusta"}, ada.token).ok(t)
	nameOf := func(a answer) string {
		account, _ := a.body["account"].(map[string]any)
		name, _ := account["firstName"].(string)
		return name
	}
	if now, was := history(nil).ok(t), history(map[string]any{"at": then}).ok(t); nameOf(now) != "Augusta" || len(now.list("events")) != 3 || nameOf(was) != ada.FirstName || len(was.list("events")) != 2 {
		t.Errorf("now %s, then %s", now.raw, was.raw)
	}
	at, err := time.Parse(time.RFC3339Nano, field(first[0], "occurredAt"))
	if err != nil {
		t.Fatal(err)
	}
	history(map[string]any{"at": at.Add(-time.Millisecond).Format(time.RFC3339Nano)}).refused(t, musterv1.Reason_REASON_NOT_FOUND, "at")
	s.says(t, "events", "user", ada.Username, "--at", then, "--sensitive").is(t, 0, "name         "+ada.FirstName, "UserRegistered")

	s.call(t, "AdminService/DeleteUser", map[string]any{"userId": ada.id}, admin.token).ok(t)
	gone := history(map[string]any{"at": then}).ok(t)
	if !gone.bool("erased") || personal(gone.raw, ada.Username) || personal(gone.raw, ada.FirstName) {
		t.Errorf("of who is erased is shown %s", gone.raw)
	}
	s.call(t, "EventService/GetUserHistory", named, admin.token).refused(t, musterv1.Reason_REASON_NOT_FOUND, "loginName")
	s.says(t, "events", "user", ada.id, "--sensitive").is(t, 0, "the person has been erased", "(erased: ")
	s.says(t, "events", "user", ada.Username).is(t, 1, "Who was erased has no name any more")
}
