package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalars are the schemas of proto's scalar types in proto3 JSON.
var scalars = map[string][]facet{
	"string": {{"type", "string"}},
	"bool":   {{"type", "boolean"}},
	"double": {{"type", "number"}, {"format", "double"}},
	"int32":  {{"type", "integer"}, {"format", "int32"}},
	// Answers have it as text, since JavaScript's numbers end at 2^53; both are taken.
	"int64":     {{"type", []string{"integer", "string"}}, {"format", "int64"}},
	"bytes":     {{"type", "string"}, {"contentEncoding", "base64"}},
	"timestamp": {{"type", "string"}, {"format", "date-time"}},
	"duration":  {{"type", "string"}, {"pattern", `^-?[0-9]+(\.[0-9]+)?s$`}},
	"object":    {{"type", "object"}},
}

// Where references lead to.
const (
	schemas  = "#/components/schemas/"
	examples = "#/components/examples/"
)

const apiDescription = `Register, sign in, keep a profile with an avatar and files; administer accounts.

Each procedure is a POST of a JSON object to its path, ` + "`{}`" + ` at least, with the header ` + "`Content-Type: application/json`" + `. The same paths speak gRPC and gRPC-Web. A method that streams takes and gives ` + "`application/connect+json`" + `, in which five bytes stand before each message: a flag, and its length. The documentation for people is served at ` + "`/docs`" + `.`

// openAPI describes the API as OpenAPI 3.1: https://spec.openapis.org/oas/v3.1.1
func openAPI(a *api) ([]byte, error) {
	paths := object()
	for _, s := range a.services {
		for _, m := range s.Methods {
			paths.add(m.Path(), object().add("post", operation(m)).node)
		}
	}
	for _, r := range routes {
		described, err := a.routeOperation(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.path, err)
		}
		paths.add(r.path, object().add(r.method, described).node)
	}
	components, err := a.components()
	if err != nil {
		return nil, err
	}
	var tags []*yaml.Node
	for _, s := range a.services {
		tags = append(tags, object().add("name", scalar(s.Name)).add("description", scalar(prose(s.Comment))).node)
	}
	tags = append(tags, object().add("name", scalar("Plain HTTP")).add("description", scalar("Paths for curl, browsers and operators.")).node)
	document := object().
		add("openapi", scalar("3.1.1")).
		add("info", object().
			add("title", scalar("Muster")).
			add("version", scalar("v1")).
			add("description", scalar(apiDescription)).node).
		add("servers", list(object().add("url", scalar("/")).add("description", scalar("Where this description was read from")).node)).
		add("tags", list(tags...)).
		add("paths", paths.node).
		add("components", components)
	var out bytes.Buffer
	out.WriteString("# Made from proto/muster/v1 by `go tool task generate`. Do not edit.\n")
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(document.node); err != nil {
		return nil, fmt.Errorf("OpenAPI: %w", err)
	}
	return out.Bytes(), encoder.Close()
}

func operation(m *method) *yaml.Node {
	summary, _, _ := strings.Cut(m.Comment, ". ")
	contentType := "application/json"
	if m.Streams {
		contentType = "application/connect+json"
	}
	body := object().
		add("required", scalar(true)).
		add("content", object().add(contentType, object().
			add("schema", reference(schemas+m.request.Name)).
			add("example", m.exampleRequest.node()).node).node)
	described := object().
		add("operationId", scalar(m.service.Name+"_"+m.Name)).
		add("tags", list(scalar(m.service.Name))).
		add("summary", scalar(strings.TrimSuffix(summary, "."))).
		add("description", scalar(prose(m.Comment)+"\n\n"+whoMay(m.access))).
		add("security", security(m.access))
	if m.Idempotent() {
		described.add("parameters", list(reference("#/components/parameters/IdempotencyKey")))
	}
	responses := object().add("200", object().
		add("description", scalar(m.response.Comment)).
		add("content", object().add(contentType, object().
			add("schema", reference(schemas+m.response.Name)).
			add("example", m.exampleResponse.node()).node).node).node)
	if m.Streams { // an error ends the stream, whose status is 200
		return described.add("requestBody", body.node).add("responses", responses.node).node
	}
	refusals(responses, slices.Concat(m.Errors, m.General))
	return described.add("requestBody", body.node).add("responses", responses.node).node
}

