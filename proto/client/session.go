package client

import (
	"context"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

const (
	// early is how long before its expiry a token is exchanged at most; one with
	// a short life is exchanged in the last fifth of it.
	early = 30 * time.Second
	// refreshTimeout bounds one exchange.
	refreshTimeout = 10 * time.Second
	// refreshPause is how long the server is left alone after an exchange that it
	// did not answer, while the old access token is still good.
	refreshPause = time.Second
)

// Tokens are what a session lives by. Keep them like a password.
type Tokens struct {
	// AccessToken goes into the header Authorization.
	AccessToken string
	// AccessTokenExpiresAt is by this machine's clock, however wrong it is.
	AccessTokenExpiresAt time.Time
	// RefreshToken is good for one exchange; empty while the password has to be
	// changed first.
	RefreshToken string
}

// Config configures a Session.
type Config struct {
	// URL of the gateway, for example https://id.example.org.
	URL string
	// HTTP does the session's own calls; http.DefaultClient if nil. For gRPC it
	// has to speak HTTP/2.
	HTTP connect.HTTPClient
	// Options of the session's own calls, for example connect.WithGRPC().
	Options []connect.ClientOption
	// Changed is told of each new pair, and of empty Tokens when the session has
	// ended, so that a program can keep them and Resume after a restart. It is
	// called by one goroutine at a time and must not call the session.
	Changed func(Tokens)
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Session is one sign-in. As an interceptor of generated clients it sends the
// access token with each call that needs one and exchanges it in time. It is
// safe for concurrent use: of many calls that find the token old, one exchanges
// it and the others wait for that.
//
// When the server ends the session, the call that learns of it and all later
// ones fail with its reason, SESSION_REVOKED for example, until the next Login.
type Session struct {
	auth    musterv1connect.AuthServiceClient
	changed func(Tokens)
	now     func() time.Time

	turn chan struct{} // holds one while somebody exchanges tokens

	mu     sync.Mutex
	tokens Tokens
	due    time.Time // when the access token is exchanged
	ended  error     // what the server said when it ended the session
}

var _ connect.Interceptor = (*Session)(nil)

// New makes a session that nobody is signed in to yet. It calls nothing.
func New(config Config) *Session {
	s := &Session{changed: config.Changed, now: config.Now, turn: make(chan struct{}, 1)}
	if s.changed == nil {
		s.changed = func(Tokens) {}
	}
	if s.now == nil {
		s.now = time.Now
	}
	if config.HTTP == nil {
		config.HTTP = http.DefaultClient
	}
	s.auth = musterv1connect.NewAuthServiceClient(config.HTTP, config.URL, config.Options...)
	return s
}

// Login signs in with a username or an email address.
func (s *Session) Login(ctx context.Context, login, password string) (*musterv1.LoginResponse, error) {
	return s.LoginWith(ctx, &musterv1.LoginRequest{Login: login, Password: password})
}

// LoginWith signs in with a whole request. The refresh token comes in the body,
// whatever the request says: this is no browser.
func (s *Session) LoginWith(ctx context.Context, request *musterv1.LoginRequest) (*musterv1.LoginResponse, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	request = proto.CloneOf(request)
	request.RefreshDelivery = musterv1.RefreshDelivery_REFRESH_DELIVERY_BODY
	response, err := s.auth.Login(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	s.adopt(response.Msg.GetAccessToken(), response.Msg.GetAccessTokenExpiresAt().AsTime(), response.Msg.GetRefreshToken())
	return response.Msg, nil
}

// Resume goes on with tokens that Changed was told of, after a restart for
// example. It calls nothing.
func (s *Session) Resume(tokens Tokens) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(tokens)
}

// Tokens gives the present pair; empty when nobody is signed in.
func (s *Session) Tokens() Tokens {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens
}

// Logout ends the session at the server. The tokens are forgotten even when the
// server does not answer.
func (s *Session) Logout(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	token := s.Tokens().RefreshToken
	s.forget(nil)
	if token == "" {
		return nil
	}
	_, err := s.auth.Logout(ctx, connect.NewRequest(&musterv1.LogoutRequest{RefreshToken: token}))
	return err
}

// WrapUnary sends the access token, and repeats the call once with a new one
// when the server finds it expired: the server has done nothing then.
func (s *Session) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if public(request.Spec()) || request.Header().Get("Authorization") != "" {
			return next(ctx, request)
		}
		token, err := s.access(ctx, "")
		if err != nil {
			return nil, err
		}
		authorize(request.Header(), token)
		response, err := next(ctx, request)
		if Reason(err) != musterv1.Reason_REASON_TOKEN_EXPIRED {
			return response, err
		}
		renewed, failed := s.access(ctx, token)
		if failed != nil {
			return nil, failed
		}
		if renewed == token {
			return nil, err // there is nothing to exchange
		}
		authorize(request.Header(), renewed)
		return next(ctx, request)
	}
}

