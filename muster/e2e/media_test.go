package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/muster-id/muster/platform/teststack"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// visitor is a person who is signed in.
type visitor struct {
	person
	id    string
	token header
	// refresh is the session's refresh token.
	refresh string
}

// joins registers somebody and signs in.
func (s *world) joins(t *testing.T, name string) visitor {
	t.Helper()
	p := somebody(name)
	s.call(t, "AuthService/Register", p).ok(t)
	return s.signsIn(t, p)
}

func (s *world) signsIn(t *testing.T, p person) visitor {
	t.Helper()
	login := s.call(t, "AuthService/Login", p.login()).ok(t)
	return visitor{person: p, id: login.text("userId"), token: bearer(login.text("accessToken")), refresh: login.text("refreshToken")}
}

// user is the account in an answer.
func (a answer) user() map[string]any {
	user, _ := a.body["user"].(map[string]any)
	return user
}

// list is a list in an answer.
func (a answer) list(field string) []any {
	list, _ := a.body[field].([]any)
	return list
}

// photograph is a JPEG as a camera makes it: larger than an avatar, with a text
// in its EXIF data.
func photograph(t *testing.T, width, height int, text string) []byte {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for x := range width {
		for y := range height {
			picture.Set(x, y, color.RGBA{R: uint8(x), G: uint8(y), B: uint8(x ^ y), A: 255})
		}
	}
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, picture, nil); err != nil {
		t.Fatal(err)
	}
	return append(append([]byte{0xff, 0xd8}, exif(text)...), plain.Bytes()[2:]...)
}

// exif is a segment with one entry: ImageDescription.
func exif(text string) []byte {
	entry := binary.BigEndian.AppendUint16([]byte("Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01"), 0x010e)
	entry = binary.BigEndian.AppendUint16(entry, 2) // text
	entry = binary.BigEndian.AppendUint32(entry, uint32(len(text)+1))
	entry = append(entry, 0, 0, 0, 26, 0, 0, 0, 0) // at its end; no further entries
	entry = append(append(entry, text...), 0)
	return append(binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(entry)+2)), entry...)
}

// putAvatar sends a picture as `curl -T` does.
func (s *world) putAvatar(t *testing.T, picture []byte, headers ...header) answer {
	t.Helper()
	return s.send(t, s.request(t, http.MethodPut, s.url+"/me/avatar", picture, headers...))
}

func (s *world) request(t *testing.T, method, address string, body []byte, headers ...header) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		request.Header.Set(h.name, h.value)
	}
	return request
}

// get reads an address as a browser does.
func (s *world) get(t *testing.T, address string) answer {
	t.Helper()
	return s.send(t, s.request(t, http.MethodGet, address, nil))
}

// isAvatar fails the test unless this is a small JPEG.
func (a answer) isAvatar(t *testing.T) {
	t.Helper()
	a.ok(t)
	if kind := a.header.Get("Content-Type"); kind != "image/jpeg" {
		t.Errorf("content type %q", kind)
	}
	if cache := a.header.Get("Cache-Control"); !strings.Contains(cache, "immutable") {
		t.Errorf("cache control %q", cache)
	}
	shown, err := jpeg.DecodeConfig(strings.NewReader(a.raw))
	if err != nil || max(shown.Width, shown.Height) > 256 {
		t.Errorf("%d × %d, %v; want a JPEG of at most 256 × 256", shown.Width, shown.Height, err)
	}
}

// begun is an upload that was begun.
type begun struct {
	id     string
	url    string
	fields map[string]string
}

func (s *world) beginUpload(t *testing.T, token header, name string, content []byte) begun {
	t.Helper()
	created := s.call(t, "MediaService/CreateUpload", map[string]any{"name": name, "contentType": "text/plain", "size": len(content)}, token).ok(t)
	upload := begun{id: created.text("fileId"), url: created.text("url"), fields: map[string]string{}}
	fields, _ := created.body["fields"].(map[string]any)
	for field, value := range fields {
		upload.fields[field], _ = value.(string)
	}
	if upload.id == "" || upload.url == "" || len(upload.fields) == 0 {
		t.Fatalf("no upload: %s", created.raw)
	}
	return upload
}

