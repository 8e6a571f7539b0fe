package media_test

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/broker"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/media"
	"github.com/muster-id/muster/platform/config"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	mediav1 "github.com/muster-id/muster/proto/gen/go/muster/media/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// expect compares an error with the reason that a rule demands.
func expect(t *testing.T, what string, err error, want musterv1.Reason) {
	t.Helper()
	if got := reason.Of(err); got != want {
		t.Errorf("%s: got %v (%v), want %v", what, got, err, want)
	}
}

func (h *house) setAvatar(ctx context.Context, t *testing.T) (*mediav1.SetAvatarResponse, error) {
	t.Helper()
	set, err := h.media(t, "gateway").SetAvatar(ctx, connect.NewRequest(&mediav1.SetAvatarRequest{Picture: aPicture(t)}))
	if err != nil {
		return nil, err
	}
	return set.Msg, nil
}

func TestAPersonSetsAnAvatarThatAnyoneSeesAndRemovesIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t)
	client, ada := h.media(t, "gateway"), uuid.NewString()
	ctx := h.signedIn(t, ada)
	set, err := h.setAvatar(ctx, t)
	if err != nil {
		t.Fatal(err)
	}
	if position := set.GetPosition(); position.GetLog() != "media" || position.GetEpoch() == 0 || position.GetStream() != "avatar-"+ada || position.GetVersion() != 1 {
		t.Errorf("position %v", position)
	}
	get := func() ([]byte, error) {
		got, err := client.GetAvatar(t.Context(), connect.NewRequest(&mediav1.GetAvatarRequest{AvatarId: set.GetAvatarId()}))
		if err != nil {
			return nil, err
		}
		return got.Msg.GetPicture(), nil
	}
	picture, err := get()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jpeg.Decode(bytes.NewReader(picture)); err != nil {
		t.Error(err)
	}
	for version := range int64(2) {
		removed, err := client.RemoveAvatar(ctx, connect.NewRequest(&mediav1.RemoveAvatarRequest{}))
		if err != nil || (removed.Msg.GetPosition().GetVersion() == 2) != (version == 0) {
			t.Errorf("removed: %v, %v", removed, err)
		}
	}
	teststack.Eventually(t, "the picture is gone", func() bool { _, err := get(); return reason.Of(err) == musterv1.Reason_REASON_NOT_FOUND })
	teststack.Eventually(t, "its object is deleted", func() bool { return len(h.s3.Objects(t)) == 0 })
}

func TestAPersonUploadsSharesAndDeletesAFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t)
	client, ada, bob := h.media(t, "gateway"), uuid.NewString(), uuid.NewString()
	adas, bobs := h.signedIn(t, ada), h.signedIn(t, bob)
	h.happened(t, bob, &identityeventsv1.UserReactivated{UserId: bob}) // so there is an account
	uploaded := h.upload(adas, t)
	if uploaded.GetOwnerId() != ada || uploaded.GetName() != "canary-note.txt" || uploaded.GetSize() != int64(len(note)) || uploaded.GetPublic() {
		t.Errorf("uploaded %v", uploaded)
	}
	id := uploaded.GetFileId()
	_, err := client.GetFile(bobs, connect.NewRequest(&mediav1.GetFileRequest{FileId: id}))
	expect(t, "a stranger's look", err, musterv1.Reason_REASON_NOT_FOUND)
	shared, err := client.ShareFile(adas, connect.NewRequest(&mediav1.ShareFileRequest{FileId: id, UserId: bob}))
	if err != nil || !slices.Equal(shared.Msg.GetFile().GetSharedWith(), []string{bob}) {
		t.Errorf("shared: %v, %v", shared, err)
	}
	seen, err := client.GetFile(bobs, connect.NewRequest(&mediav1.GetFileRequest{FileId: id}))
	if err != nil || len(seen.Msg.GetFile().GetSharedWith()) > 0 {
		t.Errorf("a reader sees %v, %v", seen, err)
	}
	address, err := client.GetFileUrl(bobs, connect.NewRequest(&mediav1.GetFileUrlRequest{FileId: id}))
	if err != nil {
		t.Fatal(err)
	}
	if status, content := fetch(t, address.Msg.GetUrl()); status != http.StatusOK || content != note {
		t.Errorf("%d %q", status, content)
	}
	if left := time.Until(address.Msg.GetExpiresAt().AsTime()); left > 5*time.Minute || left < 3*time.Minute {
		t.Errorf("the address is good for %v", left)
	}
	_, err = client.GetPublicFileUrl(t.Context(), connect.NewRequest(&mediav1.GetPublicFileUrlRequest{FileId: id}))
	expect(t, "a private file", err, musterv1.Reason_REASON_NOT_FOUND)
	_, err = client.DeleteFile(bobs, connect.NewRequest(&mediav1.DeleteFileRequest{FileId: id}))
	expect(t, "a reader's deletion", err, musterv1.Reason_REASON_PERMISSION_DENIED)
	if _, err := client.UnshareFile(adas, connect.NewRequest(&mediav1.UnshareFileRequest{FileId: id, UserId: bob})); err != nil {
		t.Error(err)
	}
	_, err = client.DeleteFile(bobs, connect.NewRequest(&mediav1.DeleteFileRequest{FileId: id}))
	expect(t, "a stranger's deletion", err, musterv1.Reason_REASON_NOT_FOUND)
	if _, err := client.ShareFile(adas, connect.NewRequest(&mediav1.ShareFileRequest{FileId: id})); err != nil {
		t.Error(err)
	}
	if _, err := client.GetPublicFileUrl(t.Context(), connect.NewRequest(&mediav1.GetPublicFileUrlRequest{FileId: id})); err != nil {
		t.Errorf("a public file: %v", err)
	}
	if _, err := client.DeleteFile(h.signedIn(t, uuid.NewString(), "admin"), connect.NewRequest(&mediav1.DeleteFileRequest{FileId: id})); err != nil {
		t.Errorf("an administrator's deletion: %v", err)
	}
	teststack.Eventually(t, "its object is deleted", func() bool { return len(h.s3.Objects(t)) == 0 })
	teststack.Eventually(t, "its key is destroyed", func() bool { return h.keyring.Alive() == 0 })
}

func TestPagesOfFilesFollowOneAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t)
	client, ctx := h.media(t, "gateway"), h.signedIn(t, uuid.NewString())
	var want []string
	for range 3 {
		want = append([]string{h.upload(ctx, t).GetFileId()}, want...)
	}
	pages := func() (ids []string) {
		request := &mediav1.ListFilesRequest{PageSize: 2}
		for {
			page, err := client.ListFiles(ctx, connect.NewRequest(request))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range page.Msg.GetFiles() {
				ids = append(ids, f.GetFileId())
			}
			if request.After = page.Msg.GetNext(); request.GetAfter() == nil {
				return ids
			}
		}
	}
	teststack.Eventually(t, "all of them are listed, the newest first", func() bool { return slices.Equal(pages(), want) })
}

func TestMediaAsksWhoCallsAndWhatTheyBring(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t)
	client, ctx := h.media(t, "gateway"), h.signedIn(t, uuid.NewString())
	_, err := client.ListFiles(t.Context(), connect.NewRequest(&mediav1.ListFilesRequest{PageSize: 1}))
	expect(t, "nobody", err, musterv1.Reason_REASON_UNAUTHENTICATED)
	_, err = h.media(t, "credentials").ListFiles(ctx, connect.NewRequest(&mediav1.ListFilesRequest{PageSize: 1}))
	expect(t, "another service", err, musterv1.Reason_REASON_PERMISSION_DENIED)
	_, err = client.SetAvatar(ctx, connect.NewRequest(&mediav1.SetAvatarRequest{Picture: []byte("<svg onload=alert(1)>")}))
	expect(t, "no picture", err, musterv1.Reason_REASON_PICTURE_INVALID)
	_, err = client.SetAvatar(ctx, connect.NewRequest(&mediav1.SetAvatarRequest{Picture: make([]byte, 5<<20)}))
	expect(t, "no picture of 5 MiB", err, musterv1.Reason_REASON_PICTURE_INVALID)
	_, err = client.SetAvatar(ctx, connect.NewRequest(&mediav1.SetAvatarRequest{Picture: make([]byte, 5<<20+1)}))
	expect(t, "a byte more", err, musterv1.Reason_REASON_INVALID_ARGUMENT)
	_, err = client.CreateUpload(ctx, connect.NewRequest(&mediav1.CreateUploadRequest{Name: "a", ContentType: "text/plain", Size: 1<<20 + 1}))
	expect(t, "too large a file", err, musterv1.Reason_REASON_INVALID_ARGUMENT)
	_, err = client.CompleteUpload(ctx, connect.NewRequest(&mediav1.CompleteUploadRequest{FileId: uuid.NewString()}))
	expect(t, "an upload that is none", err, musterv1.Reason_REASON_NOT_FOUND)
	if objects := h.s3.Objects(t); len(objects) > 0 {
		t.Errorf("the bucket holds %v", objects)
	}
}

