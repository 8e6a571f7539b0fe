package postgres

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/muster-id/muster/eventstore"
)

const (
	cursorVersion = 3
	// maxCursor bounds what is decoded. A cursor names the transactions that
	// were under way, of which a server has at most a few thousand.
	maxCursor  = 64 << 10
	maxLogName = 64
)

// snapshot is a pg_snapshot: every transaction before xmin is visible, none
// from xmax on, and none of xip, which lie between them.
type snapshot struct {
	xmin, xmax uint64
	xip        []uint64
}

// beforeAll is the snapshot that sees nothing: ids of transactions begin at 3.
func beforeAll() snapshot { return snapshot{xmin: 1, xmax: 1} }

func (s snapshot) isZero() bool { return s.xmax == 0 }

func (s snapshot) seesNothing() bool { return s.xmax == 1 }

// valid tells whether the server would read it: no transaction has an id whose
// lower half is 0.
func (s snapshot) valid() bool {
	if uint32(s.xmin) == 0 || uint32(s.xmax) == 0 || s.xmax < s.xmin {
		return false
	}
	last := s.xmin - 1
	for _, id := range s.xip {
		if id <= last || id >= s.xmax {
			return false
		}
		last = id
	}
	return true
}

// String is the snapshot as PostgreSQL writes it.
func (s snapshot) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d:%d:", s.xmin, s.xmax)
	for i, id := range s.xip {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(strconv.FormatUint(id, 10))
	}
	return text.String()
}

func parseSnapshot(text string) (snapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return snapshot{}, errors.New("not a snapshot")
	}
	var s snapshot
	var err error
	if s.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return snapshot{}, errors.New("not a snapshot")
	}
	if s.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return snapshot{}, errors.New("not a snapshot")
	}
	if parts[2] != "" {
		for each := range strings.SplitSeq(parts[2], ",") {
			id, err := strconv.ParseUint(each, 10, 64)
			if err != nil {
				return snapshot{}, errors.New("not a snapshot")
			}
			s.xip = append(s.xip, id)
		}
	}
	if !s.valid() {
		return snapshot{}, errors.New("not a snapshot")
	}
	return s, nil
}

// lifetime is the id of a lifetime of the server, within which each transaction
// id is given out once; zero for none.
type lifetime [16]byte

// mark is an event that a reader was given. A log that has another one there, or
// none, was set back since.
type mark struct {
	offset int64
	id     [16]byte
}

// place is where a reader stands.
type place struct {
	// lifetime that the snapshots belong to; zero at the beginning.
	lifetime lifetime
	// old is the snapshot up to which everything is read.
	old snapshot
	// new is the snapshot that the present tick goes to; zero between two ticks.
	new snapshot
	// reached is the offset, inside the tick, up to which everything is read.
	// Between two ticks it is the last one's end, and not a part of the cursor.
	reached int64
	// last is the last event that was read; its id is zero for none.
	last mark
	// bound is the last offset of a tick that is read along the offset index; 0
	// for one that is read by its candidates.
	bound int64
}

func (p place) inTick() bool { return !p.new.isZero() }

// in tells whether the place is of the server's lifetime; of none where that
// has not begun.
func (p place) in(present pgtype.UUID) bool { return present.Valid && p.lifetime == present.Bytes }

// encode makes the cursor of a place: version, log, epoch, lifetime, last event,
// snapshots, offsets, the numbers as unsigned varints, in base64url.
func (r reader) encode(p place) eventstore.Cursor {
	b := []byte{cursorVersion}
	b = binary.AppendUvarint(b, uint64(len(r.log)))
	b = append(b, r.log...)
	b = binary.AppendUvarint(b, uint64(r.epoch))
	b = append(b, p.lifetime[:]...)
	if b = binary.AppendUvarint(b, uint64(p.last.offset)); p.last.offset > 0 {
		b = append(b, p.last.id[:]...)
	}
	b = appendSnapshot(b, p.old)
	if p.inTick() {
		b = appendSnapshot(b, p.new)
		b = binary.AppendUvarint(b, uint64(p.reached))
		b = binary.AppendUvarint(b, uint64(p.bound))
	}
	return eventstore.Cursor(base64.RawURLEncoding.EncodeToString(b))
}

func appendSnapshot(b []byte, s snapshot) []byte {
	b = binary.AppendUvarint(b, s.xmin)
	b = binary.AppendUvarint(b, s.xmax-s.xmin)
	b = binary.AppendUvarint(b, uint64(len(s.xip)))
	last := s.xmin
	for _, id := range s.xip {
		b = binary.AppendUvarint(b, id-last)
		last = id
	}
	return b
}

// decode accepts exactly what encode makes, and only for this log. A former
// epoch is ErrEpochChanged, a later one *setBackError, all else ErrCursorInvalid.
// Which lifetime is the present one, only the server knows.
func (r reader) decode(cursor eventstore.Cursor) (place, error) {
	if cursor == "" {
		return place{old: beforeAll()}, nil
	}
	if len(cursor) > maxCursor {
		return place{}, eventstore.ErrCursorInvalid
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(string(cursor))
	if err != nil {
		return place{}, eventstore.ErrCursorInvalid
	}
	d := decoder{rest: text}
	if d.byte() != cursorVersion || string(d.bytes(maxLogName)) != r.log {
		return place{}, eventstore.ErrCursorInvalid
	}
	epoch := d.int()
	p := place{lifetime: d.id()}
	if p.last.offset = d.int(); p.last.offset > 0 {
		p.last.id = d.id()
	}
	p.old = d.snapshot()
	if len(d.rest) > 0 {
		p.new, p.reached, p.bound = d.snapshot(), d.int(), d.int()
		if p.new.xmax < p.old.xmax || p.new.seesNothing() || (p.bound > 0 && p.reached >= p.bound) {
			d.failed = true
		}
	}
	if d.failed || len(d.rest) > 0 || epoch < 1 {
		return place{}, eventstore.ErrCursorInvalid
	}
	if epoch < r.epoch {
		return place{}, eventstore.ErrEpochChanged
	}
	// A number may be written with more bytes than it needs; one place has one cursor.
	if (reader{log: r.log, epoch: epoch}).encode(p) != cursor {
		return place{}, eventstore.ErrCursorInvalid
	}
	if epoch > r.epoch {
		return place{}, &setBackError{seen: epoch, what: "an epoch that the log does not know"}
	}
	return p, nil
}

// decoder reads from rest until something is not there, and then only zeros.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) fail() {
	d.failed, d.rest = true, nil
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) int() int64 {
	n := d.uint()
	if n > 1<<62 {
		d.fail()
		return 0
	}
	return int64(n)
}

func (d *decoder) bytes(most uint64) []byte {
	n := d.uint()
	if n > most || n > uint64(len(d.rest)) {
		d.fail()
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) id() [16]byte {
	var id [16]byte
	if copy(id[:], d.rest) < len(id) {
		d.fail()
		return [16]byte{}
	}
	d.rest = d.rest[len(id):]
	return id
}

func (d *decoder) snapshot() snapshot {
	s := snapshot{xmin: d.uint()}
	s.xmax = s.xmin + d.uint()
	n := d.uint()
	if n > uint64(len(d.rest)) { // each takes a byte at least
		d.fail()
		return snapshot{}
	}
	last := s.xmin
	for range n {
		last += d.uint()
		s.xip = append(s.xip, last)
	}
	if !s.valid() {
		d.fail()
		return snapshot{}
	}
	return s
}
