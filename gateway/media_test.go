package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/platform/reason"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	mediav1 "github.com/muster-id/muster/proto/gen/go/muster/media/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

const (
	uploadAvatar   = "/muster.v1.MediaService/UploadAvatar"
	deleteAvatar   = "/muster.v1.MediaService/DeleteAvatar"
	createUpload   = "/muster.v1.MediaService/CreateUpload"
	completeUpload = "/muster.v1.MediaService/CompleteUpload"
	getFile        = "/muster.v1.MediaService/GetFile"
	getFileURL     = "/muster.v1.MediaService/GetFileUrl"
	listFiles      = "/muster.v1.MediaService/ListFiles"
	shareFile      = "/muster.v1.MediaService/ShareFile"
	unshareFile    = "/muster.v1.MediaService/UnshareFile"
	deleteFile     = "/muster.v1.MediaService/DeleteFile"
)

// A picture waits for its turn to be decoded, and the storage copies a file whole.
func TestMediaHasMoreTimeForWhatTakesLong(t *testing.T) {
	t.Parallel()
	const usual = 15 * time.Second
	w := newWorld(t, func(c *Config) { c.UpstreamTimeout = usual })
	left := make(chan time.Duration, 2)
	w.media.setAvatar = func(ctx context.Context, _ *mediav1.SetAvatarRequest) (*mediav1.SetAvatarResponse, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return &mediav1.SetAvatarResponse{AvatarId: file}, nil
	}
	w.media.completeUpload = func(ctx context.Context, _ *mediav1.CompleteUploadRequest) (*mediav1.CompleteUploadResponse, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return &mediav1.CompleteUploadResponse{File: &mediav1.File{FileId: file}}, nil
	}
	w.post(uploadAvatar, `{"picture":"eA=="}`, "Authorization", w.bearer(nil)).ok(t)
	w.post(completeUpload, `{"fileId":"`+file+`"}`, "Authorization", w.bearer(nil)).ok(t)
	for _, what := range []string{"a picture", "a completion"} {
		if left := <-left; left <= usual {
			t.Errorf("%s has %v", what, left)
		}
	}
}

func TestFilesArePassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	known := &mediav1.File{
		FileId: file, OwnerId: ada, Name: "notes.pdf", ContentType: "application/pdf", Size: 12, Public: true,
		SharedWith: []string{eve}, UploadedAt: timestamppb.New(time.Unix(1, 0)),
	}
	private := proto.CloneOf(known)
	private.Public, private.SharedWith = false, nil
	const rest = `"name":"notes.pdf","contentType":"application/pdf","size":"12","uploadedAt":"1970-01-01T00:00:01Z"`
	shown := `{"id":"` + file + `","ownerId":"` + ada + `",` + rest + `,"visibility":"VISIBILITY_PUBLIC","sharedWith":["` + eve + `"]}`
	hidden := `{"id":"` + file + `","ownerId":"` + ada + `",` + rest + `,"visibility":"VISIBILITY_PRIVATE","sharedWith":[]}`
	expires := timestamppb.New(time.Unix(2, 0))
	place := &mediav1.FilePlace{UploadedAt: timestamppb.New(time.Unix(1, 0)), FileId: file}
	for name, c := range map[string]struct {
		procedure, body string
		asked           func() proto.Message
		want            proto.Message
		reply           string
	}{
		"a private upload": {
			createUpload, `{"name":"notes.pdf","contentType":"application/pdf","size":"12"}`,
			asked(watched(&w.media.createUpload, &mediav1.CreateUploadResponse{
				FileId: file, Url: "http://storage.example.com/muster", Fields: map[string]string{"policy": "p"}, ExpiresAt: expires,
			})),
			&mediav1.CreateUploadRequest{Name: "notes.pdf", ContentType: "application/pdf", Size: 12},
			`{"fileId":"` + file + `","url":"http://storage.example.com/muster","fields":{"policy":"p"},"expiresAt":"1970-01-01T00:00:02Z"}`,
		},
		"a completion": {
			completeUpload, `{"fileId":"` + file + `"}`,
			asked(watched(&w.media.completeUpload, &mediav1.CompleteUploadResponse{File: private})),
			&mediav1.CompleteUploadRequest{FileId: file},
			`{"file":` + hidden + `}`,
		},
		"a look": {
			getFile, `{"fileId":"` + file + `"}`,
			asked(watched(&w.media.getFile, &mediav1.GetFileResponse{File: known})),
			&mediav1.GetFileRequest{FileId: file},
			`{"file":` + shown + `}`,
		},
		"an address": {
			getFileURL, `{"fileId":"` + file + `"}`,
			asked(watched(&w.media.getFileUrl, &mediav1.GetFileUrlResponse{Url: "http://storage.example.com/signed", ExpiresAt: expires})),
			&mediav1.GetFileUrlRequest{FileId: file},
			`{"url":"http://storage.example.com/signed","expiresAt":"1970-01-01T00:00:02Z"}`,
		},
		"a list": {
			listFiles, `{"scope":"FILE_SCOPE_SHARED"}`,
			asked(watched(&w.media.listFiles, &mediav1.ListFilesResponse{Files: []*mediav1.File{known, private}})),
			&mediav1.ListFilesRequest{PageSize: 50, Shared: true},
			`{"files":[` + shown + `,` + hidden + `],"nextPageToken":""}`,
		},
		"sharing with one": {
			shareFile, `{"fileId":"` + file + `","userId":"` + eve + `"}`,
			asked(watched(&w.media.shareFile, &mediav1.ShareFileResponse{File: known})),
			&mediav1.ShareFileRequest{FileId: file, UserId: eve},
			`{"file":` + shown + `}`,
		},
		"no sharing with everyone": {
			unshareFile, `{"fileId":"` + file + `","everyone":true}`,
			asked(watched(&w.media.unshareFile, &mediav1.UnshareFileResponse{File: private})),
			&mediav1.UnshareFileRequest{FileId: file},
			`{"file":` + hidden + `}`,
		},
		"a deletion": {
			deleteFile, `{"fileId":"` + file + `"}`,
			asked(watched(&w.media.deleteFile, &mediav1.DeleteFileResponse{})),
			&mediav1.DeleteFileRequest{FileId: file},
			`{}`,
		},
	} {
		got := w.post(c.procedure, c.body, "Authorization", w.bearer(nil))
		got.sameJSON(t, c.reply)
		if r := c.asked(); !proto.Equal(r, c.want) {
			t.Errorf("%s: media was asked %v, want %v", name, r, c.want)
		}
	}

	public := watched(&w.media.createUpload, &mediav1.CreateUploadResponse{FileId: file})
	w.post(createUpload, `{"name":"a.pdf","contentType":"application/pdf","size":"1","visibility":"VISIBILITY_PUBLIC"}`, "Authorization", w.bearer(nil)).ok(t)
	if r := <-public; !r.GetPublic() {
		t.Errorf("media was asked %v", r)
	}
	everyone := watched(&w.media.shareFile, &mediav1.ShareFileResponse{File: known})
	w.post(shareFile, `{"fileId":"`+file+`","everyone":true}`, "Authorization", w.bearer(nil)).ok(t)
	if r := <-everyone; r.GetUserId() != "" {
		t.Errorf("media was asked %v", r)
	}

	w.media.listFiles = answers[mediav1.ListFilesRequest](&mediav1.ListFilesResponse{Next: place})
	got := w.post(listFiles, `{"pageSize":1}`, "Authorization", w.bearer(nil))
	got.ok(t)
	second := watched(&w.media.listFiles, &mediav1.ListFilesResponse{})
	w.post(listFiles, `{"pageSize":1,"scope":"FILE_SCOPE_OWN","pageToken":"`+got.body["nextPageToken"].(string)+`"}`, "Authorization", w.bearer(nil)).ok(t)
	if r, want := <-second, (&mediav1.ListFilesRequest{PageSize: 1, After: place}); !proto.Equal(r, want) {
		t.Errorf("media was asked %v", r)
	}
}

func TestEveryMethodOfFilesNeedsAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, procedure := range []string{
		uploadAvatar, deleteAvatar, createUpload, completeUpload, getFile, getFileURL, listFiles, shareFile, unshareFile, deleteFile,
	} {
		w.post(procedure, `{}`).refused(t, http.StatusUnauthorized, musterv1.Reason_REASON_UNAUTHENTICATED, "")
		w.post(procedure, `{}`, "Authorization", w.bearer(pendingPassword)).
			refused(t, http.StatusBadRequest, musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED, "")
		w.post(procedure, `{"flie":1}`, "Authorization", w.bearer(nil)).
			refused(t, http.StatusBadRequest, musterv1.Reason_REASON_UNKNOWN_FIELD, "flie")
	}
}

func TestBadRequestsAboutFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, c := range map[string]struct{ procedure, body, field string }{
		"no id":               {getFile, `{"fileId":"1"}`, "fileId"},
		"shared with nobody":  {shareFile, `{"fileId":"` + file + `"}`, "with"},
		"shared with no id":   {shareFile, `{"fileId":"` + file + `","userId":"eve"}`, "userId"},
		"everyone: no":        {shareFile, `{"fileId":"` + file + `","everyone":false}`, "everyone"},
		"unshared of nobody":  {unshareFile, `{"fileId":"` + file + `"}`, "with"},
		"nothing to upload":   {createUpload, `{"name":"a","contentType":"text/plain","size":"0"}`, "size"},
		"a type that is none": {createUpload, `{"name":"a","contentType":"plain text","size":"1"}`, "contentType"},
		"a name too long":     {createUpload, `{"name":"` + strings.Repeat("a", 256) + `","contentType":"text/plain","size":"1"}`, "name"},
		"no such visibility":  {createUpload, `{"name":"a","contentType":"text/plain","size":"1","visibility":9}`, "visibility"},
		"no such scope":       {listFiles, `{"scope":9}`, "scope"},
		"no picture":          {uploadAvatar, `{}`, "picture"},
	} {
		t.Run(name, func(t *testing.T) {
			w.post(c.procedure, c.body, "Authorization", w.bearer(nil)).
				refused(t, http.StatusBadRequest, musterv1.Reason_REASON_INVALID_ARGUMENT, c.field)
		})
	}
}

// picture is the body of UploadAvatar with a picture of so many bytes.
func pictureOf(size int) string {
	return `{"picture":"` + base64.StdEncoding.EncodeToString(make([]byte, size)) + `"}`
}

func TestAnAvatarIsSetAndShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	set := watched(&w.media.setAvatar, &mediav1.SetAvatarResponse{AvatarId: avatar, Position: avatarPosition})
	awaited := watched(&w.identity.await, &identityv1.AwaitResponse{Applied: true})
	w.post(uploadAvatar, pictureOf(3), "Authorization", w.bearer(nil)).
		sameJSON(t, `{"avatarUrl":"`+w.base+`/avatars/`+avatar+`","shown":true}`)
	if r := <-set; len(r.GetPicture()) != 3 {
		t.Errorf("media got %v", r)
	}
	if r := <-awaited; !proto.Equal(r.GetPosition(), avatarPosition) {
		t.Errorf("waited for %v", r.GetPosition())
	}

	removed := watched(&w.media.removeAvatar, &mediav1.RemoveAvatarResponse{Position: avatarPosition})
	awaited = watched(&w.identity.await, &identityv1.AwaitResponse{Applied: true})
	w.post(deleteAvatar, `{}`, "Authorization", w.bearer(nil)).sameJSON(t, `{"shown":true}`)
	<-removed
	if r := <-awaited; !proto.Equal(r.GetPosition(), avatarPosition) {
		t.Errorf("waited for %v", r.GetPosition())
	}
}

func TestWhereThereWasNoAvatarNothingIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.media.removeAvatar = answers[mediav1.RemoveAvatarRequest](&mediav1.RemoveAvatarResponse{})
	w.identity.await = func(context.Context, *identityv1.AwaitRequest) (*identityv1.AwaitResponse, error) {
		t.Error("identity was asked to wait")
		return &identityv1.AwaitResponse{}, nil
	}
	w.post(deleteAvatar, `{}`, "Authorization", w.bearer(nil)).sameJSON(t, `{"shown":true}`)
}

