package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// callBound is how long a client waits for an answer: longer than a part is
// stopped, so that what the gateway does with it is seen.
const callBound = 30 * time.Second

// answer is what came back from one call.
type answer struct {
	began   time.Time
	took    time.Duration
	status  int
	request string // its id
	body    map[string]any
	code    string
	reason  string
	detail  *musterv1.ErrorDetail // of a refusal that has one
	err     error                 // nothing came back
}

func (a answer) ok() bool { return a.err == nil && a.status == http.StatusOK }

func (a answer) text(field string) string {
	text, _ := a.body[field].(string)
	return text
}

func (a answer) object(field string) map[string]any {
	object, _ := a.body[field].(map[string]any)
	return object
}

// label names the answer in tables.
func (a answer) label() string {
	switch {
	case a.err != nil:
		return "no answer"
	case a.ok():
		return "ok"
	case a.reason == "":
		return fmt.Sprintf("HTTP %d without a reason", a.status)
	}
	return a.reason
}

// undocumented says what is wrong with a refusal: a reason that is not in the
// table or means a fault of Muster's own, or a code that is not the reason's.
func (a answer) undocumented() string {
	if a.err != nil || a.ok() {
		return ""
	}
	number, known := musterv1.Reason_value["REASON_"+a.reason]
	documented := musterv1.Reason(number)
	switch {
	case !known || documented == musterv1.Reason_REASON_UNSPECIFIED:
		return fmt.Sprintf("refused with HTTP %d, code %q and reason %q, which is not documented", a.status, a.code, a.reason)
	case documented == musterv1.Reason_REASON_INTERNAL:
		return "refused with INTERNAL"
	}
	if want := reason.New(documented).Code().String(); a.code != want {
		return fmt.Sprintf("refused with reason %s and code %q, which has to be %q", a.reason, a.code, want)
	}
	return ""
}

// passing are the reasons that ask to come again; after those of unsure the
// write may have happened.
var (
	passing = []string{"OVERLOADED", "CONFLICT", "RATE_LIMITED"}
	unsure  = []string{"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELED", "NOT_CAUGHT_UP", "STORAGE_UNAVAILABLE"}
)

// retryable says that the call is to be repeated.
func (a answer) retryable() bool {
	return !a.ok() && (a.isUnsure() || slices.Contains(passing, a.reason))
}

// isUnsure says that the answer does not tell whether the write has happened.
func (a answer) isUnsure() bool {
	return a.err != nil || a.undocumented() != "" || slices.Contains(unsure, a.reason)
}

// caller calls the gateway as a person with curl does.
type caller struct {
	url     string
	client  *http.Client
	history *history
}

type header struct{ name, value string }

func bearer(token string) header { return header{"Authorization", "Bearer " + token} }
func keyed(key string) header    { return header{"Idempotency-Key", key} }

// call sends a body as JSON to a method of the API, for example
// "AuthService/Register".
func (c *caller) call(ctx context.Context, method string, body map[string]any, headers ...header) answer {
	sent, err := json.Marshal(body)
	if err != nil {
		return answer{err: err}
	}
	return c.send(ctx, method, http.MethodPost, "/muster.v1."+method, "application/json", sent, headers)
}

// put sends a picture.
func (c *caller) put(ctx context.Context, path string, picture []byte, headers ...header) answer {
	return c.send(ctx, "PUT "+path, http.MethodPut, path, "image/png", picture, headers)
}

func (c *caller) send(ctx context.Context, name, verb, path, kind string, body []byte, headers []header) answer {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	got := answer{began: time.Now()}
	defer func() {
		if ctx.Err() == nil { // what the run itself gives up tells nothing
			c.history.answered(name, got)
		}
	}()
	request, err := http.NewRequestWithContext(bounded, verb, c.url+path, bytes.NewReader(body))
	if err != nil {
		got.err = err
		return got
	}
	request.Header.Set("Content-Type", kind)
	for _, h := range headers {
		request.Header.Set(h.name, h.value)
	}
	response, err := c.client.Do(request)
	if err != nil {
		got.err = err
		return got
	}
	defer response.Body.Close() //nolint:errcheck // read only
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		got.err = fmt.Errorf("read the answer: %w", err)
		return got
	}
	got.status, got.took, got.request = response.StatusCode, time.Since(got.began), response.Header.Get("X-Request-Id")
	_ = json.Unmarshal(raw, &got.body) // some answers are plain text
	if got.ok() {
		return got
	}
	got.code = got.text("code")
	if got.detail, err = detailOf(got.body); err == nil {
		got.reason = got.detail.GetReason()
	}
	return got
}

var errNoDetail = errors.New("the error has no detail")

func detailOf(body map[string]any) (*musterv1.ErrorDetail, error) {
	details, _ := body["details"].([]any)
	for _, each := range details {
		detail, _ := each.(map[string]any)
		if detail["type"] != "muster.v1.ErrorDetail" {
			continue
		}
		value, _ := detail["value"].(string)
		decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
		if err != nil {
			return nil, err
		}
		found := &musterv1.ErrorDetail{}
		return found, proto.Unmarshal(decoded, found)
	}
	return nil, errNoDetail
}
