package view

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// defaultSize is how many events a page has where the caller does not say, and
	// maxSize how many at most.
	defaultSize = 50
	maxSize     = 500
	// searchTime bounds how long ListEvents goes on through what the filters leave out.
	searchTime = 2 * time.Second
)

// Permission that what is personal is shown with.
const Permission = "events.read_sensitive"

// Log is what is shown, and where it is recorded.
type Log interface {
	eventstore.Appender
	eventstore.StreamReader
	eventstore.BackwardReader
	eventstore.FilteredReader
	// Name of the log.
	Name() string
	// Head is an empty page at the present head.
	Head(ctx context.Context) (eventstore.Page, error)
}

// Codec opens events for people, and seals where a record came from; *seal.Codec
// is one. Its keys should not be cached: what is erased is then gone at once.
type Codec interface {
	Reveal(ctx context.Context, events []eventstore.Event, sealed bool) ([]seal.Revealed, error)
	Encode(ctx context.Context, drafts []eventstore.Draft) error
}

// Caller is who asks.
type Caller struct {
	// Metadata and Origin of what is recorded.
	Metadata eventstore.Metadata
	Origin   *eventstore.Origin
	// Sensitive tells whether the caller may see what is personal.
	Sensitive bool
}

// Config of a handler.
type Config struct {
	Log   Log
	Codec Codec
	// Caller tells who asks.
	Caller func(context.Context) Caller
	// People has the streams of accounts, whose names are those of actors: where
	// somebody asked from is sealed under the key of their account.
	People eventstore.StreamReader
	// Accounts are those of this service; nil where it has none.
	Accounts Accounts
	// Leaving is closed when the service begins to stop; nil for never.
	Leaving <-chan struct{}
	Now     func() time.Time
	// NewID makes UUIDv7 ids, of records.
	NewID func() (uuid.UUID, error)
}

// Handler serves the view of one log.
type Handler struct {
	config Config
	// heartbeat is how long who watches hears nothing at most, longest how long
	// they watch.
	heartbeat, longest time.Duration
	// watchers has a place for each.
	watchers chan struct{}
}

var _ eventlogv1connect.EventViewServiceHandler = (*Handler)(nil)

// NewHandler makes the handler.
func NewHandler(config Config) *Handler {
	return &Handler{config: config, heartbeat: heartbeat, longest: longestWatch, watchers: make(chan struct{}, maxWatchers)}
}

// ListEvents tells events, the newest first: of at most 3 MiB or so, and after
// two seconds those that were found by then.
func (h *Handler) ListEvents(ctx context.Context, request *connect.Request[musterv1.ListEventsRequest]) (*connect.Response[musterv1.ListEventsResponse], error) {
	asked := request.Msg
	caller, err := h.caller(ctx, asked.GetSensitive())
	if err != nil {
		return nil, err
	}
	if !h.isAsked(asked.GetLog()) {
		return connect.NewResponse(&musterv1.ListEventsResponse{}), nil
	}
	at, err := decodePlace(asked.GetPageToken())
	if err != nil {
		return nil, pageTokenInvalid()
	}
	look := eventstore.Look{Types: asked.GetTypes(), Stream: asked.GetStream(), Actor: asked.GetActor(), Before: at.at}
	if look.Since, err = moment(asked.GetSince(), "since"); err != nil {
		return nil, err
	}
	if look.Until, err = moment(asked.GetUntil(), "until"); err != nil {
		return nil, err
	}
	glance, err := h.search(ctx, look, at.epoch, sizeOf(asked.GetPageSize()))
	if err != nil {
		return nil, err
	}
	events := make([]eventstore.Event, len(glance.Events))
	for i, placed := range glance.Events {
		events[i] = placed.Event
	}
	shown, err := h.show(ctx, events, asked.GetSensitive(), false)
	if err != nil {
		return nil, err
	}
	if fitting := fit(shown.messages); fitting < len(events) {
		shown = shown.first(fitting)
		glance.Next = glance.Events[fitting-1].Place
	}
	if err := h.record(ctx, caller, disclosure{eventlogv1connect.EventViewServiceListEventsProcedure, asked.GetStream(), asked.GetTypes()}, shown, false); err != nil {
		return nil, err
	}
	response := &musterv1.ListEventsResponse{Events: shown.messages}
	if glance.Next > 0 {
		response.NextPageToken = place{glance.Epoch, glance.Next}.encode()
	}
	return connect.NewResponse(response), nil
}

