package serve

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// WriteError answers an HTTP handler's error the way the Connect handlers do:
// for handlers that are none, and for middleware.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	e := exchangeOf(r.Context())
	writeError(w, r, e.fail(r.Context(), e.logger, err))
}

func writeError(w http.ResponseWriter, r *http.Request, err *connect.Error) {
	w.Header().Del("Content-Length")
	w.Header().Del("Content-Encoding")
	_ = connect.NewErrorWriter().Write(w, r, err) // fails when the client has gone
}

const (
	// maxRefusal is as much of Connect's own error as is read.
	maxRefusal = 16 << 10
)

// refusalWriter holds back an error that the mux or Connect writes before any
// interceptor has the call, so that finish can answer with a reason instead.
// Everything else it lets through, plain handlers' own errors too.
type refusalWriter struct {
	http.ResponseWriter
	request  *http.Request
	exchange *exchange

	status  int
	held    bool
	refusal []byte
}

var _ http.Flusher = (*refusalWriter)(nil)

// Unwrap is for http.ResponseController.
func (w *refusalWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *refusalWriter) WriteHeader(status int) {
	if w.status >= http.StatusOK {
		return // said before
	}
	w.status = status
	if w.held = !w.exchange.answered && mayBeRefusal(status, w.Header().Get("Content-Type")); !w.held {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *refusalWriter) Write(data []byte) (int, error) {
	if w.status < http.StatusOK {
		w.WriteHeader(http.StatusOK)
	}
	if w.held && len(w.refusal)+len(data) > maxRefusal {
		if err := w.release(); err != nil {
			return 0, err
		}
	}
	if w.held {
		w.refusal = append(w.refusal, data...)
		return len(data), nil
	}
	return w.ResponseWriter.Write(data)
}

func (w *refusalWriter) Flush() {
	if w.status == 0 && !w.exchange.answered && w.grpcStatus() > 0 {
		w.held = true
	}
	if w.held {
		return
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// release lets what was held back go as it is.
func (w *refusalWriter) release() error {
	w.held = false
	w.ResponseWriter.WriteHeader(w.status)
	_, err := w.ResponseWriter.Write(w.refusal)
	return err
}

// grpcTrailer is a trailer of a gRPC answer without a body; gRPC-Web has it
// among the headers.
func (w *refusalWriter) grpcTrailer(name string) string {
	if text := w.Header().Get(http.TrailerPrefix + name); text != "" {
		return text
	}
	return w.Header().Get(name)
}

func (w *refusalWriter) grpcStatus() connect.Code {
	code, err := strconv.ParseUint(w.grpcTrailer("Grpc-Status"), 10, 32)
	if err != nil {
		return 0
	}
	return connect.Code(code)
}

// finish answers what was held back.
func (w *refusalWriter) finish() {
	if !w.held && (w.status != 0 || w.exchange.answered || w.grpcStatus() == 0) {
		return
	}
	refused := w.refused()
	if refused == nil {
		_ = w.release() // fails when the client has gone
		return
	}
	err := w.exchange.fail(w.request.Context(), w.exchange.logger, refused)
	for name := range w.Header() {
		if strings.HasPrefix(name, http.TrailerPrefix) || strings.HasPrefix(name, "Grpc-") {
			w.Header().Del(name)
		}
	}
	var out http.ResponseWriter = w.ResponseWriter
	switch {
	case reason.Of(err) == musterv1.Reason_REASON_BODY_TOO_LARGE:
		// Connect says 429 for resource_exhausted, and that asks for a retry.
		out = &statusWriter{out, http.StatusRequestEntityTooLarge}
	case plainRefusal(w.status):
		out = &statusWriter{out, w.status}
	}
	writeError(out, w.request, err)
}

// refused tells what was meant by what was held back; nil if it is a plain
// handler's own answer.
func (w *refusalWriter) refused() *connect.Error {
	if code := w.grpcStatus(); code > 0 {
		return reason.Unreadable(code, w.grpcTrailer("Grpc-Message"))
	}
	if isJSON(w.Header().Get("Content-Type")) {
		var refusal struct {
			Code    connect.Code    `json:"code"`
			Message string          `json:"message"`
			Details json.RawMessage `json:"details"`
		}
		if json.Unmarshal(w.refusal, &refusal) != nil || refusal.Code == 0 || refusal.Details != nil {
			return nil //nolint:nilerr // not a refusal of Connect's
		}
		return reason.Unreadable(refusal.Code, refusal.Message)
	}
	switch w.status {
	case http.StatusMethodNotAllowed:
		return reason.New(musterv1.Reason_REASON_UNIMPLEMENTED, reason.Message("This path takes another HTTP method: "+w.Header().Get("Allow")))
	case http.StatusUnsupportedMediaType:
		return reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, reason.Message("Send the body as JSON with the header Content-Type: application/json"))
	default:
		return reason.New(musterv1.Reason_REASON_UNIMPLEMENTED)
	}
}

// statusWriter keeps a status that says more than Connect's; gRPC has 200 always.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		status = w.status
	}
	w.ResponseWriter.WriteHeader(status)
}

// mayBeRefusal tells what a mux and Connect write: a bare status, or Connect's
// own JSON.
func mayBeRefusal(status int, contentType string) bool {
	if isJSON(contentType) {
		return status >= http.StatusBadRequest
	}
	return plainRefusal(status) && (contentType == "" || strings.HasPrefix(contentType, "text/plain"))
}

func plainRefusal(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusUnsupportedMediaType
}

func isJSON(contentType string) bool { return strings.HasPrefix(contentType, "application/json") }
