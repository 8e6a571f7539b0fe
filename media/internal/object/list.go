package object

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
)

const (
	// listPage is how many uploads are given at once.
	listPage = 500
	// listTimeout bounds a whole listing: there are no more uploads than are under way.
	listTimeout = time.Minute
)

// Uploads calls visit with the uploads that were last written before a time, a
// page of them at once. What is not named like an upload is left alone.
func (s *Store) Uploads(ctx context.Context, before time.Time, visit func([]Ref) error) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var refs []Ref
	for found := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: string(Upload) + "s/", Recursive: true}) {
		if found.Err != nil {
			return s.outcome(ctx, "list objects", found.Err)
		}
		if ref, ok := parse(found.Key); ok && found.LastModified.Before(before) {
			refs = append(refs, ref)
		}
		if len(refs) == listPage {
			if err := visit(refs); err != nil {
				return err
			}
			refs = nil
		}
	}
	if len(refs) == 0 {
		return nil
	}
	return visit(refs)
}

// parse reads an upload's key back.
func parse(key string) (Ref, bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 {
		return Ref{}, false
	}
	owner, err := uuid.Parse(parts[1])
	if err != nil {
		return Ref{}, false
	}
	id, err := uuid.Parse(parts[2])
	ref := Ref{Kind: Upload, Owner: owner, ID: id}
	return ref, err == nil && ref.Key() == key
}
