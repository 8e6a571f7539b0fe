package cli

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/muster/internal/operator/operatortest"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// recorded is an event with all that a line has.
func recorded(t *testing.T, version int64) *musterv1.RecordedEvent {
	t.Helper()
	data, err := structpb.NewStruct(map[string]any{"roles": []any{"auditor"}, "note": "a\x1b[2Jb"})
	if err != nil {
		t.Fatal(err)
	}
	return &musterv1.RecordedEvent{
		Id: "e1", Stream: "user-1", Version: version, Type: "muster.identity.events.v1.RolesChanged",
		OccurredAt: timestamppb.New(operatortest.Begun().Add(time.Duration(version) * time.Second)),
		Actor:      "user-2", OnBehalfOf: "user-3", RequestId: "r1", Address: "192.0.2.7", UserAgent: "canary\x1b", Data: data, Withheld: []string{"email"},
	}
}

// A line tells when, where, what, by whom, for whom, from where and in which
// request, and nothing that a terminal would obey.
func TestAnEventIsOneLine(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Logs["identity"].Append(recorded(t, 1), recorded(t, 2))
	got := run(w, "events", "list", "--limit", "1")
	got.is(t, 0, "2026-03-02T11:00:02.000Z  identity  user-1@2  RolesChanged  by user-2  for user-3  from 192.0.2.7  request r1  ", `"roles":["auditor"]`, "(sealed: email)")
	if strings.Count(got.out, "\n") != 1 || strings.Contains(got.out, "\x1b") {
		t.Errorf("it says %q", got.out)
	}
	w.Logs["media"].Append(&musterv1.RecordedEvent{Stream: "file-1", Version: 1, Type: "FileDeleted", Erased: true, Withheld: []string{"name"}})
	run(w, "events", "list").is(t, 0, "file-1@1  FileDeleted  (erased: name)")
}

// What is asked for reaches the services as it was written.
func TestEventsAreAskedForAsTheFlagsSay(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Logs["media"].Append(recorded(t, 1))
	got := run(w, "events", "list", "--log", "media", "--stream", "user-", "--type", "RolesChanged", "--type", "PasswordSet,FileDeleted", "--actor", "user-2",
		"--since", "2026-03-02", "--until", "2026-03-02T11:00:00+01:00", "--limit", "7", "--sensitive", "--json")
	got.is(t, 0)
	var event map[string]any
	if err := json.Unmarshal([]byte(got.out), &event); err != nil || event["requestId"] != "r1" {
		t.Errorf("%q, %v", got.out, err)
	}
	asked := w.Logs["media"].Asked()
	want := &musterv1.ListEventsRequest{
		Log: "media", Stream: "user-", Types: []string{"RolesChanged", "PasswordSet", "FileDeleted"}, Actor: "user-2", PageSize: 7, Sensitive: true,
		Since: timestamppb.New(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)), Until: timestamppb.New(time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)),
	}
	if len(asked) != 1 || !proto.Equal(asked[0], want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
	if len(w.Logs["identity"].Asked()) != 0 {
		t.Error("the other log was asked")
	}
	run(w, "events", "list", "--since", "yesterday").is(t, 2, "2026-03-02T10:05:00Z")
	run(w, "events", "list", "--stream", "").is(t, 2, "leave the flag out")
	run(w, "events", "tail", "--type", "").is(t, 2, "leave the flag out")
	run(w, "events", "list", "--limit=-1").is(t, 2, "0 for all")
	run(w, "events", "tail", "--last=-1").is(t, 2, "0 for none")
	run(w, "events", "list", "--since", "1m", "--until", "1h").is(t, 2, "--until is not after --since")
	run(w, "events", "list", "--log", "accounts").is(t, 1, "identity and media")
}

// A stream is shown from its first event on, without those of names that begin so.
func TestAStreamIsShownFromItsBeginning(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	other := recorded(t, 9)
	other.Stream = "user-12"
	w.Logs["identity"].Append(recorded(t, 1), recorded(t, 2), other)
	got := run(w, "events", "stream", "user-1")
	got.is(t, 0)
	if first, second := strings.Index(got.out, "user-1@1"), strings.Index(got.out, "user-1@2"); first < 0 || second < first || strings.Contains(got.out, "user-12") {
		t.Errorf("it says\n%s", got.out)
	}
	run(w, "events", "stream", "user-2").is(t, 1, "there is no stream user-2")
}

// An account comes in front of its events; who is erased is told to be.
func TestAnAccountIsShownWithItsEvents(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	run(w, "events", "user", "ada").is(t, 1, "ada: identity: There is no such thing. Who was erased has no name any more")
	w.Logs["identity"].Append(recorded(t, 1))
	account := &musterv1.User{
		Id: "1", Username: "ada", Active: true, Roles: []string{"auditor"}, Version: 1,
		RegisteredAt: timestamppb.New(operatortest.Begun()), UpdatedAt: timestamppb.New(operatortest.Begun()),
	}
	w.Logs["identity"].Knows(account, false)
	run(w, "events", "user", "ada", "--at", "2026-03-02T11:00:05Z").is(t, 0,
		"as it stood  2026-03-02T11:00:05.000Z", "username     ada", "roles        auditor", "opened       2026-03-02T11:00:00.000Z", "user-1@1  RolesChanged")
	lines := strings.Split(run(w, "events", "user", "ada", "--json").out, "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"username":"ada"`) || !strings.Contains(lines[1], `"type":"muster.identity.events.v1.RolesChanged"`) {
		t.Errorf("it says %q", lines)
	}
	w.Logs["identity"].Knows(&musterv1.User{Id: "1"}, true)
	run(w, "events", "user", "1").is(t, 0, "the person has been erased")
}

// A tail ends with Ctrl-C, and that is no failure. Not beside others: the signal is
// the whole process's.
func TestATailEndsWithCtrlC(t *testing.T) {
	w := operatortest.Start(t)
	w.Logs["identity"].Append(recorded(t, 1))
	done := make(chan error, 1)
	go func() {
		err := w.Logs["identity"].Watched(t.Context())
		if err == nil {
			err = w.Logs["media"].Watched(t.Context())
		}
		w.Logs["identity"].Append(recorded(t, 2))
		done <- err
	}()
	go func() {
		<-done
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGINT)
	}()
	run(w, "events", "tail").is(t, 0)
}
