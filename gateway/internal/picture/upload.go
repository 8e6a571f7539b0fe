package picture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// MaxPicture is the largest picture, in bytes.
const MaxPicture = 5 << 20

// NewUpload serves PUT /me/avatar: the picture is the body. It makes the call of
// UploadAvatar of it, with the caller's other headers, and answers as that does
// in JSON. uploadAvatar is the Connect handler of that method, behind Admit.
func NewUpload(uploadAvatar http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := refusal(r); err != nil {
			serve.WriteError(w, r, err)
			return
		}
		body := newMessage(r.Body, r.ContentLength)
		held := &answer{ResponseWriter: w}
		uploadAvatar.ServeHTTP(held, call(r, body))
		if body.refusal != nil {
			// Connect can only say that it could not read the body.
			serve.WriteError(w, r, body.refusal)
			return
		}
		held.release(r)
	})
}

// refusal tells what is wrong with the headers, so that no body is read in vain.
func refusal(r *http.Request) error {
	// A browser sends what it takes the file for; the content is what counts.
	if given := r.Header.Get("Content-Type"); given != "" {
		kind, _, err := mime.ParseMediaType(given)
		if err != nil || !strings.HasPrefix(kind, "image/") && kind != "application/octet-stream" {
			return reason.New(musterv1.Reason_REASON_PICTURE_INVALID, reason.Message("The Content-Type is not that of a picture: send image/*, or none, as curl -T does"))
		}
	}
	if packed := r.Header.Get("Content-Encoding"); packed != "" && !strings.EqualFold(packed, "identity") {
		return reason.New(musterv1.Reason_REASON_PICTURE_INVALID, reason.Message("Send the picture as it is, without a Content-Encoding"))
	}
	switch {
	case r.ContentLength == 0:
		return empty()
	case r.ContentLength > MaxPicture:
		return tooLarge()
	}
	return nil
}

func empty() *connect.Error {
	return reason.New(musterv1.Reason_REASON_PICTURE_INVALID, reason.Message("Send the picture as the body"))
}

func tooLarge() *connect.Error { return reason.New(musterv1.Reason_REASON_PICTURE_TOO_LARGE) }

// call is the same request as a unary call of Connect's in binary, so that the
// picture passes as it is.
func call(r *http.Request, body *message) *http.Request {
	call := r.Clone(r.Context())
	call.Method = http.MethodPost
	call.URL = &url.URL{Path: musterv1connect.MediaServiceUploadAvatarProcedure}
	call.RequestURI = call.URL.Path
	call.Body = unclosed{body}
	call.ContentLength = body.length()
	call.TransferEncoding = nil
	call.Header.Set("Content-Type", "application/proto")
	// The answer is read here, and what is no Connect client's has no version.
	for _, name := range []string{"Accept-Encoding", "Content-Encoding", "Content-Length", "Connect-Protocol-Version"} {
		call.Header.Del(name)
	}
	return call
}

// answer holds back what the Connect handler answers.
type answer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader keeps the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write keeps the body, which is small.
func (a *answer) Write(data []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(data)
}

// release answers: a success in JSON, an error as Connect wrote it.
func (a *answer) release(r *http.Request) {
	a.WriteHeader(http.StatusOK)
	if a.status == http.StatusOK {
		text, err := inJSON(a.body.Bytes())
		if err != nil {
			serve.WriteError(a.ResponseWriter, r, err)
			return
		}
		a.Header().Set("Content-Type", "application/json")
		a.body = *bytes.NewBuffer(text)
	}
	a.Header().Del("Content-Length")
	a.ResponseWriter.WriteHeader(a.status)
	_, _ = a.ResponseWriter.Write(a.body.Bytes()) // fails when the client has gone
}

// inJSON writes an answer as the gateway's JSON codec does.
func inJSON(binary []byte) ([]byte, error) {
	var response musterv1.UploadAvatarResponse
	if err := proto.Unmarshal(binary, &response); err != nil {
		return nil, fmt.Errorf("read the answer of UploadAvatar: %w", err)
	}
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(&response)
	if err != nil {
		return nil, fmt.Errorf("write the answer of UploadAvatar: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, fmt.Errorf("write the answer of UploadAvatar: %w", err)
	}
	return compact.Bytes(), nil
}
