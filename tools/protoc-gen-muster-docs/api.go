package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// api is all that is documented.
type api struct {
	services []*service
	// messages and enums by their short names, in the order of their files.
	messages []*message
	enums    []*enum
	reasons  []*reason
	// errorDetail makes the example of an error's detail for a reason.
	errorDetail func(*reason) (errorDetail, error)
}

type service struct {
	Name, Comment string
	Methods       []*method
}

type method struct {
	service       *service
	Name, Comment string
	access        accessOption
	// Streams tells that it gives answer after answer.
	Streams bool
	// request and response, with an example of each as it stands in the proto.
	request, response               *message
	exampleRequest, exampleResponse *value
	// Errors of this method, and those that every method of its access can give.
	Errors, General []*reason
}

type message struct {
	Name, Comment string
	Fields        []*field
	// choices are oneofs of which one field has to be given.
	choices [][]*field
	// asked and answered tell where the message is used.
	asked, answered bool
}

type field struct {
	Name, Comment string
	kind          kind
	list          bool
	rules         rules
}

// kind is the type of a field, or of the values of a map.
type kind struct {
	scalar  string // a name of proto, "timestamp" or "duration"
	message *message
	enum    *enum
	mapped  bool
}

type enum struct {
	Name, Comment string
	Values        []enumValue
}

type enumValue struct{ Name, Comment string }

type reason struct {
	Name, Comment string
	Option        reasonOption
	// Status is the HTTP status that it travels with.
	Status int
	// Methods that name it.
	Methods []*method
}

// ID names a method on the page.
func (m *method) ID() string { return m.service.Name + "." + m.Name }

// Path is where a method is called.
func (m *method) Path() string { return "/" + documented + "." + m.service.Name + "/" + m.Name }

// Idempotent tells whether the method takes an Idempotency-Key: then it can
// refuse one.
func (m *method) Idempotent() bool {
	return slices.ContainsFunc(m.Errors, func(r *reason) bool { return r.Name == "IDEMPOTENCY_KEY_REUSED" })
}

// errorDetail is an error's detail as Connect's JSON writes it.
type errorDetail struct {
	packed []byte
	text   []byte
}

// statuses of Connect's codes over HTTP:
// https://connectrpc.com/docs/protocol#error-codes
var statuses = map[string]int{
	"canceled": 499, "invalid_argument": 400, "deadline_exceeded": 504, "not_found": 404, "already_exists": 409,
	"permission_denied": 403, "resource_exhausted": 429, "failed_precondition": 400, "aborted": 409,
	"unimplemented": 501, "internal": 500, "unavailable": 503, "unauthenticated": 401,
}

// order in which a newcomer meets the services; others follow.
var order = []string{"AuthService", "UserService", "MediaService", "AdminService", "OperationsService", "HealthService"}

// reader puts the model together.
type reader struct {
	options  options
	api      *api
	messages map[protoreflect.FullName]*message
	enums    map[protoreflect.FullName]*enum
	fields   map[string]string // JSON names by proto names
}

