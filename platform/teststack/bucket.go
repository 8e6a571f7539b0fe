package teststack

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/muster-id/muster/platform/secret"
)

// S3Env is the address of an S3 with its keys, http://ACCESS:SECRET@host:port.
const S3Env = "MUSTER_TEST_S3_URL"

// region is that of the test S3.
const region = "us-east-1"

// S3 is a bucket of a test's own, and how to reach it.
type S3 struct {
	Endpoint  string // http://host:port
	Region    string
	AccessKey string
	SecretKey secret.String
	Bucket    string
}

// Bucket makes a bucket for one test or test package. It is emptied and removed
// at the end; one that the test has removed is no fault.
func Bucket(t testing.TB) S3 {
	t.Helper()
	store := objectStore(t)
	store.Bucket = "muster-test-" + random()
	store.must(t, http.MethodPut, "", nil, nil)
	t.Cleanup(func() {
		for _, key := range store.Objects(t) {
			store.Delete(t, key)
		}
		store.Delete(t, "")
	})
	return store
}

// Objects lists the keys of all objects in the bucket; none where it is gone.
func (s S3) Objects(t testing.TB) []string {
	t.Helper()
	var keys []string
	query := url.Values{"list-type": {"2"}}
	for {
		var page struct {
			Contents              []struct{ Key string }
			IsTruncated           bool
			NextContinuationToken string
		}
		answer := s.must(t, http.MethodGet, "", query, nil)
		if len(answer) == 0 {
			return keys
		}
		if err := xml.Unmarshal(answer, &page); err != nil {
			t.Fatalf("list bucket: %v", err)
		}
		for _, object := range page.Contents {
			keys = append(keys, object.Key)
		}
		if !page.IsTruncated {
			return keys
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
}

// Put puts an object beside those of the code under test.
func (s S3) Put(t testing.TB, key string, content []byte) {
	t.Helper()
	s.must(t, http.MethodPut, key, nil, content)
}

// Get gives an object's content, nothing where there is none.
func (s S3) Get(t testing.TB, key string) []byte {
	t.Helper()
	return s.must(t, http.MethodGet, key, nil, nil)
}

// Delete takes an object away, as a fault would.
func (s S3) Delete(t testing.TB, key string) {
	t.Helper()
	s.must(t, http.MethodDelete, key, nil, nil)
}

func objectStore(t testing.TB) S3 {
	t.Helper()
	address, err := url.Parse(address(t, S3Env))
	if err != nil || address.User == nil {
		t.Fatalf("%s is not a URL with keys", S3Env)
	}
	password, _ := address.User.Password()
	return S3{
		Endpoint: address.Scheme + "://" + address.Host, Region: region,
		AccessKey: address.User.Username(), SecretKey: secret.New(password),
	}
}

// must calls S3 and gives its answer, nothing for what is not there.
func (s S3) must(t testing.TB, method, key string, query url.Values, content []byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	status, answer, err := s.call(ctx, method, key, query, content)
	switch {
	case err != nil:
		t.Fatalf("call S3: %v", err)
	case status == http.StatusNotFound:
		return nil
	case status >= http.StatusMultipleChoices:
		t.Fatalf("%s %s/%s: %d: %s", method, s.Bucket, key, status, answer)
	}
	return answer
}

// escape escapes a key as the signature wants it: all but letters, digits and
// "-._~/", which is more than a URL needs.
func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), "%2F", "/")
}

func (s S3) call(ctx context.Context, method, key string, query url.Values, content []byte) (int, []byte, error) {
	address := s.Endpoint + "/" + s.Bucket
	if key != "" {
		address += "/" + escape(key)
	}
	request, err := http.NewRequestWithContext(ctx, method, address+"?"+query.Encode(), bytes.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	s.sign(request, time.Now().UTC())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// sign signs a request as AWS's Signature Version 4 says, without its body. A
// library for these few calls would be in the module list of every service.
func (s S3) sign(request *http.Request, now time.Time) {
	const (
		payload = "UNSIGNED-PAYLOAD"
		headers = "host;x-amz-content-sha256;x-amz-date"
	)
	stamp, day := now.Format("20060102T150405Z"), now.Format("20060102")
	request.Header.Set("X-Amz-Date", stamp)
	request.Header.Set("X-Amz-Content-Sha256", payload)
	canonical := strings.Join([]string{
		request.Method, request.URL.EscapedPath(), strings.ReplaceAll(request.URL.RawQuery, "+", "%20"),
		"host:" + request.URL.Host, "x-amz-content-sha256:" + payload, "x-amz-date:" + stamp, "",
		headers, payload,
	}, "\n")
	scope := day + "/" + s.Region + "/s3/aws4_request"
	digest := sha256.Sum256([]byte(canonical))
	signature := []byte("AWS4" + s.SecretKey.Reveal())
	for _, part := range []string{
		day, s.Region, "s3", "aws4_request",
		"AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(digest[:]),
	} {
		mac := hmac.New(sha256.New, signature)
		mac.Write([]byte(part))
		signature = mac.Sum(nil)
	}
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		s.AccessKey, scope, headers, signature))
}
