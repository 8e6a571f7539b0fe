package picture

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// NewAvatars serves GET /avatars/{id}: the JPEG that get finds. An id names one
// picture for ever, so that an answer may be kept; that there is none is kept
// by nobody. get bounds its own time.
func NewAvatars(get func(ctx context.Context, id string) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := idOf(r)
		if err != nil {
			serve.WriteError(w, r, err)
			return
		}
		picture, err := get(r.Context(), id)
		if err != nil {
			serve.WriteError(w, r, err)
			return
		}
		header := w.Header()
		header.Set("Content-Type", "image/jpeg")
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
		header.Set("ETag", `"`+id+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(picture))
	})
}

// NewFiles serves GET /files/{id}: a redirect to the address that url presigns,
// which is good for minutes. That it is kept by nobody and goes into no Referer,
// site.SecureHeaders says. url bounds its own time.
func NewFiles(url func(ctx context.Context, id string) (string, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := idOf(r)
		if err != nil {
			serve.WriteError(w, r, err)
			return
		}
		address, err := url(r.Context(), id)
		if err != nil {
			serve.WriteError(w, r, err)
			return
		}
		// Without the page that http.Redirect writes: it would hold the address again.
		w.Header().Set("Location", address)
		w.WriteHeader(http.StatusSeeOther)
	})
}

// idOf is the id of the path, in the one form in which ids are given out.
func idOf(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return "", reason.New(musterv1.Reason_REASON_NOT_FOUND)
	}
	return id, nil
}
