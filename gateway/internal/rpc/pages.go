package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/gateway/internal/page"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// defaultPageSize is how many entries a page has when nobody says.
const defaultPageSize = 50

func pageSize(asked int32) int32 {
	if asked == 0 {
		return defaultPageSize
	}
	return asked
}

// queryOf is what a page token of this call is bound to. filters must not
// change as long as it is used.
func queryOf(ctx context.Context, procedure string, filters proto.Message) page.Query {
	principal, _ := access.PrincipalFrom(ctx)
	return page.Query{Method: procedure, Caller: principal.UserID, Filters: filters}
}

// placeOf reads a page token into place; false for the first page, which has none.
func placeOf(pages *page.Sealer, query page.Query, token string, place proto.Message) (bool, error) {
	if token == "" {
		return false, nil
	}
	err := pages.Open(query, token, place)
	if errors.Is(err, page.ErrInvalid) {
		return false, reason.New(musterv1.Reason_REASON_PAGE_TOKEN_INVALID, reason.Field("pageToken"), reason.Cause(err))
	}
	return err == nil, err
}