// Only the service that takes pictures decodes messages of their size.
func TestOnlyPicturesMayBeLarge(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t)
	client := projectionv1connect.NewProjectionServiceClient(h.as(t, "gateway"), h.url, serve.ClientInterceptors())
	_, err := client.RebuildProjection(h.signedIn(t, uuid.NewString(), "admin"), connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: strings.Repeat("a", 2<<20)}))
	expect(t, "a name of 2 MiB", err, musterv1.Reason_REASON_BODY_TOO_LARGE)
}

func TestSomebodyWhoIsErasedIsErasedHereToo(t *testing.T) {
	t.Parallel()
	for name, withBroker := range map[string]bool{"with a broker": true, "by the log alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			if withBroker {
				h.config.BrokerURL = secret.New(teststack.VirtualHost(t))
			}
			h.start(t)
			ada := uuid.NewString()
			ctx := h.signedIn(t, ada)
			h.upload(ctx, t)
			if _, err := h.setAvatar(ctx, t); err != nil {
				t.Fatal(err)
			}
			h.erase(t, ada)
			teststack.Eventually(t, "her objects are deleted", func() bool { return len(h.s3.Objects(t)) == 0 })
			teststack.Eventually(t, "her keys are destroyed", func() bool { return h.keyring.Alive() == 0 })
			_, err := h.setAvatar(ctx, t)
			expect(t, "her token, good for a while", err, musterv1.Reason_REASON_NOT_FOUND)
		})
	}
}

func TestEventsReachTheBrokerAndTheServicesThatFollow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	host := teststack.VirtualHost(t)
	h.config.BrokerURL = secret.New(host)
	connection, err := broker.Connect(t.Context(), broker.Config{URL: secret.New(host), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	subscriber := broker.NewSubscriber(connection, broker.Topology{Queue: "identity.avatars", Bindings: []string{"media.avatar.*"}})
	t.Cleanup(func() {
		if err := errors.Join(subscriber.Close(), connection.Close()); err != nil {
			t.Error(err)
		}
	})
	messages, err := subscriber.Subscribe(t.Context(), "identity.avatars")
	if err != nil {
		t.Fatal(err)
	}
	h.start(t)
	ada := uuid.NewString()
	if _, err := h.setAvatar(h.signedIn(t, ada), t); err != nil {
		t.Fatal(err)
	}
	delivered := <-messages
	event, err := broker.Decode(delivered)
	delivered.Ack()
	if err != nil || event.Log != "media" || event.Stream != "avatar-"+ada || broker.RoutingKey(event) != "media.avatar.avatar_set" {
		t.Errorf("%+v, %v", event, err)
	}
	follow := func(as string) (eventstore.Page, error) {
		client := eventlogv1connect.NewEventLogServiceClient(h.as(t, as), h.url, serve.ClientInterceptors())
		return eventlog.NewClient(client).ReadLog(t.Context(), "", 10, 0)
	}
	page, err := follow("identity")
	if err != nil || len(page.Events) != 1 || page.Events[0].ID != event.ID {
		t.Errorf("identity reads %+v, %v", page, err)
	}
	if text := string(page.Events[0].Payload); strings.Contains(text, "192.0.2.77") || page.Events[0].MetadataSealed == nil {
		t.Errorf("payload %s", text)
	}
	_, err = follow("gateway")
	expect(t, "the gateway follows no log", err, musterv1.Reason_REASON_PERMISSION_DENIED)
}

func TestMediaStartsWithoutStorageBrokerAndIdentity(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.config.BrokerURL = secret.New("amqp://guest:guest@127.0.0.1:1/")
	h.s3.Delete(t, "") // the bucket is made once the storage is there
	h.toS3.Cut()
	h.toIdentity.Cut()
	h.start(t)
	ctx := h.signedIn(t, uuid.NewString())
	client := h.media(t, "gateway")
	health, err := grpchealth.NewClient(h.as(t, "gateway"), h.url, connect.WithGRPC()).Check(t.Context(), &grpchealth.CheckRequest{})
	if err != nil || health.Status != grpchealth.StatusServing {
		t.Errorf("health %v, %v", health, err)
	}
	began := time.Now()
	_, err = h.setAvatar(ctx, t)
	expect(t, "an avatar without storage", err, musterv1.Reason_REASON_STORAGE_UNAVAILABLE)
	_, err = client.CreateUpload(ctx, connect.NewRequest(&mediav1.CreateUploadRequest{Name: "a", ContentType: "text/plain", Size: 1}))
	expect(t, "an upload without storage", err, musterv1.Reason_REASON_STORAGE_UNAVAILABLE)
	_, err = client.GetFile(ctx, connect.NewRequest(&mediav1.GetFileRequest{FileId: uuid.NewString()}))
	expect(t, "what needs none", err, musterv1.Reason_REASON_NOT_FOUND)
	h.toS3.Mend()
	teststack.Eventually(t, "only identity is missing, for the key", func() bool {
		_, err = h.setAvatar(ctx, t)
		return reason.Of(err) == musterv1.Reason_REASON_UNAVAILABLE
	})
	if took := time.Since(began); took > 45*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	h.toIdentity.Mend()
	teststack.Eventually(t, "all is well again", func() bool { _, err = h.setAvatar(ctx, t); return err == nil })
	h.upload(ctx, t)
}

// An outage in the middle of work, without anything asked for again.
func TestAfterAnOutageWhatWasDeletedGoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	stop := h.start(t)
	ctx := h.signedIn(t, uuid.NewString())
	uploaded := h.upload(ctx, t)
	h.toS3.Cut()
	if _, err := h.media(t, "gateway").DeleteFile(ctx, connect.NewRequest(&mediav1.DeleteFileRequest{FileId: uploaded.GetFileId()})); err != nil {
		t.Fatalf("a deletion needs no storage: %v", err)
	}
	stop() // and whoever comes next finishes it
	h.start(t)
	h.toS3.Mend()
	teststack.Eventually(t, "its object is deleted", func() bool { return len(h.s3.Objects(t)) == 0 })
}

func TestASettingThatCannotWorkIsNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.config.MaxFileBytes = 0
	h.config.URLLifetime = 8 * 24 * time.Hour
	h.config.UploadLifetime = 25 * time.Hour
	h.config.S3Endpoint = "127.0.0.1:9000"
	_, err := media.New(t.Context(), h.config, discard)
	for _, setting := range []string{"MAX_FILE_BYTES", "URL_LIFETIME", "UPLOAD_LIFETIME", "S3_"} {
		if err == nil || !strings.Contains(err.Error(), "MUSTER_MEDIA_"+setting) {
			t.Errorf("%s is not named: %v", setting, err)
		}
	}
}

func TestSettingsHaveTheirNamesAndDefaults(t *testing.T) {
	t.Parallel()
	var read struct{ Service media.Config }
	environment := []string{
		"MUSTER_MEDIA_CERTIFICATES=c", "MUSTER_MEDIA_IDENTITY_URL=i", "MUSTER_MEDIA_CREDENTIALS_URL=k", "MUSTER_MEDIA_DATABASE_URL=d",
		"MUSTER_MEDIA_DATABASE_OWNER_URL=o", "MUSTER_MEDIA_TOKEN_ISSUER=t", "MUSTER_MEDIA_TOKEN_AUDIENCE=a",
		"MUSTER_MEDIA_S3_ENDPOINT=http://127.0.0.1:9000", "MUSTER_MEDIA_S3_ACCESS_KEY=x", "MUSTER_MEDIA_S3_SECRET_KEY=y",
	}
	if err := config.Load("media", &read, "", environment); err != nil {
		t.Fatal(err)
	}
	got := read.Service
	if got.Listen != "127.0.0.1:8083" || got.S3Region != "us-east-1" || got.S3Bucket != "muster" || got.MaxFileBytes != 100<<20 ||
		got.URLLifetime != 5*time.Minute || got.UploadLifetime != 15*time.Minute || got.S3SecretKey.Reveal() != "y" {
		t.Errorf("read %+v", got)
	}
}
