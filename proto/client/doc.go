// Package client keeps a Go program signed in. The generated clients of
// proto/gen/go do the calls; a Session stands between them and the server:
//
//	generated client ──▶ Session ── Authorization: Bearer ──▶ gateway
//	                        │  ▲
//	                        ▼  │ a new pair, shortly before the old one expires,
//	                   RefreshToken  or once when the server says TOKEN_EXPIRED
//
// It works over Connect, gRPC and gRPC-Web:
//
//	session := client.New(client.Config{URL: "http://127.0.0.1:8080"})
//	if _, err := session.Login(ctx, "ada", "correct horse"); err != nil { … }
//	users := musterv1connect.NewUserServiceClient(http.DefaultClient, "http://127.0.0.1:8080",
//		connect.WithInterceptors(session))
//	me, err := users.GetMe(ctx, connect.NewRequest(&musterv1.GetMeRequest{}))
//
// client/ts is the same for TypeScript and JavaScript.
package client
