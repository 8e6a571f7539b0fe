// Package media is the service that keeps avatars and files. It owns the event
// log "media"; what the files hold lies in S3.
//
//	gateway ──SetAvatar, CreateUpload, CompleteUpload, ShareFile, …──▶ internal/rpc ─▶ internal/app ─▶ internal/picture
//	                                                                                     │   │ internal/file, internal/avatar decide
//	browser ──POST and GET, presigned──▶ S3 ◀──────── internal/object ◀──────────────────┤   │
//	                                     ▲                                               ▼   ▼
//	                                     └─ internal/sweeper ◀── schema storage      schema log ─▶ forwarder ─▶ RabbitMQ
//	                                                                 ▲                   │
//	                                                                 └─ internal/files ◀─┤ rows of lists, objects kept and doomed
//	identity ◀── keys destroyed ──────────────────────────────────── internal/eraser ◀───┤
//	identity ──UserErased──▶ internal/erasure ──────────────────────────────────────────▶┘
//
// Why a row comes before each object: docs/adr/0013.
package media
