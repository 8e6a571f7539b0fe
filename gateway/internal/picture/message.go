package picture

import (
	"bytes"
	"errors"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// pictureField is the number of UploadAvatarRequest.picture.
const pictureField = 1

// errRefused ends the reading of a body; what is wrong stands in message.refusal.
var errRefused = errors.New("the body is refused")

// message is an UploadAvatarRequest in binary, made of a picture while it is
// read: nothing is taken from the network before the access gate has passed,
// and where the length is known the picture is not held here at all.
type message struct {
	picture io.Reader
	// size of the picture; less than 0 when it is not known yet.
	size int64
	// head is the field's tag and length, once they are known.
	head []byte
	// rest is what follows head.
	rest io.Reader
	// refusal is what the caller is told instead of Connect's own answer.
	refusal error
}

var _ io.Reader = (*message)(nil)

func newMessage(picture io.Reader, size int64) *message {
	m := &message{picture: picture, size: size}
	if size >= 0 {
		m.head, m.rest = head(size), picture
	}
	return m
}

func head(size int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, pictureField, protowire.BytesType), uint64(size)) //nolint:gosec // not negative
}

// length of the message, less than 0 when it is not known yet.
func (m *message) length() int64 {
	if m.size < 0 {
		return -1
	}
	return int64(len(m.head)) + m.size
}

// Read gives the next bytes of the message.
func (m *message) Read(to []byte) (int, error) {
	if m.refusal != nil {
		return 0, errRefused
	}
	if m.rest == nil {
		if err := m.gather(); err != nil {
			return 0, err
		}
	}
	if len(m.head) > 0 {
		n := copy(to, m.head)
		m.head = m.head[n:]
		return n, nil
	}
	return m.rest.Read(to)
}

// gather reads a picture of unknown length, since its length comes first.
func (m *message) gather() error {
	picture, err := io.ReadAll(io.LimitReader(m.picture, MaxPicture+1))
	switch {
	case err != nil:
		return err //nolint:wrapcheck // Connect looks for the server's own errors
	case len(picture) == 0:
		m.refusal = empty()
		return errRefused
	case len(picture) > MaxPicture:
		m.refusal = tooLarge()
		return errRefused
	}
	m.head, m.rest = head(int64(len(picture))), bytes.NewReader(picture)
	return nil
}
