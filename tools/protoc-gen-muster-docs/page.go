package main

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"strings"
)

//go:embed page.html.tmpl
var pageTemplate string

// origin stands in curls for the gateway's address; the page's script puts in
// where the page came from.
const origin = "http://127.0.0.1:8080"

// width of examples in characters, so that phones need not scroll much.
const width = 68

// view is what the template sees.
type view struct {
	Services []*service
	Routes   []routeView
	Types    []*message
	Enums    []*enum
	Reasons  []*reason
	Start    []step
}

type routeView struct {
	ID, Title, Method, Path, Access, Comment, AnswerComment string
	Status                                                  int
	Curl, Answer                                            template.HTML
	Errors                                                  []*reason
}

// step is one of the first calls.
type step struct {
	Title, Words string
	Curl         template.HTML
}

// renderPage makes the documentation page.
func renderPage(a *api) ([]byte, error) {
	seen := view{Services: a.services, Enums: a.enums, Reasons: a.reasons, Start: startSteps()}
	for _, r := range routes {
		shown, err := a.viewRoute(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.path, err)
		}
		seen.Routes = append(seen.Routes, shown)
	}
	for _, m := range a.messages {
		if !strings.HasSuffix(m.Name, "Request") && !strings.HasSuffix(m.Name, "Response") {
			seen.Types = append(seen.Types, m)
		}
	}
	parsed, err := template.New("page").Funcs(template.FuncMap{"words": words, "status": statusText}).Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, seen); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return blankLines.ReplaceAll(out.Bytes(), []byte("\n")), nil
}

// blankLines are what is left of the template's own lines.
var blankLines = regexp.MustCompile(`\n(?:[ \t]*\n)+`)

func (a *api) viewRoute(r route) (routeView, error) {
	refused, err := a.named(r.errors)
	if err != nil {
		return routeView{}, err
	}
	shown := routeView{
		ID: r.id, Title: r.title, Method: strings.ToUpper(r.method), Path: r.path, Access: whoMay(r.access), Comment: r.comment,
		AnswerComment: r.answerComment, Status: r.status, Curl: shell(strings.ReplaceAll(r.curl, "ORIGIN", origin)), Errors: refused,
	}
	if parsed, err := parseValue(r.example); err == nil {
		shown.Answer = colored(parsed.print(width))
	} else {
		shown.Answer = shell(r.example)
	}
	return shown, nil
}

// What the template asks of the model:

// Access says who may call a method.
func (m *method) Access() string { return whoMay(m.access) }

// Asked and Answered are the fields of the request and of the answer.
func (m *method) Asked() []*field    { return m.request.Fields }
func (m *method) Answered() []*field { return m.response.Fields }

// Curl is a call of the example, Answer what comes back.
func (m *method) Curl() template.HTML   { return shell(curl(m)) }
func (m *method) Answer() template.HTML { return colored(m.exampleResponse.print(width)) }

// Choices words the oneofs of the request.
func (m *method) Choices() []string {
	var all []string
	for _, choice := range m.request.choices {
		var names []string
		for _, f := range choice {
			names = append(names, "`"+f.Name+"`")
		}
		all = append(all, "Exactly one of "+strings.Join(names, " and ")+".")
	}
	return all
}

// Required tells whether a field has to be given.
func (f *field) Required() bool { return f.rules.required }

// Rules words what a field's value has to keep.
func (f *field) Rules() string { return strings.Join(f.rules.words, ", ") }

// curlFramed is a call of the example with the five bytes in front of it that a
// stream needs: no flag, and the length.
func curlFramed(m *method) string {
	body := m.exampleRequest.print(width)
	frame := `\000`
	for _, b := range binary.BigEndian.AppendUint32(nil, uint32(len(body))) { //nolint:gosec // of an example
		frame += fmt.Sprintf(`\%03o`, b)
	}
	lines := []string{"printf '" + frame + "%s' '" + body + "' |", "curl -N " + origin + m.Path(), "-H 'Content-Type: application/connect+json'"}
	if !m.access.Public {
		lines = append(lines, `-H "Authorization: Bearer $TOKEN"`)
	}
	return strings.Join(append(lines, "--data-binary @-"), " \\\n  ")
}

