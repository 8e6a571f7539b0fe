package main

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The options of muster/options/v1/options.proto that are read here.
const (
	optionAccess        = "muster.options.v1.access"
	optionDocumentation = "muster.options.v1.documentation"
	optionReason        = "muster.options.v1.reason"
)

type accessOption struct {
	Public                bool
	SignedIn              bool
	Permission            string
	PasswordChangePending bool
}

type documentationOption struct {
	Request  string
	Response string
	Errors   []string
}

type reasonOption struct {
	Code    string
	Message string
	Next    string
}

// options reads custom options as the protos of this very run declare them. The
// generated Go types would be those of the run before.
type options struct{ types *protoregistry.Types }

func newOptions(files []*protogen.File) (options, error) {
	types := new(protoregistry.Types)
	for _, file := range files {
		for _, extension := range file.Extensions {
			if err := types.RegisterExtension(dynamicpb.NewExtensionType(extension.Desc)); err != nil {
				return options{}, fmt.Errorf("%s: %w", extension.Desc.FullName(), err)
			}
		}
	}
	return options{types}, nil
}

// read puts the option of a descriptor into a struct with the fields' JSON
// names. It tells whether there is one.
func (o options) read(of protoreflect.Descriptor, name protoreflect.FullName, into any) (bool, error) {
	raw, err := proto.Marshal(of.Options())
	if err != nil {
		return false, fmt.Errorf("%s: %w", of.FullName(), err)
	}
	resolved := of.Options().ProtoReflect().New().Interface()
	if err := (proto.UnmarshalOptions{Resolver: o.types}).Unmarshal(raw, resolved); err != nil {
		return false, fmt.Errorf("%s: %w", of.FullName(), err)
	}
	found := false
	resolved.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.FullName() != name {
			return true
		}
		found = true
		var text []byte
		if text, err = protojson.Marshal(value.Message().Interface()); err == nil {
			err = json.Unmarshal(text, into)
		}
		return false
	})
	if err != nil {
		return false, fmt.Errorf("%s: %s: %w", of.FullName(), name, err)
	}
	return found, nil
}