// post sends the form, as a browser does.
func (b begun) post(t *testing.T, s *world, content []byte) answer {
	t.Helper()
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	for field, value := range b.fields {
		if err := writer.WriteField(field, value); err != nil {
			t.Fatal(err)
		}
	}
	part, err := writer.CreateFormFile("file", "name-on-disk.txt")
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.send(t, s.request(t, http.MethodPost, b.url, form.Bytes(), header{"Content-Type", writer.FormDataContentType()}))
}

func (a answer) taken(t *testing.T) {
	t.Helper()
	if a.status != http.StatusNoContent && a.status != http.StatusOK && a.status != http.StatusCreated {
		t.Fatalf("the storage answers %d: %s", a.status, a.raw)
	}
}

// uploads uploads a file and gives its id.
func (s *world) uploads(t *testing.T, token header, name string, content []byte) string {
	t.Helper()
	upload := s.beginUpload(t, token, name, content)
	upload.post(t, s, content).taken(t)
	completed := s.call(t, "MediaService/CompleteUpload", file(upload.id), token).ok(t)
	made, _ := completed.body["file"].(map[string]any)
	if made["id"] != upload.id || made["name"] != name {
		t.Fatalf("completed: %s", completed.raw)
	}
	return upload.id
}

func file(id string) map[string]any { return map[string]any{"fileId": id} }

// reads gets a file's content through an address that it asks for.
func (s *world) reads(t *testing.T, token header, id string) answer {
	t.Helper()
	return s.get(t, s.call(t, "MediaService/GetFileUrl", file(id), token).ok(t).text("url"))
}

// bucket is where the system keeps its objects.
func (s *world) bucket() teststack.S3 {
	store := s.Servers.S3
	return teststack.S3{Endpoint: store.Endpoint, Region: store.Region, AccessKey: store.AccessKey, SecretKey: store.SecretKey, Bucket: "muster"}
}

// objectsOf are the keys of a person's objects.
func (s *world) objectsOf(t *testing.T, id string) []string {
	t.Helper()
	return slices.DeleteFunc(s.bucket().Objects(t), func(key string) bool { return !strings.Contains(key, "/"+id+"/") })
}

// An avatar is set as curl does it, shows in GetMe, is served small and without
// metadata, is replaced, and goes.
func TestAvatar(t *testing.T) {
	s := shared(t)
	ada := s.joins(t, "ada-avatar")
	set := s.putAvatar(t, photograph(t, 640, 480, "a secret place"), ada.token).ok(t)
	if !set.bool("shown") {
		t.Errorf("GetMe does not show it yet: %s", set.raw)
	}
	me := s.call(t, "UserService/GetMe", map[string]any{}, ada.token).ok(t)
	address, _ := me.user()["avatarUrl"].(string)
	if address == "" || address != set.text("avatarUrl") {
		t.Fatalf("GetMe shows %q, set was %s", address, set.raw)
	}
	picture := s.get(t, address)
	picture.isAvatar(t)
	if strings.Contains(picture.raw, "a secret place") {
		t.Error("the metadata is still in it")
	}

	// The same over the procedure; the former picture is gone.
	second := s.call(t, "MediaService/UploadAvatar", map[string]any{"picture": base64.StdEncoding.EncodeToString(photograph(t, 30, 90, ""))}, ada.token).ok(t)
	if second.text("avatarUrl") == address {
		t.Error("another picture has the same address, which is cached for ever")
	}
	s.get(t, second.text("avatarUrl")).isAvatar(t)
	eventually(t, 30*time.Second, "the replaced picture is gone", func() bool {
		return s.get(t, address).status == http.StatusNotFound && len(s.objectsOf(t, ada.id)) == 1
	})

	if removed := s.call(t, "MediaService/DeleteAvatar", map[string]any{}, ada.token).ok(t); !removed.bool("shown") {
		t.Errorf("GetMe still shows it: %s", removed.raw)
	}
	if me := s.call(t, "UserService/GetMe", map[string]any{}, ada.token).ok(t); me.user()["avatarUrl"] != "" {
		t.Errorf("after its removal: %s", me.raw)
	}
	eventually(t, 30*time.Second, "the removed picture is gone", func() bool { return len(s.objectsOf(t, ada.id)) == 0 })
	s.call(t, "MediaService/DeleteAvatar", map[string]any{}, ada.token).ok(t) // none is no fault
}

