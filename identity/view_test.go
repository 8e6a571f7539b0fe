package identity_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const disclosed = "muster.eventlog.events.v1.EventsDisclosed"

func (h *house) view(t *testing.T, caller string) eventlogv1connect.EventViewServiceClient {
	return eventlogv1connect.NewEventViewServiceClient(h.as(t, caller), h.url, serve.ClientInterceptors())
}

// personal is what ada's events hold that is nobody's business.
func personal(message proto.Message) bool {
	told := strings.ToLower(prototext.Format(message))
	return strings.Contains(told, "canary") || strings.Contains(told, "192.0.2.77")
}

// records are what the log has of what was shown.
func (h *house) records(t *testing.T) []*musterv1.RecordedEvent {
	t.Helper()
	listed, err := h.view(t, "operator").ListEvents(t.Context(), connect.NewRequest(&musterv1.ListEventsRequest{Types: []string{"EventsDisclosed"}}))
	if err != nil {
		t.Fatal(err)
	}
	return listed.Msg.GetEvents()
}

// Without being asked for, nothing personal is in any answer; with it, it is for
// those who may, and recorded before; for others a refusal, and no record.
func TestOperatorsSeeEventsAndWhatIsPersonalOnRecordOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	admin, ada := h.admin(t), h.register(t).GetUserId()
	view := h.view(t, "gateway")

	listed, err := view.ListEvents(t.Context(), signedIn(t, h, admin, &musterv1.ListEventsRequest{Stream: "user-" + ada}, withRoles("auditor")))
	if err != nil || len(listed.Msg.GetEvents()) != 2 {
		t.Fatalf("%d events, %v", len(listed.Msg.GetEvents()), err)
	}
	first := listed.Msg.GetEvents()[1]
	if personal(listed.Msg) || first.GetActor() != "user-"+ada || first.GetRequestId() != "request-of-ada" || first.GetData().GetFields()["userId"].GetStringValue() != ada || len(first.GetWithheld()) != 4 {
		t.Errorf("unasked: %s", prototext.Format(listed.Msg))
	}
	history, err := view.GetUserHistory(t.Context(), signedIn(t, h, admin, &musterv1.GetUserHistoryRequest{User: &musterv1.GetUserHistoryRequest_LoginName{LoginName: "ADA@canary.example"}}, withRoles("auditor")))
	if err != nil || personal(history.Msg) || history.Msg.GetAccount().GetId() != ada || !history.Msg.GetAccount().GetActive() || len(history.Msg.GetEvents()) != 2 {
		t.Errorf("unasked: %v, %v", history, err)
	}

	_, err = view.ListEvents(t.Context(), signedIn(t, h, admin, &musterv1.ListEventsRequest{Sensitive: true}, withRoles("auditor")))
	expect(t, "an auditor", err, musterv1.Reason_REASON_PERMISSION_DENIED, "sensitive")
	if err == nil || !strings.Contains(err.Error(), "events.read_sensitive") {
		t.Errorf("the refusal does not name the permission: %v", err)
	}
	_, err = view.GetUserHistory(t.Context(), signedIn(t, h, admin, &musterv1.GetUserHistoryRequest{User: &musterv1.GetUserHistoryRequest_UserId{UserId: ada}, Sensitive: true}, withRoles("auditor")))
	expect(t, "an auditor", err, musterv1.Reason_REASON_PERMISSION_DENIED, "sensitive")
	_, err = view.ListEvents(t.Context(), signedIn(t, h, admin, &musterv1.ListEventsRequest{}, nil))
	expect(t, "anybody", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	if recorded := h.records(t); len(recorded) != 0 {
		t.Fatalf("what was not shown is recorded: %v", recorded)
	}

	ctx := telemetry.WithRequest(t.Context(), telemetry.Request{ID: "request-of-admin", ClientAddress: "192.0.2.99"})
	listed, err = view.ListEvents(ctx, signedIn(t, h, admin, &musterv1.ListEventsRequest{Stream: "user-" + ada, Sensitive: true}, withRoles("admin")))
	if err != nil {
		t.Fatal(err)
	}
	first = listed.Msg.GetEvents()[1]
	if first.GetData().GetFields()["username"].GetStringValue() != "ada.canary" || first.GetAddress() != "192.0.2.77" || first.GetUserAgent() != "canary-agent" {
		t.Errorf("asked: %s", prototext.Format(first))
	}
	if told := prototext.Format(listed.Msg); strings.Contains(told, "argon2") || strings.Contains(told, "canary-password") {
		t.Errorf("a verifier is shown: %s", told)
	}
	records := h.records(t)
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	of := records[0].GetData().GetFields()
	if records[0].GetActor() != "user-"+admin || records[0].GetRequestId() != "request-of-admin" || of["count"].GetStringValue() != "2" ||
		of["stream"].GetStringValue() != "user-"+ada || of["method"].GetStringValue() != eventlogv1connect.EventViewServiceListEventsProcedure ||
		of["lastEventId"].GetStringValue() != first.GetId() {
		t.Errorf("recorded %s", prototext.Format(records[0]))
	}
	whole, err := h.view(t, "operator").GetUserHistory(t.Context(), connect.NewRequest(&musterv1.GetUserHistoryRequest{User: &musterv1.GetUserHistoryRequest_UserId{UserId: ada}, Sensitive: true}))
	if err != nil || whole.Msg.GetAccount().GetEmail() != "ada@canary.example" {
		t.Errorf("the operator's command line: %v, %v", whole, err)
	}
	if records := h.records(t); len(records) != 2 || records[0].GetActor() != "service-operator" {
		t.Errorf("%d records, the newest by %s", len(records), records[0].GetActor())
	}
	_, err = h.view(t, "credentials").ListEvents(t.Context(), connect.NewRequest(&musterv1.ListEventsRequest{}))
	expect(t, "another service", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
}

// An account is shown as it stood, and before there was one the answer says when
// it begins. Of who was erased, the names are free and nothing personal is left.
func TestAnAccountIsShownAsItStood(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	admin, view, client := h.admin(t), h.view(t, "operator"), h.identity(t, "gateway")
	id := h.register(t).GetUserId()
	at := func(at time.Time) (*musterv1.GetUserHistoryResponse, error) {
		request := &musterv1.GetUserHistoryRequest{User: &musterv1.GetUserHistoryRequest_UserId{UserId: id}, Sensitive: true, PageSize: 1}
		if !at.IsZero() {
			request.At = timestamppb.New(at)
		}
		response, err := view.GetUserHistory(t.Context(), connect.NewRequest(request))
		if err != nil {
			return nil, err
		}
		return response.Msg, nil
	}
	before, err := at(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	opened := before.GetEvents()[0].GetOccurredAt().AsTime()
	if _, err := client.SetUserRoles(t.Context(), signedIn(t, h, admin, &identityv1.SetUserRolesRequest{UserId: id, Roles: []string{"auditor"}}, withRoles("admin"))); err != nil {
		t.Fatal(err)
	}
	then, err := at(opened)
	if err != nil || len(then.GetAccount().GetRoles()) != 0 || then.GetAccount().GetVersion() != 2 || then.GetAccount().GetFirstName() != "Adacanary" {
		t.Errorf("then: %v, %v", then, err)
	}
	if now, err := at(time.Now().Add(time.Hour)); err != nil || len(now.GetAccount().GetRoles()) != 1 {
		t.Errorf("in an hour: %v, %v", now, err)
	}
	_, err = at(opened.Add(-time.Millisecond))
	expect(t, "before", err, musterv1.Reason_REASON_NOT_FOUND, "at")

	// Pages, the oldest first.
	request := &musterv1.GetUserHistoryRequest{User: &musterv1.GetUserHistoryRequest_UserId{UserId: id}, PageSize: 2}
	var versions []int64
	for range 5 {
		page, err := view.GetUserHistory(t.Context(), connect.NewRequest(request))
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range page.Msg.GetEvents() {
			versions = append(versions, event.GetVersion())
		}
		if request.PageToken = page.Msg.GetNextPageToken(); request.GetPageToken() == "" {
			break
		}
	}
	if len(versions) != 3 || versions[0] != 1 || versions[2] != 3 {
		t.Errorf("pages of %v", versions)
	}

	if _, err := client.DeleteUser(t.Context(), signedIn(t, h, admin, &identityv1.DeleteUserRequest{UserId: id}, withRoles("admin"))); err != nil {
		t.Fatal(err)
	}
	for _, when := range []time.Time{{}, opened} {
		erased, err := at(when)
		if err != nil || !erased.GetErased() || personal(erased) || !erased.GetEvents()[0].GetErased() {
			t.Errorf("erased, at %v: %v, %v", when, erased, err)
		}
	}
	_, err = view.GetUserHistory(t.Context(), connect.NewRequest(&musterv1.GetUserHistoryRequest{User: &musterv1.GetUserHistoryRequest_LoginName{LoginName: "ada.canary"}}))
	expect(t, "a name that is free", err, musterv1.Reason_REASON_NOT_FOUND, "loginName")
}

// Who watches sees what comes, from now on, and goes on from a cursor. What is
// personal is recorded batch by batch, and the records do not record themselves.
func TestWhoWatchesSeesWhatComesAndNoLoopOfRecords(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	admin := h.admin(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	watch := func(request *musterv1.WatchEventsRequest) *connect.ServerStreamForClient[musterv1.WatchEventsResponse] {
		stream, err := h.view(t, "gateway").WatchEvents(ctx, signedIn(t, h, admin, request, withRoles("admin")))
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	next := func(stream *connect.ServerStreamForClient[musterv1.WatchEventsResponse]) *musterv1.WatchEventsResponse {
		t.Helper()
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		return stream.Msg()
	}
	stream := watch(&musterv1.WatchEventsRequest{Sensitive: true})
	begin := next(stream)
	if len(begin.GetEvents()) != 0 || begin.GetCursor() == "" {
		t.Fatalf("the first answer is %v", begin)
	}
	from := begin.GetCursor()
	h.register(t)
	var types []string
	for len(types) < 3 || types[len(types)-1] != disclosed {
		for _, event := range next(stream).GetEvents() {
			types = append(types, event.GetType())
			if event.GetType() == disclosed && event.GetAddress() != "" {
				t.Error("a record's own origin is shown to who watches")
			}
		}
	}
	// The record that was shown is not recorded, so nothing but a heartbeat comes.
	if quiet := next(stream); len(quiet.GetEvents()) != 0 {
		t.Errorf("after the record came %v", quiet.GetEvents())
	}
	if records := h.records(t); len(records) != 1 {
		t.Errorf("%d records", len(records))
	}
	only := watch(&musterv1.WatchEventsRequest{Cursor: from, Types: []string{"PasswordSet"}})
	if again := next(only); len(again.GetEvents()) != 1 || personal(again) {
		t.Errorf("from the cursor, without what is personal, came %v", again)
	}
	foreign := watch(&musterv1.WatchEventsRequest{Cursor: "bm90aGluZw"})
	if foreign.Receive() {
		t.Error("a foreign cursor is taken")
	}
	expect(t, "a foreign cursor", foreign.Err(), musterv1.Reason_REASON_INVALID_ARGUMENT, "cursor")
	h.stop()
	for stream.Receive() {
		continue
	}
	if err := stream.Err(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("at the shutdown: %v", err)
	}
}
