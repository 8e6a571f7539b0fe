// Package media is the room for files: avatars, private files and presigned
// URLs. It joins the system with S3; until then nothing is served from here.
package media