func TestAnAvatarIsSetWhateverBecomesOfTheWait(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*world){
		"the projection is late": func(w *world) {
			w.identity.await = answers[identityv1.AwaitRequest](&identityv1.AwaitResponse{})
		},
		"identity fails": func(w *world) {
			w.identity.await = fails[identityv1.AwaitRequest, identityv1.AwaitResponse](errors.New("disk on fire"))
		},
		"identity is down": func(w *world) { w.stopIdentity() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			prepare(w)
			w.post(uploadAvatar, pictureOf(3), "Authorization", w.bearer(nil)).
				sameJSON(t, `{"avatarUrl":"`+w.base+`/avatars/`+avatar+`","shown":false}`)
			w.post(deleteAvatar, `{}`, "Authorization", w.bearer(nil)).sameJSON(t, `{"shown":false}`)
		})
	}
}

func TestAPictureMayBeLargeAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	got := make(chan int, 1)
	w.media.setAvatar = func(_ context.Context, r *mediav1.SetAvatarRequest) (*mediav1.SetAvatarResponse, error) {
		got <- len(r.GetPicture())
		return &mediav1.SetAvatarResponse{AvatarId: avatar, Position: avatarPosition}, nil
	}
	const most = 5 << 20
	w.post(uploadAvatar, pictureOf(most), "Authorization", w.bearer(nil)).ok(t)
	if n := <-got; n != most {
		t.Errorf("media got %d bytes", n)
	}
	client := musterv1connect.NewMediaServiceClient(h2c(t), w.base, connect.WithGRPC())
	request := connect.NewRequest(&musterv1.UploadAvatarRequest{Picture: make([]byte, most)})
	request.Header().Set("Authorization", w.bearer(nil))
	if _, err := client.UploadAvatar(t.Context(), request); err != nil {
		t.Errorf("over gRPC: %v", err)
	}
	if n := <-got; n != most {
		t.Errorf("over gRPC media got %d bytes", n)
	}

	w.post(uploadAvatar, pictureOf(most+1), "Authorization", w.bearer(nil)).
		refused(t, http.StatusBadRequest, musterv1.Reason_REASON_PICTURE_TOO_LARGE, "picture")
	w.post(uploadAvatar, pictureOf(8<<20), "Authorization", w.bearer(nil)).
		refused(t, http.StatusRequestEntityTooLarge, musterv1.Reason_REASON_BODY_TOO_LARGE, "")
	// The other methods of the same service keep the usual bound, packed or not.
	large := `{"fileId":"` + file + `"` + strings.Repeat(" ", 1<<20) + `}`
	w.post(getFile, large, "Authorization", w.bearer(nil)).
		refused(t, http.StatusRequestEntityTooLarge, musterv1.Reason_REASON_BODY_TOO_LARGE, "")
	w.post(getFile, pack(t, []byte(large)), "Content-Encoding", "gzip", "Authorization", w.bearer(nil)).
		refused(t, http.StatusRequestEntityTooLarge, musterv1.Reason_REASON_BODY_TOO_LARGE, "")
}

func TestAnAvatarIsServedUnderTheOriginThatTheCallerUses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	w.identity.getProfile = answers[identityv1.GetProfileRequest](&identityv1.GetProfileResponse{
		Profile: &identityv1.Profile{UserId: ada, AvatarId: avatar, Version: 4},
	})
	for _, forwarded := range [][]string{nil, {"X-Forwarded-Proto", "https", "X-Forwarded-Host", "id.example.com"}} {
		origin := w.base
		if forwarded != nil {
			origin = "https://id.example.com"
		}
		got := w.post(getMe, `{}`, append([]string{"Authorization", w.bearer(nil)}, forwarded...)...)
		got.ok(t)
		user, _ := got.body["user"].(map[string]any)
		if user["avatarUrl"] != origin+"/avatars/"+avatar || user["version"] != "4" {
			t.Errorf("got %s", got.text)
		}
		if got := w.post(uploadAvatar, pictureOf(3), append([]string{"Authorization", w.bearer(nil)}, forwarded...)...); got.body["avatarUrl"] != origin+"/avatars/"+avatar {
			t.Errorf("got %s", got.text)
		}
	}
}

