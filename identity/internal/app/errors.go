package app

import (
	"errors"
	"fmt"

	"github.com/muster-id/muster/platform/loginname"
)

// ErrUserNotFound: there is no such account.
var ErrUserNotFound = errors.New("no such account")

// InvalidFieldError says which field of a command breaks a rule.
type InvalidFieldError struct {
	// Field in JSON spelling, for example "firstName".
	Field string
	// Problem is a sentence for the person who filled it in; it never repeats
	// what was filled in.
	Problem string
}

// Error names the field and the problem.
func (e *InvalidFieldError) Error() string { return fmt.Sprintf("field %s: %s", e.Field, e.Problem) }

// canonical brings a field into its canonical form by one of loginname's rules.
func canonical(field, typed string, rule func(string) (string, error)) (string, error) {
	name, err := rule(typed)
	if invalid := (*loginname.InvalidError)(nil); errors.As(err, &invalid) {
		return "", &InvalidFieldError{Field: field, Problem: invalid.Problem}
	}
	return name, err
}
