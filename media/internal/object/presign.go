package object

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/muster-id/muster/platform/secret"
)

// PresignGet signs an address from which the object can be read until lifetime
// has passed, a second at least and 7 days at most. The answer carries the given
// Content-Disposition and Content-Type, which are signed as well.
func (s *Store) PresignGet(ctx context.Context, ref Ref, disposition, contentType string, lifetime time.Duration) (secret.String, error) {
	address, err := s.public.PresignedGetObject(ctx, s.bucket, ref.Key(), lifetime, url.Values{
		"response-content-disposition": {disposition},
		"response-content-type":        {contentType},
	})
	if err != nil {
		return secret.String{}, fmt.Errorf("presign address: %w", err)
	}
	return secret.New(address.String()), nil
}

// Form is what a browser sends to upload an object.
type Form struct {
	// URL to POST to.
	URL string
	// Fields of the form, before the field `file`. They are good as a signature is.
	Fields map[string]string
}

// PresignPost signs a form with which an object of exactly this size and type
// can be posted until expiresAt.
func (s *Store) PresignPost(ctx context.Context, ref Ref, contentType string, size int64, expiresAt time.Time) (Form, error) {
	policy := minio.NewPostPolicy()
	for _, set := range []error{
		policy.SetBucket(s.bucket),
		policy.SetKey(ref.Key()),
		policy.SetContentType(contentType),
		policy.SetContentLengthRange(size, size),
		policy.SetSuccessStatusAction("201"),
		policy.SetExpires(expiresAt.UTC()),
	} {
		if set != nil {
			return Form{}, fmt.Errorf("presign form: %w", set)
		}
	}
	address, fields, err := s.public.PresignedPostPolicy(ctx, policy)
	if err != nil {
		return Form{}, fmt.Errorf("presign form: %w", err)
	}
	return Form{URL: address.String(), Fields: fields}, nil
}