func TestPlainPathsOfMedia(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	set := watched(&w.media.setAvatar, &mediav1.SetAvatarResponse{AvatarId: avatar, Position: avatarPosition})
	put := func(body string, headers ...string) answer {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.base+"/me/avatar", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return w.do(request, headers...)
	}
	put("a picture", "Authorization", w.bearer(nil)).sameJSON(t, `{"avatarUrl":"`+w.base+`/avatars/`+avatar+`","shown":true}`)
	if r := <-set; string(r.GetPicture()) != "a picture" {
		t.Errorf("media got %q", r.GetPicture())
	}
	put("a picture").refused(t, http.StatusUnauthorized, musterv1.Reason_REASON_UNAUTHENTICATED, "")

	got := w.get("/avatars/" + avatar)
	got.ok(t)
	if got.text != "a JPEG" || got.header.Get("Content-Type") != "image/jpeg" || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
		t.Errorf("got %s, %v", got.text, got.header)
	}
	w.media.getAvatar = fails[mediav1.GetAvatarRequest, mediav1.GetAvatarResponse](reason.New(musterv1.Reason_REASON_NOT_FOUND))
	got = w.get("/avatars/" + avatar)
	got.refused(t, http.StatusNotFound, musterv1.Reason_REASON_NOT_FOUND, "")
	if got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("that there is none is kept: %v", got.header)
	}

	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got = w.get("/files/" + file)
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "http://storage.example.com/signed" {
		t.Errorf("got %d, %v", got.status, got.header)
	}
	w.media.getPublicFileUrl = fails[mediav1.GetPublicFileUrlRequest, mediav1.GetPublicFileUrlResponse](reason.New(musterv1.Reason_REASON_NOT_FOUND))
	w.get("/files/"+file).refused(t, http.StatusNotFound, musterv1.Reason_REASON_NOT_FOUND, "")
}

func TestPagesOfTheAllowListMayPutAnAvatar(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, w.base+"/me/avatar", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := w.do(request, "Origin", allowed, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization,content-type")
	if got.header.Get("Access-Control-Allow-Origin") != allowed || got.header.Get("Access-Control-Allow-Methods") != http.MethodPut {
		t.Errorf("got %d %v", got.status, got.header)
	}
}

func TestWithoutMediaPeopleSignInAndSeeThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.identity.getProfile = answers[identityv1.GetProfileRequest](&identityv1.GetProfileResponse{Profile: &identityv1.Profile{UserId: ada, AvatarId: avatar}})
	w.stopMedia()
	w.get("/readyz").ok(t)
	w.post(login, adaLogin).ok(t)
	got := w.post(getMe, `{}`, "Authorization", w.bearer(nil))
	got.ok(t)
	if user, _ := got.body["user"].(map[string]any); user["avatarUrl"] != w.base+"/avatars/"+avatar {
		t.Errorf("got %s", got.text)
	}
	w.post(getFile, `{"fileId":"`+file+`"}`, "Authorization", w.bearer(nil)).
		refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE, "")
	w.get("/avatars/"+avatar).refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_UNAVAILABLE, "")
}

func TestThatTheStorageIsAwayIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.media.setAvatar = fails[mediav1.SetAvatarRequest, mediav1.SetAvatarResponse](reason.New(musterv1.Reason_REASON_STORAGE_UNAVAILABLE, reason.Cause(errors.New("dial tcp 10.0.0.7"))))
	got := w.post(uploadAvatar, pictureOf(3), "Authorization", w.bearer(nil))
	got.refused(t, http.StatusServiceUnavailable, musterv1.Reason_REASON_STORAGE_UNAVAILABLE, "")
	if strings.Contains(got.text, "10.0.0.7") {
		t.Errorf("an address leaked: %s", got.text)
	}
}
