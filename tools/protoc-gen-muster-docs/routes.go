package main

// route is a path that is no procedure: for curl, for browsers, for operators.
// It stands here since no proto declares it.
type route struct {
	method, path, id string
	title, comment   string
	access           accessOption
	// parameter of the path, if there is one.
	parameter, parameterComment string
	// takes are the media types of the body.
	takes []string
	// answer of a success.
	status        int
	contentType   string
	answerComment string
	example       string
	// schema names the message that is answered as JSON, if one is.
	schema string
	errors []string
	// curl is the whole command; ORIGIN stands for the gateway's address.
	curl string
}

var (
	anyone   = accessOption{Public: true}
	signedIn = accessOption{SignedIn: true}
)

var routes = []route{
	{
		method: "put", path: "/me/avatar", id: "PutMyAvatar",
		title: "Set the avatar with curl",
		comment: "The same as `MediaService.UploadAvatar`, with the picture itself as the body: JPEG, PNG, GIF or WebP, at most 5 MiB and 25 million pixels. " +
			"Its content counts. The header Content-Type may be left out; another than that of a picture is refused.",
		access: signedIn,
		takes:  []string{"image/jpeg", "image/png", "image/gif", "image/webp", "application/octet-stream"},
		status: 200, contentType: "application/json", schema: "UploadAvatarResponse",
		answerComment: "Where the avatar is served.",
		example:       `{"avatarUrl": "http://127.0.0.1:8080/avatars/01997c5c-4d20-7b93-9e17-c3f5a08b6d21", "shown": true}`,
		errors:        []string{"PICTURE_INVALID", "PICTURE_TOO_LARGE", "NOT_FOUND", "CONFLICT", "STORAGE_UNAVAILABLE", "OVERLOADED"},
		curl:          "curl -T picture.jpg ORIGIN/me/avatar \\\n  -H \"Authorization: Bearer $TOKEN\"",
	},
	{
		method: "get", path: "/avatars/{id}", id: "GetAvatar",
		title:     "An avatar",
		comment:   "The address that `avatarUrl` gives. The id changes with the picture, so it may be cached for ever.",
		access:    anyone,
		parameter: "id", parameterComment: "The picture's id, from `avatarUrl`.",
		status: 200, contentType: "image/jpeg",
		answerComment: "A JPEG of at most 256 × 256.",
		errors:        []string{"NOT_FOUND", "STORAGE_UNAVAILABLE", "UNAVAILABLE"},
		curl:          "curl -o avatar.jpg ORIGIN/avatars/01997c5c-4d20-7b93-9e17-c3f5a08b6d21",
	},
	{
		method: "get", path: "/files/{id}", id: "GetPublicFile",
		title:     "A public file",
		comment:   "Leads to where the file can be read for some minutes. Any other file than a public one is not found: `MediaService.GetFileUrl` is for those.",
		access:    anyone,
		parameter: "id", parameterComment: "The file's id.",
		status:        303,
		answerComment: "The header Location has the address.",
		errors:        []string{"NOT_FOUND", "UNAVAILABLE"},
		curl:          "curl -L -O -J ORIGIN/files/01997c6a-5f83-7c60-8d2b-14e9b7a0f3c8",
	},
	{
		method: "get", path: "/.well-known/jwks.json", id: "GetKeys",
		title:   "The keys of access tokens",
		comment: "A JSON Web Key Set (RFC 7517), for programs that verify access tokens themselves. It may be kept for five minutes.",
		access:  anyone,
		status:  200, contentType: "application/jwk-set+json",
		answerComment: "The public keys.",
		example:       `{"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "01997c01", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		errors:        []string{"UNAVAILABLE"},
		curl:          "curl ORIGIN/.well-known/jwks.json",
	},
	{
		method: "get", path: "/livez", id: "GetAlive",
		title:   "Whether the gateway lives",
		comment: "For whoever restarts it when it does not.",
		access:  anyone,
		status:  200, contentType: "text/plain",
		answerComment: "It lives.",
		example:       "alive",
		curl:          "curl ORIGIN/livez",
	},
	{
		method: "get", path: "/readyz", id: "GetReady",
		title:   "Whether Muster can work",
		comment: "For load balancers: 503 while a service behind the gateway cannot work, and which. Operators see more with `HealthService.CheckServices`.",
		access:  anyone,
		status:  200, contentType: "application/json",
		answerComment: "All services can work; with status 503 and the same body, one cannot.",
		example:       `{"ready": true, "parts": {"credentials": "ready", "identity": "ready", "media": "ready"}}`,
		curl:          "curl ORIGIN/readyz",
	},
}
