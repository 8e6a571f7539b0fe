package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/muster-id/muster/platform/secret"
)

var (
	// ErrUnavailable: the storage does not answer, or refuses this service; the
	// operator has to look. Nothing is known of the object.
	ErrUnavailable = errors.New("object storage is not available")
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("no such object")
	// ErrChanged: the object is not the one that was looked at.
	ErrChanged = errors.New("object was replaced meanwhile")
)

const (
	dialTimeout = 2 * time.Second
	// All but the last end well before the gateway gives media up, so that it is
	// the storage that is named as away. callTimeout bounds a call that moves no content to speak of, putTimeout one
	// that moves a picture, copyTimeout a copy inside the storage.
	callTimeout = 3 * time.Second
	putTimeout  = 4 * time.Second
	copyTimeout = 40 * time.Second
	// connections to the storage that are kept open.
	connections = 32
)

// LongestUpload bounds how long a form may be good.
const LongestUpload = 24 * time.Hour

// Config of a Store.
type Config struct {
	// Endpoint is where this process reaches the storage, http://host:port.
	Endpoint string
	// PublicEndpoint is where browsers do; the same if empty.
	PublicEndpoint string
	Region         string
	Bucket         string
	AccessKey      string
	SecretKey      secret.String
}

// Check finds every fault that shows without asking the storage.
func (c Config) Check() error {
	_, err := Open(c, slog.New(slog.DiscardHandler))
	return err
}

// Store is one bucket.
type Store struct {
	client *minio.Client
	// public signs what is for browsers. It never calls the storage.
	public    *minio.Client
	transport *http.Transport
	bucket    string
	region    string
	logger    *slog.Logger
}

// Open makes a Store. It does not call the storage, which may be away.
func Open(config Config, logger *slog.Logger) (*Store, error) {
	if config.PublicEndpoint == "" {
		config.PublicEndpoint = config.Endpoint
	}
	var faults []error
	if err := s3utils.CheckValidBucketNameStrict(config.Bucket); err != nil {
		faults = append(faults, fmt.Errorf("the bucket's name: %w", err))
	}
	if config.Region == "" {
		// Without one the library would ask the storage before each signature.
		faults = append(faults, errors.New("the region is empty"))
	}
	s := &Store{bucket: config.Bucket, region: config.Region, logger: logger, transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: copyTimeout,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          connections,
		MaxIdleConnsPerHost:   connections,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true,
		Proxy:                 http.ProxyFromEnvironment,
	}}
	var err error
	if s.client, err = s.connect(config, config.Endpoint); err != nil {
		faults = append(faults, fmt.Errorf("the endpoint: %w", err))
	}
	if s.public, err = s.connect(config, config.PublicEndpoint); err != nil {
		faults = append(faults, fmt.Errorf("the public endpoint: %w", err))
	}
	return s, errors.Join(faults...)
}

func (s *Store) connect(config Config, endpoint string) (*minio.Client, error) {
	address, err := url.Parse(endpoint)
	if err != nil || address.Host == "" || address.User != nil || (address.Scheme != "http" && address.Scheme != "https") ||
		(address.Path != "" && address.Path != "/") || address.RawQuery != "" {
		return nil, errors.New("it has to be http://host:port or https://host:port")
	}
	return minio.New(address.Host, &minio.Options{
		Creds:     credentials.NewStaticV4(config.AccessKey, config.SecretKey.Reveal(), ""),
		Secure:    address.Scheme == "https",
		Transport: s.transport,
		Region:    config.Region,
		// Whoever calls decides whether to try again: here it would hide an outage
		// for as long as the retries take.
		MaxRetries: 1,
	})
}

// Close closes the idle connections.
func (s *Store) Close() { s.transport.CloseIdleConnections() }

// Info is what the storage knows of an object.
type Info struct {
	// Size in bytes.
	Size int64
	// ContentType as it was stored.
	ContentType string
	// ETag names the content.
	ETag string
}

// Put stores content, at most a few megabytes.
func (s *Store) Put(ctx context.Context, ref Ref, content []byte, contentType string) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	_, err := s.client.PutObject(ctx, s.bucket, ref.Key(), bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{
		ContentType:      contentType,
		DisableMultipart: true,
	})
	return s.outcome(ctx, "put object", err)
}

// Get reads an object of at most limit bytes. Errors: ErrNotFound.
func (s *Store) Get(ctx context.Context, ref Ref, limit int64) ([]byte, error) {
	content, err := s.read(ctx, ref, "", limit+1)
	if err == nil && int64(len(content)) > limit {
		return nil, fmt.Errorf("get object: it has more than %d bytes", limit)
	}
	return content, err
}

// Head reads at most the first limit bytes of the content that etag names.
// Errors: ErrNotFound, ErrChanged.
func (s *Store) Head(ctx context.Context, ref Ref, etag string, limit int64) ([]byte, error) {
	return s.read(ctx, ref, etag, limit)
}

func (s *Store) read(ctx context.Context, ref Ref, etag string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	var options minio.GetObjectOptions
	if err := options.SetRange(0, limit-1); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	if etag != "" {
		if err := options.SetMatchETag(etag); err != nil {
			return nil, fmt.Errorf("read object: %w", err)
		}
	}
	// The core's call is one request; the other one starts a goroutine that asks ahead.
	body, _, _, err := (&minio.Core{Client: s.client}).GetObject(ctx, s.bucket, ref.Key(), options)
	if err != nil {
		return nil, s.outcome(ctx, "read object", err)
	}
	defer body.Close() //nolint:errcheck // read only
	content, err := io.ReadAll(io.LimitReader(body, limit))
	return content, s.outcome(ctx, "read object", err)
}

// Stat tells of an object. Errors: ErrNotFound.
func (s *Store) Stat(ctx context.Context, ref Ref) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := s.client.StatObject(ctx, s.bucket, ref.Key(), minio.StatObjectOptions{})
	return Info{Size: found.Size, ContentType: found.ContentType, ETag: found.ETag}, s.outcome(ctx, "stat object", err)
}

// Copy copies the content that etag names, inside the storage. Errors:
// ErrNotFound, ErrChanged.
func (s *Store) Copy(ctx context.Context, from Ref, etag string, to Ref) error {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	_, err := s.client.CopyObject(ctx,
		minio.CopyDestOptions{Bucket: s.bucket, Object: to.Key()},
		minio.CopySrcOptions{Bucket: s.bucket, Object: from.Key(), MatchETag: etag})
	return s.outcome(ctx, "copy object", err)
}

// Delete deletes an object; one that is not there is no fault.
func (s *Store) Delete(ctx context.Context, ref Ref) error { return s.delete(ctx, ref.Key()) }

func (s *Store) delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := s.outcome(ctx, "delete object", s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// outcome puts the library's errors into the words of this package. Whatever is
// not about the object is about the storage, a missing bucket included.
func (s *Store) outcome(ctx context.Context, operation string, err error) error {
	if err == nil {
		return nil
	}
	var answer minio.ErrorResponse
	known := errors.As(err, &answer)
	switch {
	case known && answer.Code == minio.NoSuchKey:
		return fmt.Errorf("%s: %w", operation, ErrNotFound)
	case known && answer.StatusCode == http.StatusPreconditionFailed:
		return fmt.Errorf("%s: %w", operation, ErrChanged)
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", operation, ctx.Err()) // who called has gone
	}
	return fmt.Errorf("%s: %w: %w", operation, ErrUnavailable, err)
}
