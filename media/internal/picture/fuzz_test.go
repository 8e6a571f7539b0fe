package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/jpeg"
	"testing"
)

func FuzzAvatar(f *testing.F) {
	for _, raw := range wholes(f) {
		f.Add(raw)
	}
	for _, raw := range hidden(f) {
		f.Add(raw)
	}
	pool := New(Config{Memory: 64 << 20}) // so that a giant does not hold up the search
	f.Fuzz(func(t *testing.T, raw []byte) {
		avatar, err := pool.Avatar(t.Context(), raw)
		if err != nil {
			if !errors.Is(err, ErrNotAPicture) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		made, err := jpeg.DecodeConfig(bytes.NewReader(avatar.JPEG))
		if err != nil || made.Width != avatar.Width || made.Height != avatar.Height {
			t.Fatalf("%d × %d, in the JPEG %d × %d, %v", avatar.Width, avatar.Height, made.Width, made.Height, err)
		}
		if avatar.Width > side || avatar.Height > side {
			t.Fatalf("%d × %d", avatar.Width, avatar.Height)
		}
	})
}

func FuzzOrientation(f *testing.F) {
	for turned := range threeQuarterTurn + 2 {
		f.Add(exif(binary.LittleEndian, turned, ""), uint8(turned))
		f.Add(append([]byte(exifPrefix), exif(binary.BigEndian, turned, "text")...), uint8(turned))
	}
	f.Fuzz(func(t *testing.T, block []byte, turned uint8) {
		if got := orientationOf(block); got < upright || got > threeQuarterTurn {
			t.Fatalf("%d is none", got)
		}
		want := orientation(turned)
		if want < upright || want > threeQuarterTurn {
			want = upright
		}
		// One that is well made is read whatever stands behind it.
		if got := orientationOf(append(exif(binary.BigEndian, orientation(turned), ""), block...)); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	})
}