// curl is a call of the example that can be pasted into a shell.
func curl(m *method) string {
	if m.Streams {
		return curlFramed(m)
	}
	lines := []string{"curl " + origin + m.Path(), "-H 'Content-Type: application/json'"}
	if !m.access.Public {
		lines = append(lines, `-H "Authorization: Bearer $TOKEN"`)
	}
	lines = append(lines, "-d '"+m.exampleRequest.print(width)+"'")
	return strings.Join(lines, " \\\n  ")
}

// startSteps lead from nothing to a signed-in person.
func startSteps() []step {
	call := func(method, body string) string {
		return "curl -s " + origin + "/muster.v1." + method + " \\\n  -H 'Content-Type: application/json' \\\n  -d '" + body + "'"
	}
	return []step{
		{"Register", "Opens an account. Once it answers, the account can sign in.", shell(call("AuthService/Register",
			"{\"username\": \"ada\", \"email\": \"ada@example.org\",\n  \"password\": \"correct horse\",\n  \"firstName\": \"Ada\", \"lastName\": \"Lovelace\"}"))},
		{"Sign in", "Gives an access token of 15 minutes, kept here in a variable of the shell, and a refresh token for the next one.", shell("TOKEN=$(" + call("AuthService/Login",
			`{"login": "ada", "password": "correct horse"}`) + " |\n  sed -E 's/.*\"accessToken\": *\"([^\"]*)\".*/\\1/')")},
		{"Who am I?", "Every call for signed-in people carries the access token.", shell("curl -s " + origin + "/muster.v1.UserService/GetMe \\\n  -H 'Content-Type: application/json' \\\n  -H \"Authorization: Bearer $TOKEN\" \\\n  -d '{}'")},
	}
}

var code = regexp.MustCompile("`([^`]*)`")

// words is a comment as HTML: paragraphs, and code between back quotes.
func words(comment string) template.HTML {
	var out strings.Builder
	for paragraph := range strings.SplitSeq(comment, "\n") {
		escaped := template.HTMLEscapeString(paragraph)
		out.WriteString("<p>" + code.ReplaceAllString(escaped, "<code>$1</code>") + "</p>")
	}
	return template.HTML(out.String()) // what is not ours is escaped
}

// Kind words a field's type, linked where it is one of ours.
func (f *field) Kind() template.HTML {
	link := func(name string) string { return `<a href="#` + name + `">` + name + `</a>` }
	kind := map[string]string{
		"bool": "true or false", "double": "number", "int32": "number", "int64": "number, as text in answers", "bytes": "base64", "timestamp": "time", "duration": "duration in seconds, 1.5s", "object": "object",
	}[f.kind.scalar]
	switch {
	case f.kind.message != nil:
		kind = link(f.kind.message.Name)
	case f.kind.enum != nil:
		kind = link(f.kind.enum.Name)
	case kind == "":
		kind = f.kind.scalar
	}
	switch {
	case f.list:
		kind = "list of " + kind
	case f.kind.mapped:
		kind = "object of " + kind
	}
	return template.HTML(kind) // names of ours
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Client Closed Request"
}

var (
	jsonParts = regexp.MustCompile(`("(?:[^"\\]|\\.)*")(:?)|\b(true|false|null|-?\d[\d.eE+-]*)\b`)
	originIn  = strings.NewReplacer(origin, `<span class="origin">`+origin+`</span>`)
)

// colored is JSON as HTML. Text in quotation marks is matched first, so that a
// number inside it stays text.
func colored(text string) template.HTML {
	var out strings.Builder
	end := 0
	for _, at := range jsonParts.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(template.HTMLEscapeString(text[end:at[0]]))
		part := template.HTMLEscapeString(text[at[0]:at[1]])
		class := "n"
		switch {
		case at[2] >= 0 && at[5] > at[4]: // a key, with its colon
			class, part = "k", strings.TrimSuffix(part, ":")
		case at[2] >= 0:
			class = "s"
		}
		out.WriteString(`<span class="` + class + `">` + part + `</span>`)
		if class == "k" {
			out.WriteString(":")
		}
		end = at[1]
	}
	out.WriteString(template.HTMLEscapeString(text[end:]))
	return template.HTML(originIn.Replace(out.String())) // escaped above
}

// shell is a command, or other plain text, as HTML.
func shell(text string) template.HTML {
	return template.HTML(originIn.Replace(template.HTMLEscapeString(text))) // escaped
}
