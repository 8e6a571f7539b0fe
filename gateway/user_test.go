package gateway

import (
	"context"
	"net/http"
	"testing"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/telemetry"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestIdentityLearnsWhoAsksAndFromWhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	type seen struct {
		caller  string
		request telemetry.Request
	}
	calls := make(chan seen, 1)
	w.identity.getProfile = func(ctx context.Context, _ *identityv1.GetProfileRequest) (*identityv1.GetProfileResponse, error) {
		calls <- seen{caller(ctx), telemetry.RequestFrom(ctx)}
		return &identityv1.GetProfileResponse{Profile: &identityv1.Profile{UserId: ada, Username: "ada", Roles: []string{access.Admin}, Active: true}}, nil
	}
	got := w.post(getMe, `{}`, "Authorization", w.bearer(nil), "User-Agent", "curl/8", "X-Request-Id", "my-request-0001")
	got.ok(t)
	want := seen{ada, telemetry.Request{ID: got.header.Get("X-Request-Id"), ClientAddress: "127.0.0.1", UserAgent: "curl/8"}}
	if call := <-calls; call != want {
		t.Errorf("identity saw %+v, want %+v", call, want)
	}
	user, _ := got.body["user"].(map[string]any)
	if user["id"] != ada || user["username"] != "ada" || user["active"] != true || user["lastName"] != "" {
		t.Errorf("got %s", got.text)
	}
}

func TestUpdateMeTellsAbsentNamesFromEmptyOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	asked := make(chan *identityv1.UpdateProfileRequest, 1)
	w.identity.updateProfile = func(_ context.Context, r *identityv1.UpdateProfileRequest) (*identityv1.UpdateProfileResponse, error) {
		asked <- r
		return &identityv1.UpdateProfileResponse{Profile: &identityv1.Profile{UserId: ada}, Position: position}, nil
	}
	got := w.post(updateMe, `{"lastName":""}`, "Authorization", w.bearer(nil), "Idempotency-Key", "0123456789abcdef")
	got.ok(t)
	r := <-asked
	if r.FirstName != nil || r.LastName == nil || r.GetLastName() != "" || r.GetIdempotencyKey() != "0123456789abcdef" {
		t.Errorf("identity was asked %v", r)
	}
	if got.body["consistencyToken"] == "" || got.body["consistencyToken"] != got.header.Get("Muster-Consistency-Token") {
		t.Errorf("got %s", got.text)
	}
}

func TestAConflictPassesThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.identity.updateProfile = func(context.Context, *identityv1.UpdateProfileRequest) (*identityv1.UpdateProfileResponse, error) {
		return nil, reason.New(musterv1.Reason_REASON_CONFLICT)
	}
	w.post(updateMe, `{"firstName":"Ada"}`, "Authorization", w.bearer(nil)).
		refused(t, http.StatusConflict, musterv1.Reason_REASON_CONFLICT, "")
}
