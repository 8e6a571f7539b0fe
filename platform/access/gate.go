package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/telemetry"
	"github.com/muster-id/muster/platform/token"
	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// Verifier checks access tokens; *token.Verifier is one.
type Verifier interface {
	// Verify fails with token.ErrExpired, token.ErrInvalid or token.ErrKeysUnavailable.
	Verify(ctx context.Context, presented secret.String) (token.Claims, error)
}

var _ Verifier = (*token.Verifier)(nil)

// Config of the gate.
type Config struct {
	// Verifier checks access tokens. Without one, every method that needs a
	// person is refused.
	Verifier Verifier
}

// NewGate makes the gate that every call has to pass. It puts the Principal
// into the context.
func NewGate(config Config) connect.RequestGateFunc {
	g := &gate{config: config}
	return func(ctx context.Context, spec connect.Spec, _ connect.Peer, header http.Header) (context.Context, error) {
		method, _ := spec.Schema.(protoreflect.MethodDescriptor)
		rule, ok := ruleOf(method)
		if !ok {
			return nil, denied(fmt.Errorf("%s declares no access rule", spec.Procedure))
		}
		return g.pass(ctx, rule, header)
	}
}

type gate struct{ config Config }

func (g *gate) pass(ctx context.Context, rule *optionsv1.Access, header http.Header) (context.Context, error) {
	caller := CallerFrom(ctx)
	if services := rule.GetServices(); len(services) > 0 {
		if caller == "" || !slices.Contains(services, caller) {
			return nil, denied(fmt.Errorf("the caller %q is not on the method's list of services", caller))
		}
	}
	if !needsPerson(rule) || caller != "" && slices.Contains(rule.GetUnaccompanied(), caller) {
		return ctx, nil
	}
	principal, err := g.authenticate(ctx, header)
	if err != nil {
		return nil, err
	}
	if principal.PasswordChangePending && !rule.GetPasswordChangePending() {
		return nil, reason.New(musterv1.Reason_REASON_PASSWORD_CHANGE_REQUIRED)
	}
	if permission := rule.GetPermission(); permission != "" && !principal.May(permission) {
		err := reason.New(musterv1.Reason_REASON_PERMISSION_DENIED, reason.Message("You may not call this method without the permission "+permission))
		challenge(err, `Bearer error="insufficient_scope"`)
		return nil, err
	}
	return telemetry.WithUser(WithPrincipal(ctx, principal), principal.UserID), nil
}

func (g *gate) authenticate(ctx context.Context, header http.Header) (Principal, error) {
	presented, err := bearer(header)
	if err != nil {
		return Principal{}, err
	}
	if g.config.Verifier == nil {
		return Principal{}, reason.New(musterv1.Reason_REASON_INTERNAL, reason.Cause(errors.New("access: no verifier for a method that needs a person")))
	}
	claims, err := g.config.Verifier.Verify(ctx, presented)
	switch {
	case err == nil:
	case errors.Is(err, token.ErrExpired):
		return Principal{}, refused(musterv1.Reason_REASON_TOKEN_EXPIRED, err)
	case errors.Is(err, token.ErrInvalid):
		return Principal{}, refused(musterv1.Reason_REASON_TOKEN_INVALID, err)
	default:
		return Principal{}, reason.New(musterv1.Reason_REASON_UNAVAILABLE, reason.Cause(err))
	}
	return Principal{
		UserID:                claims.Subject,
		SessionID:             claims.SessionID,
		Roles:                 claims.Roles,
		AccessVersion:         claims.AccessVersion,
		PasswordChangePending: claims.PasswordChangePending,
		ExpiresAt:             claims.ExpiresAt,
		Token:                 presented,
	}, nil
}

// bearer reads the header Authorization (RFC 6750, section 2.1). Two of them
// are refused: the next reader might take the other one.
func bearer(header http.Header) (secret.String, error) {
	values := header.Values("Authorization")
	if len(values) == 0 {
		err := reason.New(musterv1.Reason_REASON_UNAUTHENTICATED)
		challenge(err, "Bearer")
		return secret.String{}, err
	}
	scheme, presented, _ := strings.Cut(values[0], " ")
	presented = strings.TrimSpace(presented)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || presented == "" {
		return secret.String{}, refused(musterv1.Reason_REASON_TOKEN_INVALID, errors.New("access: Authorization is not one bearer token"))
	}
	return secret.New(presented), nil
}

func refused(r musterv1.Reason, cause error) error {
	err := reason.New(r, reason.Cause(cause))
	challenge(err, `Bearer error="invalid_token"`)
	return err
}

func denied(cause error) *connect.Error {
	return reason.New(musterv1.Reason_REASON_PERMISSION_DENIED, reason.Cause(fmt.Errorf("access: %w", cause)))
}

// challenge tells how to authenticate (RFC 6750, section 3).
func challenge(err *connect.Error, how string) { err.Meta().Set("WWW-Authenticate", how) }

func needsPerson(rule *optionsv1.Access) bool {
	return rule.GetSignedIn() || rule.GetPermission() != ""
}

// accompanies tells whether those that may call for nobody are among those that
// may call, for somebody else.
func accompanies(rule *optionsv1.Access) bool {
	for _, service := range rule.GetUnaccompanied() {
		if !needsPerson(rule) || !slices.Contains(rule.GetServices(), service) {
			return false
		}
	}
	return true
}

// ruleOf reads a method's option; false if it has none, or one that says nothing.
func ruleOf(method protoreflect.MethodDescriptor) (*optionsv1.Access, bool) {
	if method == nil || !proto.HasExtension(method.Options(), optionsv1.E_Access) {
		return nil, false
	}
	rule, ok := proto.GetExtension(method.Options(), optionsv1.E_Access).(*optionsv1.Access)
	return rule, ok && (rule.GetPublic() || needsPerson(rule) || len(rule.GetServices()) > 0)
}

// Declared names every method that says nothing about who may call it, or
// contradicts itself. A service calls it at start and does not start on an error.
func Declared(services ...protoreflect.ServiceDescriptor) error {
	var faults []error
	for _, service := range services {
		methods := service.Methods()
		for i := range methods.Len() {
			method := methods.Get(i)
			rule, ok := ruleOf(method)
			switch {
			case !ok:
				faults = append(faults, fmt.Errorf("access: %s does not declare who may call it", method.FullName()))
			case rule.GetPublic() && needsPerson(rule):
				faults = append(faults, fmt.Errorf("access: %s is declared public and for signed-in people", method.FullName()))
			case rule.GetPasswordChangePending() && !needsPerson(rule):
				faults = append(faults, fmt.Errorf("access: %s declares password_change_pending but needs no person", method.FullName()))
			case !accompanies(rule):
				faults = append(faults, fmt.Errorf("access: %s declares unaccompanied for who is not among its services, or needs no person", method.FullName()))
			}
		}
	}
	return errors.Join(faults...)
}