// WrapStreamingClient sends the access token with a stream. What the server
// says of it is the caller's to see: a stream cannot be repeated.
func (s *Session) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		if public(spec) || conn.RequestHeader().Get("Authorization") != "" {
			return conn
		}
		token, err := s.access(ctx, "")
		if err != nil {
			token = s.Tokens().AccessToken // the server refuses it with the reason
		}
		authorize(conn.RequestHeader(), token)
		return conn
	}
}

// WrapStreamingHandler leaves handlers alone: a Session is for clients.
func (s *Session) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// access gives an access token to call with, exchanged if it is due or is the
// one that the server has just found expired. It is empty when nobody is signed
// in, which the server then says.
func (s *Session) access(ctx context.Context, expired string) (string, error) {
	if token, fresh, err := s.present(expired); fresh || err != nil {
		return token, err
	}
	if err := s.take(ctx); err != nil {
		return "", err
	}
	defer s.release()
	// Somebody else may have exchanged it while this call waited.
	token, fresh, err := s.present(expired)
	if fresh || err != nil {
		return token, err
	}
	limited, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	spent := s.Tokens().RefreshToken
	response, err := s.auth.RefreshToken(limited, connect.NewRequest(&musterv1.RefreshTokenRequest{RefreshToken: spent}))
	switch {
	case err == nil:
		s.adopt(response.Msg.GetAccessToken(), response.Msg.GetAccessTokenExpiresAt().AsTime(), response.Msg.GetRefreshToken())
		return response.Msg.GetAccessToken(), nil
	case final(err):
		s.forget(err)
		return "", err
	case token == expired || ctx.Err() != nil || !s.stillGood():
		return "", err
	}
	return token, nil
}

// present gives the access token and whether it needs no exchange.
func (s *Session) present(expired string) (token string, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return "", false, s.ended
	}
	token = s.tokens.AccessToken
	fresh = s.tokens.RefreshToken == "" || (token != expired && s.now().Before(s.due))
	return token, fresh, nil
}

// stillGood tells whether the old access token can be used for now, and puts
// the next try off.
func (s *Session) stillGood() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due = s.now().Add(refreshPause)
	return s.now().Before(s.tokens.AccessTokenExpiresAt)
}

// adopt takes a pair that has just arrived.
func (s *Session) adopt(access string, expiresAt time.Time, refresh string) {
	s.mu.Lock()
	if life, ok := lifetime(access); ok {
		expiresAt = s.now().Add(life) // by our clock, not by the server's
	}
	tokens := Tokens{AccessToken: access, AccessTokenExpiresAt: expiresAt, RefreshToken: refresh}
	s.set(tokens)
	s.mu.Unlock()
	s.changed(tokens)
}

// forget ends the session here, with what the server said of it.
func (s *Session) forget(said error) {
	s.mu.Lock()
	s.tokens, s.ended = Tokens{}, said
	s.mu.Unlock()
	s.changed(Tokens{})
}

// set is called with mu held.
func (s *Session) set(tokens Tokens) {
	left := tokens.AccessTokenExpiresAt.Sub(s.now())
	s.tokens, s.ended = tokens, nil
	s.due = tokens.AccessTokenExpiresAt.Add(-min(early, left/5))
}

// take waits for the turn to exchange tokens.
func (s *Session) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		code := connect.CodeCanceled
		if ctx.Err() == context.DeadlineExceeded { //nolint:errorlint // Err gives it bare
			code = connect.CodeDeadlineExceeded
		}
		return connect.NewError(code, ctx.Err())
	}
}

func (s *Session) release() { <-s.turn }

func authorize(header http.Header, token string) {
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
}

// public tells whether anyone may call a method, as its proto declares.
func public(spec connect.Spec) bool {
	method, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok {
		return false
	}
	access, _ := proto.GetExtension(method.Options(), optionsv1.E_Access).(*optionsv1.Access)
	return access.GetPublic()
}
