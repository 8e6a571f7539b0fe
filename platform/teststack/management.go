package teststack

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// manage calls RabbitMQ's management API. What is gone already is no fault.
func manage(t testing.TB, method, path, body string) []byte {
	t.Helper()
	api, err := url.Parse(address(t, BrokerAPIEnv))
	if err != nil {
		t.Fatalf("%s is not a URL", BrokerAPIEnv)
	}
	user := api.User
	api.User = nil
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(api.String(), "/")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := user.Password()
	request.SetBasicAuth(user.Username(), password)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("call RabbitMQ's management API: %v", err)
	}
	defer response.Body.Close() //nolint:errcheck // read only
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read RabbitMQ's answer: %v", err)
	}
	if response.StatusCode >= 300 && response.StatusCode != http.StatusNotFound {
		t.Fatalf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer
}

func connections(t testing.TB, virtualHost string) []string {
	t.Helper()
	var listed []struct {
		Name string `json:"name"`
	}
	answer := manage(t, http.MethodGet, "/api/vhosts/"+url.PathEscape(virtualHost)+"/connections", "")
	if err := json.Unmarshal(answer, &listed); err != nil {
		t.Fatalf("list connections: %v", err)
	}
	names := make([]string, len(listed))
	for i, connection := range listed {
		names[i] = connection.Name
	}
	return names
}