// search looks until the page is full, or for some time.
func (h *Handler) search(ctx context.Context, look eventstore.Look, epoch int64, size int) (eventstore.Glance, error) {
	var found []eventstore.Placed
	bytes := 0
	for began := time.Now(); ; {
		glance, err := h.config.Log.ReadBack(ctx, look, size-len(found))
		if err != nil {
			return glance, err
		}
		if epoch != 0 && glance.Epoch != epoch {
			return glance, pageTokenInvalid() // another event may stand at its place now
		}
		for _, event := range glance.Events {
			bytes += len(event.Payload) + len(event.Sealed)
		}
		found = append(found, glance.Events...)
		if len(found) >= size || bytes > answerBytes || glance.Next == 0 || time.Since(began) > searchTime {
			glance.Events = found
			return glance, nil
		}
		look.Before, epoch = glance.Next, glance.Epoch
	}
}

// caller refuses who may not see what is asked for.
func (h *Handler) caller(ctx context.Context, sensitive bool) (Caller, error) {
	caller := h.config.Caller(ctx)
	if sensitive && !caller.Sensitive {
		return caller, denied()
	}
	return caller, nil
}

// isAsked tells whether a request is about this log.
func (h *Handler) isAsked(log string) bool { return log == "" || log == h.config.Log.Name() }

func sizeOf(asked int32) int {
	if asked <= 0 {
		return defaultSize
	}
	return min(int(asked), maxSize)
}

// GetUserHistory tells what happened to an account; a service without accounts
// knows none.
func (h *Handler) GetUserHistory(ctx context.Context, request *connect.Request[musterv1.GetUserHistoryRequest]) (*connect.Response[musterv1.GetUserHistoryResponse], error) {
	asked := request.Msg
	caller, err := h.caller(ctx, asked.GetSensitive())
	if err != nil {
		return nil, err
	}
	if h.config.Accounts == nil {
		return nil, notFound(named(asked), "")
	}
	account, err := h.account(ctx, asked)
	if err != nil {
		return nil, err
	}
	at, err := decodePlace(asked.GetPageToken())
	if err != nil || at.epoch != 0 && at.epoch != account.Epoch {
		return nil, pageTokenInvalid()
	}
	size := int(min(int64(sizeOf(asked.GetPageSize())), account.Version-at.at))
	var events []eventstore.Event
	if size > 0 {
		if events, err = h.config.Log.ReadStream(ctx, account.Stream, at.at+1, size); err != nil {
			return nil, err
		}
	}
	shown, err := h.show(ctx, events, asked.GetSensitive() && !account.Erased, false)
	if err != nil {
		return nil, err
	}
	if account.Erased {
		shown.erase()
	}
	shown = shown.first(fit(shown.messages))
	response := &musterv1.GetUserHistoryResponse{Account: account.User, Events: shown.messages, Erased: account.Erased}
	if !asked.GetSensitive() || account.Erased {
		withoutPerson(response.GetAccount())
	}
	personal := response.GetAccount() != nil && asked.GetSensitive() && !account.Erased
	if err := h.record(ctx, caller, disclosure{eventlogv1connect.EventViewServiceGetUserHistoryProcedure, account.Stream, nil}, shown, personal); err != nil {
		return nil, err
	}
	if reached := at.at + int64(len(shown.messages)); reached < account.Version && len(shown.messages) > 0 {
		response.NextPageToken = place{account.Epoch, reached}.encode()
	}
	return connect.NewResponse(response), nil
}

func (h *Handler) account(ctx context.Context, asked *musterv1.GetUserHistoryRequest) (Account, error) {
	userID := asked.GetUserId()
	var err error
	if userID == "" {
		if userID, err = h.config.Accounts.Find(ctx, asked.GetLoginName()); err != nil {
			return Account{}, refusal(named(asked), err)
		}
	}
	if id, err := uuid.Parse(userID); err == nil {
		userID = id.String() // in whichever way it was spelled
	}
	at, err := moment(asked.GetAt(), "at")
	if err != nil {
		return Account{}, err
	}
	account, err := h.config.Accounts.At(ctx, userID, at)
	if err != nil {
		return account, refusal(named(asked), err)
	}
	return account, nil
}

// named is the field that an account is named in.
func named(asked *musterv1.GetUserHistoryRequest) string {
	if asked.GetUserId() != "" {
		return "userId"
	}
	return "loginName"
}

// refusal tells that there is no such account, or was none.
func refusal(field string, err error) error {
	var early *NotYetError
	switch {
	case errors.As(err, &early):
		return notFound("at", fmt.Sprintf("The account did not exist then: its first event is of %s", early.First.UTC().Format(time.RFC3339Nano)))
	case errors.Is(err, ErrNoAccount):
		return notFound(field, "")
	}
	return err
}
