package object

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/muster-id/muster/eventstore/backoff"
)

const (
	// lookInterval is how often Run looks after the bucket, soonest and longest
	// how soon it looks again while the storage is away.
	lookInterval = 15 * time.Second
	soonest      = 500 * time.Millisecond
	longest      = 5 * time.Second
)

// Run makes the bucket where it is missing and looks after it until ctx ends,
// and then gives nil. It outlives every fault of the storage.
func (s *Store) Run(ctx context.Context) error {
	again := soonest
	answered := false
	for first := true; ; first = false {
		err := s.MakeBucket(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to end
		}
		if first || answered != (err == nil) {
			s.tell(ctx, err)
		}
		answered = err == nil
		pause := lookInterval
		if err != nil {
			pause, again = again, min(2*again, longest)
		} else {
			again = soonest
		}
		// Jitter, so that replicas do not look together.
		if backoff.Sleep(ctx, pause/2+rand.N(pause)) != nil {
			return nil //nolint:nilerr // told to end
		}
	}
}

func (s *Store) tell(ctx context.Context, err error) {
	if err != nil {
		s.logger.ErrorContext(ctx, "the object storage does not answer", "bucket", s.bucket, "error", err)
		return
	}
	s.logger.InfoContext(ctx, "the object storage answers", "bucket", s.bucket)
}

// MakeBucket makes the bucket where it is missing.
func (s *Store) MakeBucket(ctx context.Context) error {
	err := s.Ping(ctx)
	if !errors.Is(err, errNoBucket) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = s.client.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.region})
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.Code == minio.BucketAlreadyOwnedByYou {
		return nil // another replica was faster
	}
	return s.outcome(ctx, "make bucket", err)
}

var errNoBucket = fmt.Errorf("%w: the bucket is missing", ErrUnavailable)

// Ping asks the storage for the bucket, two seconds at most.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	exists, err := s.client.BucketExists(ctx, s.bucket)
	if err == nil && !exists {
		return errNoBucket
	}
	return s.outcome(ctx, "look for bucket", err)
}
