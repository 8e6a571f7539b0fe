package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"go.yaml.in/yaml/v3"
)

const described = "../../gateway/internal/docs/openapi.yaml"

// operations of the description, as far as its examples are concerned.
type operations struct {
	Paths map[string]map[string]struct {
		OperationID string                    `yaml:"operationId"`
		Security    []map[string][]string     `yaml:"security"`
		RequestBody struct{ Content content } `yaml:"requestBody"`
		Responses   map[string]struct {
			Content content
		}
	}
}

type content map[string]struct{ Example any }

func load(t *testing.T) (validator.Validator, operations) {
	t.Helper()
	text, err := os.ReadFile(described)
	if err != nil {
		t.Fatal(err)
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	validates, errs := validator.NewValidator(document, config.WithFormatAssertions())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var read operations
	if err := yaml.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return validates, read
}

func TestTheDescriptionIsOpenAPI(t *testing.T) {
	t.Parallel()
	validates, _ := load(t)
	if ok, faults := validates.ValidateDocument(); !ok {
		for _, fault := range faults {
			t.Error(fault)
		}
	}
}

// Each example keeps the schema that stands beside it.
func TestExamplesKeepTheirSchemas(t *testing.T) {
	t.Parallel()
	validates, read := load(t)
	checked := 0
	for path, methods := range read.Paths {
		for method, operation := range methods {
			example, ok := operation.RequestBody.Content["application/json"]
			if !ok {
				continue
			}
			request := call(t, method, path, example.Example)
			if ok, faults := validates.ValidateHttpRequest(request); !ok {
				t.Errorf("%s: request: %s", operation.OperationID, said(faults))
			}
			answer := &http.Response{
				StatusCode: http.StatusOK,
				Header:     http.Header{"Content-Type": {"application/json"}},
				Body:       io.NopCloser(bytes.NewReader(encode(t, operation.Responses["200"].Content["application/json"].Example))),
				Request:    request,
			}
			if ok, faults := validates.ValidateHttpResponse(call(t, method, path, example.Example), answer); !ok {
				t.Errorf("%s: answer: %s", operation.OperationID, said(faults))
			}
			checked++
		}
	}
	if checked < 25 {
		t.Errorf("%d methods only", checked)
	}
}

// What the server refuses, the schemas refuse: the rules of the protos are in them.
func TestSchemasRefuseWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	validates, _ := load(t)
	const user = "01997c63-91f4-7a08-b3d5-6e20c8f1479b"
	for name, c := range map[string]struct {
		method, body string
		ok           bool
	}{
		"nothing wrong":               {"AuthService/Login", `{"login": "ada", "password": "x"}`, true},
		"a field too many":            {"AuthService/Login", `{"login": "ada", "password": "x", "otp": "1"}`, false},
		"a required field missing":    {"AuthService/Login", `{"login": "ada"}`, false},
		"a text too long":             {"AuthService/Login", `{"login": "` + strings.Repeat("a", 255) + `", "password": "x"}`, false},
		"a value of no enum":          {"AuthService/Login", `{"login": "ada", "password": "x", "refreshDelivery": "BY_PIGEON"}`, false},
		"no UUID":                     {"AdminService/GetUser", `{"userId": "7"}`, false},
		"a number too large":          {"AdminService/ListUsers", `{"pageSize": 201}`, false},
		"the same entry twice":        {"AdminService/SetUserRoles", `{"userId": "` + user + `", "roles": ["admin", "admin"]}`, false},
		"an entry that is empty":      {"AdminService/SetUserRoles", `{"userId": "` + user + `", "roles": [""]}`, false},
		"a long number as a number":   {"AdminService/SetUserRoles", `{"userId": "` + user + `", "expectedVersion": 3}`, true},
		"a long number as text":       {"AdminService/SetUserRoles", `{"userId": "` + user + `", "expectedVersion": "3"}`, true},
		"a media type with no slash":  {"MediaService/CreateUpload", `{"name": "a", "contentType": "pdf", "size": "1"}`, false},
		"neither of a choice":         {"MediaService/ShareFile", `{"fileId": "` + user + `"}`, false},
		"both of a choice":            {"MediaService/ShareFile", `{"fileId": "` + user + `", "userId": "` + user + `", "everyone": true}`, false},
		"a constant with other value": {"MediaService/ShareFile", `{"fileId": "` + user + `", "everyone": false}`, false},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/muster.v1."+c.method, strings.NewReader(c.body))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer t")
		if ok, faults := validates.ValidateHttpRequest(request); ok != c.ok {
			t.Errorf("%s: %v %s", name, ok, said(faults))
		}
	}
}

// Only what is open to anyone needs no token.
func TestTokensAreAskedForWhereTheyAreNeeded(t *testing.T) {
	t.Parallel()
	_, read := load(t)
	var open []string
	for _, methods := range read.Paths {
		for _, operation := range methods {
			if len(operation.Security) == 0 {
				open = append(open, operation.OperationID)
			}
		}
	}
	slices.Sort(open)
	want := []string{
		"AuthService_Login", "AuthService_Logout", "AuthService_RefreshToken", "AuthService_Register",
		"GetAlive", "GetAvatar", "GetKeys", "GetPublicFile", "GetReady", "HealthService_Ping",
	}
	if !slices.Equal(open, want) {
		t.Errorf("open to anyone: %v", open)
	}
}

func call(t *testing.T, method, path string, body any) *http.Request {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), strings.ToUpper(method), path, bytes.NewReader(encode(t, body)))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer t")
	return request
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func said(faults []*validation.ValidationError) string {
	var all []string
	for _, fault := range faults {
		all = append(all, fault.Message)
		for _, schema := range fault.SchemaValidationErrors {
			all = append(all, schema.Reason)
		}
	}
	return strings.Join(all, "; ")
}
