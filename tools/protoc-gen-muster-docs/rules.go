package main

import (
	"fmt"
	"strings"

	validate "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// facet is one keyword of a JSON schema.
type facet struct {
	key   string
	value any
}

// rules are what protovalidate asks of a field.
type rules struct {
	// words say it to a reader, for example "2 to 64 characters".
	words []string
	// facets say it to a program.
	facets []facet
	// items are the facets of each entry of a list.
	items []facet
	// required: the empty value breaks a rule, so the field has to be given.
	required bool
}

// readRules refuses a rule that it does not know: the documentation would leave
// it out without a word.
func readRules(field *protogen.Field) (rules, error) {
	declared, _ := proto.GetExtension(field.Desc.Options(), validate.E_Field).(*validate.FieldRules)
	if declared == nil {
		return rules{}, nil
	}
	got, err := fieldRules(declared)
	if err != nil {
		return rules{}, fmt.Errorf("%s: %w", field.Desc.FullName(), err)
	}
	if field.Desc.HasPresence() {
		got.required = declared.GetRequired()
	}
	return got, nil
}

func fieldRules(declared *validate.FieldRules) (rules, error) {
	got := rules{required: declared.GetRequired()}
	var err error
	declared.ProtoReflect().Range(func(kind protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch kind.Name() {
		case "required":
		case "string":
			err = got.text(value.Message(), "character")
		case "bytes":
			err = got.text(value.Message(), "byte")
		case "int32", "int64":
			err = got.number(value.Message())
		case "enum":
			err = each(value.Message(), func(name protoreflect.Name, _ protoreflect.Value) bool { return name == "defined_only" })
		case "bool":
			err = got.constant(value.Message())
		case "repeated":
			err = got.list(declared.GetRepeated())
		default:
			err = fmt.Errorf("rules of kind %s are not known to the documentation", kind.Name())
		}
		return err == nil
	})
	return got, err
}

// each passes every rule to known, which says whether it is.
func each(declared protoreflect.Message, known func(protoreflect.Name, protoreflect.Value) bool) error {
	var err error
	declared.Range(func(rule protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if !known(rule.Name(), value) {
			err = fmt.Errorf("the rule %s is not known to the documentation", rule.FullName())
		}
		return err == nil
	})
	return err
}

func (r *rules) text(declared protoreflect.Message, unit string) error {
	var least, most uint64
	var more []string
	err := each(declared, func(name protoreflect.Name, value protoreflect.Value) bool {
		switch name {
		case "min_len":
			least = value.Uint()
		case "max_len":
			most = value.Uint()
		case "uuid":
			r.required = r.required || value.Bool()
			r.facets = append(r.facets, facet{"format", "uuid"})
			more = append(more, "a UUID")
		case "pattern":
			r.facets = append(r.facets, facet{"pattern", value.String()})
			more = append(more, "matches "+value.String())
		default:
			return false
		}
		return true
	})
	// The length of base64 is not that of its bytes, so only text has its limits
	// in the schema.
	if least > 0 {
		r.required = true
		if unit == "character" {
			r.facets = append(r.facets, facet{"minLength", least})
		}
	}
	if most > 0 && unit == "character" {
		r.facets = append(r.facets, facet{"maxLength", most})
	}
	r.words = append(r.words, extent(least, most, unit)...)
	r.words = append(r.words, more...)
	return err
}

func (r *rules) number(declared protoreflect.Message) error {
	var least, most *int64
	err := each(declared, func(name protoreflect.Name, value protoreflect.Value) bool {
		limit := value.Interface()
		n, ok := limit.(int64)
		if small, is := limit.(int32); is {
			n, ok = int64(small), true
		}
		switch name {
		case "gte":
			least = &n
		case "lte":
			most = &n
		default:
			return false
		}
		return ok
	})
	switch {
	case least != nil && most != nil:
		r.words = append(r.words, fmt.Sprintf("%d to %d", *least, *most))
	case least != nil:
		r.words = append(r.words, fmt.Sprintf("at least %d", *least))
	case most != nil:
		r.words = append(r.words, fmt.Sprintf("at most %d", *most))
	}
	if least != nil {
		r.required = r.required || *least > 0
		r.facets = append(r.facets, facet{"minimum", *least})
	}
	if most != nil {
		r.facets = append(r.facets, facet{"maximum", *most})
	}
	return err
}

func (r *rules) constant(declared protoreflect.Message) error {
	return each(declared, func(name protoreflect.Name, value protoreflect.Value) bool {
		if name != "const" {
			return false
		}
		r.words = append(r.words, fmt.Sprintf("%v if given", value.Bool()))
		r.facets = append(r.facets, facet{"const", value.Bool()})
		return true
	})
}

func (r *rules) list(declared *validate.RepeatedRules) error {
	err := each(declared.ProtoReflect(), func(name protoreflect.Name, _ protoreflect.Value) bool {
		return name == "min_items" || name == "max_items" || name == "unique" || name == "items"
	})
	if err != nil {
		return err
	}
	if least := declared.GetMinItems(); least > 0 {
		r.required = true
		r.facets = append(r.facets, facet{"minItems", least})
	}
	if most := declared.GetMaxItems(); most > 0 {
		r.facets = append(r.facets, facet{"maxItems", most})
	}
	for _, words := range extent(declared.GetMinItems(), declared.GetMaxItems(), "entry") {
		r.words = append(r.words, strings.ReplaceAll(words, "entrys", "entries"))
	}
	if declared.GetUnique() {
		r.words = append(r.words, "all different")
		r.facets = append(r.facets, facet{"uniqueItems", true})
	}
	if declared.GetItems() == nil {
		return nil
	}
	items, err := fieldRules(declared.GetItems())
	for _, words := range items.words {
		r.words = append(r.words, "each "+words)
	}
	r.items = items.facets
	return err
}

// extent words a length, if it is limited.
func extent(least, most uint64, unit string) []string {
	plural := func(n uint64) string {
		if n == 1 {
			return unit
		}
		return unit + "s"
	}
	switch {
	case least > 0 && most > 0:
		return []string{fmt.Sprintf("%d to %d %s", least, most, plural(most))}
	case least > 0:
		return []string{fmt.Sprintf("at least %d %s", least, plural(least))}
	case most > 0:
		return []string{fmt.Sprintf("at most %d %s", most, plural(most))}
	}
	return nil
}

// oneofRequired tells whether one of a oneof's fields has to be given.
func oneofRequired(oneof *protogen.Oneof) (bool, error) {
	declared, _ := proto.GetExtension(oneof.Desc.Options(), validate.E_Oneof).(*validate.OneofRules)
	err := each(declared.ProtoReflect(), func(name protoreflect.Name, _ protoreflect.Value) bool { return name == "required" })
	if err != nil {
		return false, fmt.Errorf("%s: %w", oneof.Desc.FullName(), err)
	}
	return declared.GetRequired(), nil
}