func readAPI(plugin *protogen.Plugin) (*api, error) {
	options, err := newOptions(plugin.Files)
	if err != nil {
		return nil, err
	}
	r := &reader{options: options, api: &api{}, messages: map[protoreflect.FullName]*message{}, enums: map[protoreflect.FullName]*enum{}, fields: map[string]string{}}
	var files []*protogen.File
	for _, file := range plugin.Files {
		if file.Desc.Package() == documented {
			files = append(files, file)
		}
	}
	for _, read := range []func(*protogen.File) error{r.names, r.declare, r.describe, r.serve} {
		for _, file := range files {
			if err := read(file); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(r.api.services, func(a, b *service) int { return place(a) - place(b) })
	for _, s := range r.api.services {
		for _, m := range s.Methods {
			m.request.markAsked()
			m.response.markAnswered()
		}
	}
	if r.api.errorDetail == nil {
		return nil, errors.New("there is no message ErrorDetail")
	}
	return r.api, nil
}

func place(s *service) int {
	if i := slices.Index(order, s.Name); i >= 0 {
		return i
	}
	return len(order)
}

// names learns how fields are spelled in JSON, since comments spell them as in proto.
func (r *reader) names(file *protogen.File) error {
	for _, m := range file.Messages {
		for _, f := range m.Fields {
			r.fields[string(f.Desc.Name())] = f.Desc.JSONName()
		}
	}
	return nil
}

// declare makes enums and empty messages, so that fields can point to them.
func (r *reader) declare(file *protogen.File) error {
	for _, e := range file.Enums {
		if e.Desc.Name() == "Reason" {
			if err := r.readReasons(e); err != nil {
				return err
			}
			continue
		}
		made := &enum{Name: string(e.Desc.Name()), Comment: r.comment(e.Comments)}
		for _, v := range e.Values {
			made.Values = append(made.Values, enumValue{string(v.Desc.Name()), r.comment(v.Comments)})
		}
		r.enums[e.Desc.FullName()] = made
		r.api.enums = append(r.api.enums, made)
	}
	for _, m := range file.Messages {
		if m.Desc.Name() == "ErrorDetail" {
			r.api.errorDetail = packer(m.Desc)
		}
		made := &message{Name: string(m.Desc.Name()), Comment: r.comment(m.Comments)}
		r.messages[m.Desc.FullName()] = made
		r.api.messages = append(r.api.messages, made)
	}
	return nil
}

func (r *reader) readReasons(e *protogen.Enum) error {
	for _, v := range e.Values {
		name := strings.TrimPrefix(string(v.Desc.Name()), "REASON_")
		if name == "UNSPECIFIED" {
			continue
		}
		made := &reason{Name: name, Comment: r.comment(v.Comments)}
		found, err := r.options.read(v.Desc, optionReason, &made.Option)
		if err != nil {
			return err
		}
		if made.Status = statuses[made.Option.Code]; !found || made.Status == 0 {
			return fmt.Errorf("%s has no code of Connect's", v.Desc.FullName())
		}
		if name == "BODY_TOO_LARGE" {
			made.Status = 413 // platform/serve says so, since 429 asks for a retry
		}
		r.api.reasons = append(r.api.reasons, made)
	}
	return nil
}

// describe reads the fields of messages.
func (r *reader) describe(file *protogen.File) error {
	for _, m := range file.Messages {
		into := r.messages[m.Desc.FullName()]
		byName := map[protoreflect.Name]*field{}
		for _, f := range m.Fields {
			read, err := r.readField(f)
			if err != nil {
				return err
			}
			byName[f.Desc.Name()] = read
			into.Fields = append(into.Fields, read)
		}
		for _, o := range m.Oneofs {
			if o.Desc.IsSynthetic() {
				continue
			}
			required, err := oneofRequired(o)
			if err != nil {
				return err
			}
			if !required {
				return fmt.Errorf("%s: a oneof that may be empty is not known to the documentation", o.Desc.FullName())
			}
			var choice []*field
			for _, f := range o.Fields {
				choice = append(choice, byName[f.Desc.Name()])
			}
			into.choices = append(into.choices, choice)
		}
	}
	return nil
}

func (r *reader) readField(f *protogen.Field) (*field, error) {
	made := &field{
		Name:    f.Desc.JSONName(),
		Comment: r.comment(f.Comments),
		list:    f.Desc.IsList(),
	}
	if made.Comment == "" {
		return nil, fmt.Errorf("%s has no comment", f.Desc.FullName())
	}
	value := f
	if f.Desc.IsMap() {
		made.kind.mapped = true
		value = f.Message.Fields[1]
	}
	switch {
	case value.Enum != nil:
		if made.kind.enum = r.enums[value.Enum.Desc.FullName()]; made.kind.enum == nil {
			return nil, fmt.Errorf("%s is of an enum outside %s", f.Desc.FullName(), documented)
		}
	case value.Message != nil:
		switch name := value.Message.Desc.FullName(); name {
		case "google.protobuf.Timestamp":
			made.kind.scalar = "timestamp"
		case "google.protobuf.Duration":
			made.kind.scalar = "duration"
		case "google.protobuf.Struct":
			made.kind.scalar = "object"
		default:
			if made.kind.message = r.messages[name]; made.kind.message == nil {
				return nil, fmt.Errorf("%s is of a message outside %s", f.Desc.FullName(), documented)
			}
		}
	default:
		made.kind.scalar = value.Desc.Kind().String()
		if _, known := scalars[made.kind.scalar]; !known {
			return nil, fmt.Errorf("%s: fields of type %s are not known to the documentation", f.Desc.FullName(), made.kind.scalar)
		}
	}
	var err error
	made.rules, err = readRules(f)
	return made, err
}

// serve reads the services.
func (r *reader) serve(file *protogen.File) error {
	for _, s := range file.Services {
		made := &service{Name: string(s.Desc.Name())}
		said := strings.TrimPrefix(r.comment(s.Comments), made.Name+": ")
		if said == "" {
			return fmt.Errorf("%s has no comment", s.Desc.FullName())
		}
		made.Comment = strings.ToUpper(said[:1]) + said[1:]
		for _, m := range s.Methods {
			read, err := r.readMethod(made, m)
			if err != nil {
				return fmt.Errorf("%s: %w", m.Desc.FullName(), err)
			}
			made.Methods = append(made.Methods, read)
		}
		r.api.services = append(r.api.services, made)
	}
	return nil
}

func (r *reader) readMethod(of *service, m *protogen.Method) (*method, error) {
	made := &method{
		service:  of,
		Name:     string(m.Desc.Name()),
		Comment:  r.comment(m.Comments),
		request:  r.messages[m.Input.Desc.FullName()],
		response: r.messages[m.Output.Desc.FullName()],
		Streams:  m.Desc.IsStreamingServer(),
	}
	if made.Comment == "" || made.request == nil || made.response == nil {
		return nil, errors.New("it has no comment, or a message of another package")
	}
	if m.Desc.IsStreamingClient() {
		return nil, errors.New("streams of requests are not known to the documentation")
	}
	if found, err := r.options.read(m.Desc, optionAccess, &made.access); err != nil || !found {
		return nil, errors.Join(errors.New("who may call it is not declared"), err)
	}
	var documentation documentationOption
	if found, err := r.options.read(m.Desc, optionDocumentation, &documentation); err != nil || !found {
		return nil, errors.Join(errors.New("it has no documentation"), err)
	}
	var err error
	if made.exampleRequest, err = example(m.Input.Desc, documentation.Request); err != nil {
		return nil, fmt.Errorf("example request: %w", err)
	}
	if made.exampleResponse, err = answer(m.Output.Desc, documentation.Response); err != nil {
		return nil, fmt.Errorf("example answer: %w", err)
	}
	if made.General, err = r.api.named(generalReasons(made.access)); err != nil {
		return nil, err
	}
	if made.Errors, err = r.api.named(documentation.Errors); err != nil {
		return nil, err
	}
	for _, e := range made.Errors {
		if slices.Contains(made.General, e) {
			return nil, fmt.Errorf("%s follows from who may call it and is added by itself", e.Name)
		}
		e.Methods = append(e.Methods, made)
	}
	return made, nil
}

// generalReasons are what a method can answer because of who may call it, and
// because it is a call at all.
func generalReasons(access accessOption) []string {
	names := []string{"INVALID_ARGUMENT", "UNKNOWN_FIELD", "BODY_TOO_LARGE"}
	if !access.Public {
		names = append(names, "UNAUTHENTICATED", "TOKEN_EXPIRED", "TOKEN_INVALID")
		if !access.PasswordChangePending {
			names = append(names, "PASSWORD_CHANGE_REQUIRED")
		}
	}
	if access.Permission != "" {
		names = append(names, "PERMISSION_DENIED")
	}
	return append(names, "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELED", "INTERNAL")
}

// named finds reasons in the table.
func (a *api) named(names []string) ([]*reason, error) {
	var found []*reason
	for _, name := range names {
		i := slices.IndexFunc(a.reasons, func(r *reason) bool { return r.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no reason %s", name)
		}
		if slices.Contains(found, a.reasons[i]) {
			return nil, fmt.Errorf("%s is named twice", name)
		}
		found = append(found, a.reasons[i])
	}
	return found, nil
}

// example checks that a text is a message of its type, and keeps the order in
// which it was written.
func example(of protoreflect.MessageDescriptor, text string) (*value, error) {
	if err := protojson.Unmarshal([]byte(text), dynamicpb.NewMessage(of)); err != nil {
		return nil, err
	}
	if strings.Contains(text, "'") {
		return nil, errors.New("it has a quotation mark that ends the shell's")
	}
	return parseValue(text)
}

// answer checks an example in the same way and writes it as the gateway does,
// with the fields that have nothing in them.
func answer(of protoreflect.MessageDescriptor, text string) (*value, error) {
	message := dynamicpb.NewMessage(of)
	if err := protojson.Unmarshal([]byte(text), message); err != nil {
		return nil, err
	}
	written, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return nil, err
	}
	return parseValue(string(written))
}

// packer makes the detail of an example error.
func packer(detail protoreflect.MessageDescriptor) func(*reason) (errorDetail, error) {
	return func(of *reason) (errorDetail, error) {
		message := dynamicpb.NewMessage(detail)
		for name, text := range map[protoreflect.Name]string{
			"reason":     of.Name,
			"next":       of.Option.Next,
			"request_id": "7c0e5a2f9d1b4836",
		} {
			message.Set(detail.Fields().ByName(name), protoreflect.ValueOfString(text))
		}
		packed, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
		if err != nil {
			return errorDetail{}, err
		}
		text, err := protojson.Marshal(message)
		return errorDetail{packed, text}, err
	}
}

func (m *message) markAsked() {
	m.walk(func(m *message) bool { seen := m.asked; m.asked = true; return !seen })
}

func (m *message) markAnswered() {
	m.walk(func(m *message) bool { seen := m.answered; m.answered = true; return !seen })
}

// walk visits a message and all that it is made of, as long as visit says so.
func (m *message) walk(visit func(*message) bool) {
	if !visit(m) {
		return
	}
	for _, f := range m.Fields {
		if f.kind.message != nil {
			f.kind.message.walk(visit)
		}
	}
}

var protoName = regexp.MustCompile("`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`")

// comment is the text above a declaration, paragraphs as lines, with fields
// spelled as JSON spells them.
func (r *reader) comment(of protogen.CommentSet) string {
	var paragraphs []string
	for paragraph := range strings.SplitSeq(string(of.Leading), "\n\n") {
		if text := strings.Join(strings.Fields(paragraph), " "); text != "" {
			paragraphs = append(paragraphs, text)
		}
	}
	return protoName.ReplaceAllStringFunc(strings.Join(paragraphs, "\n"), func(quoted string) string {
		if name, ok := r.fields[strings.Trim(quoted, "`")]; ok {
			return "`" + name + "`"
		}
		return quoted
	})
}
