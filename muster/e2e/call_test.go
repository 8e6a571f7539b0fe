package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// answer is what a person with curl sees.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
	// detail is the error's detail, nil for a success.
	detail *musterv1.ErrorDetail
}

func (a answer) text(field string) string {
	text, _ := a.body[field].(string)
	return text
}

func (a answer) bool(field string) bool {
	value, _ := a.body[field].(bool)
	return value
}

// ok fails the test unless the call succeeded.
func (a answer) ok(t *testing.T) answer {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("got %d: %s", a.status, a.raw)
	}
	return a
}

// refused fails the test unless the call was refused for this reason.
func (a answer) refused(t *testing.T, reason musterv1.Reason, field string) answer {
	t.Helper()
	want := strings.TrimPrefix(reason.String(), "REASON_")
	if a.detail == nil || a.detail.GetReason() != want || a.detail.GetField() != field {
		t.Fatalf("got %d %s, want reason %s of field %q", a.status, a.raw, want, field)
	}
	if a.detail.GetRequestId() == "" || a.detail.GetRequestId() != a.header.Get("X-Request-Id") {
		t.Errorf("request id %q in the error, %q in the header", a.detail.GetRequestId(), a.header.Get("X-Request-Id"))
	}
	if a.detail.GetNext() == "" {
		t.Error("the error does not say what to do next")
	}
	return a
}

type header struct{ name, value string }

func bearer(token string) header { return header{"Authorization", "Bearer " + token} }

// call sends a body as JSON to a procedure, as curl does.
func (s *world) call(t *testing.T, procedure string, body any, headers ...header) answer {
	t.Helper()
	var sent []byte
	switch body := body.(type) {
	case string:
		sent = []byte(body)
	default:
		var err error
		if sent, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/muster.v1."+procedure, bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		request.Header.Set(h.name, h.value)
	}
	return s.send(t, request)
}

func (s *world) send(t *testing.T, request *http.Request) answer {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{status: response.StatusCode, header: response.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &got.body) // some answers are plain text
	details, _ := got.body["details"].([]any)
	for _, each := range details {
		detail, _ := each.(map[string]any)
		if detail["type"] != "muster.v1.ErrorDetail" {
			continue
		}
		value, _ := detail["value"].(string)
		decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
		if err != nil {
			t.Fatal(err)
		}
		got.detail = &musterv1.ErrorDetail{}
		if err := proto.Unmarshal(decoded, got.detail); err != nil {
			t.Fatal(err)
		}
		namesReason(t, request, got.detail)
	}
	return got
}

// person is somebody who registers.
type person struct {
	Username  string `json:"username"`
	Email     string `json:"email"`
	Password  string `json:"password"`
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
}

func somebody(name string) person {
	return person{
		Username:  name,
		Email:     name + "@example.org",
		Password:  "correct horse " + name,
		FirstName: "Given-" + name,
		LastName:  "Family-" + name,
	}
}

func (p person) login() map[string]any {
	return map[string]any{"login": p.Username, "password": p.Password}
}