// earlier is an hour ago, or since midnight: a signature of another day is
// refused before it is looked at.
func earlier(now time.Time) time.Time {
	midnight := now.Truncate(24 * time.Hour)
	if ago := now.Add(-time.Hour); ago.After(midnight) {
		return ago
	}
	return midnight
}

// A file goes to the storage itself, is read by its owner and by whom it is
// shared with, and by nobody else; once deleted it is gone for all.
func TestFiles(t *testing.T) {
	s := shared(t)
	owner, friend, stranger := s.joins(t, "file-owner"), s.joins(t, "file-friend"), s.joins(t, "file-stranger")
	content := []byte("the analytical engine weaves algebraical patterns\n")
	id := s.uploads(t, owner.token, "Notes — Ünïcode.txt", content)

	read := s.reads(t, owner.token, id).ok(t)
	if read.raw != string(content) {
		t.Errorf("read %q", read.raw)
	}
	if kind, shown := read.header.Get("Content-Type"), read.header.Get("Content-Disposition"); !strings.HasPrefix(kind, "text/plain") || !strings.HasPrefix(shown, "attachment") {
		t.Errorf("served as %q, %q", kind, shown)
	}
	address := s.call(t, "MediaService/GetFileUrl", file(id), owner.token).ok(t).text("url")
	other := s.call(t, "MediaService/GetFileUrl", file(s.uploads(t, owner.token, "other.txt", []byte("other"))), owner.token).ok(t).text("url")
	for what, alter := range map[string]func(*url.URL, url.Values){
		"a longer life":     func(_ *url.URL, q url.Values) { q.Set("X-Amz-Expires", "86400") },
		"a later beginning": func(_ *url.URL, q url.Values) { q.Set("X-Amz-Date", time.Now().UTC().Add(time.Minute).Format(amzTime)) },
		"the past":          func(_ *url.URL, q url.Values) { q.Set("X-Amz-Date", earlier(time.Now().UTC()).Format(amzTime)) },
		"another file":      func(u *url.URL, _ url.Values) { u.Path = path(t, other) },
		"another type":      func(_ *url.URL, q url.Values) { q.Set("response-content-type", "text/html") },
		"another signature": func(_ *url.URL, q url.Values) { q.Set("X-Amz-Signature", strings.Repeat("0", 64)) },
	} {
		altered, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		query := altered.Query()
		alter(altered, query)
		altered.RawQuery = query.Encode()
		if got := s.get(t, altered.String()); got.status != http.StatusForbidden || !strings.Contains(got.raw, "<Code>") {
			t.Errorf("an address altered to %s is answered with %d %s", what, got.status, got.raw)
		}
	}

	changes := func(token header, reason musterv1.Reason) {
		t.Helper()
		s.call(t, "MediaService/DeleteFile", file(id), token).refused(t, reason, "")
		for _, with := range []map[string]any{{"fileId": id, "userId": stranger.id}, {"fileId": id, "everyone": true}} {
			s.call(t, "MediaService/ShareFile", with, token).refused(t, musterv1.Reason_REASON_NOT_FOUND, "")
			s.call(t, "MediaService/UnshareFile", with, token).refused(t, musterv1.Reason_REASON_NOT_FOUND, "")
		}
		s.call(t, "MediaService/CompleteUpload", file(id), token).refused(t, musterv1.Reason_REASON_NOT_FOUND, "")
	}
	notFound := func(token header) {
		t.Helper()
		for _, procedure := range []string{"GetFile", "GetFileUrl"} {
			s.call(t, "MediaService/"+procedure, file(id), token).refused(t, musterv1.Reason_REASON_NOT_FOUND, "")
		}
		changes(token, musterv1.Reason_REASON_NOT_FOUND)
	}
	notFound(stranger.token)
	notFound(friend.token)
	s.call(t, "MediaService/ShareFile", map[string]any{"fileId": id, "userId": uuid.NewString()}, owner.token).
		refused(t, musterv1.Reason_REASON_INVALID_ARGUMENT, "userId")
	s.call(t, "MediaService/ShareFile", map[string]any{"fileId": id, "userId": friend.id}, owner.token).ok(t)
	if got := s.reads(t, friend.token, id).ok(t); got.raw != string(content) {
		t.Errorf("the friend reads %q", got.raw)
	}
	shared := s.call(t, "MediaService/ListFiles", map[string]any{"scope": "FILE_SCOPE_SHARED"}, friend.token).ok(t)
	if !strings.Contains(shared.raw, id) {
		t.Errorf("not in the friend's list: %s", shared.raw)
	}
	changes(friend.token, musterv1.Reason_REASON_PERMISSION_DENIED) // may read it, and that is all
	notFound(stranger.token)
	s.call(t, "MediaService/UnshareFile", map[string]any{"fileId": id, "userId": friend.id}, owner.token).ok(t)
	notFound(friend.token)

	if got := s.get(t, s.url+"/files/"+id); got.status != http.StatusNotFound {
		t.Errorf("a private file is at a public address: %d", got.status)
	}
	s.call(t, "MediaService/ShareFile", map[string]any{"fileId": id, "everyone": true}, owner.token).ok(t)
	if got := s.get(t, s.url+"/files/"+id).ok(t); got.raw != string(content) { // redirected
		t.Errorf("everyone reads %q", got.raw)
	}

	s.call(t, "MediaService/DeleteFile", file(id), owner.token).ok(t)
	notFound(owner.token)
	eventually(t, 30*time.Second, "its object is gone", func() bool { return len(s.objectsOf(t, owner.id)) == 1 }) // the other's is there
	if got := s.get(t, address); got.status != http.StatusNotFound {
		t.Errorf("the address of a deleted file is answered with %d", got.status)
	}
}

