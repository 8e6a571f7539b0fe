package app_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/app"
	"github.com/muster-id/muster/media/internal/file"
	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/store"
	"github.com/muster-id/muster/platform/teststack"
)

func (w *world) list(t *testing.T, user uuid.UUID, shared bool) (ids []string) {
	t.Helper()
	w.settle(t)
	page, err := w.app.Queries.ListFiles.Handle(t.Context(), app.ListFiles{UserID: user.String(), Shared: shared, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range page.Files {
		ids = append(ids, f.ID)
	}
	return ids
}

func (w *world) share(t *testing.T, by uuid.UUID, id, with string) (app.File, error) {
	t.Helper()
	return w.app.Commands.ShareFile.Handle(t.Context(), app.ShareFile{UserID: by.String(), FileID: id, With: with, Request: request()})
}

func (w *world) unshare(t *testing.T, by uuid.UUID, id, with string) (app.File, error) {
	t.Helper()
	return w.app.Commands.UnshareFile.Handle(t.Context(), app.UnshareFile{UserID: by.String(), FileID: id, With: with, Request: request()})
}

func (w *world) get(t *testing.T, by uuid.UUID, id string) (app.File, error) {
	t.Helper()
	return w.app.Queries.GetFile.Handle(t.Context(), app.GetFile{UserID: by.String(), FileID: id})
}

func (w *world) url(t *testing.T, by, id string) (app.FileURL, error) {
	t.Helper()
	return w.app.Queries.GetFileURL.Handle(t.Context(), app.GetFileURL{UserID: by, FileID: id})
}

func (w *world) remove(t *testing.T, by uuid.UUID, id string, any bool) error {
	t.Helper()
	return w.app.Commands.DeleteFile.Handle(t.Context(), app.DeleteFile{UserID: by.String(), FileID: id, Any: any, Request: request()})
}

// fetch reads an address as a browser would.
func fetch(t *testing.T, address string) (status int, header http.Header, content string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}

func TestAnUploadBecomesAFileThatItsOwnerReads(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	completed := w.upload(t, ada)
	if completed.Name != "note.txt" || completed.ContentType != "text/plain" || completed.Size != int64(len(note)) || completed.Public || completed.OwnerID != ada.String() {
		t.Errorf("completed as %+v", completed)
	}
	if got := w.list(t, ada, false); !slices.Equal(got, []string{completed.ID}) {
		t.Errorf("the list shows %v", got)
	}
	address, err := w.url(t, ada.String(), completed.ID)
	if err != nil {
		t.Fatal(err)
	}
	status, header, content := fetch(t, address.URL.Reveal())
	if status != http.StatusOK || content != note || header.Get("Content-Disposition") != `attachment; filename="note.txt"; filename*=UTF-8''note.txt` {
		t.Errorf("%d %q, %v", status, content, header)
	}
	w.sweep(t)
	w.holds(t, fileRef(completed))
	if rows := w.count(t, `SELECT count(*) FROM storage.uploads`); rows > 0 {
		t.Error("what was declared is kept, though it is in the log now")
	}
	w.clock.pass(swept)
	w.sweep(t)
	w.holds(t, fileRef(completed))
	if rows := w.count(t, `SELECT count(*) FROM storage.objects`); rows != 1 {
		t.Errorf("%d rows for one object", rows)
	}
}

func TestLongNamesInAnyScriptReachTheBrowser(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	for _, name := range []string{strings.Repeat("😀", 62) + ".html", strings.Repeat("я", 125) + ".html", strings.Repeat("%", 250) + ".html"} {
		created := w.createAs(t, app.CreateUpload{UserID: ada.String(), Name: name, ContentType: "text/html", Size: int64(len(note))})
		if status := post(t, created.Form, note); status != http.StatusCreated {
			t.Fatalf("the form was answered with %d", status)
		}
		if _, err := w.complete(t, ada, created.FileID); err != nil {
			t.Fatal(err)
		}
		address, err := w.url(t, ada.String(), created.FileID)
		if err != nil {
			t.Fatal(err)
		}
		status, header, content := fetch(t, address.URL.Reveal())
		if status != http.StatusOK || header.Get("Content-Disposition") != file.Disposition(name) || header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%d %q, %v", status, content, header)
		}
	}
}

func TestACompletedUploadIsCompletedOnce(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	created := w.create(t, ada)
	if status := post(t, created.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	const times = 4
	var together sync.WaitGroup
	completed, errs := make([]app.File, times), make([]error, times)
	for i := range times {
		together.Go(func() { completed[i], errs[i] = w.complete(t, ada, created.FileID) })
	}
	together.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(swept) // and again after its form has expired
	w.sweep(t)
	again, err := w.complete(t, ada, created.FileID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range completed {
		if c.ID != again.ID || !c.UploadedAt.Equal(again.UploadedAt) {
			t.Errorf("completed as %+v, then as %+v", c, again)
		}
	}
	if events := w.count(t, `SELECT count(*) FROM log.events WHERE stream_id = $1`, file.Stream(created.FileID)); events != 1 {
		t.Errorf("%d events", events)
	}
	w.holds(t, fileRef(again))
}

func TestAnUploadThatIsNotWhatWasDeclaredIsRefused(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	page := "<html><script>alert(1)</script></html>"
	t.Run("a page as a picture", func(t *testing.T) {
		created := w.createAs(t, app.CreateUpload{UserID: ada.String(), Name: "a.png", ContentType: "image/png", Size: int64(len(page))})
		if status := post(t, created.Form, page); status != http.StatusCreated {
			t.Fatalf("the form was answered with %d", status)
		}
		if _, err := w.complete(t, ada, created.FileID); !errors.Is(err, app.ErrUploadMismatch) {
			t.Errorf("%v, want ErrUploadMismatch", err)
		}
		w.sweep(t)
		w.holds(t)
		// Its form is good for a while: what it brings is swept too, at the end.
		if status := post(t, created.Form, page); status != http.StatusCreated {
			t.Fatalf("the form was answered with %d", status)
		}
		if _, err := w.complete(t, ada, created.FileID); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("%v, want ErrNotFound", err)
		}
		w.clock.pass(swept)
		w.sweep(t)
		w.empty(t)
	})
	t.Run("another size or type", func(t *testing.T) { // which the form would not take
		for _, content := range []string{note + note, note} {
			created := w.create(t, ada)
			ref := object.Ref{Kind: object.Upload, Owner: ada, ID: uuid.MustParse(created.FileID)}
			if err := w.objects.Put(t.Context(), ref, []byte(content), "text/html"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.complete(t, ada, created.FileID); !errors.Is(err, app.ErrUploadMismatch) {
				t.Errorf("%v, want ErrUploadMismatch", err)
			}
		}
		w.clock.pass(swept)
		w.sweep(t)
		w.empty(t)
	})
}

func TestAnUploadHasItsTime(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	created := w.create(t, ada)
	if _, err := w.complete(t, ada, created.FileID); !errors.Is(err, app.ErrUploadIncomplete) {
		t.Errorf("before the post: %v, want ErrUploadIncomplete", err)
	}
	if status := post(t, created.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	w.sweep(t)
	ref := object.Ref{Kind: object.Upload, Owner: ada, ID: uuid.MustParse(created.FileID)}
	w.holds(t, ref)
	w.clock.pass(lifetime)
	if _, err := w.complete(t, ada, created.FileID); !errors.Is(err, app.ErrUploadExpired) {
		t.Errorf("too late: %v, want ErrUploadExpired", err)
	}
	w.sweep(t) // somebody may be posting still
	w.holds(t, ref)
	w.clock.pass(store.Grace)
	w.sweep(t)
	w.empty(t)
	if _, err := w.complete(t, ada, created.FileID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("after the sweep: %v, want ErrNotFound", err)
	}
}

// A post that ends hours after its form has expired finds no row any more.
func TestAPostThatEndsTooLateIsAStray(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	kept, waiting := w.upload(t, ada), w.create(t, ada)
	if status := post(t, waiting.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	w.sweep(t)
	late := object.Ref{Kind: object.Upload, Owner: ada, ID: uuid.New()}
	w.s3.Put(t, late.Key(), []byte(note))
	ref := object.Ref{Kind: object.Upload, Owner: ada, ID: uuid.MustParse(waiting.FileID)}
	if deleted, err := w.strays.DeleteStrays(t.Context()); err != nil || deleted != 0 {
		t.Errorf("%d strays at once, %v", deleted, err)
	}
	w.clock.pass(object.LongestUpload + swept)
	if deleted, err := w.strays.DeleteStrays(t.Context()); err != nil || deleted != 1 {
		t.Errorf("%d strays, %v", deleted, err)
	}
	w.holds(t, fileRef(kept), ref)
}

// Whoever has the form has it for a while, but not to change a file with it.
func TestAFileIsNotChangedByAnotherPost(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	created := w.create(t, ada)
	for _, content := range []string{note, strings.ToUpper(note)} {
		if status := post(t, created.Form, content); status != http.StatusCreated {
			t.Fatalf("the form was answered with %d", status)
		}
		if _, err := w.complete(t, ada, created.FileID); err != nil {
			t.Fatal(err)
		}
	}
	ref := object.Ref{Kind: object.File, Owner: ada, ID: uuid.MustParse(created.FileID)}
	if got := string(w.s3.Get(t, ref.Key())); got != note {
		t.Errorf("the file reads %q", got)
	}
	w.clock.pass(swept)
	w.sweep(t)
	w.holds(t, ref)
}

func TestWhatIsDeclaredIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for field, spoil := range map[string]func(*app.CreateUpload){
		"name":        func(c *app.CreateUpload) { c.Name = "../../etc/passwd" },
		"contentType": func(c *app.CreateUpload) { c.ContentType = "text/plain; charset=utf-8" },
		"size":        func(c *app.CreateUpload) { c.Size = 1<<20 + 1 },
	} {
		c := app.CreateUpload{UserID: uuid.NewString(), Name: "note.txt", ContentType: "text/plain", Size: 1}
		spoil(&c)
		_, err := w.app.Commands.CreateUpload.Handle(t.Context(), c)
		if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	w.empty(t)
}

// Every way to a file of somebody else ends in the same answer, whether there is one or not.
func TestOtherPeoplesFilesAreNotFound(t *testing.T) {
	t.Parallel()
	w, ada, eve := newWorld(t), uuid.New(), uuid.New()
	theirs, begun := w.upload(t, ada), w.create(t, ada)
	if status := post(t, begun.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	for _, id := range []string{theirs.ID, begun.FileID, uuid.NewString(), "no id"} {
		_, get := w.get(t, eve, id)
		_, address := w.url(t, eve.String(), id)
		_, anonymous := w.url(t, "", id)
		_, share := w.share(t, eve, id, eve.String())
		_, publish := w.share(t, eve, id, "")
		_, unshare := w.unshare(t, eve, id, ada.String())
		_, complete := w.complete(t, eve, id)
		for name, err := range map[string]error{
			"get": get, "url": address, "url without a name": anonymous, "share": share, "publish": publish, "unshare": unshare, "complete": complete,
			"delete": w.remove(t, eve, id, false),
		} {
			if !errors.Is(err, app.ErrNotFound) {
				t.Errorf("%s: %v, want ErrNotFound", name, err)
			}
		}
	}
	if got := append(w.list(t, eve, false), w.list(t, eve, true)...); len(got) > 0 {
		t.Errorf("the lists show %v", got)
	}
}

func TestWhoAFileIsSharedWithReadsIt(t *testing.T) {
	t.Parallel()
	w, ada, bob, eve := newWorld(t), uuid.New(), uuid.New(), uuid.New()
	f := w.upload(t, ada)
	shared, err := w.share(t, ada, strings.ToUpper(f.ID), strings.ToUpper(bob.String()))
	if err != nil || !slices.Equal(shared.Readers, []string{bob.String()}) {
		t.Fatalf("shared with %v, %v", shared.Readers, err)
	}
	seen, err := w.get(t, bob, f.ID)
	if err != nil || seen.Name != "note.txt" || seen.Readers != nil {
		t.Errorf("a reader sees %+v, %v", seen, err)
	}
	if got := w.list(t, bob, true); !slices.Equal(got, []string{f.ID}) {
		t.Errorf("the list of what is shared shows %v", got)
	}
	if _, err := w.url(t, bob.String(), f.ID); err != nil {
		t.Error(err)
	}
	if err := w.remove(t, bob, f.ID, false); !errors.Is(err, file.ErrNotYours) {
		t.Errorf("a reader deletes: %v, want ErrNotYours", err)
	}
	if _, err := w.share(t, bob, f.ID, eve.String()); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("a reader shares: %v, want ErrNotFound", err)
	}
	if _, err := w.unshare(t, ada, f.ID, bob.String()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.get(t, bob, f.ID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("a former reader: %v, want ErrNotFound", err)
	}
	if got := w.list(t, bob, true); len(got) > 0 {
		t.Errorf("the list of what is shared shows %v", got)
	}
}

func TestAPublicFileIsEverybodys(t *testing.T) {
	t.Parallel()
	w, ada, eve := newWorld(t), uuid.New(), uuid.New()
	f := w.upload(t, ada)
	if shared, err := w.share(t, ada, f.ID, ""); err != nil || !shared.Public {
		t.Fatalf("public %t, %v", shared.Public, err)
	}
	if _, err := w.get(t, eve, f.ID); err != nil {
		t.Error(err)
	}
	if _, err := w.url(t, "", f.ID); err != nil {
		t.Error(err)
	}
	if shared, err := w.unshare(t, ada, f.ID, ""); err != nil || shared.Public {
		t.Fatalf("public %t, %v", shared.Public, err)
	}
	if _, err := w.url(t, "", f.ID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
}

func TestAFileIsNotSharedWithNobody(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	f := w.upload(t, ada)
	_, err := w.share(t, ada, f.ID, nobody)
	if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != "userId" {
		t.Errorf("got %v, want a refusal of userId", err)
	}
	if events := w.count(t, `SELECT count(*) FROM log.events WHERE stream_id = $1`, file.Stream(f.ID)); events != 1 {
		t.Errorf("%d events, want 1", events)
	}
}

func TestSharingThatChangesNothingIsNoEvent(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	f := w.upload(t, ada)
	for _, with := range []string{ada.String(), strings.ToUpper(ada.String())} {
		if _, err := w.share(t, ada, f.ID, with); err != nil {
			t.Error(err)
		}
		if _, err := w.unshare(t, ada, f.ID, with); err != nil {
			t.Error(err)
		}
	}
	if events := w.count(t, `SELECT count(*) FROM log.events WHERE stream_id = $1`, file.Stream(f.ID)); events != 1 {
		t.Errorf("%d events, want 1", events)
	}
}

func TestAnAccessListHasABound(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	f := w.upload(t, ada)
	for range file.MaxReaders {
		if _, err := w.share(t, ada, f.ID, uuid.NewString()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.share(t, ada, f.ID, uuid.NewString())
	if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != "userId" {
		t.Errorf("%v", err)
	}
}

func TestADeletedFileIsGoneWithObjectAndKey(t *testing.T) {
	t.Parallel()
	for name, admin := range map[string]bool{"by its owner": false, "by an administrator": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, ada := newWorld(t), uuid.New()
			f := w.upload(t, ada)
			if _, err := w.share(t, ada, f.ID, uuid.NewString()); err != nil {
				t.Fatal(err)
			}
			by := ada
			if admin {
				by = uuid.New()
			}
			if err := w.remove(t, by, f.ID, admin); err != nil {
				t.Fatal(err)
			}
			// Where somebody else did it, media has no key to seal from where it was.
			if sealed := w.count(t, `SELECT count(*) FROM log.events WHERE stream_id = $1 AND type LIKE '%FileDeleted' AND metadata_sealed IS NULL`, file.Stream(f.ID)); (sealed == 1) != admin {
				t.Errorf("the origin is left out: %t", sealed == 1)
			}
			if _, err := w.get(t, ada, f.ID); !errors.Is(err, app.ErrNotFound) {
				t.Errorf("get: %v, want ErrNotFound", err)
			}
			if err := w.remove(t, by, f.ID, admin); !errors.Is(err, app.ErrNotFound) {
				t.Errorf("again: %v, want ErrNotFound", err)
			}
			teststack.Eventually(t, "the file's key is destroyed", func() bool { return w.keyring.Alive() == 0 })
			w.sweep(t)
			w.holds(t)
			w.clock.pass(swept)
			w.sweep(t)
			w.empty(t)
		})
	}
}

// The process dies between the copy and the event, then the upload is completed again.
func TestACompletionThatWasCutShortIsRepeatedOrSwept(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	begin := func() app.UploadCreated {
		t.Helper()
		created := w.create(t, ada)
		if status := post(t, created.Form, note); status != http.StatusCreated {
			t.Fatalf("the form was answered with %d", status)
		}
		w.log.before = powerCut
		if _, err := w.complete(t, ada, created.FileID); !errors.Is(err, errPowerCut) {
			t.Fatal(err)
		}
		return created
	}
	repeated, err := w.complete(t, ada, begin().FileID)
	if err != nil {
		t.Fatal(err)
	}
	begin()
	if objects := len(w.s3.Objects(t)); objects != 4 {
		t.Errorf("%d objects, the test needs an upload and a copy of each", objects)
	}
	w.clock.pass(swept)
	w.sweep(t)
	w.holds(t, fileRef(repeated))
	if rows := w.count(t, `SELECT count(*) FROM storage.objects`) + w.count(t, `SELECT count(*) FROM storage.uploads`); rows != 1 {
		t.Errorf("%d rows for one object", rows)
	}
}

// The event is in the log, but nobody has heard of it.
func TestACompletionWhoseAnswerWasLostIsAFile(t *testing.T) {
	t.Parallel()
	w, ada := stillWorld(t), uuid.New()
	created := w.create(t, ada)
	if status := post(t, created.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	w.log.after = powerCut
	completed, err := w.complete(t, ada, created.FileID)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.clock.pass(swept)
		w.sweep(t)
	}
	w.holds(t, fileRef(completed))
	w.follow(t)
	if got := w.list(t, ada, false); !slices.Equal(got, []string{completed.ID}) {
		t.Errorf("the list shows %v", got)
	}
}

func TestWithoutStorageFilesAreUnavailableAndAtOnce(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	f, begun := w.upload(t, ada), w.create(t, ada)
	if status := post(t, begun.Form, note); status != http.StatusCreated {
		t.Fatalf("the form was answered with %d", status)
	}
	w.line.Cut()
	began := time.Now()
	_, create := w.app.Commands.CreateUpload.Handle(t.Context(), app.CreateUpload{UserID: ada.String(), Name: "a", ContentType: "text/plain", Size: 1})
	_, complete := w.complete(t, ada, begun.FileID)
	for name, err := range map[string]error{"create": create, "complete": complete} {
		if !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	// What needs no storage works.
	if _, err := w.get(t, ada, f.ID); err != nil {
		t.Error(err)
	}
	if err := w.remove(t, ada, f.ID, false); err != nil {
		t.Error(err)
	}
	w.line.Mend()
	completed, err := w.complete(t, ada, begun.FileID)
	if err != nil {
		t.Fatal(err)
	}
	w.sweep(t)
	w.clock.pass(swept)
	w.sweep(t)
	w.holds(t, fileRef(completed))
}

func TestAnOriginIsSealedUnderTheFilesKey(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	f := w.upload(t, ada)
	if keys := w.keyring.Alive(); keys != 1 {
		t.Errorf("%d keys for one file", keys)
	}
	events, err := w.log.ReadStream(t.Context(), file.Stream(f.ID), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if event.KeyID == "" || event.MetadataKeyID != event.KeyID || strings.Contains(string(event.Payload), "note.txt") {
			t.Errorf("%+v", event)
		}
		if want := (eventstore.Metadata{Actor: "user-" + ada.String(), RequestID: "request"}); event.Metadata != want {
			t.Errorf("metadata %+v", event.Metadata)
		}
	}
}

// So a list shows what the caller has just done.
func TestACommandWaitsUntilListsShowIt(t *testing.T) {
	t.Parallel()
	w, ada := newWorld(t), uuid.New()
	f := w.upload(t, ada)
	stream := file.Stream(f.ID)
	for version, command := range []func() error{
		func() error { return nil }, // the upload itself
		func() error { _, err := w.share(t, ada, f.ID, ""); return err },
		func() error { _, err := w.unshare(t, ada, f.ID, ""); return err },
		func() error { return w.remove(t, ada, f.ID, false) },
	} {
		if err := command(); err != nil {
			t.Fatal(err)
		}
		if got := w.awaited.last(); got.Stream != stream || got.Version != int64(version+1) || got.Log != app.LogName {
			t.Errorf("it waits for %+v, want version %d", got, version+1)
		}
	}
	if _, err := w.setAvatar(t, ada); err != nil {
		t.Fatal(err)
	}
	if got := w.awaited.last(); got.Stream != "avatar-"+ada.String() || got.Version != 1 {
		t.Errorf("it waits for %+v", got)
	}
}