func (a *api) routeOperation(r route) (*yaml.Node, error) {
	described := object().
		add("operationId", scalar(r.id)).
		add("tags", list(scalar("Plain HTTP"))).
		add("summary", scalar(r.title)).
		add("description", scalar(r.comment+"\n\n"+whoMay(r.access))).
		add("security", security(r.access))
	if r.parameter != "" {
		described.add("parameters", list(object().
			add("name", scalar(r.parameter)).
			add("in", scalar("path")).
			add("required", scalar(true)).
			add("description", scalar(r.parameterComment)).
			add("schema", schemaOf([]facet{{"type", "string"}, {"format", "uuid"}})).node))
	}
	if len(r.takes) > 0 {
		content := object()
		for _, each := range r.takes {
			content.add(each, object().node)
		}
		described.add("requestBody", object().add("required", scalar(true)).add("content", content.node).node)
	}
	answer := object().add("description", scalar(r.answerComment))
	if r.status == http.StatusSeeOther {
		answer.add("headers", object().add("Location", object().
			add("description", scalar("Where the file can be read.")).
			add("schema", schemaOf([]facet{{"type", "string"}, {"format", "uri"}})).node).node)
	}
	if r.contentType != "" {
		content := object()
		if r.schema != "" {
			content.add("schema", reference(schemas+r.schema))
		}
		switch {
		case strings.Contains(r.contentType, "json"):
			parsed, err := parseValue(r.example)
			if err != nil {
				return nil, err
			}
			content.add("example", parsed.node())
		case r.example != "":
			content.add("example", scalar(r.example+"\n"))
		}
		answer.add("content", object().add(r.contentType, content.node).node)
	}
	responses := object().add(strconv.Itoa(r.status), answer.node)
	refused, err := a.named(r.errors)
	if err != nil {
		return nil, err
	}
	if !r.access.Public {
		general, err := a.named(generalReasons(r.access))
		if err != nil {
			return nil, err
		}
		// The body is no JSON whose fields could be wrong.
		general = slices.DeleteFunc(general, func(r *reason) bool { return r.Name == "UNKNOWN_FIELD" || r.Name == "INVALID_ARGUMENT" })
		refused = append(refused, general...)
	}
	refusals(responses, refused)
	return described.add("responses", responses.node).node, nil
}

// refusals adds an answer for each status that reasons travel with.
func refusals(responses *mapping, reasons []*reason) {
	byStatus := map[int][]*reason{}
	for _, r := range reasons {
		byStatus[r.Status] = append(byStatus[r.Status], r)
	}
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		var lines []string
		shown := object()
		for _, r := range byStatus[status] {
			lines = append(lines, fmt.Sprintf("- `%s` (%s): %s. %s", r.Name, r.Option.Code, r.Option.Message, r.Option.Next))
			shown.add(r.Name, reference(examples+r.Name))
		}
		responses.add(strconv.Itoa(status), object().
			add("description", scalar(strings.Join(lines, "\n"))).
			add("content", object().add("application/json", object().
				add("schema", reference(schemas+"Error")).
				add("examples", shown.node).node).node).node)
	}
}

func whoMay(access accessOption) string {
	switch {
	case access.Public:
		return "Open to anyone."
	case access.Permission != "":
		return "For people with the permission `" + access.Permission + "`."
	case access.PasswordChangePending:
		return "For signed-in people, also for those who have to change the password first."
	default:
		return "For signed-in people."
	}
}

func security(access accessOption) *yaml.Node {
	if access.Public {
		return list()
	}
	return list(object().add("accessToken", list()).node)
}

func (a *api) components() (*yaml.Node, error) {
	described := object()
	described.add("Error", errorSchema(a))
	for _, m := range a.messages {
		described.add(m.Name, messageSchema(m))
	}
	for _, e := range a.enums {
		described.add(e.Name, enumSchema(e))
	}
	shown := object()
	for _, r := range a.reasons {
		detail, err := a.errorDetail(r)
		if err != nil {
			return nil, err
		}
		debug, err := parseValue(string(detail.text))
		if err != nil {
			return nil, err
		}
		shown.add(r.Name, object().
			add("summary", scalar(r.Option.Message)).
			add("value", object().
				add("code", scalar(r.Option.Code)).
				add("message", scalar(r.Option.Message)).
				add("details", list(object().
					add("type", scalar(documented+".ErrorDetail")).
					add("value", scalar(base64.RawStdEncoding.EncodeToString(detail.packed))).
					add("debug", debug.node()).node)).node).node)
	}
	return object().
		add("securitySchemes", object().add("accessToken", object().
			add("type", scalar("http")).
			add("scheme", scalar("bearer")).
			add("bearerFormat", scalar("JWT")).
			add("description", scalar("The access token that `AuthService.Login` answers with.")).node).node).
		add("parameters", object().add("IdempotencyKey", object().
			add("name", scalar("Idempotency-Key")).
			add("in", scalar("header")).
			add("description", scalar("16 to 128 visible ASCII characters, a UUID for example. The same key with the same request is answered with what the first one did; nothing happens twice. Kept for 24 hours.")).
			add("schema", schemaOf([]facet{{"type", "string"}, {"minLength", 16}, {"maxLength", 128}, {"pattern", "^[!-~]+$"}})).node).node).
		add("schemas", described.node).
		add("examples", shown.node).node, nil
}

