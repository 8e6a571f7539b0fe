package overview

import (
	"encoding/base64"
	"errors"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

// ErrPlaces is for a text that no Places have made, or those of other logs.
var ErrPlaces = errors.New("overview: not where these logs go on")

// cursorVersion leads each cursor, so that its shape can change.
const cursorVersion byte = 1

// Places say where to go on in each log, by its name: with a page token of its
// service, or a cursor; empty for the beginning. A log that is missing has ended.
// No Places at all are the beginning of all logs.
type Places map[string]string

// Message is the same, to keep it as bytes.
func (p Places) Message() *eventlogv1.LogPlaces {
	message := &eventlogv1.LogPlaces{}
	for _, log := range slices.Sorted(maps.Keys(p)) {
		message.Places = append(message.Places, &eventlogv1.LogPlace{Log: log, Place: p[log]})
	}
	return message
}

// PlacesOf reads what Message has made.
func PlacesOf(message *eventlogv1.LogPlaces) Places {
	places := Places{}
	for _, each := range message.GetPlaces() {
		places[each.GetLog()] = each.GetPlace()
	}
	return places
}

// Cursor is the same as text. It is no secret, and proves nothing: whoever goes on
// from it is asked again whether they may.
func (p Places) Cursor() string {
	// It fails for invalid UTF-8 only, which no call has let in.
	plain, _ := proto.MarshalOptions{Deterministic: true}.Marshal(p.Message())
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion}, plain...))
}

// ParseCursor accepts exactly what Cursor makes; an empty text is the beginning.
// Errors: ErrPlaces.
func ParseCursor(text string) (Places, error) {
	if text == "" {
		return nil, nil
	}
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(plain) == 0 || plain[0] != cursorVersion {
		return nil, ErrPlaces
	}
	message := &eventlogv1.LogPlaces{}
	if err := proto.Unmarshal(plain[1:], message); err != nil {
		return nil, ErrPlaces
	}
	places := PlacesOf(message)
	if places.Cursor() != text {
		return nil, ErrPlaces
	}
	return places, nil
}
