// Package picture is the gateway's plain HTTP side of pictures and files, and
// what keeps large bodies from filling its memory.
//
//	PUT /me/avatar ──▶ Upload ──┐ the same call, binary
//	                            ▼
//	MediaService/UploadAvatar ─▶ Admission ─▶ Connect: access gate ─▶ body ─▶ rpc ─▶ media
//	GET /avatars/{id} ─▶ Avatars ─▶ rpc ─▶ media        GET /files/{id} ─▶ Files ─▶ rpc ─▶ media
//
// PUT /me/avatar is no second way in: it becomes a call of UploadAvatar in
// process, so that access, logging, time-outs and rules are that method's.
//
// One Admit stands before that method, and so before both ways to it; the limits
// of bodies are MaxMessage for what Connect reads and LimitBodies for what comes
// over the wire. All else about the call stays as it is for every other one.
package picture