// errorSchema is Connect's error: https://connectrpc.com/docs/protocol#error-end-stream
func errorSchema(a *api) *yaml.Node {
	codes := slices.Sorted(maps.Keys(statuses))
	return object().
		add("type", scalar("object")).
		add("description", scalar("What every error looks like. Programs branch on the detail's `reason`, one of "+strconv.Itoa(len(a.reasons))+" that stay as they are.")).
		add("required", texts("code", "message")).
		add("properties", object().
			add("code", object().add("type", scalar("string")).add("enum", texts(codes...)).node).
			add("message", object().add("type", scalar("string")).add("description", scalar("What happened, for the person who reads it.")).node).
			add("details", object().
				add("type", scalar("array")).
				add("items", object().
					add("type", scalar("object")).
					add("properties", object().
						add("type", object().add("type", scalar("string")).node).
						add("value", object().add("type", scalar("string")).add("contentEncoding", scalar("base64")).add("description", scalar("The message, packed.")).node).
						add("debug", reference(schemas+"ErrorDetail")).node).node).node).node).node
}

func messageSchema(m *message) *yaml.Node {
	described := object().
		add("type", scalar("object")).
		add("description", scalar(prose(m.Comment)))
	var required []string
	properties := object()
	for _, f := range m.Fields {
		properties.add(f.Name, fieldSchema(f))
		if f.rules.required && m.asked {
			required = append(required, f.Name)
		}
	}
	if len(required) > 0 {
		described.add("required", texts(required...))
	}
	if len(m.Fields) > 0 {
		described.add("properties", properties.node)
	}
	for _, choice := range m.choices {
		var ways []*yaml.Node
		for _, f := range choice {
			ways = append(ways, object().add("required", texts(f.Name)).node)
		}
		described.add("oneOf", list(ways...))
	}
	if m.asked && !m.answered {
		described.add("additionalProperties", scalar(false)) // UNKNOWN_FIELD
	}
	return described.node
}

func fieldSchema(f *field) *yaml.Node {
	kind := object()
	switch {
	case f.kind.message != nil:
		kind = &mapping{reference(schemas + f.kind.message.Name)}
	case f.kind.enum != nil:
		kind = &mapping{reference(schemas + f.kind.enum.Name)}
	default:
		kind.facets(scalars[f.kind.scalar])
	}
	switch {
	case f.list:
		kind.facets(f.rules.items)
		kind = object().add("type", scalar("array")).add("items", kind.node)
	case f.kind.mapped:
		kind = object().add("type", scalar("object")).add("additionalProperties", kind.node)
	}
	kind.facets(f.rules.facets)
	return kind.add("description", scalar(prose(f.Comment))).node
}

func enumSchema(e *enum) *yaml.Node {
	lines := []string{prose(e.Comment), ""}
	var names []string
	for _, v := range e.Values {
		lines = append(lines, "- `"+v.Name+"`: "+v.Comment)
		names = append(names, v.Name)
	}
	return object().
		add("type", scalar("string")).
		add("enum", texts(names...)).
		add("description", scalar(strings.Join(lines, "\n"))).node
}

func schemaOf(facets []facet) *yaml.Node {
	m := object()
	m.facets(facets)
	return m.node
}

// prose is a comment as CommonMark.
func prose(comment string) string { return strings.ReplaceAll(comment, "\n", "\n\n") }

// mapping is a YAML object that keeps its order.
type mapping struct{ node *yaml.Node }

func object() *mapping { return &mapping{&yaml.Node{Kind: yaml.MappingNode}} }

func (m *mapping) add(key string, value *yaml.Node) *mapping {
	m.node.Content = append(m.node.Content, scalar(key), value)
	return m
}

func (m *mapping) facets(facets []facet) {
	for _, each := range facets {
		if names, ok := each.value.([]string); ok {
			m.add(each.key, texts(names...))
			continue
		}
		m.add(each.key, scalar(each.value))
	}
}

func list(items ...*yaml.Node) *yaml.Node {
	node := &yaml.Node{Kind: yaml.SequenceNode, Content: items}
	if len(items) == 0 {
		node.Style = yaml.FlowStyle
	}
	return node
}

func texts(items ...string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, each := range items {
		node.Content = append(node.Content, scalar(each))
	}
	return node
}

func reference(to string) *yaml.Node { return object().add("$ref", scalar(to)).node }

// scalar lets the YAML library choose the quotation marks.
func scalar(of any) *yaml.Node {
	node := &yaml.Node{}
	if text, ok := of.(string); ok {
		node.SetString(text)
		return node
	}
	_ = node.Encode(of) // numbers and booleans always encode
	return node
}

// node is the value as YAML. JSON's strings are YAML's.
func (v *value) node() *yaml.Node {
	switch {
	case v.object:
		m := object()
		for i, item := range v.items {
			m.add(v.keys[i], item.node())
		}
		if len(v.items) == 0 {
			m.node.Style = yaml.FlowStyle
		}
		return m.node
	case v.array:
		nodes := make([]*yaml.Node, 0, len(v.items))
		for _, item := range v.items {
			nodes = append(nodes, item.node())
		}
		return list(nodes...)
	}
	var decoded any
	if json.Unmarshal([]byte(v.literal), &decoded) != nil {
		return scalar(v.literal)
	}
	return scalar(decoded)
}
