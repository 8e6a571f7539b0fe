package rpc

import (
	"net/http"

	"github.com/muster-id/muster/gateway/internal/browser"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	minKeyLength = 16
	maxKeyLength = 128
)

// idempotencyKey reads the header Idempotency-Key: 16 to 128 visible ASCII
// characters, a UUID for example; empty if there is none. A short one is
// refused since somebody else might choose it too.
func idempotencyKey(header http.Header) (string, error) {
	values := header.Values(browser.IdempotencyKeyHeader)
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if len(values) > 1 || len(key) < minKeyLength || len(key) > maxKeyLength || !visible(key) {
		return "", reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, reason.Field(browser.IdempotencyKeyHeader),
			reason.Message("The header Idempotency-Key has to be one value of 16 to 128 visible ASCII characters"))
	}
	return key, nil
}

func visible(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
