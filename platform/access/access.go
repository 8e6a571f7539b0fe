package access

import (
	"context"
	"time"

	"github.com/muster-id/muster/platform/secret"
)

// Principal is the signed-in person of a call.
type Principal struct {
	// UserID is the account's id.
	UserID string
	// SessionID is the session that the token belongs to.
	SessionID string
	// Roles as they were when the token was signed.
	Roles []string
	// AccessVersion is the version of the person's access that the token was signed under.
	AccessVersion int64
	// PasswordChangePending means that the token is good for changing the password alone.
	PasswordChangePending bool
	// ExpiresAt is when the token ends; zero where nobody has verified it here.
	ExpiresAt time.Time
	// Token is the access token itself, to pass on to other services.
	Token secret.String
}

type (
	principalKey struct{}
	callerKey    struct{}
)

// PrincipalFrom gives the signed-in person; false on methods that need none.
func PrincipalFrom(ctx context.Context) (Principal, bool) {
	principal, ok := ctx.Value(principalKey{}).(Principal)
	return principal, ok
}

// WithPrincipal puts a verified person into the context.
func WithPrincipal(ctx context.Context, principal Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, principal)
}

// CallerFrom names the service that calls; "" if it is none.
func CallerFrom(ctx context.Context) string {
	caller, _ := ctx.Value(callerKey{}).(string)
	return caller
}

// WithCaller puts the service that calls, as its certificate names it, into the
// context.
func WithCaller(ctx context.Context, service string) context.Context {
	return context.WithValue(ctx, callerKey{}, service)
}

// Granted tells whether who calls may do what needs a permission beside that of
// the method: by a role of the signed-in person, or as the machine's operator, who
// calls for nobody.
func Granted(ctx context.Context, permission string) bool {
	if principal, ok := PrincipalFrom(ctx); ok {
		return principal.May(permission)
	}
	return CallerFrom(ctx) == operator
}

// operator is the certificate of the command line.
const operator = "operator"

// Actor tells who does what a call asks for, as events and operations record it:
// "user-<id>" of the signed-in person, else "service-<name>" of the service that
// calls; "" if there is neither.
func Actor(ctx context.Context) string {
	if principal, ok := PrincipalFrom(ctx); ok {
		return "user-" + principal.UserID
	}
	if caller := CallerFrom(ctx); caller != "" {
		return "service-" + caller
	}
	return ""
}
