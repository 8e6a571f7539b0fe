package view

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// place is where a page ended: an offset of the log, or a version of a stream.
// It is no secret: the gateway seals what it gives to clients.
type place struct{ epoch, at int64 }

// encode makes the page token: the numbers as unsigned varints, in base64url.
func (p place) encode() string {
	b := binary.AppendUvarint(nil, uint64(p.epoch))
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(b, uint64(p.at)))
}

var errPlace = errors.New("not a page token")

// decodePlace accepts exactly what encode makes; an empty token is the first page.
func decodePlace(token string) (place, error) {
	if token == "" {
		return place{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return place{}, errPlace
	}
	epoch, n := binary.Uvarint(b)
	if n <= 0 {
		return place{}, errPlace
	}
	at, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return place{}, errPlace
	}
	const most = 1 << 62
	p := place{int64(epoch % most), int64(at % most)}
	if p.epoch < 1 || p.at < 1 || p.encode() != token {
		return place{}, errPlace
	}
	return p, nil
}
