package teststack_test

import (
	"slices"
	"testing"

	"github.com/muster-id/muster/platform/teststack"
)

// A test's bucket is empty, holds what is put into it, and is gone afterwards.
func TestABucketIsATestsOwn(t *testing.T) {
	t.Parallel()
	var bucket teststack.S3
	t.Run("inside", func(t *testing.T) {
		bucket = teststack.Bucket(t)
		if keys := bucket.Objects(t); len(keys) != 0 {
			t.Errorf("a fresh bucket holds %v", keys)
		}
		keys := []string{"files/a b+c=/ü", "plain"}
		for _, key := range keys {
			bucket.Put(t, key, []byte("content"))
		}
		if got := bucket.Objects(t); !slices.Equal(got, keys) {
			t.Errorf("holds %v, want %v", got, keys)
		}
	})
	if left := bucket.Get(t, ""); left != nil {
		t.Errorf("left behind: %s", left)
	}
}