// amzTime is how a presigned URL writes its time.
const amzTime = "20060102T150405Z"

func path(t *testing.T, address string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Path
}

// What does not exist is not found, and an id that is none is told so.
func TestUnknownIDs(t *testing.T) {
	s := shared(t)
	ida, admin := s.joins(t, "ida-unknown"), s.admin(t)
	const nobody = "01997c5a-3b1e-7d42-8f60-2a9c41d7e053"
	for procedure, ask := range map[string]struct {
		field string
		more  map[string]any
		by    visitor
	}{
		"MediaService/GetFile":        {field: "fileId", by: ida},
		"MediaService/GetFileUrl":     {field: "fileId", by: ida},
		"MediaService/CompleteUpload": {field: "fileId", by: ida},
		"MediaService/ShareFile":      {field: "fileId", more: map[string]any{"everyone": true}, by: ida},
		"MediaService/UnshareFile":    {field: "fileId", more: map[string]any{"userId": nobody}, by: ida},
		"MediaService/DeleteFile":     {field: "fileId", by: ida},
		"AdminService/GetUser":        {field: "userId", by: admin},
		"AdminService/UpdateUser":     {field: "userId", more: map[string]any{"firstName": "Nobody"}, by: admin},
		"AdminService/SetUserRoles":   {field: "userId", more: map[string]any{"roles": []string{"auditor"}}, by: admin},
		"AdminService/DeleteUser":     {field: "userId", by: admin},
	} {
		t.Run(procedure, func(t *testing.T) {
			asked := map[string]any{ask.field: nobody}
			maps.Copy(asked, ask.more)
			s.call(t, procedure, asked, ask.by.token).refused(t, musterv1.Reason_REASON_NOT_FOUND, "")
			for _, none := range []string{"", "42", "../" + nobody} {
				asked[ask.field] = none
				s.call(t, procedure, asked, ask.by.token).refused(t, musterv1.Reason_REASON_INVALID_ARGUMENT, ask.field)
			}
		})
	}
	for _, address := range []string{"/avatars/" + nobody, "/avatars/42", "/files/" + nobody, "/files/42"} {
		if got := s.get(t, s.url+address); got.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", address, got.status, got.raw)
		}
	}
}

