package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/platform/secret"
)

// Format of log lines.
type Format string

// The formats.
const (
	JSON Format = "json"
	Text Format = "text"
)

// UnmarshalText reads a format, for configuration.
func (f *Format) UnmarshalText(text []byte) error {
	switch format := Format(text); format {
	case JSON, Text:
		*f = format
		return nil
	default:
		return fmt.Errorf("the log format is json or text, not %q", text)
	}
}

// sensitive are parts of attribute names whose values are never written. This
// is a net below secret.String and the options in proto, not in their place.
func sensitive(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"password", "token", "authorization", "cookie", "verifier", "secret"},
		func(part string) bool { return strings.Contains(key, part) })
}

// NewLogger makes a logger whose lines carry the service, request_id,
// client_request_id, trace_id and user_id of their context. A protobuf message
// is written as JSON without the fields that its proto calls sensitive.
func NewLogger(w io.Writer, level slog.Level, format Format) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if format == Text {
		return slog.New(&handler{next: slog.NewTextHandler(w, options)})
	}
	return slog.New(&handler{next: slog.NewJSONHandler(w, options)})
}

func redact(groups []string, attr slog.Attr) slog.Attr {
	if sensitive(attr.Key) || slices.ContainsFunc(groups, sensitive) {
		return slog.String(attr.Key, secret.Redacted)
	}
	if message, ok := attr.Value.Any().(proto.Message); ok {
		return slog.Any(attr.Key, redacted(message))
	}
	return attr
}

type handler struct {
	next slog.Handler
	// named is set once With has given a service, so that it is not written twice.
	named bool
}

var _ slog.Handler = (*handler)(nil)

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	record = record.Clone()
	if service, ok := ctx.Value(serviceKey{}).(string); ok && !h.named {
		record.AddAttrs(slog.String("service", service))
	}
	request := RequestFrom(ctx)
	if request.ID != "" {
		record.AddAttrs(slog.String("request_id", request.ID))
	}
	if request.ClientID != "" {
		record.AddAttrs(slog.String("client_request_id", request.ClientID))
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	if user, ok := ctx.Value(userKey{}).(string); ok {
		record.AddAttrs(slog.String("user_id", user))
	}
	return h.next.Handle(ctx, record)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	named := h.named || slices.ContainsFunc(attrs, func(attr slog.Attr) bool { return attr.Key == "service" })
	return &handler{next: h.next.WithAttrs(attrs), named: named}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{next: h.next.WithGroup(name), named: h.named}
}
