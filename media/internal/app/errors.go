package app

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/file"
)

var (
	// ErrNotFound: there is no such file, upload or picture, or none that the caller
	// may know of; or the caller was erased.
	ErrNotFound = errors.New("no such thing")
	// ErrUploadIncomplete: nothing has been uploaded yet.
	ErrUploadIncomplete = errors.New("nothing has been uploaded yet")
	// ErrUploadExpired: the upload was not completed in time.
	ErrUploadExpired = errors.New("upload has expired")
	// ErrUploadMismatch: what was uploaded is not what was declared.
	ErrUploadMismatch = errors.New("upload is not what was declared")
)

// InvalidFieldError says which field of a command breaks a rule.
type InvalidFieldError struct {
	// Field in JSON spelling, for example "contentType".
	Field string
	// Problem is a sentence for the person who filled it in; it never repeats
	// what was filled in.
	Problem string
}

// Error names the field and the problem.
func (e *InvalidFieldError) Error() string { return fmt.Sprintf("field %s: %s", e.Field, e.Problem) }

// parsed brings a field into its form by one of the file's rules.
func parsed(field, typed string, rule func(string) (string, error)) (string, error) {
	result, err := rule(typed)
	if invalid := (*file.InvalidError)(nil); errors.As(err, &invalid) {
		return "", &InvalidFieldError{Field: field, Problem: invalid.Problem}
	}
	return result, err
}

// identifier brings an id into the spelling that streams and rows have. One that
// is none names nothing.
func identifier(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("%w: it is no UUID", ErrNotFound)
	}
	return id, nil
}

// notFound says in the words of this package that something is not there.
func notFound(err error) error {
	if errors.Is(err, eventstore.ErrStreamNotFound) || errors.Is(err, file.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
