package codec

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestWhatIsWrongWithABodyIsNamed(t *testing.T) {
	t.Parallel()
	malformed := errMalformed.Error()
	for name, c := range map[string]struct {
		body    string
		message proto.Message
		want    string // "" for a good body
	}{
		"good":                      {`{"login":"ada","password":"x"}`, &musterv1.LoginRequest{}, ""},
		"good, proto spelling":      {`{"first_name":"Ada"}`, &musterv1.RegisterRequest{}, ""},
		"good, null":                {`{"login":null}`, &musterv1.LoginRequest{}, ""},
		"unknown field":             {`{"login":"ada","pasword":"x"}`, &musterv1.LoginRequest{}, `unknown field "pasword"`},
		"unknown field with object": {`{"extra":{"a":[1,{"b":2}]},"login":"ada"}`, &musterv1.LoginRequest{}, `unknown field "extra"`},
		"unknown nested field":      {`{"user":{"id":"1","mail":"x"}}`, &musterv1.GetMeResponse{}, `unknown field "user.mail"`},
		"wrong nested type":         {`{"user":{"id":1}}`, &musterv1.GetMeResponse{}, "invalid value for string field user.id: wrong type"},
		"nested is no object":       {`{"user":[]}`, &musterv1.GetMeResponse{}, "invalid value for message field user: wrong type"},
		"bad timestamp":             {`{"user":{"registeredAt":"now"}}`, &musterv1.GetMeResponse{}, "invalid value for message field user.registeredAt: wrong type"},
		"list of wrong type":        {`{"user":{"roles":[1]}}`, &musterv1.GetMeResponse{}, "invalid value for string field user.roles: wrong type"},
		"wrong type":                {`{"login":"ada","password":5}`, &musterv1.LoginRequest{}, "invalid value for string field password: wrong type"},
		"unknown enum":              {`{"refreshDelivery":"PIGEON"}`, &musterv1.LoginRequest{}, "invalid value for enum field refreshDelivery: wrong type"},
		"field twice":               {`{"login":"ada","login":"eve"}`, &musterv1.LoginRequest{}, `duplicate field "login"`},
		"field twice, two ways":     {`{"firstName":"A","first_name":"B"}`, &musterv1.RegisterRequest{}, `duplicate field "firstName"`},
		"no JSON":                   {`login=ada`, &musterv1.LoginRequest{}, malformed},
		"cut":                       {`{"login":"ada"`, &musterv1.LoginRequest{}, malformed},
		"no object":                 {`["ada"]`, &musterv1.LoginRequest{}, malformed},
		"two objects":               {`{}{}`, &musterv1.LoginRequest{}, malformed},
		"empty":                     {``, &musterv1.LoginRequest{}, malformed},
		"invalid UTF-8":             {"{\"login\":\"\xff\"}", &musterv1.LoginRequest{}, "invalid value for string field login: wrong type"},
		"depth bomb":                {`{"login":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, &musterv1.LoginRequest{}, malformed},
		"name that is no name":      {`{"<script>":1}`, &musterv1.LoginRequest{}, `unknown field ""`},
		"very long name":            {`{"` + strings.Repeat("a", 500) + `":1}`, &musterv1.LoginRequest{}, `unknown field ""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := (strictJSON{}).Unmarshal([]byte(c.body), c.message); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnErrorNeverRepeatsAValue(t *testing.T) {
	t.Parallel()
	const canary = "correct-horse"
	for _, body := range []string{
		`{"password":["` + canary + `"]}`,
		`{"login":"` + canary + `","login":"b"}`,
		`{"password":"` + canary,
		`{"refreshDelivery":"` + canary + `"}`,
		canary,
	} {
		err := strictJSON{}.Unmarshal([]byte(body), &musterv1.LoginRequest{})
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestAnswersShowZeroValues(t *testing.T) {
	t.Parallel()
	got, err := strictJSON{}.Marshal(&musterv1.RegisterResponse{UserId: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"userId":"1","signInReady":false,"consistencyToken":""}`; string(got) != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"user":{"id":"1"}}`, `{"user":{"x":1}}`, `{"a":1}`, `[`, `{"user":null}`, `{"user":{"roles":["a"],"active":true}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := strictJSON{}.Unmarshal(body, &musterv1.GetMeResponse{})
		if strict := protojson.Unmarshal(body, &musterv1.GetMeResponse{}); (err == nil) != (strict == nil) {
			t.Fatalf("%q: ours %v, protojson's %v", body, err, strict)
		}
	})
}