// The storage takes what was declared, and nothing else; what was not sent
// cannot be completed.
func TestUploadIsWhatWasDeclared(t *testing.T) {
	s := shared(t)
	mallory := s.joins(t, "upload-mallory")
	content := []byte("ten bytes.")
	for what, sent := range map[string][]byte{"larger": append(content, '!'), "smaller": content[1:]} {
		upload := s.beginUpload(t, mallory.token, "declared.txt", content)
		if got := upload.post(t, s, sent); got.status < 400 || got.status >= 500 {
			t.Errorf("%s than declared: answered with %d %s", what, got.status, got.raw)
		}
		s.call(t, "MediaService/CompleteUpload", file(upload.id), mallory.token).refused(t, musterv1.Reason_REASON_UPLOAD_INCOMPLETE, "")
	}
	upload := s.beginUpload(t, mallory.token, "declared.txt", content)
	for field, alter := range map[string]func(string) string{
		"key": func(is string) string {
			return strings.ReplaceAll(is, mallory.id, "01997c5a-3b1e-7d42-8f60-2a9c41d7e053")
		},
		"Content-Type":    func(string) string { return "text/html" },
		"policy":          func(is string) string { return longer(t, is) },
		"x-amz-signature": func(string) string { return strings.Repeat("0", 64) },
	} {
		altered := begun{upload.id, upload.url, maps.Clone(upload.fields)}
		altered.fields[field] = alter(upload.fields[field])
		if altered.fields[field] == upload.fields[field] {
			t.Fatalf("%s is not altered: %v", field, upload.fields)
		}
		if got := altered.post(t, s, content); got.status < 400 || got.status >= 500 {
			t.Errorf("another %s: answered with %d %s", field, got.status, got.raw)
		}
		s.call(t, "MediaService/CompleteUpload", file(upload.id), mallory.token).refused(t, musterv1.Reason_REASON_UPLOAD_INCOMPLETE, "")
	}
	upload.post(t, s, content).taken(t)
	other := s.joins(t, "upload-other")
	s.call(t, "MediaService/CompleteUpload", file(upload.id), other.token).refused(t, musterv1.Reason_REASON_NOT_FOUND, "")
	s.call(t, "MediaService/CompleteUpload", file(upload.id), mallory.token).ok(t)
}

// longer gives a form another day.
func longer(t *testing.T, policy string) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(policy)
	if err != nil {
		t.Fatal(err)
	}
	var rules map[string]any
	if err := json.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	rules["expiration"] = time.Now().UTC().Add(24 * time.Hour).Format(time.RFC3339)
	if text, err = json.Marshal(rules); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}

// What cannot be a file is refused before anything is sent, with its field.
func TestUploadThatCannotBe(t *testing.T) {
	s := shared(t)
	mallory := s.joins(t, "declare-mallory")
	for name, bad := range map[string]struct {
		change map[string]any
		field  string
	}{
		"more than 100 MiB":       {map[string]any{"size": 100<<20 + 1}, "size"},
		"nothing":                 {map[string]any{"size": 0}, "size"},
		"less than nothing":       {map[string]any{"size": -1}, "size"},
		"no name":                 {map[string]any{"name": ""}, "name"},
		"a path":                  {map[string]any{"name": "../../etc/passwd"}, "name"},
		"a name with a newline":   {map[string]any{"name": "a\r\nSet-Cookie: b"}, "name"},
		"a name written backward": {map[string]any{"name": "gpj.\u202eexe"}, "name"},
		"no type":                 {map[string]any{"contentType": ""}, "contentType"},
		"a type with parameters":  {map[string]any{"contentType": "text/html; charset=utf-8"}, "contentType"},
		"an unknown visibility":   {map[string]any{"visibility": 42}, "visibility"},
	} {
		t.Run(name, func(t *testing.T) {
			declared := map[string]any{"name": "a.txt", "contentType": "text/plain", "size": 1}
			maps.Copy(declared, bad.change)
			s.call(t, "MediaService/CreateUpload", declared, mallory.token).refused(t, musterv1.Reason_REASON_INVALID_ARGUMENT, bad.field)
		})
	}
}

