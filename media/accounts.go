package media

import (
	"context"
	"fmt"
	"time"

	"github.com/muster-id/muster/eventstore"
)

const (
	// accountStream is what identity calls the stream of an account, before its id.
	accountStream = "user-"
	// accountTimeout is less than the gateway waits for media.
	accountTimeout = 3 * time.Second
)

// accounts are the streams of identity's log, of which there is one for each
// account that was ever opened.
type accounts struct{ log eventstore.StreamReader }

// Opened implements app.Accounts.
func (a accounts) Opened(ctx context.Context, userID string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	events, err := a.log.ReadStream(ctx, accountStream+userID, 1, 1)
	if err != nil {
		return false, fmt.Errorf("read the account's stream: %w", err)
	}
	return len(events) > 0, nil
}
