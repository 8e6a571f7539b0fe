package e2e_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	// htmlHalf is what a browser would run that takes a picture for a page.
	htmlHalf = `<html><script>alert("the other half")</script></html>`
	// scriptHalf ends the comment that a GIF's width has begun.
	scriptHalf = `*/=1;alert("the other half")//`
)

// chunk is a chunk of a PNG.
func chunk(kind string, data []byte) []byte {
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), kind...)
	out = append(out, data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// greyPNG says one size in its header and holds so many bytes of pixels, each row
// of which has one more; between them lie the extra chunks.
func greyPNG(t *testing.T, width, height uint32, pixels int, extra ...byte) []byte {
	t.Helper()
	header := binary.BigEndian.AppendUint32(nil, width)
	header = append(binary.BigEndian.AppendUint32(header, height), 8, 0, 0, 0, 0)
	var packed bytes.Buffer
	deflate := zlib.NewWriter(&packed)
	if _, err := deflate.Write(make([]byte, pixels)); err != nil {
		t.Fatal(err)
	}
	if err := deflate.Close(); err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", header), extra, chunk("IDAT", packed.Bytes()), chunk("IEND", nil))
}

// gifOf shows a small frame again and again on a screen of this size.
func gifOf(t *testing.T, width, height, frames int) []byte {
	t.Helper()
	colours := color.Palette{color.Black, color.White}
	frame := image.NewPaletted(image.Rect(0, 0, 8, 8), colours)
	var out bytes.Buffer
	err := gif.EncodeAll(&out, &gif.GIF{
		Image: slices.Repeat([]*image.Paletted{frame}, frames), Delay: make([]int, frames),
		Config: image.Config{Width: width, Height: height, ColorModel: colours},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pictures are whole, one of each kind.
func pictures(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"JPEG": photograph(t, 64, 64, ""), "PNG": greyPNG(t, 40, 30, 41*30), "GIF": gifOf(t, 8, 8, 2)}
	// The standard library writes no WebP.
	for kind, name := range map[string]string{"lossy WebP": "lossy.webp", "lossless WebP": "lossless.webp", "animated WebP": "animated.webp"} {
		raw, err := os.ReadFile("../../media/internal/picture/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all[kind] = raw
	}
	return all
}

// What is no picture, a damaged one or one too large is refused with its reason,
// and what was there stays.
func TestAvatarThatIsNoPicture(t *testing.T) {
	s := shared(t)
	eve := s.joins(t, "eve-avatar")
	whole := photograph(t, 300, 300, "")
	invalid, tooLarge := musterv1.Reason_REASON_PICTURE_INVALID, musterv1.Reason_REASON_PICTURE_TOO_LARGE
	type bad struct {
		raw     []byte
		reason  musterv1.Reason
		field   string // none where the headers are at fault
		headers []header
	}
	cases := map[string]bad{
		"text":                           {raw: []byte("no picture at all"), reason: invalid, field: "picture"},
		"html":                           {raw: []byte(htmlHalf), reason: invalid, field: "picture"},
		"SVG":                            {raw: []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), reason: invalid, field: "picture"},
		"SVG that says so":               {raw: []byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`), reason: invalid, field: "picture", headers: []header{{"Content-Type", "image/svg+xml"}}},
		"nothing":                        {reason: invalid},
		"a byte more than 5 MiB":         {raw: append(slices.Clone(whole), make([]byte, 5<<20+1-len(whole))...), reason: tooLarge},
		"PNG of 60000 × 60000":           {raw: greyPNG(t, 60000, 60000, 10), reason: tooLarge, field: "picture"},
		"PNG with more than it declares": {raw: greyPNG(t, 10, 10, 20_000_000), reason: invalid, field: "picture"},
		"GIF of 65535 × 65535, animated": {raw: gifOf(t, 65535, 65535, 100), reason: tooLarge, field: "picture"},
		"as html":                        {raw: whole, reason: invalid, headers: []header{{"Content-Type", "text/html"}}},
		"as a form":                      {raw: whole, reason: invalid, headers: []header{{"Content-Type", "multipart/form-data; boundary=x"}}},
		"packed":                         {raw: whole, reason: invalid, headers: []header{{"Content-Encoding", "gzip"}}},
	}
	for kind, raw := range pictures(t) {
		s.putAvatar(t, raw, eve.token).ok(t) // whole it is taken
		cases[kind+" cut in the middle"] = bad{raw: raw[:len(raw)/2], reason: invalid, field: "picture"}
		cases[kind+" without its last byte"] = bad{raw: raw[:len(raw)-1], reason: invalid, field: "picture"}
	}
	address := s.putAvatar(t, whole, eve.token).ok(t).text("avatarUrl")
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			s.putAvatar(t, bad.raw, append(bad.headers, eve.token)...).refused(t, bad.reason, bad.field)
		})
	}
	if got := s.putAvatar(t, whole); got.status != http.StatusUnauthorized {
		t.Errorf("set by nobody: %d %s", got.status, got.raw)
	}
	me := s.call(t, "UserService/GetMe", map[string]any{}, eve.token).ok(t)
	if me.user()["avatarUrl"] != address {
		t.Errorf("the picture has changed: %s", me.raw)
	}
	s.get(t, address).isAvatar(t)
}

// A picture that is something else too is taken, and what is served of it is a
// JPEG and nothing else. Frames after the first cost nothing.
func TestAvatarKeepsNothingButThePicture(t *testing.T) {
	s := shared(t)
	mallory := s.joins(t, "mallory-avatar")
	for name, raw := range map[string][]byte{
		"GIF and script":                   append(gifOf(t, '/'|'*'<<8, 16, 1), scriptHalf...),
		"PNG with html inside":             greyPNG(t, 40, 30, 41*30, chunk("tEXt", []byte("Comment\x00"+htmlHalf))...),
		"PNG and html":                     append(greyPNG(t, 40, 30, 41*30), htmlHalf...),
		"JPEG with html inside":            photograph(t, 64, 64, htmlHalf),
		"GIF of five thousand frames":      gifOf(t, 8, 8, 5000),
		"JPEG that is said to be a GIF":    photograph(t, 64, 64, ""),
		"animated GIF with a script after": append(gifOf(t, 8, 8, 100), scriptHalf...),
	} {
		t.Run(name, func(t *testing.T) {
			set := s.putAvatar(t, raw, mallory.token, header{"Content-Type", "image/gif"}).ok(t)
			served := s.get(t, set.text("avatarUrl"))
			served.isAvatar(t)
			for _, half := range []string{"alert", "script", "html", "GIF8", "PNG"} {
				if strings.Contains(served.raw, half) {
					t.Errorf("%q is still in it", half)
				}
			}
			if sniff := served.header.Get("X-Content-Type-Options"); sniff != "nosniff" {
				t.Errorf("a browser may guess what it is: %q", sniff)
			}
		})
	}
}
