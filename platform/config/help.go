package config

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/muster-id/muster/platform/secret"
)

// Help lists every setting of a service with its default and what it is for.
func Help(w io.Writer, service string, target any) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SETTING\tDEFAULT\tMEANING") // Flush tells all faults
	for _, s := range list(service, target) {
		standard, description := s.standard, s.description
		switch {
		case s.required:
			standard = "(required)"
		case s.secret && standard != "":
			standard = secret.Redacted
		case standard == "":
			standard = "-"
		}
		if s.secret {
			description += " (or " + s.key + fileSuffix + ", a file that holds it)"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.key, standard, description)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("list settings of %s: %w", service, err)
	}
	return nil
}

// list reads the tags, in the order of the fields, with the same rules as the
// library that fills them: an env tag makes a setting, a struct without one is
// a group, and envPrefix goes before its keys.
func list(service string, target any) []setting {
	kind := reflect.TypeOf(target)
	for kind != nil && kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if kind == nil || kind.Kind() != reflect.Struct {
		return nil // the library says what is wrong with it
	}
	return walk(kind, prefix(service))
}

func walk(kind reflect.Type, prefix string) (settings []setting) {
	for i := range kind.NumField() {
		field := kind.Field(i)
		key, options, _ := strings.Cut(field.Tag.Get("env"), ",")
		switch {
		case !field.IsExported() || key == "-":
		case key != "":
			settings = append(settings, setting{
				key:         prefix + key,
				field:       field.Name,
				kind:        field.Type,
				standard:    field.Tag.Get("envDefault"),
				description: field.Tag.Get("desc"),
				required:    slices.Contains(strings.Split(options, ","), "required"),
				secret:      field.Type == reflect.TypeFor[secret.String](),
			})
		case field.Type.Kind() == reflect.Struct:
			settings = append(settings, walk(field.Type, prefix+field.Tag.Get("envPrefix"))...)
		}
	}
	return settings
}