// ListFiles tells the files page by page, and a page's token goes with the
// question that it was given for.
func TestListFilesPageByPage(t *testing.T) {
	s := shared(t)
	owner, other := s.made(t, "pages-owner", "admin"), s.made(t, "pages-other", "admin")
	for range 3 {
		s.uploads(t, owner.token, "page.txt", []byte("page"))
	}
	question := map[string]any{"pageSize": 2, "scope": "FILE_SCOPE_OWN"}
	first := s.call(t, "MediaService/ListFiles", question, owner.token).ok(t)
	token := first.text("nextPageToken")
	question["pageToken"] = token
	second := s.call(t, "MediaService/ListFiles", question, owner.token).ok(t)
	if one, two := len(first.list("files")), len(second.list("files")); one != 2 || two != 1 || second.text("nextPageToken") != "" {
		t.Errorf("told %d, then %d, then %q", one, two, second.text("nextPageToken"))
	}
	ofUsers := s.call(t, "AdminService/ListUsers", map[string]any{"pageSize": 1}, owner.token).ok(t).text("nextPageToken")
	if token == "" || ofUsers == "" {
		t.Fatalf("tokens %q and %q", token, ofUsers)
	}
	refusesTokens(t, s, "MediaService/ListFiles", question, owner, map[string]foreign{
		"altered":               {change: map[string]any{"pageToken": changed(token)}},
		"cut":                   {change: map[string]any{"pageToken": token[:len(token)/2]}},
		"for another scope":     {change: map[string]any{"scope": "FILE_SCOPE_SHARED"}},
		"for another procedure": {change: map[string]any{"pageToken": ofUsers}},
		"of somebody else":      {by: &other},
	})
}

// foreign is a way in which a page token does not belong to a question.
type foreign struct {
	change map[string]any
	by     *visitor // nil for who asked first
}

func refusesTokens(t *testing.T, s *world, procedure string, question map[string]any, asker visitor, ways map[string]foreign) {
	t.Helper()
	for what, way := range ways {
		t.Run(what, func(t *testing.T) {
			asked, by := maps.Clone(question), asker
			maps.Copy(asked, way.change)
			if way.by != nil {
				by = *way.by
			}
			s.call(t, procedure, asked, by.token).refused(t, musterv1.Reason_REASON_PAGE_TOKEN_INVALID, "pageToken")
		})
	}
	s.call(t, procedure, question, asker.token).ok(t) // as it was given
}

// The same through the generated clients, over gRPC.
func TestMediaOverGRPC(t *testing.T) {
	s := shared(t)
	bob := s.joins(t, "bob-media")
	client := h2c(t)
	media := musterv1connect.NewMediaServiceClient(client, s.url, connect.WithGRPC())
	users := musterv1connect.NewUserServiceClient(client, s.url, connect.WithGRPC())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	set, err := media.UploadAvatar(ctx, asks(&musterv1.UploadAvatarRequest{Picture: photograph(t, 500, 400, "")}, bob))
	if err != nil {
		t.Fatal(err)
	}
	me, err := users.GetMe(ctx, asks(&musterv1.GetMeRequest{}, bob))
	if err != nil {
		t.Fatal(err)
	}
	if !set.Msg.GetShown() || set.Msg.GetAvatarUrl() == "" || me.Msg.GetUser().GetAvatarUrl() != set.Msg.GetAvatarUrl() {
		t.Errorf("set %v, GetMe shows %q", set.Msg, me.Msg.GetUser().GetAvatarUrl())
	}
	s.get(t, set.Msg.GetAvatarUrl()).isAvatar(t)

	content := []byte("over gRPC")
	created, err := media.CreateUpload(ctx, asks(&musterv1.CreateUploadRequest{Name: "grpc.txt", ContentType: "text/plain", Size: int64(len(content)), Visibility: musterv1.Visibility_VISIBILITY_PUBLIC}, bob))
	if err != nil {
		t.Fatal(err)
	}
	begun{created.Msg.GetFileId(), created.Msg.GetUrl(), created.Msg.GetFields()}.post(t, s, content).taken(t)
	completed, err := media.CompleteUpload(ctx, asks(&musterv1.CompleteUploadRequest{FileId: created.Msg.GetFileId()}, bob))
	if err != nil {
		t.Fatal(err)
	}
	if completed.Msg.GetFile().GetSize() != int64(len(content)) || completed.Msg.GetFile().GetVisibility() != musterv1.Visibility_VISIBILITY_PUBLIC {
		t.Errorf("completed %v", completed.Msg)
	}
	where, err := media.GetFileUrl(ctx, asks(&musterv1.GetFileUrlRequest{FileId: created.Msg.GetFileId()}, bob))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, where.Msg.GetUrl()).ok(t); got.raw != string(content) {
		t.Errorf("read %q", got.raw)
	}
}

// asks is a call of somebody who is signed in.
func asks[T any](message *T, by visitor) *connect.Request[T] {
	request := connect.NewRequest(message)
	request.Header().Set(by.token.name, by.token.value)
	return request
}
